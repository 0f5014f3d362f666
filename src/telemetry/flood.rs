//! Counts a warning that comes over and over in place of writing it, so that no stranger fills the disk.
//!
//! The first ones are written, then a few a second; how many more there were is told every second.
//! Access events are not touched, since there is one for each request, nor is anything below a warning.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Filter};

use super::AUDIT;

/// Lines of one kind that are written at once.
const BURST: f64 = 200.0;
/// Lines of one kind that are written each second after that.
const RATE: f64 = 10.0;
/// Kinds that are told apart; reasons are words of closed lists, so that there are far fewer.
const MOST_KINDS: usize = 512;

/// What makes two lines the same for whoever reads them: the place that wrote them, and the reason.
type Kind = (tracing::callsite::Identifier, String);

/// How much of one kind may still be written.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bucket {
    left: f64,
    /// Seconds since the first line of all.
    at: f64,
    suppressed: u64,
}

impl Bucket {
    fn new(at: f64) -> Self {
        Self { left: BURST, at, suppressed: 0 }
    }

    /// Whether one more line may be written now.
    fn take(&mut self, now: f64) -> bool {
        self.left = (self.left + (now - self.at).max(0.0) * RATE).min(BURST);
        self.at = now;
        if self.left >= 1.0 {
            self.left -= 1.0;
            return true;
        }
        self.suppressed += 1;
        false
    }
}

struct Told {
    bucket: Bucket,
    message: String,
    target: &'static str,
}

static KINDS: LazyLock<Mutex<HashMap<Kind, Told>>> = LazyLock::new(Mutex::default);
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fn kinds() -> MutexGuard<'static, HashMap<Kind, Told>> {
    // A bucket is whole between any two statements.
    KINDS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The filter that suppresses.
pub(super) struct Flood;

impl<S> Filter<S> for Flood {
    fn enabled(&self, _metadata: &Metadata<'_>, _cx: &Context<'_, S>) -> bool {
        true
    }

    fn callsite_enabled(&self, _metadata: &'static Metadata<'static>) -> tracing::subscriber::Interest {
        // "Sometimes" would have every event ask anew, also those that are turned off.
        tracing::subscriber::Interest::always()
    }

    fn event_enabled(&self, event: &Event<'_>, _cx: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::WARN {
            return true;
        }
        let mut seen = Seen::default();
        event.record(&mut seen);
        if seen.is_summary {
            return true;
        }
        let now = START.elapsed().as_secs_f64();
        let mut kinds = kinds();
        let mut kind = (metadata.callsite(), seen.reason);
        if kinds.len() >= MOST_KINDS && !kinds.contains_key(&kind) {
            // One for all that are left; there are not many places that write.
            kind.1.clear();
        }
        let (message, target) = (seen.message, metadata.target());
        kinds
            .entry(kind)
            .or_insert_with(|| Told { bucket: Bucket::new(now), message, target })
            .bucket
            .take(now)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::TRACE)
    }
}

/// What of an event says which kind it is.
#[derive(Default)]
struct Seen {
    reason: String,
    message: String,
    is_summary: bool,
}

impl Visit for Seen {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "policy.reason" {
            value.clone_into(&mut self.reason);
        }
    }

    fn record_u64(&mut self, field: &Field, _value: u64) {
        self.is_summary |= field.name() == "log.suppressed";
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        }
    }
}

/// Writes how many lines of each kind were left out since the last time; to be called every second, and at the end.
pub(crate) fn tell_suppressed() {
    let told: Vec<_> = kinds()
        .iter_mut()
        .filter(|(_, told)| told.bucket.suppressed > 0)
        .map(|((_, reason), told)| {
            let suppressed = std::mem::take(&mut told.bucket.suppressed);
            (reason.clone(), told.message.clone(), told.target, suppressed)
        })
        .collect();
    // Written without the lock, which the filter takes too.
    for (reason, of, target, log_suppressed) in told {
        let reason = (!reason.is_empty()).then_some(reason);
        metrics::counter!("midgate_log_suppressed_total").increment(log_suppressed);
        if target == AUDIT {
            tracing::warn!(
                target: AUDIT, { log.suppressed = log_suppressed, log.of = of, policy.reason = reason },
                "audit lines left out: too many of one kind"
            );
        } else {
            tracing::warn!(
                log.suppressed = log_suppressed,
                log.of = of,
                policy.reason = reason,
                "lines left out: too many of one kind"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_lines_are_written_then_a_few_a_second_and_the_rest_are_counted() {
        let mut bucket = Bucket::new(0.0);
        let at_once = (0..1000).filter(|_| bucket.take(0.0)).count();
        assert_eq!((at_once, bucket.suppressed), (200, 800));
        let within_a_second = (0..1000).filter(|_| bucket.take(1.0)).count();
        assert_eq!((within_a_second, bucket.suppressed), (10, 1790));
        // A long silence earns no more than one burst, and a clock that goes back earns nothing.
        assert_eq!((0..1000).filter(|_| bucket.take(1e6)).count(), 200);
        assert!(!bucket.take(0.0));
    }
}
