//! Section 5: cookies. Anything but the one spelling of a live session's id is no session.

use super::stage::{ROUTES, Stage, cookie};
use crate::rig::Browser;

/// What a browser without a session gets, but for what differs each time.
fn refusal(stage: &Stage, line: &str) -> (u16, String) {
    let answer = stage.get(&stage.none(), "/x", line);
    let mut json = answer.json();
    json["request_id"] = "-".into();
    (answer.status, json.to_string())
}

#[test]
fn a45_junk_is_no_session_and_always_answered_the_same() {
    let stage = Stage::new();
    let low = stage.low();
    let good = low.cookies["__Host-midgate"].clone();
    let plain = refusal(&stage, "");
    assert_eq!(plain.0, 401);
    let other_case = if good.starts_with(|c: char| c.is_ascii_lowercase()) {
        good.to_uppercase()
    } else {
        good.to_lowercase()
    };
    for value in [
        String::new(),
        "=".into(),
        "%".into(),
        "A".repeat(8000),
        "A".repeat(43),
        "aGVsbG8".into(),
        "%s%n%25s%x".into(),
        "\"".into(),
        format!("\"{good}\""),
        format!("{good}A"),
        format!("{good}="),
        format!("%{:02x}{}", good.as_bytes()[0], &good[1..]),
        good[1..].to_owned(),
        other_case,
    ] {
        assert_eq!(refusal(&stage, &format!("Cookie: __Host-midgate={value}\r\n")), plain, "{value:.60}");
    }
    for pairs in [
        format!("__Host-midgate={good}; __Host-midgate=bad"),
        format!("__Host-midgate=bad; __Host-midgate={good}"),
        format!("__Host-midgate={good}; __Host-midgate={good}"),
        format!("midgate={good}"),
        format!("__Secure-midgate={good}"),
        format!("__host-midgate={good}"),
    ] {
        assert_eq!(refusal(&stage, &format!("Cookie: {pairs}\r\n")), plain, "{pairs}");
    }
    let two_lines = format!("Cookie: __Host-midgate={good}\r\nCookie: __Host-midgate=bad\r\n");
    assert_eq!(refusal(&stage, &two_lines), plain);
    assert_eq!(stage.echo.count(), 0);
}

#[test]
fn a46_a_sealed_cookie_opens_whole_or_not_at_all() {
    let stage = Stage::new();
    let mut browser = stage.none();
    let start = browser.open("/x");
    let callback = browser.visit_provider(start.location());
    let (name, value) =
        browser.cookies.iter().next().map(|(n, v)| (n.clone(), v.clone())).expect("a login cookie");
    for at in 0..value.len() {
        let mut bytes = value.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let mut tampered = browser.clone();
        tampered.cookies.insert(name.clone(), String::from_utf8(bytes).expect("ASCII"));
        let answer = tampered.ask("GET", &callback.target, "", b"");
        let mut json = answer.json();
        json["request_id"] = "-".into();
        assert_eq!(answer.status, 400, "{at}");
        assert_eq!(json["reason"], "login-stale", "{at}: {json}");
        assert!(answer.all("set-cookie").is_empty(), "{at}");
    }
    assert_eq!(stage.op.calls().token, 0);
    assert_eq!(browser.deliver(&callback).status, 303);
}

#[test]
fn a47_a_cookie_is_good_for_its_own_purpose_alone() {
    let stage = Stage::new();
    let low = stage.low();
    let mut browser = stage.none();
    let start = browser.open("/x");
    let callback = browser.visit_provider(start.location());
    let (name, login) =
        browser.cookies.iter().next().map(|(n, v)| (n.clone(), v.clone())).expect("a login cookie");
    let as_session = format!("Cookie: __Host-midgate={login}\r\n");
    assert_eq!(stage.get(&stage.none(), "/x", &as_session).status, 401);
    // The session's id in the place of a login, and one login in the place of another.
    let mut second = stage.none();
    second.open("/x");
    let foreign = second.cookies.values().next().expect("a login cookie").clone();
    for value in [low.cookies["__Host-midgate"].clone(), foreign] {
        let mut swapped = browser.clone();
        swapped.cookies.insert(name.clone(), value);
        assert_eq!(swapped.deliver(&callback).status, 400);
    }
    // A box under another cookie's name.
    let mut moved = stage.none();
    moved.cookies.insert(format!("{name}x"), login.clone());
    assert_eq!(moved.deliver(&callback).status, 400);
    assert_eq!(stage.op.calls().token, 1, "Alice's own");
    assert_eq!((browser.deliver(&callback).status, stage.echo.count()), (303, 0));
}

