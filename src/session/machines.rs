//! Machines whose tokens were verified: a bounded memory beside the sessions of people.
//!
//! *Source:* gateway.toml `[[bearer]]`; RFC 9068.

use std::hash::BuildHasherDefault;
use std::sync::atomic::{AtomicU8, AtomicU64};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::sessions::KeyHasher;
use super::{Holder, Key, LoginTrace, Session};
use crate::identity::Identity;

/// Tokens that are remembered, each; only an issuer's signature makes one.
const MOST: u64 = 10_000;
/// How long a verified token is taken for good: a key that its issuer has withdrawn is noticed after that.
const REST: Duration = Duration::from_secs(5 * 60);

/// Tokens of one issuer that were verified, by their SHA-256.
pub(crate) struct Machines(Cache<Key, Arc<Session>, BuildHasherDefault<KeyHasher>>);

impl Machines {
    /// No token yet.
    pub(crate) fn new() -> Self {
        let cache = Cache::builder().max_capacity(MOST).eviction_policy(EvictionPolicy::lru());
        Self(cache.time_to_live(REST).build_with_hasher(BuildHasherDefault::default()))
    }

    /// The holder of a token that was verified and has not ended at `now` (Unix seconds).
    pub(crate) fn find(&self, key: &Key, now: u64) -> Option<Arc<Session>> {
        self.0.get(key).filter(|machine| now < machine.expires)
    }

    /// Remembers the holder of a verified token until `expires`, seen from `now`, both in Unix seconds.
    pub(crate) fn keep(&self, key: Key, identity: Identity, expires: u64, now: u64) -> Arc<Session> {
        let machine = Arc::new(Session {
            key,
            holder: Holder::Machine,
            identity,
            created: now,
            expires,
            sid: None,
            login: LoginTrace { state: [0; 32], target: Box::default(), until: 0 },
            tokens: None,
            last_used: AtomicU64::new(now),
            refresh_at: AtomicU64::new(u64::MAX),
            failures: AtomicU8::new(0),
            ended: OnceLock::new(),
            warm: ArcSwapOption::empty(),
        });
        self.0.insert(key, Arc::clone(&machine));
        machine
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Claims, user_key};

    #[test]
    fn a_verified_token_is_found_until_it_ends_and_is_nothing_to_refresh() {
        const NOW: u64 = 2_000_000_000;
        let machines = Machines::new();
        let identity = Identity {
            provider: "batch".into(),
            issuer: "i".into(),
            subject: "s".into(),
            user_key: user_key("i", "s").into(),
            acr: None,
            amr: Box::default(),
            auth_time: None,
            claims: Claims::new(),
        };
        let kept = machines.keep([1; 32], identity, NOW + 10, NOW);
        assert_eq!(kept.holder, Holder::Machine);
        assert!(!kept.is_due(NOW + 9));
        for (key, now, is_found) in [
            ([1; 32], NOW, true),
            ([1; 32], NOW + 9, true),
            ([1; 32], NOW + 10, false),
            ([2; 32], NOW, false),
        ] {
            assert_eq!(machines.find(&key, now).is_some(), is_found, "{now}");
        }
    }
}
