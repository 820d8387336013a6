//! Hints that something a configuration is read from has changed, so that nobody waits for the next look.
//!
//! They are hints only: where the kernel gives none (too many watches, a file system of another machine), the look that
//! comes anyway finds the change.

use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};
use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
};
use tokio::io::unix::AsyncFd;

/// Room for events that are read at a time, in bytes.
const EVENTS_BYTES: usize = 4096;
/// Most reads for one hint.
const READS_MAX: usize = 64;

/// Directories that are watched.
#[derive(Debug)]
pub(crate) struct Hints {
    events: Option<AsyncFd<OwnedFd>>,
}

impl Hints {
    /// Watches directories; one that cannot be watched gives no hints.
    pub(crate) fn of(directories: &[PathBuf]) -> Self {
        let watched = watch(directories);
        if let Err(error) = &watched {
            tracing::debug!(%error, "changes are not told by the kernel; they are looked for");
        }
        Self { events: watched.ok() }
    }

    /// Resolves once something has changed; never where there are no hints.
    pub(crate) async fn next(&mut self) {
        let Some(events) = &mut self.events else { return std::future::pending().await };
        loop {
            let Ok(mut ready) = events.readable().await else { break };
            match drain(ready.get_inner()) {
                Ok(0) => ready.clear_ready(),
                Ok(_) => {
                    ready.clear_ready();
                    return;
                }
                Err(_) => break,
            }
        }
        self.events = None;
        std::future::pending().await
    }
}

#[expect(deprecated, reason = "its successor is unsafe, for descriptors that may close; an OwnedFd does not")]
fn watch(directories: &[PathBuf]) -> io::Result<AsyncFd<OwnedFd>> {
    let descriptor = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    // Not at each byte written: what is half there is not read.
    let wanted = WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::MOVED_FROM | WatchFlags::DELETE;
    for directory in directories {
        if let Err(error) = add_watch(descriptor.as_fd(), directory, wanted) {
            tracing::debug!(directory = %directory.display(), %error, "not watched");
        }
    }
    AsyncFd::new(descriptor)
}

/// Takes what is there; how many events that were.
fn drain(descriptor: &OwnedFd) -> io::Result<usize> {
    let mut room = [MaybeUninit::uninit(); EVENTS_BYTES];
    let mut reader = Reader::new(descriptor, &mut room);
    let mut taken = 0;
    while taken < READS_MAX {
        match reader.next() {
            Ok(event) if event.events().contains(ReadFlags::IGNORED) => {}
            Ok(_) => taken += 1,
            Err(rustix::io::Errno::AGAIN) => break,
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(taken)
}

/// The directory to watch for a file.
pub(crate) fn directory_of(file: &Path) -> PathBuf {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test]
    async fn a_file_that_takes_the_place_of_another_is_a_hint() {
        let directory = tempfile::tempdir().unwrap();
        let mut hints = Hints::of(&[directory.path().to_owned(), "/none/there".into()]);
        let file = directory.path().join("list");
        for content in ["1", "2"] {
            std::fs::write(directory.path().join("new"), content).unwrap();
            std::fs::rename(directory.path().join("new"), &file).unwrap();
            timeout(Duration::from_secs(10), hints.next()).await.expect("a hint");
        }
        let mut none = Hints { events: None };
        assert!(timeout(Duration::from_millis(1), none.next()).await.is_err());
        assert_eq!(directory_of(Path::new("a")), Path::new("."));
    }
}
