//! All sessions of this process: a bounded cache in memory.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use moka::Expiry;
use moka::future::Cache;
use moka::notification::RemovalCause;
use moka::policy::EvictionPolicy;

use super::{Fresh, Key, Session, SessionId};

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
    cache: Cache<Key, Arc<Session>, BuildHasherDefault<KeyHasher>>,
    /// Seconds; atomics, since a reload changes them under way.
    idle: Arc<AtomicU64>,
    lifetime: AtomicU64,
    per_subject: AtomicU64,
    by_person: Arc<Mutex<Index>>,
}

/// A person's user key → their sessions, oldest first.
type Index = HashMap<Box<str>, Vec<Key>>;

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
        let by_person = Arc::new(Mutex::new(Index::new()));
        let idle = Arc::new(AtomicU64::new(settings.idle.as_secs()));
        let cache = Cache::builder()
            .max_capacity(settings.capacity)
            // An admission policy would turn new sessions away when full.
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(Forget { idle: Arc::clone(&idle) })
            .eviction_listener({
                let by_person = Arc::clone(&by_person);
                move |key: Arc<Key>, session: Arc<Session>, cause| forget(&by_person, &key, &session, cause)
            })
            .build_with_hasher(BuildHasherDefault::default());
        let sessions =
            Self { cache, idle, lifetime: AtomicU64::new(0), per_subject: AtomicU64::new(0), by_person };
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
        let session = self.cache.get(key).await?;
        if !session.is_live(now, self.idle()) {
            self.end(key).await;
            return None;
        }
        session.touch(now);
        Some(session)
    }

    /// Makes a session of a verified login, under a new id.
    pub(crate) async fn create(&self, fresh: Fresh, now: u64) -> (SessionId, Arc<Session>) {
        let id = SessionId::random();
        let session = Arc::new(Session {
            key: id.key(),
            identity: fresh.identity,
            created: now,
            expires: now.saturating_add(self.lifetime.load(Ordering::Relaxed)),
            sid: fresh.sid,
            login: fresh.login,
            tokens: fresh.tokens,
            last_used: AtomicU64::new(now),
            ended: OnceLock::new(),
            warm: ArcSwapOption::empty(),
        });
        for oldest in self.note(&session) {
            self.end(&oldest).await;
        }
        self.cache.insert(session.key, Arc::clone(&session)).await;
        (id, session)
    }

    /// Ends a session; `None` when there was none.
    pub(crate) async fn end(&self, key: &Key) -> Option<Arc<Session>> {
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
        let mut index = lock(&self.by_person);
        let keys = index.entry(session.identity.user_key.clone()).or_default();
        keys.push(session.key);
        let surplus = if limit == 0 { 0 } else { keys.len().saturating_sub(limit) };
        keys.iter().take(surplus).copied().collect()
    }
}

/// Runs when the cache lets a session go, for whatever cause.
fn forget(by_person: &Mutex<Index>, key: &Key, session: &Session, cause: RemovalCause) {
    session.end();
    if cause == RemovalCause::Size {
        metrics::counter!("midgate_sessions_evicted_total").increment(1);
        tracing::warn!(session.ref = session.reference(), "session ended: the cache is at its capacity");
    }
    let mut index = lock(by_person);
    if let Some(keys) = index.get_mut(&session.identity.user_key) {
        keys.retain(|known| known != key);
        if keys.is_empty() {
            index.remove(&session.identity.user_key);
        }
    }
}

fn lock(index: &Mutex<Index>) -> MutexGuard<'_, Index> {
    // The index is whole between any two statements, so a panic elsewhere does not spoil it.
    index.lock().unwrap_or_else(PoisonError::into_inner)
}
