//! `kv`: the mount's option `version` says which of the two it is.

use super::{kv1, kv2};
use crate::{
    logical::{Context, Engine, Operation, Refusal, Request, Response, Turn},
    storage::Transaction,
};
use std::{
    collections::BTreeSet,
    sync::{PoisonError, RwLock},
};

const UPGRADING: &str = "Upgrading from non-versioned to versioned data. This backend will be unavailable for a \
                         brief period and will resume service shortly.";

/// The engine, in both versions.
#[derive(Debug, Default)]
pub struct Kv {
    /// Accessors of mounts whose upgrade to version 2 goes on: nobody may write beside it.
    upgrading: RwLock<BTreeSet<String>>,
}

impl Kv {
    fn upgrading(&self, context: &Context) -> bool {
        let upgrading = self.upgrading.read().unwrap_or_else(PoisonError::into_inner);
        upgrading.contains(&context.accessor)
    }
}

impl Engine for Kv {
    fn name(&self) -> &'static str {
        "kv"
    }

    /// Writes to a secret wait for each other. Version 2 has a secret under several paths (`data/a`, `metadata/a`),
    /// so the first part does not count; in version 1 that makes strangers wait for each other, seldom.
    fn turn(&self, request: &Request) -> Turn {
        match request.operation {
            Operation::Read | Operation::List => Turn::Free,
            _ => {
                let key = request.path.split_once('/').map_or(request.path.as_str(), |(_, key)| key);
                Turn::Key(key.to_owned())
            }
        }
    }

    fn exists(
        &self,
        request: &Request,
        context: &Context,
        transaction: &Transaction<'_>,
    ) -> Result<Option<bool>, Refusal> {
        Ok(if versioned(context) {
            kv2::exists(request, transaction)?
        } else {
            kv1::exists(request, transaction)?
        })
    }

    fn handle(
        &self,
        request: &Request,
        context: &Context,
        transaction: &mut Transaction<'_>,
    ) -> Result<Response, Refusal> {
        if versioned(context) && self.upgrading(context) {
            Err(Refusal::invalid(UPGRADING))
        } else if versioned(context) {
            kv2::handle(request, context, transaction)
        } else {
            kv1::handle(request, context, transaction)
        }
    }

    fn mounted(&self, context: &Context, transaction: &mut Transaction<'_>) -> Result<(), Refusal> {
        let done = !versioned(context) || kv2::upgrade(context, transaction)?;
        let mut upgrading = self.upgrading.write().unwrap_or_else(PoisonError::into_inner);
        if done {
            upgrading.remove(&context.accessor);
        } else {
            upgrading.insert(context.accessor.clone());
        }
        Ok(())
    }

    /// What an upgrade has left for later.
    fn tick(&self, context: &Context, transaction: &mut Transaction<'_>) -> Result<(), Refusal> {
        self.mounted(context, transaction)
    }
}

fn versioned(context: &Context) -> bool {
    context.options.get("version").is_some_and(|version| version == "2")
}
