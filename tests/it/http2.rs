//! HTTP/2 from browsers: without TLS here, where every frame is a story's own; over TLS in `tls`.

use std::io::Read;
use std::time::{Duration, Instant};

use crate::rig::browser::{Echo, form};
use crate::rig::http2::{CONTINUATION, DATA, HEADERS, Http2, NONE};
use crate::rig::wire::{connect, send};
use crate::rig::{Answer, Browser, Plain, plain, until};

const ROUTES: &str = r#"
[[route]]
id = "root"
upstream = "{up}"
[[route]]
id = "public"
path = "/public/"
upstream = "{up}"
access = "public"
[[route]]
id = "ws"
path = "/ws/"
upstream = "{up}"
access = "public"
websocket = true
"#;

/// A gateway that speaks HTTP/2 without TLS; `listen` goes on in `[listen]`.
fn h2c(listen: &str) -> Plain {
    plain("", "response_mode = \"form_post\"", &format!("[listen]\nh2c = true\n{listen}\n{ROUTES}"))
}

/// Fields of a request.
fn fields<'f>(method: &'f str, authority: &'f str, path: &'f str) -> Vec<(&'f str, &'f str)> {
    vec![(":method", method), (":scheme", "http"), (":authority", authority), (":path", path)]
}

fn with<'f>(mut fields: Vec<(&'f str, &'f str)>, more: &[(&'f str, &'f str)]) -> Vec<(&'f str, &'f str)> {
    fields.extend(more);
    fields
}

const NAVIGATION: [(&str, &str); 4] = [
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-site", "none"),
    ("accept", "text/html"),
];

/// 400, or an error of stream or connection: RFC 9113 §8.1.1 leaves the choice.
fn is_refused(answer: &Answer) -> bool {
    answer.status == 400 || [":reset", ":goaway"].iter().any(|how| answer.header(how).is_some())
}

/// Each cookie in a field of its own, as HTTP/2 allows (RFC 9113 §8.2.3).
fn cookies(browser: &Browser) -> Vec<(&'static str, String)> {
    browser.cookies.iter().map(|(name, value)| ("cookie", format!("{name}={value}"))).collect()
}

fn keep(browser: &mut Browser, answer: &Answer) {
    for line in answer.all("set-cookie") {
        let (name, value) = line.split(';').next().and_then(|pair| pair.split_once('=')).expect("a pair");
        if line.to_ascii_lowercase().contains("max-age=0") {
            browser.cookies.remove(name);
        } else {
            browser.cookies.insert(name.to_owned(), value.to_owned());
        }
    }
}

#[test]
fn one_port_speaks_both_versions() {
    let setting = h2c("");
    let port = setting.gateway.port;
    let host = format!("localhost:{port}");
    let mut client = Http2::connect(port);
    let answer = client.fetch(&host, "/public/echo", &[("x-own", "1"), ("x-request-id", "over-http2-1")]);
    assert_eq!(answer.status, 200, "{answer:?}");
    let echo = Echo(answer.json());
    // The authority goes up as the browser sent it.
    assert_eq!(echo.one("host"), host);
    assert_eq!(echo.one("x-forwarded-host"), host);
    assert_eq!(echo.one("x-forwarded-for"), "127.0.0.1");
    assert_eq!(echo.one("x-own"), "1");
    assert_eq!(echo.target(), "/public/echo");
    // A host in other letters is the same host, and goes up in those letters.
    let upper = format!("LOCALHOST:{port}");
    assert_eq!(Echo(client.fetch(&upper, "/public/echo", NONE).json()).one("host"), upper);
    // The connection goes on, and HTTP/1.1 is spoken beside it.
    assert_eq!(client.fetch(&host, "/public/echo?a=b", NONE).status, 200);
    assert_eq!(Browser::new(&setting.gateway).fetch("/public/echo").status, 200);
    // At most 100 streams and 64 KiB of a header list (RFC 9113 §6.5.2).
    assert_eq!((client.settings.get(&3), client.settings.get(&6)), (Some(&100), Some(&65_536)));
    until("the event is written", || setting.gateway.log().contains("over-http2-1"));
    let log = setting.gateway.log();
    let line = log.lines().find(|line| line.contains("over-http2-1")).unwrap_or_default();
    assert!(line.contains("\"request.host\":\"localhost\""), "{line}");
}

