//! Keys while `up` shows output, and the line below it that says which there are.
//!
//! The terminal gives each key at once and does not show it; signals of the keyboard stay what they are.
//! All of that is undone when this is dropped.

use crate::{console, terminal::KeptMode};
use rustix::{
    process::getpgrp,
    termios::{LocalModes, OptionalActions, tcgetattr, tcgetpgrp, tcsetattr},
};
use std::{
    fs::OpenOptions,
    io::{self, IsTerminal},
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    time::Duration,
};
use tokio::{
    net::unix::pipe::Receiver,
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};

/// Reading returns at once where there is nothing.
const NOT_WAITING: i32 = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
/// Time between two looks whether the terminal is ours again.
const BACKGROUND_LOOK: Duration = Duration::from_millis(500);

/// What was asked for by a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// Watch files, or not any more.
    Watch,
    /// Leave, and let everything go on.
    Detach,
}

/// The keys.
pub(crate) struct Menu {
    input: Receiver,
    continued: Signal,
    _mode: KeptMode,
}

impl Menu {
    /// Takes the keyboard, where there is one and it is ours; shows the line.
    pub(crate) fn open(watching: bool) -> Option<Self> {
        let stdin = io::stdin();
        let all_terminals = stdin.is_terminal() && io::stdout().is_terminal() && io::stderr().is_terminal();
        if !all_terminals || !is_ours(&stdin) {
            return None;
        }
        // Opened once more: what is read without waiting must not be what others read.
        let terminal = OpenOptions::new().read(true).custom_flags(NOT_WAITING).open("/dev/tty").ok()?;
        let input = Receiver::from_owned_fd_unchecked(terminal.into()).ok()?;
        let continued = signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw())).ok()?;
        let menu = Self { input, continued, _mode: KeptMode::keep().ok()? };
        take_keys();
        menu.show(watching);
        Some(menu)
    }

    /// Shows the line as it is to be.
    pub(crate) fn show(&self, watching: bool) {
        let watch = if watching { "Disable Watch" } else { "Enable Watch" };
        let key = |key: &str, meaning: &str| format!("\u{1b}[1;7m{key}\u{1b}[0m\u{1b}[2m {meaning}\u{1b}[0m");
        console::set_footer(Some(format!("{}   {}", key("w", watch), key("d", "Detach"))));
    }

    /// Waits for a key that means something.
    pub(crate) async fn key(&mut self) -> Key {
        loop {
            tokio::select! {
                ready = self.input.readable() => if ready.is_err() {
                    return std::future::pending().await;
                },
                _ = self.continued.recv() => {
                    take_keys();
                    continue;
                }
            }
            // Whoever reads a terminal that is another's is stopped; what is typed there is for others.
            if !is_ours(io::stdin()) {
                sleep(BACKGROUND_LOOK).await;
                continue;
            }
            let mut typed = [0; 64];
            let count = match self.input.try_read(&mut typed) {
                Ok(count @ 1..) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                // The terminal is gone.
                _ => return std::future::pending().await,
            };
            for key in &typed[..count] {
                match key {
                    b'w' => return Key::Watch,
                    b'd' => return Key::Detach,
                    b'\r' | b'\n' => console::out("\n"),
                    _ => {}
                }
            }
        }
    }
}

impl Drop for Menu {
    fn drop(&mut self) {
        console::set_footer(None);
    }
}

/// Whether the terminal listens to us.
fn is_ours(terminal: impl AsFd) -> bool {
    tcgetpgrp(terminal).is_ok_and(|group| group == getpgrp())
}

/// Each key at once, unseen.
fn take_keys() {
    let stdin = io::stdin();
    if let Ok(mut mode) = tcgetattr(&stdin) {
        mode.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        let _ = tcsetattr(&stdin, OptionalActions::Now, &mode);
    }
}
