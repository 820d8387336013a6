//! How many keys may be in the making at a time: an RSA key takes a core for a tenth of a second, and whoever
//! reads secrets meanwhile should have one too.

use std::{
    sync::{Condvar, Mutex, PoisonError},
    thread::available_parallelism,
};

/// Places to work at.
#[derive(Debug, Default)]
pub(super) struct Slots {
    taken: Mutex<usize>,
    given_back: Condvar,
}

/// A place, given back when dropped.
#[derive(Debug)]
pub(super) struct Slot<'a>(&'a Slots);

impl Slots {
    /// None is taken.
    pub(super) const fn new() -> Self {
        Self { taken: Mutex::new(0), given_back: Condvar::new() }
    }

    /// Waits for a place: one fewer than there are cores, at least one.
    pub(super) fn take(&self) -> Slot<'_> {
        let places = available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1));
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
    use super::Slots;

    #[test]
    fn a_place_is_given_on() {
        let slots = Slots::new();
        let first = slots.take();
        std::thread::scope(|scope| {
            let others: Vec<_> = (0..8).map(|_| scope.spawn(|| drop(slots.take()))).collect();
            drop(first);
            others.into_iter().for_each(|other| other.join().unwrap());
        });
        assert_eq!(*slots.taken.lock().unwrap(), 0);
    }
}