#[test]
fn a_login_by_form_post_and_a_logout_work_over_http2() {
    let setting = h2c("");
    let host = format!("localhost:{}", setting.gateway.port);
    let mut browser = Browser::new(&setting.gateway);
    let mut client = Http2::connect(setting.gateway.port);
    let start = client.fetch(&host, "/echo", &NAVIGATION);
    assert_eq!(start.status, 302, "{start:?}");
    keep(&mut browser, &start);
    let callback = browser.visit_provider(start.location());
    let mut post = |browser: &Browser, target: &str, fields: &[(String, String)], with_cookies: bool| {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let cookies = if with_cookies { cookies(browser) } else { Vec::new() };
        let site = if with_cookies { "same-origin" } else { "cross-site" };
        let mut sent: Vec<(&str, &str)> = self::fields("POST", &host, target);
        sent.extend([
            ("content-type", "application/x-www-form-urlencoded"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
            ("sec-fetch-site", site),
            ("accept", "text/html"),
        ]);
        sent.extend(cookies.iter().map(|(name, value)| (*name, value.as_str())));
        client.request(&sent, body.as_bytes(), NONE)
    };
    let again = post(&browser, &callback.target, callback.form.as_ref().expect("a form"), false);
    assert_eq!(again.status, 200, "{again:?}");
    let (action, hidden) = form(&again.text());
    let done = post(&browser, &action, &hidden, true);
    assert_eq!((done.status, done.location()), (303, "/echo"), "{done:?}");
    keep(&mut browser, &done);
    // Cookies of several fields are one line to the application, the gateway's own are not in it.
    browser.cookies.insert("a".to_owned(), "1".to_owned());
    browser.cookies.insert("z".to_owned(), "2".to_owned());
    let own = cookies(&browser);
    let own: Vec<(&str, &str)> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut client = Http2::connect(setting.gateway.port);
    let echo = Echo(client.fetch(&host, "/echo", &own).json());
    assert_eq!(echo.one("cookie"), "a=1; z=2");
    assert_eq!(echo.one("x-auth-provider"), "op");
    assert_eq!(client.fetch(&host, "/.midgate/session", &own).status, 200);
    assert_eq!(client.fetch(&host, "/.midgate/nothing", &own).status, 404);
    let events = client.open(&with(fields("GET", &host, "/sse"), &own), true);
    assert_eq!(client.head(events).status, 200);
    let out = with(fields("POST", &host, "/.midgate/logout"), &[("sec-fetch-site", "same-origin")]);
    let out = client.request(&with(out, &own), b"", NONE);
    assert_eq!(out.status, 303, "{out:?}");
    // The long answer ends with its session; the connection, which is other streams' too, goes on.
    let cut = client.answer(events);
    assert!(cut.header(":reset").is_some(), "{cut:?}");
    assert_eq!(client.fetch(&host, "/echo", &own).status, 401);
}

#[test]
fn cookies_on_several_lines_are_one_line_to_the_application() {
    let setting = h2c("");
    let port = setting.gateway.port;
    let request = format!(
        "GET /public/echo HTTP/1.1\r\nHost: localhost:{port}\r\nCookie: a=1;b=2\r\nCookie: midgate=x\r\nCookie: c=\"3\"\r\n\
         Connection: close\r\n\r\n"
    );
    let answer = send(port, request.as_bytes()).expect("an answer");
    assert_eq!(Echo(answer.json()).one("cookie"), "a=1; b=2; c=\"3\"");
}

#[test]
fn what_leaves_room_for_two_readings_is_refused_over_http2() {
    let setting = h2c("");
    let host = format!("localhost:{}", setting.gateway.port);
    let host = host.as_str();
    let base = || fields("GET", host, "/public/echo");
    let replaced = |name: &str, value: &'static str| {
        let mut fields = base();
        fields.iter_mut().filter(|(known, _)| *known == name).for_each(|field| field.1 = value);
        fields
    };
    let without = |name: &str| base().into_iter().filter(|(known, _)| *known != name).collect::<Vec<_>>();
    for (what, fields) in [
        ("a host unlike the authority", with(base(), &[("host", "evil.test")])),
        ("two hosts", with(base(), &[("host", host), ("host", host)])),
        ("a scheme in odd case", replaced(":scheme", "HtTp")),
        ("another scheme", replaced(":scheme", "ftp")),
        ("a blank in the path", replaced(":path", "/public/echo x")),
        ("a line in the path", replaced(":path", "/public/echo\r\nX-Auth-Acr: loa-4")),
        ("a control character in the path", replaced(":path", "/public/\u{1}")),
        ("NUL in the path", replaced(":path", "/public/\0")),
        ("an empty path", replaced(":path", "")),
        ("a path without a slash", replaced(":path", "public/echo")),
        ("a whole URL as path", replaced(":path", "http://evil.test/public/echo")),
        ("dots in the path", replaced(":path", "/public/../echo")),
        ("a doubled slash", replaced(":path", "//evil.test/public/echo")),
        ("two paths", with(base(), &[(":path", "/echo")])),
        ("a pseudo-field after a field", with(vec![("a", "b")], &base())),
        ("an unknown pseudo-field", with(base(), &[(":route", "public")])),
        ("no method", without(":method")),
        ("no path", without(":path")),
        ("no authority", without(":authority")),
        ("a user in the authority", replaced(":authority", "a@localhost")),
        ("a path in the authority", replaced(":authority", "localhost/x")),
        ("connection", with(base(), &[("connection", "close")])),
        ("keep-alive", with(base(), &[("keep-alive", "1")])),
        ("proxy-connection", with(base(), &[("proxy-connection", "x")])),
        ("upgrade", with(base(), &[("upgrade", "websocket")])),
        ("transfer-encoding", with(base(), &[("transfer-encoding", "chunked")])),
        ("te", with(base(), &[("te", "gzip")])),
        ("two lengths", with(base(), &[("content-length", "0"), ("content-length", "1")])),
        ("a length with a sign", with(base(), &[("content-length", "+0")])),
        ("upper case", with(base(), &[("X-Own", "1")])),
        ("a blank in a name", with(base(), &[("x own", "1")])),
        ("a line in a value", with(base(), &[("x-own", "1\r\nx-auth-acr: loa-4")])),
        ("NUL in a value", with(base(), &[("x-own", "\0")])),
        ("two authorizations", with(base(), &[("authorization", "a"), ("authorization", "b")])),
    ] {
        let answer = Http2::connect(setting.gateway.port).request(&fields, b"", NONE);
        assert!(is_refused(&answer), "{what}: {answer:?}");
    }
    let unlike = with(fields("POST", host, "/public/upload"), &[("content-length", "5")]);
    let answer = Http2::connect(setting.gateway.port).request(&unlike, b"four", NONE);
    assert!(
        answer.header(":reset").is_some() || answer.status >= 400,
        "a length unlike the body: {answer:?}"
    );
    assert_eq!(Http2::connect(setting.gateway.port).fetch("evil.test", "/public/echo", NONE).status, 421);
    assert_eq!(setting.application.count(), 0);
    // What stands behind `#` is lost before anybody can see it: it takes no part in the decision, and does not go up.
    let answer = Http2::connect(setting.gateway.port).fetch(host, "/public/echo#/../echo", NONE);
    assert_eq!(Echo(answer.json()).target(), "/public/echo");
    // `host` beside the authority, in agreement, is one host.
    let answer = Http2::connect(setting.gateway.port).fetch(host, "/public/echo", &[("host", host)]);
    assert_eq!(Echo(answer.json()).one("host"), host);
}

