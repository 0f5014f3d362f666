//! Upstreams that speak HTTP/2 without TLS, as servers of gRPC do; `tests/real` has those that choose by ALPN.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};

use super::app;
use crate::rig::http2::Http2;
use crate::rig::{Browser, plain, until};

/// What a server of HTTP/2 has seen.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: Mutex<Vec<(Request<()>, Vec<u8>)>>,
    /// At the same time, on one connection.
    most: AtomicUsize,
    now: AtomicUsize,
}

struct Server {
    port: u16,
    seen: Arc<Seen>,
    _runtime: tokio::runtime::Runtime,
}

/// Answers with what came; `/slow` takes a while, `/trailers` has some, `/well` is a health check.
fn server() -> Server {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let seen = Arc::new(Seen::default());
    let noted = Arc::clone(&seen);
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            noted.connections.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(stream, Arc::clone(&noted)));
        }
    });
    Server { port, seen, _runtime: runtime }
}

async fn serve(stream: TcpStream, seen: Arc<Seen>) -> Option<()> {
    let mut connection = h2::server::handshake(stream).await.ok()?;
    while let Some(request) = connection.accept().await {
        let (request, respond) = request.ok()?;
        tokio::spawn(answer(request, respond, Arc::clone(&seen)));
    }
    Some(())
}

async fn answer(
    request: Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    seen: Arc<Seen>,
) -> Option<()> {
    let now = seen.now.fetch_add(1, Ordering::SeqCst) + 1;
    seen.most.fetch_max(now, Ordering::SeqCst);
    let (head, mut body) = request.into_parts();
    let mut bytes = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.ok()?;
        let _ = body.flow_control().release_capacity(chunk.len());
        bytes.extend_from_slice(&chunk);
    }
    let path = head.uri.path().to_owned();
    let length = bytes.len();
    seen.requests.lock().expect("nobody panics").push((Request::from_parts(head, ()), bytes));
    if path == "/slow" {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    seen.now.fetch_sub(1, Ordering::SeqCst);
    let response =
        Response::builder().status(200).header("X-Midgate-Jwt-Assertion", "forged").body(()).ok()?;
    let mut send = respond.send_response(response, false).ok()?;
    send.send_data(Bytes::from(format!("{length} bytes")), path != "/trailers").ok()?;
    if path == "/trailers" {
        send.send_trailers(HeaderMap::from_iter([(
            http::HeaderName::from_static("grpc-status"),
            http::HeaderValue::from_static("0"),
        )]))
        .ok()?;
    }
    Some(())
}

impl Server {
    fn address(&self) -> String {
        format!("h2c://127.0.0.1:{}", self.port)
    }

    fn last(&self) -> Request<()> {
        let requests = self.seen.requests.lock().expect("nobody panics");
        let (request, _) = requests.last().expect("a request");
        let mut copy = Request::new(());
        *copy.uri_mut() = request.uri().clone();
        *copy.headers_mut() = request.headers().clone();
        *copy.version_mut() = request.version();
        copy
    }
}

