//! What there is while the barrier is open. Sealing drops it.

use super::{
    mounts::{Mount, Mounts},
    settings::Settings,
    turns::Turns,
    work::Work,
};
use crate::{
    audit::Audit,
    barrier::Barrier,
    engine::cubbyhole,
    logical::Context,
    metrics::Metrics,
    policy::{Acl, PolicyStore, StorePolicyError},
    storage::{Read, StorageError, Store},
    token::Tokens,
};
use std::{
    sync::{Arc, PoisonError, RwLock, atomic::AtomicU64},
    time::{Duration, SystemTime},
};

/// Everything a request needs.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) barrier: Arc<Barrier>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) tokens: Tokens,
    pub(crate) policies: PolicyStore,
    pub(crate) audit: Audit,
    pub(crate) turns: Turns,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) ticks: AtomicU64,
    pub(crate) ticking: tokio::sync::Mutex<()>,
    mounts: RwLock<Arc<Mounts>>,
}

impl Active {
    /// Loads what is kept behind a barrier that was just opened, and makes what has to be there.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn load(
        barrier: Arc<Barrier>,
        settings: Arc<Settings>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StorageError> {
        let tokens = Tokens::open(barrier.as_ref()).await?;
        let mounts = Mounts::load(barrier.as_ref()).await?;
        let audit = Audit::load(barrier.as_ref())?;
        Ok(Self {
            barrier,
            settings,
            tokens,
            policies: PolicyStore::default(),
            audit,
            turns: Turns::default(),
            metrics,
            ticks: AtomicU64::default(),
            ticking: tokio::sync::Mutex::default(),
            mounts: RwLock::new(Arc::new(mounts)),
        })
    }

    /// The store to read from.
    pub(crate) fn store(&self) -> &dyn Read {
        self.barrier.as_ref()
    }

    /// The mounts as they are now.
    pub(crate) fn mounts(&self) -> Arc<Mounts> {
        Arc::clone(&self.mounts.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Other mounts from now on.
    pub(crate) fn set_mounts(&self, mounts: Mounts) {
        *self.mounts.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(mounts);
    }

    /// Writes, then does what follows from it.
    ///
    /// # Errors
    /// Those of the store; nothing was done then.
    pub(crate) async fn commit(&self, work: Work) -> Result<(), StorageError> {
        let (batch, afterwards) = work.split();
        if !batch.is_empty() {
            self.barrier.commit(batch).await?;
        }
        afterwards.run(self);
        Ok(())
    }

    /// The cubbyhole of a token, as a folder of the store.
    pub(crate) fn cubbyhole(&self, token: &str) -> Option<String> {
        let mounts = self.mounts();
        let mount = mounts.at("cubbyhole/")?;
        Some(format!("{}{}", mount.entry.prefix(), cubbyhole::folder(token)))
    }

    /// What policies say together.
    ///
    /// # Errors
    /// See [`StorePolicyError`].
    pub(crate) fn acl(&self, policies: &[String]) -> Result<Arc<Acl>, StorePolicyError> {
        self.policies.acl(self.store(), policies)
    }

    /// The mount's default and longest lease.
    pub(crate) fn ttls(&self, mount: &Mount) -> (Duration, Duration) {
        let max = mount.entry.config.max_ttl(self.settings.max_lease_ttl);
        (mount.entry.config.default_ttl(self.settings.default_lease_ttl).min(max), max)
    }

    /// What an engine may know besides the request.
    pub(crate) fn context(&self, mount: &Mount, now: SystemTime) -> Context {
        let (default_ttl, max_ttl) = self.ttls(mount);
        Context {
            now,
            mount: mount.path.clone(),
            accessor: mount.entry.accessor.clone(),
            options: mount.entry.options.clone().unwrap_or_default(),
            default_ttl,
            max_ttl,
        }
    }
}
