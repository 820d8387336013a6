//! What carries requests out, and how it talks meanwhile.

use crate::{
    message::{Answer, ApiError, Event, Message, Progress},
    request::Request,
};
use async_trait::async_trait;
use mesh_model::registry::RegistryVariables;
use std::os::fd::OwnedFd;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Carries out requests; implemented by the supervisor.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Carries out one request. It is not cancelled when its client hangs up: what must end then
    /// watches [`Reply::hung_up`]. `descriptors` are the client's 0, 1 and 2
    /// (`run`), or a pipe, three times (`exec`).
    ///
    /// # Errors
    /// Whatever the client shall be told.
    async fn handle(
        &self,
        request: Request,
        reply: &Reply,
        descriptors: Option<[OwnedFd; 3]>,
    ) -> Result<Answer, ApiError>;
}

/// The client is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client hung up")]
pub struct HungUp;

/// The way back to the client of one request. Clones lead to the same client.
#[derive(Debug, Clone)]
pub struct Reply {
    sender: mpsc::Sender<Message>,
    gone: CancellationToken,
    pid: Option<u32>,
    registry: Option<RegistryVariables>,
}

impl Reply {
    pub(crate) fn new(sender: mpsc::Sender<Message>, gone: CancellationToken, pid: Option<u32>) -> Self {
        Self { sender, gone, pid, registry: None }
    }

    /// The client's process, where the kernel says.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// The same, for a client that says how registries are asked.
    pub(crate) fn asking_registries(self, registry: Option<RegistryVariables>) -> Self {
        Self { registry, ..self }
    }

    /// How the client has registries asked; `None`: it does not say.
    #[must_use]
    pub fn registry(&self) -> Option<&RegistryVariables> {
        self.registry.as_ref()
    }

    /// Tells of something that goes on. Waits while the client is slow to read.
    ///
    /// # Errors
    /// [`HungUp`]; the work itself may go on.
    pub async fn progress(&self, progress: Progress) -> Result<(), HungUp> {
        self.send(Message::Progress(progress)).await
    }

    /// Tells of something that happened. Waits while the client is slow to read.
    ///
    /// # Errors
    /// [`HungUp`].
    pub async fn event(&self, event: Event) -> Result<(), HungUp> {
        self.send(Message::Event(event)).await
    }

    /// Resolves when the client is gone.
    pub async fn hung_up(&self) {
        self.gone.cancelled().await;
    }

    async fn send(&self, message: Message) -> Result<(), HungUp> {
        tokio::select! { biased;
            () = self.gone.cancelled() => Err(HungUp),
            sent = self.sender.send(message) => sent.map_err(|_| HungUp),
        }
    }
}
