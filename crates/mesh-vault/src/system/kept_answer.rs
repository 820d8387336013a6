//! The answer to an initialization, kept for a caller that may not have got it.
//!
//! A caller that gives an `idempotency_key` of its own, which nobody else has, gets the same shares and the same root
//! token again when it asks again with that key, for as long as the vault was not unsealed. Whoever keeps the key on
//! disk before asking loses no vault, whichever side is killed in between. What is kept is sealed by a key that follows
//! from the caller's, is written in one batch with the key ring, and is forgotten when the vault is first unsealed.
//! Vault has no such field and ignores it.

use super::init::{InitError, InitKeys};
use crate::{
    barrier::{KEPT_ANSWER_PATH, RootKey},
    core::{Core, random},
    seal::{SealConfig, SealError, Share},
    storage::{Batch, StorageError},
};
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use mesh_redact::{Secret, exposed};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Letters that a caller's key has at least: 190 bits of letters and digits.
pub(super) const KEY_LETTERS_MIN: usize = 32;
/// Letters that it has at most.
pub(super) const KEY_LETTERS_MAX: usize = 256;
/// Letters of the root token behind its prefix: 142 bits.
const TOKEN_LETTERS: usize = 24;
/// What the key that seals is derived for, and what is sealed is bound to.
const PURPOSE: &[u8] = b"mesh-vault: the answer of sys/init";

/// A caller's key.
pub(super) struct CallerKey(LessSafeKey);

/// What is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(with = "exposed")]
    root: Secret<String>,
    #[serde(with = "exposed")]
    shares: Secret<Vec<String>>,
    #[serde(with = "exposed")]
    token: Secret<String>,
    /// The root token is there and all else that an initialization makes.
    ready: bool,
}

/// What was kept.
pub(super) struct Found {
    pub(super) root: RootKey,
    pub(super) keys: InitKeys,
    pub(super) ready: bool,
}

impl CallerKey {
    /// Of the text that a caller gave; `None` where it is too short or too long to be one.
    pub(super) fn of(text: &str) -> Option<Self> {
        if !(KEY_LETTERS_MIN..=KEY_LETTERS_MAX).contains(&text.len()) {
            return None;
        }
        let bytes = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes()), PURPOSE);
        Some(Self(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes.as_ref()).ok()?)))
    }

    /// The entry that keeps an answer.
    pub(super) fn keep(&self, root: &RootKey, keys: &InitKeys, ready: bool) -> Result<Batch, StorageError> {
        let shares = keys.shares.iter().map(|share| BASE64_STANDARD.encode(share.as_slice())).collect();
        let kept = Kept {
            root: Secret::new(BASE64_STANDARD.encode(root.expose())),
            shares: Secret::new(shares),
            token: keys.root_token.clone(),
            ready,
        };
        let text = serde_json::to_vec(&kept).map_err(|_| corrupt())?;
        let mut text = Zeroizing::new(text);
        let mut nonce = [0; NONCE_LEN];
        random::fill(&mut nonce)?;
        let number = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .0
            .seal_in_place_separate_tag(number, Aad::from(PURPOSE), &mut text)
            .map_err(|_| corrupt())?;
        let entry = [nonce.as_slice(), text.as_slice(), tag.as_ref()].concat();
        Ok(Batch { writes: [(KEPT_ANSWER_PATH.to_owned(), Some(entry))].into() })
    }

    /// What an entry keeps; `None` where it was another caller's.
    pub(super) fn open(&self, entry: &[u8]) -> Option<Found> {
        let (nonce, sealed) = entry.split_first_chunk::<NONCE_LEN>()?;
        let mut sealed = Zeroizing::new(sealed.to_vec());
        let number = Nonce::assume_unique_for_key(*nonce);
        let text = self.0.open_in_place(number, Aad::from(PURPOSE), &mut sealed).ok()?;
        let kept: Kept = serde_json::from_slice(text).ok()?;
        let bytes = |text: &String| BASE64_STANDARD.decode(text).ok().map(Zeroizing::new);
        let shares: Option<Vec<Share>> = kept.shares.expose().iter().map(bytes).collect();
        Some(Found {
            root: RootKey::from_bytes(&bytes(kept.root.expose())?)?,
            keys: InitKeys { shares: shares?, root_token: kept.token },
            ready: kept.ready,
        })
    }
}

impl Core {
    /// Makes the key ring, its shares and a root token, and keeps what is answered for this caller.
    pub(super) async fn initialize_kept(
        self: &Arc<Self>,
        config: SealConfig,
        key: &CallerKey,
    ) -> Result<InitKeys, InitError> {
        let root_token = Secret::new(format!("hvs.{}", random::base62(TOKEN_LETTERS)?));
        let keys = |shares: &[Share]| InitKeys { shares: shares.to_vec(), root_token: root_token.clone() };
        let beside = |root: &RootKey, shares: &[Share]| key.keep(root, &keys(shares), false);
        let made = self.seal.initialize_beside(config, beside).await?;
        let keys = keys(&made.shares);
        self.complete(key, &made.root, &keys).await?;
        Ok(keys)
    }

    /// What this caller was answered before; `None` where nothing is kept for it.
    pub(super) async fn kept_answer(
        self: &Arc<Self>,
        key: &CallerKey,
    ) -> Result<Option<InitKeys>, InitError> {
        let Some(entry) = self.barrier.under().get(KEPT_ANSWER_PATH)? else { return Ok(None) };
        let Some(found) = key.open(&entry) else { return Ok(None) };
        if !found.ready {
            self.complete(key, &found.root, &found.keys).await?;
        }
        Ok(Some(found.keys))
    }

