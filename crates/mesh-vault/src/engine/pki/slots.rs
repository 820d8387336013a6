//! How many keys may be in the making at a time: an RSA key takes a core for a tenth of a second, and whoever
//! reads secrets meanwhile goes first.

use std::{
    panic::resume_unwind,
    sync::{Condvar, Mutex, PoisonError},
    thread::{Builder, available_parallelism, scope},
};

/// Of the scale from -20, first, to 19, last: how willing a thread that makes a key is to let others go first.
const NICENESS: i32 = 10;

/// Places to work at, one a core.
#[derive(Debug, Default)]
pub(super) struct Slots {
    taken: Mutex<usize>,
    given_back: Condvar,
}

/// A place, given back when dropped.
#[derive(Debug)]
struct Slot<'a>(&'a Slots);

impl Slots {
    /// None is taken.
    pub(super) const fn new() -> Self {
        Self { taken: Mutex::new(0), given_back: Condvar::new() }
    }

    /// Does `work` once there is a place for it, on a thread that all others go before. A thread's niceness
    /// cannot be taken back by an ordinary user: it has to be one of its own.
    pub(super) fn work<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Option<T> {
        let _slot = self.take();
        scope(|scope| {
            let nice = || {
                // Where it is refused, the work is as urgent as any other.
                if rustix::process::getpriority_process(None).is_ok_and(|own| own < NICENESS) {
                    let _ = rustix::process::setpriority_process(None, NICENESS);
                }
                work()
            };
            let thread = Builder::new().name("key".to_owned()).spawn_scoped(scope, nice).ok()?;
            Some(thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
        })
    }

    fn take(&self) -> Slot<'_> {
        let places = available_parallelism().map_or(1, std::num::NonZero::get);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while *taken >= places {
            taken = self.given_back.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        *taken += 1;
        Slot(self)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.given_back.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::{NICENESS, Slots};

    #[test]
    fn a_place_is_given_on() {
        let slots = Slots::new();
        let first = slots.take();
        std::thread::scope(|scope| {
            let others: Vec<_> = (0..8).map(|_| scope.spawn(|| slots.work(|| ()).unwrap())).collect();
            drop(first);
            others.into_iter().for_each(|other| other.join().unwrap());
        });
        assert_eq!(*slots.taken.lock().unwrap(), 0);
    }

    #[test]
    fn who_works_lets_others_go_first_and_who_waits_does_not() {
        let niceness = || rustix::process::getpriority_process(None).unwrap();
        let before = niceness();
        assert_eq!(Slots::new().work(niceness), Some(before.max(NICENESS)));
        assert_eq!(niceness(), before);
    }
}
