//! Which engines are built in, and which types Vault knows besides.

use super::mounts::Backend;
use crate::{auth, engine, logical::Engine};
use std::sync::Arc;

/// What answers for a type of mount; `None` for a type that is not built in.
pub(crate) fn backend(is_auth: bool, kind: &str) -> Option<Backend> {
    let engine: Arc<dyn Engine> = if is_auth {
        match kind {
            "approle" => Arc::new(auth::approle::AppRole::default()),
            "userpass" => Arc::new(auth::userpass::UserPass::default()),
            _ => return None,
        }
    } else {
        match kind {
            "kv" | "generic" => Arc::new(engine::kv::Kv::default()),
            "cubbyhole" => Arc::new(engine::cubbyhole::Cubbyhole),
            "pki" => Arc::new(engine::pki::Pki),
            _ => return None,
        }
    };
    Some(Backend::Engine(engine))
}
