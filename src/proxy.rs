//! The edge to the wire: Pingora's hooks, each carrying out what the rules say.
//!
//! *Never:* a decision. What is forwarded is what `admission` permitted.
//! *Source:* RFC 9110 §7.6 (forwarding), RFC 9112; ARCHITECTURE "One request".

mod check;
mod ctx;
mod doorkeeper;
mod exchange;
#[cfg(feature = "bench")]
mod measured;
mod opening;
mod peers;
mod respond;
mod standing;
mod upward;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, StatusCode, Version};
use ipnet::IpNet;
use pingora_core::protocols::Digest;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};

use crate::admission::{self, Admitted, Passage, Site};
use crate::headers::hop_by_hop;
use crate::pages::{Outage, Page};
use crate::request::{Certificate, check_raw};
use crate::telemetry::RouteMeters;

pub(crate) use self::ctx::{ClientAddress, Ctx, exchanges};
pub(crate) use self::doorkeeper::Doorkeeper;
pub(crate) use self::exchange::{Bounds, Edge};
#[cfg(feature = "bench")]
pub(crate) use self::measured::{Incoming, Outgoing, through};
pub(crate) use self::peers::{ATTEMPTS, Peers};

/// How the edge treats connections and bodies.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) trusted: Vec<IpNet>,
    /// Whether peers on unix sockets are trusted.
    pub(crate) trusts_unix: bool,
    /// Bytes of all header names and values together.
    pub(crate) header_limit: usize,
    /// Bytes of a request body; `None`: any number.
    pub(crate) body_limit: Option<u64>,
    /// Seconds that a connection may wait for its next request.
    pub(crate) idle: Duration,
    /// Connections of one client at a time; 0: any number.
    pub(crate) connections_per_client: u32,
    /// Whether connections of trusted peers begin with a PROXY protocol header.
    pub(crate) proxy_protocol: bool,
    /// `Strict-Transport-Security` of every answer over TLS.
    pub(crate) hsts: Option<HeaderValue>,
    pub(crate) access_log: bool,
    pub(crate) client_address: ClientAddress,
}

impl Settings {
    /// Whether what a peer says of its clients is believed; one without an address is at a unix socket.
    pub(crate) fn trusts(&self, peer: impl Into<Option<IpAddr>>) -> bool {
        match peer.into() {
            Some(peer) => self.trusted.iter().any(|network| network.contains(&peer)),
            None => self.trusts_unix,
        }
    }
}

/// One generation of the configuration, as the edge uses it.
pub(crate) struct Snapshot {
    pub(crate) site: Site,
    pub(crate) edge: Settings,
    pub(crate) peers: Peers,
    /// By route index, the last for requests without a route.
    pub(crate) meters: Vec<RouteMeters>,
}

/// The proxy: whatever the configuration is when a request comes.
pub(crate) struct Gateway {
    pub(crate) current: Arc<ArcSwap<Snapshot>>,
    pub(crate) serves: Serves,
}

/// What a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Serves {
    Everything,
    /// Nothing but the way to https.
    Redirects,
}

