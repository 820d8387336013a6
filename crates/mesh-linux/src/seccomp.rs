//! The default filter of system calls: what a service never needs and the kernel's weak spots are.
//!
//! Everything that is not named is allowed; what is named gives `EPERM` unless the capability that
//! governs it was kept. `clone3` gives `ENOSYS`, since its flags cannot be seen by a filter: C
//! libraries then use `clone`. Programs of another architecture than the machine's are killed.

use crate::capability::Capabilities;
use nix::libc::{self, c_long};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Compare, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};
use std::{collections::BTreeMap, io};

/// A filter could not be made: a defect of this module, never of input.
#[derive(Debug, thiserror::Error)]
#[error("could not compile the filter of system calls")]
pub struct CompileError(#[from] seccompiler::BackendError);

/// A compiled filter.
#[derive(Debug)]
pub struct Filter(Vec<BpfProgram>);

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Denied without this capability.
const BY_CAPABILITY: &[(&str, &[c_long])] = &[
    (
        "SYS_ADMIN",
        &[
            libc::SYS_mount,
            libc::SYS_umount2,
            libc::SYS_pivot_root,
            libc::SYS_setns,
            libc::SYS_unshare,
            libc::SYS_fsopen,
            libc::SYS_fsconfig,
            libc::SYS_fsmount,
            libc::SYS_fspick,
            libc::SYS_open_tree,
            libc::SYS_move_mount,
            libc::SYS_mount_setattr,
            libc::SYS_quotactl,
            libc::SYS_quotactl_fd,
            libc::SYS_sethostname,
            libc::SYS_setdomainname,
            libc::SYS_swapon,
            libc::SYS_swapoff,
            libc::SYS_lookup_dcookie,
            libc::SYS_fanotify_init,
            libc::SYS_bpf,
            libc::SYS_perf_event_open,
        ],
    ),
    ("SYS_BOOT", &[libc::SYS_reboot, libc::SYS_kexec_load, libc::SYS_kexec_file_load]),
    ("SYS_MODULE", &[libc::SYS_init_module, libc::SYS_finit_module, libc::SYS_delete_module]),
    ("SYS_PACCT", &[libc::SYS_acct]),
    ("SYS_TIME", &[libc::SYS_settimeofday, libc::SYS_clock_settime]),
    ("SYS_TTY_CONFIG", &[libc::SYS_vhangup]),
    ("SYSLOG", &[libc::SYS_syslog]),
    ("DAC_READ_SEARCH", &[libc::SYS_open_by_handle_at]),
    #[cfg(target_arch = "x86_64")]
    ("SYS_RAWIO", &[libc::SYS_iopl, libc::SYS_ioperm]),
];

/// Denied always: keys are not divided by namespaces, and the others have a record.
const ALWAYS: &[c_long] = &[
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_nfsservctl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ustat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_sysfs,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS__sysctl,
];

/// Namespaces that `clone` could make.
const NAMESPACE_FLAGS: &[i32] = &[
    libc::CLONE_NEWNS,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWCGROUP,
];

/// `personality` values that are allowed: Linux, its old version number, 32 bits, both, and asking.
const PERSONALITIES: &[u64] = &[0, 0x0002_0000, 0x8, 0x0002_0008, 0xffff_ffff];

/// A system call of the x32 interface has this bit; they would pass a filter by numbers.
#[cfg(target_arch = "x86_64")]
const X32_BIT: i64 = 0x4000_0000;

impl Filter {
    /// The default filter for a process that keeps `kept`.
    ///
    /// # Errors
    /// [`CompileError`].
    pub fn default_for(kept: Capabilities) -> Result<Self, CompileError> {
        let denied = compile(denied(kept)?, libc::EPERM)?;
        let missing = compile(Rules::from([(libc::SYS_clone3, Vec::new())]), libc::ENOSYS)?;
        let clone3_allowed = kept.has("SYS_ADMIN");
        Ok(Self(if clone3_allowed { vec![denied] } else { vec![denied, missing] }))
    }

    /// Installs it for this thread and all it will execute. Needs `SYS_ADMIN` in the user namespace or
    /// no-new-privileges.
    ///
    /// # Errors
    /// Those of `seccomp`.
    pub fn install(&self) -> io::Result<()> {
        for program in &self.0 {
            let length = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
            let description = libc::sock_fprog {
                len: length,
                filter: program.as_ptr().cast_mut().cast::<libc::sock_filter>(),
            };
            // SAFETY: `sock_filter` of both crates is the kernel's structure; the program is alive and
            // of the stated length, and the kernel only reads it.
            let result = unsafe {
                libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0_u32, &raw const description)
            };
            if result != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    }
}

fn denied(kept: Capabilities) -> Result<Rules, CompileError> {
    let mut rules = Rules::new();
    for (capability, calls) in BY_CAPABILITY {
        if !kept.has(capability) {
            rules.extend(calls.iter().map(|call| (*call, Vec::new())));
        }
    }
    rules.extend(ALWAYS.iter().map(|call| (*call, Vec::new())));
    if kept.has("BPF") {
        rules.remove(&libc::SYS_bpf);
    }
    if kept.has("PERFMON") {
        rules.remove(&libc::SYS_perf_event_open);
    }
    if !kept.has("SYS_ADMIN") {
        let flags: Result<Vec<_>, CompileError> = NAMESPACE_FLAGS
            .iter()
            .map(|flag| u64::from(flag.cast_unsigned()))
            .map(|flag| rule(&[(0, Length::Qword, Compare::MaskedEq(flag), flag)]))
            .collect();
        rules.insert(libc::SYS_clone, flags?);
    }
    let other_personality: Vec<_> =
        PERSONALITIES.iter().map(|value| (0, Length::Dword, Compare::Ne, *value)).collect();
    rules.insert(libc::SYS_personality, vec![rule(&other_personality)?]);
    let vsock = libc::AF_VSOCK as u64;
    rules.insert(libc::SYS_socket, vec![rule(&[(0, Length::Dword, Compare::Eq, vsock)])?]);
    // Pushing characters into a terminal that may be the caller's.
    let injecting = [libc::TIOCSTI, libc::TIOCLINUX]
        .iter()
        .map(|request| rule(&[(1, Length::Dword, Compare::Eq, *request)]))
        .collect::<Result<Vec<_>, _>>()?;
    rules.insert(libc::SYS_ioctl, injecting);
    #[cfg(target_arch = "x86_64")]
    {
        let again: Vec<_> = rules.iter().map(|(call, rules)| (call | X32_BIT, rules.clone())).collect();
        rules.extend(again);
    }
    Ok(rules)
}

/// A rule whose conditions must all hold: argument, its length, comparison, value.
fn rule(conditions: &[(u8, Length, Compare, u64)]) -> Result<SeccompRule, CompileError> {
    let conditions = conditions
        .iter()
        .map(|(argument, length, compare, value)| {
            SeccompCondition::new(*argument, length.clone(), compare.clone(), *value)
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(SeccompRule::new(conditions)?)
}

fn compile(rules: Rules, errno: i32) -> Result<BpfProgram, CompileError> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(errno.cast_unsigned()),
        architecture,
    )?;
    Ok(BpfProgram::try_from(filter)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_fits_the_kernel_and_knows_capabilities() {
        let none = denied(Capabilities::NONE).unwrap();
        assert!(none.contains_key(&libc::SYS_mount) && none.contains_key(&libc::SYS_clone));
        let admin = denied(Capabilities::parse(["SYS_ADMIN"]).unwrap()).unwrap();
        assert!(!admin.contains_key(&libc::SYS_mount) && admin.contains_key(&libc::SYS_keyctl));
        let filter = Filter::default_for(Capabilities::NONE).unwrap();
        assert_eq!(filter.0.len(), 2);
        assert!(filter.0[0].len() < 4096);
    }
}
