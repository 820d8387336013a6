//! Whose turn it is: commands that change the project are carried out one after the other.
//!
//! The turn comes with the project's record, so that it is changed only by who has the turn. A command
//! that ends things (`down`, `stop`, `kill`) does not wait for an `up` to become healthy: it asks who
//! has the turn to give it up.

use crate::words::refusal;
use mesh_api::message::{ApiError, ErrorKind};
use mesh_model::project::Project;
use mesh_store::record::{self, ProjectRecord, RecordError};
use std::{
    fmt, io,
    path::PathBuf,
    sync::{Arc, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Mutex, OwnedMutexGuard, watch},
    task::spawn_blocking,
    time::{Instant, timeout},
};

/// Longest time a command waits for its turn.
pub(crate) const TURN_WAIT_MAX: Duration = Duration::from_secs(60);

/// The turns of one project.
#[derive(Debug)]
pub(crate) struct Turns {
    ledger: Arc<Mutex<Ledger>>,
    interrupt: watch::Sender<u64>,
    holder: Arc<std::sync::Mutex<Option<Holder>>>,
}

/// Which command asks for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asker {
    /// Its verb.
    pub(crate) verb: &'static str,
    /// Its process, where that is known.
    pub(crate) pid: Option<u32>,
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`mesh {}`", self.verb)?;
        self.pid.map_or(Ok(()), |pid| write!(f, " (process {pid})"))
    }
}

/// Who has the turn, and since when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holder {
    pub(crate) asker: Asker,
    since: Instant,
}

impl Holder {
    /// Whole seconds that it has had the turn for.
    pub(crate) fn seconds(&self) -> u64 {
        self.since.elapsed().as_secs()
    }
}

/// The project's record, in memory and on disk.
#[derive(Debug)]
pub(crate) struct Ledger {
    path: PathBuf,
    record: Option<ProjectRecord>,
    /// The boot that is now.
    boot: String,
}

/// One command's turn; ends when it is dropped.
pub(crate) struct Turn {
    ledger: OwnedMutexGuard<Ledger>,
    interrupt: watch::Receiver<u64>,
    holder: Arc<std::sync::Mutex<Option<Holder>>>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        *self.holder.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Turns {
    pub(crate) fn new(path: PathBuf, record: Option<ProjectRecord>, boot: String) -> Self {
        let ledger = Arc::new(Mutex::new(Ledger { path, record, boot }));
        Self { ledger, interrupt: watch::Sender::new(0), holder: Arc::default() }
    }

    /// Who has the turn.
    pub(crate) fn holder(&self) -> Option<Holder> {
        *self.holder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn. Where `interrupt`, who has it is asked to give it up.
    pub(crate) async fn take(&self, interrupt: bool, asker: Asker) -> Result<Turn, ApiError> {
        if interrupt {
            self.interrupt.send_modify(|count| *count = count.wrapping_add(1));
        }
        // From before the wait, so that a wish that is uttered meanwhile is not missed.
        let interrupt = self.interrupt.subscribe();
        let taken = timeout(TURN_WAIT_MAX, Arc::clone(&self.ledger).lock_owned()).await;
        let ledger = taken.map_err(|_| {
            let (who, seconds) = match self.holder() {
                Some(holder) => (holder.asker.to_string(), holder.seconds()),
                None => ("another command".to_owned(), TURN_WAIT_MAX.as_secs()),
            };
            ApiError {
                hint: Some("wait until it ends, or end it with Ctrl-C in its terminal".to_owned()),
                ..refusal(ErrorKind::Busy, format!("{who} has been changing this project for {seconds} s"))
            }
        })?;
        let holder = Arc::clone(&self.holder);
        *holder.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Holder { asker, since: Instant::now() });
        Ok(Turn { ledger, interrupt, holder })
    }
}

impl Turn {
    /// Resolves when another command wants the turn.
    pub(crate) async fn interrupted(&mut self) {
        if self.interrupt.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    pub(crate) fn record(&self) -> Option<&ProjectRecord> {
        self.ledger.record.as_ref()
    }

    /// Changes the record, making it for `project` where there is none, and saves it if it differs.
    pub(crate) async fn change(
        &mut self,
        project: &Project,
        change: impl FnOnce(&mut ProjectRecord),
    ) -> Result<(), ApiError> {
        let mut next = self.ledger.record.clone().unwrap_or_else(|| ProjectRecord::new(project.clone()));
        change(&mut next);
        next.boot.clone_from(&self.ledger.boot);
        if self.ledger.record.as_ref() == Some(&next) {
            return Ok(());
        }
        let path = self.ledger.path.clone();
        let saved = next.clone();
        blocking(move || record::save(&path, &saved)).await?;
        // What could not be saved is not taken for saved by the next command.
        self.ledger.record = Some(next);
        Ok(())
    }

    /// Removes the record.
    pub(crate) async fn clear(&mut self) -> Result<(), ApiError> {
        self.ledger.record = None;
        let path = self.ledger.path.clone();
        blocking(move || record::remove(&path)).await
    }
}

fn is_full(error: &RecordError) -> bool {
    matches!(error.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

async fn blocking(work: impl FnOnce() -> Result<(), RecordError> + Send + 'static) -> Result<(), ApiError> {
    match spawn_blocking(work).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(ApiError {
            hint: is_full(&error).then(|| crate::words::FREE_SPACE.to_owned()),
            ..refusal(ErrorKind::Internal, crate::words::chain(&error))
        }),
        Err(_panic) => Err(refusal(ErrorKind::Internal, "saving the project's record failed")),
    }
}
