//! The record of how a container ended.

use crate::specification::{ExitRecord, RunSpecification};
use mesh_linux::cgroup::oom_kills;
use std::{
    fs,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

/// What is kept of a specification until the end.
pub(super) struct Ending {
    directory: PathBuf,
    cgroups: Vec<PathBuf>,
    oom_kills_before: u64,
}

impl Ending {
    pub(super) fn new(specification: &RunSpecification) -> Self {
        // One of them has the counter, whichever the version.
        let cgroups: Vec<_> = specification
            .cgroups
            .iter()
            .filter(|path| path.join("memory.events").exists() || path.join("memory.oom_control").exists())
            .cloned()
            .collect();
        let oom_kills_before = oom_kills(&cgroups);
        Self { directory: specification.directory.clone(), cgroups, oom_kills_before }
    }

    /// Writes `exit.json` by rename, and gives the code back.
    pub(super) fn record(self, code: i32) -> i32 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let record = ExitRecord {
            code,
            out_of_memory: oom_kills(&self.cgroups) > self.oom_kills_before,
            at_unix_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
        };
        let (new, path) = (self.directory.join("exit.json.new"), self.directory.join("exit.json"));
        if let Ok(text) = serde_json::to_vec(&record) {
            // Where even this cannot be written, the shim's own exit code still tells.
            let _ = fs::write(&new, text).and_then(|()| fs::rename(&new, &path));
        }
        code
    }
}
