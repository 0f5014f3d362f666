//! Servers behind the gateway that do what a story says, byte for byte.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A server whose every connection is a function's to serve, with the connection's number.
pub struct Scripted {
    pub port: u16,
    accepted: Arc<AtomicUsize>,
}

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub head: String,
    pub body: Vec<u8>,
}

impl Scripted {
    pub fn start(serve: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> Self {
        Self::at(TcpListener::bind(("127.0.0.1", 0)).expect("a free port"), serve)
    }

    pub fn at(listener: TcpListener, serve: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> Self {
        let port = listener.local_addr().expect("bound").port();
        let accepted = Arc::new(AtomicUsize::new(0));
        let (count, serve) = (Arc::clone(&accepted), Arc::new(serve));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (serve, number) = (Arc::clone(&serve), count.fetch_add(1, Ordering::SeqCst));
                std::thread::spawn(move || serve(stream, number));
            }
        });
        Self { port, accepted }
    }

    /// Answers every request on every connection with the same bytes.
    pub fn always(answer: &'static [u8]) -> Self {
        Self::start(
            move |mut stream, _| {
                while read_request(&mut stream).is_some() && stream.write_all(answer).is_ok() {}
            },
        )
    }

    /// How many connections came.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

/// An answer without a body, on a connection that stays.
pub const EMPTY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// Reads one request with a body of a known length; `None` when the connection ends before.
pub fn read_request(stream: &mut impl Read) -> Option<Seen> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let seen = Seen { head, body: Vec::new() };
    let mut body = vec![0; seen.header("content-length").map_or(0, |text| text.parse().expect("a length"))];
    stream.read_exact(&mut body).ok()?;
    Some(Seen { body, ..seen })
}

impl Seen {
    /// Every value of a header, in any case.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }
}
