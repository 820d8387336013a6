//! What suites hold, read by Mesh and by Docker Compose: accepted or refused, and every value of `config`.
//!
//! It runs where `MESH_COMPOSE_PEER` names a `docker-compose` binary and `MESH_COMPOSE_SUITE` one or more
//! checkouts, with `:` between them. Their Compose files are read as they are; texts inside their Go tests
//! and examples inside their documents are taken out and become files. `docs/conformance.md` says what was
//! found. With `MESH_COMPOSE_REFUSALS` set, the reasons of both are shown where both refuse. `MESH_COMPOSE_MADE`
//! names a folder in which the files that are made stay, those of Go tests under `texts`.

mod cases;
mod compare;
mod go;

use cases::Case;
use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Runs of the peer at one time.
const WORKERS: usize = 2;

/// What came of one kind of input.
#[derive(Default)]
struct Count {
    same: usize,
    refused: usize,
    differ: usize,
}

#[test]
fn suites_are_read_as_docker_compose_reads_them() {
    let (Ok(peer), Ok(suites)) = (env::var("MESH_COMPOSE_PEER"), env::var("MESH_COMPOSE_SUITE")) else {
        println!("skipped: MESH_COMPOSE_PEER and MESH_COMPOSE_SUITE do not name a binary and checkouts");
        return;
    };
    let passing = tempfile::tempdir().expect("temporary directory");
    let kept = env::var_os("MESH_COMPOSE_MADE").map(PathBuf::from);
    let scratch = kept.as_deref().unwrap_or(passing.path());
    let mut cases = Vec::new();
    for suite in suites.split(':').filter(|suite| !suite.is_empty()) {
        let found = cases::of(Path::new(suite), scratch);
        assert!(!found.is_empty(), "no Compose files and no tests in {suite}");
        cases.extend(found);
    }
    let next = AtomicUsize::new(0);
    let table: Mutex<BTreeMap<String, Count>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Some(line) = judge(&peer, case, &table) {
                        println!("{} {}: {line}", case.kind, case.name);
                    }
                }
            });
        }
    });
    let table = table.into_inner().expect("no worker failed");
    println!("{:<44} {:>6} {:>6} {:>8} {:>7}", "inputs", "all", "same", "refused", "differ");
    for (kind, count) in &table {
        let all = count.same + count.refused + count.differ;
        println!("{kind:<44} {all:>6} {:>6} {:>8} {:>7}", count.same, count.refused, count.differ);
    }
}

/// Counts a case; what there is to say of it.
fn judge(peer: &str, case: &Case, table: &Mutex<BTreeMap<String, Count>>) -> Option<String> {
    let (theirs, ours) = (compare::theirs(peer, case), compare::ours(case));
    let difference = match (&theirs, &ours) {
        (Err(_), Err(_)) => None,
        (Ok(theirs), Ok(ours)) => compare::difference("", theirs, ours),
        (Ok(_), Err(why)) => Some(format!("refused by Mesh only: {why}")),
        (Err(why), Ok(_)) => Some(format!("refused by Docker Compose only: {why}")),
    };
    let mut table = table.lock().expect("no worker failed");
    let count = table.entry(case.kind.clone()).or_default();
    match (&difference, &theirs) {
        (Some(_), _) => count.differ += 1,
        (None, Err(_)) => count.refused += 1,
        (None, Ok(_)) => count.same += 1,
    }
    match (theirs, ours) {
        (Err(theirs), Err(ours)) if env::var_os("MESH_COMPOSE_REFUSALS").is_some() => {
            Some(format!("refused by both: {theirs} | {ours}"))
        }
        _ => difference,
    }
}
