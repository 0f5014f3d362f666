//! Routing and return targets as tables.

use proptest::prelude::*;
use url::Url;

use super::*;
use crate::upstream::{Balance, HostHeader, Timeouts, Upstream};

fn route(index: usize, host: &str, path: &str, methods: &[&str], allow: Quirks) -> Arc<Route> {
    Arc::new(Route {
        id: path.into(),
        index,
        host: match host.strip_prefix('*') {
            Some(suffix) => HostPattern::Suffix(suffix.to_owned()),
            None => HostPattern::Exact(host.to_owned()),
        },
        path: if path.ends_with('/') {
            PathPattern::Prefix(path.into())
        } else {
            PathPattern::Exact(path.into())
        },
        methods: methods.iter().map(|m| Method::from_bytes(m.as_bytes()).unwrap()).collect(),
        upstream: Arc::new(Upstream {
            id: "u".into(),
            servers: Vec::new(),
            balance: Balance::RoundRobin,
            health_check: None,
            timeouts: Timeouts::default(),
            host_header: HostHeader::Keep,
        }),
        access: Access::Required,
        requirement: Arc::default(),
        fields: Arc::default(),
        bearer: Vec::new(),
        websocket: false,
        strip_prefix: false,
        allow_in_path: allow,
        logout: Vec::new(),
        dtbd: None,
        audience: None,
    })
}

fn table() -> Table {
    let endpoints = Endpoints {
        prefix: "/.midgate".into(),
        callback: "/.midgate/callback".into(),
        logged_out: "/.midgate/logged-out".into(),
    };
    let none = Quirks::default();
    let routes = [
        route(0, "app.test", "/", &[], none),
        route(1, "app.test", "/admin/", &["GET", "POST"], none),
        route(2, "app.test", "/admin/", &["DELETE"], none),
        route(3, "app.test", "/admin/x", &[], none),
        route(4, "app.test", "/files/", &[], Quirks::ENCODED_SLASH.and(Quirks::DOUBLE_SLASH)),
        route(5, "app.test", "/files/secret/", &[], none),
        route(6, "*.app.test", "/", &[], none),
        route(7, "b.app.test", "/only", &[], none),
    ];
    Table::new(endpoints, origins(), routes)
}

fn origins() -> Origins {
    let hosts = vec!["app.test".to_owned(), "b.app.test".to_owned()];
    Origins::new(Url::parse("https://app.test").unwrap(), hosts, vec![".app.test".to_owned()])
}

fn found(host: &str, path: &str, method: &str) -> String {
    let table = table();
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    match table.find(host, &Path::read(path).unwrap(), &method) {
        Found::Route(route) => route.index.to_string(),
        Found::Own(own) => format!("{own:?}"),
        Found::Nothing => "404".into(),
        Found::MethodNotAllowed(allow) => format!("405 {allow}"),
        Found::UnknownHost => "421".into(),
        Found::Ambiguous => "400".into(),
    }
}

#[test]
fn the_longest_path_wins_then_the_method() {
    for (host, path, method, expected) in [
        ("app.test", "/", "GET", "0"),
        ("app.test", "/x", "GET", "0"),
        ("app.test", "/admin", "GET", "1"),
        ("app.test", "/admin/y", "HEAD", "1"),
        ("app.test", "/admin/y", "DELETE", "2"),
        ("app.test", "/admin/y", "PUT", "405 DELETE, GET, HEAD, POST"),
        ("app.test", "/admin/x", "PUT", "3"),
        ("app.test", "/adminx", "PUT", "0"),
        ("app.test", "/ADMIN/y", "PUT", "0"),
        ("app.test", "/%61dmin/y", "GET", "1"),
        ("app.test", "/admin;x=1", "GET", "1"),
        ("b.app.test", "/only", "GET", "7"),
        ("b.app.test", "/else", "GET", "404"),
        ("c.app.test", "/else", "GET", "6"),
        ("d.c.app.test", "/else", "GET", "6"),
        (".app.test", "/else", "GET", "421"),
        ("badapp.test", "/", "GET", "421"),
        ("evil.test", "/.midgate/login", "GET", "421"),
    ] {
        assert_eq!(found(host, path, method), expected, "{method} {host}{path}");
    }
}

#[test]
fn own_paths_come_right_after_the_host() {
    for (path, expected) in [
        ("/.midgate/login", "Login"),
        ("/.midgate/callback", "Callback"),
        ("/.midgate/logged-out", "LoggedOut"),
        ("/.midgate/logout", "Logout"),
        ("/.midgate/logout/backchannel", "BackchannelLogout"),
        ("/.midgate/logout/frontchannel", "FrontchannelLogout"),
        ("/.midgate/logout/", "Unknown"),
        ("/.midgate/logout/x", "Unknown"),
        ("/.midgate/session", "Session"),
        ("/.midgate", "Unknown"),
        ("/.midgate/", "Unknown"),
        ("/.midgate/x", "Unknown"),
        // In this spelling it is answered with 404.
        ("/%2emidgate/auth", "Auth"),
        ("/.midgate%2fauth", "400"),
        ("/.midgatex", "0"),
    ] {
        assert_eq!(found("app.test", path, "GET"), expected, "{path}");
    }
}

