//! Published ports that were lost: nobody holds them between two supervisors, and something else may take
//! one meanwhile.
//!
//! A container goes on without such a port. What is known of it is told, it is on record, so that the next
//! supervisor knows it too, and it is published again once it is free, or a command asks for it.

use crate::{
    fault,
    ground::{Ground, blocking},
    phase::{Published, Running},
    record::{self, RunRecord},
    start,
};
use mesh_model::{
    container::{ContainerId, ContainerSpec},
    network::{PortMapping, Published as PublishedAs},
};
use mesh_runtime::{
    error::RuntimeError,
    events::RuntimeEvent,
    observed::{BoundPort, LostPort},
};
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;

/// First and longest pause between two attempts to publish a port again; each is twice the one before.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Publishes ports where they were; one that is taken by now costs itself only.
pub(crate) async fn publish_again(
    ground: &Arc<Ground>,
    spec: &ContainerSpec,
    record: &RunRecord,
) -> Published {
    let mut published = Published::default();
    for port in record.ports.iter().chain(&record.lost) {
        match publish(ground, spec, *port).await {
            Ok(again) => published.ports.extend(again),
            Err(error) => {
                let reason = fault::chain(&error);
                tracing::error!(
                    service = spec.service.name,
                    reason,
                    "a port of a running container is not published any more"
                );
                published.lost.push(LostPort { port: *port, reason });
            }
        }
    }
    published
}

async fn publish(
    ground: &Arc<Ground>,
    spec: &ContainerSpec,
    port: BoundPort,
) -> Result<Vec<BoundPort>, RuntimeError> {
    let mapping = PortMapping {
        host_ip: Some(port.host.ip()),
        published: PublishedAs::Port(port.host.port()),
        target: port.target,
        protocol: port.protocol,
    };
    start::publish(ground, spec, &[mapping]).await
}

/// Notes what an adoption published, and goes on trying for the rest.
pub(crate) async fn settle(ground: &Arc<Ground>, running: &Arc<Running>, published: Published) {
    let changed = published.ports != running.record.ports || !published.lost.is_empty();
    let lost = !published.lost.is_empty();
    running.set_published(published);
    if changed {
        keep(ground, running).await;
    }
    if lost {
        let (owner, running) = (Arc::clone(ground), Arc::clone(running));
        ground.tasks.spawn(async move {
            let stop = owner.stop.clone();
            tokio::select! { biased;
                () = stop.cancelled() => {}
                () = attend(&owner, &running) => {}
            }
        });
    }
}

/// Tries until all of them are back, or the container ended.
async fn attend(ground: &Arc<Ground>, running: &Arc<Running>) {
    let mut pause = PAUSE_FIRST;
    loop {
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
        if !is_current(ground, running) || attempt(ground, running).await.is_ok() {
            return;
        }
    }
}

/// Tries once, now.
///
/// # Errors
/// Why the first of those that are still lost is.
pub(crate) async fn publish_now(ground: &Arc<Ground>, id: &ContainerId) -> Result<(), RuntimeError> {
    match ground.phases.running(id) {
        Ok(running) => attempt(ground, &running).await,
        Err(_ended) => Ok(()),
    }
}

async fn attempt(ground: &Arc<Ground>, running: &Arc<Running>) -> Result<(), RuntimeError> {
    let _one_at_a_time = running.publishing.lock().await;
    let before = running.published();
    let (mut after, mut outcome) = (Published { lost: Vec::new(), ..before.clone() }, Ok(()));
    for LostPort { port, .. } in &before.lost {
        match publish(ground, &running.spec, *port).await {
            Ok(again) => {
                let service = &running.spec.service.name;
                tracing::info!(service, port = %port.host, "a port is published again");
                after.ports.extend(again);
            }
            Err(error) => {
                after.lost.push(LostPort { port: *port, reason: fault::chain(&error) });
                outcome = outcome.and(Err(error));
            }
        }
    }
    if before != after && is_current(ground, running) {
        running.set_published(after.clone());
        keep(ground, running).await;
        let Published { ports, lost } = after;
        // Closed only when nobody listens any more.
        let _ = ground.events.send(RuntimeEvent::Ports { id: running.spec.id.clone(), ports, lost }).await;
    }
    outcome
}

/// Puts the ports as they are now on record; where that fails the next supervisor tries those of before.
async fn keep(ground: &Arc<Ground>, running: &Arc<Running>) {
    let (ground, running) = (Arc::clone(ground), Arc::clone(running));
    let kept = blocking("record the ports of a container", move || {
        if !is_current(&ground, &running) {
            return Ok(());
        }
        record::write_run(&ground.settings.container(&running.spec.id), &running.record_now())
    });
    if let Err(error) = kept.await {
        tracing::warn!(error = fault::chain(&error), "the ports of a container are not on record");
    }
}

/// Whether this very run goes on.
fn is_current(ground: &Ground, running: &Arc<Running>) -> bool {
    ground.phases.running(&running.spec.id).is_ok_and(|now| Arc::ptr_eq(&now, running))
}
