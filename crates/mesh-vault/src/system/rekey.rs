//! `sys/rekey/`.

use super::{
    bare::{Plain, seal_refusal, wrong_method},
    init::encoded,
};
use crate::{
    core::{Answer, Method},
    seal::{RekeyOutcome, RekeyStatus, SealConfig, Share, VerifyStatus, decode_share},
};
use serde_json::{Value, json};

fn status(status: &RekeyStatus) -> Answer {
    let mut body = json!({
        "nonce": status.nonce,
        "started": status.started,
        "t": status.threshold,
        "n": status.shares,
        "progress": status.progress,
        "required": status.required,
        "pgp_fingerprints": Value::Null,
        "backup": false,
        "verification_required": status.verification_required,
    });
    if let Some(nonce) = &status.verification_nonce {
        body["verification_nonce"] = json!(nonce);
    }
    Answer::json(200, &body)
}

/// Begins, tells, cancels.
pub(super) async fn init(plain: &Plain<'_>) -> Answer {
    let seal = &plain.core.seal;
    let done = match plain.call.method {
        Method::Get => seal.rekey_status().await,
        Method::Put | Method::Post => match begin(plain) {
            Ok((config, verify)) => seal.rekey_start(config, verify).await,
            Err(answer) => return answer,
        },
        Method::Delete => {
            return match seal.rekey_cancel().await {
                Ok(()) => Answer::empty(204),
                Err(error) => seal_refusal(&error),
            };
        }
        _ => return wrong_method(),
    };
    done.map_or_else(|error| seal_refusal(&error), |done| status(&done))
}

fn begin(plain: &Plain<'_>) -> Result<(SealConfig, bool), Answer> {
    let fields = plain.fields();
    let bad = |error: crate::logical::FieldError| Answer::errors(400, &[&error.to_string()]);
    let pgp = fields.value("pgp_keys").and_then(Value::as_array).is_some_and(|keys| !keys.is_empty());
    if pgp {
        return Err(Answer::errors(400, &["encryption of shares by PGP keys is not built in"]));
    }
    if fields.boolean("backup").map_err(bad)?.unwrap_or(false) {
        let text = "cannot request a backup of the new keys without providing PGP keys for encryption";
        return Err(Answer::errors(400, &[text]));
    }
    let shares = fields.integer("secret_shares").map_err(bad)?.unwrap_or(0);
    let threshold = fields.integer("secret_threshold").map_err(bad)?.unwrap_or(0);
    let config = SealConfig::new(shares, threshold)
        .map_err(|error| Answer::errors(400, &[&format!("invalid rekey seal configuration: {error}")]))?;
    Ok((config, fields.boolean("require_verification").map_err(bad)?.unwrap_or(false)))
}

fn given(plain: &Plain<'_>) -> Result<(String, Share), Answer> {
    let key = plain.text("key");
    if key.is_empty() {
        return Err(Answer::errors(400, &["'key' must be specified in request body as JSON"]));
    }
    let share = decode_share(&key).map_err(|error| seal_refusal(&error))?;
    Ok((plain.text("nonce"), share))
}

/// Takes a present share.
pub(super) async fn update(plain: &Plain<'_>) -> Answer {
    if !plain.writes() {
        return wrong_method();
    }
    let (nonce, share) = match given(plain) {
        Ok(given) => given,
        Err(answer) => return answer,
    };
    match plain.core.seal.rekey_submit(&nonce, &share).await {
        Ok(RekeyOutcome::More(now)) => status(&now),
        Ok(RekeyOutcome::Done { nonce, shares, verification_nonce }) => {
            let (hex, base64) = encoded(&shares);
            let mut body = json!({
                "nonce": nonce,
                "complete": true,
                "keys": hex,
                "keys_base64": base64,
                "pgp_fingerprints": Value::Null,
                "backup": false,
                "verification_required": verification_nonce.is_some(),
            });
            if let Some(nonce) = verification_nonce {
                body["verification_nonce"] = json!(nonce);
            }
            Answer::json(200, &body)
        }
        Err(error) => seal_refusal(&error),
    }
}

fn verifying(status: &VerifyStatus) -> Answer {
    let body = json!({
        "nonce": status.nonce,
        "started": true,
        "t": status.threshold,
        "n": status.shares,
        "progress": status.progress,
    });
    Answer::json(200, &body)
}

/// Takes a new share, tells, begins anew.
pub(super) async fn verify(plain: &Plain<'_>) -> Answer {
    let seal = &plain.core.seal;
    let done = match plain.call.method {
        Method::Get => seal.verify_status().await,
        Method::Delete => seal.verify_reset().await,
        Method::Put | Method::Post => {
            let (nonce, share) = match given(plain) {
                Ok(given) => given,
                Err(answer) => return answer,
            };
            match seal.verify_submit(&nonce, &share).await {
                Ok(None) => return Answer::json(200, &json!({ "nonce": nonce, "complete": true })),
                Ok(Some(status)) => Ok(status),
                Err(error) => Err(error),
            }
        }
        _ => return wrong_method(),
    };
    done.map_or_else(|error| seal_refusal(&error), |done| verifying(&done))
}

#[cfg(test)]
mod tests {
    use crate::core::testing::Vault;
    use serde_json::{Value, json};

    #[tokio::test]
    async fn a_sealing_forgets_what_shares_were_given_for() {
        let vault = Vault::new().await;
        let (root, nobody) = (vault.root(), vault.client(""));
        let new = json!({ "secret_shares": 2, "secret_threshold": 2, "require_verification": true });
        let begun = nobody.post("sys/rekey/init", new.clone()).await.ok();
        let give = |path: &'static str, share: &Value, nonce: &Value| {
            nobody.post(path, json!({ "key": share, "nonce": nonce }))
        };
        let old: Vec<Value> = vault.shares.iter().map(|share| json!(share)).collect();
        give("sys/rekey/update", &old[0], &begun["nonce"]).await.ok();
        let made = give("sys/rekey/update", &old[1], &begun["nonce"]).await.ok();
        give("sys/rekey/verify", &made["keys"][0], &made["verification_nonce"]).await.ok();
        let generation = nobody.post("sys/generate-root/attempt", json!({})).await.ok();
        give("sys/generate-root/update", &old[0], &generation["nonce"]).await.ok();

        root.post("sys/seal", json!({})).await.ok();
        for path in ["sys/rekey/verify", "sys/rekey/update", "sys/generate-root/update"] {
            give(path, &old[1], &begun["nonce"]).await.refused(503, "Vault is sealed");
        }
        for path in ["sys/rekey/init", "sys/generate-root/attempt"] {
            nobody.post(path, new.clone()).await.refused(503, "Vault is sealed");
        }
        // The old shares are those that count.
        for share in &old[..2] {
            nobody.post("sys/unseal", json!({ "key": share })).await.ok();
        }
        for path in ["sys/rekey/init", "sys/generate-root/attempt"] {
            let status = nobody.get(path).await.ok();
            assert_eq!((&status["started"], &status["progress"]), (&json!(false), &json!(0)), "{path}");
        }
        give("sys/rekey/verify", &made["keys"][1], &made["verification_nonce"])
            .await
            .refused(400, "no rekey verification in progress");
    }
}
