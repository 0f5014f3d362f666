//! What the gateway tells its operator: the metrics' names and the shape of logs.
//!
//! The field dictionary: `request.id`, `request.method`, `request.host`, `request.path` (never the query),
//! `client.address`, `route.name`, `session.ref` (a short hash), `policy.reason`, `policy.rules` and `policy.failed`
//! (policies of a file by their `@id`), `login.step`, `provider.name`, `response.status`, `duration_ms`, `error.source`,
//! `upstream.name`, `upstream.server`, `upstream.reason` (a word), `audit.left_out` and `log.suppressed` (events of a
//! flood that were not written). Never: tokens, codes, state, nonce,
//! cookies, keys, claim values, phone numbers, query strings, bodies (I8).

mod flood;
mod log;

use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Histogram};

pub(crate) use self::flood::tell_suppressed;
pub(crate) use self::log::{Format, LogSettings, init};

/// Target of access events: one for each request that reached a hook.
pub(crate) const ACCESS: &str = "midgate::access";
/// Target of audit events: security facts such as logins and logouts.
pub(crate) const AUDIT: &str = "midgate::audit";

/// One route's meters, made when the configuration is loaded so that a request only counts.
#[derive(Debug, Clone)]
pub(crate) struct RouteMeters {
    classes: Arc<[Counter; 6]>,
    duration: Histogram,
}

impl RouteMeters {
    /// Meters labelled with a route's name.
    pub(crate) fn new(route: &str) -> Self {
        let counter = |class: &'static str| metrics::counter!("midgate_requests_total", "route" => route.to_owned(), "status" => class);
        let duration = metrics::histogram!("midgate_request_duration_seconds", "route" => route.to_owned());
        Self { classes: Arc::new(["none", "1xx", "2xx", "3xx", "4xx", "5xx"].map(counter)), duration }
    }

    /// Counts one request; status 0: nobody got an answer.
    pub(crate) fn count(&self, status: u16, duration: Duration) {
        let class = usize::from(status / 100);
        if let Some(counter) = self.classes.get(class) {
            counter.increment(1);
        }
        self.duration.record(duration.as_secs_f64());
    }
}

/// Counts how a login ended: `ok`, or the reason of its failure.
pub(crate) fn count_login(provider: &str, result: &'static str) {
    metrics::counter!("midgate_logins_total", "provider" => provider.to_owned(), "result" => result)
        .increment(1);
}

/// Counts a provider's fault.
pub(crate) fn count_provider_error(provider: &str, reason: &'static str) {
    metrics::counter!("midgate_provider_errors_total", "provider" => provider.to_owned(), "reason" => reason)
        .increment(1);
}

/// Counts how a refresh ended: `ok`, `too-late` where the session had ended by then, or the reason of its failure.
pub(crate) fn count_refresh(provider: &str, result: &'static str) {
    metrics::counter!("midgate_refreshes_total", "provider" => provider.to_owned(), "result" => result)
        .increment(1);
}

/// Counts what became of a machine's token: `ok` when it was verified, or the reason of its refusal; the issuer is
/// empty where it is none of ours.
pub(crate) fn count_token(bearer: &str, result: &'static str) {
    metrics::counter!("midgate_bearer_tokens_total", "bearer" => bearer.to_owned(), "result" => result)
        .increment(1);
}

/// Counts a reload by its result, `ok` or `failed`.
pub(crate) fn count_reload(result: &'static str) {
    metrics::counter!("midgate_reloads_total", "result" => result).increment(1);
}

/// Describes the meters and sets those that must be there from the first scrape on.
pub(crate) fn describe() {
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    describe_counter!("midgate_requests_total", "Requests answered, by route and class of status");
    describe_histogram!(
        "midgate_request_duration_seconds",
        Unit::Seconds,
        "Time from request to answer, by route"
    );
    describe_counter!("midgate_logins_total", "Logins that came back, by provider and result");
    describe_counter!("midgate_refreshes_total", "Refreshes of tokens, by provider and result");
    describe_counter!(
        "midgate_bearer_tokens_total",
        "Tokens of machines that were judged, by issuer and result"
    );
    describe_gauge!("midgate_sessions", "Live sessions in memory");
    describe_counter!("midgate_sessions_evicted_total", "Sessions ended because the cache was full");
    describe_counter!("midgate_provider_errors_total", "Faults of providers, by reason");
    describe_counter!("midgate_log_suppressed_total", "Warnings left out of the log, too many of one kind");
    describe_counter!("midgate_reloads_total", "Reloads of the configuration, by result");
    describe_gauge!(
        "midgate_upstream_up",
        "1 while a server is in use, 0 while it is out, by upstream and server"
    );
    describe_gauge!("midgate_build_info", "Always 1, labelled with the version");
    metrics::gauge!("midgate_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    metrics::gauge!("midgate_sessions").set(0.0);
    for result in ["ok", "failed"] {
        metrics::counter!("midgate_reloads_total", "result" => result).absolute(0);
    }
}
