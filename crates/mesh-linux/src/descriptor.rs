//! Descriptors: taking over inherited ones, closing the rest, memory that is read like a file.

use nix::libc;
use std::{
    ffi::CStr,
    io::{self, Write as _},
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    sync::atomic::{AtomicU64, Ordering},
};

/// Numbers that were handed out by [`take_inherited`]; a bit each.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// Takes over a descriptor that this process inherited at a number agreed with its parent, and marks
/// it close-on-exec. `None` where nothing is open at that number, where the number is above 63, or
/// where it was taken before: two owners of one descriptor cannot come about through this function.
///
/// To be called before anything else is opened, or for numbers that are known to be inherited.
#[must_use]
pub fn take_inherited(number: RawFd) -> Option<OwnedFd> {
    let bit = 1_u64.checked_shl(u32::try_from(number).ok()?).filter(|_| number < 64)?;
    // SAFETY: F_GETFD reads a flag of a number; it touches no memory.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return None;
    }
    if TAKEN.fetch_or(bit, Ordering::SeqCst) & bit != 0 {
        return None;
    }
    // SAFETY: the number is open (checked above) and, by the bit just set, handed out once only.
    let owned = unsafe { OwnedFd::from_raw_fd(number) };
    set_close_on_exec(&owned, true).ok()?;
    Some(owned)
}

/// Takes over a descriptor that just arrived through a socket. `None` where nothing is open at that
/// number.
///
/// To be called once for each number of a message, right after it was received.
#[must_use]
pub fn take_received(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: F_GETFD reads a flag of a number; it touches no memory.
    if number < 0 || unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return None;
    }
    // SAFETY: the number is open, and the kernel made it for the message that the caller read.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Sets or clears close-on-exec.
///
/// # Errors
/// Those of `fcntl`.
pub fn set_close_on_exec(descriptor: &OwnedFd, close: bool) -> io::Result<()> {
    let flag = if close { libc::FD_CLOEXEC } else { 0 };
    // SAFETY: sets a flag of an open descriptor; no memory is touched.
    match unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_SETFD, flag) } {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A duplicate at a number of at least `lowest`, close-on-exec.
///
/// # Errors
/// Those of `fcntl`: too many open descriptors.
pub fn duplicate_above(descriptor: &OwnedFd, lowest: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC makes a new descriptor; no memory is touched.
    let number = unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_DUPFD_CLOEXEC, lowest) };
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave us this number; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Marks every descriptor from `first` on close-on-exec.
///
/// # Errors
/// Those of `close_range`.
pub fn close_on_exec_from(first: u32) -> io::Result<()> {
    close_range(first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
}

/// Closes every descriptor from `first` on, whoever owns it. For a process that just forked and will
/// not use any owner of such a descriptor again.
///
/// # Errors
/// Those of `close_range`.
pub fn close_from(first: u32) -> io::Result<()> {
    close_range(first, u32::MAX, 0)
}

/// As [`close_from`], up to but without `end`.
pub fn close_between(first: u32, end: u32) {
    if first < end {
        let _ = close_range(first, end - 1, 0);
    }
}

fn close_range(first: u32, last: u32, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: takes numbers only; no memory is touched.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Makes `descriptor` be `number` (0, 1, 2) in this process too; what was there is closed.
///
/// # Errors
/// Those of `dup2`.
pub fn place_standard(descriptor: &OwnedFd, number: RawFd) -> io::Result<()> {
    if !(0..=2).contains(&number) {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: standard descriptors are owned by nobody in Rust's sense; replacing one is allowed.
    match unsafe { libc::dup2(descriptor.as_raw_fd(), number) } {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Memory with `content` that can be read as a file and never changed again. Its reading position is
/// at the start.
///
/// # Errors
/// Those of `memfd_create`, of writing (no memory) and of sealing.
pub fn sealed_memory(name: &CStr, content: &[u8]) -> io::Result<OwnedFd> {
    use nix::{
        fcntl::{FcntlArg, SealFlag, fcntl},
        sys::memfd::{MFdFlags, memfd_create},
        unistd::{Whence, lseek},
    };
    let memory = memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    let mut file = std::fs::File::from(memory);
    file.write_all(content)?;
    lseek(&file, 0, Whence::SeekSet)?;
    let seals =
        SealFlag::F_SEAL_SEAL | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs::File, io::Read as _};

    #[test]
    fn sealed_memory_reads_back_and_refuses_writes() {
        let memory = sealed_memory(c"test", b"payload").unwrap();
        let mut file = File::from(memory);
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "payload");
        assert!(file.write_all(b"x").is_err());
    }

    #[test]
    fn an_inherited_descriptor_is_taken_once() {
        let pair = std::os::unix::net::UnixStream::pair().unwrap();
        let high = duplicate_above(&OwnedFd::from(pair.0), 40).unwrap();
        let number = high.as_raw_fd();
        std::mem::forget(high);
        assert!(take_inherited(number).is_some());
        assert!(take_inherited(number).is_none());
        assert!(take_inherited(64).is_none());
        assert!(take_inherited(-1).is_none());
    }
}
