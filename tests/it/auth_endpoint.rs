//! The authorization endpoint, asked as nginx, Traefik, Caddy and Envoy ask; Envoy and Traefik themselves: tests/real.

use url::Url;

use crate::rig::browser::NAVIGATION;
use crate::rig::{Answer, Browser, Plain, Shared, plain, shared};

const PROGRAM: &str = "Accept: application/json\r\n";

/// How the described request is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Nginx,
    Traefik,
    Envoy,
}
use Told::{Envoy, Nginx, Traefik};

/// A gateway whose tests are its trusted proxies.
fn trusting() -> &'static Plain {
    static SETTING: Shared = Shared::new();
    SETTING.get(|| {
        plain(
            "",
            "acr_values = \"low\"\nacr_ladder = [[\"low\"], [\"high\"]]\n[provider.claims]\nname = \"name\"\ndocumentId = \"nowhere\"\n",
            r#"
            [listen]
            trusted_proxies = ["127.0.0.0/8"]
            [[route]]
            id = "root"
            [[route]]
            id = "public"
            path = "/public/"
            access = "public"
            [[route]]
            id = "open"
            path = "/open/"
            access = "optional"
            headers = { "X-Remote-User" = "{user_key}", "X-Auth-Name" = false }
            [[route]]
            id = "admin"
            path = "/admin/"
            require = { acr = "high" }
            [[route]]
            id = "staff"
            path = "/staff/"
            require = { claims = { groups = "nobody" } }
            [[route]]
            id = "read"
            path = "/read/"
            methods = ["GET"]
            access = "public"
            [[route]]
            id = "files"
            path = "/files/"
            allow_in_path = ["%2f"]
            access = "public"
            [[route]]
            id = "ws"
            path = "/ws/"
            websocket = true
            [[route]]
            id = "app"
            path = "/app/"
            upstream = "{up}"
            "#,
        )
    })
}

/// Asks about a request; `headers` are the visitor's.
fn ask(browser: &mut Browser, told: Told, method: &str, target: &str, headers: &str) -> Answer {
    let host = format!("localhost:{}", trusting().gateway.port);
    let own = std::mem::replace(&mut browser.host, "midgate.internal".into());
    let answer = match told {
        Nginx => {
            let told = format!("X-Original-URL: http://{host}{target}\r\nX-Original-Method: {method}\r\n");
            browser.ask("GET", "/.midgate/auth", &(told + headers), b"")
        }
        Traefik => {
            let told = format!(
                "X-Forwarded-Uri: {target}\r\nX-Forwarded-Method: {method}\r\nX-Forwarded-Host: {host}\r\nX-Forwarded-Proto: http\r\n"
            );
            browser.ask("GET", "/.midgate/auth", &(told + headers), b"")
        }
        Envoy => {
            browser.host = host;
            browser.ask(method, &format!("/.midgate/auth{target}"), headers, b"")
        }
    };
    browser.host = own;
    answer
}

fn nobody() -> Browser {
    Browser::new(&trusting().gateway)
}

fn somebody() -> Browser {
    let mut browser = nobody();
    assert_eq!(browser.sign_in("/app/echo").status, 303);
    browser
}

