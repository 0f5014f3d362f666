//! Each timeout, by what it does.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use super::{app, http};
use crate::rig::servers::{EMPTY, Scripted, read_request};
use crate::rig::wire::{connect, read};
use crate::rig::{Browser, plain, until};

const ROUTE: &str = "[[route]]\nupstream = \"app\"\naccess = \"public\"\n";

#[test]
fn a_connection_that_does_not_come_about_is_504() {
    // Accepts and says nothing: TLS belongs to the connection.
    let silent = Scripted::start(|mut stream, _| drop(stream.read_to_end(&mut Vec::new())));
    let server = format!("https://localhost:{}", silent.port);
    let shared = plain("", "", &(app(&[server], "timeouts = { connect = \"300ms\" }") + ROUTE));
    let begun = Instant::now();
    let answer = Browser::new(&shared.gateway).fetch("/x");
    assert_eq!((answer.status, &answer.json()["reason"]), (504, &serde_json::json!("upstream-slow")));
    assert!(begun.elapsed() < Duration::from_secs(4));
    until("the log says why", || shared.gateway.log().contains("upstream-connect-timeout"));
}

#[test]
fn an_answer_that_does_not_come_is_504() {
    let silent = Scripted::start(|mut stream, _| drop(stream.read_to_end(&mut Vec::new())));
    let shared = plain("", "", &(app(&[http(silent.port)], "timeouts = { read = \"300ms\" }") + ROUTE));
    let answer = Browser::new(&shared.gateway).fetch("/x");
    assert_eq!((answer.status, &answer.json()["reason"]), (504, &serde_json::json!("upstream-slow")));
    until("the log says why", || shared.gateway.log().contains("upstream-timeout"));
    let page = Browser::new(&shared.gateway).open("/x");
    assert!(page.status == 504 && page.text().contains("<main"), "{page:?}");
}

/// Once nothing more can be written, an answer that comes all the same has the time of `read`.
#[test]
fn a_body_that_nobody_takes_is_504() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let stuck = Scripted::start(move |stream, _| {
        let _ = held.lock().expect("nobody panics").recv();
        drop(stream);
    });
    let shared =
        plain("", "", &(app(&[http(stuck.port)], "timeouts = { write = \"300ms\", read = \"1s\" }") + ROUTE));
    let mut stream = connect(shared.gateway.port).expect("it listens");
    let mut writer = stream.try_clone().expect("a second handle");
    let head = format!(
        "POST /x HTTP/1.1\r\nHost: localhost:{}\r\nContent-Length: 67108864\r\n\r\n",
        shared.gateway.port
    );
    let sending = std::thread::spawn(move || {
        writer.write_all(head.as_bytes())?;
        (0..64).try_for_each(|_| writer.write_all(&[b'x'; 1 << 20]))
    });
    assert_eq!(read(&mut stream, false).expect("an answer").status, 504);
    drop(stream);
    let _ = sending.join().expect("no panic");
    until("the log says why", || shared.gateway.log().contains("upstream-timeout"));
    drop(release);
}

#[test]
fn connections_are_used_again_until_they_are_idle_for_too_long() {
    let (closed, ends) = std::sync::mpsc::channel();
    let closed = std::sync::Mutex::new(closed);
    let server = Scripted::start(move |mut stream, _| {
        while read_request(&mut stream).is_some() && stream.write_all(EMPTY).is_ok() {}
        let _ = closed.lock().expect("nobody panics").send(Instant::now());
    });
    let shared = plain("", "", &(app(&[http(server.port)], "timeouts = { idle = \"1s\" }") + ROUTE));
    let mut browser = Browser::new(&shared.gateway);
    for _ in 0..5 {
        assert_eq!(browser.fetch("/x").status, 200);
    }
    let last = Instant::now();
    assert_eq!(server.accepted(), 1);
    let end = ends.recv_timeout(Duration::from_secs(20)).expect("it is closed");
    assert!(end.saturating_duration_since(last) > Duration::from_millis(500));
    assert_eq!(browser.fetch("/x").status, 200);
    assert_eq!(server.accepted(), 2);
}
