//! ECHO: an application on a raw socket that answers with what it got, byte for byte.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;

/// A header or trailer line.
type Line = (String, String);

/// One request as it came.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) line: String,
    pub(super) headers: Vec<Line>,
    pub(super) trailers: Vec<Line>,
    pub(super) body: Vec<u8>,
    /// Which connection brought it, counted from 0.
    pub(super) connection: usize,
}

#[derive(Default)]
struct State {
    seen: Mutex<Vec<Seen>>,
    answers: Mutex<VecDeque<Vec<u8>>>,
    connections: AtomicUsize,
}

/// A running application, until the test ends.
pub(super) struct Upstream {
    pub(super) port: u16,
    state: Arc<State>,
}

impl Upstream {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        Self { port, state }
    }

    /// How many requests came.
    pub(super) fn count(&self) -> usize {
        self.all().len()
    }

    /// Every request that came.
    pub(super) fn all(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The next request is answered with these bytes, and the connection stays open; without any it is closed.
    pub(super) fn answer_next(&self, bytes: &[u8]) {
        self.state.answers.lock().unwrap_or_else(PoisonError::into_inner).push_back(bytes.to_vec());
    }
}

/// The requests of one connection in turn.
fn serve(stream: TcpStream, state: &State) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let connection = state.connections.fetch_add(1, Ordering::Relaxed);
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    while let Some(mut seen) = read(&mut reader)? {
        seen.connection = connection;
        state.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen.clone());
        let scripted = state.answers.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let upgrade = seen.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("upgrade"));
        match scripted {
            Some(bytes) if bytes.is_empty() => return Ok(()),
            Some(bytes) => stream.write_all(&bytes)?,
            None if upgrade && seen.line.contains(" /ws/") => return tunnel(reader, stream),
            None if seen.line.contains("/events ") => return events(stream),
            None => stream.write_all(&echo(&seen))?,
        }
    }
    Ok(())
}

fn read(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Seen>> {
    let Some(line) = line(reader)? else { return Ok(None) };
    let mut seen = Seen { line, headers: lines(reader)?, ..Seen::default() };
    let find = |name: &str| seen.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    if find("expect").is_some() {
        reader.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let length = find("content-length").and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    if find("transfer-encoding").is_some() {
        loop {
            let size = line_of(reader)?;
            let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16);
            let size = size.map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
            if size == 0 {
                break;
            }
            take(reader, &mut seen.body, size)?;
            line_of(reader)?;
        }
        seen.trailers = lines(reader)?;
    } else {
        take(reader, &mut seen.body, length)?;
    }
    Ok(Some(seen))
}

fn take(reader: &mut impl Read, body: &mut Vec<u8>, size: usize) -> io::Result<()> {
    let start = body.len();
    body.resize(start + size, 0);
    reader.read_exact(&mut body[start..])
}

fn line_of(reader: &mut impl BufRead) -> io::Result<String> {
    line(reader)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// A line without its end, each byte a character.
fn line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    if reader.read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    let bytes = bytes.strip_suffix(b"\r\n").unwrap_or(&bytes);
    Ok(Some(bytes.iter().map(|byte| char::from(*byte)).collect()))
}

fn lines(reader: &mut impl BufRead) -> io::Result<Vec<Line>> {
    let mut found = Vec::new();
    loop {
        let line = line_of(reader)?;
        if line.is_empty() {
            return Ok(found);
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        found.push((name.to_owned(), value.trim().to_owned()));
    }
}

fn echo(seen: &Seen) -> Vec<u8> {
    let mut words = seen.line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let body: String = seen.body.iter().map(|byte| char::from(*byte)).collect();
    let json = json!({
        "line": seen.line, "method": method, "target": target, "headers": seen.headers, "trailers": seen.trailers,
        "body": body, "canary": "CANARY_zz",
    });
    let json = if method == "HEAD" { String::new() } else { json.to_string() };
    let length = json.len();
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{json}")
        .into_bytes()
}

/// Switches protocols and gives back every byte.
fn tunnel(mut reader: BufReader<TcpStream>, mut stream: TcpStream) -> io::Result<()> {
    // Pingora 0.9.1 ends a tunnel whose 101 it reads before it has passed on that the request had no body.
    std::thread::sleep(Duration::from_millis(50));
    stream.write_all(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    )?;
    io::copy(&mut reader, &mut stream).map(drop)
}

/// An event every tenth of a second, until nobody reads them.
fn events(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    )?;
    loop {
        stream.write_all(b"9\r\ndata: 0\n\n\r\n")?;
        std::thread::sleep(Duration::from_millis(100));
    }
}
