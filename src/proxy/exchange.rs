//! Connections around Pingora's proxy: their number, the time a head may take, and tunnels that end with their session.
//!
//! Pingora has no total deadline for a request's head and no way to end an exchange from outside, so the proxy's own
//! future is raced against both here.

use std::cell::{Cell, RefCell};
use std::future::{Future as _, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::ServerSession;
use pingora_core::server::ShutdownWatch;
use pingora_proxy::HttpProxy;
use tokio::sync::Semaphore;

use super::Gateway;
use crate::clock::unix_now;
use crate::session::{Holder, Session, Sessions};

tokio::task_local! {
    /// Whether the connection still waits for its first request.
    static IS_NEW: Cell<bool>;
    /// The exchange under way, seen from outside the proxy.
    static EXCHANGE: RefCell<State>;
}

enum State {
    /// Waiting for a head.
    Waiting,
    /// A head is here; the hooks' own deadlines count from now on.
    Running,
    /// A long answer that must not outlive its session.
    Tied(Arc<Session>, Arc<Sessions>),
}

/// Notes that the head of the current request is complete.
pub(super) fn note_head() {
    set(State::Running);
}

/// Ends the current exchange when the session ends.
pub(super) fn end_with(session: &Arc<Session>, sessions: &Arc<Sessions>) {
    set(State::Tied(Arc::clone(session), Arc::clone(sessions)));
}

fn set(state: State) {
    // Outside a connection of ours (in a test) there is nothing to tell.
    let _ = EXCHANGE.try_with(|exchange| exchange.replace(state));
}

/// The application on a listener.
pub(crate) struct Edge {
    inner: Arc<Watched>,
    connections: Semaphore,
}

struct Watched {
    proxy: Arc<HttpProxy<Gateway>>,
    options: HttpServerOptions,
    first_head: Duration,
    next_head: Duration,
}

impl Edge {
    /// Wraps the proxy; at most `connections` at a time. A first head must be here within `head`, and each further
    /// one within `idle` and `head` of the answer before it: Pingora does not tell when its first byte came.
    pub(crate) fn new(proxy: HttpProxy<Gateway>, connections: usize, head: Duration, idle: Duration) -> Self {
        let (proxy, options) = (Arc::new(proxy), HttpServerOptions::default());
        let inner = Watched { proxy, options, first_head: head, next_head: idle + head };
        Self { inner: Arc::new(inner), connections: Semaphore::new(connections.min(Semaphore::MAX_PERMITS)) }
    }
}

#[async_trait]
impl ServerApp for Edge {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let Ok(_place) = self.connections.try_acquire() else {
            metrics::counter!("midgate_connections_refused_total").increment(1);
            return None;
        };
        IS_NEW.scope(Cell::new(true), self.inner.process_new(stream, shutdown)).await
    }

    async fn cleanup(&self) {
        self.inner.proxy.http_cleanup().await;
    }
}

#[async_trait]
impl HttpServerApp for Watched {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let is_new = IS_NEW.try_with(|is_new| is_new.replace(false)).unwrap_or_default();
        let head_deadline = if is_new { self.first_head } else { self.next_head };
        EXCHANGE
            .scope(RefCell::new(State::Waiting), async {
                tokio::select! {
                    biased;
                    stream = self.proxy.process_new_http(session, shutdown) => stream,
                    () = end(head_deadline) => None,
                }
            })
            .await
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
        EXCHANGE.with(|exchange| match &*exchange.borrow() {
            State::Waiting => deadline.as_mut().poll(cx).map(|()| None),
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
