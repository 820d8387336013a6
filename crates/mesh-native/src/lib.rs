//! The native ground: containers on Linux without an engine.
//!
//! Two steps lead to a runtime. [`enter`] runs while the process has one thread: it finds or starts the
//! process that holds the project's namespaces. [`open`] then gives the
//! [`Runtime`](mesh_runtime::Runtime).
//!
//! Invariants: a container is what its directory says (`spec.json`, `run.json`, `exit.json`), so that a
//! supervisor that was killed takes nothing with it; one operation at a time changes a container; a
//! start that fails leaves nothing behind; nothing here decides about restarts, order or health.
//!
//! Absent on purpose: system calls (`mesh-linux`), the making of a sandbox (`mesh-sandbox`), bridges and
//! names (`mesh-network`), packages (`mesh-image`).

mod adopt;
mod announced;
mod conversion;
mod devices;
pub mod doctor;
mod enter;
mod exchange;
mod execute;
mod fault;
mod files;
#[cfg(test)]
mod fixture;
mod ground;
mod groups;
mod image;
pub mod image_use;
mod lifecycle;
mod lost_ports;
mod outside;
mod phase;
mod port_holder;
mod probe;
mod program;
mod record;
mod registries;
mod release;
mod runtime;
mod settings;
mod shim;
mod sources;
mod start;
mod statistics;
mod trust;
mod volume;
mod watch;

pub use enter::{EnterError, Entered, enter};
pub use runtime::{NativeRuntime, open};
pub use settings::{NativeSettings, journal_directory};
pub use volume::volumes_by_project;
