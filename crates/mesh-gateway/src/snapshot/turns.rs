//! An order in which each gets as many turns as its weight says, spread evenly.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Most turns after which the order begins anew.
const TURNS_MAX: usize = 4_096;

#[derive(Debug)]
pub(crate) struct Turns {
    order: Vec<usize>,
    next: AtomicUsize,
}

impl Turns {
    pub(super) fn new(weights: &[i64]) -> Self {
        let weights: Vec<usize> =
            weights.iter().map(|weight| usize::try_from(*weight).unwrap_or(0)).collect();
        let divisor = weights.iter().copied().fold(0, greatest_divisor).max(1);
        let mut weights: Vec<usize> = weights.iter().map(|weight| weight / divisor).collect();
        let sum: usize = weights.iter().fold(0, |sum, weight| sum.saturating_add(*weight));
        if sum > TURNS_MAX {
            for weight in weights.iter_mut().filter(|weight| **weight > 0) {
                *weight = (weight.saturating_mul(TURNS_MAX) / sum).max(1);
            }
        }
        let total: usize = weights.iter().sum();
        // How often each had a turn. The next one is due after as many parts of the round as its weight divides it into.
        let mut had = vec![0_usize; weights.len()];
        let mut order = Vec::with_capacity(total);
        for _ in 0..total {
            let due = (0..weights.len()).filter(|at| had[*at] < weights[*at]);
            let next = due.min_by(|left, right| {
                let (left_due, right_due) =
                    ((had[*left] + 1) * weights[*right], (had[*right] + 1) * weights[*left]);
                left_due.cmp(&right_due).then(weights[*left].cmp(&weights[*right]))
            });
            if let Some(next) = next {
                had[next] += 1;
                order.push(next);
            }
        }
        Self { order, next: AtomicUsize::new(0) }
    }

    /// Whose turn it is; none if nobody has any.
    pub(super) fn next(&self) -> Option<usize> {
        let at = self.next.fetch_add(1, Ordering::Relaxed);
        self.order.get(at.checked_rem(self.order.len())?).copied()
    }

    /// Whose turn it is among those that may; the turns of others are passed over.
    pub(super) fn next_of(&self, may: impl Fn(usize) -> bool) -> Option<usize> {
        (0..self.order.len()).find_map(|_| self.next().filter(|at| may(*at)))
    }
}

fn greatest_divisor(left: usize, right: usize) -> usize {
    if right == 0 { left } else { greatest_divisor(right, left % right) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_spread_evenly() {
        for (weights, expected) in [
            (&[1, 1][..], &[0, 1, 0, 1][..]),
            (&[3, 1], &[0, 0, 1, 0]),
            (&[11, 3], &[0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0]),
            (&[1, 2], &[1, 0, 1]),
            (&[10, 10, 0], &[0, 1, 0, 1]),
            (&[0], &[]),
            (&[], &[]),
            (&[-1, 2], &[1, 1]),
        ] {
            let turns = Turns::new(weights);
            let found: Vec<usize> = (0..expected.len()).filter_map(|_| turns.next()).collect();
            assert_eq!(found, expected, "{weights:?}");
            assert_eq!(turns.next().is_some(), !expected.is_empty());
        }
        assert!(Turns::new(&[i64::MAX, 1]).order.len() <= TURNS_MAX + 1);
    }

    #[test]
    fn those_that_may_not_are_passed_over() {
        let turns = Turns::new(&[1, 1, 1]);
        let found: Vec<_> = (0..4).map(|_| turns.next_of(|at| at != 0)).collect();
        assert_eq!(found, [Some(1), Some(2), Some(1), Some(2)]);
        assert_eq!(turns.next_of(|_| false), None);
    }
}
