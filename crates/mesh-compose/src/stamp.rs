//! What tells a file that was changed or replaced from what it was.

use serde::{Deserialize, Serialize};
use std::{
    fs::{self, Metadata},
    io::{self, ErrorKind},
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// How long a file has to be as it is before it is taken for known: a second change in the same moment could not be told
/// from the first. The kernel has moments of up to 10 ms.
const SETTLED: Duration = Duration::from_millis(200);
/// The same where a file system knows whole seconds only.
const SETTLED_COARSELY: Duration = Duration::from_secs(2);

/// A file at one moment: device, number, bytes, and the time of its last change in seconds and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp(u64, u64, u64, i64, i64);

impl Stamp {
    fn of(file: &Metadata) -> Self {
        Self(file.dev(), file.ino(), file.size(), file.ctime(), file.ctime_nsec())
    }

    /// That of a file as it is now, through links; `None` within: it is not there.
    ///
    /// # Errors
    /// Where it cannot be told whether it is there.
    pub fn now(path: &Path) -> io::Result<Option<Self>> {
        match fs::metadata(path) {
            Ok(file) => Ok(Some(Self::of(&file))),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the last change was so long before that moment that another one would be told from it.
    #[must_use]
    pub fn is_settled(self, moment: SystemTime) -> bool {
        let Self(.., seconds, nanoseconds) = self;
        let settled = if nanoseconds == 0 { SETTLED_COARSELY } else { SETTLED };
        let changed = u64::try_from(seconds).ok().zip(u32::try_from(nanoseconds).ok());
        changed.is_some_and(|(seconds, nanoseconds)| {
            UNIX_EPOCH
                .checked_add(Duration::new(seconds, nanoseconds) + settled)
                .is_some_and(|it| it <= moment)
        })
    }
}
