//! Capabilities: their names, and what of them a process keeps.

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
use std::io;

/// Capabilities, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities(u64);

/// Every capability of Linux without `CAP_`, by the kernel's number (`linux/capability.h`).
pub const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

impl Capabilities {
    /// None.
    pub const NONE: Self = Self(0);

    /// Reads names, with or without `CAP_`, in any case; `ALL` is every one.
    ///
    /// # Errors
    /// The first name that is none.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, &'a str> {
        let mut bits = 0;
        for name in names {
            let upper = name.to_ascii_uppercase();
            let plain = upper.strip_prefix("CAP_").unwrap_or(&upper);
            if plain == "ALL" {
                bits = (1 << NAMES.len()) - 1;
                continue;
            }
            let number = NAMES.iter().position(|known| *known == plain).ok_or(name)?;
            bits |= 1 << number;
        }
        Ok(Self(bits))
    }

    /// Whether the capability of this name is among them.
    #[must_use]
    pub fn has(self, name: &str) -> bool {
        NAMES.iter().position(|known| *known == name).is_some_and(|number| self.0 & (1 << number) != 0)
    }
}

/// Removes everything but `keep` from the bounding set. Needs `SETPCAP`.
///
/// # Errors
/// Those of `prctl`.
pub fn limit_bounding_set(keep: Capabilities) -> io::Result<()> {
    for number in 0..64 {
        let one = CapabilitySet::from_bits_retain(1 << number);
        // The first number the kernel does not know ends the list.
        let Ok(present) = rustix::thread::capability_is_in_bounding_set(one) else { break };
        if present && keep.0 & (1 << number) == 0 {
            rustix::thread::remove_capability_from_bounding_set(one)?;
        }
    }
    Ok(())
}

/// Leaves this thread with what it has of `keep`, effective and permitted, and with nothing that a
/// program executed later would inherit.
///
/// # Errors
/// Those of `capset` and `prctl`.
pub fn retain(keep: Capabilities) -> io::Result<()> {
    let has = capabilities(None)?;
    let kept = has.permitted & CapabilitySet::from_bits_retain(keep.0);
    rustix::thread::clear_ambient_capability_set()?;
    Ok(set_capabilities(
        None,
        CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() },
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_every_spelling() {
        let set = Capabilities::parse(["CHOWN", "cap_net_raw", "CAP_SYS_ADMIN"]).unwrap();
        assert!(set.has("CHOWN") && set.has("NET_RAW") && set.has("SYS_ADMIN") && !set.has("KILL"));
        assert_eq!(set.0, 1 | 1 << 13 | 1 << 21);
        assert_eq!(Capabilities::parse(["NET_FLY"]), Err("NET_FLY"));
        assert!(Capabilities::parse(["all"]).unwrap().has("CHECKPOINT_RESTORE"));
    }
}
