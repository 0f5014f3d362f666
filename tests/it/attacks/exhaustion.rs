//! What a stranger or a provider could make grow has a limit, and honest users are served meanwhile.
//!
//! `EXHAUSTION=full` takes the full numbers of the rows in place of smaller ones.

use std::collections::BTreeMap;
use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::id_tokens::{ROUTE, fails};
use crate::rig::browser::NAVIGATION;
use crate::rig::wire::{connect, read};
use crate::rig::{Answer, Browser, Gateway, Plain, plain, until};

const OPEN: &str = "[[route]]\nupstream = \"{up}\"\naccess = \"optional\"\n";
/// KiB that the process may grow by for reasons of its own: allocator, caches of connections, meters.
const ROOM: u64 = 24 * 1024;

/// How often something is done: the full number where it is asked for.
fn times(full: usize, usual: usize) -> usize {
    if std::env::var("EXHAUSTION").is_ok_and(|value| value == "full") { full } else { usual }
}

/// Sends the same request over and over on as few connections as there can be.
fn over_and_over(gateway: &Gateway, request: &str, times: usize, mut see: impl FnMut(&Answer)) {
    let request = request.replace("{host}", &format!("localhost:{}", gateway.port));
    let open = || BufReader::new(connect(gateway.port).expect("it listens"));
    let mut stream = open();
    for _ in 0..times {
        if stream.get_mut().write_all(request.as_bytes()).is_err() {
            stream = open();
            stream.get_mut().write_all(request.as_bytes()).expect("sent");
        }
        let answer = read(&mut stream, false).expect("an answer");
        if answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            stream = open();
        }
        see(&answer);
    }
}

