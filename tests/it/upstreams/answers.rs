//! Answers that are none, and paths that are cut.

use super::http;
use crate::rig::servers::Scripted;
use crate::rig::{Browser, application, plain};

#[test]
fn a106_an_answer_that_can_be_read_in_two_ways_is_502_and_its_connection_is_not_used_again() {
    for (what, answer) in [
        ("two lengths", &b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 6\r\n\r\nforged"[..]),
        (
            "an unasked 101",
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        ),
        ("a broken line", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Broken\r\n\r\n"),
        ("a NUL", b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok"),
        ("a broken name", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX Broken: 1\r\n\r\n"),
        ("a broken status line", b"HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n"),
        ("no HTTP", b"220 mail.example.ch ESMTP\r\n\r\n"),
        ("a length that is none", b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello"),
    ] {
        let server = Scripted::always(answer);
        let config = format!("[[route]]\nupstream = \"{}\"\naccess = \"public\"\n", http(server.port));
        let shared = plain("", "", &config);
        let mut browser = Browser::new(&shared.gateway);
        for round in 1..=2 {
            let answer = browser.fetch("/x");
            assert_eq!(answer.status, 502, "{what}: {answer:?}");
            assert_eq!(server.accepted(), round, "{what}");
        }
    }
}

#[test]
fn a106_of_two_kinds_of_length_the_chunks_count_and_the_other_goes_no_further() {
    // RFC 9112 §6.3 (3): Pingora takes Content-Length out before a hook of ours could see it.
    let server = Scripted::always(
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\
          HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
    );
    let config = format!("[[route]]\nupstream = \"{}\"\naccess = \"public\"\n", http(server.port));
    let shared = plain("", "", &config);
    let mut browser = Browser::new(&shared.gateway);
    for round in 1..=2 {
        let answer = browser.fetch("/x");
        assert_eq!((answer.status, answer.header("content-length"), answer.text().as_str()), (200, None, ""));
        assert_eq!(server.accepted(), round, "what follows the answer is nobody's");
    }
}

#[test]
fn a13_a_prefix_is_cut_in_every_spelling_and_one_slash_leads() {
    let application = application();
    let route = |path: &str, more: &str| {
        format!(
            "[[route]]\npath = \"{path}\"\nupstream = \"{}\"\naccess = \"public\"\nstrip_prefix = true\n{more}\n",
            http(application.port())
        )
    };
    let config = route("/api/", "") + &route("/a/b/", "allow_in_path = [\"//\", \"%2f\"]");
    let shared = plain("", "", &config);
    let mut browser = Browser::new(&shared.gateway);
    for (asked, sent) in [
        ("/api", "/"),
        ("/api?x=/api/", "/?x=/api/"),
        ("/api/", "/"),
        ("/api/v1/x?q=%2F", "/v1/x?q=%2F"),
        ("/%61pi/v1", "/v1"),
        ("/ap%69", "/"),
        ("/api;v=1/x", "/x"),
        ("/api/x;v=1", "/x;v=1"),
        ("/api/api/x", "/api/x"),
        ("/api/%C3%A9", "/%C3%A9"),
        ("/a/b/c/d", "/c/d"),
        ("/a/b//c", "/c"),
        ("/a/b/%2fc", "/%2fc"),
    ] {
        let answer = browser.fetch(asked);
        assert_eq!(answer.status, 200, "{asked}");
        assert_eq!(application.last().target, sent, "{asked}");
    }
    for refused in ["/api//x", "/api/%2fx", "/api/../x", "/api/.%2e/x", "/api\\x", "/api/;/x"] {
        let before = application.count();
        assert_eq!(browser.fetch(refused).status, 400, "{refused}");
        assert_eq!(application.count(), before);
    }
}
