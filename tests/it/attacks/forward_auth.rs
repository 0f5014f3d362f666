//! Section 7: the authorization endpoint. It answers 2xx only for a session that meets the described route, and what it
//! cannot understand it refuses.

use super::stage::{ROUTES, Stage, cookie};
use crate::rig::{Answer, Browser};

/// A stage whose peer is a trusted proxy.
fn trusting() -> Stage {
    Stage::with("", &format!("{ROUTES}[listen]\ntrusted_proxies = [\"127.0.0.0/8\"]\n"))
}

/// One description, as lines that may hold any bytes.
fn ask(stage: &Stage, who: &Browser, lines: &[u8]) -> Answer {
    let head =
        format!("GET /.midgate/auth HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n{}", cookie(who));
    stage.raw([head.as_bytes(), lines, b"\r\n"].concat())
}

fn original(stage: &Stage, who: &Browser, url: impl AsRef<[u8]>) -> Answer {
    ask(stage, who, &[b"X-Original-URL: ", url.as_ref(), b"\r\nX-Original-Method: GET\r\n"].concat())
}

fn forwarded(stage: &Stage, who: &Browser, target: impl AsRef<[u8]>) -> Answer {
    let lines = "X-Forwarded-Host: app.test\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Uri: ";
    ask(stage, who, &[lines.as_bytes(), target.as_ref(), b"\r\n"].concat())
}

#[test]
fn a56_a_stranger_is_told_nothing() {
    let stage = Stage::new();
    let high = stage.high();
    for answer in [
        original(&stage, &high, "https://app.test/admin/x"),
        forwarded(&stage, &high, "/public/x"),
        original(&stage, &stage.none(), "https://app.test/public/x"),
    ] {
        assert!(matches!(answer.status, 400 | 401 | 403 | 404), "{answer:?}");
        assert!(answer.header("x-auth-user").is_none());
    }
    assert_eq!(stage.echo.count(), 0);
}

#[test]
fn a57_a_description_that_cannot_be_understood_is_refused() {
    let stage = trusting();
    let long = format!("https://app.test/{}", "x".repeat(70 * 1024));
    let (none, high) = (stage.none(), stage.high());
    for url in [
        &b"https://app.test/%zz"[..],
        b"https://app.test/\0",
        b"https://app.test/public/\x01",
        b"https://app.test/public/\xff\xfe",
        b"",
        b"//evil.test/x",
        b"/public/x",
        b"https://evil.test/",
        b"https://evil.test/public/x",
        b"https://app.test/public/x#/admin",
        b"https://app.test@evil.test/public/x",
        b"https://app.test\\@evil.test/public/x",
        b"ftp://app.test/public/x",
        b"https://app.test:99999/public/x",
        b"https:///public/x",
        b"https://app.test/public/x, https://app.test/public/x",
        long.as_bytes(),
    ] {
        for who in [&none, &high] {
            let answer = original(&stage, who, url);
            let what = url.get(..80).unwrap_or(url).escape_ascii().to_string();
            assert!(matches!(answer.status, 0 | 400 | 401 | 403 | 421 | 431), "{what}: {answer:?}");
        }
    }
    let url = "X-Original-URL: https://app.test/public/x\r\n";
    for lines in [
        "",
        "X-Original-Method: GET\r\n",
        &url.repeat(2),
        "X-Original-URL\r\n",
        "X-Forwarded-Uri: /public/x\r\n",
    ] {
        let answer = ask(&stage, &none, lines.as_bytes());
        assert!(matches!(answer.status, 400 | 401 | 403 | 421), "{lines}: {answer:?}");
    }
    // Any bytes: whatever they are, the gateway answers the next request.
    let mut state = 1_u64;
    for _ in 0..200 {
        let bytes: Vec<u8> = (0..24)
            .map(|_| {
                state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                (state >> 56) as u8
            })
            .collect();
        let answer = original(&stage, &none, [b"https://app.test/", &bytes[..]].concat());
        assert!(!(200..300).contains(&answer.status), "{}", bytes.escape_ascii());
    }
    assert_eq!(original(&stage, &none, "https://app.test/public/x").status, 200, "it still answers");
    assert!(!stage.gateway.log().contains("panicked"));
}

