//! A sample legacy application that knows nothing of sign-in: it shows the headers that it got.
//!
//! *Never:* anything of the gateway (I12).

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use minijinja::context;
use serde_json::json;
use tokio::sync::mpsc;

use super::http::{Body, Request, Response, Server};
use super::phone::render;

/// A running application, until it is dropped.
pub struct Application {
    server: Server,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    count: usize,
    last: Request,
}

impl Application {
    /// Starts the application on loopback; port 0 takes a free one.
    ///
    /// # Errors
    /// The port is taken.
    pub fn start(port: u16) -> io::Result<Self> {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let noted = Arc::clone(&seen);
        let server = Server::start(
            port,
            Arc::new(move |request| {
                {
                    let mut seen = noted.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.count += 1;
                    seen.last.clone_from(&request);
                }
                Box::pin(answer(request))
            }),
        )?;
        Ok(Self { server, seen })
    }

    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// How many requests arrived.
    pub fn count(&self) -> usize {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).count
    }

    /// The last request, as it arrived.
    pub fn last(&self) -> Request {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).last.clone()
    }

    /// Down: every connection is closed at once.
    pub fn stop(&self) {
        self.server.pause(true);
    }

    /// Up again.
    pub fn start_again(&self) {
        self.server.pause(false);
    }
}

async fn answer(request: Request) -> Response {
    let query: BTreeMap<String, String> = request.query().into_iter().collect();
    let find = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    let number = |name: &str| find(name).parse::<u64>().unwrap_or_default();
    let path = request.path().to_owned();
    match path.rsplit('/').next().unwrap_or_default() {
        "echo" => echo(&request),
        "slow" => {
            tokio::time::sleep(Duration::from_millis(number("ms").min(60_000))).await;
            Response::new(200, "text/plain", "slow")
        }
        "set-cookie" => {
            query.iter().fold(Response::new(200, "text/plain", "set"), |response, (name, value)| {
                response.with("Set-Cookie", &format!("{name}={value}; Path=/"))
            })
        }
        "answer" => {
            query.iter().fold(Response::new(200, "text/plain", "as asked"), |response, (name, value)| {
                response.with(name, value)
            })
        }
        "hop" => Response::new(200, "text/plain", "hop")
            .with("Connection", "X-Hop")
            .with("X-Hop", "1")
            .with("Keep-Alive", "timeout=5")
            .with("X-Midgate-Jwt-Assertion", "forged"),
        "sse" => Response {
            status: 200,
            headers: vec![("Content-Type".to_owned(), "text/event-stream".to_owned())],
            body: Body::Chunks(ticks()),
        },
        "upload" => Response::json(200, &json!({ "bytes": request.length })),
        "download" => Response {
            status: 200,
            headers: vec![("Content-Type".to_owned(), "application/octet-stream".to_owned())],
            body: Body::Chunks(zeros(number("bytes"))),
        },
        "ws" if request.header("upgrade").is_some() => {
            Response { status: 101, headers: Vec::new(), body: Body::WebSocket }
        }
        "close" => Response { status: 200, headers: Vec::new(), body: Body::Nothing },
        code if path.contains("/status/") => {
            Response::new(code.parse().unwrap_or(500), "text/plain", "status")
        }
        _ => Response::html(page(&request)),
    }
}

/// The request exactly as it came.
fn echo(request: &Request) -> Response {
    let text = |value: &[u8]| match std::str::from_utf8(value) {
        Ok(text) => text.to_owned(),
        Err(_) => value.iter().map(|byte| char::from(*byte)).collect(),
    };
    let headers: Vec<_> = request.headers.iter().map(|(name, value)| json!([name, text(value)])).collect();
    Response::json(
        200,
        &json!({
            "method": request.method, "target": request.target, "headers": headers, "body": text(&request.body),
            "length": request.length
        }),
    )
}

/// An event every tenth of a second, for two minutes.
fn ticks() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        for tick in 0..1200 {
            if sender.send(format!("data: {tick}\n\n").into_bytes()).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    receiver
}

fn zeros(mut left: u64) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        while left > 0 {
            let size = left.min(64 * 1024);
            if sender.send(vec![b'0'; usize::try_from(size).unwrap_or_default()]).await.is_err() {
                return;
            }
            left -= size;
        }
    });
    receiver
}

/// Which area of the municipality a path belongs to.
fn area(path: &str) -> (&'static str, &'static str) {
    if path.starts_with("/public/") {
        ("Opening hours", "This page is public: anybody may read it, and no identity is sent along.")
    } else if path.starts_with("/payroll/") {
        ("Payroll", "This area asks for a higher level of assurance than the rest.")
    } else if path.starts_with("/idemia/") {
        ("Residents' register", "This area signs people in with the mID of the second provider.")
    } else if path.starts_with("/archive/") {
        ("Archive", "This area asks for level 4: the phone that was enrolled must answer, and no other.")
    } else if path.starts_with("/either/") {
        ("Requests", "This area takes either identity: whoever is not signed in chooses one.")
    } else {
        (
            "Residents' counter",
            "This application knows nothing of sign-in. It reads who you are in its request headers.",
        )
    }
}

fn page(request: &Request) -> String {
    let (title, text) = area(request.path());
    let mut headers: Vec<(String, String)> = request
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), String::from_utf8_lossy(value).into_owned()))
        .collect();
    headers.sort_by_key(|(name, _)| name.to_ascii_lowercase());
    let (identity, others): (Vec<_>, Vec<_>) =
        headers.into_iter().partition(|(name, _)| name.to_ascii_lowercase().starts_with("x-auth-"));
    let name =
        identity.iter().find(|(name, _)| name.eq_ignore_ascii_case("x-auth-name")).map(|(_, value)| value);
    render(
        "application",
        include_str!("pages/application.html"),
        context! {
            title, text, name, identity, others,
            path => request.path(),
        },
    )
}
