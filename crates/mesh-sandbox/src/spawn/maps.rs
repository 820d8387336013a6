//! Which ids a user namespace gets: this user as 0, and the range it was given as the others.

use super::SpawnError;
use crate::specification::UserNamespace;
use nix::unistd::{User, getegid, geteuid};
use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

/// Smallest range that is worth having: users of images have numbers up to here at least.
const RANGE_IDS_MIN: u64 = 65_535;

/// Writes the maps of the process `pid`, which just made a user namespace.
pub(super) fn write(pid: u32) -> Result<UserNamespace, SpawnError> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let name = User::from_uid(geteuid()).ok().flatten().map(|user| user.name).unwrap_or_default();
    let range = |path: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        find_range(&text, &name, uid)
    };
    if let (Some(users), Some(groups)) = (range("/etc/subuid"), range("/etc/subgid"))
        && run("newuidmap", pid, uid, users)
        && run("newgidmap", pid, gid, groups)
    {
        return Ok(UserNamespace::Range);
    }
    // A failed helper may have written one of the two; then the single line fails, and says so.
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

fn run(program: &str, pid: u32, id: u32, (first, count): (u64, u64)) -> bool {
    let numbers = [u64::from(pid), 0, u64::from(id), 1, 1, first, count];
    Command::new(program)
        .args(numbers.map(|number| number.to_string()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The largest range of a user in the text of `/etc/subuid`: first id and how many.
fn find_range(text: &str, name: &str, uid: u32) -> Option<(u64, u64)> {
    let number = uid.to_string();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let owner = fields.next()?;
            let fits = (owner == name && !name.is_empty()) || owner == number;
            let range: (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
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
