//! What a proxy owes the application: bytes as they are, streams as they come.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::rig::wire::{connect, read, read_chunk, read_head};
use crate::rig::{Answer, Browser, Folder, Gateway, application, plain, shared, until};

fn cookie(browser: &Browser) -> String {
    format!("Cookie: midgate={}\r\n", browser.cookies["midgate"])
}

#[test]
fn a_thousand_requests_on_one_session_all_pass() {
    let browser = Browser::signed_in(&shared().gateway, "/echo");
    let good = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for worker in 0..20 {
            let (mut browser, good) = (browser.clone(), &good);
            scope.spawn(move || {
                for n in 0..50 {
                    let echo = browser.echo(&format!("/{worker}/{n}/echo"), "");
                    assert_eq!(echo.one("X-Auth-Provider"), "op");
                    good.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(good.into_inner(), 1000);
}

#[test]
fn one_connection_serves_many_requests() {
    let mut stream = connect(shared().gateway.port).expect("it listens");
    let host = format!("localhost:{}", shared().gateway.port);
    for (target, status) in
        [("/public/echo", 200), ("/x", 401), ("/.midgate/nothing", 404), ("/public/echo", 200)]
    {
        stream
            .write_all(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())
            .expect("still open");
        assert_eq!(read(&mut stream, false).expect("an answer").status, status, "{target}");
    }
}

#[test]
fn the_application_learns_who_asked_by_which_address() {
    let port = shared().gateway.port;
    let mut browser = Browser::signed_in(&shared().gateway, "/echo");
    let echo = browser.echo("/echo", "X-Request-Id: my-own-id.1\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n");
    assert_eq!(echo.one("Host"), format!("localhost:{port}"));
    assert_eq!(echo.one("X-Forwarded-For"), "127.0.0.1");
    assert_eq!(echo.one("X-Forwarded-Proto"), "http");
    assert_eq!(echo.one("X-Forwarded-Host"), format!("localhost:{port}"));
    assert_eq!(echo.one("X-Request-Id"), "my-own-id.1");
    assert!(echo.one("traceparent").starts_with("00-4bf9"));
    for bad in ["<script>alert(1)</script>", &"a".repeat(8000), "short"] {
        let echo = browser.echo("/echo", &format!("X-Request-Id: {bad}\r\n"));
        assert_ne!(echo.one("X-Request-Id"), *bad);
    }
    let own = browser.echo("/echo", "Authorization: Basic abc\r\n");
    assert_eq!(own.one("Authorization"), "Basic abc");
}

#[test]
fn a_trusted_proxy_is_believed_about_the_client() {
    let shared = plain(
        "",
        "",
        "[listen]\ntrusted_proxies = [\"127.0.0.0/8\"]\n[[route]]\nupstream = \"{up}\"\naccess = \"optional\"\n",
    );
    let mut browser = Browser::new(&shared.gateway);
    let echo = browser
        .echo("/echo", "X-Forwarded-For: 203.0.113.9\r\nX-Real-IP: 203.0.113.9\r\nX-Original-URL: /x\r\n");
    assert_eq!(echo.one("X-Forwarded-For"), "203.0.113.9, 127.0.0.1");
    assert_eq!(echo.one("X-Real-IP"), "203.0.113.9");
    assert!(echo.all("X-Original-URL").is_empty());
}

#[test]
fn bodies_stream_both_ways() {
    let mut browser = Browser::signed_in(&shared().gateway, "/echo");
    let mut stream = connect(shared().gateway.port).expect("it listens");
    let host = format!("localhost:{}", shared().gateway.port);
    let session = cookie(&browser);
    let head = format!(
        "POST /upload HTTP/1.1\r\nHost: {host}\r\n{session}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("sent");
    let chunk = [b"100000\r\n".as_slice(), &vec![b'x'; 0x10_0000], b"\r\n"].concat();
    for _ in 0..16 {
        stream.write_all(&chunk).expect("it takes more");
    }
    stream.write_all(b"0\r\n\r\n").expect("sent");
    assert_eq!(read(&mut stream, false).expect("an answer").json()["bytes"], 16 << 20);
    assert_eq!(browser.fetch("/download?bytes=20000000").body.len(), 20_000_000);
}

#[test]
fn events_arrive_as_they_happen_and_end_with_the_session() {
    let mut browser = Browser::signed_in(&shared().gateway, "/echo");
    let mut stream = connect(shared().gateway.port).expect("it listens");
    let host = format!("localhost:{}", shared().gateway.port);
    let begun = Instant::now();
    write!(stream, "GET /sse HTTP/1.1\r\nHost: {host}\r\n{}\r\n", cookie(&browser)).expect("sent");
    assert_eq!(read_head(&mut stream).expect("a head").status, 200);
    assert_eq!(read_chunk(&mut stream).expect("an event"), Some(b"data: 0\n\n".to_vec()));
    assert!(begun.elapsed() < Duration::from_secs(10), "the stream would last two minutes");
    assert_eq!(browser.post("/.midgate/logout", &[], true).status, 303);
    let ended = Instant::now();
    while let Ok(Some(_)) = read_chunk(&mut stream) {
        assert!(ended.elapsed() < Duration::from_secs(5), "the stream outlives its session");
    }
}

/// Asks for a WebSocket; gives the connection and the answer's head.
fn upgrade(target: &str, headers: &str) -> (std::net::TcpStream, Answer) {
    upgrade_at(shared().gateway.port, target, headers)
}

fn upgrade_at(port: u16, target: &str, headers: &str) -> (std::net::TcpStream, Answer) {
    let mut stream = connect(port).expect("it listens");
    let host = format!("localhost:{port}");
    write!(
        stream,
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
    .expect("sent");
    let answer = read_head(&mut stream).expect("a head");
    (stream, answer)
}

#[test]
fn a_websocket_needs_the_routes_word_and_an_own_origin() {
    let browser = Browser::signed_in(&shared().gateway, "/echo");
    let own = format!("Origin: http://localhost:{}\r\n", shared().gateway.port);
    let session = cookie(&browser);
    for (target, headers, status) in [
        ("/ws/ws", format!("{session}{own}"), 101),
        ("/ws/ws", format!("{session}Origin: https://evil.test\r\n"), 403),
        ("/ws/ws", format!("{session}Origin: null\r\n"), 403),
        ("/ws/ws", session.clone(), 403),
        ("/ws/ws", own.clone(), 401),
        ("/other/ws", format!("{session}{own}"), 200),
    ] {
        let (_, answer) = upgrade(target, &headers);
        assert_eq!(answer.status, status, "{target} {headers}");
    }
    assert!(shared().application.last().header("upgrade").is_none());
}

#[test]
fn a_websocket_speaks_both_ways_and_ends_with_its_session() {
    let mut browser = Browser::signed_in(&shared().gateway, "/echo");
    let headers = format!("{}Origin: http://localhost:{}\r\n", cookie(&browser), shared().gateway.port);
    let (mut stream, answer) = upgrade("/ws/ws", &headers);
    assert_eq!(answer.status, 101);
    // A masked text frame `hello`, and its echo.
    stream
        .write_all(&[0x81, 0x85, 1, 2, 3, 4, b'h' ^ 1, b'e' ^ 2, b'l' ^ 3, b'l' ^ 4, b'o' ^ 1])
        .expect("sent");
    let mut frame = [0; 7];
    stream.read_exact(&mut frame).expect("an echo");
    assert_eq!(&frame[2..], b"hello");
    assert_eq!(browser.post("/.midgate/logout", &[], true).status, 303);
    let ended = Instant::now();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(ended.elapsed() < Duration::from_secs(5), "the tunnel outlives its session");
}

#[test]
fn a_tunnel_in_use_keeps_its_session_and_a_silent_one_ends_with_it() {
    let routes = "[session]\nidle_timeout = \"4s\"\n[[route]]\nupstream = \"{up}\"\nwebsocket = true\n";
    let shared = plain("", "", routes);
    let port = shared.gateway.port;
    let browser = Browser::signed_in(&shared.gateway, "/echo");
    let headers = format!("{}Origin: http://localhost:{port}\r\n", cookie(&browser));
    let (mut stream, answer) = upgrade_at(port, "/ws", &headers);
    assert_eq!(answer.status, 101);
    stream.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    let begun = Instant::now();
    let mut said = 0;
    // Longer than the idle timeout: each answer paces the next word.
    while begun.elapsed() < Duration::from_secs(7) {
        stream.write_all(&[0x81, 0x81, 0, 0, 0, 0, b'x']).expect("the tunnel stands");
        let mut frame = [0; 3];
        stream.read_exact(&mut frame).expect("an echo");
        said += 1;
        let _ = stream.read(&mut [0]);
    }
    assert!(said > 4, "{said}");
    stream.set_read_timeout(Some(Duration::from_secs(12))).expect("a timeout");
    let _ = stream.read_to_end(&mut Vec::new());
    assert!(begun.elapsed() < Duration::from_secs(17), "the silent tunnel outlives its session");
}

#[test]
fn routes_are_found_by_host_then_path_then_method() {
    let (one, two) = (application(), application());
    let shared = plain(
        "",
        "",
        &format!(
            "[[route]]\nupstream = \"{{up}}\"\naccess = \"optional\"\n\
             [[route]]\nhost = \"other.localhost\"\nupstream = \"http://127.0.0.1:{}\"\naccess = \"optional\"\n\
             [[route]]\npath = \"/a/\"\nmethods = [\"GET\"]\nupstream = \"http://127.0.0.1:{}\"\naccess = \"optional\"\n",
            one.port(),
            two.port()
        ),
    );
    let mut browser = Browser::new(&shared.gateway);
    browser.echo("/echo", "");
    assert_eq!((one.count(), two.count()), (0, 0));
    browser.echo("/a/echo", "");
    assert_eq!((one.count(), two.count()), (0, 1));
    let wrong = browser.ask("POST", "/a/echo", "", b"x");
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("GET, HEAD")));
    browser.host = format!("other.localhost:{}", shared.gateway.port);
    browser.echo("/a/echo", "");
    assert_eq!((one.count(), two.count()), (1, 1));
}

#[test]
fn https_upstreams_are_verified_and_sockets_work() {
    let folder = Folder::new();
    let certificate =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    folder.write("ca.pem", &certificate.cert.pem());
    let key =
        rustls::pki_types::PrivateKeyDer::try_from(certificate.signing_key.serialize_der()).expect("a key");
    let tls = rustls::ServerConfig::builder_with_provider(std::sync::Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .expect("versions")
    .with_no_client_auth()
    .with_single_cert(vec![certificate.cert.der().clone()], key)
    .expect("a pair");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let tls = std::sync::Arc::new(tls);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = rustls::StreamOwned::new(
                rustls::ServerConnection::new(tls.clone()).expect("a session"),
                stream,
            );
            let _ = stream.read(&mut [0; 4096]);
            let _ =
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecret");
            let _ = stream.flush();
        }
    });
    let socket = folder.path("app.sock");
    let unix = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    std::thread::spawn(move || {
        for mut stream in unix.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ =
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nunix");
        }
    });
    let op = crate::rig::provider(midgate::demo::provider::Manner::Plain);
    let config = format!(
        "\n{}\n[[upstream]]\nid = \"good\"\nservers = [\"https://localhost:{port}\"]\ntls = {{ ca_file = \"ca.pem\" }}\n\
         [[upstream]]\nid = \"unknown\"\nservers = [\"https://localhost:{port}\"]\n\
         [[upstream]]\nid = \"name\"\nservers = [\"https://localhost:{port}\"]\ntls = {{ ca_file = \"ca.pem\", server_name = \"other.test\" }}\n\
         [[route]]\npath = \"/good\"\nupstream = \"good\"\naccess = \"optional\"\n\
         [[route]]\npath = \"/unknown\"\nupstream = \"unknown\"\naccess = \"optional\"\n\
         [[route]]\npath = \"/name\"\nupstream = \"name\"\naccess = \"optional\"\n\
         [[route]]\npath = \"/unix\"\nupstream = \"unix:{}\"\naccess = \"optional\"\n",
        crate::rig::provider_toml("op", &op, ""),
        socket.display()
    );
    let gateway = Gateway::start_in(folder, crate::rig::gateway::free_port(), &config);
    let mut browser = Browser::new(&gateway);
    assert_eq!(browser.fetch("/good").text(), "secret");
    assert_eq!(browser.fetch("/unix").text(), "unix");
    for path in ["/unknown", "/name"] {
        assert_eq!(browser.fetch(path).status, 502, "{path}");
    }
}

#[test]
fn a_body_over_its_limit_is_413() {
    let shared = plain(
        "",
        "",
        "[listen]\nlimits = { body = \"1KiB\" }\n[[route]]\nupstream = \"{up}\"\naccess = \"optional\"\n",
    );
    let mut browser = Browser::new(&shared.gateway);
    assert_eq!(browser.ask("POST", "/upload", "", &[b'x'; 1024]).status, 200);
    assert_eq!(browser.ask("POST", "/upload", "", &[b'x'; 1025]).status, 413);
    let mut stream = connect(shared.gateway.port).expect("it listens");
    let head = format!(
        "POST /upload HTTP/1.1\r\nHost: localhost:{}\r\nTransfer-Encoding: chunked\r\n\r\n800\r\n",
        shared.gateway.port
    );
    let _ = stream.write_all(&[head.as_bytes(), &[b'x'; 0x800], b"\r\n0\r\n\r\n"].concat());
    assert_eq!(read(&mut stream, false).map(|answer| answer.status).unwrap_or(413), 413);
}

#[test]
fn who_waits_for_100_continue_gets_it() {
    let browser = Browser::signed_in(&shared().gateway, "/echo");
    let mut stream = connect(shared().gateway.port).expect("it listens");
    let host = format!("localhost:{}", shared().gateway.port);
    write!(stream, "POST /upload HTTP/1.1\r\nHost: {host}\r\n{}Content-Length: 3\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n", cookie(&browser)).expect("sent");
    assert_eq!(read_head(&mut stream).expect("a head").status, 100);
    stream.write_all(b"abc").expect("sent");
    assert_eq!(read(&mut stream, false).expect("an answer").json()["bytes"], 3);
    until("nothing hangs", || true);
}
