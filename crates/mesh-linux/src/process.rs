//! Processes: forking one that has a single thread, its start time, waiting for it.

use nix::{
    errno::Errno,
    libc,
    sys::wait::{Id, WaitPidFlag, WaitStatus, waitid},
    unistd::{ForkResult, Pid},
};
use std::{
    ffi::CString,
    fs, io,
    marker::PhantomData,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt as _,
    },
};

/// Evidence that this process had one thread when it was asked. It cannot leave that thread; whoever
/// holds it starts none.
#[derive(Debug, Clone, Copy)]
pub struct SingleThreaded(PhantomData<*const ()>);

impl SingleThreaded {
    /// Looks at `/proc/self/task`: `None` where there are more threads than one, or no `/proc`.
    #[must_use]
    pub fn prove() -> Option<Self> {
        let links = fs::metadata("/proc/self/task").ok()?.nlink();
        (links == 3).then_some(Self(PhantomData))
    }
}

/// Forks. In a process with one thread the child may do whatever its parent could.
///
/// # Errors
/// Those of `fork`: the limit of processes, no memory.
pub fn fork(_evidence: SingleThreaded) -> io::Result<ForkResult> {
    // SAFETY: the process has a single thread, so no lock can be held by a thread the child lacks.
    Ok(unsafe { nix::unistd::fork() }?)
}

/// As [`fork`], with the child as the first process of a pid namespace of its own. Children that are forked later are
/// born into this process's own.
///
/// # Errors
/// Those of `clone`: no permission, the limit of processes, no memory.
pub fn fork_into_pid_namespace(evidence: SingleThreaded) -> io::Result<ForkResult> {
    fork_with(evidence, libc::CLONE_NEWPID)
}

/// As [`fork`], with a child of this process's parent: that one waits for it.
///
/// # Errors
/// Those of `clone`: the limit of processes, no memory.
pub fn fork_sibling(evidence: SingleThreaded) -> io::Result<ForkResult> {
    fork_with(evidence, libc::CLONE_PARENT)
}

/// The system call that `fork` is, with flags that the C library's has not.
fn fork_with(_evidence: SingleThreaded, flags: libc::c_int) -> io::Result<ForkResult> {
    let flags = libc::c_long::from(flags | libc::SIGCHLD);
    let nothing: libc::c_long = 0;
    // SAFETY: without a stack of its own and without shared memory the child goes on in a copy of everything, as after
    // fork; the process has a single thread, so no lock can be held by a thread the child lacks.
    match unsafe { libc::syscall(libc::SYS_clone, flags, nothing, nothing, nothing, nothing) } {
        0 => Ok(ForkResult::Child),
        number => match i32::try_from(number) {
            Ok(number @ 1..) => Ok(ForkResult::Parent { child: Pid::from_raw(number) }),
            _ => Err(io::Error::last_os_error()),
        },
    }
}

/// Ends this process at once: no destructor and no exit handler runs. For the child of a fork.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` takes a number and does not return.
    unsafe { libc::_exit(code) }
}

/// Gives memory that was freed back to the kernel, where the C library can.
pub fn release_free_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim may be called at any time; the process's allocator is the C library's.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Has all threads together take memory from so many heaps, where the C library has one for each thread until then: what
/// is freed in one is of no use to the others. For the beginning of a process, before its threads; whether it is so.
pub fn limit_heaps(heaps_max: u16) -> bool {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt may be called at any time; it takes two numbers.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, libc::c_int::from(heaps_max)) == 1
    }
    #[cfg(not(target_env = "gnu"))]
    {
        let _ = heaps_max;
        false
    }
}

/// Lets go of the pages of programs and libraries that this process has in its memory: those it needs
/// come back by themselves, from the memory that all processes share. For a process that has done most
/// of its work and stays.
pub fn release_program_pages() {
    for (start, end) in program_pages(&fs::read_to_string("/proc/self/maps").unwrap_or_default()) {
        // SAFETY: the range is a whole private mapping of a file that cannot be written to and was
        // written to never: its pages are the file's, and the kernel reads them again.
        unsafe {
            libc::madvise(std::ptr::without_provenance_mut(start), end - start, libc::MADV_DONTNEED);
        }
    }
}

