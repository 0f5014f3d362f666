//! Connections whose first bytes say where they come from, and how many one client may have.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::rig::browser::Echo;
use crate::rig::http2::{Http2, NONE};
use crate::rig::wire::{connect, read};
use crate::rig::{Answer, Plain, plain, until};

const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x09\x0a\x00\x00\x01\x12\x67\x01\xbb";

fn setting(listen: &str) -> Plain {
    plain(
        "",
        "",
        &format!(
            "[listen]\nproxy_protocol = true\n{listen}\n[[route]]\nupstream = \"{{up}}\"\naccess = \"public\"\n"
        ),
    )
}

fn behind_a_proxy(listen: &str) -> Plain {
    // The test's own health checks of the port come from loopback too: they say nothing and are closed.
    setting(&format!("trusted_proxies = [\"127.0.0.0/8\", \"198.51.100.0/24\"]\n{listen}"))
}

/// Sends an opening and a request, and reads what comes.
fn ask(port: u16, opening: &[u8], headers: &str) -> Option<Answer> {
    let mut stream = connect(port).expect("it listens");
    let request =
        format!("GET /echo HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n{headers}\r\n");
    let _ = stream.write_all(&[opening, request.as_bytes()].concat());
    read(&mut stream, false).ok()
}

fn client(answer: Option<Answer>) -> String {
    Echo(answer.expect("an answer").json()).one("x-forwarded-for")
}

/// Whether a connection is closed without a word.
fn is_closed(mut stream: TcpStream) -> bool {
    !matches!(stream.read(&mut [0; 1]), Ok(1..))
}

#[test]
fn a_header_of_a_trusted_peer_says_who_the_client_is() {
    let setting = behind_a_proxy("h2c = true");
    let port = setting.gateway.port;
    let v1 = b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 443\r\n";
    let id = "X-Request-Id: by-proxy-protocol\r\n";
    assert_eq!(client(ask(port, v1, id)), "203.0.113.9");
    assert_eq!(client(ask(port, V2, "")), "203.0.113.9");
    assert_eq!(client(ask(port, b"PROXY TCP6 2001:db8::1 ::1 4711 443\r\n", "")), "2001:db8::1");
    until("the event is written", || setting.gateway.log().contains("by-proxy-protocol"));
    let log = setting.gateway.log();
    let line = log.lines().find(|line| line.contains("by-proxy-protocol")).unwrap_or_default();
    assert!(line.contains("\"client.address\":\"203.0.113.9\""), "{line}");
    // The client of the header is the peer from now on: what it says of others is not believed …
    let forged = "X-Forwarded-For: 192.0.2.1\r\n";
    assert_eq!(client(ask(port, v1, forged)), "203.0.113.9");
    // … unless it is a trusted proxy itself.
    assert_eq!(
        client(ask(port, b"PROXY TCP4 198.51.100.7 10.0.0.1 4711 443\r\n", forged)),
        "192.0.2.1, 198.51.100.7"
    );
    // The proxy speaks for itself.
    assert_eq!(client(ask(port, b"PROXY UNKNOWN\r\n", "")), "127.0.0.1");
    let local = [&V2[..12], b"\x20\x00\x00\x00"].concat();
    assert_eq!(client(ask(port, &local, "")), "127.0.0.1");
    // HTTP/2 goes the same way.
    let mut stream = connect(port).expect("it listens");
    stream.write_all(V2).expect("sent");
    let answer = Http2::over(stream).fetch(&format!("localhost:{port}"), "/echo", NONE);
    assert_eq!(Echo(answer.json()).one("x-forwarded-for"), "203.0.113.9");
}

#[test]
fn a_header_may_come_byte_by_byte() {
    let setting = behind_a_proxy("");
    let mut stream = connect(setting.gateway.port).expect("it listens");
    for byte in V2 {
        stream.write_all(&[*byte]).expect("sent");
    }
    write!(
        stream,
        "GET /echo HTTP/1.1\r\nHost: localhost:{}\r\nConnection: close\r\n\r\n",
        setting.gateway.port
    )
    .expect("sent");
    assert_eq!(client(read(&mut stream, false).ok()), "203.0.113.9");
}

