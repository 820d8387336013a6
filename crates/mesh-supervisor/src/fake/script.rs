//! What the fake ground is told of services beforehand.

use std::{collections::BTreeMap, time::Duration};

/// How the containers of one service behave.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    /// Time the start takes.
    pub(crate) start_delay: Duration,
    /// The start fails with this.
    pub(crate) start_error: Option<String>,
    /// Each life ends so long after its start, with this code; lives past the list last.
    pub(crate) exits: Vec<(Duration, i32)>,
    /// It was the kernel, for want of memory.
    pub(crate) out_of_memory: bool,
    /// Probes pass from so long after the start on; `None`: never.
    pub(crate) healthy_after: Option<Duration>,
    /// It takes no notice of SIGTERM.
    pub(crate) deaf: bool,
    /// Time it takes to end once asked.
    pub(crate) stop_delay: Duration,
    /// Making it fails.
    pub(crate) create_error: bool,
    /// How its hooks end, by their programs, and after how long.
    pub(crate) hooks: BTreeMap<String, (Duration, i32)>,
}
