//! The default filter of system calls: what a service never needs and the kernel's weak spots are.
//!
//! Everything that is not named is allowed; what is named gives `EPERM` unless the capability that
//! governs it was kept. `clone3` gives `ENOSYS`, since its flags cannot be seen by a filter: C
//! libraries then use `clone`. Programs of another architecture than the machine's are killed; the x32
//! interface is answered with `ENOSYS`, as by a kernel without it.

mod numbers;

use crate::capability::Capabilities;
use nix::libc::{self, c_long};
use numbers::Verdict;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Compare, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};
use std::{collections::BTreeMap, io};

/// A filter could not be made: a defect of this module, never of input.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// By the conditions of a call.
    #[error("could not compile the filter of system calls")]
    Conditions(#[from] seccompiler::BackendError),
    /// By numbers.
    #[error("the filter of system calls has more numbers than its jumps reach")]
    Numbers,
}

/// A compiled filter.
#[derive(Debug)]
pub struct Filter(BpfProgram);

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

impl Filter {
    /// The default filter for a process that keeps `kept`.
    ///
    /// # Errors
    /// [`CompileError`].
    pub fn default_for(kept: Capabilities) -> Result<Self, CompileError> {
        let conditions = conditions(kept)?;
        let examined =
            conditions.keys().filter_map(|call| Some((u32::try_from(*call).ok()?, Verdict::Examined)));
        let mut verdicts: BTreeMap<u32, Verdict> = examined.collect();
        verdicts.extend(refused(kept).into_iter().map(|(call, errno)| (call, Verdict::Refused(errno))));
        let by_condition = compile(conditions, libc::EPERM)?;
        Ok(Self(numbers::program(&verdicts, &by_condition).ok_or(CompileError::Numbers)?))
    }

    /// Installs it for this thread and all it will execute. Needs `SYS_ADMIN` in the user namespace or
    /// no-new-privileges.
    ///
    /// # Errors
    /// Those of `seccomp`.
    pub fn install(&self) -> io::Result<()> {
        let length = u16::try_from(self.0.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let description =
            libc::sock_fprog { len: length, filter: self.0.as_ptr().cast_mut().cast::<libc::sock_filter>() };
        // SAFETY: `sock_filter` of both crates is the kernel's structure; the program is alive and
        // of the stated length, and the kernel only reads it.
        let result = unsafe {
            libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0_u32, &raw const description)
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// Calls that are refused whatever their arguments, each with its errno.
fn refused(kept: Capabilities) -> BTreeMap<u32, i32> {
    let lacking = BY_CAPABILITY.iter().filter(|(capability, _)| !kept.has(capability));
    let calls = lacking.flat_map(|(_, calls)| *calls).chain(ALWAYS);
    let mut refused: BTreeMap<c_long, i32> = calls.map(|call| (*call, libc::EPERM)).collect();
    if kept.has("BPF") {
        refused.remove(&libc::SYS_bpf);
    }
    if kept.has("PERFMON") {
        refused.remove(&libc::SYS_perf_event_open);
    }
    if !kept.has("SYS_ADMIN") {
        refused.insert(libc::SYS_clone3, libc::ENOSYS);
    }
    refused.into_iter().filter_map(|(call, errno)| Some((u32::try_from(call).ok()?, errno))).collect()
}

/// Calls that are refused with some arguments.
fn conditions(kept: Capabilities) -> Result<Rules, CompileError> {
    let mut rules = Rules::new();
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
        let none = refused(Capabilities::NONE);
        let number = |call: c_long| u32::try_from(call).unwrap();
        assert_eq!(none.get(&number(libc::SYS_mount)), Some(&libc::EPERM));
        assert_eq!(none.get(&number(libc::SYS_clone3)), Some(&libc::ENOSYS));
        assert!(conditions(Capabilities::NONE).unwrap().contains_key(&libc::SYS_clone));
        let admin = refused(Capabilities::parse(["SYS_ADMIN"]).unwrap());
        assert!(
            !admin.contains_key(&number(libc::SYS_mount)) && admin.contains_key(&number(libc::SYS_keyctl))
        );
        let filter = Filter::default_for(Capabilities::NONE).unwrap();
        assert!(filter.0.len() < 250);
    }
}
