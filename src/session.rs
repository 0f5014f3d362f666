//! Sessions: who is signed in, for how long, and what the hot path needs of them ready to use.
//!
//! *Never:* how somebody signed in, or what a route is beyond its indices.
//! *Source:* OWASP Session Management; gateway.toml `[session]`; ARCHITECTURE I13, I14.

mod due;
mod ended;
mod id;
mod machines;
mod renew;
mod sessions;
mod warm;

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use tokio_util::sync::CancellationToken;

use crate::identity::{Claims, Identity};
use crate::secret::Secret;

pub(crate) use self::ended::ProviderLogout;
pub(crate) use self::id::{Key, SessionId, hash, reference};
pub(crate) use self::machines::Machines;
pub(crate) use self::sessions::{Sessions, Settings};
pub(crate) use self::warm::{Shape, Warm};

/// One signed-in browser.
#[derive(Debug)]
pub(crate) struct Session {
    /// SHA-256 of the cookie's value, or of a machine's token: what the cache is keyed by.
    pub(crate) key: Key,
    pub(crate) holder: Holder,
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
    /// Unix seconds from which on a request has the tokens refreshed; `u64::MAX` when there is nothing to refresh.
    refresh_at: AtomicU64,
    /// Refreshes that failed in a row.
    failures: AtomicU8,
    /// Made when somebody waits for the end, or when it comes.
    ended: OnceLock<CancellationToken>,
    warm: ArcSwapOption<Warm>,
}

/// Who comes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// A browser with its cookie.
    Browser,
    /// A machine with its token: found by no cookie, never listed, never refreshed, gone when the token ends.
    Machine,
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
    pub(crate) refresh: Option<Refresh>,
    /// Unix seconds when the access token ends; `None` when the provider did not say.
    pub(crate) expires: Option<u64>,
}

/// A refresh token, and what its answer is held against beside the identity (OIDC Core §12.2).
#[derive(Debug, Clone)]
pub(crate) struct Refresh {
    pub(crate) token: Secret,
    pub(crate) original: Arc<Original>,
    /// Claims of the last ID token from which identities are made: they stand in where a refresh brings none.
    pub(crate) said: Arc<Claims>,
}

/// What the ID token of the login said.
#[derive(Debug)]
pub(crate) struct Original {
    /// SHA-256 of the nonce.
    pub(crate) nonce: Key,
    /// Audiences beside us.
    pub(crate) audiences: Box<[Box<str>]>,
}

impl Tokens {
    /// Itself in a box, or nothing where nothing is kept.
    pub(crate) fn kept(self) -> Option<Box<Self>> {
        let is_empty = self.id_token.is_none() && self.access_token.is_none() && self.refresh.is_none();
        (!is_empty).then(|| Box::new(self))
    }

    /// When they should be refreshed, seen from `now`, both in Unix seconds.
    fn refresh_at(&self, now: u64) -> u64 {
        match self.refresh {
            Some(_) => due::refresh_at(now, self.expires.map(|expires| expires.saturating_sub(now))),
            None => u64::MAX,
        }
    }
}

/// A verified login, on its way to become a session.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) identity: Identity,
    pub(crate) sid: Option<Box<str>>,
    /// When the ID token was issued, by the provider's clock, in Unix seconds.
    pub(crate) issued: u64,
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

    /// Whether a request at `now` (Unix seconds) should have the tokens refreshed.
    pub(crate) fn is_due(&self, now: u64) -> bool {
        now >= self.refresh_at.load(Ordering::Relaxed)
    }

    /// Takes the refresh that is due, for one caller only; should that one vanish, the next comes after a pause.
    pub(crate) fn claim_refresh(&self, now: u64) -> bool {
        let at = self.refresh_at.load(Ordering::Relaxed);
        let lease = now.saturating_add(due::LEASE);
        now >= at && self.refresh_at.compare_exchange(at, lease, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Notes a refresh that failed for now: the next one comes after a pause that grows.
    pub(crate) fn put_off_refresh(&self, now: u64) {
        let before = self.failures.load(Ordering::Relaxed);
        self.failures.store(before.saturating_add(1), Ordering::Relaxed);
        self.refresh_at.store(due::retry_at(now, before), Ordering::Relaxed);
    }

    /// A short name for logs and people.
    pub(crate) fn reference(&self) -> String {
        reference(&self.key)
    }
}

#[cfg(test)]
mod tests;
