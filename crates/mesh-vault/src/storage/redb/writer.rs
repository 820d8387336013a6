//! The one who writes.

use super::{Current, Opener, Order, Shared, View, closed, io_error, view::ENTRIES};
use crate::storage::{Batch, StorageError};
use redb::{CommitError, Database};
use std::{io, sync::PoisonError, time::Duration};
use tokio::sync::mpsc;

/// Batches in one transaction at most.
const GROUP_MAX: usize = 256;
/// Bytes of values in one transaction at most, unless one batch alone has more.
const GROUP_BYTES_MAX: usize = 8 << 20;
/// Batches of a group that the disk may refuse in a row before the rest is refused unasked.
const REFUSALS_MAX: u32 = 3;
/// How often a file that an error has closed is tried before the batch at hand is refused.
const REOPEN_TRIES_MAX: u32 = 3;
/// How long between two tries.
const REOPEN_PAUSE: Duration = Duration::from_millis(50);

/// The writer's own.
pub(super) struct Writer {
    pub(super) opener: Opener,
    /// Gone after an error, until it was opened again.
    pub(super) database: Option<Database>,
    pub(super) view: Shared,
}

impl Writer {
    /// Until nobody can order any more.
    pub(super) fn run(mut self, mut inbox: mpsc::Receiver<Order>) {
        while let Some(first) = inbox.blocking_recv() {
            let mut bytes = size(&first.batch);
            let mut group = vec![first];
            while group.len() < GROUP_MAX && bytes < GROUP_BYTES_MAX {
                let Ok(next) = inbox.try_recv() else { break };
                bytes += size(&next.batch);
                group.push(next);
            }
            self.serve(group);
        }
        self.close();
    }

    /// All in one transaction; where that fails each in its own, so that none suffers for another. When the disk has
    /// refused several of them in a row it is not asked about the rest: opening the file anew takes its time.
    fn serve(&mut self, group: Vec<Order>) {
        if group.len() > 1 && self.write(group.iter().map(|order| &order.batch)).is_ok() {
            group.into_iter().for_each(|order| answer(order, Ok(())));
            return;
        }
        let mut refused = 0;
        for order in group {
            if refused == REFUSALS_MAX {
                answer(order, Err(closed()));
                continue;
            }
            let outcome = self.write(std::iter::once(&order.batch));
            match &outcome {
                Ok(()) => refused = 0,
                Err(error) => {
                    refused += 1;
                    tracing::error!(error = %chain(error), "a write failed");
                }
            }
            answer(order, outcome);
        }
    }

    fn write<'a>(&mut self, batches: impl Iterator<Item = &'a Batch> + Clone) -> Result<(), StorageError> {
        if self.database.is_none() {
            self.reopen()?;
        }
        let database = self.database.as_ref().ok_or_else(closed)?;
        match transact(database, batches.clone()).and_then(|()| View::of(database)) {
            Ok(view) => {
                let mut current = self.view.write().unwrap_or_else(PoisonError::into_inner);
                current.view = Some(view);
                current.cache.forget(batches.flat_map(|batch| batch.writes.keys().map(String::as_str)));
                Ok(())
            }
            Err(error) => {
                // Redb refuses everything after an error of the disk; opened anew it is as of the last commit.
                self.close();
                if let Err(again) = self.reopen() {
                    tracing::error!(error = %chain(&again), "the store is closed after an error of the disk");
                }
                Err(error)
            }
        }
    }

    fn close(&mut self) {
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Current::default();
        self.database = None;
    }

    fn reopen(&mut self) -> Result<(), StorageError> {
        let mut tries = 1;
        let database = loop {
            match (self.opener)() {
                Ok(database) => break database,
                Err(error) if tries == REOPEN_TRIES_MAX => return Err(error),
                Err(_) => tries += 1,
            }
            std::thread::sleep(REOPEN_PAUSE);
        };
        let view = View::of(&database)?;
        let current = Current { view: Some(view), ..Current::default() };
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = current;
        self.database = Some(database);
        Ok(())
    }
}

fn transact<'a>(database: &Database, batches: impl Iterator<Item = &'a Batch>) -> Result<(), StorageError> {
    let failed = |source| StorageError::Disk { operation: "write an entry", source };
    let other = |text: String| failed(io::Error::other(text));
    let transaction = database.begin_write().map_err(|error| other(error.to_string()))?;
    let mut table = transaction.open_table(ENTRIES).map_err(|error| other(error.to_string()))?;
    for (key, value) in batches.flat_map(|batch| &batch.writes) {
        let written = match value {
            Some(value) => table.insert(key.as_str(), value.as_slice()),
            None => table.remove(key.as_str()),
        };
        written.map_err(|error| failed(io_error(error)))?;
    }
    drop(table);
    transaction.commit().map_err(|error| match error {
        CommitError::Storage(error) => failed(io_error(error)),
        error => other(error.to_string()),
    })
}

fn answer(order: Order, outcome: Result<(), StorageError>) {
    // Whoever asked may have left; the write stands all the same.
    let _ = order.done.send(outcome);
}

fn size(batch: &Batch) -> usize {
    batch.writes.values().map(|value| value.as_ref().map_or(0, Vec::len)).sum()
}

fn chain(error: &StorageError) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}
