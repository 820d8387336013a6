//! Logs of services: bounded segments on disk that outlive restarts.
//!
//! A journal is a directory of segment files, `0000000001.log` and on. A record is one line of text:
//! the time, the stream, whether its line ended there, and the line itself. The [`Writer`] lives in a
//! container's shim, appends with one system call a record and never syncs; a kill in the middle
//! of a write leaves a torn last line, which readers skip and the next writer cuts off.
//!
//! Invariants: a record never spans two segments; a segment with a higher number holds later records;
//! a directory never holds more than `segments_max` segments of `segment_bytes_max` bytes, plus at
//! most one record each.
//!
//! Deliberately absent: any index, any syncing (a log is no database), and any dependency on an
//! asynchronous runtime, since the writer has a process of one thread to itself.

mod error;
mod follower;
mod reader;
mod record;
mod segment;
mod writer;

pub use error::JournalError;
pub use follower::Follower;
pub use reader::{Query, read, tail};
pub use record::{Record, Stream, TEXT_BYTES_MAX};
pub use writer::{Settings, Writer};