/// Whether the other side has closed the connection; never waits.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket");
    let mut room = [0; 4096];
    loop {
        match stream.read(&mut room) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

#[test]
fn a94_navigations_and_polls_without_a_cookie_leave_nothing_behind() {
    let Plain { provider: _provider, gateway, application: _application } = plain("", "", ROUTE);
    let navigation = format!("GET /x HTTP/1.1\r\nHost: {{host}}\r\n{NAVIGATION}\r\n");
    let poll =
        "GET /x HTTP/1.1\r\nHost: {host}\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n\r\n".to_owned();
    let is_login = |answer: &Answer| {
        assert_eq!((answer.status, answer.all("set-cookie").len()), (302, 1), "{answer:?}");
    };
    let is_refusal = |answer: &Answer| {
        assert_eq!((answer.status, answer.all("set-cookie").len()), (401, 0), "{answer:?}");
    };
    over_and_over(&gateway, &navigation, 500, is_login);
    over_and_over(&gateway, &poll, 500, is_refusal);
    let before = gateway.resident();
    over_and_over(&gateway, &navigation, times(100_000, 4000), is_login);
    over_and_over(&gateway, &poll, 1000, is_refusal);
    assert!(gateway.resident() < before + ROOM, "KiB: {before} then {}", gateway.resident());
}

#[test]
fn a94_a_hundred_tabs_keep_few_cookies_and_the_newest_logins() {
    let Plain { provider, gateway, application: _application } = plain("", "", ROUTE);
    // As browsers do: in the order in which they were set.
    let mut jar: Vec<(String, String)> = Vec::new();
    let mut starts = Vec::new();
    for tab in 0..100 {
        let cookies: Vec<String> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookie =
            if cookies.is_empty() { String::new() } else { format!("Cookie: {}\r\n", cookies.join("; ")) };
        let target = format!("/{tab}/{}echo", "deep/".repeat(100));
        let answer = Browser::new(&gateway).ask("GET", &target, &format!("{NAVIGATION}{cookie}"), b"");
        assert_eq!(answer.status, 302, "tab {tab}");
        for line in answer.all("set-cookie") {
            let (name, value) =
                line.split(';').next().and_then(|pair| pair.split_once('=')).expect("a cookie");
            jar.retain(|(known, _)| known != name);
            if !line.contains("Max-Age=0") {
                jar.push((name.to_owned(), value.to_owned()));
            }
        }
        let bytes: usize = jar.iter().map(|(name, value)| name.len() + value.len() + 3).sum();
        assert!(jar.len() <= 5 && bytes < 16 * 1024, "tab {tab}: {} of {bytes} bytes", jar.len());
        starts.push(answer.location().to_owned());
    }
    let mut browser = Browser::new(&gateway);
    browser.cookies = jar.into_iter().collect();
    for tab in [0, 94] {
        let callback = browser.visit_provider(&starts[tab]);
        assert_eq!(
            (browser.deliver(&callback).status, provider.calls().token),
            (400, 0),
            "tab {tab} is gone"
        );
    }
    for (tab, start) in starts.iter().enumerate().skip(95) {
        let callback = browser.visit_provider(start);
        assert!(browser.deliver(&callback).location().starts_with(&format!("/{tab}/")), "tab {tab}");
    }
}

#[test]
fn a95_a_head_has_its_limit() {
    let limits = format!("[listen]\nlimits = {{ header = \"4KiB\" }}\n{OPEN}");
    let Plain { provider: _provider, gateway, application } = plain("", "", &limits);
    // Names and values with what stands between them, and the target.
    let host = format!("localhost:{}", gateway.port);
    let taken = "/echo".len() + "Host".len() + host.len() + 4 + "X-Pad".len() + 4;
    let head = |pad: usize| {
        format!("GET /echo HTTP/1.1\r\nHost: {host}\r\nX-Pad: {}\r\n\r\n", "a".repeat(4096 - taken + pad))
    };
    let ask = |request: &str| {
        let mut stream = connect(gateway.port).expect("it listens");
        let _ = stream.write_all(request.as_bytes());
        (read(&mut stream, false).expect("an answer").status, stream)
    };
    assert_eq!(ask(&head(0)).0, 200);
    assert_eq!(application.count(), 1);
    let lines: String = (0..1000).map(|number| format!("X-{number}: 1\r\n")).collect();
    let many = format!("GET /echo HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n");
    let long = format!("GET /{} HTTP/1.1\r\nHost: {host}\r\n\r\n", "a".repeat(100 * 1024));
    let huge = format!("GET /echo HTTP/1.1\r\nHost: {host}\r\nX: {}\r\n\r\n", "a".repeat(2 << 20));
    for (what, request, statuses) in [
        ("one byte more", head(1), &[431][..]),
        ("1,000 lines", many, &[400, 431]),
        ("a target of 100 KiB", long, &[400, 414, 431]),
        ("2 MiB", huge, &[400, 431]),
    ] {
        let (status, mut stream) = ask(&request);
        assert!(statuses.contains(&status), "{what}: {status}");
        until("the connection is closed", || is_closed(&mut stream));
    }
    assert_eq!(application.count(), 1, "nothing of it arrived");
}

#[test]
fn a96_bodies_for_our_own_paths_are_small_and_their_lengths_are_numbers() {
    let gateway = &crate::rig::shared().gateway;
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    for path in ["/.midgate/callback", "/.midgate/logout/backchannel", "/.midgate/logout"] {
        let fits = format!("x={}", "a".repeat(64 * 1024 - 2));
        assert_ne!(Browser::new(gateway).ask("POST", path, form, fits.as_bytes()).status, 413, "{path}");
        for body in [fits.clone() + "a", "a".repeat(1 << 20)] {
            let answer = Browser::new(gateway).ask("POST", path, form, body.as_bytes());
            assert_eq!(answer.status, 413, "{path} {}", body.len());
        }
        for length in ["99999999999999999999", "-1", "+5", "0x5", "5 5", "", "1e1"] {
            let host = format!("localhost:{}", gateway.port);
            let request = format!(
                "POST {path} HTTP/1.1\r\nHost: {host}\r\n{form}Content-Length: {length}\r\n\r\nabcde"
            );
            let mut stream = connect(gateway.port).expect("it listens");
            stream.write_all(request.as_bytes()).expect("sent");
            let status = read(&mut stream, false).expect("an answer").status;
            assert!(matches!(status, 400 | 413), "{path} {length}: {status}");
            until("the connection is closed", || is_closed(&mut stream));
        }
        let chunk = format!("{:x}\r\n{}\r\n", 1 << 16, "a".repeat(1 << 16)).repeat(2);
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost:{}\r\n{form}Transfer-Encoding: chunked\r\n\r\n",
            gateway.port
        );
        let answer = crate::rig::send(gateway.port, (head + &chunk + "0\r\n\r\n").as_bytes());
        assert_eq!(answer.map(|answer| answer.status).unwrap_or(413), 413, "{path} in chunks");
    }
}

