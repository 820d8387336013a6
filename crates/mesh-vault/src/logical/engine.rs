//! What an engine is to the core.

use super::{Refusal, Request, Response};
use crate::storage::Transaction;
use std::time::{Duration, SystemTime};

/// What an engine may know besides the request.
#[derive(Debug, Clone)]
pub struct Context {
    /// The time of the request. Engines ask no clock.
    pub now: SystemTime,
    /// The mount's path with a slash at its end: `secret/`, `auth/approle/`.
    pub mount: String,
    /// The mount's accessor: `kv_1a2b3c4d`.
    pub accessor: String,
    /// The mount's options: `version` of kv.
    pub options: std::collections::BTreeMap<String, String>,
    /// The mount's default lease, the system's where it has none.
    pub default_ttl: Duration,
    /// The mount's longest lease, the system's where it has none.
    pub max_ttl: Duration,
}

/// Which requests of a mount must not overtake each other between reading and the commit of what they wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// It only reads: no waiting.
    Free,
    /// One at a time for this key: the KV path, the role's name.
    Key(String),
    /// One at a time for the whole mount: configuration, issuers.
    Mount,
}

/// Where a request is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Microseconds: on the task that took the request.
    Light,
    /// Milliseconds and more (keys, bcrypt): on a thread for it.
    Heavy,
}

/// Paths with rules of their own, relative to the mount; `*` at the end stands for any rest, `+` for one part.
#[derive(Debug, Clone, Copy, Default)]
pub struct SpecialPaths {
    /// Need no token: `login`, `ca/pem`.
    pub unauthenticated: &'static [&'static str],
    /// Need `sudo` besides their capability.
    pub root: &'static [&'static str],
}

/// A secrets engine or an auth method. Knows neither tokens nor leases nor the network: see [`Context`].
pub trait Engine: Send + Sync {
    /// `kv`, `pki`, `approle`: the type that `sys/mounts` shows.
    fn name(&self) -> &'static str;

    /// Paths with rules of their own.
    fn special(&self) -> SpecialPaths {
        SpecialPaths::default()
    }

    /// Whom a request has to wait for. A reading operation is [`Turn::Free`], a writing one has the whole mount
    /// unless the engine knows better.
    fn turn(&self, request: &Request) -> Turn {
        match request.operation {
            super::Operation::Read | super::Operation::List => Turn::Free,
            _ => Turn::Mount,
        }
    }

    /// The same, for an engine that has to look at what is stored: a login with a secret that may be used once.
    /// Reads only what it needs. The core asks this one; what it read may have changed when the turn comes.
    ///
    /// # Errors
    /// Those of the store.
    fn turn_in(
        &self,
        request: &Request,
        _context: &Context,
        _transaction: &Transaction<'_>,
    ) -> Result<Turn, Refusal> {
        Ok(self.turn(request))
    }

    /// How long a request takes to compute.
    fn weight(&self, _request: &Request) -> Weight {
        Weight::Light
    }

    /// Whether something is at the path, so that a write is an `Update` and not a `Create`. `None` where the engine
    /// makes no difference: a write is an `Update` then.
    ///
    /// # Errors
    /// Those of the store.
    fn exists(
        &self,
        _request: &Request,
        _context: &Context,
        _transaction: &Transaction<'_>,
    ) -> Result<Option<bool>, Refusal> {
        Ok(None)
    }

    /// Answers. What it wrote into the transaction is committed before the answer leaves; nothing is when it
    /// refuses.
    ///
    /// # Errors
    /// See [`Refusal`].
    fn handle(
        &self,
        request: &Request,
        context: &Context,
        transaction: &mut Transaction<'_>,
    ) -> Result<Response, Refusal>;

    /// Called when the engine is mounted, and after each unseal: makes what must be there. Its writes are committed.
    ///
    /// # Errors
    /// See [`Refusal`].
    fn mounted(&self, _context: &Context, _transaction: &mut Transaction<'_>) -> Result<(), Refusal> {
        Ok(())
    }

    /// Called once a minute while unsealed: tidies what is over. Bounded work; its writes are committed.
    ///
    /// # Errors
    /// See [`Refusal`].
    fn tick(&self, _context: &Context, _transaction: &mut Transaction<'_>) -> Result<(), Refusal> {
        Ok(())
    }
}
