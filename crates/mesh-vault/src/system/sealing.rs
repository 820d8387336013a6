//! `sys/seal-status`, `sys/unseal`.

use super::{
    bare::{Plain, seal_refusal, wrong_method},
    init::cluster,
};
use crate::{
    core::{Answer, Core},
    seal::{SealError, decode_share},
};
use serde_json::json;
use std::sync::Arc;

impl Core {
    /// Takes a share in hex or base64; whether the vault is unsealed now.
    ///
    /// # Errors
    /// When it is no share, or too many of them are wrong.
    pub async fn unseal(self: &Arc<Self>, share: &str) -> Result<bool, SealError> {
        let share = decode_share(share)?;
        let _turn = self.initializing.lock().await;
        if !self.seal.submit(&share)? {
            return Ok(false);
        }
        self.open().await?;
        self.forget_kept_answer().await;
        Ok(true)
    }
}

/// How far unsealing is.
pub(super) fn status(plain: &Plain<'_>) -> Answer {
    if !plain.reads() {
        return wrong_method();
    }
    answer(plain.core)
}

fn answer(core: &Core) -> Answer {
    let status = match core.seal.status() {
        Ok(status) => status,
        Err(error) => return seal_refusal(&error),
    };
    let sealed = core.sealed();
    let mut body = json!({
        "type": "shamir",
        "initialized": status.initialized,
        "sealed": sealed,
        "t": status.threshold,
        "n": status.shares,
        "progress": status.progress,
        "nonce": status.nonce,
        "version": core.settings.version,
        "build_date": BUILD_DATE,
        "migration": false,
        "recovery_seal": false,
        "storage_type": core.settings.storage_type,
    });
    if let Some((name, id)) = cluster(core).filter(|_| !sealed) {
        body["cluster_name"] = json!(name);
        body["cluster_id"] = json!(id);
    }
    Answer::json(200, &body)
}

/// That of the version whose API is spoken.
const BUILD_DATE: &str = "2025-02-24T09:40:28Z";

/// A share, or forgetting those given.
pub(super) async fn unseal(plain: &Plain<'_>) -> Answer {
    if !plain.writes() {
        return wrong_method();
    }
    let flag = |field: &str| plain.fields().boolean(field).ok().flatten().unwrap_or(false);
    if flag("reset") {
        if !plain.core.sealed() {
            return Answer::errors(400, &["vault is unsealed"]);
        }
        plain.core.seal.reset();
        return answer(plain.core);
    }
    let key = plain.text("key");
    if key.is_empty() {
        let text = "'key' must be specified in request body as JSON, or 'reset' set to true";
        return Answer::errors(400, &[text]);
    }
    match plain.core.unseal(&key).await {
        Ok(_) => answer(plain.core),
        Err(error) => seal_refusal(&error),
    }
}
