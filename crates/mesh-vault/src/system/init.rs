//! `sys/init`: the key ring, its shares, and the first root token.

use super::{
    bare::{Plain, seal_refusal, wrong_method},
    kept_answer::{CallerKey, KEY_LETTERS_MAX, KEY_LETTERS_MIN},
};
use crate::{
    barrier::Barrier,
    core::{Answer, Core, random, work::Work},
    moment, policy,
    seal::{SealConfig, SealError, Share},
    storage::{Batch, Read as _, StorageError, Store as _},
    token::{Draft, TokenEntry},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use mesh_redact::Secret;
use serde_json::json;
use std::{sync::Arc, time::SystemTime};

const CLUSTER: &str = "core/cluster";

/// What an initialization gives, once.
#[derive(Debug)]
pub struct InitKeys {
    /// To be given to their keepers.
    pub shares: Vec<Share>,
    /// May do everything.
    pub root_token: Secret<String>,
}

/// Why a vault was not initialized.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The seal.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The store.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Core {
    /// Makes the key ring, its shares and a root token, which may be chosen. Sealed afterwards.
    ///
    /// # Errors
    /// See [`InitError`].
    pub async fn initialize(
        self: &Arc<Self>,
        config: SealConfig,
        root_token: Option<Secret<String>>,
    ) -> Result<InitKeys, InitError> {
        // Cut off before its end, it can be asked for again: nobody has its shares.
        let made = self.seal.initialize_beside(config, |_, _| Ok(Barrier::under_way())).await?;
        self.barrier.unseal(&made.root).map_err(SealError::from)?;
        let token = match self.prepare().await {
            Ok(()) => self.new_root_token(root_token).await,
            Err(error) => Err(error),
        };
        self.seal().await;
        let root_token = token?;
        self.barrier.initialized_from_now().await?;
        Ok(InitKeys { shares: made.shares, root_token })
    }

    /// What every vault has, before its first root token.
    pub(super) async fn prepare(self: &Arc<Self>) -> Result<(), StorageError> {
        let id = json!({ "id": random::uuid()?, "name": self.cluster_name()? });
        let batch = Batch { writes: [(CLUSTER.to_owned(), Some(id.to_string().into_bytes()))].into() };
        self.barrier.commit(batch).await?;
        self.open().await
    }

    fn cluster_name(&self) -> Result<String, StorageError> {
        if !self.settings.cluster_name.is_empty() {
            return Ok(self.settings.cluster_name.clone());
        }
        let mut bytes = [0_u8; 4];
        random::fill(&mut bytes)?;
        Ok(format!("vault-cluster-{}", random::hex(&bytes)))
    }

    /// A token that may do everything and does not end.
    ///
    /// # Errors
    /// Those of the store; `Sealed` when it is.
    pub(crate) async fn new_root_token(
        &self,
        chosen: Option<Secret<String>>,
    ) -> Result<Secret<String>, StorageError> {
        // Vault makes one that was chosen as a token of the first one's, and shows it so.
        let (path, display_name) = match &chosen {
            Some(_) => ("auth/token/create", "token"),
            None => ("auth/token/root", "root"),
        };
        self.root_token_of(chosen, path, display_name).await
    }

    pub(super) async fn root_token_of(
        &self,
        chosen: Option<Secret<String>>,
        path: &str,
        display_name: &str,
    ) -> Result<Secret<String>, StorageError> {
        let active = self.active().ok_or(StorageError::Sealed)?;
        let entry = TokenEntry {
            policies: vec![policy::ROOT.to_owned()],
            path: path.to_owned(),
            display_name: display_name.to_owned(),
            issued: moment::nanos(SystemTime::now()),
            ..TokenEntry::default()
        };
        let mut work = Work::default();
        let issued = active.tokens.issue(Draft { entry, chosen }, &mut work)?;
        active.commit(work).await?;
        Ok(issued.token)
    }
}

/// Name and id of the cluster, while unsealed.
pub(super) fn cluster(core: &Core) -> Option<(String, String)> {
    let stored = core.barrier.get(CLUSTER).ok()??;
    let stored: serde_json::Value = serde_json::from_slice(&stored).ok()?;
    Some((stored["name"].as_str()?.to_owned(), stored["id"].as_str()?.to_owned()))
}

/// Whether it was done, and doing it.
pub(super) async fn handle(plain: &Plain<'_>) -> Answer {
    if plain.reads() {
        return match plain.core.barrier.initialized() {
            Ok(initialized) => Answer::json(200, &json!({ "initialized": initialized })),
            Err(error) => Answer::errors(500, &[&error.to_string()]),
        };
    }
    if !plain.writes() {
        return wrong_method();
    }
    match initialize(plain).await {
        Ok(answer) | Err(answer) => answer,
    }
}

