//! From a call to an answer.
//!
//! 1. A call is read ([`parse`]): operation, path, fields.
//! 2. Some paths of `sys/` are answered whether sealed or not; all others need what is behind the barrier
//!    ([`active::Active`]), which exists from unseal to seal.
//! 3. The longest mount that the path begins with answers it; its token is looked up, its policies are asked.
//! 4. An engine computes in its turn; token, lease and wrapping join what it wrote in one batch.
//! 5. The batch is committed, what is in memory is brought up to it, and the answer leaves.
//!
//! A request that may write runs to its end on a task of its own, so that a client that goes away leaves nothing
//! half done.

pub(crate) mod active;
pub(crate) mod ask;
mod call;
pub(crate) mod engines;
mod login;
pub(crate) mod mounts;
mod outcome;
mod parse;
mod pipeline;
pub(crate) mod random;
mod registry;
pub(crate) mod reply;
mod settings;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod ticks;
pub(crate) mod turns;
pub(crate) mod work;

pub use call::{Answer, Call, Method};
pub(crate) use parse::Incoming;
pub use settings::{Settings, VERSION};

use crate::{
    barrier::Barrier,
    logical::Refusal,
    metrics::Metrics,
    policy::StorePolicyError,
    seal::Seal,
    storage::{StorageError, Store},
    system::bare,
};
use active::Active;
use std::sync::{Arc, PoisonError, RwLock};

/// A vault.
pub struct Core {
    pub(crate) barrier: Arc<Barrier>,
    pub(crate) seal: Seal,
    pub(crate) settings: Arc<Settings>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) root_generation: tokio::sync::Mutex<Option<bare::Generation>>,
    /// One answer to an initialization at a time, from the look whether there was one: it unseals and seals in
    /// between, so no unsealing comes in between either.
    pub(crate) initializing: tokio::sync::Mutex<()>,
    /// One opening or sealing at a time.
    changing: tokio::sync::Mutex<()>,
    active: RwLock<Option<Arc<Active>>>,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("sealed", &self.sealed()).finish_non_exhaustive()
    }
}

impl Core {
    /// Over a store; sealed.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, settings: Settings) -> Arc<Self> {
        let barrier = Arc::new(Barrier::new(store));
        Arc::new(Self {
            seal: Seal::new(Arc::clone(&barrier)),
            barrier,
            settings: Arc::new(settings),
            metrics: Arc::new(Metrics::default()),
            root_generation: tokio::sync::Mutex::default(),
            initializing: tokio::sync::Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            active: RwLock::new(None),
        })
    }

    /// Whether nothing can be read.
    #[must_use]
    pub fn sealed(&self) -> bool {
        self.active().is_none()
    }

    /// Answers a call.
    pub async fn serve(self: &Arc<Self>, call: Call) -> Answer {
        let reads = matches!(call.method, Method::Get | Method::List | Method::Head | Method::Help)
            && call.wrap_ttl.is_none();
        if reads {
            return self.answer(call).await;
        }
        let core = Arc::clone(self);
        let answered = tokio::spawn(async move { core.answer(call).await }).await;
        answered.unwrap_or_else(|_| Answer::errors(500, &["internal error"]))
    }

    async fn answer(self: &Arc<Self>, call: Call) -> Answer {
        let _in_flight = self.metrics.begin();
        let incoming = match parse::parse(&call) {
            Ok(incoming) => incoming,
            Err(answer) => return answer,
        };
        if let Some(answer) = bare::answer(self, &call, &incoming).await {
            return answer;
        }
        match self.active() {
            Some(active) => pipeline::serve(self, &active, call, incoming).await,
            None => Answer::errors(503, &["Vault is sealed"]),
        }
    }

    /// What is behind the barrier, while it is open.
    pub(crate) fn active(&self) -> Option<Arc<Active>> {
        self.active.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Loads what is behind a barrier that was just opened.
    ///
    /// # Errors
    /// Those of the store; the barrier is sealed again then.
    pub(crate) async fn open(self: &Arc<Self>) -> Result<(), StorageError> {
        let _changing = self.changing.lock().await;
        if self.active().is_some() {
            return Ok(());
        }
        let loaded =
            Active::load(Arc::clone(&self.barrier), Arc::clone(&self.settings), Arc::clone(&self.metrics))
                .await;
        match loaded {
            Ok(active) => {
                let active = Arc::new(active);
                *self.active.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&active));
                drop(tokio::spawn(async move { ticks::after_unseal(&active).await }));
                Ok(())
            }
            Err(error) => {
                self.barrier.seal();
                Err(error)
            }
        }
    }

    /// Forgets the keys and all that was read.
    pub async fn seal(&self) {
        let _changing = self.changing.lock().await;
        *self.active.write().unwrap_or_else(PoisonError::into_inner) = None;
        self.barrier.seal();
        *self.root_generation.lock().await = None;
        self.seal.rekey_forget().await;
    }

    /// Opens audit files anew: to be called on SIGHUP.
    pub async fn reopen_audit(&self) {
        if let Some(active) = self.active() {
            active.audit.reopen().await;
        }
    }

    /// Ends what is over and lets engines tidy. To be called once a second.
    pub async fn tick(self: &Arc<Self>) {
        if let Some(active) = self.active() {
            ticks::tick(&active).await;
        }
    }

    /// Seals; what is under way fails as sealed.
    pub async fn shutdown(&self) {
        self.seal().await;
    }
}

/// The refusal for policies that cannot be had.
pub(crate) fn policy_refusal(error: StorePolicyError) -> Refusal {
    match error {
        StorePolicyError::Storage(error) => Refusal::Storage(error),
        StorePolicyError::Unreadable { .. } => {
            Refusal::Internal { attempted: "internal error".to_owned(), source: Some(Box::new(error)) }
        }
    }
}
