//! How long something may live, of what the caller, the engine, the mount and the system say.

use crate::moment;
use std::time::Duration;

/// What is asked and what is allowed; zero for what is not said.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TtlInput {
    /// The caller's wish at a renewal.
    pub(crate) increment: Duration,
    /// The engine's.
    pub(crate) ttl: Duration,
    /// Every renewal gives this, without a maximum but the explicit one.
    pub(crate) period: Duration,
    /// The engine's bound.
    pub(crate) max_ttl: Duration,
    /// A bound that holds for periods too.
    pub(crate) explicit_max_ttl: Duration,
    /// The mount's default.
    pub(crate) mount_default: Duration,
    /// The mount's bound.
    pub(crate) mount_max: Duration,
    /// How long it exists already.
    pub(crate) age: Duration,
}

/// It has had all its time.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("past the max TTL, cannot renew")]
pub(crate) struct PastMaximum;

/// The TTL from now on, in whole seconds, and what the caller should be told of it.
///
/// # Errors
/// When nothing is left.
pub(crate) fn calculate(input: &TtlInput) -> Result<(Duration, Vec<String>), PastMaximum> {
    let whole = |duration: Duration| Duration::from_secs(duration.as_secs());
    let bounds = [input.mount_max, input.max_ttl, input.explicit_max_ttl];
    let max = bounds.into_iter().filter(|bound| !bound.is_zero()).min().unwrap_or(Duration::MAX);
    let mut warnings = Vec::new();
    let (mut ttl, last) = if input.period.is_zero() {
        let wishes = [input.increment, input.ttl, input.mount_default];
        (wishes.into_iter().find(|wish| !wish.is_zero()).unwrap_or(max), Some(max))
    } else {
        if input.period > max {
            warnings.push(format!(
                "period of {:?} exceeded the effective max_ttl of {:?}; period value is capped accordingly",
                human(input.period),
                human(max)
            ));
        }
        (input.period.min(max), (!input.explicit_max_ttl.is_zero()).then_some(input.explicit_max_ttl))
    };
    if let Some(last) = last {
        let left = last.checked_sub(whole(input.age)).filter(|left| !left.is_zero()).ok_or(PastMaximum)?;
        if ttl > left {
            warnings.push(format!(
                "TTL of {:?} exceeded the effective max_ttl of {:?}; TTL value is capped accordingly",
                human(ttl),
                human(left)
            ));
            ttl = left;
        }
    }
    Ok((whole(ttl), warnings))
}

/// Go's way to print a duration, without parts that are zero at its end.
fn human(duration: Duration) -> String {
    let text = moment::go_duration(duration.as_secs());
    let text = text.strip_suffix("m0s").map_or(text.clone(), |short| format!("{short}m"));
    text.strip_suffix("h0m").map_or(text.clone(), |short| format!("{short}h"))
}

#[cfg(test)]
mod tests {
    use super::{TtlInput, calculate};
    use std::time::Duration;

    fn check(input: TtlInput, expected: Option<u64>, warnings: usize) {
        let found = calculate(&input);
        assert_eq!(found.as_ref().ok().map(|(ttl, _)| ttl.as_secs()), expected, "{input:?}");
        assert_eq!(found.map_or(0, |(_, warnings)| warnings.len()), warnings, "{input:?}");
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_smallest_bound_counts() {
        let base = TtlInput { mount_default: seconds(100), mount_max: seconds(1000), ..TtlInput::default() };
        check(base, Some(100), 0);
        check(TtlInput { ttl: seconds(50), ..base }, Some(50), 0);
        check(TtlInput { ttl: seconds(50), increment: seconds(60), ..base }, Some(60), 0);
        check(TtlInput { ttl: seconds(5000), ..base }, Some(1000), 1);
        check(TtlInput { ttl: seconds(500), max_ttl: seconds(200), ..base }, Some(200), 1);
        check(TtlInput { age: seconds(950), ..base }, Some(50), 1);
        check(TtlInput { age: seconds(1000), ..base }, None, 0);
    }

    #[test]
    fn a_period_has_no_end_but_an_explicit_one() {
        let base = TtlInput { period: seconds(60), mount_max: seconds(1000), ..TtlInput::default() };
        check(TtlInput { age: seconds(100_000), ..base }, Some(60), 0);
        check(TtlInput { age: seconds(90), explicit_max_ttl: seconds(100), ..base }, Some(10), 1);
        check(TtlInput { age: seconds(100), explicit_max_ttl: seconds(100), ..base }, None, 0);
        check(TtlInput { period: seconds(5000), ..base }, Some(1000), 1);
    }
}