/// Mappings whose pages are those of their file: code, and what stands before it (at the file's
/// beginning). Constants after the code may have been written to when the program was linked.
fn program_pages(maps: &str) -> Vec<(usize, usize)> {
    let range = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let (mode, offset) = (fields.next()?, fields.next()?);
        let of_file = fields.nth(2).is_some_and(|path| path.starts_with('/'));
        let untouched = mode == "r-xp" || (mode == "r--p" && offset.bytes().all(|digit| digit == b'0'));
        let number = |text| usize::from_str_radix(text, 16).ok();
        (of_file && untouched).then_some((number(start)?, number(end)?))
    };
    maps.lines().filter_map(range).filter(|(start, end)| start < end).collect()
}

/// Opens a handle on a process that stays valid when its number is reused.
///
/// # Errors
/// Those of `pidfd_open`: no such process.
pub fn open_pidfd(pid: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).ok_or(Errno::ESRCH)?;
    Ok(rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?)
}

/// Sends a signal by number through a handle.
///
/// # Errors
/// Those of `pidfd_send_signal`: it ended, no permission, no such signal.
pub fn signal_pidfd(pidfd: impl AsFd, signal: i32) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;
    let info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the descriptor is open for the call; a null info is allowed and means "as kill does".
    let result =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_fd().as_raw_fd(), signal, info, 0_u32) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// How a child ended, as a shell tells it: its exit code, or 128 and the number of its signal.
/// `None`: it did not end yet (only without `block`). Reaps it.
///
/// # Errors
/// Those of `waitid`: not a child of this process.
pub fn wait_pidfd(pidfd: impl AsFd, block: bool) -> io::Result<Option<i32>> {
    let flags = WaitPidFlag::WEXITED | if block { WaitPidFlag::empty() } else { WaitPidFlag::WNOHANG };
    loop {
        match waitid(Id::PIDFd(pidfd.as_fd()), flags) {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
            Ok(status) => return Ok(code_of(status)),
        }
    }
}

/// Exit code, or 128 and the signal's number; `None` for a process that did not end.
#[must_use]
pub fn code_of(status: WaitStatus) -> Option<i32> {
    match status {
        WaitStatus::Exited(_, code) => Some(code),
        WaitStatus::Signaled(_, signal, _) => Some(128 + signal as i32),
        _ => None,
    }
}

/// Waits for one child by number, blocking; as [`wait_pidfd`].
///
/// # Errors
/// Those of `waitpid`: not a child of this process.
pub fn wait_child(pid: Pid) -> io::Result<i32> {
    loop {
        match nix::sys::wait::waitpid(pid, None) {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
            Ok(status) => {
                if let Some(code) = code_of(status) {
                    return Ok(code);
                }
            }
        }
    }
}

/// When a process started, in clock ticks since boot: together with its number it names one process
/// for as long as the machine runs. `None` where there is no such process, or it ended and only waits
/// for its parent, which may be an init that never asks.
#[must_use]
pub fn start_time(pid: u32) -> Option<u64> {
    find_start_time(pid).ok().flatten()
}