async fn initialize(plain: &Plain<'_>) -> Result<Answer, Answer> {
    let fields = plain.fields();
    let bad = |error: &dyn std::error::Error| Answer::errors(400, &[&error.to_string()]);
    for field in ["recovery_shares", "recovery_threshold"] {
        if fields.integer(field).ok().flatten().is_some_and(|number| number != 0) {
            let text = format!("parameters {field} not applicable to seal type shamir");
            return Err(Answer::errors(400, &[&text]));
        }
    }
    let unsupported = |field: &str| match fields.value(field) {
        Some(serde_json::Value::Array(keys)) => !keys.is_empty(),
        Some(serde_json::Value::String(key)) => !key.is_empty(),
        _ => false,
    };
    if unsupported("pgp_keys") || unsupported("root_token_pgp_key") {
        return Err(Answer::errors(400, &["encryption of shares by PGP keys is not built in"]));
    }
    let shares = fields.integer("secret_shares").map_err(|error| bad(&error))?.unwrap_or(0);
    let threshold = fields.integer("secret_threshold").map_err(|error| bad(&error))?.unwrap_or(0);
    let config = SealConfig::new(shares, threshold)
        .map_err(|error| Answer::errors(400, &[&format!("invalid seal configuration: {error}")]))?;
    let key = match plain.text("idempotency_key") {
        text if text.is_empty() => None,
        text => Some(CallerKey::of(&text).ok_or_else(|| {
            let text = format!("idempotency_key has {KEY_LETTERS_MIN} to {KEY_LETTERS_MAX} bytes");
            Answer::errors(400, &[&text])
        })?),
    };
    let failed = |error: InitError| match &error {
        InitError::Seal(error) => seal_refusal(error),
        InitError::Storage(_) => Answer::errors(500, &[&error.to_string()]),
    };
    let core = plain.core;
    // A caller that repeats itself while it is answered waits for that answer.
    let _turn = core.initializing.lock().await;
    let made = match (core.barrier.initialized().map_err(|error| bad(&error))?, &key) {
        (false, None) => core.initialize(config, None).await.map_err(failed)?,
        (false, Some(key)) => core.initialize_kept(config, key).await.map_err(failed)?,
        (true, key) => {
            let again = match key {
                Some(key) => core.kept_answer(key).await.map_err(failed)?,
                None => None,
            };
            again.ok_or_else(|| Answer::errors(400, &["Vault is already initialized"]))?
        }
    };
    let (hex, base64) = encoded(&made.shares);
    let body = json!({ "keys": hex, "keys_base64": base64, "root_token": made.root_token.expose() });
    Ok(Answer::json(200, &body))
}

/// Shares in both of the forms that are answered.
pub(super) fn encoded(shares: &[Share]) -> (Vec<String>, Vec<String>) {
    (
        shares.iter().map(|share| random::hex(share)).collect(),
        shares.iter().map(|share| BASE64_STANDARD.encode(share.as_slice())).collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        core::{Settings, testing::Client},
        storage::Memory,
    };

    #[tokio::test]
    async fn one_that_was_cut_off_before_its_answer_can_be_asked_for_again() {
        let core = Core::new(Arc::new(Memory::default()), Settings::default());
        let client = Client { core: Arc::clone(&core), token: None, wrap: None, remote: None };
        // As a kill leaves it that comes just before the answer is ready to leave.
        let begun = core
            .seal
            .initialize_beside(SealConfig::new(1, 1).unwrap(), |_, _| Ok(Barrier::under_way()))
            .await
            .unwrap();
        core.barrier.unseal(&begun.root).unwrap();
        core.prepare().await.unwrap();
        let lost = core.new_root_token(None).await.unwrap();
        core.seal().await;

        assert_eq!(client.get("sys/init").await.ok()["initialized"], false);
        assert_eq!(client.get("sys/health?uninitcode=299").await.status, 299);
        let share = random::hex(&begun.shares[0]);
        client.post("sys/unseal", json!({ "key": share })).await.refused(400, "not initialized");
        let made = client.post("sys/init", json!({ "secret_shares": 2, "secret_threshold": 2 })).await.ok();
        client
            .post("sys/init", json!({ "secret_shares": 1, "secret_threshold": 1 }))
            .await
            .refused(400, "already initialized");
        for key in made["keys"].as_array().unwrap() {
            client.post("sys/unseal", json!({ "key": key })).await.ok();
        }
        let with = |token: &str| Client { token: Some(token.to_owned()), ..client.clone() };
        with(made["root_token"].as_str().unwrap()).get("sys/mounts").await.ok();
        with(lost.expose()).get("sys/mounts").await.refused(403, "permission denied");
    }
}