#[test]
fn a97_slow_heads_are_cut_off_and_others_are_served() {
    let limits = format!("[listen]\nlimits = {{ header_timeout = \"3s\" }}\n{ROUTE}");
    let Plain { provider: _provider, gateway, application: _application } = plain("", "", &limits);
    let mut honest = Browser::signed_in(&gateway, "/echo");
    let mut slow: Vec<TcpStream> = (0..times(1000, 300))
        .map(|_| {
            let mut stream = connect(gateway.port).expect("it listens");
            stream.write_all(b"GET /echo HTTP/1.1\r\nX-Slow: ").expect("sent");
            stream
        })
        .collect();
    let begun = Instant::now();
    while !slow.is_empty() {
        slow.retain_mut(|stream| !is_closed(stream) && stream.write_all(b"a").is_ok());
        assert_eq!(honest.fetch("/echo").status, 200, "with {} slow ones", slow.len());
        assert!(begun.elapsed() < Duration::from_secs(60), "{} are still there", slow.len());
        std::thread::park_timeout(Duration::from_millis(200));
    }
    // One that says nothing at all, and one that is silent after a good request.
    let mut silent = connect(gateway.port).expect("it listens");
    until("the silent one is closed", || is_closed(&mut silent));
}

#[test]
fn a97_a_body_of_a_few_bytes_a_second_is_cut_off() {
    let limits = format!("[listen]\nlimits = {{ idle = \"1s\" }}\n{OPEN}");
    let Plain { provider: _provider, gateway, application } = plain("", "", &limits);
    let mut honest = Browser::new(&gateway);
    let head = format!(
        "POST /upload HTTP/1.1\r\nHost: localhost:{}\r\nX-Request-Id: slow-body\r\nContent-Length: 5000\r\n\r\n",
        gateway.port
    );
    let mut slow = connect(gateway.port).expect("it listens");
    slow.write_all(head.as_bytes()).expect("sent");
    let reader = slow.try_clone().expect("a second handle");
    let answer = std::thread::spawn(move || read(&mut &reader, false));
    let begun = Instant::now();
    while !answer.is_finished() {
        let _ = slow.write_all(b"a");
        assert_eq!(honest.fetch("/echo").status, 200);
        assert!(begun.elapsed() < Duration::from_secs(60), "it is still there");
        std::thread::park_timeout(Duration::from_millis(100));
    }
    let answer = answer.join().expect("no panic").expect("an answer");
    assert_eq!((answer.status, &answer.json()["reason"]), (408, &Value::from("body-too-slow")));
    let is_told = |line: &str| {
        line.contains("\"policy.reason\":\"body-too-slow\"")
            && line.contains("\"error.source\":\"downstream\"")
    };
    until("the reason is logged", || gateway.log().lines().any(is_told));
    until("it is closed", || is_closed(&mut slow));
    // Slow, but not as slow: a line of 1,000 bytes now and then.
    let mut steady = connect(gateway.port).expect("it listens");
    steady.write_all(head.as_bytes()).expect("sent");
    for _ in 0..5 {
        std::thread::park_timeout(Duration::from_millis(500));
        steady.write_all(&[b'a'; 1000]).expect("sent");
    }
    assert_eq!(read(&mut steady, false).expect("an answer").json()["bytes"], 5000);
    assert_eq!(application.last().length, 5000);
}

#[test]
fn a97_a_slow_body_for_a_path_of_ours_is_cut_off() {
    let gateway = &crate::rig::shared().gateway;
    let mut slow = connect(gateway.port).expect("it listens");
    let head = "POST /.midgate/callback HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    write!(slow, "{head}Host: localhost:{}\r\nContent-Length: 500\r\n\r\n", gateway.port).expect("sent");
    let reader = slow.try_clone().expect("a second handle");
    let answer = std::thread::spawn(move || read(&mut &reader, false));
    let begun = Instant::now();
    while !answer.is_finished() {
        let _ = slow.write_all(b"a");
        assert!(begun.elapsed() < Duration::from_secs(60), "it is still there");
        std::thread::park_timeout(Duration::from_millis(250));
    }
    assert_eq!(answer.join().expect("no panic").expect("an answer").status, 408);
}

