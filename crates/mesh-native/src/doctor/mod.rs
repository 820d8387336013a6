//! What this machine can do for the native ground, each with the way to mend it.
//!
//! Usable by an ordinary user, fast (well below a second), and without a trace: what is tried is tried
//! in a namespace or a temporary directory of its own. Absent on purpose: mending anything.

mod checks;
mod machine;

use machine::Machine;
use std::path::Path;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What, in a word or three.
    pub name: &'static str,
    /// Whether it serves.
    pub verdict: Verdict,
    /// What was found, on one line.
    pub detail: String,
    /// What to do about it, on one line; `None` where nothing needs to be done.
    pub remedy: Option<String>,
}

/// Whether something serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// All of it.
    Ok,
    /// Projects run, and something is less than it could be.
    Degraded,
    /// Projects do not run.
    Missing,
}

/// Looks at everything; disk space is that of `data`, or of the directory above it that is there.
#[must_use]
pub fn examine(data: &Path) -> Vec<Check> {
    let machine = Machine::look(data);
    vec![
        checks::kernel(&machine),
        checks::privileges(&machine),
        checks::user_ids(&machine),
        checks::overlay(&machine),
        checks::control_groups(&machine),
        checks::way_out(&machine),
        checks::packages(&machine),
        checks::low_ports(&machine),
        checks::seccomp(&machine),
        checks::disk(&machine),
    ]
}

/// Why an ordinary user cannot make a user namespace, and how to allow it; `None`: it can.
pub(crate) fn user_namespaces_refused() -> Option<(String, String)> {
    let check = checks::privileges(&Machine::look(Path::new("/")));
    (check.verdict == Verdict::Missing).then(|| (check.detail, check.remedy.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_is_not_ok_says_what_to_do() {
        let checks = examine(Path::new("/"));
        assert_eq!(checks.len(), 10);
        for check in checks {
            assert!(!check.detail.is_empty(), "{check:?}");
            assert_eq!(check.verdict == Verdict::Ok, check.remedy.is_none(), "{check:?}");
        }
    }
}