#[test]
fn a_trusted_peer_without_a_good_header_is_closed() {
    let setting = behind_a_proxy("limits = { header_timeout = \"1s\" }");
    let port = setting.gateway.port;
    let mut extended = V2.to_vec();
    extended[15] += 4;
    let broken_extension = [&extended[..], &[4, 0, 9, 9]].concat();
    for (what, opening) in [
        ("no header", &b""[..]),
        ("a broken one", b"PROXY TCP4 203.0.113.9 10.0.0.1 4711\r\n"),
        ("a broken extension", &broken_extension),
        ("an unknown version", b"\r\n\r\n\0\r\nQUIT\n\x31\x11\x00\x0c"),
    ] {
        assert!(ask(port, opening, "").is_none(), "{what}");
    }
    let too_long = [&V2[..14], b"\xff\xff", &[0; 8192]].concat();
    assert!(ask(port, &too_long, "").is_none(), "a long one");
    // One that never ends, and silence.
    let mut stream = connect(port).expect("it listens");
    stream.write_all(b"PROXY TCP4 ").expect("sent");
    assert!(is_closed(stream));
    assert!(is_closed(connect(port).expect("it listens")));
    assert_eq!(setting.application.count(), 0);
    for reason in ["no-proxy-header", "broken-proxy-header"] {
        let metric = format!("midgate_connections_refused_total{{reason=\"{reason}\"}}");
        assert!(setting.gateway.metric(&metric).is_some_and(|count| count >= 2.0), "{reason}");
    }
}

#[test]
fn nobody_else_may_say_where_a_connection_comes_from() {
    let setting = setting("trusted_proxies = [\"192.0.2.0/24\"]");
    let port = setting.gateway.port;
    assert_eq!(client(ask(port, b"", "")), "127.0.0.1");
    assert!(ask(port, b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 443\r\n", "").is_none());
    assert!(ask(port, V2, "").is_none());
    // A method that begins like one is a method.
    let mut stream = connect(port).expect("it listens");
    write!(stream, "PROXYS /echo HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n")
        .expect("sent");
    assert_eq!(read(&mut stream, false).expect("an answer").status, 200);
}

#[test]
fn one_client_cannot_take_every_connection() {
    let setting = behind_a_proxy("limits = { connections_per_client = 5, connections = 40 }");
    let port = setting.gateway.port;
    let flood = |opening: &str| {
        let mut stream = connect(port).expect("it listens");
        let request = format!("{opening}GET /echo HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n");
        let _ = stream.write_all(request.as_bytes());
        let answer = read(&mut stream, false).ok();
        (stream, answer.is_some())
    };
    // Twenty addresses of one IPv6 network are one client.
    let held: Vec<_> =
        (1..=20).map(|n| flood(&format!("PROXY TCP6 2001:db8::{n} ::1 4711 443\r\n"))).collect();
    assert_eq!(held.iter().filter(|(_, served)| *served).count(), 5);
    // Others are served meanwhile, and the client itself is again once it lets go.
    assert!(flood("PROXY TCP4 203.0.113.9 10.0.0.1 4711 443\r\n").1);
    assert!(flood("PROXY TCP6 2001:db8:0:1::1 ::1 4711 443\r\n").1);
    let metric = "midgate_connections_refused_total{reason=\"connections-per-client\"}";
    assert_eq!(setting.gateway.metric(metric), Some(15.0));
    drop(held);
    until("the places are free", || flood("PROXY TCP6 2001:db8::1 ::1 4711 443\r\n").1);
    // The proxies themselves stand for many.
    let held: Vec<_> = (1..=10).map(|_| flood("PROXY UNKNOWN\r\n")).collect();
    assert!(held.iter().all(|(_, served)| *served));
}

#[test]
fn connections_are_bounded_in_all() {
    let setting = behind_a_proxy("limits = { connections_per_client = 0, connections = 8 }");
    let held: Vec<_> = (0..30).map(|_| connect(setting.gateway.port).expect("it listens")).collect();
    until("some are refused", || {
        let metric = "midgate_connections_refused_total{reason=\"connections\"}";
        setting.gateway.metric(metric).is_some_and(|count| count >= 22.0)
    });
    drop(held);
    until("there is room again", || ask(setting.gateway.port, V2, "").is_some());
}