#[test]
fn a_quirk_passes_only_where_strict_and_lenient_readers_agree() {
    for (path, expected) in [
        ("/files/a%2fb", "4"),
        ("/files//b", "4"),
        ("/files//secret/b", "400"),
        ("/files/secret%2fb", "400"),
        ("/files%2fb", "400"),
        ("//files/b", "400"),
        ("/files/a%2f..%2fb", "400"),
        ("/files/a%5cb", "400"),
        ("/x//y", "400"),
        ("//evil.test/x", "400"),
    ] {
        assert_eq!(found("app.test", path, "GET"), expected, "{path}");
    }
}

#[test]
fn return_targets_stay_at_home() {
    let origins = origins();
    for (target, expected) in [
        ("/x?y=1#z", Some("/x?y=1#z")),
        ("x", Some("/x")),
        ("", Some("/")),
        ("https://app.test/x", Some("/x")),
        ("https://b.app.test/x", Some("https://b.app.test/x")),
        ("https://c.app.test/x", Some("https://c.app.test/x")),
        ("/%5Cevil.test", Some("/%5Cevil.test")),
        ("//evil.test/x", None),
        ("///evil.test", None),
        ("/\\evil.test", None),
        ("\\\\evil.test", None),
        ("/\t/evil.test", None),
        ("https:evil.test", Some("/evil.test")),
        ("https:///evil.test", None),
        ("javascript:alert(1)", None),
        ("data:text/html,x", None),
        ("https://app.test@evil.test", None),
        ("https://evil.test\\.app.test", None),
        ("https://evil.test#.app.test", None),
        ("https://badapp.test/", None),
        ("https://app.test.evil.test/", None),
        ("https://app.test:8443/", None),
        ("http://app.test/", None),
        ("https://user@app.test/", None),
        ("https://evil\u{3002}test/", None),
        ("https:\u{ff0f}\u{ff0f}evil.test", Some("/%EF%BC%8F%EF%BC%8Fevil.test")),
        ("/.//evil.test", None),
    ] {
        assert_eq!(origins.read_target("app.test", target).as_deref(), expected, "{target:?}");
    }
}

#[test]
fn a_long_target_loses_its_query_then_itself() {
    let origins = origins();
    let long = "a".repeat(2100);
    assert_eq!(origins.page_target("app.test", &format!("/x?{long}")), "/x");
    assert_eq!(origins.page_target("app.test", &format!("/{long}")), "/");
    assert_eq!(origins.read_target("app.test", &format!("/x?{long}")).as_deref(), Some("/x"));
    assert_eq!(origins.page_target("app.test", "//evil.test"), "https://app.test//evil.test");
}

#[test]
fn only_own_origins_are_own() {
    let origins = origins();
    for (origin, own) in [
        ("https://app.test", true),
        ("https://c.app.test", true),
        ("https://app.test/", false),
        ("http://app.test", false),
        ("https://app.test:444", false),
        ("null", false),
        ("", false),
    ] {
        assert_eq!(origins.is_own_origin(origin), own, "{origin}");
    }
}

proptest! {
    #[test]
    fn a31_every_accepted_target_resolves_to_an_own_origin(
        start in r"(/|\\|\.|\.\.|\t|\n|\r|\x0b|\x0c| |\u{a0}|%2f|%5c|@|:|\?|#|https:|//){0,5}"
    ) {
        let origins = origins();
        if let Some(target) = origins.read_target("app.test", &format!("{start}evil.test")) {
            let url = Url::parse("https://app.test").unwrap().join(&target).unwrap();
            prop_assert!(origins.is_own(&url), "{target}");
        }
    }
}

#[test]
fn the_authorization_endpoint_is_found_by_whatever_host_and_keeps_what_stands_below() {
    for (host, path, expected) in [
        ("app.test", "/.midgate/auth", "Auth"),
        ("app.test", "/.midgate/auth/", "Auth"),
        ("app.test", "/.midgate/auth/x%2fy", "Auth"),
        ("app.test", "/.midgate/auth//x", "Auth"),
        ("midgate.internal", "/.midgate/auth", "Auth"),
        ("midgate.internal", "/.midgate/auth/x", "Auth"),
        ("midgate.internal", "/.midgate/session", "421"),
        ("app.test", "/.midgate/authx", "Unknown"),
        ("app.test", "/.midgate%2fauth", "400"),
        ("app.test", "/.midgate//auth", "400"),
    ] {
        assert_eq!(found(host, path, "GET"), expected, "{host} {path}");
    }
}

#[test]
fn a_method_may_be_left_out_only_where_none_is_named() {
    let table = table();
    let apart = |host: &str, path: &str| table.tells_methods_apart(host, &Path::read(path).unwrap());
    assert!(apart("app.test", "/admin/y") && apart("app.test", "/admin") && apart("app.test", "/%61dmin/y"));
    assert!(!apart("app.test", "/admin/x") && !apart("app.test", "/y"));
    assert!(!apart("b.app.test", "/y") && !apart("evil.test", "/admin/y"));
}
