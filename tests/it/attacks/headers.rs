//! Section 2: spoofed headers and their aliases.

use serde_json::json;

use super::spellings::{SPELLINGS, all};
use super::stage::{ROUTES, Stage, cookie};
use crate::rig::browser::Echo;

/// No value of mallory's arrived, in any spelling.
fn is_clean(echo: &Echo) -> bool {
    !echo.0.to_string().contains("mallory")
}

#[test]
fn a14_no_spelling_of_an_identity_header_arrives_with_a_session() {
    for tables in [
        ROUTES.to_owned(),
        format!("{ROUTES}[headers]\n\"x-auth-ACR\" = \"{{acr}}\"\n\"X-Auth-User\" = \"{{user_key}}\"\n"),
    ] {
        let stage = Stage::with("", &tables);
        let low = stage.low();
        for name in SPELLINGS {
            for lines in [format!("{name}: mallory\r\n"), format!("{name}: mallory\r\n").repeat(2)] {
                let echo = stage.seen(&low, "/x", &lines);
                assert!(is_clean(&echo), "{name}: {}", echo.0);
                assert_eq!(echo.one("X-Auth-Acr"), "loa-2", "{name}");
            }
        }
        let echo = stage.seen(&low, "/x", &all());
        assert!(is_clean(&echo));
        assert_eq!(echo.one("X-Auth-Acr"), "loa-2");
        assert_eq!(echo.all("X-Auth-User").len(), 1);
    }
}

#[test]
fn a15_none_arrives_where_nobody_is_identified() {
    let stage = Stage::new();
    let (none, low) = (stage.none(), stage.low());
    for more in ["", "Authorization: Bearer x\r\n"] {
        for (who, target) in [(&none, "/public/x"), (&none, "/open/x"), (&low, "/public/x")] {
            for lines in
                SPELLINGS.iter().map(|name| format!("{name}: mallory\r\n{more}")).chain([all() + more])
            {
                let echo = stage.seen(who, target, &lines);
                assert!(is_clean(&echo), "{lines} on {target}");
                assert!(echo.all("X-Auth-Acr").is_empty() && echo.all("X-Auth-User").is_empty(), "{target}");
            }
        }
    }
    assert_eq!(stage.seen(&low, "/open/x", "").one("X-Auth-Acr"), "loa-2");
}

#[test]
fn a16_a_header_without_a_claim_is_absent() {
    let stage = Stage::new();
    let (low, high) = (stage.low(), stage.high());
    for target in ["/x", "/open/x"] {
        let echo = stage.seen(&low, target, "X-Auth-Document-Id: mallory\r\nX_Auth_Document_Id: mallory\r\n");
        assert!(is_clean(&echo) && echo.all("X-Auth-Document-Id").is_empty(), "{target}");
    }
    assert_eq!(stage.seen(&high, "/x", "X-Auth-Document-Id: mallory\r\n").one("X-Auth-Document-Id"), "D-1");
}

#[test]
fn a17_a_connection_header_names_none_of_ours_away() {
    let stage = Stage::new();
    let mut low = stage.low();
    let nominated = "X-Auth-Acr, x-auth-name, X-Midgate-Jwt-Assertion, Cookie, Authorization, x-request-id";
    let lines = "TE: trailers\r\nKeep-Alive: 5\r\nProxy-Connection: keep-alive\r\nX_Auth_Acr: mallory\r\nX-Mine: 1\r\n";
    let head = format!("GET /x HTTP/1.1\r\nHost: app.test\r\n{}{lines}", cookie(&low));
    let answer = stage.raw(format!("{head}Connection: close, {nominated}, X-Mine\r\n\r\n"));
    assert_eq!(answer.status, 200, "{answer:?}");
    let echo = Echo(answer.json());
    assert!(is_clean(&echo));
    for (name, value) in [("X-Auth-Acr", "loa-2"), ("X-Auth-Name", "alice"), ("X-Forwarded-Proto", "https")] {
        assert_eq!(echo.one(name), value, "{name}");
    }
    assert_eq!((echo.all("X-Auth-User").len(), echo.all("X-Request-Id").len()), (1, 1));
    for name in ["TE", "Keep-Alive", "Proxy-Connection", "X-Mine"] {
        assert!(echo.all(name).is_empty(), "{name} in {}", echo.0);
    }
    // The framework refuses to have its own header named away.
    let refused = stage.raw(format!("{head}Connection: close, {nominated}, x-forwarded-for\r\n\r\n"));
    assert!(refused.status == 400 || is_clean(&Echo(refused.json())), "{refused:?}");
    assert!(low.is_signed_in());
}