/// The query of a login address.
fn parameter(login: &str, name: &str) -> Option<String> {
    let url = Url::parse(login).unwrap_or_else(|_| panic!("{login} is absolute"));
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

#[test]
fn a_session_passes_with_its_identity_and_every_identity_header_is_named() {
    let mut browser = somebody();
    let key = browser.fetch("/.midgate/session").json()["user_key"].as_str().expect("a key").to_owned();
    let spoofed = "X-Auth-Document-Id: 1\r\nX-Auth-Acr: high\r\nX-Remote-User: root\r\n";
    for told in [Nginx, Traefik, Envoy] {
        let answer = ask(&mut browser, told, "GET", "/x?y", spoofed);
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{told:?} {answer:?}");
        for (name, value) in [
            ("X-Auth-User", key.as_str()),
            ("X-Auth-Acr", "low"),
            ("X-Auth-Provider", "op"),
            // A60: no claim, and a header of another route only.
            ("X-Auth-Document-Id", ""),
            ("X-Remote-User", ""),
            ("Cookie", ""),
        ] {
            assert_eq!(answer.all(name), [value], "{told:?} {name}");
        }
        let open = ask(&mut browser, told, "GET", "/open/x", "");
        assert_eq!((open.status, open.header("X-Remote-User")), (200, Some(key.as_str())));
        assert_eq!(open.all("X-Auth-Name"), [""], "{told:?}");
        let public = ask(&mut browser, told, "GET", "/public/x", spoofed);
        assert_eq!((public.status, public.all("X-Auth-User")), (200, vec![""]), "{told:?}");
    }
}

#[test]
fn the_applications_cookies_are_told_without_ours() {
    let mut browser = somebody();
    browser.cookies.insert("theme".into(), "dark".into());
    browser.cookies.insert("a".into(), "\"1\"".into());
    let answer = ask(&mut browser, Traefik, "GET", "/x", "");
    assert_eq!((answer.status, answer.all("cookie")), (200, vec!["a=\"1\"; theme=dark"]));
}

#[test]
fn nginx_is_told_where_to_sign_in_and_no_login_begins() {
    let origin = format!("http://localhost:{}", trusting().gateway.port);
    let answer = ask(&mut nobody(), Nginx, "GET", "/x?rd=/y&z", NAVIGATION);
    assert_eq!((answer.status, answer.all("set-cookie").len(), answer.header("location")), (401, 0, None));
    let login = answer.header("X-Midgate-Login").expect("a login").to_owned();
    assert!(login.starts_with(&format!("{origin}/.midgate/login?")), "{login}");
    assert_eq!(parameter(&login, "rd"), Some(format!("{origin}/x?rd=/y&z")));
    // The login that it names leads there, byte for byte.
    let mut browser = nobody();
    let back = browser.sign_in(login.strip_prefix(&origin).expect("own"));
    assert_eq!((back.status, back.location()), (303, "/x?rd=/y&z"));
    assert_eq!(ask(&mut browser, Nginx, "GET", "/x", NAVIGATION).status, 200);
    // Programs and forms go nowhere, and are told where a person could.
    for (method, headers) in [("GET", PROGRAM), ("POST", NAVIGATION)] {
        let answer = ask(&mut nobody(), Nginx, method, "/x", headers);
        assert_eq!((answer.status, answer.json()["error"].as_str()), (401, Some("login_required")));
        assert_eq!(answer.header("X-Midgate-Login"), Some(format!("{origin}/.midgate/login").as_str()));
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"midgate\""));
    }
}

#[test]
fn others_get_the_whole_answer_as_in_proxy_mode() {
    for told in [Traefik, Envoy] {
        let mut browser = nobody();
        let start = ask(&mut browser, told, "GET", "/x?y", NAVIGATION);
        assert_eq!(start.status, 302, "{start:?}");
        assert!(browser.cookies.keys().any(|name| name.starts_with("midgate-login-")));
        let callback = browser.visit_provider(start.location());
        let back = browser.deliver(&callback);
        assert_eq!((back.status, back.location()), (303, "/x?y"));
        assert_eq!(ask(&mut browser, told, "GET", "/x?y", NAVIGATION).status, 200);
        let program = ask(&mut nobody(), told, "GET", "/x", PROGRAM);
        assert_eq!((program.status, program.json()["error"].as_str()), (401, Some("login_required")));
        let form = ask(&mut nobody(), told, "POST", "/x", NAVIGATION);
        assert_eq!(form.status, 401);
        assert!(form.text().contains("<html"), "{form:?}");
    }
}

