//! What services say of one another and of the sections beside them: profiles, references, cycles.

mod consistency;
mod cycles;
mod profiles;
mod references;

pub(crate) use consistency::device_request;
pub(crate) use profiles::{Inactive, activate};
pub(crate) use references::{check, default_network, restore};
