//! `mesh shim hold`: a process that keeps a project's namespaces alive, and does nothing else.
//!
//! For an ordinary user it first makes the user namespace and waits, at descriptor 3, until its parent
//! has written the id maps, which it cannot do itself. What it says on descriptor 4 is one line each.
//! Once it is ready it waits there for the word to stay: a parent that ends before it kept a record of
//! its holder takes it along.

use crate::channel::{REPORT_DESCRIPTOR, SPECIFICATION_DESCRIPTOR};
use mesh_linux::descriptor::take_inherited;
use nix::sched::{CloneFlags, unshare};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{Read as _, Write as _},
};

/// Argument of a holder that makes a user namespace.
pub(crate) const ROOTLESS: &str = "rootless";
/// The parent's word that the id maps are written.
pub(crate) const MAPPED: &[u8; 1] = b"m";
/// The parent's word that the holder is on record.
pub(crate) const STAY: &[u8; 1] = b"s";
/// Argument of one that does not.
pub(crate) const ROOT: &str = "root";

/// What a holder says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum HolderReport {
    /// Its user namespace is there and has no maps.
    WaitingForMaps,
    /// Everything is there.
    Ready {
        /// Itself.
        pid: u32,
    },
    /// It is not.
    Failed {
        /// What was attempted.
        step: String,
        /// Cause, as the system numbers it.
        errno: i32,
    },
}

pub(crate) fn main(rootless: bool) -> i32 {
    let (Some(answer), Some(report)) =
        (take_inherited(SPECIFICATION_DESCRIPTOR), take_inherited(REPORT_DESCRIPTOR))
    else {
        crate::channel::say("shim hold is called by mesh itself");
        return 2;
    };
    let (mut answer, mut report) = (File::from(answer), File::from(report));
    if let Err(failed) = make(rootless, &mut answer, &mut report) {
        say(&mut report, &failed);
        return 1;
    }
    say(&mut report, &HolderReport::Ready { pid: std::process::id() });
    drop(report);
    let _ = nix::unistd::chdir("/");
    mesh_linux::signal::reset();
    if !is_told(&mut answer, STAY) {
        return 0;
    }
    drop(answer);
    mesh_linux::process::release_program_pages();
    loop {
        nix::unistd::pause();
    }
}

/// Waits for a word of the parent's; not when the parent is gone.
fn is_told(answer: &mut File, word: &[u8; 1]) -> bool {
    let mut byte = [0];
    answer.read_exact(&mut byte).is_ok() && byte == *word
}

fn make(rootless: bool, answer: &mut File, report: &mut File) -> Result<(), HolderReport> {
    let failed = |step: &str| {
        let step = step.to_owned();
        move |errno: nix::errno::Errno| HolderReport::Failed { step, errno: errno as i32 }
    };
    if rootless {
        unshare(CloneFlags::CLONE_NEWUSER).map_err(failed("make a user namespace"))?;
        say(report, &HolderReport::WaitingForMaps);
        if !is_told(answer, MAPPED) {
            return Err(failed("wait for the id maps")(nix::errno::Errno::ECANCELED));
        }
    }
    unshare(CloneFlags::CLONE_NEWNET).map_err(failed("make a network namespace"))
}

fn say(report: &mut File, what: &HolderReport) {
    if let Ok(mut line) = serde_json::to_vec(what) {
        line.push(b'\n');
        let _ = report.write_all(&line);
    }
}