    /// Makes what an initialization makes beside the key ring. Sealed afterwards.
    async fn complete(
        self: &Arc<Self>,
        key: &CallerKey,
        root: &RootKey,
        keys: &InitKeys,
    ) -> Result<(), InitError> {
        self.barrier.unseal(root).map_err(SealError::from)?;
        let made = match self.prepare().await {
            Ok(()) => self.root_token_of(Some(keys.root_token.clone()), "auth/token/root", "root").await,
            Err(error) => Err(error),
        };
        self.seal().await;
        made?;
        self.barrier.under().commit(key.keep(root, keys, true)?).await?;
        Ok(())
    }

    /// Forgets what is kept: whoever unsealed has the shares. To be called in the turn of `initializing`.
    pub(super) async fn forget_kept_answer(&self) {
        let forgotten = async {
            if self.barrier.under().get(KEPT_ANSWER_PATH)?.is_some() {
                let batch = Batch { writes: [(KEPT_ANSWER_PATH.to_owned(), None)].into() };
                self.barrier.under().commit(batch).await?;
            }
            Ok::<(), StorageError>(())
        };
        if let Err(error) = forgotten.await {
            tracing::warn!(%error, "the answer of the initialization is still kept; the next unseal forgets it");
        }
    }
}

fn corrupt() -> StorageError {
    let source = std::io::Error::other("the answer of the initialization cannot be sealed");
    StorageError::Disk { operation: "keep an answer", source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::{Client, Said};
    use crate::{core::Settings, storage::Memory};
    use serde_json::{Value, json};

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    fn sealed() -> Client {
        let core = Core::new(Arc::new(Memory::default()), Settings::default());
        Client { core, token: None, wrap: None, remote: None }
    }

    async fn init(client: &Client, key: &str) -> Said {
        let body = json!({"secret_shares": 3, "secret_threshold": 2, "idempotency_key": key});
        client.post("sys/init", body).await
    }

    async fn unseal(client: &Client, answer: &Value) {
        for share in [&answer["keys"][0], &answer["keys_base64"][2]] {
            client.post("sys/unseal", json!({ "key": share })).await.ok();
        }
        assert!(!client.core.sealed());
    }

    #[tokio::test]
    async fn an_answer_that_got_lost_is_given_again_until_the_first_unseal() {
        let client = sealed();
        let first = init(&client, KEY).await.ok();
        let again = init(&client, KEY).await.ok();
        assert_eq!(first, again);
        // Nobody else gets it, and nobody without a key.
        init(&client, &KEY.to_uppercase()).await.refused(400, "already initialized");
        init(&client, "").await.refused(400, "already initialized");
        let entry = client.core.barrier.under().get(KEPT_ANSWER_PATH).unwrap().unwrap();
        let shown = String::from_utf8_lossy(&entry).into_owned();
        assert!(!shown.contains("hvs.") && !shown.contains("shares"), "{shown}");

        unseal(&client, &again).await;
        let root = Client { token: again["root_token"].as_str().map(str::to_owned), ..client.clone() };
        let token = root.get("auth/token/lookup-self").await.ok();
        assert_eq!(
            (&token["data"]["display_name"], &token["data"]["path"]),
            (&json!("root"), &json!("auth/token/root"))
        );
        init(&client, KEY).await.refused(400, "already initialized");
        assert!(client.core.barrier.under().get(KEPT_ANSWER_PATH).unwrap().is_none());
    }

    #[tokio::test]
    async fn one_that_was_cut_short_is_completed() {
        let client = sealed();
        let key = CallerKey::of(KEY).unwrap();
        let token = Secret::new("hvs.chosen".to_owned());
        let keep = |root: &RootKey, shares: &[Share]| {
            key.keep(root, &InitKeys { shares: shares.to_vec(), root_token: token.clone() }, false)
        };
        // The ring is there and nothing else: as a kill in between leaves it.
        client.core.seal.initialize_beside(SealConfig::new(3, 2).unwrap(), keep).await.unwrap();
        let answer = init(&client, KEY).await.ok();
        assert_eq!(answer["root_token"], "hvs.chosen");
        unseal(&client, &answer).await;
        let root = Client { token: Some("hvs.chosen".to_owned()), ..client.clone() };
        root.get("auth/token/lookup-self").await.ok();
    }

    #[tokio::test]
    async fn what_is_asked_at_once_is_answered_once_and_unsealing_waits_for_it() {
        let client = sealed();
        let turn = client.core.initializing.lock().await;
        let asked: Vec<_> = (0..4)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move { init(&client, KEY).await.ok() })
            })
            .collect();
        let unsealing = tokio::spawn({
            let core = Arc::clone(&client.core);
            async move { core.unseal(&"0".repeat(64)).await }
        });
        // All of them come as far as they can.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(!client.core.barrier.initialized().unwrap() && !unsealing.is_finished());
        drop(turn);
        let mut answers = Vec::new();
        for answer in asked {
            answers.push(answer.await.unwrap());
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        assert!(client.core.sealed());
        let _ = unsealing.await.unwrap();
        client.core.seal.reset();
        unseal(&client, &answers[0]).await;
    }

    #[tokio::test]
    async fn a_key_that_is_no_secret_is_refused() {
        let client = sealed();
        for key in ["short", &"x".repeat(KEY_LETTERS_MAX + 1)] {
            init(&client, key).await.refused(400, "idempotency_key has 32 to 256 bytes");
        }
    }
}
