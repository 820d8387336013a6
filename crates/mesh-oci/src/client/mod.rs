//! A client of registries: from a reference to a manifest, a config and verified blobs.
//!
//! One client serves a whole run: it remembers which registries answer and how, what tokens it has, and
//! bounds the downloads of all images together. Dropping a future stops what it does; what has come of a
//! blob stays in its partial file, and the next attempt goes on there.

mod access;
mod blob;
mod host;
mod pull;
mod request;
mod resolve;
mod retry;

pub use pull::{Progress, PullEvent, Pulled};
pub use resolve::Resolved;

use crate::{auth::token::Grant, http::Transport, settings::Settings};
use host::HostState;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::Semaphore;

/// A client. Clones share what it remembers.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

type Slot<T> = Arc<tokio::sync::Mutex<T>>;
type Grants = HashMap<(String, String), Slot<Option<Grant>>>;

#[derive(Debug)]
struct Inner {
    settings: Settings,
    transport: Transport,
    downloads: Semaphore,
    hosts: Mutex<HashMap<String, Slot<HostState>>>,
    /// By host and repository.
    grants: Mutex<Grants>,
}

/// Most hosts and repositories remembered; past it, all is forgotten and asked again.
const REMEMBERED_MAX: usize = 4096;

impl Client {
    /// A client that has asked nobody yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let transport = Transport::new(
            settings.certificates.clone(),
            settings.proxies.clone(),
            settings.user_agent.clone(),
        );
        let downloads = Semaphore::new(settings.downloads.max(1));
        let inner =
            Inner { settings, transport, downloads, hosts: Mutex::default(), grants: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// Forgets which registries did not answer, as for a new run.
    pub fn forget_unreachable(&self) {
        self.inner.hosts.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// The slot of a key, made where there is none.
fn slot<K: std::hash::Hash + Eq, T: Default>(all: &Mutex<HashMap<K, Slot<T>>>, key: K) -> Slot<T> {
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    if all.len() >= REMEMBERED_MAX && !all.contains_key(&key) {
        all.clear();
    }
    all.entry(key).or_default().clone()
}