/// As [`start_time`], and tells a process that is not there from one that could not be looked at (no
/// descriptor or memory is free).
///
/// # Errors
/// Those of reading `/proc/<pid>/stat`, but not that there is no such process.
pub fn find_start_time(pid: u32) -> io::Result<Option<u64>> {
    match fs::read(format!("/proc/{pid}/stat")) {
        // A process may have given itself a name that is no text.
        Ok(stat) => Ok(start_time_of(&String::from_utf8_lossy(&stat))),
        Err(error)
            if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Field 22 of `/proc/<pid>/stat`, where fields 3 (state) and 20 (threads) are those of a process that
/// has not ended: one whose first thread ended goes on in its others. The name in field 2 may hold
/// blanks and parentheses.
fn start_time_of(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().take(20).collect();
    let ended = matches!(*fields.first()?, "Z" | "X") && matches!(fields.get(17), Some(&("0" | "1")));
    if ended { None } else { fields.get(19)?.parse().ok() }
}

/// Kills this process with SIGKILL when its parent ends. Cleared by a change of credentials, so it
/// comes after them; and it follows the parent's thread, not its process.
///
/// # Errors
/// Those of `prctl`.
pub fn die_with_parent() -> io::Result<()> {
    Ok(nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?)
}

/// Sets one of this process's limits by its Compose name (`nofile`). `None` in place of a number is
/// unlimited.
///
/// # Errors
/// `InvalidInput` for an unknown name; else those of `setrlimit`.
pub fn set_limit(name: &str, soft: Option<u64>, hard: Option<u64>) -> io::Result<()> {
    let resource = resource(name).ok_or(io::ErrorKind::InvalidInput)?;
    let infinite = nix::sys::resource::RLIM_INFINITY;
    Ok(nix::sys::resource::setrlimit(resource, soft.unwrap_or(infinite), hard.unwrap_or(infinite))?)
}

/// Soft and hard limit by name; `None` for an unknown name.
#[must_use]
pub fn limit(name: &str) -> Option<(u64, u64)> {
    nix::sys::resource::getrlimit(resource(name)?).ok()
}

fn resource(name: &str) -> Option<nix::sys::resource::Resource> {
    use nix::sys::resource::Resource as R;
    Some(match name {
        "as" => R::RLIMIT_AS,
        "core" => R::RLIMIT_CORE,
        "cpu" => R::RLIMIT_CPU,
        "data" => R::RLIMIT_DATA,
        "fsize" => R::RLIMIT_FSIZE,
        "locks" => R::RLIMIT_LOCKS,
        "memlock" => R::RLIMIT_MEMLOCK,
        "msgqueue" => R::RLIMIT_MSGQUEUE,
        "nice" => R::RLIMIT_NICE,
        "nofile" => R::RLIMIT_NOFILE,
        "nproc" => R::RLIMIT_NPROC,
        "rss" => R::RLIMIT_RSS,
        "rtprio" => R::RLIMIT_RTPRIO,
        "rttime" => R::RLIMIT_RTTIME,
        "sigpending" => R::RLIMIT_SIGPENDING,
        "stack" => R::RLIMIT_STACK,
        _ => return None,
    })
}

/// Replaces this process by `program`. Comes back only on failure.
#[must_use]
pub fn execute(program: &CString, arguments: &[CString], environment: &[CString]) -> Errno {
    match nix::unistd::execve(program, arguments, environment) {
        Err(errno) => errno,
        Ok(never) => match never {},
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_survives_an_odd_name() {
        let tail = (3..=22).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        assert_eq!(start_time_of(&format!("7 (a) b (c)) {tail}")), Some(22));
        assert_eq!(start_time_of("7 (short) R 1"), None);
        let stat = |state: &str, threads: u32| {
            format!(
                "7 (a) {state} {} {threads} 0 22",
                (4..=19).map(|n| n.to_string()).collect::<Vec<_>>().join(" ")
            )
        };
        for (state, threads, want) in [("R", 1, Some(22)), ("Z", 1, None), ("X", 0, None), ("Z", 2, Some(22))]
        {
            assert_eq!(start_time_of(&stat(state, threads)), want, "{state} {threads}");
        }
        assert!(start_time(std::process::id()).is_some_and(|ticks| ticks > 0));
    }

    #[test]
    fn only_pages_of_files_are_let_go() {
        let maps = "5000-6000 r--p 00000000 fe:00 32 /bin/mesh\n6000-9000 r-xp 00001000 fe:00 32 /bin/mesh\n\
            9000-a000 r--p 00004000 fe:00 32 /bin/mesh\na000-b000 rw-p 00005000 fe:00 32 /bin/mesh\n\
            c000-d000 rw-p 00000000 00:00 0 [heap]\nd000-e000 r-xp 00000000 00:00 0 [vdso]\n\
            e000-f000 r--p 00000000 00:00 0 \nbroken\n";
        assert_eq!(program_pages(maps), [(0x5000, 0x6000), (0x6000, 0x9000)]);
        release_program_pages();
    }

    #[test]
    fn threads_share_heaps_where_the_library_can() {
        assert_eq!(limit_heaps(64), cfg!(target_env = "gnu"));
        std::thread::spawn(|| drop(vec![1_u8; 1 << 16])).join().unwrap();
        release_free_memory();
    }

    #[test]
    fn a_process_with_threads_is_no_single_threaded_one() {
        // The test harness runs this in a thread of its own.
        assert!(SingleThreaded::prove().is_none());
    }

    #[test]
    fn a_child_is_waited_for_through_its_handle() {
        let command = std::process::Command::new("/bin/sh").args(["-c", "exit 7"]).spawn();
        #[expect(clippy::zombie_processes, reason = "waited for through its handle")]
        let child = command.unwrap();
        let pidfd = open_pidfd(child.id()).unwrap();
        assert_eq!(wait_pidfd(&pidfd, true).unwrap(), Some(7));
        assert!(signal_pidfd(&pidfd, 15).is_err());
    }

    #[test]
    fn limits_are_known_by_name() {
        assert!(limit("nofile").is_some());
        assert!(limit("nonsense").is_none());
        assert!(set_limit("nonsense", None, None).is_err());
    }
}
