//! Which ids a user namespace gets: this user as 0, and the range it was given as the others.

use super::SpawnError;
use crate::specification::UserNamespace;
use nix::unistd::{User, getegid, geteuid};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Smallest range that is worth having: users of images have numbers up to here at least.
const RANGE_IDS_MIN: u64 = 65_535;

/// First id of a range, and how many.
pub type IdRange = (u64, u64);

/// The ranges of user and group ids that this user was given; `None` where one is not there or is too
/// short to be used.
#[must_use]
pub fn subordinate_ranges() -> (Option<IdRange>, Option<IdRange>) {
    let uid = geteuid();
    let name = User::from_uid(uid).ok().flatten().map(|user| user.name).unwrap_or_default();
    let range = |path: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        find_range(&text, &name, uid.as_raw())
    };
    (range("/etc/subuid"), range("/etc/subgid"))
}

/// Maps the ids of the process `pid`, which just made a user namespace, with the programs that may: this
/// user as 0, the ranges as all others.
///
/// # Errors
/// [`SpawnError::MapRange`]. The first of the two maps may be written then.
pub fn map_ranges(pid: u32, users: IdRange, groups: IdRange) -> Result<(), SpawnError> {
    run("newuidmap", pid, geteuid().as_raw(), users)?;
    run("newgidmap", pid, getegid().as_raw(), groups)
}

/// Writes the maps of the process `pid`, which just made a user namespace.
pub(super) fn write(pid: u32) -> Result<UserNamespace, SpawnError> {
    if let (Some(users), Some(groups)) = subordinate_ranges() {
        match map_ranges(pid, users, groups) {
            Ok(()) => return Ok(UserNamespace::Range),
            // Written once, a map stays: there is no way back to one id for this process.
            Err(error) if is_mapped(pid) => return Err(error),
            // One id is less than was given, and works; the examination of the machine says why.
            Err(_) => {}
        }
    }
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("0 {uid} 1")),
        ("gid_map", format!("0 {gid} 1")),
    ] {
        let path = PathBuf::from(format!("/proc/{pid}/{file}"));
        fs::write(&path, text).map_err(|source| SpawnError::Map { path, source })?;
    }
    Ok(UserNamespace::Sole)
}

fn is_mapped(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/uid_map")).is_ok_and(|text| !text.trim().is_empty())
}

/// Where the two programs are; a caller's PATH may lack the place.
fn place(program: &'static str) -> PathBuf {
    ["/usr/bin", "/usr/sbin", "/bin", "/usr/local/bin"]
        .iter()
        .map(|place| Path::new(place).join(program))
        .find(|path| path.exists())
        .unwrap_or_else(|| program.into())
}

fn run(program: &'static str, pid: u32, id: u32, (first, count): IdRange) -> Result<(), SpawnError> {
    let numbers = [u64::from(pid), 0, u64::from(id), 1, 1, first, count];
    let failed = |reason: String| SpawnError::MapRange { program, reason };
    let output = Command::new(place(program))
        .args(numbers.map(|number| number.to_string()))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let text = String::from_utf8_lossy(&output.stderr);
            Err(failed(text.lines().next().unwrap_or("it failed without a word").to_owned()))
        }
    }
}

/// The largest range of a user in the text of `/etc/subuid`: first id and how many.
fn find_range(text: &str, name: &str, uid: u32) -> Option<IdRange> {
    let number = uid.to_string();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let owner = fields.next()?;
            let fits = (owner == name && !name.is_empty()) || owner == number;
            let range: IdRange = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            (fits && range.1 >= RANGE_IDS_MIN).then_some(range)
        })
        .max_by_key(|range| range.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_of_a_user_is_found() {
        let text = "other:1:65536\nann:100000:65536\n1000:300000:70000\nann:5:10\nbroken\nann:x:y\n";
        for (name, uid, want) in [
            ("ann", 1, Some((100_000, 65_536))),
            ("ann", 1000, Some((300_000, 70_000))),
            ("bob", 1, None),
            ("", 7, None),
        ] {
            assert_eq!(find_range(text, name, uid), want, "{name} {uid}");
        }
    }
}
