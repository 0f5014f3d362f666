//! What comes back when a request does not pass: the table of answers.

use crate::rig::browser::{NAVIGATION, unescaped};
use crate::rig::{Browser, shared};

#[test]
fn a_navigation_without_a_session_goes_to_the_provider() {
    let gateway = &shared().gateway;
    for (method, headers) in [
        ("GET", NAVIGATION),
        ("HEAD", NAVIGATION),
        ("GET", "Accept: text/html,application/xhtml+xml;q=0.9\r\n"),
    ] {
        let answer = Browser::new(gateway).ask(method, "/x?a=1", headers, b"");
        assert_eq!(answer.status, 302, "{method} {headers}");
        assert!(answer.location().starts_with(&shared().provider.issuer()), "{}", answer.location());
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

#[test]
fn anything_else_without_a_session_is_401_in_json() {
    let gateway = &shared().gateway;
    for (method, headers) in [
        ("GET", ""),
        ("GET", "Accept: */*\r\n"),
        ("GET", "Sec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\nAccept: text/html\r\n"),
        ("GET", "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\nAccept: text/html\r\n"),
        ("GET", "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nSec-Purpose: prefetch\r\n"),
        ("PUT", NAVIGATION),
        ("DELETE", "Accept: text/html\r\n"),
        ("OPTIONS", "Origin: https://evil.test\r\nAccess-Control-Request-Method: GET\r\n"),
        ("POST", "Accept: application/json\r\n"),
        ("GET", "Authorization: Bearer x\r\n"),
    ] {
        let answer = Browser::new(gateway).ask(method, "/x", headers, b"");
        assert_eq!(answer.status, 401, "{method} {headers}");
        assert!(answer.header("location").is_none());
        assert!(answer.all("set-cookie").is_empty(), "polls create no login state");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"midgate\""));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let body = answer.json();
        assert_eq!(body["error"], "login_required");
        assert_eq!(body["login_url"], format!("http://localhost:{}/.midgate/login", gateway.port));
        assert!(body["request_id"].as_str().is_some_and(|id| !id.is_empty()));
    }
}

#[test]
fn a112_a_posted_form_without_a_session_is_a_page_that_says_so() {
    for headers in ["Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n", "Accept: text/html\r\n"] {
        let answer = Browser::new(&shared().gateway).ask("POST", "/form'%3balert(1)", headers, b"a=b");
        assert_eq!(answer.status, 401);
        let page = unescaped(&answer.text());
        assert!(page.contains("/.midgate/login") && page.contains("target=\"_blank\""), "{page}");
        assert!(!page.contains("alert(1)"), "{page}");
    }
}

#[test]
fn what_is_not_there_or_not_taken_or_not_ours_says_so() {
    let gateway = &shared().gateway;
    let mut browser = Browser::signed_in(gateway, "/echo");
    for (method, target, host, status) in [
        ("GET", "/.midgate/nothing", None, 404),
        ("GET", "/.midgate", None, 404),
        ("GET", "/.midgate/auth", None, 403),
        ("GET", "/%2emidgate/auth", None, 404),
        ("GET", "/post-only/x", None, 405),
        ("POST", "/.midgate/login", None, 405),
        ("DELETE", "/.midgate/session", None, 405),
        ("TRACE", "/x", None, 405),
        ("get", "/x", None, 405),
        ("GET", "/x", Some("evil.test"), 421),
        ("GET", "/.midgate/login", Some("evil.test"), 421),
    ] {
        let good = browser.host.clone();
        browser.host = host.map_or(good.clone(), str::to_owned);
        let answer = browser.ask(method, target, "", b"");
        browser.host = good;
        assert_eq!(answer.status, status, "{method} {target} {host:?}");
        let body = answer.json();
        assert!(
            body["error"].is_string() && body["reason"].is_string() && body["request_id"].is_string(),
            "{body}"
        );
    }
    assert_eq!(browser.ask("GET", "/post-only/x", "", b"").header("allow"), Some("POST"));
}

#[test]
fn a_request_over_its_limits_is_refused() {
    let gateway = &shared().gateway;
    let mut browser = Browser::new(gateway);
    let big = format!("X-Big: {}\r\n", "a".repeat(33 * 1024));
    assert_eq!(browser.ask("GET", "/public/echo", &big, b"").status, 431);
    let many: String = (0..200).map(|n| format!("X-Many-{n}: {}\r\n", "a".repeat(200))).collect();
    assert_eq!(browser.ask("GET", "/public/echo", &many, b"").status, 431);
    let cookie = format!("Cookie: a={}\r\n", "b".repeat(40 * 1024));
    assert_eq!(browser.ask("GET", "/public/echo", &cookie, b"").status, 431);
    // A target over 64 KiB is refused by the HTTP library itself.
    let target = format!("/public/{}", "a".repeat(100_000));
    assert!(matches!(browser.ask("GET", &target, "", b"").status, 400 | 414 | 431));
    let near = format!("X-Big: {}\r\n", "a".repeat(30 * 1024));
    assert_eq!(browser.ask("GET", "/public/echo", &near, b"").status, 200);
    let form = vec![("state".to_owned(), "x".repeat(70 * 1024))];
    assert_eq!(browser.post("/.midgate/callback", &form, true).status, 413);
}

#[test]
fn a_person_who_may_not_enter_is_told_in_their_own_form() {
    let mut browser = Browser::signed_in(&shared().gateway, "/echo");
    let page = browser.open("/staff/x");
    assert_eq!(page.status, 403);
    assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
    let answer = browser.fetch("/staff/x");
    assert_eq!((answer.status, answer.json()["reason"].as_str()), (403, Some("claim-not-met")));
}

#[test]
fn own_pages_are_strict_about_everything() {
    let mut browser = Browser::signed_in(&shared().gateway, "/echo");
    for target in ["/.midgate/session", "/.midgate/logout", "/.midgate/logged-out", "/staff/x"] {
        let answer = browser.open(target);
        let policy = answer.header("content-security-policy").unwrap_or_default().to_owned();
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert!(!answer.text().contains("<script"));
    }
}

#[test]
fn pages_speak_four_languages() {
    for (language, tag) in
        [("de-CH,de;q=0.9", "de"), ("fr", "fr"), ("it-CH", "it"), ("en", "en"), ("rm", "en")]
    {
        let headers = format!("{NAVIGATION}Accept-Language: {language}\r\n");
        let answer = Browser::new(&shared().gateway).ask("GET", "/.midgate/logged-out", &headers, b"");
        assert_eq!((answer.status, answer.header("content-language")), (200, Some(tag)));
        assert!(answer.text().contains(&format!("<html lang=\"{tag}\"")), "{}", answer.text());
    }
}
