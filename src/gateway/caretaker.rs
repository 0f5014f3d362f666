//! Work beside the requests: warm providers, sweep sessions, reload on SIGHUP.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::server::ShutdownWatch;
use pingora_core::services::background::BackgroundService;
use tokio::net::{TcpStream, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::certificates::Certificates;
use super::{Cause, Loader, SWEEP, Shared, assemble};
use crate::admin::Status;
use crate::config::{Address, Listen, Watched};
use crate::provider::TokenIssuer;
use crate::proxy::Snapshot;
use crate::telemetry::{count_reload, tell_suppressed};

pub(super) struct Caretaker {
    pub(super) status: Arc<Status>,
    pub(super) shared: Shared,
    pub(super) loading: Mutex<Loading>,
    pub(super) certificates: Option<Certificates>,
    pub(super) listen: Listen,
}

/// How the configuration is loaded anew, and the files that make it so by changing.
pub(super) struct Loading {
    pub(super) loader: Box<dyn Loader>,
    pub(super) watched: Watched,
}

#[async_trait]
impl BackgroundService for Caretaker {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut warming = warm(&self.status.current.load_full());
        let mut sweep = tokio::time::interval(SWEEP);
        let Ok(mut hangup) = signal(SignalKind::hangup()) else {
            tracing::error!("SIGHUP cannot be received: reload is not available");
            return;
        };
        self.wait_for_listeners().await;
        self.status.listening.store(true, Ordering::Release);
        tracing::info!("ready");
        loop {
            tokio::select! {
                _ = shutdown.changed() => break,
                _ = sweep.tick() => {
                    self.shared.sessions.sweep().await;
                    // Durations pile up one by one until they are summed up, whether or not anybody scrapes.
                    self.status.metrics.run_upkeep();
                    tell_suppressed();
                    if self.loading().watched.have_changed() {
                        self.take_over(Cause::FileChanged, &mut warming);
                    }
                }
                _ = hangup.recv() => self.take_over(Cause::Asked, &mut warming),
            }
        }
        warming.cancel();
        tell_suppressed();
    }
}

/// Keeps every provider and issuer of a generation warm, and asks its upstreams for their health, until the token is
/// cancelled.
fn warm(snapshot: &Snapshot) -> CancellationToken {
    let stop = CancellationToken::new();
    let providers = snapshot.site.login.doors.values().map(|door| &door.provider);
    for provider in providers.chain(snapshot.site.bearers.issuers().map(TokenIssuer::provider)) {
        tokio::spawn(Arc::clone(provider).keep_warm(stop.clone()));
    }
    let origins = &snapshot.site.table.origins;
    snapshot.peers.watch(&origins.authority(origins.public_host()), &stop);
    stop
}

impl Caretaker {
    fn loading(&self) -> MutexGuard<'_, Loading> {
        // Only this service's own task comes here, so that nobody can have left it half done.
        self.loading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_over(&self, cause: Cause, warming: &mut CancellationToken) {
        if let Some(next) = self.reload(cause) {
            warming.cancel();
            *warming = warm(&next);
        }
    }

    /// All or nothing: a configuration that does not load leaves the old one in force.
    fn reload(&self, cause: Cause) -> Option<Arc<Snapshot>> {
        let old = self.status.current.load_full();
        let result = self.loading().loader.load(cause);
        let mut loaded = match result {
            Ok(loaded) => loaded,
            Err(problems) => return self.keep(&problems),
        };
        self.loading().watched = std::mem::take(&mut loaded.watched);
        let (listen, session) = (loaded.listen.clone(), loaded.session);
        let generation = old.site.shape.generation + 1;
        let next = match assemble(loaded, &self.shared, generation, Some(&old)) {
            Ok(next) => Arc::new(next),
            Err(error) => return self.keep(&format!("{error:#}")),
        };
        for key in self.listen.differences(&listen) {
            tracing::warn!(config.key = key, "changes at the next start only");
        }
        match (&self.certificates, listen.tls) {
            (Some(certificates), Some(tls)) => certificates.replace(&tls.certificates),
            (None, None) => {}
            (Some(_), None) | (None, Some(_)) => {
                tracing::warn!("listen.tls: is turned on or off at the next start only")
            }
        }
        self.shared.sessions.set(session);
        self.status.current.store(Arc::clone(&next));
        count_reload("ok");
        tracing::info!(config.generation = generation, "configuration reloaded");
        Some(next)
    }

    fn keep(&self, problems: &str) -> Option<Arc<Snapshot>> {
        count_reload("failed");
        tracing::error!(error.message = problems, "reload failed: the old configuration stays in force");
        None
    }

    /// Pingora opens the listeners in tasks of its own and tells nobody when they are open.
    async fn wait_for_listeners(&self) {
        for address in &self.listen.address {
            for _ in 0..500 {
                let open = match address {
                    Address::Tcp(address) => {
                        let mut address = *address;
                        if address.ip().is_unspecified() {
                            address.set_ip(if address.is_ipv4() {
                                std::net::Ipv4Addr::LOCALHOST.into()
                            } else {
                                std::net::Ipv6Addr::LOCALHOST.into()
                            });
                        }
                        TcpStream::connect(address).await.is_ok()
                    }
                    Address::Unix(path) => UnixStream::connect(path).await.is_ok(),
                };
                if open {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}
