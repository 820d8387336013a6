//! Short forms to long ones, in place: afterwards every value has one shape, which both the decoder and
//! the printed document rely on. What cannot be read is reported and left out.

mod as_written;
mod dependencies;
mod files;
mod hooks;
mod ports;
mod scalars;
mod service;
mod top;
mod volumes;

pub(crate) use as_written::as_written;
pub(crate) use ports::range_of;
pub(crate) use service::service;
pub(crate) use top::top;
pub(crate) use volumes::clean;

use crate::{context::Context, resolve::Text};
use std::{collections::BTreeMap, path::PathBuf};

/// What the forms are read against.
pub(crate) struct Surface<'s> {
    pub(crate) cx: &'s mut Context,
    pub(crate) environment: &'s BTreeMap<String, String>,
    pub(crate) working_directory: PathBuf,
    /// Texts already read, by path: files are often shared by services.
    pub(crate) texts: BTreeMap<PathBuf, Result<(u32, Text), String>>,
}
