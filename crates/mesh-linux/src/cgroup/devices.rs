//! Which device files the processes of a group may open and make: version 1 only.
//!
//! On version 2 it takes a program in the kernel, which Mesh does not bring. There, what holds is that
//! device files work on no mount of a container but for those it was given; only a container that may
//! mount (`SYS_ADMIN`) gets around that.

use super::{CgroupError, Controller, Group, group::write};
use nix::sys::stat::{SFlag, major, minor, stat};
use std::path::Path;

/// What every container may do: make any device file, and open those that are no way to the machine:
/// null, zero, full, random, urandom, tty, console, ptmx, terminals, and network devices of its own.
const EVERYBODY: [&str; 12] = [
    "c *:* m",
    "b *:* m",
    "c 1:3 rwm",
    "c 1:5 rwm",
    "c 1:7 rwm",
    "c 1:8 rwm",
    "c 1:9 rwm",
    "c 5:0 rwm",
    "c 5:1 rwm",
    "c 5:2 rwm",
    "c 136:* rwm",
    "c 10:200 rwm",
];

/// A device file, as the kernel's rules name it, and what may be done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRule(String);

impl DeviceRule {
    /// That of the device file at `path`, links followed; `None`: there is none. `access` is of `r`,
    /// `w` and `m`; anything else means all three.
    #[must_use]
    pub fn of(path: &Path, access: &str) -> Option<Self> {
        let status = stat(path).ok()?;
        let kind = match SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFBLK => 'b',
            SFlag::S_IFCHR => 'c',
            _ => return None,
        };
        let known = !access.is_empty() && access.chars().all(|letter| "rwm".contains(letter));
        let access = if known { access } else { "rwm" };
        let (major, minor) = (major(status.st_rdev), minor(status.st_rdev));
        Some(Self(format!("{kind} {major}:{minor} {access}")))
    }
}

impl Group {
    /// Lets its processes open the usual devices and `further` alone. `false`: nothing here can hold
    /// that. To be called before it has groups below it.
    ///
    /// # Errors
    /// [`CgroupError::Write`] where the kernel refuses to forbid the others.
    pub fn limit_devices(&self, further: &[DeviceRule]) -> Result<bool, CgroupError> {
        let Some((directory, false)) = self.directory(Controller::Devices) else { return Ok(false) };
        write(&directory.join("devices.deny"), "a")?;
        for rule in EVERYBODY.into_iter().chain(further.iter().map(|rule| rule.0.as_str())) {
            // What this process may not do itself it cannot allow: then the container cannot either.
            let _ = write(&directory.join("devices.allow"), rule);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_name_devices_as_the_kernel_does() {
        for (path, access, want) in [
            ("/dev/null", "rw", Some("c 1:3 rw")),
            ("/dev/null", "", Some("c 1:3 rwm")),
            ("/dev/zero", "x; a *:*", Some("c 1:5 rwm")),
            ("/dev", "r", None),
            ("/absent", "r", None),
        ] {
            let rule = DeviceRule::of(Path::new(path), access);
            assert_eq!(rule.map(|rule| rule.0).as_deref(), want, "{path} {access}");
        }
    }
}
