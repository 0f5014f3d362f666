//! All sessions of this process: a bounded cache in memory.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use moka::Expiry;
use moka::future::Cache;
use moka::notification::RemovalCause;
use moka::policy::EvictionPolicy;

use super::ended::{Ended, sid_key};
use super::{Fresh, Holder, Key, ProviderLogout, Session, SessionId};
use crate::identity::user_key;

/// How long sessions live and how many there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) idle: Duration,
    pub(crate) lifetime: Duration,
    /// Fixed when the process starts.
    pub(crate) capacity: u64,
    /// Sessions of one person; 0: any number.
    pub(crate) per_subject: usize,
}

/// The sessions.
pub(crate) struct Sessions {
    pub(super) cache: Cache<Key, Arc<Session>, BuildHasherDefault<KeyHasher>>,
    /// Seconds; atomics, since a reload changes them under way.
    idle: Arc<AtomicU64>,
    lifetime: AtomicU64,
    per_subject: AtomicU64,
    index: Arc<Mutex<Index>>,
    ended: Ended,
}

/// Ways to sessions other than their cookies, each oldest first.
#[derive(Default)]
struct Index {
    /// By a person's user key.
    by_person: HashMap<Box<str>, Vec<Key>>,
    /// By issuer and the provider's own session id.
    by_sid: HashMap<Key, Vec<Key>>,
}

/// A logout token that was taken before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Replayed;

/// Keys are hashes already: their first bytes serve.
#[derive(Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 ^= u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _length: usize) {}
}

/// Lets the cache forget what has expired; [`Session::is_live`] is what decides.
struct Forget {
    idle: Arc<AtomicU64>,
}

impl Forget {
    fn left(&self, session: &Session) -> Option<Duration> {
        let idle = self.idle.load(Ordering::Relaxed);
        let span = session.expires.saturating_sub(session.created).min(idle);
        Some(Duration::from_secs(span))
    }
}

impl Expiry<Key, Arc<Session>> for Forget {
    fn expire_after_create(&self, _key: &Key, session: &Arc<Session>, _now: Instant) -> Option<Duration> {
        self.left(session)
    }

    fn expire_after_read(
        &self,
        _key: &Key,
        session: &Arc<Session>,
        _read_at: Instant,
        _left: Option<Duration>,
        _last_modified_at: Instant,
    ) -> Option<Duration> {
        self.left(session)
    }
}

impl Sessions {
    /// No sessions yet.
    pub(crate) fn new(settings: Settings) -> Self {
        let index = Arc::new(Mutex::new(Index::default()));
        let idle = Arc::new(AtomicU64::new(settings.idle.as_secs()));
        let cache = Cache::builder()
            .max_capacity(settings.capacity)
            // An admission policy would turn new sessions away when full.
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(Forget { idle: Arc::clone(&idle) })
            .eviction_listener({
                let index = Arc::clone(&index);
                move |key: Arc<Key>, session: Arc<Session>, cause| forget(&index, &key, &session, cause)
            })
            .build_with_hasher(BuildHasherDefault::default());
        let (lifetime, per_subject) = (AtomicU64::new(0), AtomicU64::new(0));
        let sessions = Self { cache, idle, lifetime, per_subject, index, ended: Ended::new() };
        sessions.set(settings);
        sessions
    }

    /// Takes over what a reload may change; sessions that are there keep the lifetime they were made with.
    pub(crate) fn set(&self, settings: Settings) {
        self.idle.store(settings.idle.as_secs(), Ordering::Relaxed);
        self.lifetime.store(settings.lifetime.as_secs(), Ordering::Relaxed);
        self.per_subject.store(settings.per_subject as u64, Ordering::Relaxed);
    }

    /// Seconds without a request after which a session ends.
    pub(crate) fn idle(&self) -> u64 {
        self.idle.load(Ordering::Relaxed)
    }

    /// Finds a live session and notes the request; `now` is in Unix seconds.
    pub(crate) async fn find(&self, key: &Key, now: u64) -> Option<Arc<Session>> {
        let session = self.peek(key, now).await?;
        session.touch(now);
        Some(session)
    }

    /// Finds a live session on nobody's behalf.
    pub(crate) async fn peek(&self, key: &Key, now: u64) -> Option<Arc<Session>> {
        let session = self.cache.get(key).await?;
        if !session.is_live(now, self.idle()) {
            self.end(key).await;
            return None;
        }
        Some(session)
    }

    /// Makes a session of a verified login, under a new id; `None` when the provider ended it in the meantime.
    pub(crate) async fn create(&self, fresh: Fresh, now: u64) -> Option<(SessionId, Arc<Session>)> {
        let issued = fresh.issued;
        if self.ended.covers(&fresh.identity, fresh.sid.as_deref(), issued) {
            return None;
        }
        let id = SessionId::random();
        let session = Arc::new(Session {
            key: id.key(),
            holder: Holder::Browser,
            identity: fresh.identity,
            created: now,
            expires: now.saturating_add(self.lifetime.load(Ordering::Relaxed)),
            sid: fresh.sid,
            login: fresh.login,
            refresh_at: AtomicU64::new(fresh.tokens.as_ref().map_or(u64::MAX, |t| t.refresh_at(now))),
            failures: AtomicU8::new(0),
            tokens: fresh.tokens,
            last_used: AtomicU64::new(now),
            ended: OnceLock::new(),
            warm: ArcSwapOption::empty(),
        });
        let surplus = self.note(&session);
        self.cache.insert(session.key, Arc::clone(&session)).await;
        // I14: a logout marks first and looks for sessions then, so that one of the two sees the other.
        if self.ended.covers(&session.identity, session.sid.as_deref(), issued) {
            self.end(&session.key).await;
            return None;
        }
        for oldest in surplus {
            self.end(&oldest).await;
        }
        Some((id, session))
    }

