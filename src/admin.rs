//! The operator's side: health, readiness and metrics on one listener, sessions on another.
//!
//! *Never:* anything personal on the health listener.
//! *Source:* Prometheus text format.

mod sessions;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use http::header::{self, HeaderValue};
use http::{Method, Response, StatusCode};
use metrics_exporter_prometheus::PrometheusHandle;
use pingora_core::apps::http_app::ServeHttp;
use pingora_core::protocols::http::ServerSession;
use serde_json::{Map, Value, json};

use crate::provider::Health;
use crate::proxy::Snapshot;
use crate::reply::Reply;
use crate::request::host_of;
use crate::secret::Secret;

/// What the process is up to.
pub(crate) struct Status {
    pub(crate) current: Arc<ArcSwap<Snapshot>>,
    pub(crate) metrics: PrometheusHandle,
    /// The listeners are open.
    pub(crate) listening: AtomicBool,
    /// SIGTERM came.
    pub(crate) draining: AtomicBool,
}

/// `/livez`, `/readyz`, `/metrics`.
pub(crate) struct HealthApp(pub(crate) Arc<Status>);

/// The sessions of a running gateway.
pub(crate) struct AdminApp {
    pub(crate) status: Arc<Status>,
    /// Asked for over TCP; a socket's file mode is enough on a unix socket.
    pub(crate) token: Option<Secret>,
}

#[async_trait]
impl ServeHttp for HealthApp {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let head = session.req_header();
        if !matches!(head.method, Method::GET | Method::HEAD) {
            return written(wrong_method("GET, HEAD"));
        }
        written(match head.uri.path() {
            "/livez" => Reply::json(StatusCode::OK, &json!({ "status": "ok" })),
            "/readyz" => self.0.ready(),
            "/metrics" => {
                self.0.metrics.run_upkeep();
                Reply::new(StatusCode::OK)
                    .body("text/plain; version=0.0.4; charset=utf-8", self.0.metrics.render())
            }
            _ => not_found(),
        })
    }
}

impl Status {
    /// Ready unless not yet listening or draining; a provider or an upstream's server that is down only degrades.
    fn ready(&self) -> Reply {
        let snapshot = self.current.load();
        let mut degraded = false;
        let mut told = |health| match health {
            Health::Ready => json!({ "status": "ok" }),
            Health::Degraded { reason } => {
                degraded = true;
                json!({ "status": "degraded", "reason": reason })
            }
        };
        let site = &snapshot.site;
        let doors = site.login.doors.iter();
        let providers: Map<String, Value> =
            doors.map(|(id, door)| (id.to_string(), told(door.provider.health()))).collect();
        let issuers = site.bearers.issuers();
        let bearers: Map<String, Value> =
            issuers.map(|issuer| (issuer.id().to_string(), told(issuer.health()))).collect();
        let mut upstreams: Map<String, Value> =
            snapshot.peers.ids().map(|id| (id.to_owned(), json!({ "status": "ok" }))).collect();
        for (id, down) in snapshot.peers.down() {
            degraded = true;
            upstreams.insert(id.to_owned(), json!({ "status": "degraded", "down": down }));
        }
        let refusal = match (self.listening.load(Ordering::Acquire), self.draining.load(Ordering::Acquire)) {
            (_, true) => Some("draining"),
            (false, false) => Some("starting"),
            (true, false) => None,
        };
        let word = refusal.unwrap_or(if degraded { "degraded" } else { "ok" });
        let status = if refusal.is_some() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
        let checks = json!({
            "listeners": { "status": refusal.unwrap_or("ok") }, "store": { "status": "ok" },
            "providers": providers, "bearers": bearers, "upstreams": upstreams
        });
        Reply::json(status, &json!({ "status": word, "checks": checks }))
    }
}

#[async_trait]
impl ServeHttp for AdminApp {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let head = session.req_header();
        if let Some(refusal) = self.refusal(head) {
            return written(refusal);
        }
        let path = head.uri.path().to_owned();
        let method = head.method.clone();
        written(sessions::answer(&self.status, &method, &path).await)
    }
}

impl AdminApp {
    /// A browser that was lured here brings a foreign `Host` or an `Origin`; nobody else does.
    fn refusal(&self, head: &http::request::Parts) -> Option<Reply> {
        let forbidden = |reason| {
            Some(Reply::json(StatusCode::FORBIDDEN, &json!({ "error": "forbidden", "reason": reason })))
        };
        if head.headers.contains_key(header::ORIGIN) {
            return forbidden("origin");
        }
        let Some(token) = &self.token else { return None };
        let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok()).and_then(host_of);
        let is_address = |host: &str| {
            host == "localhost" || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok()
        };
        if !host.is_some_and(|host| is_address(&host)) {
            return forbidden("host");
        }
        let given = head
            .headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        let same =
            given.is_some_and(|given| subtle::ConstantTimeEq::ct_eq(given, token.expose().as_bytes()).into());
        if same {
            None
        } else {
            Some(Reply::json(StatusCode::UNAUTHORIZED, &json!({ "error": "unauthorized" })))
        }
    }
}

fn not_found() -> Reply {
    Reply::json(StatusCode::NOT_FOUND, &json!({ "error": "not_found" }))
}

fn wrong_method(allow: &'static str) -> Reply {
    Reply::json(StatusCode::METHOD_NOT_ALLOWED, &json!({ "error": "method_not_allowed" }))
        .with(header::ALLOW, HeaderValue::from_static(allow))
}

fn written(reply: Reply) -> Response<Vec<u8>> {
    let mut response = Response::new(reply.body.to_vec());
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(reply.body.len()));
    response
}