/// A body for one of our own paths is read whole, up to this, within this time.
const OWN_BODY: usize = 64 * 1024;
const OWN_BODY_TIME: Duration = Duration::from_secs(10);
/// Bytes that a body on its way up must bring each second on the average, once `listen.limits.idle` has passed.
const LEAST_RATE: u64 = 128;

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Ctx;

    fn new_ctx(&self) -> Ctx {
        Ctx::new(self.current.load_full())
    }

    fn init_downstream_modules(&self, _modules: &mut pingora_core::modules::http::HttpModules) {
        // None: compressing pages that hold anti-forgery values next to what a visitor typed would leak them.
    }

    async fn early_request_filter(&self, session: &mut Session, ctx: &mut Ctx) -> Result<()> {
        let peer = session.client_addr().and_then(|address| address.as_inet()).map(|address| address.ip());
        ctx.arrive(session.req_header(), peer);
        if let Some(tls) = session.digest().and_then(|digest| digest.ssl_digest.as_ref()) {
            ctx.tls = true;
            ctx.certificate = tls.extension.get::<Arc<Certificate>>().cloned();
        }
        // Over HTTP/2 Pingora lets a body pause for as long as it likes.
        let unbounded = session.is_http2() && !session.is_body_done();
        let edge = &ctx.snapshot.edge;
        exchange::note_head(unbounded.then_some(edge.idle));
        session.set_keepalive(Some(edge.idle.as_secs()));
        session.set_write_timeout(Some(edge.idle));
        session.set_total_drain_timeout(Some(Duration::from_secs(2)));
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Ctx) -> Result<bool> {
        let snapshot = Arc::clone(&ctx.snapshot);
        if head_size(session.req_header()) > snapshot.edge.header_limit {
            session.set_keepalive(None);
            return self.refuse(session, ctx, &Page::HeadersTooLarge).await;
        }
        let raw = (session.req_header().version < Version::HTTP_2).then(|| session.to_h1_raw());
        let target = match &raw {
            Some(raw) => check_raw(raw),
            None => Ok(session.req_header().raw_path()),
        };
        let target = match target {
            Ok(target) => upward::origin_form(target),
            Err(malformed) => {
                return self.refuse(session, ctx, &Page::BadRequest { reason: malformed.word() }).await;
            }
        };
        let head: &http::request::Parts = session.req_header().as_ref();
        let arrival = ctx.arrival(head, target);
        if self.serves == Serves::Redirects {
            let reply = admission::to_https(&snapshot.site, arrival);
            return respond::write(session, ctx, reply).await;
        }
        match admission::admit(&snapshot.site, arrival).await {
            Admitted::Pass(passage) => self.pass(session, ctx, passage).await,
            Admitted::Reply(reply, route) => {
                ctx.route = route;
                respond::write(session, ctx, *reply).await
            }
            Admitted::Own(own) => {
                let (head, target) = (session.req_header().as_owned_parts(), target.to_vec());
                let body = match respond::read_body(session, OWN_BODY, OWN_BODY_TIME).await? {
                    Ok(body) => body,
                    Err(respond::Unread::TooLarge) => {
                        session.set_keepalive(None);
                        return self.refuse(session, ctx, &Page::TooLarge).await;
                    }
                    Err(respond::Unread::TooSlow) => return respond::too_slow(session, ctx).await,
                };
                let arrival = ctx.arrival(&head, &target);
                let reply = admission::answer_own(&snapshot.site, arrival, own, &body).await;
                respond::write(session, ctx, reply).await
            }
        }
    }

    async fn upstream_peer(&self, _session: &mut Session, ctx: &mut Ctx) -> Result<Box<HttpPeer>> {
        // I1: without a permit there is no upstream.
        if ctx.passage.is_none() {
            return Error::e_explain(ErrorType::InternalError, "no permit");
        }
        ctx.snapshot.peers.choose(&mut ctx.way, ctx.now, ctx.upgrade).await
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut Ctx,
        mut error: Box<Error>,
    ) -> Box<Error> {
        // Nothing was sent yet, so that another server may be asked whatever the method is.
        let peers = &ctx.snapshot.peers;
        if *error.etype() == ErrorType::H2Error && !ctx.is_stale_noted {
            // A connection in use that took no further request; the server itself may be well.
            ctx.is_stale_noted = true;
            error.set_retry(true);
            return error;
        }
        peers.note_failure(&ctx.way);
        ctx.attempts += 1;
        error.set_retry(ctx.attempts < peers.places(&ctx.way));
        error
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        upward::rewrite(session.req_header(), request, ctx)
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Ctx,
    ) -> Result<()> {
        exchange::note_body(end);
        let Some(chunk) = body else { return Ok(()) };
        ctx.received += chunk.len() as u64;
        if ctx.upgrade {
            // What is said in a tunnel counts as use of the session.
            ctx.touch_session().await;
            return Ok(());
        }
        if ctx.snapshot.edge.body_limit.is_some_and(|limit| ctx.received > limit) {
            return Error::e_explain(ErrorType::HTTPStatus(413), "body over its limit");
        }
        // Whoever hears already is in a conversation, such as a gRPC stream, and speaks when there is something to say.
        if session.response_written().is_none() && ctx.dawdles(LEAST_RATE) {
            ctx.reason = "body-too-slow";
            return Error::e_explain(ErrorType::HTTPStatus(408), "body below its least rate");
        }
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        _session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        if response.status == StatusCode::SWITCHING_PROTOCOLS && !ctx.upgrade {
            // RFC 9110 §15.2.2: nobody asked for another protocol, so that nobody would read what follows as one.
            return Error::e_explain(ErrorType::HTTPStatus(502), "an upgrade that was not asked for");
        }
        for name in hop_by_hop(&response.headers) {
            response.remove_header(&name);
        }
        respond::keep_back(response, &ctx.snapshot.site.contract)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        exchange::note_answer();
        respond::promise_https(response, ctx)?;
        if let Some((held, _)) = ctx.passage.as_ref().and_then(|passage| passage.session.as_ref()) {
            let streams = response.headers.get(header::CONTENT_TYPE).is_some_and(is_event_stream);
            if streams || response.status == StatusCode::SWITCHING_PROTOCOLS {
                exchange::end_with(held, &ctx.snapshot.site.sessions);
            }
        }
        respond::end_session_on_logout(session, response, ctx).await
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut Ctx) -> FailToProxy {
        let status = respond::status_of(error);
        ctx.note_failure(error);
        if status == 0 || session.response_written().is_some() {
            return FailToProxy { error_code: status, can_reuse_downstream: false };
        }
        if status == 408 {
            if respond::too_slow(session, ctx).await.is_err() {
                tracing::debug!(request.id = ctx.request_id(), "the browser is gone before its answer");
            }
            return FailToProxy { error_code: status, can_reuse_downstream: false };
        }
        let page = match status {
            400 => Page::BadRequest { reason: "bad-request" },
            413 => Page::TooLarge,
            504 => Page::UpstreamDown { outage: Outage::NoAnswer },
            500 => Page::Broken,
            _ => Page::UpstreamDown { outage: Outage::BadAnswer },
        };
        session.set_keepalive(None);
        if self.refuse(session, ctx, &page).await.is_err() {
            tracing::debug!(request.id = ctx.request_id(), "the browser is gone before its answer");
        }
        FailToProxy { error_code: status, can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Ctx) {
        if let Some(response) = session.response_written() {
            ctx.status = response.status.as_u16();
        }
        if let Some(error) = error {
            ctx.note_failure(error);
        }
    }

    fn suppress_error_log(&self, _session: &Session, _ctx: &Ctx, _error: &Error) -> bool {
        // Pingora's own line holds queries and upstream headers (I8); the access event tells what may be told.
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _ctx: &Ctx,
        _error: &Error,
        _context: ProxyWarnLogContext,
    ) -> bool {
        true
    }

    fn request_summary(&self, _session: &Session, ctx: &Ctx) -> String {
        ctx.request_id().to_owned()
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        reused: bool,
        _peer: &HttpPeer,
        #[cfg(unix)] _fd: std::os::unix::io::RawFd,
        _digest: Option<&Digest>,
        ctx: &mut Ctx,
    ) -> Result<()> {
        ctx.connected = true;
        if !reused {
            ctx.snapshot.peers.note_connection(&ctx.way);
        }
        Ok(())
    }
}

