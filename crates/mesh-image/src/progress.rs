//! What the store is asked, and what it tells while it works.

use crate::error::ImageError;
use mesh_model::{image::LayerStage, project::Substitute, service::PullPolicy};
use mesh_oci::client::Client;
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::mpsc;

/// Where the store lives and how fresh its package lists must be.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Directory of the store; made when it is not there.
    pub directory: PathBuf,
    /// Package lists older than this are refreshed before something new is fetched.
    pub lists_age_max: Duration,
    /// How registries are asked.
    pub registry: mesh_oci::settings::Settings,
}

impl Settings {
    /// Settings with the usual age of lists: a day.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        let registry = mesh_oci::settings::Settings::default();
        Self { directory, lists_age_max: Duration::from_secs(24 * 60 * 60), registry }
    }
}

/// An image to resolve.
#[derive(Debug, Clone)]
pub struct Request {
    /// Reference as the file has it.
    pub reference: String,
    /// When to fetch.
    pub pull: PullPolicy,
    /// Whether a stand-in may serve.
    pub substitute: Substitute,
    /// Platform asked for (`linux/amd64`); `None`: this machine's.
    pub platform: Option<String>,
    /// Who asks the registry; `None`: the store's own client.
    pub client: Option<Client>,
}

impl Request {
    /// A request with the defaults: fetch when missing, this machine's platform.
    #[must_use]
    pub fn new(reference: impl Into<String>) -> Self {
        Self {
            reference: reference.into(),
            pull: PullPolicy::default(),
            substitute: Substitute::default(),
            platform: None,
            client: None,
        }
    }
}

/// How far the fetching of one image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Finding out what is needed.
    Resolving {
        /// What (`postgres:15`).
        reference: String,
        /// What is being asked (`package lists`).
        detail: String,
    },
    /// Bytes are coming.
    Downloading {
        /// What.
        reference: String,
        /// Bytes so far.
        bytes: u64,
        /// Bytes in all.
        bytes_total: u64,
    },
    /// A layer of it goes on.
    Layer {
        /// What.
        reference: String,
        /// The layer, in short.
        layer: String,
        /// How far.
        stage: LayerStage,
        /// Bytes so far.
        bytes: u64,
        /// Bytes in all.
        bytes_total: u64,
    },
    /// Packages become files.
    Unpacking {
        /// What.
        reference: String,
        /// Packages so far.
        done: u32,
        /// Packages in all.
        total: u32,
    },
    /// It is there.
    Ready {
        /// What.
        reference: String,
        /// What serves it (`debian 15.18`).
        source: String,
    },
}

/// The blocking side's way to tell progress and to learn that nobody waits any more. A message is
/// dropped when the receiver is behind: the next one says the same and more.
#[derive(Debug, Clone)]
pub(crate) struct Reporter {
    reference: String,
    sender: mpsc::Sender<Progress>,
    cancelled: Arc<AtomicBool>,
}

impl Reporter {
    pub(crate) fn new(reference: &str, sender: mpsc::Sender<Progress>, cancelled: Arc<AtomicBool>) -> Self {
        Self { reference: reference.to_owned(), sender, cancelled }
    }

    /// Fails when the caller is gone.
    pub(crate) fn check(&self) -> Result<(), ImageError> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(ImageError::Cancelled { reference: self.reference.clone() });
        }
        Ok(())
    }

    pub(crate) fn reference(&self) -> &str {
        &self.reference
    }

    pub(crate) fn resolving(&self, detail: impl Into<String>) {
        self.tell(Progress::Resolving { reference: self.reference.clone(), detail: detail.into() });
    }

    pub(crate) fn downloading(&self, bytes: u64, bytes_total: u64) {
        self.tell(Progress::Downloading { reference: self.reference.clone(), bytes, bytes_total });
    }

    pub(crate) fn layer(&self, layer: &str, stage: LayerStage, bytes: u64, bytes_total: u64) {
        let (reference, layer) = (self.reference.clone(), layer.to_owned());
        self.tell(Progress::Layer { reference, layer, stage, bytes, bytes_total });
    }

    pub(crate) fn unpacking(&self, done: u32, total: u32) {
        self.tell(Progress::Unpacking { reference: self.reference.clone(), done, total });
    }

    pub(crate) fn ready(&self, source: impl Into<String>) {
        self.tell(Progress::Ready { reference: self.reference.clone(), source: source.into() });
    }

    fn tell(&self, progress: Progress) {
        // A full or closed channel is not this side's concern, see above.
        let _ = self.sender.try_send(progress);
    }
}

/// Sets the flag when the future that waits for the work is dropped.
pub(crate) struct CancelOnDrop(pub(crate) Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
