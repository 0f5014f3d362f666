//! A session goes on with other tokens or another identity: the old object makes room for its successor.
//!
//! *Source:* ARCHITECTURE I14; RFC 9700 §4.14.2 (rotation).

use std::future::ready;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use moka::ops::compute::{CompResult, Op};

use super::{Session, Sessions, Tokens, due};
use crate::identity::Identity;
use crate::secret::Secret;

impl Session {
    /// The same session with another identity and other tokens: under the same key, it ends when this one ends.
    fn successor(&self, identity: Identity, tokens: Option<Box<Tokens>>, refresh_at: u64) -> Self {
        Self {
            key: self.key,
            holder: self.holder,
            identity,
            created: self.created,
            // Whatever a refresh brings, the lifetime is that of the login.
            expires: self.expires,
            sid: self.sid.clone(),
            login: self.login.clone(),
            tokens,
            last_used: AtomicU64::new(self.last_used.load(Ordering::Relaxed)),
            refresh_at: AtomicU64::new(refresh_at),
            failures: AtomicU8::new(0),
            ended: OnceLock::from(self.ended()),
            warm: ArcSwapOption::empty(),
        }
    }
}

impl Sessions {
    /// Keeps the refresh token that took the place of the old one; `None` when the session is not there any more.
    ///
    /// Nothing else of the answer counts yet, and the claim on this refresh goes on.
    pub(crate) async fn keep_refresh_token(
        &self,
        old: &Arc<Session>,
        token: Secret,
        now: u64,
    ) -> Option<Arc<Session>> {
        let mut tokens = old.tokens.clone()?;
        tokens.refresh.as_mut()?.token = token;
        let next = old.successor(old.identity.clone(), Some(tokens), now.saturating_add(due::LEASE));
        next.failures.store(old.failures.load(Ordering::Relaxed), Ordering::Relaxed);
        // What is ready of the session is ready still: neither identity nor what goes up has changed.
        next.warm.store(old.warm.load_full());
        self.swap(old, next).await
    }

    /// Goes on with what a refresh brought; `None` when the session is not there any more, or of somebody else.
    pub(crate) async fn renew(
        &self,
        old: &Arc<Session>,
        identity: Identity,
        tokens: Option<Box<Tokens>>,
        now: u64,
    ) -> Option<Arc<Session>> {
        if identity.user_key != old.identity.user_key {
            // The index knows people by their keys; the checks of the answer see to it that this never happens.
            self.end(&old.key).await;
            return None;
        }
        let refresh_at = tokens.as_ref().map_or(u64::MAX, |tokens| tokens.refresh_at(now));
        self.swap(old, old.successor(identity, tokens, refresh_at)).await
    }

    /// Puts a successor into the place of a session that is still there and has not ended (I14).
    async fn swap(&self, old: &Arc<Session>, next: Session) -> Option<Arc<Session>> {
        let next = Arc::new(next);
        let result = self
            .cache
            .entry(old.key)
            .and_compute_with(|found| {
                let is_there = found.is_some_and(|found| Arc::ptr_eq(found.value(), old));
                ready(if is_there && !old.has_ended() { Op::Put(Arc::clone(&next)) } else { Op::Nop })
            })
            .await;
        match result {
            CompResult::ReplacedWith(_) if !next.has_ended() => Some(next),
            CompResult::Inserted(_) | CompResult::ReplacedWith(_) => {
                // It was ended while we stored.
                self.end(&next.key).await;
                None
            }
            CompResult::Unchanged(_) | CompResult::StillNone(_) | CompResult::Removed(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
