//! Signals that end the process: SIGTERM drains, a second one and SIGINT end at once.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora_core::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::admin::Status;
use crate::proxy::exchanges;
use crate::telemetry::tell_suppressed;

/// Requests under way get this long to end.
pub(super) const LONGEST: Duration = Duration::from_secs(30);
/// After the first SIGTERM requests are still taken for this long, so that whoever balances the load sees `/readyz`.
const NOTICE: Duration = Duration::from_secs(1);

pub(super) struct Signals {
    pub(super) status: Arc<Status>,
}

#[async_trait]
impl ShutdownSignalWatch for Signals {
    async fn recv(&self) -> ShutdownSignal {
        let signals =
            (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::quit()));
        let (Ok(mut terminate), Ok(mut interrupt), Ok(mut quit)) = signals else {
            tracing::error!("signals cannot be received");
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = quit.recv() => {}
            // The process goes on to its own end, which tidies up.
            _ = interrupt.recv() => return ShutdownSignal::FastShutdown,
        }
        tracing::info!(
            "draining: not ready any more, the listeners close in a moment, requests under way go on"
        );
        self.status.draining.store(true, Ordering::Release);
        tokio::select! {
            () = tokio::time::sleep(NOTICE) => {}
            () = hurry(&mut terminate, &mut interrupt) => return ShutdownSignal::FastShutdown,
        }
        // Pingora closes the listeners now and then sleeps for its whole grace period; we leave when the last
        // request is done.
        tokio::spawn(async move {
            let started = Instant::now();
            while exchanges() > 0 && started.elapsed() < LONGEST {
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_millis(20)) => {}
                    () = hurry(&mut terminate, &mut interrupt) => break,
                }
            }
            end_now();
        });
        // Lets the listeners close before the first look at what is under way.
        ShutdownSignal::GracefulTerminate
    }
}

async fn hurry(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn end_now() -> ! {
    tell_suppressed();
    tracing::info!("ended");
    std::process::exit(0)
}