    /// Ends what a provider's verified logout token means, and keeps logins under way from bringing it back.
    ///
    /// # Errors
    /// The token was taken before; nothing is ended.
    pub(crate) async fn end_by(
        &self,
        logout: &ProviderLogout,
        now: u64,
    ) -> Result<Vec<Arc<Session>>, Replayed> {
        if !self.ended.take(logout, now) {
            return Err(Replayed);
        }
        self.ended.mark(logout);
        let keys = match (&logout.sid, &logout.subject) {
            (Some(sid), _) => lock(&self.index).by_sid.get(&sid_key(&logout.issuer, sid)).cloned(),
            (None, Some(subject)) => {
                lock(&self.index).by_person.get(user_key(&logout.issuer, subject).as_str()).cloned()
            }
            (None, None) => None,
        };
        let subject = logout.subject.as_deref();
        Ok(self.end_all(keys, |session| subject.is_none_or(|s| *session.identity.subject == *s)).await)
    }

    /// Ends the sessions that came of a provider's session.
    pub(crate) async fn end_by_sid(&self, issuer: &str, sid: &str) -> Vec<Arc<Session>> {
        let keys = lock(&self.index).by_sid.get(&sid_key(issuer, sid)).cloned();
        self.end_all(keys, |_| true).await
    }

    async fn end_all(&self, keys: Option<Vec<Key>>, meant: impl Fn(&Session) -> bool) -> Vec<Arc<Session>> {
        let mut ended = Vec::new();
        for key in keys.unwrap_or_default() {
            if self.cache.get(&key).await.is_some_and(|session| meant(&session)) {
                ended.extend(self.end(&key).await);
            }
        }
        ended
    }

    /// Ends a session; `None` when there was none.
    pub(crate) async fn end(&self, key: &Key) -> Option<Arc<Session>> {
        // I14: marked first and removed then, so that a refresh which stores meanwhile sees the mark.
        if let Some(session) = self.cache.get(key).await {
            session.end();
        }
        let session = self.cache.remove(key).await?;
        session.end();
        Some(session)
    }

    /// Every live session, for the operator.
    pub(crate) fn list(&self, now: u64) -> Vec<Arc<Session>> {
        let idle = self.idle();
        self.cache.iter().map(|(_, session)| session).filter(|session| session.is_live(now, idle)).collect()
    }

    /// Drops what has expired, so that tunnels of idle sessions end; to be called every second.
    pub(crate) async fn sweep(&self) {
        self.cache.run_pending_tasks().await;
        metrics::gauge!("midgate_sessions").set(self.cache.entry_count() as f64);
    }

    /// Notes a person's new session and tells which of their oldest must go.
    fn note(&self, session: &Session) -> Vec<Key> {
        let limit = usize::try_from(self.per_subject.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        let mut index = lock(&self.index);
        if let Some(key) = sid_key_of(session) {
            index.by_sid.entry(key).or_default().push(session.key);
        }
        let keys = index.by_person.entry(session.identity.user_key.clone()).or_default();
        keys.push(session.key);
        let surplus = if limit == 0 { 0 } else { keys.len().saturating_sub(limit) };
        keys.iter().take(surplus).copied().collect()
    }
}

/// Runs when the cache lets a session go, for whatever cause.
fn forget(index: &Mutex<Index>, key: &Key, session: &Session, cause: RemovalCause) {
    if cause == RemovalCause::Replaced {
        // By its own successor, which ends with it and stands at the same place of the index.
        return;
    }
    session.end();
    if cause == RemovalCause::Size {
        metrics::counter!("midgate_sessions_evicted_total").increment(1);
        tracing::warn!(session.ref = session.reference(), "session ended: the cache is at its capacity");
    }
    let mut index = lock(index);
    take_out(&mut index.by_person, &session.identity.user_key, key);
    if let Some(sid) = sid_key_of(session) {
        take_out(&mut index.by_sid, &sid, key);
    }
}

fn take_out<Q, K>(map: &mut HashMap<K, Vec<Key>>, name: &Q, key: &Key)
where
    K: Borrow<Q> + Hash + Eq,
    Q: Hash + Eq + ?Sized,
{
    if let Some(keys) = map.get_mut(name) {
        keys.retain(|known| known != key);
        if keys.is_empty() {
            map.remove(name);
        }
    }
}

fn sid_key_of(session: &Session) -> Option<Key> {
    session.sid.as_deref().map(|sid| sid_key(&session.identity.issuer, sid))
}

fn lock(index: &Mutex<Index>) -> MutexGuard<'_, Index> {
    // The index is whole between any two statements, so a panic elsewhere does not spoil it.
    index.lock().unwrap_or_else(PoisonError::into_inner)
}
