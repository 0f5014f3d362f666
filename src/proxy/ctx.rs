//! What is known of one request, and the one access event that it leaves behind.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use http::header::{HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::Authority;
use pingora_core::{Error, ErrorSource, ErrorType};
use pingora_http::RequestHeader;

use super::Snapshot;
use super::peers::Way;
use crate::admission::{Arrival, Passage};
use crate::clock::unix_now;
use crate::request::{Certificate, forwarded_client, host_of};
use crate::route::Route;
use crate::seal::random;
use crate::session::Holder;
use crate::telemetry::ACCESS;
use crate::upstream::digest;

/// How much of a client's address the log shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientAddress {
    Full,
    /// The network: /24 of IPv4, /48 of IPv6.
    Truncated,
    Off,
}

/// One request's state from hook to hook.
pub(crate) struct Ctx {
    pub(crate) snapshot: Arc<Snapshot>,
    /// Unix seconds when the request came: one clock for the whole decision.
    pub(crate) now: u64,
    pub(crate) passage: Option<Passage>,
    pub(crate) route: Option<Arc<Route>>,
    pub(crate) reason: &'static str,
    pub(crate) status: u16,
    pub(crate) way: Way,
    /// Connections that did not come about.
    pub(crate) attempts: usize,
    /// A connection in use was found to take nothing more.
    pub(crate) is_stale_noted: bool,
    pub(crate) connected: bool,
    /// The request may become a tunnel.
    pub(crate) upgrade: bool,
    /// Bytes of body so far.
    pub(crate) received: u64,
    /// The peer of the connection, if it has an address.
    pub(crate) peer: Option<IpAddr>,
    pub(crate) peer_is_trusted: bool,
    /// Whether the connection is over TLS.
    pub(crate) tls: bool,
    /// The client certificate of the connection.
    pub(crate) certificate: Option<Arc<Certificate>>,
    /// Who a trusted peer says the client is.
    client: Option<IpAddr>,
    started: Instant,
    request_id: Option<HeaderValue>,
    error_source: &'static str,
    /// Method, host and path for the access event; only made when it will be written.
    line: Option<Line>,
}

struct Line {
    method: http::Method,
    host: String,
    path: String,
}

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Requests under way in this process.
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// How many requests are under way.
pub(crate) fn exchanges() -> usize {
    UNDER_WAY.load(Ordering::Relaxed)
}

impl Ctx {
    pub(super) fn new(snapshot: Arc<Snapshot>) -> Self {
        UNDER_WAY.fetch_add(1, Ordering::Relaxed);
        Self {
            snapshot,
            now: 0,
            passage: None,
            route: None,
            reason: "",
            status: 0,
            way: Way::default(),
            attempts: 0,
            is_stale_noted: false,
            connected: false,
            upgrade: false,
            received: 0,
            peer: None,
            peer_is_trusted: false,
            tls: false,
            certificate: None,
            client: None,
            started: Instant::now(),
            request_id: None,
            error_source: "",
            line: None,
        }
    }

    /// Notes what the log and the upstream will be told of the request.
    pub(super) fn arrive(&mut self, head: &RequestHeader, peer: Option<IpAddr>) {
        self.started = Instant::now();
        self.now = unix_now();
        let edge = &self.snapshot.edge;
        self.peer = peer.map(|peer| peer.to_canonical());
        self.peer_is_trusted = edge.trusts(self.peer);
        if self.peer_is_trusted {
            self.client = forwarded_client(&head.headers, |address| edge.trusts(*address));
        }
        self.request_id = Some(match head.headers.get(&REQUEST_ID) {
            Some(given) if is_good_id(given) => given.clone(),
            _ => new_id(),
        });
        if edge.access_log && tracing::enabled!(target: ACCESS, tracing::Level::INFO) {
            let line = head.headers.get("host").and_then(|host| host.to_str().ok());
            let host = line.or_else(|| head.uri.authority().map(Authority::as_str)).and_then(host_of);
            let host = host.map(std::borrow::Cow::into_owned).unwrap_or_default();
            let path = head.raw_path().split(|byte| *byte == b'?').next().unwrap_or_default();
            let path =
                String::from_utf8_lossy(path.get(..path.len().min(1024)).unwrap_or_default()).into_owned();
            self.line = Some(Line { method: head.method.clone(), host, path });
        }
    }

