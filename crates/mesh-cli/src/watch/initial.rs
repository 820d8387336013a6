//! `initial_sync`: which files differ from those that a container has.
//!
//! As rsync does, size and time of a file tell it from another; a copy keeps both. What a container has
//! beside them stays.

use super::rules::Rule;
use mesh_api::status::FileEntry;
use rustix::fs::FileType;
use std::{
    collections::HashMap,
    fs::{self, Metadata},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// Directories below each other that are looked into.
const DEPTH_MAX: usize = 128;

/// The files that a rule means and a container has not, or has otherwise; `there` has the container's by
/// their paths from the rule's target.
pub(super) fn differing(rule: &Rule, there: &HashMap<String, FileEntry>) -> Vec<PathBuf> {
    let mut differing = Vec::new();
    look(rule, &rule.watch.path, there, 0, &mut differing);
    differing
}

/// What cannot be looked at is left to the copying, which says why.
fn look(
    rule: &Rule,
    path: &Path,
    there: &HashMap<String, FileEntry>,
    depth: usize,
    differing: &mut Vec<PathBuf>,
) {
    let Ok(metadata) = fs::symlink_metadata(path) else { return };
    if !metadata.is_dir() {
        let below = path.strip_prefix(&rule.watch.path).unwrap_or(path);
        let known = there.get(below.to_string_lossy().as_ref());
        if rule.concerns(path) && !known.is_some_and(|known| is_same(path, &metadata, known)) {
            differing.push(path.to_owned());
        }
        return;
    }
    if depth > DEPTH_MAX || rule.leaves_out(path) {
        return;
    }
    let Ok(entries) = fs::read_dir(path) else { return };
    for entry in entries.flatten() {
        look(rule, &entry.path(), there, depth + 1, differing);
    }
}

fn is_same(path: &Path, here: &Metadata, there: &FileEntry) -> bool {
    let kind = FileType::from_raw_mode(here.mode());
    if kind != FileType::from_raw_mode(there.mode) {
        return false;
    }
    match kind {
        FileType::Symlink => {
            fs::read_link(path).ok().map(|link| link.to_string_lossy().into_owned()) == there.link
        }
        _ => here.len() == there.size && here.mtime() == there.modified_seconds,
    }
}
