//! Section 6: forwarded headers and trust. For a stranger, method, target, Host, Cookie and Authorization decide alone.

use super::stage::{ROUTES, Stage};
use crate::rig::browser::NAVIGATION;
use crate::rig::until;

/// Everything that describes another client or another request, with a value that would matter.
const LINES: [&str; 22] = [
    "X-Forwarded-For: 127.0.0.1",
    "X-Forwarded-For: 127.0.0.9, 10.1.2.3",
    "X-Forwarded-For: not-an-ip",
    "X_Forwarded_For: 127.0.0.9",
    "X-Real-IP: 10.0.0.1",
    "X-Client-IP: 10.0.0.1",
    "True-Client-IP: 10.0.0.1",
    "X-Cluster-Client-IP: 10.0.0.1",
    "Forwarded: for=10.1.2.3;host=evil.test",
    "CF-Connecting-IP: 10.1.2.3",
    "X-Envoy-External-Address: 10.1.2.3",
    "X_Forwarded_Proto: http",
    "X-Forwarded-Proto: http",
    "X-Forwarded-Port: 1",
    "X-Forwarded-Prefix: /public",
    "X-Forwarded-Host: evil.test",
    "X-Forwarded-Server: evil.test",
    "X-Forwarded-Client-Cert: Subject=\"CN=admin\"",
    "X-Forwarded-User: mallory",
    "X-HTTP-Method-Override: GET",
    "User-Agent: kube-probe/1.30",
    "X-Midgate-Route: public",
];

#[test]
fn a52_what_a_stranger_says_of_the_client_changes_nothing() {
    let stage = Stage::new();
    let (none, low) = (stage.none(), stage.low());
    for line in LINES {
        let lines = format!("{line}\r\n");
        for (target, status) in [("/x", 401), ("/admin/x", 401)] {
            assert_eq!(stage.get(&none, target, &lines).status, status, "{line} on {target}");
        }
        assert_eq!(stage.get(&low, "/admin/x", &lines).status, 401, "{line}");
        for (who, target) in [(&none, "/public/x"), (&low, "/x")] {
            let echo = stage.seen(who, target, &lines);
            let (name, value) = line.split_once(": ").expect("a line");
            if !matches!(name, "User-Agent" | "X-HTTP-Method-Override" | "X-Forwarded-For") {
                assert!(!echo.all(name).contains(&value.to_owned()), "{line} in {}", echo.0);
            }
            assert_eq!(echo.one("X-Forwarded-For"), "127.0.0.1", "{line}");
            assert_eq!(echo.one("X-Forwarded-Proto"), "https", "{line}");
            assert_eq!(echo.one("X-Forwarded-Host"), "app.test", "{line}");
        }
    }
    stage.get(&none, "/public/logged", "X-Forwarded-For: 203.0.113.9\r\nX-Real-IP: 203.0.113.9\r\n");
    until("the event is written", || stage.gateway.log().contains("/public/logged"));
    assert!(!stage.gateway.log().contains("203.0.113.9"), "the logged client is the peer");
}

#[test]
fn a53_behind_a_trusted_proxy_the_client_is_counted_from_the_right() {
    let trusted = "[listen]\ntrusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]\n";
    let stage = Stage::with("", &format!("{ROUTES}{trusted}"));
    let none = stage.none();
    for (n, (lines, client)) in [
        ("X-Forwarded-For: 203.0.113.9, 10.1.2.3\r\n", "203.0.113.9"),
        ("X-Forwarded-For: 198.51.100.1, 203.0.113.9, 10.1.2.3\r\n", "203.0.113.9"),
        (
            "X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 10.1.2.3\r\n",
            "203.0.113.9",
        ),
        ("X-Forwarded-For: 10.9.9.9, 203.0.113.9\r\n", "203.0.113.9"),
        ("X-Forwarded-For: junk, 203.0.113.9, 10.1.2.3\r\n", "203.0.113.9"),
        // What cannot be read is not to be believed, and nothing left of it either: the peer it is.
        ("X-Forwarded-For: 203.0.113.9, junk\r\n", "127.0.0.1"),
        ("X-Forwarded-For: 203.0.113.9, junk, 10.1.2.3\r\n", "127.0.0.1"),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("row-a53-request-{n}");
        assert_eq!(stage.get(&none, "/public/x", &format!("{lines}X-Request-Id: {id}\r\n")).status, 200);
        let mut event = None;
        until("the event is written", || {
            let log = stage.gateway.log();
            event = log.lines().find(|line| line.contains(&id)).map(str::to_owned);
            event.is_some()
        });
        let event: serde_json::Value = serde_json::from_str(&event.expect("an event")).expect("JSON");
        assert_eq!(event["client.address"], client, "{lines}: {event}");
    }
}

#[test]
fn a54_no_header_is_the_path_or_the_method() {
    let trusted = "[listen]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";
    for tables in [ROUTES.to_owned(), format!("{ROUTES}{trusted}")] {
        let stage = Stage::with("", &tables);
        let (none, low, high) = (stage.none(), stage.low(), stage.high());
        for name in [
            "X-Forwarded-Uri",
            "X-Original-URL",
            "X-Original-URI",
            "X-Rewrite-URL",
            "X-Forwarded-Path",
            "X-Original-Path",
            "X_Original_URL",
            "X-Forwarded-Method",
            "X-Original-Method",
        ] {
            let value = if name.ends_with("Method") { "OPTIONS" } else { "/public/x" };
            let line = format!("{name}: {value}\r\n");
            assert_eq!(stage.get(&none, "/admin/x", &line).status, 401, "{line}");
            assert_eq!(stage.get(&low, "/admin/x", &line).status, 401, "{line}");
            let echo = stage.seen(&high, "/admin/x", &line);
            assert!(echo.all(name).is_empty(), "{line} in {}", echo.0);
            assert_eq!((echo.target(), echo.0["method"].as_str()), ("/admin/x", Some("GET")));
        }
    }
}

#[test]
fn a55_the_scheme_is_our_own_and_so_is_our_family_of_names() {
    let stage = Stage::new();
    let none = stage.none();
    for line in
        ["X-Forwarded-Proto: http", "X-Forwarded-Ssl: off", "Forwarded: proto=http", "X-Url-Scheme: http"]
    {
        let start = stage.none().ask("GET", "/x", &format!("{NAVIGATION}{line}\r\n"), b"");
        let cookies = start.all("set-cookie");
        assert!(
            !cookies.is_empty() && cookies.iter().all(|cookie| cookie.contains("Secure")),
            "{line}: {cookies:?}"
        );
        assert!(start.location().contains("https%3A%2F%2Fapp.test"), "{start:?}");
        assert_eq!(
            stage.seen(&none, "/public/x", &format!("{line}\r\n")).one("X-Forwarded-Proto"),
            "https",
            "{line}"
        );
    }
    let echo =
        stage.seen(&none, "/public/x", "X-Midgate-Route: public\r\nX_Midgate_User: a\r\nx.midgate.x: a\r\n");
    assert!(!echo.0["headers"].to_string().to_lowercase().contains("midgate"), "{}", echo.0);
}
