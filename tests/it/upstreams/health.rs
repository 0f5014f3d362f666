//! Servers that are out of use, and those that come back.

use std::io::Write;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{app, http};
use crate::rig::gateway::free_port;
use crate::rig::servers::{EMPTY, Scripted, Seen, read_request};
use crate::rig::{Browser, Plain, application, plain, until};

/// A server that is asked at `/well`, and says what it is told to say.
struct Patient {
    server: Scripted,
    is_well: Arc<AtomicBool>,
    questions: Arc<AtomicUsize>,
    last: Arc<Mutex<Seen>>,
    visits: Arc<AtomicUsize>,
}

fn patient() -> Patient {
    let (is_well, questions) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let (last, visits) = (Arc::new(Mutex::new(Seen::default())), Arc::new(AtomicUsize::new(0)));
    let (well, asked, seen, visited) =
        (Arc::clone(&is_well), Arc::clone(&questions), Arc::clone(&last), Arc::clone(&visits));
    let server = Scripted::start(move |mut stream, _| {
        while let Some(request) = read_request(&mut stream) {
            let mut answer = EMPTY;
            if request.head.starts_with("GET /well?deep=1 ") {
                asked.fetch_add(1, Ordering::SeqCst);
                *seen.lock().expect("nobody panics") = request;
                if !well.load(Ordering::SeqCst) {
                    answer = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
                }
            } else {
                visited.fetch_add(1, Ordering::SeqCst);
            }
            if stream.write_all(answer).is_err() {
                return;
            }
        }
    });
    Patient { server, is_well, questions, last, visits }
}

const CHECK: &str = "health_check = { path = \"/well?deep=1\", interval = \"100ms\" }";
const ROUTE: &str = "[[route]]\nupstream = \"app\"\naccess = \"public\"\n";

fn is_up(shared: &Plain, server: &str) -> Option<f64> {
    shared.gateway.metric(&format!("midgate_upstream_up{{upstream=\"app\",server=\"{server}\"}}"))
}

#[test]
fn a_server_that_says_it_is_not_well_is_left_out_until_it_is() {
    let (patient, other) = (patient(), application());
    let address = http(patient.server.port);
    let config = app(&[address.clone(), http(other.port())], CHECK) + ROUTE;
    let shared = plain("", "", &config);
    until("it was asked", || patient.questions.load(Ordering::SeqCst) > 2);
    assert_eq!(is_up(&shared, &address), Some(1.0));
    let asked = patient.last.lock().expect("nobody panics").clone();
    assert_eq!(asked.header("host"), Some(format!("localhost:{}", shared.gateway.port).as_str()));
    assert!(asked.header("user-agent").is_some_and(|agent| agent.starts_with("midgate/")));
    for name in ["cookie", "authorization", "x-auth-user", "x-forwarded-for", "x-request-id"] {
        assert_eq!(asked.header(name), None, "{name}");
    }
    patient.is_well.store(false, Ordering::SeqCst);
    until("it is out", || is_up(&shared, &address) == Some(0.0));
    let (status, body) = shared.gateway.ready();
    assert_eq!(status, 200);
    let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(body["status"], "degraded");
    assert_eq!(body["checks"]["upstreams"]["app"]["down"], serde_json::json!([address]));
    let mut browser = Browser::new(&shared.gateway);
    let visits = patient.visits.load(Ordering::SeqCst);
    for _ in 0..6 {
        assert_eq!(browser.fetch("/echo").status, 200);
    }
    assert_eq!(patient.visits.load(Ordering::SeqCst), visits);
    // A reload knows what was known.
    shared.gateway.signal("HUP");
    until("the reload is done", || {
        shared.gateway.metric("midgate_reloads_total{result=\"ok\"}") == Some(1.0)
    });
    for _ in 0..4 {
        assert_eq!(browser.fetch("/echo").status, 200);
    }
    assert_eq!(patient.visits.load(Ordering::SeqCst), visits);
    patient.is_well.store(true, Ordering::SeqCst);
    until("it is in", || is_up(&shared, &address) == Some(1.0));
    until("it is asked again", || {
        browser.fetch("/echo");
        patient.visits.load(Ordering::SeqCst) > visits
    });
    let log = shared.gateway.log();
    assert_eq!(log.matches("upstream server is out of use").count(), 1, "{log}");
    assert_eq!(log.matches("upstream server is in use again").count(), 1, "{log}");
    assert!(log.contains("health-status"));
}

#[test]
fn questions_end_with_their_generation() {
    let patient = patient();
    let address = http(patient.server.port);
    let shared = plain("", "", &(app(std::slice::from_ref(&address), CHECK) + ROUTE));
    patient.is_well.store(false, Ordering::SeqCst);
    until("it is out", || is_up(&shared, &address) == Some(0.0));
    // All are out, so that all are tried.
    assert_eq!(Browser::new(&shared.gateway).fetch("/x").status, 200);
    let written = std::fs::read_to_string(shared.gateway.folder.path("gateway.toml")).expect("written");
    assert!(written.contains(CHECK));
    shared.gateway.folder.write("gateway.toml", &written.replace(CHECK, ""));
    shared.gateway.signal("HUP");
    until("nobody asks, nobody knows", || is_up(&shared, &address) == Some(1.0));
    let (asked, begun) = (patient.questions.load(Ordering::SeqCst), Instant::now());
    until("several questions would have come", || begun.elapsed() > Duration::from_millis(600));
    // One may have been on its way.
    assert!(patient.questions.load(Ordering::SeqCst) <= asked + 1);
}

#[test]
fn a_server_that_takes_no_connections_is_set_aside_and_tried_again() {
    let (port, other) = (free_port(), application());
    let address = http(port);
    let shared = plain("", "", &(app(&[address.clone(), http(other.port())], "") + ROUTE));
    let mut browser = Browser::new(&shared.gateway);
    until("it is set aside", || {
        assert_eq!(browser.ask("POST", "/echo", "", b"x").status, 200);
        is_up(&shared, &address) == Some(0.0)
    });
    assert!(shared.gateway.ready().1.contains(&address));
    let server = Scripted::at(TcpListener::bind(("127.0.0.1", port)).expect("free"), |mut stream, _| {
        while read_request(&mut stream).is_some() && stream.write_all(EMPTY).is_ok() {}
    });
    until("it is tried again", || {
        assert_eq!(browser.fetch("/echo").status, 200);
        server.accepted() > 0
    });
    until("it is in", || is_up(&shared, &address) == Some(1.0));
    assert!(shared.gateway.log().contains("upstream server is in use again"));
}

#[test]
fn where_all_servers_are_set_aside_all_are_tried() {
    let (one, two) = (free_port(), free_port());
    let shared = plain("", "", &(app(&[http(one), http(two)], "") + ROUTE));
    let mut browser = Browser::new(&shared.gateway);
    for _ in 0..4 {
        assert_eq!(browser.fetch("/x").status, 502);
    }
    assert_eq!((is_up(&shared, &http(one)), is_up(&shared, &http(two))), (Some(0.0), Some(0.0)));
    let _server = Scripted::at(TcpListener::bind(("127.0.0.1", two)).expect("free"), |mut stream, _| {
        while read_request(&mut stream).is_some() && stream.write_all(EMPTY).is_ok() {}
    });
    assert_eq!(browser.fetch("/x").status, 200, "at once");
}