#[test]
fn a_level_that_is_not_reached_is_a_step_up_and_a_claim_is_403() {
    let mut browser = somebody();
    let answer = ask(&mut browser, Nginx, "GET", "/admin/x", NAVIGATION);
    assert_eq!((answer.status, answer.json()["acr_values"].as_str()), (401, Some("high")));
    let challenge = answer.header("www-authenticate").expect("a challenge");
    assert!(challenge.contains("insufficient_user_authentication"), "{challenge}");
    let login = answer.header("X-Midgate-Login").expect("a login");
    assert!(parameter(login, "rd").is_some_and(|rd| rd.ends_with("/admin/x")), "{login}");
    let start = ask(&mut browser, Traefik, "GET", "/admin/x", NAVIGATION);
    assert_eq!((start.status, parameter(start.location(), "acr_values").as_deref()), (302, Some("high")));
    let program = ask(&mut browser, Envoy, "GET", "/admin/x", PROGRAM);
    assert_eq!(program.json()["error"], "insufficient_user_authentication");
    for told in [Nginx, Traefik, Envoy] {
        let answer = ask(&mut browser, told, "GET", "/staff/x", PROGRAM);
        assert_eq!(
            (answer.status, answer.json()["reason"].as_str()),
            (403, Some("claim-not-met")),
            "{told:?}"
        );
    }
}

#[test]
fn a56_nobody_else_is_answered() {
    let mut browser = Browser::signed_in(&shared().gateway, "/echo");
    for lines in [
        format!("X-Original-URL: http://{}/staff/x\r\n", browser.host),
        "X-Forwarded-Uri: /public/x\r\n".to_owned(),
        String::new(),
    ] {
        for target in ["/.midgate/auth", "/.midgate/auth/public/x"] {
            let answer = browser.ask("GET", target, &(PROGRAM.to_owned() + &lines), b"");
            assert_eq!(
                (answer.status, answer.json()["reason"].as_str()),
                (403, Some("untrusted-peer")),
                "{lines}"
            );
            assert!(answer.header("X-Auth-User").is_none());
        }
    }
    browser.host = "midgate.internal".into();
    assert_eq!(browser.fetch("/.midgate/auth").status, 403);
}

#[test]
fn a57_what_is_no_description_is_refused() {
    let long = format!("http://localhost/{}", "a".repeat(70 * 1024));
    for (url, status, reason) in [
        ("http://localhost/%zz", 400, "bad-target"),
        ("http://localhost/x%00", 400, "ambiguous-path"),
        ("", 400, "bad-description"),
        ("//evil.test/x", 400, "bad-description"),
        ("https://localhost/x", 400, "bad-description"),
        ("http://evil.test/", 421, "unknown-host"),
        ("http://localhost/x#y", 400, "bad-target"),
        (&long, 431, "headers-too-large"),
    ] {
        let lines = format!("{PROGRAM}X-Original-URL: {url}\r\nX-Original-Method: GET\r\n");
        let answer = nobody().ask("GET", "/.midgate/auth", &lines, b"");
        assert_eq!((answer.status, answer.json()["reason"].as_str()), (status, Some(reason)), "{url:.80}");
    }
    let twice = "X-Original-URL: http://localhost/public/x\r\n".repeat(2);
    for lines in ["", &twice, "X_Original_URL: http://localhost/public/x\r\n"] {
        assert_eq!(nobody().ask("GET", "/.midgate/auth", lines, b"").status, 400, "{lines}");
    }
}

#[test]
fn a58_two_descriptions_are_none_and_odd_methods_open_nothing() {
    let both = "X-Original-URL: http://localhost/admin/x\r\nX-Forwarded-Uri: /public/x\r\n";
    assert_eq!(nobody().ask("GET", "/.midgate/auth", both, b"").status, 400);
    let two = "X-Original-URL: http://localhost/public/x\r\n";
    assert_eq!(nobody().ask("GET", "/.midgate/auth/public/x", two, b"").status, 400);
    for told in [Nginx, Traefik, Envoy] {
        for method in ["OPTIONS", "FOO"] {
            assert_eq!(
                ask(&mut nobody(), told, method, "/admin/x", PROGRAM).status,
                401,
                "{told:?} {method}"
            );
        }
        for method in ["get", "TRACE"] {
            let status = ask(&mut nobody(), told, method, "/public/x", PROGRAM).status;
            assert_eq!(status, if told == Nginx { 403 } else { 405 }, "{told:?} {method}");
        }
    }
}

