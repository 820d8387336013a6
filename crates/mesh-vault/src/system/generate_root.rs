//! `sys/generate-root/`: another root token, for whoever has the threshold of shares. The token is answered in a form
//! that only who began, and knows the one-time pad, can read.

use super::bare::{Plain, seal_refusal, wrong_method};
use crate::{
    core::{Answer, Core, Method, random},
    seal::{Quorum, decode_share},
};
use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
use mesh_redact::Secret;
use serde_json::json;

/// Letters of a root token, and so of the pad.
const PAD_LETTERS: usize = 28;

/// One under way.
#[derive(Debug)]
pub(crate) struct Generation {
    quorum: Quorum,
    pad: Secret<String>,
}

/// Begins, tells, cancels.
pub(super) async fn attempt(plain: &Plain<'_>) -> Answer {
    let mut generation = plain.core.root_generation.lock().await;
    // In its turn: whoever seals forgets afterwards what was begun.
    if plain.core.sealed() {
        return Answer::errors(503, &["Vault is sealed"]);
    }
    match plain.call.method {
        Method::Get => status(plain.core, generation.as_ref(), None),
        Method::Delete => {
            *generation = None;
            Answer::empty(204)
        }
        Method::Put | Method::Post => {
            if !plain.text("pgp_key").is_empty() {
                return Answer::errors(400, &["encryption of the token by a PGP key is not built in"]);
            }
            if generation.is_some() {
                return Answer::errors(400, &["root generation already in progress"]);
            }
            let given = plain.text("otp");
            if !given.is_empty() && given.len() != PAD_LETTERS {
                let text =
                    format!("OTP string is incorrect length: expected {PAD_LETTERS}, got {}", given.len());
                return Answer::errors(400, &[&text]);
            }
            let made = given.is_empty();
            let begun = if made { random::base62(PAD_LETTERS) } else { Ok(given) };
            let begun = begun.and_then(|pad| Ok((pad, Quorum::begin()?)));
            let Ok((pad, quorum)) = begun else { return Answer::errors(500, &["internal error"]) };
            *generation = Some(Generation { quorum, pad: Secret::new(pad.clone()) });
            status(plain.core, generation.as_ref(), made.then_some(pad))
        }
        _ => wrong_method(),
    }
}

fn status(core: &Core, generation: Option<&Generation>, pad: Option<String>) -> Answer {
    let required = match core.seal.status() {
        Ok(status) => status.threshold,
        Err(error) => return seal_refusal(&error),
    };
    Answer::json(
        200,
        &json!({
            "nonce": generation.map_or("", |generation| generation.quorum.nonce()),
            "started": generation.is_some(),
            "progress": generation.map_or(0, |generation| generation.quorum.progress()),
            "required": required,
            "complete": false,
            "encoded_token": "",
            "encoded_root_token": "",
            "pgp_fingerprint": "",
            "otp": pad.unwrap_or_default(),
            "otp_length": PAD_LETTERS,
        }),
    )
}

/// Takes a share.
pub(super) async fn update(plain: &Plain<'_>) -> Answer {
    if !plain.writes() {
        return wrong_method();
    }
    match take(plain).await {
        Ok(answer) | Err(answer) => answer,
    }
}

async fn take(plain: &Plain<'_>) -> Result<Answer, Answer> {
    let key = plain.text("key");
    if key.is_empty() {
        return Err(Answer::errors(400, &["'key' must be specified in request body as JSON"]));
    }
    let share = decode_share(&key).map_err(|error| seal_refusal(&error))?;
    let mut slot = plain.core.root_generation.lock().await;
    if plain.core.sealed() {
        return Err(Answer::errors(503, &["Vault is sealed"]));
    }
    let generation = slot.as_mut().ok_or_else(|| Answer::errors(400, &["no root generation in progress"]))?;
    let nonce = generation.quorum.nonce().to_owned();
    if plain.text("nonce") != nonce {
        let text = format!("incorrect nonce supplied; nonce for this root generation operation is {nonce:?}");
        return Err(Answer::errors(400, &[&text]));
    }
    let agreed = plain.core.seal.quorum_root(&mut generation.quorum, &share);
    if agreed.map_err(|error| seal_refusal(&error))?.is_none() {
        return Ok(status(plain.core, slot.as_ref(), None));
    }
    let required = plain.core.seal.status().map_err(|error| seal_refusal(&error))?.threshold;
    let token = plain.core.new_root_token(None).await;
    let token = token.map_err(|error| Answer::errors(500, &[&error.to_string()]))?;
    let pad = generation.pad.expose().as_bytes();
    let encoded: Vec<u8> = token.expose().bytes().zip(pad.iter()).map(|(letter, pad)| letter ^ pad).collect();
    let encoded = BASE64_STANDARD_NO_PAD.encode(encoded);
    *slot = None;
    Ok(Answer::json(
        200,
        &json!({
            "nonce": nonce,
            "started": true,
            "progress": required,
            "required": required,
            "complete": true,
            "encoded_token": encoded,
            "encoded_root_token": encoded,
            "pgp_fingerprint": "",
            "otp": "",
            "otp_length": 0,
        }),
    ))
}