#[test]
fn a97_who_never_reads_an_answer_is_let_go() {
    let limits = format!("[listen]\nlimits = {{ idle = \"2s\" }}\n{OPEN}");
    let Plain { provider: _provider, gateway, application: _application } = plain("", "", &limits);
    let before = gateway.resident();
    let deaf: Vec<TcpStream> = (0..20)
        .map(|number| {
            let mut stream = connect(gateway.port).expect("it listens");
            let id = format!("never-reads-{number}");
            let size = 1_u64 << 32;
            write!(
                stream,
                "GET /download?bytes={size} HTTP/1.1\r\nHost: localhost:{}\r\nX-Request-Id: {id}\r\n\r\n",
                gateway.port
            )
            .expect("sent");
            stream
        })
        .collect();
    let mut honest = Browser::new(&gateway);
    let begun = Instant::now();
    while gateway.log().matches("\"request.id\":\"never-reads-").count() < deaf.len() {
        assert_eq!(honest.fetch("/echo").status, 200);
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", gateway.log());
        std::thread::park_timeout(Duration::from_millis(100));
    }
    assert!(gateway.resident() < before + ROOM, "KiB: {before} then {}", gateway.resident());
}

#[test]
fn a97_one_connection_more_than_the_limit_is_closed() {
    let limits = format!("[listen]\nlimits = {{ connections = 20 }}\n{OPEN}");
    let Plain { provider: _provider, gateway, application } = plain("", "", &limits);
    let ask = |stream: &mut TcpStream, target: &str| {
        write!(stream, "GET {target} HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", gateway.port)
    };
    let mut held: Vec<TcpStream> = (0..20)
        .map(|_| {
            let mut stream = connect(gateway.port).expect("it listens");
            ask(&mut stream, "/sse").expect("sent");
            stream
        })
        .collect();
    until("all are at work", || application.count() == 20);
    let mut one_more = connect(gateway.port).expect("accepted by the system");
    let _ = ask(&mut one_more, "/echo");
    assert!(read(&mut one_more, false).is_err());
    assert!(gateway.metric("midgate_connections_refused_total").is_some());
    held.pop();
    until("there is room again", || {
        let mut next = connect(gateway.port).expect("accepted by the system");
        ask(&mut next, "/echo").is_ok() && read(&mut next, false).is_ok_and(|answer| answer.status == 200)
    });
}

#[test]
fn a97_large_bodies_stream_both_ways_with_memory_flat() {
    let Plain { provider: _provider, gateway, application } = plain("", "", OPEN);
    let size = times(200 << 20, 64 << 20);
    let before = gateway.resident();
    let mut stream = connect(gateway.port).expect("it listens");
    write!(
        stream,
        "POST /upload HTTP/1.1\r\nHost: localhost:{}\r\nContent-Length: {size}\r\n\r\n",
        gateway.port
    )
    .expect("sent");
    let block = vec![b'x'; 1 << 20];
    let mut most = 0;
    for _ in 0..size >> 20 {
        stream.write_all(&block).expect("sent");
        most = most.max(gateway.resident());
    }
    assert_eq!(read(&mut stream, false).expect("an answer").json()["bytes"], size);
    assert_eq!(application.last().length, size as u64);
    write!(
        stream,
        "GET /download?bytes={size} HTTP/1.1\r\nHost: localhost:{}\r\nConnection: close\r\n\r\n",
        gateway.port
    )
    .expect("sent");
    let (mut room, mut got) = (vec![0; 1 << 20], 0);
    loop {
        match stream.read(&mut room).expect("an answer") {
            0 => break,
            read => got += read,
        }
        most = most.max(gateway.resident());
    }
    assert!(got >= size, "{got} bytes");
    assert!(most < before + ROOM, "KiB: {before}, then at most {most}");
}

#[test]
fn a99_answers_of_a_provider_have_limits_and_its_redirects_are_not_followed() {
    let setting = plain("", "", ROUTE);
    let json = [("Content-Type", "application/json")];
    let deep = format!("{}1{}", "{\"a\":".repeat(33), "}".repeat(33));
    let large = format!("{{\"x\":\"{}\"}}", "a".repeat(65 * 1024));
    let provider = &setting.provider;
    for (what, status, body, reason) in [
        ("over 64 KiB", 200, large.as_str(), "answer-too-large"),
        ("too deep", 200, &deep, "not-json"),
        ("HTML", 200, "<html>please wait</html>", "not-json"),
        ("broken off", 200, "{\"access_token\": ", "not-json"),
        ("500", 500, "out of order", "provider-status"),
    ] {
        provider.answer("token", status, &json, body.as_bytes());
        fails(&setting, what, reason);
        assert_eq!((provider.calls().token, provider.calls().userinfo), (1, 0), "{what}: asked once");
    }
    for status in [301, 302, 303, 307, 308] {
        let evil = format!("http://127.0.0.1:{}/evil", provider.port());
        provider.answer("token", status, &[("Location", &evil)], b"");
        fails(&setting, "a redirect", "provider-status");
        assert_eq!(provider.calls().unknown, 0, "{status}: the code and the secret stay here");
    }
    provider.drip("token");
    fails(&setting, "an answer without end", "provider-timeout");
    provider.heal();
    // A key set that is too large, too deep or no set at all never takes the place of a good one.
    Browser::signed_in(&setting.gateway, "/echo");
    let large = format!("{{\"keys\":[],\"x\":\"{}\"}}", "a".repeat(257 * 1024));
    for body in [large, deep] {
        provider.answer("jwks", 200, &json, body.as_bytes());
        provider.fault("unknown-kid", true);
        assert!(Browser::new(&setting.gateway).sign_in("/echo").status >= 500);
        provider.fault("unknown-kid", false);
        Browser::signed_in(&setting.gateway, "/echo");
    }
}

