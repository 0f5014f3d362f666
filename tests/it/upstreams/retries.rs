//! What is tried again, and what must not be.

use std::io::Write;
use std::sync::{Arc, Mutex};

use super::http;
use crate::rig::servers::{EMPTY, Scripted, Seen, read_request};
use crate::rig::{Browser, Plain, plain, until};

/// A server that answers the first request of its first connection and breaks off at the second; gives what it read.
fn breaks_off() -> (Scripted, Arc<Mutex<Vec<Seen>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let server = Scripted::start(move |mut stream, number| {
        let mut served = 0;
        while let Some(request) = read_request(&mut stream) {
            noted.lock().expect("nobody panics").push(request);
            served += 1;
            if (number == 0 && served == 2) || stream.write_all(EMPTY).is_err() {
                return;
            }
        }
    });
    (server, seen)
}

fn setting() -> (Plain, Scripted, Arc<Mutex<Vec<Seen>>>, Browser) {
    let (server, seen) = breaks_off();
    let shared = plain("", "", &format!("[[route]]\nupstream = \"{}\"\n", http(server.port)));
    let mut browser = Browser::signed_in(&shared.gateway, "/x");
    assert_eq!(browser.fetch("/first").status, 200);
    (shared, server, seen, browser)
}

#[test]
fn a25_a_second_attempt_carries_the_same_identity_headers_once() {
    let (_shared, server, seen, mut browser) = setting();
    assert_eq!(browser.ask("GET", "/second", "X-Auth-User: mallory\r\n", b"").status, 200);
    let seen = seen.lock().expect("nobody panics");
    let [_, first, second] = seen.as_slice() else { panic!("{seen:?}") };
    assert_eq!(server.accepted(), 2);
    for name in ["x-auth-user", "x-auth-provider", "x-request-id", "x-forwarded-for", "host"] {
        assert_eq!(first.all(name).len(), 1, "{name}");
        assert_eq!(first.all(name), second.all(name), "{name}");
    }
    assert_ne!(first.header("x-auth-user"), Some("mallory"));
}

#[test]
fn a_body_that_is_still_there_goes_along_again() {
    let (_shared, _server, seen, mut browser) = setting();
    assert_eq!(browser.ask("PUT", "/second", "", b"the body").status, 200);
    let seen = seen.lock().expect("nobody panics");
    assert_eq!(seen.iter().filter(|request| request.body == b"the body").count(), 2);
}

#[test]
fn what_is_not_idempotent_is_never_sent_twice() {
    let (shared, server, seen, mut browser) = setting();
    let answer = browser.ask("POST", "/second", "Accept: application/json\r\n", b"order");
    assert_eq!(answer.status, 502);
    assert_eq!(answer.json()["reason"], "upstream-down");
    assert_eq!(seen.lock().expect("nobody panics").len(), 2);
    assert_eq!(server.accepted(), 1);
    until("the event is written", || shared.gateway.log().contains("upstream-broken-off"));
}

#[test]
fn a_body_that_is_gone_is_not_sent_twice() {
    let (_shared, server, seen, mut browser) = setting();
    assert_eq!(browser.ask("PUT", "/second", "", &[b'x'; 100_000]).status, 502);
    assert_eq!(seen.lock().expect("nobody panics").len(), 2);
    assert_eq!(server.accepted(), 1);
}

#[test]
fn a_new_connection_that_breaks_off_is_not_tried_again() {
    let server = Scripted::start(|mut stream, _| drop(read_request(&mut stream)));
    let shared =
        plain("", "", &format!("[[route]]\nupstream = \"{}\"\naccess = \"public\"\n", http(server.port)));
    assert_eq!(Browser::new(&shared.gateway).fetch("/x").status, 502);
    assert_eq!(server.accepted(), 1);
}
