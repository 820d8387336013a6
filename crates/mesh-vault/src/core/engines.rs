//! Asking an engine: in its turn, on the right thread.

use super::{
    active::Active,
    mounts::{Backend, Mount},
    turns::Held,
    work::Work,
};
use crate::{
    logical::{Context, Engine, Refusal, Request, Response, Turn, Weight},
    storage::{Batch, Transaction},
};
use std::{sync::Arc, time::SystemTime};

/// What an engine wrote, and the turns it has until that is committed.
#[derive(Debug, Default)]
pub(crate) struct Run {
    batch: Batch,
    held: Vec<Held>,
}

impl Run {
    /// Adds it to a request's work.
    pub(crate) fn into_work(self, work: &mut Work) {
        work.extend(self.batch);
        for held in self.held {
            work.hold(held);
        }
    }
}

/// The engine of a mount.
///
/// # Errors
/// [`Refusal::UnsupportedPath`] where there is none.
pub(crate) fn engine(mount: &Mount) -> Result<&Arc<dyn Engine>, Refusal> {
    match &mount.backend {
        Backend::Engine(engine) => Ok(engine),
        Backend::System | Backend::Token | Backend::Absent => Err(Refusal::UnsupportedPath),
    }
}

/// Waits for a request's turn at its mount.
///
/// # Errors
/// Those of the store.
pub(crate) async fn turn(
    active: &Active,
    mount: &Mount,
    request: &Request,
    context: &Context,
) -> Result<Vec<Held>, Refusal> {
    let engine = engine(mount)?;
    let turn = {
        let transaction = Transaction::new(active.store(), mount.entry.prefix());
        engine.turn_in(request, context, &transaction)?
    };
    let whole = || format!("mount/{}", mount.entry.uuid);
    Ok(match turn {
        Turn::Free => Vec::new(),
        Turn::Mount => vec![active.turns.alone(whole()).await],
        Turn::Key(key) => {
            let whole = whole();
            let own = format!("{whole}/{key}");
            vec![active.turns.shared(whole).await, active.turns.alone(own).await]
        }
    })
}

/// Whether something is at a request's path; `None` where the engine makes no difference.
///
/// # Errors
/// The engine's.
pub(crate) fn exists(
    active: &Active,
    mount: &Mount,
    request: &Request,
    now: SystemTime,
) -> Result<Option<bool>, Refusal> {
    let transaction = Transaction::new(active.store(), mount.entry.prefix());
    engine(mount)?.exists(request, &active.context(mount, now), &transaction)
}

/// Has a request answered in its turn. Nothing is committed.
///
/// # Errors
/// The engine's.
pub(crate) async fn run(
    active: &Active,
    mount: &Mount,
    request: Request,
    now: SystemTime,
) -> Result<(Response, Run), Refusal> {
    let context = active.context(mount, now);
    let held = turn(active, mount, &request, &context).await?;
    let Computed { outcome, batch } = compute(active, mount, request, context).await?;
    Ok((outcome?, Run { batch, held }))
}

/// What an engine said.
#[derive(Debug)]
pub(crate) struct Computed {
    pub(crate) outcome: Result<Response, Refusal>,
    /// What is to be committed; of a refusal only what the engine said stands.
    pub(crate) batch: Batch,
}

/// Has a request answered by an engine whose turn it is.
///
/// # Errors
/// When there is no engine, or its thread ended by a fault.
pub(crate) async fn compute(
    active: &Active,
    mount: &Mount,
    request: Request,
    context: Context,
) -> Result<Computed, Refusal> {
    let engine = engine(mount)?;
    let prefix = mount.entry.prefix();
    match engine.weight(&request) {
        Weight::Light => Ok(handle(engine.as_ref(), &request, &context, active.store(), prefix)),
        Weight::Heavy => {
            let (engine, barrier) = (Arc::clone(engine), Arc::clone(&active.barrier));
            let heavy = move || handle(engine.as_ref(), &request, &context, barrier.as_ref(), prefix);
            let done = tokio::task::spawn_blocking(heavy).await;
            let failed = |error| Refusal::Internal {
                attempted: "internal error".to_owned(),
                source: Some(Box::new(error)),
            };
            done.map_err(failed)
        }
    }
}

fn handle(
    engine: &dyn Engine,
    request: &Request,
    context: &Context,
    store: &dyn crate::storage::Read,
    prefix: String,
) -> Computed {
    let mut transaction = Transaction::new(store, prefix);
    let outcome = engine.handle(request, context, &mut transaction);
    let batch = match &outcome {
        Ok(_) => transaction.into_batch(),
        Err(_) => transaction.into_standing(),
    };
    Computed { outcome, batch }
}

/// Tells an engine that it was mounted, or that a minute has passed, and keeps what it wrote.
///
/// # Errors
/// The engine's, and those of the store.
pub(crate) async fn tend(active: &Active, mount: &Mount, now: SystemTime, tick: bool) -> Result<(), Refusal> {
    let Backend::Engine(engine) = &mount.backend else { return Ok(()) };
    let held = active.turns.alone(format!("mount/{}", mount.entry.uuid)).await;
    let (engine, barrier) = (Arc::clone(engine), Arc::clone(&active.barrier));
    let (context, prefix) = (active.context(mount, now), mount.entry.prefix());
    let done = tokio::task::spawn_blocking(move || {
        let mut transaction = Transaction::new(barrier.as_ref(), prefix);
        if tick {
            engine.tick(&context, &mut transaction)?;
        } else {
            engine.mounted(&context, &mut transaction)?;
        }
        Ok::<_, Refusal>(transaction.into_batch())
    });
    let failed =
        |error| Refusal::Internal { attempted: "internal error".to_owned(), source: Some(Box::new(error)) };
    let mut work = Work::default();
    work.extend(done.await.map_err(failed)??);
    active.commit(work).await?;
    drop(held);
    Ok(())
}
