//! The view of a request as tables.

use http::Request;

use super::*;

mod random;

fn path(raw: &str) -> Result<(String, bool), Malformed> {
    Path::read(raw).map(|path| (path.matched.into_owned(), path.quirks.is_none()))
}

#[test]
fn ambiguous_paths_are_refused() {
    for raw in [
        "/public/../admin/x",
        "/public/./../admin/x",
        "/./admin/x",
        "/public/%2e%2e/admin/x",
        "/public/.%2E/admin/x",
        "/public/%252e%252e/admin/x",
        "/public/%c0%ae%c0%ae/admin/x",
        "/admin\\x",
        "/public/..;/admin/x",
        "/admin/..;/public/x",
        "/public/;/../admin",
        "/public/;/admin",
        "/public/..%3b/admin",
        "/public/%3b/admin",
        "/admin%00/x",
        "/a%0d%0ab",
        "/%zz",
        "/%",
        "/%2",
        "/a b",
        "/a\u{1}",
        "/é",
        "admin/x",
        "*",
        "",
        "/x#y",
        "/%e0%80%ae",
        "/a;x=%2f/b",
        "/files/x;a%2f..%2f..%2fadmin/y",
        "/files/x;a%5c..",
    ] {
        assert!(path(raw).is_err(), "{raw}");
    }
}

#[test]
fn quirks_are_left_to_the_route() {
    for raw in ["//admin/x", "/public//x", "/admin%2fx", "/admin%5Cx"] {
        assert!(!path(raw).unwrap().1, "{raw}");
    }
}

#[test]
fn a_path_is_matched_decoded_and_without_parameters() {
    for (raw, matched) in [
        ("/", "/"),
        ("/%61dmin/x", "/admin/x"),
        ("/%41DMIN/x", "/ADMIN/x"),
        ("/admin;a=b/x", "/admin/x"),
        ("/admin;x=1", "/admin"),
        ("/admin/x%3F/public/", "/admin/x%3F/public/"),
        ("/admin/x%23/public/", "/admin/x%23/public/"),
        ("/caf%c3%a9/%7ejo", "/caf%C3%A9/~jo"),
        ("/a%2520b", "/a%2520b"),
        ("/...", "/..."),
        ("/%2emidgate/auth", "/.midgate/auth"),
    ] {
        assert_eq!(path(raw), Ok((matched.to_owned(), true)), "{raw}");
    }
}

#[test]
fn hosts_are_read_strictly() {
    for (text, host) in [
        ("app.test", Some("app.test")),
        ("APP.TEST:443", Some("app.test")),
        ("app.test.", Some("app.test")),
        ("[::1]:8080", Some("[::1]")),
        ("127.0.0.1:80", Some("127.0.0.1")),
        ("", None),
        (":80", None),
        ("app.test, evil.test", None),
        ("app.test/admin", None),
        ("user@app.test", None),
        ("app.test:80x", None),
        ("app.test:99999", None),
        ("app.test:", Some("app.test")),
        ("app..test", None),
        ("[::1", None),
    ] {
        assert_eq!(host_of(text).as_deref(), host, "{text}");
    }
}

