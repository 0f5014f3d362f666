//! Section 17: WebSocket and event streams.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::spellings::all;
use super::stage::{ROUTES, Stage, cookie};
use crate::rig::Answer;
use crate::rig::gateway::command;
use crate::rig::wire::{connect, read_head};

/// Asks for a WebSocket; gives the connection and the head of the answer.
fn upgrade(stage: &Stage, target: &str, headers: &str) -> (TcpStream, Answer) {
    let mut stream = connect(stage.gateway.port).expect("it listens");
    write!(
        stream,
        "GET {target} HTTP/1.1\r\nHost: app.test\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
    .expect("sent");
    let head = read_head(&mut stream).expect("a head");
    (stream, head)
}

const ASKS: &str = "Connection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\n";
const OWN: &str = "Origin: https://app.test\r\n";

#[test]
fn a114_an_upgrade_needs_the_routes_word_and_an_own_origin() {
    let stage = Stage::new();
    let session = cookie(&stage.low());
    for origin in [
        "Origin: https://evil.test\r\n",
        "Origin: null\r\n",
        "Origin: http://app.test\r\n",
        "",
        "Origin: https://app.test.evil.test\r\n",
    ] {
        let (_, answer) = upgrade(&stage, "/ws/x", &format!("{session}{ASKS}{origin}"));
        assert_eq!(answer.status, 403, "{origin}");
    }
    assert_eq!(upgrade(&stage, "/ws/x", &format!("{ASKS}{OWN}")).1.status, 401);
    assert_eq!(stage.echo.count(), 0);
    let (mut tunnel, answer) = upgrade(&stage, "/ws/x", &format!("{session}{ASKS}{OWN}{}", all()));
    assert_eq!(answer.status, 101, "{answer:?}");
    tunnel.write_all(b"to and fro").expect("sent");
    let mut back = [0; 10];
    tunnel.read_exact(&mut back).expect("an echo");
    assert_eq!(&back, b"to and fro");
    let seen = stage.echo.all().pop().expect("a request");
    assert!(!format!("{seen:?}").contains("mallory"), "{seen:?}");
    let acr: Vec<_> = seen.headers.iter().filter(|(name, _)| name == "X-Auth-Acr").collect();
    assert_eq!(acr.len(), 1, "{seen:?}");
    // A route that does not say so gets a plain request.
    let (_, answer) = upgrade(&stage, "/other", &format!("{session}{ASKS}{OWN}"));
    assert_eq!(answer.status, 200);
    let seen = stage.echo.all().pop().expect("a request");
    assert!(!seen.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("upgrade")), "{seen:?}");
}

/// Keeps sending on a tunnel until it is closed; gives how long that took.
fn until_closed(mut stream: TcpStream, sends: bool) -> Duration {
    let begun = Instant::now();
    stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
    loop {
        assert!(begun.elapsed() < Duration::from_secs(20), "the stream outlives its session");
        if sends && stream.write_all(b"x").is_err() {
            return begun.elapsed();
        }
        match stream.read(&mut [0; 1024]) {
            Ok(0) => return begun.elapsed(),
            Err(error)
                if !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
            {
                return begun.elapsed();
            }
            _ => {}
        }
    }
}

/// A tunnel and an event stream of one session.
fn open(stage: &Stage, session: &str) -> [(TcpStream, bool); 2] {
    let (tunnel, answer) = upgrade(stage, "/ws/x", &format!("{session}{ASKS}{OWN}"));
    assert_eq!(answer.status, 101, "{answer:?}");
    let mut events = connect(stage.gateway.port).expect("it listens");
    write!(events, "GET /events HTTP/1.1\r\nHost: app.test\r\n{session}\r\n").expect("sent");
    assert_eq!(read_head(&mut events).expect("a head").status, 200);
    [(tunnel, true), (events, false)]
}

#[test]
fn a115_a_long_connection_ends_with_its_session() {
    let admin = "[listen]\nadmin = \"unix:{folder}/admin.sock\"\n[session]\nlifetime = \"6s\"\n";
    let stage = Stage::with("", &format!("{ROUTES}{admin}"));
    let config = stage.gateway.folder.path("gateway.toml").to_string_lossy().into_owned();
    for how in ["sign-out", "back-channel", "revoke", "expiry"] {
        let mut browser = stage.low();
        let begun = Instant::now();
        let streams = open(&stage, &cookie(&browser));
        match how {
            "sign-out" => assert_eq!(browser.post("/.midgate/logout", &[], true).status, 303),
            "back-channel" => {
                let token =
                    stage.op.logout_token(serde_json::json!({}), midgate::demo::provider::Forgery::Nothing);
                let body = format!("logout_token={token}");
                let form = "Content-Type: application/x-www-form-urlencoded\r\n";
                let answer = stage.none().ask("POST", "/.midgate/logout/backchannel", form, body.as_bytes());
                assert_eq!(answer.status, 200, "{answer:?}");
            }
            "revoke" => {
                let (code, list, err) = command(&["sessions", "--config", &config, "list", "--json"]);
                assert_eq!(code, 0, "{err}");
                let list: serde_json::Value = serde_json::from_str(&list).expect("JSON");
                for session in list["sessions"].as_array().expect("a list") {
                    let reference = session["ref"].as_str().expect("a reference");
                    assert_eq!(command(&["sessions", "--config", &config, "revoke", reference]).0, 0);
                }
            }
            // Nothing is done: what is sent meanwhile makes no session live longer.
            _ => {}
        }
        for (stream, sends) in streams {
            let took = until_closed(stream, sends);
            let most = if how == "expiry" { 9 } else { 2 };
            assert!(
                begun.elapsed() < Duration::from_secs(most + 4) && took < Duration::from_secs(most + 1),
                "{how}: {took:?}"
            );
        }
    }
}
