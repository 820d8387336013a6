//! How a command that is being carried out talks to its client, and notices that the client is gone.

use crate::turn::Asker;
use mesh_api::message::{Action, Event, Level, ObjectKind, Progress};
use mesh_model::registry::RegistryVariables;
use std::{collections::HashMap, sync::Mutex};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

/// Most messages that wait for a slow client.
pub(crate) const OUTPUT_MESSAGES_MAX: usize = 64;

/// One message on its way.
#[derive(Debug)]
pub(crate) enum Output {
    /// Something goes on.
    Progress(Progress),
    /// Something happened.
    Event(Event),
}

/// The way to one client.
#[derive(Debug)]
pub(crate) struct Outlet {
    sender: mpsc::Sender<Output>,
    gone: CancellationToken,
    asker: Asker,
    registry: Option<RegistryVariables>,
    /// When the last step on each object was told, for the time the next one took.
    last: Mutex<HashMap<String, Instant>>,
}

impl Outlet {
    pub(crate) fn for_asker(gone: CancellationToken, asker: Asker) -> (Self, mpsc::Receiver<Output>) {
        let (sender, receiver) = mpsc::channel(OUTPUT_MESSAGES_MAX);
        (Self { sender, gone, asker, registry: None, last: Mutex::default() }, receiver)
    }

    /// The same, to one that says how registries are asked.
    pub(crate) fn asking_registries(self, registry: Option<RegistryVariables>) -> Self {
        Self { registry, ..self }
    }

    /// How whoever is talked to has registries asked.
    pub(crate) fn registry(&self) -> Option<&RegistryVariables> {
        self.registry.as_ref()
    }

    #[cfg(test)]
    pub(crate) fn new(gone: CancellationToken) -> (Self, mpsc::Receiver<Output>) {
        Self::for_asker(gone, Asker { verb: "test", pid: Some(1) })
    }

    /// Who is talked to.
    pub(crate) fn asker(&self) -> Asker {
        self.asker
    }

    /// Resolves when the client is gone.
    pub(crate) async fn gone(&self) {
        self.gone.cancelled().await;
    }

    /// Sends; a client that is gone loses it.
    pub(crate) async fn send(&self, output: Output) {
        tokio::select! { biased;
            () = self.gone.cancelled() => {}
            _ = self.sender.send(output) => {}
        }
    }

    pub(crate) async fn note(&self, level: Level, text: impl Into<String>) {
        self.send(Output::Progress(Progress::Note { level, text: text.into() })).await;
    }

    /// Tells a step on a network or volume.
    pub(crate) async fn object(&self, object: ObjectKind, name: &str, action: Action) {
        self.step(object, name, None, action, None, None).await;
    }

    /// Tells a step on a container; `elapsed_ms` over the time since the step before.
    pub(crate) async fn container(
        &self,
        name: &str,
        service: &str,
        action: Action,
        detail: Option<String>,
        elapsed_ms: Option<u64>,
    ) {
        self.step(ObjectKind::Container, name, Some(service), action, detail, elapsed_ms).await;
    }

    async fn step(
        &self,
        object: ObjectKind,
        name: &str,
        service: Option<&str>,
        action: Action,
        detail: Option<String>,
        elapsed_ms: Option<u64>,
    ) {
        let since = self.since_last(&format!("{object:?} {name}"));
        let progress = Progress::Object {
            object,
            name: name.to_owned(),
            service: service.map(str::to_owned),
            action,
            detail,
            elapsed_ms: elapsed_ms.unwrap_or(since),
        };
        self.send(Output::Progress(progress)).await;
    }

    fn since_last(&self, object: &str) -> u64 {
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let before = last.insert(object.to_owned(), now).unwrap_or(now);
        u64::try_from(now.duration_since(before).as_millis()).unwrap_or(u64::MAX)
    }
}