#[test]
fn a58_of_two_descriptions_none_counts_and_no_method_is_harmless() {
    let stage = trusting();
    let none = stage.none();
    let both = "X-Original-URL: https://app.test/admin/x\r\nX-Original-Method: GET\r\nX-Forwarded-Uri: /public/x\r\n\
                X-Forwarded-Host: app.test\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Method: GET\r\n";
    assert_eq!(ask(&stage, &none, both.as_bytes()).status, 400);
    for method in ["OPTIONS", "FOO", "HEAD", "get", "TRACE", ""] {
        let lines = format!("X-Original-URL: https://app.test/admin/x\r\nX-Original-Method: {method}\r\n");
        let answer = ask(&stage, &none, lines.as_bytes());
        assert!(matches!(answer.status, 400 | 401 | 403 | 405), "{method}: {answer:?}");
        let lines = format!(
            "X-Forwarded-Uri: /admin/x\r\nX-Forwarded-Host: app.test\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Method: {method}\r\n"
        );
        let answer = ask(&stage, &none, lines.as_bytes());
        assert!(matches!(answer.status, 302 | 400 | 401 | 403 | 405), "{method}: {answer:?}");
    }
}

#[test]
fn a59_junk_is_no_session_there_either() {
    let stage = trusting();
    let low = stage.low();
    let good = low.cookies["__Host-midgate"].clone();
    for value in [
        String::new(),
        "=".into(),
        "A".repeat(8000),
        "A".repeat(43),
        format!("{good}A"),
        format!("x; __Host-midgate={good}"),
    ] {
        let mut junk = stage.none();
        junk.cookies.insert("__Host-midgate".into(), value.clone());
        assert_eq!(original(&stage, &junk, "https://app.test/x").status, 401, "{value:.60}");
    }
    let lines = b"X-Original-URL: https://app.test/x\r\nX-Original-Method: GET\r\nCookie: __Host-midgate=\xff\xfe\r\nX-Any: \xff\xfe\r\n";
    assert_eq!(ask(&stage, &stage.none(), lines).status, 401);
    assert_eq!(original(&stage, &low, "https://app.test/x").status, 200);
}

#[test]
fn a60_every_identity_header_is_named_whatever_the_client_sent() {
    let stage = trusting();
    let low = stage.low();
    let lines = "X-Original-URL: https://app.test/x\r\nX-Original-Method: GET\r\nX-Auth-Document-Id: 1\r\nX-Auth-Acr: loa-4\r\n";
    let answer = ask(&stage, &low, lines.as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.all("x-auth-acr"), ["loa-2"]);
    // An empty value may be written with or without the blank after its colon.
    assert!(answer.all("x-auth-document-id").iter().all(|value| value.is_empty()), "{answer:?}");
}

#[test]
fn a60_a_described_path_is_read_like_one_on_the_wire() {
    let stage = trusting();
    let (none, low, high) = (stage.none(), stage.low(), stage.high());
    for target in [
        "/public/../admin/x",
        "/./admin/x",
        "/public/%2e%2e/admin/x",
        "/public/%252e%252e/admin/x",
        "/public/..%2fadmin/x",
        "/admin%2fx",
        "/admin\\x",
        "//admin/x",
        "/public//x",
        "/public/..;/admin/x",
        "/admin%00/x",
        "/%zz",
    ] {
        for who in [&none, &high] {
            assert_eq!(original(&stage, who, format!("https://app.test{target}")).status, 400, "{target}");
            assert_eq!(forwarded(&stage, who, target).status, 400, "{target}");
        }
    }
    for target in [
        "/%61dmin/x",
        "/admin;a=b/x",
        "/admin",
        "/admin/x?/public/",
        "/admin/x%3F/public/",
        "/admin/x%23/public/",
    ] {
        let url = format!("https://app.test{target}");
        for (who, status) in [(&none, 401), (&low, 401), (&high, 200)] {
            assert_eq!(original(&stage, who, &url).status, status, "{target}");
        }
        assert_eq!(forwarded(&stage, &high, target).status, 200, "{target}");
    }
    for (host, status) in [("APP.TEST", 200), ("app.test.", 200), ("evil.test", 421), ("", 400)] {
        let answer = original(&stage, &none, format!("https://{host}/public/x"));
        assert!(answer.status == status || (status == 200 && answer.status == 421), "{host}: {answer:?}");
    }
}
