//! Bodies as they come, and memory that does not grow with them.

use std::io::{Read, Write};

use super::http;
use crate::rig::servers::{Scripted, read_request};
use crate::rig::wire::{connect, read, read_chunk, read_head};
use crate::rig::{Browser, application, plain};

const MIB: usize = 1 << 20;
const LARGE: usize = 200;

#[test]
fn large_bodies_stream_both_ways_in_constant_memory() {
    let application = application();
    let config = format!("[[route]]\nupstream = \"{}\"\naccess = \"public\"\n", http(application.port()));
    let shared = plain("", "", &config);
    let port = shared.gateway.port;
    assert_eq!(Browser::new(&shared.gateway).fetch("/echo").status, 200);
    let before = shared.gateway.resident();
    let mut most = before;
    let mut stream = connect(port).expect("it listens");
    let length = LARGE * MIB;
    write!(stream, "POST /upload HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: {length}\r\n\r\n")
        .expect("sent");
    for _ in 0..LARGE {
        stream.write_all(&[b'x'; MIB]).expect("it takes more");
        most = most.max(shared.gateway.resident());
    }
    assert_eq!(read(&mut stream, false).expect("an answer").json()["bytes"], length);
    write!(stream, "GET /download?bytes={length} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n").expect("sent");
    assert_eq!(read_head(&mut stream).expect("a head").status, 200);
    let mut got = 0;
    while let Some(chunk) = read_chunk(&mut stream).expect("a chunk") {
        got += chunk.len();
        if got % (8 * MIB) < chunk.len() {
            most = most.max(shared.gateway.resident());
        }
    }
    assert_eq!(got, length);
    assert!(most - before < 32 * 1024, "from {before} to {most} KiB");
}

#[test]
fn an_answer_before_the_body_was_read_leaves_nothing_behind() {
    // Refuses at once, and would take what follows for a request.
    let server = Scripted::start(|mut stream, _| {
        let mut head = [0; 16];
        let _ = stream.read(&mut head);
        let _ = stream.write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n");
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let other = application();
    let config = format!(
        "[[route]]\nupstream = \"{}\"\naccess = \"public\"\n[[route]]\npath = \"/public/\"\nupstream = \"{}\"\naccess = \"public\"\n",
        http(server.port),
        http(other.port())
    );
    let shared = plain("", "", &config);
    let port = shared.gateway.port;
    let mut stream = connect(port).expect("it listens");
    let smuggled = format!("GET /public/smuggled/echo HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n");
    let body = smuggled.repeat(MIB / smuggled.len());
    write!(stream, "POST /x HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: {}\r\n\r\n", body.len())
        .expect("sent");
    let _ = stream.write_all(body.as_bytes());
    assert_eq!(read(&mut stream, false).expect("an answer").status, 413);
    // Either the rest was taken in and the connection goes on, or it is closed.
    let _ = write!(stream, "GET /public/y/echo HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n");
    if let Ok(second) = read(&mut stream, false) {
        assert_eq!(second.json()["target"], "/public/y/echo");
    }
    assert!(!other.last().target.contains("smuggled"));
    assert!(other.count() <= 1);
}

#[test]
fn a_refusal_while_somebody_waits_to_send_comes_at_once() {
    let server = Scripted::start(|mut stream, _| {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if stream.read_exact(&mut byte).is_err() {
                return;
            }
            head.push(byte[0]);
        }
        let _ = stream.write_all(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n");
        drop(read_request(&mut stream));
    });
    let config = format!("[[route]]\nupstream = \"{}\"\naccess = \"public\"\n", http(server.port));
    let shared = plain("", "", &config);
    let port = shared.gateway.port;
    let mut stream = connect(port).expect("it listens");
    write!(
        stream,
        "PUT /x HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
    )
    .expect("sent");
    assert_eq!(read(&mut stream, false).expect("an answer").status, 417);
}