#[test]
fn trailers_and_headers_of_ours_reach_no_application_over_http2() {
    let setting = h2c("");
    let host = format!("localhost:{}", setting.gateway.port);
    let mut client = Http2::connect(setting.gateway.port);
    let spoofed = [("x-auth-acr", "loa-4"), ("x_auth_name", "mallory"), ("x-midgate-x", "1")];
    let sent = with(fields("POST", &host, "/public/echo"), &spoofed);
    let answer = client.request(&sent, b"body", &[("x-auth-acr", "loa-4"), ("x-trailer", "1")]);
    assert_eq!(answer.status, 200, "{answer:?}");
    let text = answer.text();
    assert!(text.contains("\"body\":\"body\""), "{text}");
    for gone in ["loa-4", "mallory", "midgate-x", "x-trailer"] {
        assert!(!text.to_ascii_lowercase().contains(gone), "{gone} in {text}");
    }
}

#[test]
fn no_tunnel_is_opened_over_http2() {
    let setting = h2c("");
    let host = format!("localhost:{}", setting.gateway.port);
    let mut client = Http2::connect(setting.gateway.port);
    assert_eq!(client.request(&[(":method", "CONNECT"), (":authority", &host)], b"", NONE).status, 405);
    let extended = with(fields("CONNECT", &host, "/ws/ws"), &[(":protocol", "websocket")]);
    let answer = Http2::connect(setting.gateway.port).request(&extended, b"", NONE);
    assert!(is_refused(&answer) || answer.status == 405, "{answer:?}");
    assert_eq!(client.request(&fields("TRACE", &host, "/public/echo"), b"", NONE).status, 405);
    assert_eq!(setting.application.count(), 0);
}

