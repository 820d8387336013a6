//! Limits, and what is written for them into which file of which version.

use super::Controller;

/// Limits of one group; what is `None` is not limited.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Limits {
    /// Memory in bytes.
    pub memory_bytes: Option<u64>,
    /// Memory and swap together in bytes; -1: unlimited swap. `None` with a memory limit: twice that.
    pub memory_swap_bytes: Option<i64>,
    /// Memory that is left to it under pressure, in bytes.
    pub memory_reservation_bytes: Option<u64>,
    /// CPUs, such as 0.5.
    pub cpus: Option<f64>,
    /// Weight against others (1024 is one share).
    pub cpu_shares: Option<u64>,
    /// CPUs it may run on, such as `0-1`.
    pub cpuset: Option<String>,
    /// Number of processes and threads.
    pub pids: Option<u64>,
}

/// Something to write: the controller whose directory it is in, the file, the value.
pub(super) type Setting = (Controller, &'static str, String);

/// Period against which a quota of CPU time is counted, in microseconds.
const CPU_PERIOD_US: u64 = 100_000;
/// The kernel refuses a smaller quota, in microseconds.
const CPU_QUOTA_US_MIN: u64 = 1_000;

impl Limits {
    /// The controllers these limits need.
    #[must_use]
    pub fn controllers(&self) -> Vec<Controller> {
        let memory = self.memory_bytes.is_some()
            || self.memory_swap_bytes.is_some()
            || self.memory_reservation_bytes.is_some();
        [
            (memory, Controller::Memory),
            (self.cpus.is_some() || self.cpu_shares.is_some(), Controller::Cpu),
            (self.cpuset.is_some(), Controller::CpuSet),
            (self.pids.is_some(), Controller::Pids),
        ]
        .into_iter()
        .filter_map(|(wanted, controller)| wanted.then_some(controller))
        .collect()
    }

    /// Settings on version 1, in the order they must be written.
    pub(super) fn settings_v1(&self) -> Vec<Setting> {
        let mut settings = self.cpu_quota().map_or_else(Vec::new, |quota| {
            vec![
                (Controller::Cpu, "cpu.cfs_period_us", CPU_PERIOD_US.to_string()),
                (Controller::Cpu, "cpu.cfs_quota_us", quota.to_string()),
            ]
        });
        let mut set = |value: Option<String>, controller, file| {
            settings.extend(value.map(|value| (controller, file, value)));
        };
        set(self.memory_bytes.map(text), Controller::Memory, "memory.limit_in_bytes");
        set(self.swap_total().map(text), Controller::Memory, "memory.memsw.limit_in_bytes");
        set(self.memory_reservation_bytes.map(text), Controller::Memory, "memory.soft_limit_in_bytes");
        set(self.cpu_shares.map(|shares| text(shares.max(2))), Controller::Cpu, "cpu.shares");
        set(self.cpuset.clone(), Controller::CpuSet, "cpuset.cpus");
        set(self.pids.map(text), Controller::Pids, "pids.max");
        settings
    }

    /// Settings on version 2.
    pub(super) fn settings_v2(&self) -> Vec<Setting> {
        let mut settings = Vec::new();
        let mut set = |value: Option<String>, controller, file| {
            settings.extend(value.map(|value| (controller, file, value)));
        };
        set(self.memory_bytes.map(text), Controller::Memory, "memory.max");
        set(self.swap_only(), Controller::Memory, "memory.swap.max");
        set(self.memory_reservation_bytes.map(text), Controller::Memory, "memory.low");
        set(self.cpu_quota().map(|quota| format!("{quota} {CPU_PERIOD_US}")), Controller::Cpu, "cpu.max");
        set(self.cpu_shares.map(|shares| text(weight(shares))), Controller::Cpu, "cpu.weight");
        set(self.cpuset.clone(), Controller::CpuSet, "cpuset.cpus");
        set(self.pids.map(text), Controller::Pids, "pids.max");
        settings
    }

    fn cpu_quota(&self) -> Option<u64> {
        let cpus = self.cpus.filter(|cpus| cpus.is_finite() && *cpus > 0.0)?;
        // The cast saturates: a number of CPUs past all sense is no limit in effect.
        Some(((cpus * CPU_PERIOD_US as f64).round() as u64).max(CPU_QUOTA_US_MIN))
    }

    fn swap_total(&self) -> Option<i64> {
        match (self.memory_swap_bytes, self.memory_bytes) {
            (Some(total), _) => Some(total),
            (None, Some(memory)) => Some(i64::try_from(memory.saturating_mul(2)).unwrap_or(-1)),
            (None, None) => None,
        }
    }

    /// Version 2 limits swap alone.
    fn swap_only(&self) -> Option<String> {
        let total = self.swap_total()?;
        match (u64::try_from(total), self.memory_bytes) {
            (Err(_), _) => Some("max".to_owned()),
            (Ok(total), Some(memory)) => Some(text(total.saturating_sub(memory))),
            (Ok(_), None) => None,
        }
    }
}

fn text(number: impl ToString) -> String {
    number.to_string()
}

/// Shares (2 to 262144) as weight (1 to 10000), the way the kernel's documentation relates the two.
const fn weight(shares: u64) -> u64 {
    let shares = if shares < 2 {
        2
    } else if shares > 262_144 {
        262_144
    } else {
        shares
    };
    1 + (shares - 2) * 9_999 / 262_142
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(limits: &Limits, v1: &[(&str, &str)], v2: &[(&str, &str)]) {
        let plain = |settings: Vec<Setting>| -> Vec<(String, String)> {
            settings.into_iter().map(|(_, file, value)| (file.to_owned(), value)).collect()
        };
        let want = |list: &[(&str, &str)]| -> Vec<(String, String)> {
            list.iter().map(|(file, value)| ((*file).to_owned(), (*value).to_owned())).collect()
        };
        assert_eq!(plain(limits.settings_v1()), want(v1));
        assert_eq!(plain(limits.settings_v2()), want(v2));
    }

    #[test]
    fn limits_become_files() {
        check(&Limits::default(), &[], &[]);
        check(
            &Limits { memory_bytes: Some(64), ..Limits::default() },
            &[("memory.limit_in_bytes", "64"), ("memory.memsw.limit_in_bytes", "128")],
            &[("memory.max", "64"), ("memory.swap.max", "64")],
        );
        check(
            &Limits { memory_bytes: Some(64), memory_swap_bytes: Some(-1), ..Limits::default() },
            &[("memory.limit_in_bytes", "64"), ("memory.memsw.limit_in_bytes", "-1")],
            &[("memory.max", "64"), ("memory.swap.max", "max")],
        );
        check(
            &Limits { cpus: Some(1.5), cpu_shares: Some(1024), pids: Some(9), ..Limits::default() },
            &[
                ("cpu.cfs_period_us", "100000"),
                ("cpu.cfs_quota_us", "150000"),
                ("cpu.shares", "1024"),
                ("pids.max", "9"),
            ],
            &[("cpu.max", "150000 100000"), ("cpu.weight", "39"), ("pids.max", "9")],
        );
        check(
            &Limits { cpus: Some(0.000_1), cpuset: Some("0-1".into()), ..Limits::default() },
            &[("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "1000"), ("cpuset.cpus", "0-1")],
            &[("cpu.max", "1000 100000"), ("cpuset.cpus", "0-1")],
        );
    }

    #[test]
    fn weights_stay_in_their_range() {
        assert_eq!((weight(0), weight(2), weight(262_144), weight(u64::MAX)), (1, 1, 10_000, 10_000));
    }
}
