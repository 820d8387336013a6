//! Finding the containers of a project, whoever made them, and taking over those that run.
//!
//! What a container is follows from its directory alone ([`judge`], pure): the specification, the run,
//! the end, and whether the processes of the run live.

use crate::{
    fault,
    ground::{Ground, blocking},
    lost_ports,
    phase::{Claim, Claimed, Running},
    record::{self, Kept, RunRecord},
    settings::system,
    shim, start, trust, watch,
};
use mesh_model::container::{ContainerId, ContainerSpec};
use mesh_runtime::{
    error::RuntimeError,
    events::Exit,
    observed::{Observed, ObservedState},
};
use mesh_sandbox::specification::ExitRecord;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Most containers of one project that are looked at.
const CONTAINERS_MAX: usize = 10_000;

/// All containers of the project; those that run and are not watched are taken over.
pub(crate) async fn containers(ground: &Arc<Ground>) -> Result<Vec<Observed>, RuntimeError> {
    let directory = ground.settings.containers();
    let ids = blocking("list the containers", move || list(&directory)).await?;
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        found.extend(observe(ground, &id).await?);
    }
    Ok(found)
}

fn list(directory: &Path) -> Result<Vec<ContainerId>, RuntimeError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(system("read", directory, error)),
    };
    let mut ids = Vec::new();
    for entry in entries.take(CONTAINERS_MAX) {
        let entry = entry.map_err(|error| system("read", directory, error))?;
        if let Ok(name) = entry.file_name().into_string()
            && entry.file_type().is_ok_and(|kind| kind.is_dir())
        {
            ids.push(ContainerId(name));
        }
    }
    ids.sort();
    Ok(ids)
}

async fn observe(ground: &Arc<Ground>, id: &ContainerId) -> Result<Option<Observed>, RuntimeError> {
    let claimed = match ground.phases.claim(id) {
        Claim::Granted(claimed) => Some(claimed),
        Claim::Running(running) => return Ok(Some(observed(ground, &running))),
        Claim::Busy => None,
    };
    let found = {
        let directory = ground.settings.container(id);
        let (free, ground, id) = (claimed.is_some(), Arc::clone(ground), id.clone());
        let read = move || {
            let found = look(&directory, free)?;
            if free && matches!(found, Some(Found::Rest(..))) {
                end_unrecorded(&ground, &id)?;
            }
            Ok(found)
        };
        blocking("read a container", read).await?
    };
    Ok(match (found, claimed) {
        (Some(Found::Rest(spec, state)), _) => Some(at_rest(ground, *spec, state)),
        (Some(Found::Run(spec, record)), Some(claimed)) => {
            Some(adopt(ground, claimed, *spec, *record).await?)
        }
        (Some(Found::Run(spec, _)), None) => Some(at_rest(ground, *spec, ObservedState::Created)),
        (None, _) => None,
    })
}

fn at_rest(ground: &Ground, spec: ContainerSpec, state: ObservedState) -> Observed {
    let created_unix_ms = record::created_unix_ms(&ground.settings.container(&spec.id));
    let (addresses, ports, lost) = (BTreeMap::new(), Vec::new(), Vec::new());
    Observed { spec, state, created_unix_ms, addresses, ports, lost }
}

fn observed(ground: &Ground, running: &Running) -> Observed {
    let started = start::started(running);
    Observed {
        created_unix_ms: record::created_unix_ms(&ground.settings.container(&running.spec.id)),
        spec: running.spec.clone(),
        state: ObservedState::Running {
            pid: started.pid,
            since_unix_ms: started.at_unix_ms,
            paused: running.is_paused(),
        },
        addresses: started.addresses,
        ports: started.ports,
        lost: running.published().lost,
    }
}

/// What a directory holds.
enum Found {
    /// A container that does not run.
    Rest(Box<ContainerSpec>, ObservedState),
    /// A container that runs.
    Run(Box<ContainerSpec>, Box<RunRecord>),
}

/// Reads a directory. `free`: nobody else works on it, so what is broken may be put right.
fn look(directory: &Path, free: bool) -> Result<Option<Found>, RuntimeError> {
    let mut spec = match record::read_spec(directory) {
        Kept::Whole(spec) => spec,
        Kept::Absent if free => {
            remove_unknown(directory);
            return Ok(None);
        }
        Kept::Absent => return Ok(None),
        Kept::Torn(reason) => {
            tracing::warn!(directory = %directory.display(), reason, "the record of a container cannot be read");
            return Ok(None);
        }
    };
    let run = record::read_run(directory);
    let end = match record::read_exit(directory) {
        Kept::Whole(exit) => Some(exit),
        Kept::Absent | Kept::Torn(_) => None,
    };
    if let Kept::Torn(reason) = &run {
        tracing::warn!(container = spec.id.short(), reason, "the record of a run cannot be read");
    }
    let alive = matches!(&run, Kept::Whole(run) if run.shim.is_alive());
    let decision = judge(&run, alive, end);
    if let (Decision::Killed | Decision::Ended(_), Kept::Whole(run), true) = (&decision, &run, free) {
        // Its shim is gone; nothing of the run may go on unseen.
        shim::kill(run);
    }
    if let (Decision::Runs, Kept::Whole(run)) = (&decision, &run) {
        trust::apply(&mut spec, &run.variables);
    }
    let spec = Box::new(spec);
    Ok(Some(match (decision, run) {
        (Decision::Runs, Kept::Whole(run)) => Found::Run(spec, Box::new(run)),
        (Decision::Created | Decision::Runs, _) => Found::Rest(spec, ObservedState::Created),
        (Decision::Ended(_) | Decision::Killed, _) => {
            Found::Rest(spec, ObservedState::Exited(watch::exit_of(directory, false)))
        }
    }))
}

