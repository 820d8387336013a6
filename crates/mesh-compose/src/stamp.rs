//! What tells a file that was changed or replaced from what it was.

use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// How long a file has to be as it is before it is taken for known: a second change in the same moment could not be told
/// from the first. The kernel has moments of up to 10 ms.
const SETTLED: Duration = Duration::from_millis(200);
/// The same where a file system knows whole seconds only.
const SETTLED_COARSELY: Duration = Duration::from_secs(2);

/// A path at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stamp {
    /// A file, through links: device, number, bytes, and the time of its last change in seconds and nanoseconds.
    There(u64, u64, u64, i64, i64),
    /// Nothing is there.
    Absent,
    /// It could not be told whether something is.
    Unknown,
}

impl Stamp {
    /// That of a path as it is now.
    #[must_use]
    pub fn now(path: &Path) -> Self {
        match fs::metadata(path) {
            Ok(file) => Self::There(file.dev(), file.ino(), file.size(), file.ctime(), file.ctime_nsec()),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Self::Absent
            }
            Err(_) => Self::Unknown,
        }
    }

    /// Whether any change after that moment would be told: the last one was long enough before.
    #[must_use]
    pub fn is_settled(self, moment: SystemTime) -> bool {
        let (seconds, nanoseconds) = match self {
            Self::There(.., seconds, nanoseconds) => (seconds, nanoseconds),
            Self::Absent => return true,
            Self::Unknown => return false,
        };
        let settled = if nanoseconds == 0 { SETTLED_COARSELY } else { SETTLED };
        let changed = u64::try_from(seconds).ok().zip(u32::try_from(nanoseconds).ok());
        changed.is_some_and(|(seconds, nanoseconds)| {
            UNIX_EPOCH
                .checked_add(Duration::new(seconds, nanoseconds) + settled)
                .is_some_and(|it| it <= moment)
        })
    }
}
