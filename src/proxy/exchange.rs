//! Around Pingora's proxy: how long a head and a body may take, how many streams, and tunnels that end with their session.
//!
//! Pingora has no total deadline for a request's head, none at all for a body over HTTP/2, and no way to end an exchange
//! from outside, so the proxy's own future is raced against them here.
//! *Source:* RFC 9113 §5.1.2, §10.5 (what a peer may make us hold).

use std::cell::RefCell;
use std::future::{Future as _, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora_core::server::ShutdownWatch;
use pingora_proxy::HttpProxy;
use tokio::time::Instant;

use super::Gateway;
use super::doorkeeper::{Connection, Doorkeeper, connection_in, connection_of};
use crate::clock::unix_now;
use crate::session::{Holder, Session, Sessions};

tokio::task_local! {
    /// The exchange under way, seen from outside the proxy: one for each stream of HTTP/2.
    static EXCHANGE: Exchange;
}

struct Exchange {
    connection: Option<Arc<Connection>>,
    state: RefCell<State>,
}

enum State {
    /// Waiting for a head.
    Waiting,
    /// A head is here, and its body must go on coming.
    Sending { until: Instant, patience: Duration },
    /// The hooks' own deadlines count.
    Running,
    /// A long answer that must not outlive its session.
    Tied(Arc<Session>, Arc<Sessions>),
}

/// Notes that the head of the current request is complete, and how long its body may pause where Pingora has no limit.
pub(super) fn note_head(patience: Option<Duration>) {
    set(match patience {
        Some(patience) => State::Sending { until: Instant::now() + patience, patience },
        None => State::Running,
    });
    let _ = EXCHANGE.try_with(|exchange| exchange.connection.as_ref().map(|connection| connection.begin()));
}

/// Notes that a part of the body is here; `ends` when it was the last.
pub(super) fn note_body(ends: bool) {
    let _ = EXCHANGE.try_with(|exchange| {
        let state = &mut *exchange.state.borrow_mut();
        match state {
            State::Sending { .. } if ends => *state = State::Running,
            State::Sending { until, patience } => *until = Instant::now() + *patience,
            State::Waiting | State::Running | State::Tied(..) => {}
        }
    });
}

/// Notes that the answer has begun: from now on the upstream's own timeouts see to it that the exchange ends, and a
/// client may listen for long before it says more, as over gRPC.
pub(super) fn note_answer() {
    note_body(true);
}

/// Ends the current exchange when the session ends.
pub(super) fn end_with(session: &Arc<Session>, sessions: &Arc<Sessions>) {
    set(State::Tied(Arc::clone(session), Arc::clone(sessions)));
}

fn set(state: State) {
    // Outside a connection of ours (in a test) there is nothing to tell.
    let _ = EXCHANGE.try_with(|exchange| exchange.state.replace(state));
}

/// Bounds of a listener's connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Whether HTTP/2 without TLS is spoken.
    pub(crate) h2c: bool,
    /// From the first byte of a request to the end of its head.
    pub(crate) head: Duration,
    /// How long a connection may wait for its next request.
    pub(crate) idle: Duration,
}

/// The application on a listener.
pub(crate) struct Edge {
    inner: Arc<Watched>,
    door: Arc<Doorkeeper>,
    first_head: Duration,
}

struct Watched {
    proxy: Arc<HttpProxy<Gateway>>,
    options: HttpServerOptions,
    next_head: Duration,
}

/// Streams of one connection that are at work at a time: those that HTTP/2 lets be open (Pingora's default), and as many
/// again that were reset and have not ended yet.
const STREAMS: usize = 200;

impl Edge {
    /// Wraps the proxy. A first head must be here within `head`, and each further one within `idle` and `head` of the
    /// answer before it: Pingora does not tell when its first byte came.
    pub(crate) fn new(proxy: HttpProxy<Gateway>, door: Arc<Doorkeeper>, bounds: Bounds) -> Self {
        let mut options = HttpServerOptions::default();
        options.h2c = bounds.h2c;
        options.h2_idle_timeout = Some(bounds.idle);
        let inner = Watched { proxy: Arc::new(proxy), options, next_head: bounds.idle + bounds.head };
        Self { inner: Arc::new(inner), door, first_head: bounds.head }
    }
}

#[async_trait]
impl ServerApp for Edge {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let stream = self.door.admit(stream).await?;
        let connection = Arc::clone(connection_of(stream.get_proxy_digest().as_deref())?);
        tokio::select! {
            biased;
            stream = self.inner.process_new(stream, shutdown) => stream,
            () = connection.misused() => None,
            () = never_begins(&connection, self.first_head) => None,
        }
    }

    async fn cleanup(&self) {
        self.inner.proxy.http_cleanup().await;
    }
}

/// Resolves when a connection has brought no request in time.
async fn never_begins(connection: &Connection, deadline: Duration) {
    let mut deadline = std::pin::pin!(tokio::time::sleep(deadline));
    poll_fn(|cx| if connection.has_begun() { Poll::Pending } else { deadline.as_mut().poll(cx) }).await;
}

#[async_trait]
impl HttpServerApp for Watched {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let connection = connection_in(session.digest()).cloned();
        let _place = match &connection {
            Some(connection) if session.is_http2() => Some(connection.begin_stream(STREAMS)?),
            Some(_) | None => None,
        };
        let exchange = Exchange { connection, state: RefCell::new(State::Waiting) };
        EXCHANGE
            .scope(exchange, async {
                tokio::select! {
                    biased;
                    stream = self.proxy.process_new_http(session, shutdown) => stream,
                    () = end(self.next_head) => None,
                }
            })
            .await
    }

    fn h2_options(&self) -> Option<H2Options> {
        // A header list of 64 KiB and 100 streams at a time; the window of a connection is the protocol's smallest
        // default. Resets are bounded in both directions (CVE-2023-44487, CVE-2025-8671).
        let mut options = default_h2_options();
        options
            .max_concurrent_reset_streams(16)
            .max_pending_accept_reset_streams(16)
            .max_local_error_reset_streams(Some(32))
            .max_send_buffer_size(64 * 1024);
        Some(options)
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }

    async fn http_cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}

/// Resolves when the current exchange must end.
async fn end(head_deadline: Duration) {
    let mut deadline = std::pin::pin!(tokio::time::sleep(head_deadline));
    // The state changes only while this very task polls the proxy, and `select!` polls this future right after it: a
    // look at each poll misses nothing, and nobody need be woken.
    let tied = poll_fn(|cx| {
        EXCHANGE.with(|exchange| match &*exchange.state.borrow() {
            State::Waiting => deadline.as_mut().poll(cx).map(|()| None),
            State::Sending { until, .. } => {
                if deadline.deadline() != *until {
                    deadline.as_mut().reset(*until);
                }
                deadline.as_mut().poll(cx).map(|()| None)
            }
            State::Running => Poll::Pending,
            State::Tied(session, sessions) => Poll::Ready(Some((Arc::clone(session), Arc::clone(sessions)))),
        })
    });
    if let Some((session, sessions)) = tied.await {
        wait_for_end(&session, &sessions).await;
    }
}

/// Waits until the session is ended, or has run out of its time.
async fn wait_for_end(session: &Session, sessions: &Sessions) {
    let ended = session.ended();
    loop {
        tokio::select! {
            () = ended.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(1)) => {
                let is_over = match session.holder {
                    Holder::Machine => unix_now() >= session.expires,
                    // Asked of the cache: after a refresh it is the session's successor that is used.
                    Holder::Browser => sessions.peek(&session.key, unix_now()).await.is_none(),
                };
                if is_over {
                    return;
                }
            }
        }
    }
}