fn head(lines: &[(&str, &str)]) -> http::request::Parts {
    let mut request = Request::builder().method("POST").uri("/x");
    for (name, value) in lines {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

#[test]
fn framing_with_two_readings_is_refused() {
    for (lines, expected) in [
        (&[("host", "a"), ("content-length", "5")][..], Ok(())),
        (&[("host", "a"), ("transfer-encoding", "Chunked")], Ok(())),
        (&[("host", "a"), ("content-length", "5"), ("content-length", "5")], Err(Malformed::Framing)),
        (&[("host", "a"), ("content-length", "5, 5")], Err(Malformed::Framing)),
        (&[("host", "a"), ("content-length", "+5")], Err(Malformed::Framing)),
        (&[("host", "a"), ("content-length", "99999999999999999999")], Err(Malformed::Framing)),
        (&[("host", "a"), ("transfer-encoding", "gzip, chunked")], Err(Malformed::Framing)),
        (
            &[("host", "a"), ("transfer-encoding", "chunked"), ("content-length", "5")],
            Err(Malformed::Framing),
        ),
        (&[("host", "a"), ("host", "a")], Err(Malformed::DoubledHeader)),
        (&[("host", "a"), ("authorization", "x"), ("authorization", "x")], Err(Malformed::DoubledHeader)),
        (&[], Err(Malformed::Host)),
    ] {
        assert_eq!(read(&head(lines), b"/x").map(|_| ()), expected, "{lines:?}");
    }
}

#[test]
fn methods_are_upper_case_and_never_trace() {
    for (method, good) in
        [("GET", true), ("PROPFIND", true), ("get", false), ("TRACE", false), ("CONNECT", false)]
    {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        assert_eq!(check_method(&method).is_ok(), good, "{method}");
    }
}

#[test]
fn the_raw_head_tells_what_a_parser_mends() {
    for (raw, target) in [
        ("GET /x?y HTTP/1.1\r\nHost: a\r\n\r\n", Some("/x?y")),
        ("\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n", Some("/x")),
        ("GET /x#y HTTP/1.1\r\nHost: a\r\n\r\n", None),
        ("GET /x HTTP/1.1\nHost: a\r\n\r\n", None),
        ("GET /x HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", None),
        ("GET /x y HTTP/1.1\r\nHost: a\r\n\r\n", None),
        ("GET /\u{1} HTTP/1.1\r\nHost: a\r\n\r\n", None),
        ("POST / HTTP/1.1\r\nContent-Length: 1\r\ntransfer-encoding: chunked\r\n\r\n", None),
        ("GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", None),
    ] {
        assert_eq!(
            check_raw(raw.as_bytes()).ok().map(|t| String::from_utf8_lossy(t).into_owned()).as_deref(),
            target
        );
    }
}

#[test]
fn callers_are_told_apart() {
    let nav = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    let html = [("accept", "text/html,application/xhtml+xml;q=0.9")];
    for (method, lines, kind) in [
        ("GET", &nav[..], Kind::Navigation),
        ("HEAD", &nav[..], Kind::Navigation),
        ("GET", &[nav[0], nav[1], ("sec-purpose", "prefetch;prerender")], Kind::Program),
        ("GET", &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")], Kind::Program),
        ("GET", &[("sec-fetch-mode", "cors"), ("accept", "text/html")], Kind::Program),
        ("GET", &html, Kind::Navigation),
        ("GET", &[("accept", "*/*")], Kind::Program),
        ("GET", &[], Kind::Program),
        ("POST", &[("sec-fetch-mode", "navigate")], Kind::PostedForm),
        ("POST", &html, Kind::PostedForm),
        ("POST", &[("sec-fetch-mode", "cors"), ("accept", "text/html")], Kind::Program),
        ("PUT", &html, Kind::Program),
    ] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        assert_eq!(Kind::of(&method, &head(lines).headers), kind, "{method} {lines:?}");
    }
}

#[test]
fn a_doubled_cookie_is_nobodys() {
    let cookies = |lines: &[&str]| {
        let pairs: Vec<_> = lines.iter().map(|line| ("cookie", *line)).collect();
        head(&pairs).headers
    };
    assert_eq!(find_cookie(&cookies(&["a=1; s=x; b"]), "s"), Found::One("x"));
    assert_eq!(find_cookie(&cookies(&["a=1", "s=x=y"]), "s"), Found::One("x=y"));
    assert_eq!(find_cookie(&cookies(&["s=x", "s=y"]), "s"), Found::Doubled);
    assert_eq!(find_cookie(&cookies(&[";;; =; s"]), "s"), Found::One(""));
    assert_eq!(find_cookie(&cookies(&["ss=1"]), "s"), Found::Missing);
}
