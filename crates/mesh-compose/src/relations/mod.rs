//! What services say of one another and of the sections beside them: profiles, references, cycles.

mod cycles;
mod profiles;
mod references;

pub(crate) use profiles::activate;
pub(crate) use references::check;
