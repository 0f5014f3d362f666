//! What providers have ended: logout tokens that were taken, and logins under way that must make no session.
//!
//! *Source:* OIDC Back-Channel Logout §2.6 (8), §2.7; ARCHITECTURE I14.

use std::time::{Duration, Instant};

use moka::Expiry;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::{Key, hash};
use crate::identity::Identity;

/// A logout that a provider ordered, verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProviderLogout {
    pub(crate) issuer: String,
    /// Without a `sid`, every session of this person is meant.
    pub(crate) subject: Option<String>,
    /// The provider's session id; every session of ours that came of it is meant.
    pub(crate) sid: Option<String>,
    /// The token's own id, taken once.
    pub(crate) jti: String,
    /// Unix seconds, by the provider's clock.
    pub(crate) issued: u64,
    /// Unix seconds.
    pub(crate) expires: u64,
}

/// Tokens and logouts that are remembered, each; only a provider's signature makes one.
const MOST: u64 = 100_000;
/// Longer than any login takes.
const LOGIN: Duration = Duration::from_secs(24 * 3600);
/// Tokens are believed this long after their end, for clocks that differ, and are remembered as long.
const SKEW: u64 = 120;

/// The memory of logouts that providers ordered.
pub(super) struct Ended {
    /// Tokens that were taken → how long they must be remembered.
    taken: Cache<Key, Duration>,
    /// Sessions and people that were signed out → when, by the provider's clock.
    marks: Cache<Key, u64>,
}

/// Each token is remembered as long as it would be believed.
struct UntilItEnds;

impl Expiry<Key, Duration> for UntilItEnds {
    fn expire_after_create(&self, _key: &Key, left: &Duration, _now: Instant) -> Option<Duration> {
        Some(*left)
    }
}

impl Ended {
    /// Nothing has ended yet.
    pub(super) fn new() -> Self {
        // An admission policy would turn new entries away when full.
        let taken = Cache::builder().max_capacity(MOST).eviction_policy(EvictionPolicy::lru());
        let marks = Cache::builder().max_capacity(MOST).eviction_policy(EvictionPolicy::lru());
        Self { taken: taken.expire_after(UntilItEnds).build(), marks: marks.time_to_live(LOGIN).build() }
    }

    /// Takes a token; `false` when it was taken before.
    pub(super) fn take(&self, logout: &ProviderLogout, now: u64) -> bool {
        let left = Duration::from_secs(logout.expires.saturating_sub(now).saturating_add(SKEW));
        let key = key(&["jti", &logout.issuer, &logout.jti]);
        self.taken.entry(key).or_insert(left).is_fresh()
    }

    /// Remembers a logout, for logins that are under way.
    pub(super) fn mark(&self, logout: &ProviderLogout) {
        let key = mark(&logout.issuer, logout.sid.as_deref(), logout.subject.as_deref());
        self.marks
            .entry(key)
            .and_upsert_with(|old| old.map_or(logout.issued, |old| old.into_value().max(logout.issued)));
    }

    /// Whether the provider ended a login before it could become a session; `issued` is its ID token's `iat`.
    ///
    /// An ID token of the same second counts as older: the other way round somebody would stay signed in.
    pub(super) fn covers(&self, identity: &Identity, sid: Option<&str>, issued: u64) -> bool {
        let (issuer, subject) = (&*identity.issuer, Some(&*identity.subject));
        let by_sid = sid.map(|sid| [mark(issuer, Some(sid), None), mark(issuer, Some(sid), subject)]);
        let mut keys = by_sid.into_iter().flatten().chain([mark(issuer, None, subject)]);
        keys.any(|key| self.marks.get(&key).is_some_and(|at| issued <= at))
    }
}

/// The key of a provider's session in the index.
pub(super) fn sid_key(issuer: &str, sid: &str) -> Key {
    key(&["sid", issuer, sid])
}

fn mark(issuer: &str, sid: Option<&str>, subject: Option<&str>) -> Key {
    match (sid, subject) {
        (Some(sid), Some(subject)) => key(&["both", issuer, sid, subject]),
        (Some(sid), None) => sid_key(issuer, sid),
        (None, subject) => key(&["sub", issuer, subject.unwrap_or_default()]),
    }
}

/// A hash of several texts, whatever characters they hold: each is preceded by its length.
fn key(parts: &[&str]) -> Key {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    hash(&bytes)
}