    /// The request as admission sees it; `target` is in origin form.
    pub(super) fn arrival<'r>(&'r self, head: &'r Parts, target: &'r [u8]) -> Arrival<'r> {
        Arrival {
            head,
            target,
            request_id: self.request_id(),
            now: self.now,
            client: self.client(),
            certificate: self.certificate.as_deref(),
            peer_is_trusted: self.peer_is_trusted,
        }
    }

    /// The id under which people and logs speak of this request.
    pub(crate) fn request_id(&self) -> &str {
        self.request_id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or_default()
    }

    /// The same, ready to go up.
    pub(super) fn request_id_value(&self) -> Option<&HeaderValue> {
        self.request_id.as_ref()
    }

    pub(super) fn note_failure(&mut self, error: &Error) {
        self.error_source = match error.esource() {
            // A limit of ours that the client went over.
            _ if matches!(error.etype(), ErrorType::HTTPStatus(_)) => "downstream",
            ErrorSource::Upstream => "upstream",
            ErrorSource::Downstream => "downstream",
            ErrorSource::Internal | ErrorSource::Unset if !self.connected && self.passage.is_some() => {
                "upstream"
            }
            ErrorSource::Internal | ErrorSource::Unset => "internal",
        };
        if self.reason.is_empty() {
            self.reason = reason_of(error);
        }
    }

    /// Counts what is said in a tunnel as use of its session, once a second at most.
    pub(super) async fn touch_session(&mut self) {
        let now = unix_now();
        if now == self.now {
            return;
        }
        self.now = now;
        let session = self.passage.as_ref().and_then(|passage| passage.session.as_ref());
        if let Some((session, _)) = session.filter(|(session, _)| session.holder == Holder::Browser) {
            // The cache counts look-ups, not what is written on the session.
            self.snapshot.site.sessions.find(&session.key, now).await;
        }
    }

    /// Whether the body so far came slower than this many bytes a second, after the time that any sender is given.
    pub(super) fn dawdles(&self, least_rate: u64) -> bool {
        let late = self.started.elapsed().saturating_sub(self.snapshot.edge.idle);
        u128::from(self.received) * 1000 < u128::from(least_rate) * late.as_millis()
    }

    /// By what a request stays with its server: its session, or else its client.
    pub(super) fn affinity(&self, passage: &Passage) -> Option<u64> {
        // The session's key is a hash already.
        let session = passage.session.as_ref().and_then(|(session, _)| session.key.first_chunk::<8>());
        session.map(|start| u64::from_be_bytes(*start)).or_else(|| match self.client()? {
            IpAddr::V4(client) => Some(digest(&client.octets())),
            IpAddr::V6(client) => Some(digest(&client.octets())),
        })
    }

    /// Who the client is: what a trusted peer says, else the peer.
    pub(super) fn client(&self) -> Option<IpAddr> {
        self.client.or(self.peer)
    }

    fn client_field(&self) -> String {
        let client = self.client();
        let truncated = |peer: IpAddr| {
            let prefix = if peer.is_ipv4() { 24 } else { 48 };
            ipnet::IpNet::new(peer, prefix).map(|network| network.network().to_string()).unwrap_or_default()
        };
        match (self.snapshot.edge.client_address, client) {
            (ClientAddress::Full, Some(peer)) => peer.to_string(),
            (ClientAddress::Truncated, Some(peer)) => truncated(peer),
            (ClientAddress::Off, _) | (_, None) => String::new(),
        }
    }
}

/// Exactly one access event for each request that reached a hook: also for those that are cut off.
impl Drop for Ctx {
    fn drop(&mut self) {
        UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
        if self.request_id.is_none() {
            return;
        }
        let duration = self.started.elapsed();
        let index = self.route.as_ref().map_or(usize::MAX, |route| route.index);
        let meters = &self.snapshot.meters;
        if let Some(meters) = meters.get(index).or(meters.last()) {
            meters.count(self.status, duration);
        }
        let Some(line) = &self.line else { return };
        let session = self.passage.as_ref().and_then(|passage| passage.session.as_ref());
        tracing::info!(
            target: ACCESS, { request.id = self.request_id(),
            request.method = line.method.as_str(),
            request.host = line.host,
            request.path = line.path,
            client.address = self.client_field(),
            route.name = self.route.as_ref().map(|route| &*route.id),
            session.ref = session.map(|(session, _)| session.reference()),
            policy.reason = (!self.reason.is_empty()).then_some(self.reason),
            response.status = self.status,
            duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            error.source = (!self.error_source.is_empty()).then_some(self.error_source) }, "request");
    }
}

/// Why an exchange broke off, as a word.
pub(super) fn reason_of(error: &Error) -> &'static str {
    match (error.esource(), error.etype()) {
        (_, ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout) => "upstream-connect-timeout",
        (_, ErrorType::ConnectRefused) => "upstream-refused",
        (_, ErrorType::InvalidCert | ErrorType::TLSHandshakeFailure) => "upstream-not-verified",
        (_, ErrorType::ConnectError | ErrorType::ConnectNoRoute | ErrorType::SocketError) => {
            "upstream-unreachable"
        }
        (ErrorSource::Upstream, ErrorType::ReadTimedout | ErrorType::WriteTimedout) => "upstream-timeout",
        (ErrorSource::Upstream, _) => "upstream-broken-off",
        (ErrorSource::Downstream, _) => "client-broken-off",
        (ErrorSource::Internal | ErrorSource::Unset, _) => "internal",
    }
}

/// An id from outside is kept when it can stand in any log as it is.
fn is_good_id(value: &HeaderValue) -> bool {
    let good = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (8..=128).contains(&value.len()) && value.as_bytes().iter().all(good)
}

/// Random bytes of this process, then a counter: unique everywhere without a system call for each request.
fn new_id() -> HeaderValue {
    static PROCESS: OnceLock<u64> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let process = *PROCESS.get_or_init(|| u64::from_le_bytes(random()));
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    // By hand: the formatting machinery takes longer than all of the decision on a request.
    let mut text = [0; 28];
    let (head, tail) = text.split_at_mut(16);
    hex(process, head);
    hex(number, tail);
    HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("none"))
}

/// Writes the low digits of a number, as many as there is room for.
fn hex(mut number: u64, room: &mut [u8]) {
    for place in room.iter_mut().rev() {
        *place = match (number & 15) as u8 {
            digit @ 0..=9 => b'0' + digit,
            letter => b'a' - 10 + letter,
        };
        number >>= 4;
    }
}
