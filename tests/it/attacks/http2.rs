//! Rows that read otherwise over HTTP/2 (RFC 9113).

use super::spellings::SPELLINGS;
use super::stage::{ROUTES, Stage};
use crate::rig::browser::Echo;
use crate::rig::http2::{Http2, NONE};
use crate::rig::{Answer, Browser};

fn stage() -> Stage {
    Stage::with("", &format!("{ROUTES}[listen]\nh2c = true\n"))
}

fn session(who: &Browser) -> String {
    let pairs: Vec<String> = who.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("; ")
}

/// A path as it is, on a connection of its own.
fn get(stage: &Stage, who: &Browser, path: &[u8], more: &[(&str, &str)]) -> Answer {
    let cookie = session(who);
    let mut fields: Vec<(&str, &[u8])> =
        vec![(":method", b"GET"), (":scheme", b"https"), (":authority", b"app.test"), (":path", path)];
    if !cookie.is_empty() {
        fields.push(("cookie", cookie.as_bytes()));
    }
    fields.extend(more.iter().map(|(name, value)| (*name, value.as_bytes())));
    Http2::connect(stage.gateway.port).request(&fields, b"", NONE)
}

/// A stream error, or 400; the application saw nothing.
fn refused(stage: &Stage, what: &str, answer: &Answer) {
    assert!(matches!(answer.status, 0 | 400), "{what}: {answer:?}");
    assert_eq!(stage.echo.count(), 0, "{what} arrived");
}

#[test]
fn a1_to_a8_an_ambiguous_path_is_no_better_over_http2() {
    let stage = stage();
    let (none, high) = (stage.none(), stage.high());
    for path in [
        &b"/public/../admin/x"[..],
        b"/./admin/x",
        b"/public/%2e%2e/admin/x",
        b"/public/%252e%252e/admin/x",
        b"/public/%c0%ae%c0%ae/admin/x",
        b"/public/..%2fadmin/x",
        b"/admin%2fx",
        b"/admin\\x",
        b"//admin/x",
        b"/public//x",
        b"/public/..;/admin/x",
        b"/public/;/../admin",
        b"/admin%00/x",
        b"/%zz",
        b"/public/\x01",
        b"/public/\xff",
    ] {
        for who in [&none, &high] {
            refused(&stage, &path.escape_ascii().to_string(), &get(&stage, who, path, &[]));
        }
    }
    for (path, status) in
        [("/%61dmin/x", 401), ("/admin;x=1", 401), ("/admin/x?/public/", 401), ("/PUBLIC/x", 401)]
    {
        assert_eq!(get(&stage, &none, path.as_bytes(), &[]).status, status, "{path}");
    }
    assert_eq!(Echo(get(&stage, &none, b"/%70ublic/x?a=%2f", &[]).json()).target(), "/%70ublic/x?a=%2f");
}

#[test]
fn a14_no_spelling_arrives_over_http2() {
    let stage = stage();
    let low = stage.low();
    for name in SPELLINGS {
        let name = name.to_ascii_lowercase();
        let answer = get(&stage, &low, b"/x", &[(&name, "mallory"), (&name, "mallory")]);
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
        let echo = Echo(answer.json());
        assert!(!echo.0.to_string().contains("mallory"), "{name}");
        assert_eq!(echo.one("X-Auth-Acr"), "loa-2", "{name}");
    }
}

#[test]
fn a18_a_field_of_a_connection_is_refused_over_http2() {
    let stage = stage();
    let none = stage.none();
    for (name, value) in [
        ("connection", "x-auth-acr"),
        ("keep-alive", "5"),
        ("upgrade", "h2c"),
        ("proxy-connection", "close"),
        ("te", "gzip"),
    ] {
        refused(&stage, name, &get(&stage, &none, b"/public/x", &[(name, value)]));
    }
}

#[test]
fn a19_a_trailer_is_no_header_over_http2() {
    let stage = stage();
    let low = stage.low();
    let cookie = session(&low);
    let fields = [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "app.test"),
        (":path", "/x"),
        ("cookie", &*cookie),
    ];
    for name in ["x-auth-acr", "x_auth_acr", "cookie"] {
        let answer = Http2::connect(stage.gateway.port).request(&fields, b"hello", &[(name, "mallory")]);
        if answer.status != 200 {
            assert!(matches!(answer.status, 0 | 400), "{name}: {answer:?}");
            continue;
        }
        let echo = Echo(answer.json());
        assert!(!echo.0["headers"].to_string().contains("mallory"), "{name}: {}", echo.0);
        // Trailers that go along (gRPC needs them) hold nothing that could be read as one of ours.
        assert!(!echo.0["trailers"].to_string().contains("mallory"), "{name}: {}", echo.0);
        assert_eq!(echo.one("X-Auth-Acr"), "loa-2");
    }
}

#[test]
fn a105_fields_with_two_readings_are_refused_over_http2() {
    let stage = stage();
    let none = stage.none();
    for path in
        [&b"/public/x y"[..], b"/public/x\r\nX-Auth-Acr: loa-4", b"/public/x\n", b"", b"public/x", b"*"]
    {
        refused(&stage, &path.escape_ascii().to_string(), &get(&stage, &none, path, &[]));
    }
    for (name, value) in [
        ("x-any", "a\r\nx-auth-acr: loa-4"),
        ("x-any", "a\nb"),
        ("x-any", "a\0b"),
        ("x-any\r\nx-auth-acr", "a"),
        ("X-Upper", "a"),
        ("x any", "a"),
        ("transfer-encoding", "chunked"),
        ("host", "evil.test"),
        (":path", "/admin/x"),
        (":authority", "evil.test"),
        ("content-length", "5"),
    ] {
        refused(
            &stage,
            &format!("{name}: {value}").escape_debug().to_string(),
            &get(&stage, &none, b"/public/x", &[(name, value)]),
        );
    }
    for (length, body) in [("3", &b"hello"[..]), ("9", b"hello"), ("5, 5", b"hello"), ("+5", b"hello")] {
        let fields = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", "app.test"),
            (":path", "/public/x"),
            ("content-length", length),
        ];
        let answer = Http2::connect(stage.gateway.port).request(&fields, body, NONE);
        assert!(matches!(answer.status, 0 | 400 | 502), "{length}: {answer:?}");
        let whole: Vec<_> = stage.echo.all().into_iter().filter(|seen| !seen.body.is_empty()).collect();
        assert!(whole.is_empty(), "{length}: {whole:?}");
    }
}

#[test]
fn a55_the_scheme_of_http2_is_not_the_clients_to_say() {
    let stage = stage();
    for scheme in ["HtTpS", "http", "https", "ftp"] {
        let fields =
            [(":method", "GET"), (":scheme", scheme), (":authority", "app.test"), (":path", "/public/x")];
        let answer = Http2::connect(stage.gateway.port).request(&fields, b"", NONE);
        if answer.status == 200 {
            assert_eq!(Echo(answer.json()).one("X-Forwarded-Proto"), "https", "{scheme}");
        } else {
            assert!(matches!(answer.status, 0 | 400), "{scheme}: {answer:?}");
        }
    }
}
