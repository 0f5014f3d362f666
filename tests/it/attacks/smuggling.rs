//! Section 14: request smuggling. Bytes of one request never become another.

use std::io::{Read, Write};
use std::time::Duration;

use super::stage::{Stage, cookie};
use crate::rig::wire::{connect, read};

/// 400, and the connection ends: a second request on it is not answered.
fn refused_and_closed(stage: &Stage, request: &[u8]) {
    let what = request.escape_ascii().to_string();
    let mut stream = connect(stage.gateway.port).expect("it listens");
    let _ = stream.write_all(request);
    let answer = read(&mut stream, false).unwrap_or_default();
    assert_eq!(answer.status, 400, "{what}");
    let _ = stream.write_all(b"GET /public/second HTTP/1.1\r\nHost: app.test\r\n\r\n");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    assert!(read(&mut stream, false).is_err(), "{what}: the connection goes on");
    assert_eq!(stage.echo.count(), 0, "{what}");
}

#[test]
fn a101_framing_with_two_readings_is_400_and_closes() {
    let stage = Stage::new();
    for framing in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 \r\nContent-Length:\r\n",
        "Content-Length: \r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding:\x0bchunked\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: chunked;x\r\n",
    ] {
        refused_and_closed(
            &stage,
            format!("POST /public/x HTTP/1.1\r\nHost: app.test\r\n{framing}\r\n0\r\n\r\n").as_bytes(),
        );
    }
    refused_and_closed(
        &stage,
        b"POST /public/x HTTP/1.0\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    );
}

#[test]
fn a102_lines_and_chunks_that_are_none_are_400_and_close() {
    let stage = Stage::new();
    for line in [
        &b"X: y\r\n folded\r\n"[..],
        b"X: y\r\n\tfolded\r\n",
        b"X: y\n",
        b"X: y\nX-Auth-Acr: loa-4\r\n",
        b"X: a\rb\r\n",
        b"X: a\0b\r\n",
        b"X y\r\n",
        b"X\r\n",
        b": x\r\n",
    ] {
        refused_and_closed(
            &stage,
            &[b"GET /public/x HTTP/1.1\r\nHost: app.test\r\n", line, b"\r\n"].concat(),
        );
    }
    for head in [
        &b"GET /public/x HTTP/1.1\r\n Host: app.test\r\n\r\n"[..],
        b"GET /public/x HTTP/1.1\r\n X: y\r\nHost: app.test\r\n\r\n",
        b"GET /public/x HTTP/1.1\nHost: app.test\r\n\r\n",
        b"GET /public/x HTTP/1.1\r\nHost: app.test\n\n",
    ] {
        refused_and_closed(&stage, head);
    }
}

#[test]
fn a102_a_chunk_that_is_none_ends_the_connection() {
    let stage = Stage::new();
    for chunk in [
        "0x5\r\nhello",
        "+5\r\nhello",
        "FFFFFFFFFFFFFFFFF\r\nhello",
        "-1\r\nhello",
        "5 5\r\nhello",
        "5\nhello",
        "g\r\nhello",
    ] {
        let mut stream = connect(stage.gateway.port).expect("it listens");
        let head = "POST /public/x HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n";
        let next = "GET /public/second HTTP/1.1\r\nHost: app.test\r\n\r\n";
        let _ = stream.write_all(format!("{head}{chunk}\r\n0\r\n\r\n{next}").as_bytes());
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        let first = read(&mut stream, false).unwrap_or_default();
        assert!(matches!(first.status, 0 | 400 | 502), "{chunk:?}: {first:?}");
        assert!(read(&mut stream, false).is_err(), "{chunk:?}: the connection goes on");
        assert!(stage.echo.all().iter().all(|seen| !seen.line.contains("second")), "{chunk:?}");
    }
}

#[test]
fn a103_nothing_follows_an_upgrade_before_it_is_one() {
    let stage = Stage::new();
    let low = stage.low();
    let session = cookie(&low);
    let upgrade = format!(
        "GET /ws/x HTTP/1.1\r\nHost: app.test\r\n{session}Origin: https://app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let smuggled = format!("GET /admin/smuggled HTTP/1.1\r\nHost: app.test\r\n{session}\r\n");
    // The application does not switch: what followed is a request of its own, and is decided on.
    stage.echo.answer_next(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno");
    let mut stream = connect(stage.gateway.port).expect("it listens");
    stream.write_all(format!("{upgrade}{smuggled}").as_bytes()).expect("sent");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    let text = String::from_utf8_lossy(&all).into_owned();
    assert!(!text.contains("CANARY_zz"), "{text}");
    let seen = stage.echo.all();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(!format!("{seen:?}").contains("smuggled"), "{seen:?}");
    // Cleartext HTTP/2 by upgrade goes no further.
    let h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n";
    for target in ["/ws/h2c", "/x"] {
        let answer = stage.get(&low, target, h2c);
        assert_ne!(answer.status, 101, "{target}");
        let last = stage.echo.all().pop().expect("a request");
        let names: Vec<String> = last.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        assert!(
            !names.iter().any(|name| name == "upgrade" || name == "http2-settings"),
            "{target}: {last:?}"
        );
    }
}

#[test]
fn a104_the_body_of_a_refused_request_never_becomes_a_request() {
    let stage = Stage::new();
    let hidden = "GET /public/hidden HTTP/1.1\r\nHost: app.test\r\n\r\n";
    let body = format!("{}{hidden}", "x".repeat((1 << 20) - hidden.len()));
    let next = "GET /public/next HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n";
    for body in [hidden.repeat(20), body] {
        for (framing, sent) in [
            (format!("Content-Length: {}", body.len()), body.clone()),
            ("Transfer-Encoding: chunked".to_owned(), format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())),
        ] {
            let mut stream = connect(stage.gateway.port).expect("it listens");
            let head = format!("POST /x HTTP/1.1\r\nHost: app.test\r\n{framing}\r\n\r\n");
            let mut writer = stream.try_clone().expect("a second handle");
            let writing = std::thread::spawn(move || {
                let _ = writer.write_all(format!("{head}{sent}{next}").as_bytes());
            });
            if let Ok(answer) = read(&mut stream, false) {
                assert_eq!(answer.status, 401, "{framing}");
            }
            if let Ok(answer) = read(&mut stream, false) {
                assert_eq!(answer.json()["target"], "/public/next", "{framing}");
            }
            let _ = writing.join();
            assert!(
                stage.echo.all().iter().all(|seen| seen.line.starts_with("GET /public/next ")),
                "{:?}",
                stage.echo.all()
            );
        }
    }
}

#[test]
fn a106_nobody_gets_what_was_answered_to_somebody_else() {
    let stage = Stage::new();
    let (low, high) = (stage.low(), stage.high());
    stage.echo.answer_next(
        b"HTTP/1.1 200 OK\r\nCache-Control: public, max-age=600\r\nETag: \"1\"\r\nContent-Length: 5\r\n\r\nalice",
    );
    assert_eq!(stage.get(&low, "/same", "").text(), "alice");
    let echo = stage.seen(&high, "/same", "");
    assert_eq!(echo.one("X-Auth-Name"), "bob");
    let mut stream = connect(stage.gateway.port).expect("it listens");
    for (who, name) in [(&low, "alice"), (&high, "bob"), (&low, "alice")] {
        write!(stream, "GET /same HTTP/1.1\r\nHost: app.test\r\n{}\r\n", cookie(who)).expect("still open");
        let answer = read(&mut stream, false).expect("an answer");
        assert_eq!(crate::rig::browser::Echo(answer.json()).one("X-Auth-Name"), name, "on one connection");
    }
}