#[test]
fn a98_header_lists_are_bounded() {
    let setting = h2c("");
    let host = format!("localhost:{}", setting.gateway.port);
    let long = "a".repeat(33 * 1024);
    let mut client = Http2::connect(setting.gateway.port);
    let answer = client.fetch(&host, "/public/echo", &[("x-long", &long)]);
    // An answer of our own, with a page and a request id.
    assert_eq!(
        (answer.status, answer.json()["error"].as_str()),
        (431, Some("headers_too_large")),
        "{answer:?}"
    );
    let crumbs = vec![("cookie", "a=b"); 10_000];
    let answer = Http2::connect(setting.gateway.port).fetch(&host, "/public/echo", &crumbs);
    assert!(answer.status == 431 || answer.status == 0, "{answer:?}");
    // A header block without an end, and one of 16 MiB.
    let mut client = Http2::connect(setting.gateway.port);
    client.frame(HEADERS, 0, 1, b"");
    for _ in 0..2_000 {
        client.frame(CONTINUATION, 0, 1, &[0; 8192]);
    }
    let begun = Instant::now();
    client.end();
    assert!(begun.elapsed() < Duration::from_secs(10), "the connection is ended");
    assert_eq!(setting.application.count(), 0);
    assert_eq!(Browser::new(&setting.gateway).fetch("/public/echo").status, 200);
}

#[test]
fn a98_streams_and_resets_are_bounded() {
    let setting = h2c("");
    let host = format!("localhost:{}", setting.gateway.port);
    let slow = fields("GET", &host, "/public/slow?ms=3000");
    // The 101st stream is refused (REFUSED_STREAM), the others are served.
    let mut client = Http2::connect(setting.gateway.port);
    let streams: Vec<u32> = (0..101).map(|_| client.open(&slow, true)).collect();
    let answers: Vec<Answer> = streams.iter().map(|id| client.answer(*id)).collect();
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 100);
    assert_eq!(answers[100].header(":reset"), Some("7"), "{:?}", answers[100]);
    // Streams that are opened and given up at once (CVE-2023-44487).
    let mut client = Http2::connect(setting.gateway.port);
    for _ in 0..5_000 {
        let id = client.open(&slow, true);
        client.reset(id);
    }
    client.end();
    assert!(setting.application.count() < 1_000, "{} requests went up", setting.application.count());
    // Streams that make the gateway reset them (CVE-2025-8671).
    let mut client = Http2::connect(setting.gateway.port);
    for _ in 0..2_000 {
        let id = client.open(&slow, true);
        client.frame(DATA, 0, id, b"after the end");
    }
    client.end();
    assert!(setting.application.count() < 2_000, "{} requests went up", setting.application.count());
    let begun = Instant::now();
    assert_eq!(Browser::new(&setting.gateway).fetch("/public/echo").status, 200);
    assert!(begun.elapsed() < Duration::from_secs(2), "others are served");
}

#[test]
fn a_body_that_pauses_is_given_up_over_http2() {
    let setting = h2c("limits = { idle = \"1s\" }");
    let host = format!("localhost:{}", setting.gateway.port);
    let mut client = Http2::connect(setting.gateway.port);
    let begun = Instant::now();
    let id = client.open(&fields("POST", &host, "/public/upload"), false);
    client.data(id, b"a", false);
    assert!(client.answer(id).header(":reset").is_some());
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    // One that goes on coming may take longer than that.
    let id = client.open(&fields("POST", &host, "/public/upload"), false);
    for _ in 0..6 {
        client.data(id, &[b'a'; 1000], false);
        std::thread::sleep(Duration::from_millis(400));
    }
    client.data(id, b"end", true);
    assert_eq!(client.answer(id).json()["bytes"], 6_003);
}

#[test]
fn a_connection_that_says_nothing_is_closed_over_http2() {
    let setting = h2c("limits = { idle = \"1s\", header_timeout = \"1s\" }");
    let host = format!("localhost:{}", setting.gateway.port);
    let soon = |what: &str, begun: Instant| {
        assert!(begun.elapsed() < Duration::from_secs(8), "{what}: {:?}", begun.elapsed());
    };
    let begun = Instant::now();
    Http2::connect(setting.gateway.port).end();
    soon("no request", begun);
    let begun = Instant::now();
    let mut silent = connect(setting.gateway.port).expect("it listens");
    let _ = silent.read(&mut [0; 1]);
    soon("no byte", begun);
    let begun = Instant::now();
    let mut client = Http2::connect(setting.gateway.port);
    assert_eq!(client.fetch(&host, "/public/echo", NONE).status, 200);
    client.end();
    soon("no further request", begun);
    let begun = Instant::now();
    let mut client = Http2::connect(setting.gateway.port);
    client.frame(HEADERS, 0, 1, b"");
    client.end();
    soon("a head without an end", begun);
}