impl Gateway {
    /// Notes the permit; an upgrade needs the route's word and an own origin.
    async fn pass(&self, session: &mut Session, ctx: &mut Ctx, passage: Passage) -> Result<bool> {
        let edge = &ctx.snapshot.edge;
        let length = session.req_header().headers.get(header::CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if edge.body_limit.is_some_and(|limit| length.is_some_and(|length| length > limit)) {
            session.set_keepalive(None);
            return self.refuse(session, ctx, &Page::TooLarge).await;
        }
        if passage.route.websocket && is_websocket(session.req_header()) {
            let origin =
                session.req_header().headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
            // Browsers do not keep other sites from opening a WebSocket with our cookies (RFC 6455 §10.2).
            if !origin.is_some_and(|origin| ctx.snapshot.site.table.origins.is_own_origin(origin)) {
                ctx.route = Some(Arc::clone(&passage.route));
                return self
                    .refuse(session, ctx, &Page::Forbidden { reason: "foreign-origin", logout: None })
                    .await;
            }
            ctx.upgrade = true;
        }
        ctx.way = ctx.snapshot.peers.begin(&passage.route.upstream, || ctx.affinity(&passage));
        ctx.route = Some(Arc::clone(&passage.route));
        ctx.passage = Some(passage);
        Ok(false)
    }

    async fn refuse(&self, session: &mut Session, ctx: &mut Ctx, page: &Page<'_>) -> Result<bool> {
        let snapshot = Arc::clone(&ctx.snapshot);
        let head: &http::request::Parts = session.req_header().as_ref();
        let reply = ctx.arrival(head, b"/").caller(&snapshot.site).refuse(page);
        respond::write(session, ctx, reply).await
    }
}

/// Bytes of all header lines and the target.
fn head_size(head: &RequestHeader) -> usize {
    let fields = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    fields.sum::<usize>() + head.raw_path().len()
}

fn is_event_stream(value: &HeaderValue) -> bool {
    value.as_bytes().get(..17).is_some_and(|start| start.eq_ignore_ascii_case(b"text/event-stream"))
}

/// RFC 6455 §4.2.1.
fn is_websocket(head: &RequestHeader) -> bool {
    let upgrade = head.headers.get(header::UPGRADE);
    head.method == Method::GET
        && head.version == Version::HTTP_11
        && upgrade.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}