/// Kills what runs in the control group of a container at rest: a start that was cut off before it was
/// on record, or one whose record was lost. A second run beside it would share its volumes.
fn end_unrecorded(ground: &Ground, id: &ContainerId) -> Result<(), RuntimeError> {
    let group = ground.groups.of(id)?;
    if !group.processes().is_empty() {
        tracing::warn!(container = id.short(), "what a container at rest left running is killed");
        ground.groups.remove(&group);
    }
    Ok(())
}

/// A directory without a specification: a making that was cut off. Nothing runs from it.
fn remove_unknown(directory: &Path) {
    if let Some(run) = record::read_run(directory).whole() {
        shim::kill(&run);
    }
    if let Err(error) = fs::remove_dir_all(directory) {
        tracing::warn!(directory = %directory.display(), error = %error, "could not remove a directory of no container");
    }
}

/// What became of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    Created,
    Runs,
    Ended(ExitRecord),
    Killed,
}

/// The state of a container from its records. A run whose shim lives goes on, whatever else is there;
/// one whose shim is gone without a word was killed.
fn judge(run: &Kept<RunRecord>, shim_alive: bool, end: Option<ExitRecord>) -> Decision {
    match (run, end) {
        (Kept::Whole(_), _) if shim_alive => Decision::Runs,
        (_, Some(exit)) => Decision::Ended(exit),
        (Kept::Whole(_) | Kept::Torn(_), None) => Decision::Killed,
        (Kept::Absent, None) => Decision::Created,
    }
}

/// Takes over a container that runs: its names and ports are served from here, and its end is seen.
async fn adopt(
    ground: &Arc<Ground>,
    claimed: Claimed,
    spec: ContainerSpec,
    record: RunRecord,
) -> Result<Observed, RuntimeError> {
    let id = spec.id.clone();
    let mut published = None;
    if let Some(attachment) = &record.attachment {
        match start::network_namespace(record.process.pid) {
            Ok(namespace) => {
                if let Err(error) = ground.network.adopt(&id, namespace, attachment).await {
                    tracing::error!(
                        service = spec.service.name,
                        error = fault::chain(&error),
                        "the names of a running container are not served"
                    );
                }
            }
            // It ended just now: the watching will say so.
            Err(error) => {
                tracing::debug!(container = id.short(), error = fault::chain(&error), "no namespace")
            }
        }
        published = Some(lost_ports::publish_again(ground, &spec, &record).await);
    }
    let group = ground.groups.of(&id)?;
    let pidfd = watch::open(&record.shim);
    let running = Arc::new(Running::new(spec, record, group));
    claimed.run(Arc::clone(&running));
    if let Some(published) = published {
        lost_ports::settle(ground, &running, published).await;
    }
    let observed = observed(ground, &running);
    watch::spawn(ground, running, pidfd);
    Ok(observed)
}

/// How a container at rest ended; `None` where it was never started, or its shim lives unwatched.
pub(crate) fn ended(ground: &Ground, id: &ContainerId) -> Option<Exit> {
    let directory = ground.settings.container(id);
    let run = record::read_run(&directory).whole()?;
    if run.shim.is_alive() || !ground.phases.is_at_rest(id) {
        return None;
    }
    Some(watch::exit_of(&directory, false))
}

/// Directory of a container that is at rest, for the operations that change it.
pub(crate) fn known(ground: &Ground, id: &ContainerId) -> Result<PathBuf, RuntimeError> {
    let directory = ground.settings.container(id);
    match directory.is_dir() {
        true => Ok(directory),
        false => Err(RuntimeError::Missing { kind: "container", name: id.short().to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::ProcessKey;

    fn run() -> Kept<RunRecord> {
        let key = ProcessKey { pid: 7, start_time: 1, boot: String::new() };
        Kept::Whole(RunRecord {
            shim: key.clone(),
            process: key,
            started_at_unix_ms: 1,
            attachment: None,
            ports: Vec::new(),
            lost: Vec::new(),
            variables: BTreeMap::new(),
            paused: false,
        })
    }

    #[test]
    fn the_records_tell_what_became_of_a_container() {
        let exit = ExitRecord { code: 3, out_of_memory: false, at_unix_ms: 9 };
        let torn = || Kept::Torn("cut off".to_owned());
        for (run, alive, end, want) in [
            (Kept::Absent, false, None, Decision::Created),
            (run(), true, None, Decision::Runs),
            (run(), true, Some(exit), Decision::Runs),
            (run(), false, Some(exit), Decision::Ended(exit)),
            (run(), false, None, Decision::Killed),
            (torn(), false, None, Decision::Killed),
            (torn(), false, Some(exit), Decision::Ended(exit)),
        ] {
            assert_eq!(judge(&run, alive, end), want, "{run:?} {alive} {end:?}");
        }
    }

    #[test]
    fn a_directory_without_a_specification_is_removed() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("x");
        fs::create_dir(&path).expect("makes");
        assert!(look(&path, false).expect("looks").is_none() && path.exists());
        assert!(look(&path, true).expect("looks").is_none() && !path.exists());
    }
}