#[test]
fn a18_a_connection_header_names_no_framing_away() {
    let stage = Stage::new();
    for (framing, body) in
        [("Content-Length: 5", "hello"), ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n")]
    {
        for nominated in ["Host", "Content-Length", "Transfer-Encoding", "close, Host, Content-Length"] {
            let before = stage.echo.count();
            let answer = stage.raw(format!(
                "POST /public/x HTTP/1.1\r\nHost: app.test\r\nConnection: {nominated}\r\n{framing}\r\n\r\n{body}"
            ));
            if answer.status == 400 {
                assert_eq!(stage.echo.count(), before);
                continue;
            }
            let echo = Echo(answer.json());
            assert_eq!(
                (echo.0["body"].as_str(), echo.one("Host").as_str()),
                (Some("hello"), "app.test"),
                "{nominated}"
            );
        }
    }
}

#[test]
fn a19_a_trailer_is_no_header() {
    let stage = Stage::new();
    let low = stage.low();
    let head = format!("POST /x HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n{}", cookie(&low));
    for trailer in
        ["X-Auth-Acr: mallory", "X_Auth_Acr: mallory", "Cookie: __Host-midgate=mallory", "X-Any: mallory"]
    {
        let answer =
            stage.raw(format!("{head}Trailer: X-Auth-Acr\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n{trailer}\r\n\r\n"));
        if answer.status == 400 {
            continue;
        }
        let echo = Echo(answer.json());
        assert!(is_clean(&echo), "{trailer}: {}", echo.0);
        assert_eq!(echo.one("X-Auth-Acr"), "loa-2");
        assert_eq!(echo.0["body"], "hello");
    }
}

#[test]
fn a20_names_that_are_no_names_are_400() {
    let stage = Stage::new();
    for line in [
        &b"X-Auth-Acr : loa-4"[..],
        b"X-Auth-Acr\t: loa-4",
        b"X-Auth\0-Acr: loa-4",
        b"X-Auth-Acr\xc3\xa9: loa-4",
        b"X-Auth\xff: loa-4",
        b": x",
        b"X(Auth): loa-4",
        b"X Auth: loa-4",
        b"\"X-Auth\": loa-4",
    ] {
        let request =
            [b"GET /public/x HTTP/1.1\r\nHost: app.test\r\n", line, b"\r\nConnection: close\r\n\r\n"]
                .concat();
        let answer = stage.raw(request);
        assert_eq!(answer.status, 400, "{}", line.escape_ascii());
    }
    assert_eq!(stage.echo.count(), 0);
}

#[test]
fn a21_a_hostile_name_is_one_line_or_none() {
    let stage = Stage::new();
    for name in [
        "Zo\u{eb}\r\nX-Auth-Acr: loa-4".to_owned(),
        "a\rb".to_owned(),
        "a\nb".to_owned(),
        "a\0b".to_owned(),
        "a\u{7f}b".to_owned(),
        "a\u{1b}[31mb".to_owned(),
        "a\u{85}b".to_owned(),
        "n".repeat(9 * 1024),
    ] {
        stage.op.patch_id_token(json!({ "acr": "loa-2" }));
        stage.op.patch_userinfo(json!({ "name": name }));
        let mut browser = stage.none();
        assert_eq!(browser.sign_in("/x").status, 303, "{name:?}");
        let echo = stage.seen(&browser, "/x", "");
        assert_eq!(echo.one("X-Auth-Acr"), "loa-2", "{name:?}");
        assert!(echo.all("X-Auth-Name").is_empty(), "{name:?} cannot stand in a header");
    }
    stage.op.patch_userinfo(json!({ "name": "Zo\u{eb}" }));
    let mut browser = stage.none();
    browser.sign_in("/x");
    let latin: String = "Zo\u{eb}".bytes().map(char::from).collect();
    assert_eq!(stage.seen(&browser, "/x", "").one("X-Auth-Name"), latin, "UTF-8, byte for byte");
}

#[test]
fn a22_a_list_cannot_be_lengthened_by_what_stands_in_it() {
    let headers = "[headers]\n\"X-Auth-Groups\" = { value = \"{groups}\", join = \",\" }\n";
    let stage = Stage::with("", &format!("{ROUTES}{headers}"));
    for (groups, whole) in [(json!(["a,admin", "c"]), None), (json!(["a", "c"]), Some("a,c"))] {
        stage.op.patch_userinfo(json!({ "groups": groups }));
        let mut browser = stage.none();
        assert_eq!(browser.sign_in("/x").status, 303);
        let got = stage.seen(&browser, "/x", "").all("X-Auth-Groups");
        match whole {
            Some(whole) => assert_eq!(got, [whole]),
            None => {
                assert!(got.iter().all(|value| !value.split(',').any(|group| group == "admin")), "{got:?}")
            }
        }
    }
}

#[test]
fn a23_a_second_authorization_is_400_and_cookie_lines_are_one() {
    let stage = Stage::new();
    let low = stage.low();
    let answer = stage.get(&low, "/x", "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n");
    assert_eq!(answer.status, 400);
    assert_eq!(stage.echo.count(), 0);
    let session = cookie(&low).replace("Cookie: ", "Cookie: b=2; ");
    let echo = stage.seen(&stage.none(), "/x", &format!("Cookie: a=1\r\n{session}Cookie: c=3\r\n"));
    assert_eq!(echo.all("cookie"), ["a=1; b=2; c=3"]);
    assert_eq!(echo.one("X-Auth-Acr"), "loa-2");
}

#[test]
fn a24_an_authorization_of_a_strangers_is_no_session() {
    let stage = Stage::new();
    let mut browser = stage.none();
    // The provider's own, good ID token is still no bearer token for this route.
    browser.sign_in("/x");
    let id_token = stage.op.calls().id_token;
    for value in [
        "Bearer x",
        "Bearer ",
        "Bearer",
        "",
        "Basic YTpi",
        "Bearer eyJhbGciOiJub25lIn0.e30.",
        &format!("Bearer {id_token}"),
    ] {
        let answer = stage.get(&stage.none(), "/x", &format!("Authorization: {value}\r\n"));
        assert_eq!(answer.status, 401, "{value}");
        stage.denied(value, &answer);
    }
}

#[test]
fn a25_a_second_attempt_carries_the_same_identity_once() {
    // Nobody listens at the first server, so that every other request is tried again at the second.
    let two = "[[upstream]]\nid = \"two\"\nservers = [\"http://127.0.0.1:1\", \"{up}\"]\n[[route]]\nupstream = \"two\"\n";
    let stage = Stage::with("", two);
    let low = stage.low();
    for n in 0..6 {
        let echo = stage.seen(&low, &format!("/{n}"), &all());
        assert!(is_clean(&echo));
        for name in [
            "X-Auth-User",
            "X-Auth-Name",
            "X-Auth-Acr",
            "X-Auth-Provider",
            "X-Forwarded-For",
            "X-Request-Id",
            "Host",
        ] {
            assert_eq!(echo.all(name).len(), 1, "{name} in {}", echo.0);
        }
    }
    // A kept connection that ends under a request: the request goes again on a new one, or is told as failed.
    for n in 0..4 {
        stage.echo.answer_next(b"");
        let answer = stage.get(&low, format!("/again/{n}"), &all());
        assert!(matches!(answer.status, 200 | 502), "{answer:?}");
        for seen in stage.echo.all().iter().filter(|seen| seen.line.contains("/again/")) {
            let acr: Vec<_> =
                seen.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("x-auth-acr")).collect();
            assert_eq!(acr.len(), 1, "{seen:?}");
            assert!(!format!("{seen:?}").contains("mallory"));
        }
    }
}
