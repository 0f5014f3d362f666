//! Own pages show nothing of a query, escape the rest, and are nobody else's to read.

use serde_json::json;

use super::id_tokens::ROUTE;
use crate::rig::browser::NAVIGATION;
use crate::rig::{Answer, Browser, plain, shared};

const EVIL: [&str; 4] = [
    "%3Cscript%3Ealert(1)%3C/script%3E",
    "%27);alert(1)//",
    "%22%3E%3Cimg%20src=x%3E",
    "%22%20onload=%22alert(1)",
];

/// Nothing of what was sent stands on a page unescaped, and the page is strict.
fn is_harmless(answer: &Answer, what: &str) {
    let page = answer.text();
    for mark in ["<script>alert", "<img", "alert(1)//", "onload=\"alert"] {
        assert!(!page.contains(mark), "{what}: {page}");
    }
    if answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{what}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{what}");
    }
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{what}");
}

#[test]
fn a110_nothing_of_a_query_or_a_referrer_ever_stands_on_a_page() {
    let mut browser = Browser::signed_in(&shared().gateway, "/echo");
    let parameters = [
        "rd",
        "provider",
        "domain_hint",
        "acr",
        "iss",
        "target_link_uri",
        "login_hint",
        "code",
        "state",
        "error",
        "error_description",
        "sid",
        "logout_token",
        "csrf",
        "x",
    ];
    for evil in EVIL {
        let query = parameters.map(|name| format!("{name}={evil}")).join("&");
        for path in ["login", "callback", "logout", "logged-out", "session", "logout/frontchannel", "nothing"]
        {
            for query in [query.clone(), format!("x={evil}"), format!("{evil}={evil}"), evil.to_owned()] {
                let target = format!("/.midgate/{path}?{query}");
                let headers = format!("{NAVIGATION}Referer: http://evil.test/{evil}\r\n");
                for visitor in [&mut browser.clone(), &mut Browser::new(&shared().gateway)] {
                    is_harmless(&visitor.ask("GET", &target, &headers, b""), &target);
                }
            }
        }
        let form: Vec<(String, String)> =
            parameters.map(|name| (name.to_owned(), evil.replace("%3C", "<").replace("%3E", ">"))).to_vec();
        for path in ["callback", "logout"] {
            is_harmless(&browser.clone().post(&format!("/.midgate/{path}"), &form, false), path);
        }
    }
    let answer = browser.open("/.midgate/callback?foo=CALL+0900+NOW");
    assert_eq!(answer.status, 400);
    assert!(!answer.text().contains("CALL") && !answer.text().contains("0900"), "{}", answer.text());
    // The address that stays in the browser's history is the page, not the code.
    let mut fresh = Browser::new(&shared().gateway);
    let end = fresh.sign_in("/echo?kept=1");
    assert_eq!((end.status, end.location()), (303, "/echo?kept=1"));
}

#[test]
fn a111_what_a_provider_says_is_escaped_and_short() {
    let setting = plain("", "[provider.claims]\nname = \"name\"\nlong = \"long\"\n", ROUTE);
    let evil = "</pre><script>alert(1)</script><img src=x>";
    setting.provider.patch_userinfo(json!({"name": evil, "long": "z".repeat(50_000)}));
    let mut browser = Browser::signed_in(&setting.gateway, "/echo");
    let page = browser.open("/.midgate/session");
    is_harmless(&page, "session");
    assert!(page.text().contains("&lt;script&gt;"), "{}", page.text());
    assert!(page.body.len() < 32 * 1024, "{} bytes", page.body.len());
    for (error, description) in [
        ("access_denied", evil),
        ("server_error", "mid_sys_9000_<script>alert(1)</script> - x"),
        ("<script>alert(1)</script>", "x"),
        ("access_denied", "mid_auth_3010_\"><img src=x> - Rejected"),
    ] {
        setting.provider.answer_error(error, description);
        let answer = Browser::new(&setting.gateway).sign_in("/echo");
        assert!(answer.status >= 400, "{error}");
        is_harmless(&answer, error);
        assert!(!answer.text().contains("&lt;script"), "nor escaped: {}", answer.text());
    }
    let long = format!("mid_auth_3010_{} - Rejected", "T".repeat(3000));
    setting.provider.answer_error("access_denied", &long);
    let answer = Browser::new(&setting.gateway).sign_in("/echo");
    assert!(!answer.text().contains(&"T".repeat(200)), "{}", answer.text());
}

#[test]
fn a113_who_am_i_shows_no_token_and_is_for_our_own_pages_only() {
    let routes = "[[route]]\nupstream = \"{up}\"\npass_token = \"id_token\"\n[[route]]\npath = \"/access/\"\nupstream = \"{up}\"\npass_token = \"access_token\"\n";
    let setting = plain("", "", routes);
    setting.provider.patch_userinfo(json!({"odd": "eyJhbGciOiJSUzI1NiJ9.e30.c2ln"}));
    let mut browser = Browser::signed_in(&setting.gateway, "/echo");
    for headers in [
        NAVIGATION.to_owned(),
        "Accept: application/json\r\n".to_owned(),
        "Origin: https://evil.test\r\nAccept: application/json\r\n".to_owned(),
        "Origin: null\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: cors\r\n".to_owned(),
    ] {
        let answer = browser.ask("GET", "/.midgate/session", &headers, b"");
        assert_eq!(answer.status, 200, "{headers}");
        let text = answer.text();
        assert!(!text.contains("eyJ") && !text.contains("TOKEN_zz"), "{headers}: {text}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let names: Vec<&str> = answer.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert!(
            !names.iter().any(|name| name.to_ascii_lowercase().starts_with("access-control-")),
            "{names:?}"
        );
    }
    let asks = "Origin: https://evil.test\r\nAccess-Control-Request-Method: GET\r\n";
    let preflight = browser.ask("OPTIONS", "/.midgate/session", asks, b"");
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (405, None));
}
