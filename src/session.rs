//! Sessions: who is signed in, for how long, and what the hot path needs of them ready to use.
//!
//! *Never:* how somebody signed in, or what a route is beyond its indices.
//! *Source:* OWASP Session Management; gateway.toml `[session]`; ARCHITECTURE I13, I14.

mod id;
mod sessions;
mod warm;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use tokio_util::sync::CancellationToken;

use crate::identity::Identity;
use crate::secret::Secret;

pub(crate) use self::id::{Key, SessionId, hash, reference};
pub(crate) use self::sessions::{Sessions, Settings};
pub(crate) use self::warm::{Shape, Warm};

/// One signed-in browser.
#[derive(Debug)]
pub(crate) struct Session {
    /// SHA-256 of the cookie's value: what the cache is keyed by.
    pub(crate) key: Key,
    pub(crate) identity: Identity,
    /// Unix seconds.
    pub(crate) created: u64,
    /// Unix seconds: never longer, whatever happens.
    pub(crate) expires: u64,
    /// The provider's own session id, for logouts that name it.
    pub(crate) sid: Option<Box<str>>,
    pub(crate) login: LoginTrace,
    /// What is kept of the token endpoint's answer; nothing unless the configuration needs it.
    pub(crate) tokens: Option<Box<Tokens>>,
    /// Unix seconds of the last request.
    last_used: AtomicU64,
    /// Made when somebody waits for the end, or when it comes.
    ended: OnceLock<CancellationToken>,
    warm: ArcSwapOption<Warm>,
}

/// What a session keeps of the login that made it, so that a callback sent twice finds its page.
#[derive(Debug, Clone)]
pub(crate) struct LoginTrace {
    /// SHA-256 of the state.
    pub(crate) state: Key,
    pub(crate) target: Box<str>,
    /// Unix seconds; afterwards the trace counts for nothing.
    pub(crate) until: u64,
}

/// Tokens that somebody will need again, each only where the configuration asks for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tokens {
    /// Byte for byte as it came, for `id_token_hint` and for routes that pass it on.
    pub(crate) id_token: Option<Secret>,
    /// For routes that pass it on.
    pub(crate) access_token: Option<Secret>,
    pub(crate) refresh_token: Option<Secret>,
    /// Unix seconds when the access token ends; `None` when the provider did not say.
    pub(crate) expires: Option<u64>,
}

impl Tokens {
    /// Itself in a box, or nothing where nothing is kept.
    pub(crate) fn kept(self) -> Option<Box<Self>> {
        let is_empty = self.id_token.is_none() && self.access_token.is_none() && self.refresh_token.is_none();
        (!is_empty).then(|| Box::new(self))
    }
}

/// A verified login, on its way to become a session.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) identity: Identity,
    pub(crate) sid: Option<Box<str>>,
    pub(crate) login: LoginTrace,
    pub(crate) tokens: Option<Box<Tokens>>,
}

impl Session {
    /// Whether the session still counts at `now` (Unix seconds), with at most `idle` seconds between requests.
    pub(crate) fn is_live(&self, now: u64, idle: u64) -> bool {
        now < self.expires && now < self.idle_expires(idle) && !self.has_ended()
    }

    /// When the session ends if nothing more comes, in Unix seconds.
    pub(crate) fn idle_expires(&self, idle: u64) -> u64 {
        self.last_used.load(Ordering::Relaxed).saturating_add(idle)
    }

    /// Notes a request.
    pub(crate) fn touch(&self, now: u64) {
        // A plain store would bounce the cache line between cores on every request.
        if self.last_used.load(Ordering::Relaxed) < now {
            self.last_used.store(now, Ordering::Relaxed);
        }
    }

    /// Ends the session for everybody who holds it: requests under way, tunnels, later writes (I14).
    pub(crate) fn end(&self) {
        self.ended.get_or_init(CancellationToken::new).cancel();
    }

    /// Whether somebody ended the session before its time.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.get().is_some_and(CancellationToken::is_cancelled)
    }

    /// A token that is cancelled when the session is ended before its time.
    pub(crate) fn ended(&self) -> CancellationToken {
        self.ended.get_or_init(CancellationToken::new).clone()
    }

    /// A short name for logs and people.
    pub(crate) fn reference(&self) -> String {
        reference(&self.key)
    }
}

#[cfg(test)]
mod tests;
