//! Signals: what a new program starts with.

use nix::{
    errno::Errno,
    libc,
    sys::signal::{SigHandler, SigSet, Signal},
};

/// Gives every signal its default disposition again and blocks none: what a program expects to find.
/// (Rust ignores SIGPIPE, and ignoring is inherited.)
pub fn reset() {
    for number in 1..libc::SIGRTMAX() + 1 {
        if number == libc::SIGKILL || number == libc::SIGSTOP {
            continue;
        }
        // SAFETY: the default disposition calls no code of ours.
        unsafe {
            libc::signal(number, libc::SIG_DFL);
        }
    }
    let _ = SigSet::empty().thread_set_mask();
}

/// Ignores one signal.
///
/// # Errors
/// Those of `signal`.
pub fn ignore(signal: Signal) -> Result<(), Errno> {
    // SAFETY: ignoring calls no code of ours.
    unsafe { nix::sys::signal::signal(signal, SigHandler::SigIgn) }.map(drop)
}
