//! A small HTTP/1.1 server for the demo's own parts: what it reads it keeps as it came.
//!
//! *Never:* anything of the gateway (I12).
//! *Source:* RFC 9112.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// Bytes of a body that are kept; the rest is counted.
const KEPT: usize = 1 << 20;

/// A request as it came: names and values untouched.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, Vec<u8>)>,
    /// The first mebibyte.
    pub body: Vec<u8>,
    /// Bytes of the whole body.
    pub length: u64,
}

/// What is sent back.
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Body,
}

/// How the body is sent.
pub(super) enum Body {
    Full(Vec<u8>),
    /// Chunk by chunk, as they come.
    Chunks(mpsc::Receiver<Vec<u8>>),
    /// 101, then every byte that comes is answered by the function.
    WebSocket,
    /// The connection is closed without a word.
    Nothing,
}

type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;
type Application = dyn Fn(Request) -> Answering + Send + Sync;

/// A server on a thread of its own, until it is dropped.
pub(super) struct Server {
    address: SocketAddr,
    runtime: Option<tokio::runtime::Runtime>,
    paused: Arc<AtomicBool>,
}

impl Request {
    /// The first header of a name, in any case.
    pub fn header(&self, name: &str) -> Option<String> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(String::from_utf8_lossy(&found.1).into_owned())
    }

    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Parameters of the query.
    pub fn query(&self) -> Vec<(String, String)> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        form_urlencoded::parse(query.as_bytes()).into_owned().collect()
    }

    /// Fields of a form body.
    pub fn form(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(&self.body).into_owned().collect()
    }
}

impl Response {
    pub(super) fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("Content-Type".to_owned(), content_type.to_owned())];
        Self { status, headers, body: Body::Full(body.into()) }
    }

    pub(super) fn html(body: String) -> Self {
        Self::new(200, "text/html; charset=utf-8", body)
    }

    pub(super) fn json(status: u16, value: &serde_json::Value) -> Self {
        Self::new(status, "application/json", value.to_string())
    }

    pub(super) fn redirect(location: &str) -> Self {
        Self::new(302, "text/plain", "").with("Location", location)
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl Server {
    /// Listens on loopback; port 0 takes a free one.
    pub(super) fn start(port: u16, application: Arc<Application>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let paused = Arc::new(AtomicBool::new(false));
        let is_paused = Arc::clone(&paused);
        runtime.spawn(async move {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
            while let Ok((stream, _)) = listener.accept().await {
                if is_paused.load(Ordering::Acquire) {
                    // As good as down: closed before a byte is read.
                    continue;
                }
                let _ = stream.set_nodelay(true);
                let (application, is_paused) = (Arc::clone(&application), Arc::clone(&is_paused));
                tokio::spawn(async move {
                    let _ = serve(stream, &*application, &is_paused).await;
                });
            }
        });
        Ok(Self { address, runtime: Some(runtime), paused })
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// While paused every connection is closed at once.
    pub(super) fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Answers the requests of one connection in turn.
async fn serve(stream: TcpStream, application: &Application, paused: &AtomicBool) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream).await? {
        if paused.load(Ordering::Acquire) {
            return Ok(());
        }
        let is_head = request.method == "HEAD";
        let key = request.header("sec-websocket-key").unwrap_or_default();
        let close = request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let response = application(request).await;
        if !write(&mut stream, response, is_head, &key).await? || close {
            return Ok(());
        }
    }
    Ok(())
}

async fn read(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut line = Vec::new();
    if stream.read_until(b'\n', &mut line).await? == 0 {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&line).into_owned();
    let mut words = text.trim_end().splitn(3, ' ');
    let mut request = Request {
        method: words.next().unwrap_or_default().to_owned(),
        target: words.next().unwrap_or_default().to_owned(),
        ..Request::default()
    };
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Ok(None);
        }
        let field = line.trim_ascii_end();
        if field.is_empty() {
            break;
        }
        let at = field.iter().position(|byte| *byte == b':').unwrap_or(field.len());
        let (name, value) = field.split_at(at);
        let value = value.get(1..).unwrap_or_default().trim_ascii().to_vec();
        request.headers.push((String::from_utf8_lossy(name).into_owned(), value));
    }
    read_body(stream, &mut request).await?;
    Ok(Some(request))
}

async fn read_body(stream: &mut BufReader<TcpStream>, request: &mut Request) -> io::Result<()> {
    if request.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    if request.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await?;
            let size =
                u64::from_str_radix(line.trim().split(';').next().unwrap_or_default(), 16).unwrap_or(0);
            take(stream, request, size).await?;
            line.clear();
            stream.read_line(&mut line).await?;
            if size == 0 {
                return Ok(());
            }
        }
    }
    let length = request.header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
    take(stream, request, length).await
}

async fn take(stream: &mut BufReader<TcpStream>, request: &mut Request, mut left: u64) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = stream.read(buffer.get_mut(..most).unwrap_or_default()).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let chunk = buffer.get(..read).unwrap_or_default();
        let room = KEPT.saturating_sub(request.body.len());
        request.body.extend_from_slice(chunk.get(..read.min(room)).unwrap_or_default());
        request.length += read as u64;
        left -= read as u64;
    }
    Ok(())
}

/// Writes a response; gives whether the connection can go on.
async fn write(
    stream: &mut BufReader<TcpStream>,
    response: Response,
    is_head: bool,
    websocket_key: &str,
) -> io::Result<bool> {
    let mut head = format!("HTTP/1.1 {} {}\r\n", response.status, phrase(response.status));
    for (name, value) in &response.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    match response.body {
        Body::Nothing => Ok(false),
        Body::Full(body) => {
            head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
            stream.write_all(head.as_bytes()).await?;
            if !is_head {
                stream.write_all(&body).await?;
            }
            stream.flush().await?;
            Ok(true)
        }
        Body::Chunks(mut chunks) => {
            head.push_str("Transfer-Encoding: chunked\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            while let Some(chunk) = chunks.recv().await {
                stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await?;
                stream.write_all(&chunk).await?;
                stream.write_all(b"\r\n").await?;
                stream.flush().await?;
            }
            stream.write_all(b"0\r\n\r\n").await?;
            stream.flush().await?;
            Ok(true)
        }
        Body::WebSocket => {
            super::websocket::echo(stream, websocket_key).await?;
            Ok(false)
        }
    }
}

fn phrase(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Status")
}