#[test]
fn a59_no_odd_cookie_passes() {
    for value in ["", "%", "a", "%s%n%25s%x", &"A".repeat(8192), &"A".repeat(43)] {
        let mut browser = nobody();
        browser.cookies.insert("midgate".into(), value.into());
        for told in [Nginx, Traefik, Envoy] {
            assert_eq!(ask(&mut browser, told, "GET", "/x", PROGRAM).status, 401, "{value:.20}");
        }
    }
    let mut good = somebody();
    let line = format!("Cookie: midgate={}\r\n", good.cookies["midgate"]);
    assert_eq!(ask(&mut good, Nginx, "GET", "/x", &(PROGRAM.to_owned() + &line)).status, 401, "doubled");
}

#[test]
fn a_method_may_be_left_out_where_no_route_tells_methods_apart() {
    let origin = format!("http://localhost:{}", trusting().gateway.port);
    let about = |path: &str| {
        nobody().ask("POST", "/.midgate/auth", &format!("{PROGRAM}X-Original-URL: {origin}{path}\r\n"), b"")
    };
    assert_eq!(about("/public/x").status, 200);
    let answer = about("/read/x");
    assert_eq!((answer.status, answer.json()["reason"].as_str()), (403, Some("method-missing")));
    assert_eq!(ask(&mut nobody(), Nginx, "GET", "/read/x", PROGRAM).status, 200);
    for (told, status) in [(Nginx, 403), (Traefik, 405), (Envoy, 405)] {
        let answer = ask(&mut nobody(), told, "POST", "/read/x", PROGRAM);
        assert_eq!((answer.status, answer.json()["error"].as_str()), (status, Some("method_not_allowed")));
    }
}

#[test]
fn a1_to_a10_described_paths_are_read_as_on_the_wire() {
    for target in [
        "/public/../admin/x",
        "/public/./../admin/x",
        "/./admin/x",
        "/public/%2e%2e/admin/x",
        "/public/.%2e/admin/x",
        "/public/%252e%252e/admin/x",
        "/public/%c0%ae%c0%ae/admin/x",
        "/public/..%2fadmin/x",
        "/admin%2fx",
        "/admin%5Cx",
        "/admin\\x",
        "/public/..\\admin/x",
        "//admin/x",
        "/public//x",
        "//evil.test/admin/x",
        "/public/..;/admin/x",
        "/public/;/../admin",
        "/public/%00",
        "/%zz",
        "/%",
        "/a%0d%0ab",
        "/public/x#/../admin",
        "/files/..%2fadmin/x",
    ] {
        for told in [Nginx, Traefik, Envoy] {
            assert_eq!(ask(&mut nobody(), told, "GET", target, PROGRAM).status, 400, "{told:?} {target}");
        }
    }
    for target in [
        "/admin/x?/public/",
        "/admin/x?/../../public/y",
        "/admin/x%3F/public/",
        "/admin/x%23/public/",
        "/admin;a=b/x",
        "/admin",
        "/%61dmin/x",
        "/%41DMIN/x",
        "/publicx",
        "/PUBLIC/x",
        "/admin/..;/public/x",
    ] {
        for told in [Nginx, Traefik, Envoy] {
            let status = ask(&mut nobody(), told, "GET", target, PROGRAM).status;
            assert!([400, 401].contains(&status), "{told:?} {target} {status}");
        }
    }
    for target in ["/public/x", "/%70ublic/x", "/public", "/files/a%2fb"] {
        for told in [Nginx, Traefik, Envoy] {
            assert_eq!(ask(&mut nobody(), told, "GET", target, PROGRAM).status, 200, "{told:?} {target}");
        }
    }
}

