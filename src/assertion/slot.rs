//! One statement kept ready: taken by every request, made anew by one of them in good time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use arc_swap::ArcSwapOption;
use http::header::HeaderValue;

/// A clock that goes back by more than this many seconds has a statement made anew.
const SKEW: u64 = 60;

/// A statement that was made; times are Unix seconds.
#[derive(Debug)]
pub(crate) struct Made {
    /// None when it cannot stand in a header, which is not tried again at every request.
    pub(crate) value: Option<HeaderValue>,
    pub(crate) from: u64,
    pub(crate) renew_at: u64,
    pub(crate) expires: u64,
}

/// The place of one session's statement for one audience.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    made: ArcSwapOption<Made>,
    /// Held by whoever signs.
    signing: Mutex<()>,
}

impl Made {
    fn holds(&self, now: u64, until: u64) -> bool {
        now < until && now.saturating_add(SKEW) >= self.from
    }
}

impl Slot {
    /// The statement at `now`; where it is due, one caller makes it and the others go on with what there is.
    pub(crate) fn take(&self, now: u64, make: impl FnOnce() -> Made) -> Option<HeaderValue> {
        match &*self.made.load() {
            Some(made) if made.holds(now, made.renew_at) => made.value.clone(),
            Some(_) | None => self.renew(now, make),
        }
    }

    #[cold]
    fn renew(&self, now: u64, make: impl FnOnce() -> Made) -> Option<HeaderValue> {
        let _signing = match self.signing.try_lock() {
            Ok(signing) => signing,
            Err(TryLockError::Poisoned(signing)) => signing.into_inner(),
            Err(TryLockError::WouldBlock) => match &*self.made.load() {
                Some(made) if made.holds(now, made.expires) => return made.value.clone(),
                // Waiting for a signature takes no longer than making another one.
                Some(_) | None => self.wait(),
            },
        };
        // Whoever signed before us did it for us too.
        if let Some(made) = &*self.made.load()
            && made.holds(now, made.renew_at)
        {
            return made.value.clone();
        }
        let made = make();
        let value = made.value.clone();
        self.made.store(Some(Arc::new(made)));
        value
    }

    fn wait(&self) -> MutexGuard<'_, ()> {
        // The lock guards no data that could be half written.
        self.signing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    fn made(text: &'static str, from: u64) -> Made {
        let value = Some(HeaderValue::from_static(text));
        Made { value, from, renew_at: from + 180, expires: from + 300 }
    }

    #[test]
    fn a_statement_is_made_once_and_again_in_good_time() {
        let slot = Slot::default();
        let count = AtomicUsize::new(0);
        let take = |now: u64| {
            slot.take(now, || {
                count.fetch_add(1, Ordering::Relaxed);
                made("a", now)
            });
            count.load(Ordering::Relaxed)
        };
        let seen = [1000, 1001, 1179, 1180, 1359, 1360].map(take);
        assert_eq!(seen, [1, 1, 1, 2, 2, 3]);
        // A request that arrived a moment earlier takes the new one too; a clock that was put back has one made.
        assert_eq!([1330, 1000].map(take), [3, 4]);
    }

    #[test]
    fn what_cannot_be_made_is_not_tried_at_every_request() {
        let slot = Slot::default();
        let nothing = |now| Made { value: None, ..made("", now) };
        assert_eq!(slot.take(1000, || nothing(1000)), None);
        assert_eq!(slot.take(1001, || made("b", 1001)), None);
        assert!(slot.take(1180, || made("b", 1180)).is_some());
    }

    #[test]
    fn while_one_signs_the_others_take_what_there_is() {
        let slot = Slot::default();
        slot.take(1000, || made("old", 1000));
        std::thread::scope(|scope| {
            let (begun, wait_begun) = mpsc::channel();
            let (end, wait_end) = mpsc::channel();
            let signer = scope.spawn({
                let slot = &slot;
                move || {
                    slot.take(1200, || {
                        begun.send(()).unwrap();
                        wait_end.recv().unwrap();
                        made("new", 1200)
                    })
                }
            });
            wait_begun.recv().unwrap();
            assert_eq!(slot.take(1200, || unreachable!("two sign")).unwrap(), "old");
            end.send(()).unwrap();
            assert_eq!(signer.join().unwrap().unwrap(), "new");
        });
        assert_eq!(slot.take(1201, || unreachable!("it is there")).unwrap(), "new");
    }

    #[test]
    fn what_has_run_out_is_not_taken_while_another_signs() {
        let slot = Slot::default();
        slot.take(1000, || made("old", 1000));
        std::thread::scope(|scope| {
            let (begun, wait_begun) = mpsc::channel();
            let signer = scope.spawn({
                let slot = &slot;
                move || {
                    slot.take(1300, || {
                        begun.send(()).unwrap();
                        made("new", 1300)
                    })
                }
            });
            wait_begun.recv().unwrap();
            assert_eq!(slot.take(1300, || unreachable!("it waits for the other")).unwrap(), "new");
            signer.join().unwrap();
        });
    }
}
