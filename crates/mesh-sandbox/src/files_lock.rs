//! Who may have a container's files: its run, or one copy at a time while it does not run.
//!
//! Two mounts of one overlay would see each other's changes in ways that nobody promises. So the shim of a
//! run holds the container's directory locked as long as it lives, and a copy holds it, and the upper
//! directory before it, as long as it takes. The kernel lets go of both where their holder is killed.

use crate::failure::{Attempt as _, Failure};
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use std::{
    fs::File,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

/// Longest wait for a copy to end.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// A lock that is held until dropped.
pub(crate) struct Held {
    _files: Vec<File>,
}

/// For a run: waits for a copy that is under way.
pub(crate) fn for_run(directory: &Path) -> Result<Held, Failure> {
    let step = || format!("lock {}", directory.display());
    let file = File::open(directory).attempt(step)?;
    match lock(&file, WAIT_MAX).attempt(step)? {
        true => Ok(Held { _files: vec![file] }),
        false => Err(Failure::refused("start the container", "a copy of its files is still under way")),
    }
}

/// For a copy: waits for another one; fails where the container runs.
pub(crate) fn for_copy(directory: &Path) -> Result<Held, Failure> {
    let upper = directory.join("upper");
    let step = || format!("lock {}", upper.display());
    let turn = File::open(&upper).attempt(step)?;
    if !lock(&turn, WAIT_MAX).attempt(step)? {
        return Err(Failure::refused("copy files", "another copy is still under way"));
    }
    let step = || format!("lock {}", directory.display());
    let file = File::open(directory).attempt(step)?;
    match lock(&file, Duration::ZERO).attempt(step)? {
        true => Ok(Held { _files: vec![turn, file] }),
        false => Err(Failure::refused("copy files", "the container was started meanwhile; try again")),
    }
}

/// Takes a lock alone; `false` where another one holds it still after so long.
fn lock(file: &File, wait: Duration) -> Result<bool, Errno> {
    let deadline = Instant::now() + wait;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) if Instant::now() >= deadline => return Ok(false),
            Err(Errno::WOULDBLOCK | Errno::INTR) => sleep(LOOK),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_keeps_copies_out_and_lets_them_in_after_it() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("upper")).unwrap();
        let run = for_run(directory.path()).unwrap();
        assert!(for_copy(directory.path()).is_err());
        drop(run);
        let copy = for_copy(directory.path()).unwrap();
        let file = File::open(directory.path()).unwrap();
        assert!(!lock(&file, Duration::ZERO).unwrap());
        drop(copy);
        assert!(for_run(directory.path()).is_ok());
    }
}