#[test]
fn a48_there_are_no_parts_to_put_together() {
    // Sessions are kept by the gateway: a cookie is an id, and no part of one counts for anything.
    let stage = Stage::new();
    let low = stage.low();
    let good = low.cookies["__Host-midgate"].clone();
    assert_eq!((low.cookies.len(), good.len()), (1, 43));
    let (front, back) = good.split_at(20);
    for pairs in [
        format!("__Host-midgate.0={front}; __Host-midgate.1={back}"),
        format!("__Host-midgate-0={front}; __Host-midgate-1={back}"),
        format!("__Host-midgate_0={good}"),
        format!("__Host-midgate.99999999={good}"),
        format!("__Host-midgate.-1={good}; __Host-midgate.1e9={good}"),
    ] {
        let begun = std::time::Instant::now();
        assert_eq!(stage.get(&stage.none(), "/x", &format!("Cookie: {pairs}\r\n")).status, 401, "{pairs}");
        assert!(begun.elapsed().as_millis() < 1000, "{pairs}");
    }
    assert_eq!(stage.echo.count(), 0);
}

#[test]
fn a49_other_cookies_arrive_byte_for_byte_and_in_order() {
    let stage = Stage::new();
    let low = stage.low();
    let ours = format!("__Host-midgate={}", low.cookies["__Host-midgate"]);
    let many: String = (0..200).map(|n| format!("c{n}={n}; ")).collect();
    let all = many.trim_end_matches("; ");
    for (line, arrives) in [
        (ours.clone(), None),
        (format!("a=\"1 2\"; {ours}; b=%22=; c"), Some("a=\"1 2\"; b=%22=; c")),
        (format!("__Host-midgate-login-abc=x; {ours}; midgate=y; z=1"), Some("z=1")),
        (format!("__Host-midgate-login-x; {ours}"), None),
        (format!("__Host-midgate-logout=1; __Host-midgate-choice=2; {ours}; midgatex=3"), Some("midgatex=3")),
        (format!("{all}; {ours}"), Some(all)),
    ] {
        let echo = stage.seen(&stage.none(), "/x", &format!("Cookie: {line}\r\n"));
        assert_eq!(echo.all("cookie").first().map(String::as_str), arrives, "{line}");
    }
    for odd in [";", ";;;", "=", "a", "   ", "", "__Host-midgate-login-x", all] {
        let echo = stage.seen(&stage.none(), "/public/x", &format!("Cookie: {odd}\r\n"));
        assert!(!echo.all("cookie").iter().any(|line| line.contains("midgate")), "{odd:?}");
        assert_eq!(stage.get(&stage.none(), "/x", &format!("Cookie: {odd}\r\n")).status, 401, "{odd:?}");
    }
}

#[test]
fn a50_a_signed_out_cookie_is_deleted_as_it_was_set_and_worth_nothing() {
    let stage = Stage::new();
    let mut browser = stage.none();
    let set = browser.sign_in("/x");
    let attributes = |lines: Vec<&str>| {
        let line =
            lines.into_iter().find(|line| line.starts_with("__Host-midgate=")).expect("a line").to_owned();
        let mut parts: Vec<String> =
            line.split(';').skip(1).map(|part| part.trim().to_ascii_lowercase()).collect();
        parts.sort();
        parts
    };
    let was = attributes(set.all("set-cookie"));
    assert_eq!(was, ["httponly", "path=/", "samesite=lax", "secure"]);
    let old = browser.clone();
    assert_eq!(stage.get(&old, "/x", "").status, 200);
    let out = browser.post("/.midgate/logout", &[], true);
    assert_eq!(out.status, 303, "{out:?}");
    let deleted = attributes(out.all("set-cookie"));
    assert_eq!(deleted, ["httponly", "max-age=0", "path=/", "samesite=lax", "secure"]);
    assert_eq!(stage.get(&old, "/x", "").status, 401, "the replayed cookie");
}

#[test]
fn a51_no_application_sets_a_cookie_of_ours() {
    let stage = Stage::new();
    let low = stage.low();
    stage.echo.answer_next(
        b"HTTP/1.1 200 OK\r\nSet-Cookie: __Host-midgate=x; Secure; Path=/\r\nSet-Cookie: own=1; Path=/\r\n\
          Set-Cookie: __Host-midgate-login-a=x\r\nset-cookie: midgate=x\r\nSet-Cookie: =__Host-midgate=x\r\n\
          Set-Cookie:  __host-midgate = x\r\nSet-Cookie: midgate-logout=x; Domain=app.test\r\nSet-Cookie: other=2\r\n\
          Content-Length: 0\r\n\r\n",
    );
    let answer = stage.get(&low, "/x", "");
    assert_eq!(answer.all("set-cookie"), ["own=1; Path=/", "other=2"], "{answer:?}");
    // A host that merely ends like the cookie's domain is a stranger, and is set nothing.
    let wide = Stage::with("", &format!("{ROUTES}[session]\ncookie = {{ domain = \"app.test\" }}\n"));
    let mut foreign: Browser = wide.none();
    "notapp.test".clone_into(&mut foreign.host);
    let answer = foreign.open("/x");
    assert_eq!(answer.status, 421);
    assert!(answer.all("set-cookie").is_empty(), "{answer:?}");
    let mut own = wide.none();
    let set = own.sign_in("/x");
    let line = set
        .all("set-cookie")
        .into_iter()
        .find(|line| line.starts_with("__Secure-midgate="))
        .expect("a session");
    assert!(line.contains("Domain=app.test"), "{line}");
    assert!(cookie(&own).contains("__Secure-midgate="));
}
