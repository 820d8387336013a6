//! Resource limits.

use serde::{Deserialize, Serialize};

/// Limits of one container, from `mem_limit`, `cpus`, `pids_limit`, `shm_size` and `deploy.resources`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// Memory in bytes.
    pub memory_bytes: Option<u64>,
    /// Memory and swap together in bytes; -1: unlimited swap.
    pub memory_swap_bytes: Option<i64>,
    /// Memory that is left to it under pressure, in bytes.
    pub memory_reservation_bytes: Option<u64>,
    /// CPUs, such as 0.5.
    pub cpus: Option<f64>,
    /// Weight against others (1024 is one share).
    pub cpu_shares: Option<u64>,
    /// CPUs it may run on, such as `0-1`.
    pub cpuset: Option<String>,
    /// Number of processes.
    pub pids: Option<u64>,
    /// Size of `/dev/shm` in bytes; 64 MiB when the file names none.
    pub shm_bytes: Option<u64>,
    /// -1000 to 1000.
    pub oom_score_adj: Option<i32>,
}

/// One `ulimit`; -1 is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// Soft limit.
    pub soft: i64,
    /// Hard limit.
    pub hard: i64,
}
