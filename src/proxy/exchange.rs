//! Connections around Pingora's proxy: their number, the time a head may take, and tunnels that end with their session.
//!
//! Pingora has no total deadline for a request's head and no way to end an exchange from outside, so the proxy's own
//! future is raced against both here.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use pingora_core::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::ServerSession;
use pingora_core::server::ShutdownWatch;
use pingora_proxy::HttpProxy;
use tokio::sync::{Notify, Semaphore};

use super::Gateway;
use crate::session::{Session, Sessions};

tokio::task_local! {
    static EXCHANGE: Exchange;
}

/// One request on one connection, seen from outside the proxy.
#[derive(Default)]
struct Exchange {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default, Clone)]
enum State {
    /// Waiting for a head.
    #[default]
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
    let _ = EXCHANGE.try_with(|exchange| {
        *exchange.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        exchange.changed.notify_one();
    });
}

/// The application on a listener.
pub(crate) struct Edge {
    inner: Arc<Watched>,
    connections: Semaphore,
}

struct Watched {
    proxy: Arc<HttpProxy<Gateway>>,
    options: HttpServerOptions,
    head_deadline: Duration,
}

impl Edge {
    /// Wraps the proxy; at most `connections` at a time, a head within `head_deadline` of the connection's last answer.
    pub(crate) fn new(proxy: HttpProxy<Gateway>, connections: usize, head_deadline: Duration) -> Self {
        let inner = Watched { proxy: Arc::new(proxy), options: HttpServerOptions::default(), head_deadline };
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
        self.inner.process_new(stream, shutdown).await
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
        EXCHANGE
            .scope(Exchange::default(), async {
                tokio::select! {
                    biased;
                    stream = self.proxy.process_new_http(session, shutdown) => stream,
                    () = end(self.head_deadline) => None,
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
    let deadline = tokio::time::sleep(head_deadline);
    tokio::pin!(deadline);
    loop {
        // The lock and the task-local are let go before anything is awaited.
        let state =
            EXCHANGE.with(|exchange| exchange.state.lock().unwrap_or_else(PoisonError::into_inner).clone());
        match state {
            State::Waiting => tokio::select! {
                () = &mut deadline => return,
                () = changed() => {}
            },
            State::Running => changed().await,
            State::Tied(session, sessions) => {
                wait_for_end(&session, &sessions).await;
                return;
            }
        }
    }
}

async fn changed() {
    std::future::poll_fn(|cx| {
        EXCHANGE.with(|exchange| {
            let notified = std::pin::pin!(exchange.changed.notified());
            std::future::Future::poll(notified, cx)
        })
    })
    .await;
}

/// Waits until the session is ended, or has run out of its time.
async fn wait_for_end(session: &Session, sessions: &Sessions) {
    let ended = session.ended();
    loop {
        tokio::select! {
            () = ended.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(1)) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
                if !session.is_live(now, sessions.idle()) {
                    return;
                }
            }
        }
    }
}