#[test]
fn a17_the_header_contract_holds_over_http2() {
    let server = server();
    let shared = plain("", "", &format!("[[route]]\nupstream = \"{}\"\n", server.address()));
    let mut browser = Browser::signed_in(&shared.gateway, "/x");
    let port = shared.gateway.port;
    let lines = "Connection: close, X-Auth-User, x-auth-provider, X-Midgate-Jwt-Assertion, Cookie, Authorization\r\n\
                 X-Auth-User: mallory\r\nX_Auth_User: mallory\r\nX-Midgate-Jwt-Assertion: forged\r\nKeep-Alive: timeout=5\r\n\
                 TE: trailers\r\nProxy-Connection: keep-alive\r\nX-Forwarded-For: 203.0.113.9\r\nX-Mine: 1\r\n";
    let answer = browser.ask("GET", "/some/path;v=1?q=%2F", lines, b"");
    assert_eq!((answer.status, answer.text().as_str()), (200, "0 bytes"));
    assert!(answer.header("x-midgate-jwt-assertion").is_none());
    let seen = server.last();
    assert_eq!(seen.version(), http::Version::HTTP_2);
    assert_eq!(seen.uri().to_string(), format!("http://localhost:{port}/some/path;v=1?q=%2F"));
    let all = |name: &str| {
        let values = seen.headers().get_all(name).iter();
        values.map(|value| value.to_str().expect("ASCII").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(all("x-auth-provider"), ["op"]);
    assert_eq!((all("x-auth-user").len(), all("x-auth-user")[0].len()), (1, 43));
    assert_eq!(all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(all("x-mine"), ["1"]);
    for name in [
        "connection",
        "keep-alive",
        "te",
        "proxy-connection",
        "x_auth_user",
        "x-midgate-jwt-assertion",
        "host",
    ] {
        assert!(all(name).is_empty(), "{name}");
    }
    let session = browser.cookies["midgate"].clone();
    assert!(!format!("{:?}", seen.headers()).contains(&session));
}

#[test]
fn a_call_of_grpc_passes_from_http2_to_http2() {
    let server = server();
    let config = format!(
        "[listen]\nh2c = true\n[[upstream]]\nid = \"other\"\nservers = [\"{0}\"]\nhost_header = \"erp.internal\"\n\
         [[route]]\nupstream = \"{0}\"\naccess = \"public\"\n\
         [[route]]\nid = \"cut\"\npath = \"/cut/\"\nupstream = \"{0}\"\naccess = \"public\"\nstrip_prefix = true\n\
         [[route]]\nid = \"named\"\npath = \"/named/\"\nupstream = \"other\"\naccess = \"public\"\n",
        server.address()
    );
    let shared = plain("", "", &config);
    let host = format!("localhost:{}", shared.gateway.port);
    let mut client = Http2::connect(shared.gateway.port);
    for (path, authority, seen_path) in [
        ("/x?y", host.as_str(), "/x?y"),
        ("/cut/x?y", &host, "/x?y"),
        ("/trailers", &host, "/trailers"),
        ("/named/x", "erp.internal", "/named/x"),
    ] {
        let fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", &host),
            (":path", path),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("x-auth-acr", "loa-4"),
        ];
        let answer = client.request(&fields, b"call", &[("x-auth-acr", "loa-4")]);
        assert_eq!((answer.status, answer.text().as_str()), (200, "4 bytes"), "{path} {answer:?}");
        assert_eq!(answer.header("grpc-status"), (path == "/trailers").then_some("0"));
        let seen = server.last();
        let uri = seen.uri();
        assert_eq!(uri.authority().map(http::uri::Authority::as_str), Some(authority), "{path}");
        assert_eq!(uri.path_and_query().map(http::uri::PathAndQuery::as_str), Some(seen_path));
        assert_eq!(seen.headers().get("x-forwarded-host").expect("told"), host.as_str());
        assert_eq!(seen.headers().get("te").expect("told"), "trailers");
        assert!(!seen.headers().contains_key("x-auth-acr") && !seen.headers().contains_key("host"));
    }
}

#[test]
fn requests_share_a_connection_and_bodies_arrive_whole() {
    let server = server();
    let config = format!("[[route]]\nupstream = \"{}\"\naccess = \"public\"\n", server.address());
    let shared = plain("", "", &config);
    let mut browser = Browser::new(&shared.gateway);
    let body = vec![b'x'; 3_000_000];
    assert_eq!(browser.ask("POST", "/upload", "", &body).text(), "3000000 bytes");
    assert_eq!(browser.fetch("/trailers").text(), "0 bytes");
    assert_eq!(server.seen.connections.load(Ordering::SeqCst), 1);
    std::thread::scope(|scope| {
        for _ in 0..12 {
            let mut browser = browser.clone();
            scope.spawn(move || assert_eq!(browser.fetch("/slow").status, 200));
        }
    });
    // Pingora opens another one when two ask for the same connection in the same moment.
    let (connections, most) =
        (server.seen.connections.load(Ordering::SeqCst), server.seen.most.load(Ordering::SeqCst));
    assert!(connections <= 4 && most > 4, "{connections} connections, {most} at a time");
}

#[test]
fn its_health_is_asked_over_http2_too() {
    let server = server();
    let check = "health_check = { path = \"/well\", interval = \"100ms\" }\nhost_header = \"erp.internal\"";
    let config = app(&[server.address()], check) + "[[route]]\nupstream = \"app\"\naccess = \"public\"\n";
    let shared = plain("", "", &config);
    until("it was asked", || {
        server.seen.requests.lock().expect("nobody panics").iter().any(|(request, _)| {
            request.uri().path() == "/well" && request.uri().authority().is_some_and(|a| a == "erp.internal")
        })
    });
    let up = format!("midgate_upstream_up{{upstream=\"app\",server=\"{}\"}}", server.address());
    assert_eq!(shared.gateway.metric(&up), Some(1.0));
    assert_eq!(Browser::new(&shared.gateway).fetch("/x").status, 200);
    assert_eq!(server.last().uri().authority().expect("an authority"), "erp.internal");
}

#[test]
fn what_speaks_no_http2_is_502() {
    let server = crate::rig::application();
    let config =
        format!("[[route]]\nupstream = \"h2c://127.0.0.1:{}\"\naccess = \"public\"\n", server.port());
    let shared = plain("", "", &config);
    let answer = Browser::new(&shared.gateway).fetch("/x");
    assert_eq!((answer.status, &answer.json()["reason"]), (502, &serde_json::json!("upstream-down")));
}