#[test]
fn a12_a61_a65_hosts_health_checks_and_own_paths_are_nothing_special() {
    for host in ["evil.test", "localhost, evil.test", "localhost/admin", ""] {
        let lines = format!(
            "{PROGRAM}X-Forwarded-Uri: /public/x\r\nX-Forwarded-Host: {host}\r\nX-Forwarded-Proto: http\r\n"
        );
        let status = nobody().ask("GET", "/.midgate/auth", &lines, b"").status;
        assert_eq!(status, if host == "evil.test" { 421 } else { 400 }, "{host}");
    }
    for agent in ["GoogleHC/1.0", "kube-probe/1.30", "ELB-HealthChecker/2.0"] {
        assert_eq!(
            ask(&mut nobody(), Nginx, "GET", "/admin/x", &format!("User-Agent: {agent}\r\n")).status,
            401
        );
    }
    for own in ["/.midgate/session", "/.midgate/login", "/.midgate/callback", "/.midgate/auth", "/.midgate/x"]
    {
        for (told, status) in [(Nginx, 403), (Traefik, 404), (Envoy, 404)] {
            assert_eq!(ask(&mut somebody(), told, "GET", own, PROGRAM).status, status, "{told:?} {own}");
        }
    }
    for odd in
        ["/%2emidgate/auth", "/.midgate/%61uth/public/x", "/.midgate/auth;a/public/x", "/.midgate/authx"]
    {
        assert_eq!(nobody().fetch(odd).status, 404, "{odd}");
    }
}

#[test]
fn a_described_websocket_needs_the_routes_word_and_an_own_origin() {
    let mut browser = somebody();
    let own = format!("Origin: http://localhost:{}\r\n", trusting().gateway.port);
    let key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let upgrade = "Upgrade: WebSocket\r\n";
    for (target, lines, status, reason) in [
        ("/ws/x", format!("{key}{own}"), 200, ""),
        ("/ws/x", format!("{upgrade}{own}"), 200, ""),
        ("/ws/x", format!("{key}Origin: https://evil.test\r\n"), 403, "foreign-origin"),
        ("/ws/x", key.to_owned(), 403, "foreign-origin"),
        ("/x", format!("{key}{own}"), 403, "websocket-not-allowed"),
        ("/public/x", format!("{upgrade}{own}"), 403, "websocket-not-allowed"),
        ("/x", format!("Sec-Fetch-Mode: websocket\r\n{own}"), 403, "websocket-not-allowed"),
        ("/ws/x", format!("Upgrade: h2c\r\n{own}"), 403, "upgrade-not-allowed"),
    ] {
        for told in [Nginx, Traefik, Envoy] {
            let answer = ask(&mut browser, told, "GET", target, &(PROGRAM.to_owned() + &lines));
            assert_eq!(answer.status, status, "{told:?} {target} {lines}");
            if status != 200 {
                assert_eq!(answer.json()["reason"], reason, "{told:?} {target} {lines}");
            }
        }
    }
}

#[test]
fn a_route_without_an_upstream_is_404_in_proxy_mode() {
    let mut browser = somebody();
    assert_eq!(browser.fetch("/x").status, 404);
    assert_eq!(nobody().open("/admin/x").status, 404);
    assert_eq!(browser.fetch("/public/x").status, 404);
}

#[test]
fn a_session_that_is_asked_about_is_in_use_and_one_that_ended_is_not() {
    let mut browser = somebody();
    let before = browser.clone();
    assert_eq!(ask(&mut browser, Nginx, "GET", "/x", PROGRAM).status, 200);
    assert_eq!(browser.sign_out("/.midgate/logout").status, 200);
    for told in [Nginx, Traefik, Envoy] {
        assert_eq!(ask(&mut before.clone(), told, "GET", "/x", PROGRAM).status, 401, "{told:?}");
    }
}
