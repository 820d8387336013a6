//! Entering a project's namespaces, before there is any second thread.
//!
//! A holder is a small process that keeps the project's network namespace, and for an ordinary user
//! the user namespace, alive while supervisors come and go. It is found by its record (`holder.json`)
//! or started. Invariants: a project has one living holder at most as long as it has one supervisor;
//! a number that the system used again is not taken for it; one that was started ends with its supervisor
//! until the ground is open.

use crate::{
    doctor, fault,
    record::{self, ProcessKey},
    settings::NativeSettings,
};
use mesh_runtime::error::RuntimeError;
use mesh_sandbox::{spawn, specification::UserNamespace};
use std::{fs, io, path::Path};

/// Where this process stands once it entered.
#[derive(Debug)]
pub struct Entered {
    pub(crate) holder: ProcessKey,
    /// The holder, where it was just started and is on no record.
    fresh: Option<spawn::Holder>,
    pub(crate) user_namespace: UserNamespace,
    pub(crate) rootless: bool,
}

/// Why the project's namespaces could not be entered.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// This user may not make a user namespace.
    #[error("an ordinary user needs user namespaces, and they are not allowed here ({reason}); {remedy}")]
    UserNamespaces {
        /// What the system said.
        reason: String,
        /// How to allow them.
        remedy: String,
    },
    /// The holder could not be started.
    #[error("could not start the holder of the project's namespaces")]
    Start(#[source] spawn::SpawnError),
    /// The holder ended at once.
    #[error("the holder of the project's namespaces ended as soon as it was started")]
    Ended,
    /// Its user namespace could not be joined.
    #[error("could not join the user namespace of process {pid}")]
    Join {
        /// The holder.
        pid: u32,
        /// Cause.
        #[source]
        source: spawn::SpawnError,
    },
    /// The boot it belongs to could not be told.
    #[error("could not read which boot of the machine this is")]
    Boot(#[source] io::Error),
    /// Its record could not be kept.
    #[error("could not keep the record of the project's holder")]
    Record(#[source] RuntimeError),
}

/// Finds the project's living holder or starts one, and, as an ordinary user, joins its user namespace.
/// The process must still have one thread.
///
/// # Errors
/// [`EnterError`]; where user namespaces are not allowed it says how to allow them.
pub fn enter(settings: &NativeSettings) -> Result<Entered, EnterError> {
    let rootless = !nix::unistd::geteuid().is_root();
    record::make_private_directory(&settings.state).map_err(EnterError::Record)?;
    let (holder, fresh) = match record::read::<ProcessKey>(&settings.holder()).whole() {
        Some(holder) if holder.is_alive() => (holder, None),
        _ => start(settings, rootless)?,
    };
    if rootless {
        let pid = holder.pid;
        spawn::join_holder_user_namespace(pid).map_err(|source| EnterError::Join { pid, source })?;
    }
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    Ok(Entered { holder, fresh, user_namespace: user_namespace(&map), rootless })
}

impl Entered {
    /// Has a holder that was just started stay when this process ends: nothing depends on it before, and a
    /// supervisor that cannot open its ground would leave it to nobody. Blocking.
    pub(crate) fn keep(mut self, settings: &NativeSettings) -> Result<Self, RuntimeError> {
        if let Some(holder) = self.fresh.take() {
            // One that is not on record could not be found again.
            record::write(&settings.holder(), &self.holder)?;
            holder.stay().map_err(|error| RuntimeError::Setup {
                step: "keep the holder of the project's namespaces".to_owned(),
                reason: fault::chain(&error),
            })?;
        }
        Ok(self)
    }
}

/// Enters a user namespace of this process's own.
pub(crate) fn enter_alone(binary: &Path) -> Result<(), EnterError> {
    let holder = spawn::start_holder(binary, true).map_err(|error| refused(error, true))?;
    let pid = holder.pid;
    let joined = spawn::join_holder_user_namespace(pid).map_err(|source| EnterError::Join { pid, source });
    // It ends with this process, which holds the other end of its pipe.
    std::mem::forget(holder);
    joined
}

fn start(
    settings: &NativeSettings,
    rootless: bool,
) -> Result<(ProcessKey, Option<spawn::Holder>), EnterError> {
    let holder = spawn::start_holder(&settings.binary, rootless).map_err(|error| refused(error, rootless))?;
    let boot = record::boot().map_err(EnterError::Boot)?;
    let key = ProcessKey { pid: holder.pid, start_time: holder.start_time, boot };
    if !key.is_alive() {
        return Err(EnterError::Ended);
    }
    Ok((key, Some(holder)))
}

/// Where the cause is that user namespaces are not allowed, says so.
fn refused(error: spawn::SpawnError, rootless: bool) -> EnterError {
    match doctor::user_namespaces_refused().filter(|_| rootless) {
        Some((reason, remedy)) => EnterError::UserNamespaces { reason, remedy },
        None => EnterError::Start(error),
    }
}

/// Which ids there are, by `/proc/self/uid_map`. A map of one range over all ids is the machine's own.
fn user_namespace(map: &str) -> UserNamespace {
    let count = |line: &str| line.split_whitespace().nth(2)?.parse::<u64>().ok();
    let ids: u64 = map.lines().filter_map(count).fold(0, u64::saturating_add);
    match ids {
        0 | 0xFFFF_FFFF.. => UserNamespace::None,
        1 => UserNamespace::Sole,
        _ => UserNamespace::Range,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_tells_which_ids_there_are() {
        for (map, want) in [
            ("         0          0 4294967295\n", UserNamespace::None),
            ("0 1000 1\n", UserNamespace::Sole),
            ("0 1000 1\n1 100000 65536\n", UserNamespace::Range),
            ("", UserNamespace::None),
        ] {
            assert_eq!(user_namespace(map), want, "{map:?}");
        }
    }
}
