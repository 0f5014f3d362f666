//! Whether a server is in use: what connections to it and questions about its health have shown.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use metrics::Gauge;

/// Connections in a row that fail before a server is set aside.
const FAILURES: u32 = 2;
/// Seconds until a server that was set aside is tried again, by one request.
const ASIDE: u64 = 5;
/// Questions in a row that a server fails before it is out; one good answer brings it back.
const BAD_ANSWERS: u32 = 2;

/// What is known of one server; outlives the generations of the configuration that name the server.
pub(super) struct Standing {
    upstream: String,
    pub(super) server: String,
    gauge: Gauge,
    /// Connections that failed in a row.
    failures: AtomicU32,
    /// Unix seconds; a server whose connections failed is tried again from then on.
    aside_until: AtomicU64,
    /// Questions that failed in a row.
    bad_answers: AtomicU32,
    /// What the operator was told last.
    is_told_up: AtomicBool,
}

impl Standing {
    /// A server of which nothing bad is known.
    pub(super) fn new(upstream: &str, server: String) -> Self {
        let labels = [("upstream", upstream.to_owned()), ("server", server.clone())];
        let gauge = metrics::gauge!("midgate_upstream_up", &labels);
        gauge.set(1.0);
        Self {
            upstream: upstream.to_owned(),
            server,
            gauge,
            failures: AtomicU32::new(0),
            aside_until: AtomicU64::new(0),
            bad_answers: AtomicU32::new(0),
            is_told_up: AtomicBool::new(true),
        }
    }

    /// Whether this is what is known of that server.
    pub(super) fn is_of(&self, upstream: &str, server: &str) -> bool {
        self.upstream == upstream && self.server == server
    }

    /// Whether requests should go there at `now` (Unix seconds).
    pub(super) fn takes(&self, now: u64) -> bool {
        !self.is_out() && (!self.fails() || self.aside_until.load(Ordering::Relaxed) <= now)
    }

    /// Whether nothing speaks against the server.
    pub(super) fn is_up(&self) -> bool {
        !self.is_out() && !self.fails()
    }

    fn is_out(&self) -> bool {
        self.bad_answers.load(Ordering::Relaxed) >= BAD_ANSWERS
    }

    fn fails(&self) -> bool {
        self.failures.load(Ordering::Relaxed) >= FAILURES
    }

    /// Notes that a request goes there: the first one after the pause keeps the others away until it knows more.
    pub(super) fn note_attempt(&self, now: u64) {
        if self.fails() {
            self.aside_until.fetch_max(now + ASIDE, Ordering::Relaxed);
        }
    }

    /// Notes a new connection.
    pub(super) fn note_connection(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
            self.tell("connection");
        }
    }

    /// Notes at `now` (Unix seconds) that no connection came about.
    pub(super) fn note_failure(&self, now: u64) {
        self.aside_until.fetch_max(now + ASIDE, Ordering::Relaxed);
        if self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES {
            self.tell("connection");
        }
    }

    /// Notes a good answer to a question about the server's health.
    pub(super) fn note_good_answer(&self) {
        self.bad_answers.store(0, Ordering::Relaxed);
        self.failures.store(0, Ordering::Relaxed);
        self.tell("health-check");
    }

    /// Notes a bad answer, or none; `why` is a word of a closed list.
    pub(super) fn note_bad_answer(&self, why: &'static str) {
        self.bad_answers.fetch_add(1, Ordering::Relaxed);
        self.tell(why);
    }

    /// Forgets what questions have shown, since nobody asks any more.
    pub(super) fn forget_answers(&self) {
        self.bad_answers.store(0, Ordering::Relaxed);
        self.tell("no-health-check");
    }

    /// Forgets the server itself: a gauge cannot be taken back, but no number says neither up nor down.
    pub(super) fn retire(&self) {
        self.gauge.set(f64::NAN);
    }

    /// One line and the gauge at each change.
    fn tell(&self, why: &'static str) {
        let up = self.is_up();
        if self.is_told_up.swap(up, Ordering::Relaxed) == up {
            return;
        }
        self.gauge.set(if up { 1.0 } else { 0.0 });
        let (upstream, server) = (self.upstream.as_str(), self.server.as_str());
        if up {
            tracing::info!(
                upstream.name = upstream,
                upstream.server = server,
                upstream.reason = why,
                "upstream server is in use again"
            );
        } else {
            tracing::warn!(
                upstream.name = upstream,
                upstream.server = server,
                upstream.reason = why,
                "upstream server is out of use"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Standing {
        Standing::new("app", "http://10.0.0.1:80".to_owned())
    }

    #[test]
    fn two_failed_connections_in_a_row_set_a_server_aside_for_a_while() {
        let server = server();
        server.note_failure(100);
        assert!(server.takes(100));
        server.note_connection();
        server.note_failure(100);
        assert!(server.takes(100), "not in a row");
        server.note_failure(100);
        assert!(!server.takes(104) && !server.is_up());
        assert!(server.takes(105));
    }

    #[test]
    fn one_request_tries_again_while_the_others_wait_for_it() {
        let server = server();
        server.note_failure(100);
        server.note_failure(100);
        server.note_attempt(105);
        assert!(!server.takes(105));
        server.note_failure(105);
        assert!(!server.takes(109) && server.takes(110));
        server.note_attempt(110);
        server.note_connection();
        assert!(server.takes(110) && server.is_up());
    }

    #[test]
    fn two_bad_answers_are_out_and_a_good_one_is_in() {
        let server = server();
        server.note_bad_answer("status");
        assert!(server.takes(0));
        server.note_bad_answer("status");
        assert!(!server.takes(u64::MAX));
        server.note_connection();
        assert!(!server.takes(u64::MAX), "a connection says nothing about its health");
        server.note_good_answer();
        assert!(server.takes(0));
        server.note_bad_answer("status");
        assert!(server.takes(0), "counted anew");
    }

    #[test]
    fn what_nobody_asks_any_more_is_forgotten() {
        let server = server();
        server.note_bad_answer("status");
        server.note_bad_answer("status");
        server.forget_answers();
        assert!(server.is_up());
    }
}
