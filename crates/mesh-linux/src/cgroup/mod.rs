//! Control groups, version 1 and 2: which there are, and one group of a container.
//!
//! On version 1 every controller is a hierarchy of its own and a group is one directory in each; on
//! version 2 it is one directory. Both may be there at once: a controller is used where it is.
//! Limits that cannot be had (no controller, no delegation) are told by [`Group::apply`], not hidden.
//!
//! Absent on purpose: moving processes that are not ours out of the way, which enabling controllers
//! for an undelegated group would take.

mod detect;
mod devices;
mod group;
mod join;
mod limits;
mod usage;

pub use detect::Cgroups;
pub use devices::DeviceRule;
pub use group::{Group, oom_kills};
pub use join::{Members, join};
pub use limits::Limits;
pub use usage::Usage;

use std::{io, path::PathBuf};

/// Something that control groups limit or count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Controller {
    /// Memory and swap.
    Memory,
    /// CPU time.
    Cpu,
    /// CPU time, counted (version 1 only; version 2 counts with `Cpu`).
    CpuAccounting,
    /// Which CPUs.
    CpuSet,
    /// Number of processes.
    Pids,
    /// Freezing (version 1 only; version 2 always can).
    Freezer,
    /// Block devices (`blkio`, `io`).
    Block,
    /// Opening device files (version 1 only).
    Devices,
}

impl Controller {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Memory,
        Self::Cpu,
        Self::CpuAccounting,
        Self::CpuSet,
        Self::Pids,
        Self::Freezer,
        Self::Block,
        Self::Devices,
    ];

    /// Name on version 1.
    #[must_use]
    pub const fn name_v1(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::CpuAccounting => "cpuacct",
            Self::CpuSet => "cpuset",
            Self::Pids => "pids",
            Self::Freezer => "freezer",
            Self::Block => "blkio",
            Self::Devices => "devices",
        }
    }

    /// Name on version 2, where it is a controller there.
    #[must_use]
    pub const fn name_v2(self) -> Option<&'static str> {
        match self {
            Self::Memory => Some("memory"),
            Self::Cpu => Some("cpu"),
            Self::CpuSet => Some("cpuset"),
            Self::Pids => Some("pids"),
            Self::Block => Some("io"),
            Self::CpuAccounting | Self::Freezer | Self::Devices => None,
        }
    }
}

/// An operation on control groups failed.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// The kernel's list of mounts or of this process's groups could not be read.
    #[error("could not read {}", path.display())]
    Detect {
        /// What was read.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// A group could not be made.
    #[error("could not make control group {}", path.display())]
    Create {
        /// Its directory.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// A control file could not be written.
    #[error("could not write {value:?} to {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What was written.
        value: String,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// A group could not be removed.
    #[error("could not remove control group {}", path.display())]
    Remove {
        /// Its directory.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// A name that would leave the hierarchy.
    #[error("{name:?} is no name of a control group")]
    Name {
        /// It.
        name: String,
    },
}