#[test]
fn a100_sessions_are_bounded_and_strangers_push_none_out() {
    let config = format!("[session]\ncapacity = 3\n{ROUTE}");
    let Plain { provider: _provider, gateway, application: _application } = plain("", "", &config);
    let mut browsers: Vec<Browser> = (0..3).map(|_| Browser::signed_in(&gateway, "/echo")).collect();
    let strange = "GET /x HTTP/1.1\r\nHost: {host}\r\nCookie: midgate=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n\r\n";
    over_and_over(&gateway, strange, 1000, |answer| assert_eq!(answer.status, 401));
    for browser in &mut browsers {
        assert_eq!(browser.fetch("/echo").status, 200);
    }
    // Somebody who signs in takes the place of the one who came least recently.
    let mut newest = Browser::signed_in(&gateway, "/echo");
    let evicted = || gateway.metric("midgate_sessions_evicted_total");
    until("somebody has made room", || evicted() == Some(1.0));
    assert_eq!(browsers[0].fetch("/echo").status, 401);
    for browser in browsers[1..].iter_mut().chain([&mut newest]) {
        assert_eq!(browser.fetch("/echo").status, 200);
    }
    assert_eq!(evicted(), Some(1.0));
}

/// Lines of the log with this reason and of this event, and how many more are said to have been left out.
fn told(gateway: &Gateway, reason: &str) -> (usize, u64) {
    let log = gateway.log();
    let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_reason = events.filter(|event| event["policy.reason"] == reason && event["level"] == "WARN");
    of_reason.fold((0, 0), |(lines, left_out), event| match event["log.suppressed"].as_u64() {
        Some(number) => (lines, left_out + number),
        None => (lines + 1, left_out),
    })
}

#[test]
fn a100_the_same_warning_over_and_over_is_counted_and_not_written() {
    let Plain { provider: _provider, gateway, application: _application } = plain("", "", ROUTE);
    let times = times(100_000, 3000);
    let callback = "GET /.midgate/callback?code=x&state=nobody HTTP/1.1\r\nHost: {host}\r\n\r\n";
    let begun = Instant::now();
    let mut reasons = BTreeMap::new();
    over_and_over(&gateway, callback, times, |answer| {
        assert_eq!(answer.status, 400);
        *reasons.entry(answer.json()["reason"].as_str().unwrap_or_default().to_owned()).or_insert(0) += 1;
    });
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    let reason = gateway
        .log()
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|event| event["audit.event"] == "login" && event["audit.result"] == "failed")
        .and_then(|event| event["policy.reason"].as_str().map(str::to_owned))
        .expect("the first one is written");
    // None is lost: what is not written is counted.
    until("the rest is told", || {
        let (lines, left_out) = told(&gateway, &reason);
        lines as u64 + left_out == times as u64
    });
    let (lines, _) = told(&gateway, &reason);
    let most = 200 + 10 * (begun.elapsed().as_secs() as usize + 1);
    assert!(lines <= most, "{lines} of {times}");
    // Another reason has a say of its own.
    let body = b"logout_token=a.b.c";
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    Browser::new(&gateway).ask("POST", "/.midgate/logout/backchannel", form, body);
    until("the other warning is written", || told(&gateway, "token-malformed") == (1, 0));
    assert_eq!(
        gateway.metric(&format!("midgate_logins_total{{provider=\"\",result=\"{reason}\"}}")),
        Some(times as f64)
    );
}
