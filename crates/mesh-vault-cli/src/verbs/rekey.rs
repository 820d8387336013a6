//! `operator rekey`: new keys for the seal, a share at a time.

use crate::{
    client::{Ask, Client},
    command::{Call, Command, Outcome, Output, failed, refused, wrong},
    data::INPUT_BYTES_MAX,
    flags::{Flag, Kind, flag},
    table::table,
    ui::{Format, wrapped},
    values::{is_empty, plain},
};
use serde_json::{Map, Value, json};

const FLAGS: &[Flag] = &[
    flag(&["init"], Kind::Switch, "Begin."),
    flag(&["cancel"], Kind::Switch, "Forget what was begun."),
    flag(&["status"], Kind::Switch, "Only tell how far it is."),
    flag(&["key-shares", "n"], Kind::Number, "Into how many keys; 5."),
    flag(&["key-threshold", "t"], Kind::Number, "How many of them unseal; 3."),
    flag(&["nonce"], Kind::Text, "Which operation a key is for."),
    flag(&["target"], Kind::Text, "barrier, recovery or hsm; barrier."),
    flag(&["verify"], Kind::Switch, "The new keys have to be shown before they count."),
];

pub(super) const COMMANDS: &[Command] = &[Command {
    words: &["operator", "rekey"],
    arguments: "[KEY]",
    summary: "Generates new unseal keys",
    output: Output::Format,
    flags: FLAGS,
    run: rekey,
}];

/// Where the endpoints of an operation are.
struct Target {
    api: &'static str,
    /// Begin, look at and cancel it.
    attempt: String,
    /// Give a key.
    update: String,
    key: &'static str,
    verify: bool,
}

fn target(call: &Call<'_>) -> Result<Target, crate::command::Fault> {
    let (api, key) = match call.flags.text("target").unwrap_or("barrier").trim().to_lowercase().as_str() {
        "barrier" => ("sys/rekey", "Unseal"),
        "recovery" | "hsm" => ("sys/rekey-recovery-key", "Recovery"),
        other => return Err(wrong(format!("Unknown target: {other}"))),
    };
    let verify = call.flags.is("verify");
    let (attempt, update) = if verify { ("verify", "verify") } else { ("init", "update") };
    Ok(Target { api, attempt: format!("{api}/{attempt}"), update: format!("{api}/{update}"), key, verify })
}

fn rekey(call: &mut Call<'_>) -> Outcome {
    let got = call.arguments.len();
    if got > 1 {
        return Err(wrong(format!("Too many arguments (expected 0-1, got {got})")));
    }
    let client = call.client()?;
    let target = target(call)?;
    if call.flags.is("cancel") {
        client.ask(&Ask::delete(&target.attempt)).map_err(refused("Error canceling rekey"))?;
        call.ui.say("Success! Canceled rekeying (if it was started)");
        return Ok(0);
    }
    if call.flags.is("init") {
        return begin(call, &client, &target);
    }
    if call.flags.is("status") {
        return status(call, &client, &target);
    }
    give(call, &client, &target)
}

/// An answer's object, whether it is the data of a secret or stands alone.
fn data(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(mut map) => match map.remove("data") {
            Some(Value::Object(data)) => data,
            _ => map,
        },
        _ => Map::new(),
    }
}

fn begin(call: &mut Call<'_>, client: &Client, target: &Target) -> Outcome {
    let body = json!({
        "secret_shares": call.flags.number("key-shares").unwrap_or(5),
        "secret_threshold": call.flags.number("key-threshold").unwrap_or(3),
        "pgp_keys": null,
        "backup": false,
        "require_verification": target.verify,
    });
    let path = format!("{}/init", target.api);
    let status = client.json(&Ask::put(&path, body)).map_err(refused("Error initializing rekey"))?;
    if call.ui.format == Format::Table {
        call.ui.warn(&wrapped(&format!(
            "WARNING! If you lose the keys after they are returned, there is no recovery. Consider canceling this \
             operation and re-initializing with the -pgp-keys flag to protect the returned {} keys along with \
             -backup to allow recovery of the encrypted keys in case of emergency. You can delete the stored keys \
             later using the -delete flag.",
            target.key.to_lowercase()
        )));
        call.ui.say("");
    }
    show(call, &data(status), false)
}

fn status(call: &mut Call<'_>, client: &Client, target: &Target) -> Outcome {
    let status = client.json(&Ask::get(&target.attempt)).map_err(refused("Error reading rekey status"))?;
    show(call, &data(status), target.verify)
}

/// Fields of an answer in the order of Vault's own output, with what stands for one that is not there.
fn fields(of: &Map<String, Value>, names: &[(&str, Value)]) -> Map<String, Value> {
    let field = |(name, other): &(&str, Value)| {
        let value = of.get(*name).filter(|value| !value.is_null()).unwrap_or(other);
        ((*name).to_owned(), value.clone())
    };
    names.iter().map(field).collect()
}

fn show(call: &mut Call<'_>, status: &Map<String, Value>, verify: bool) -> Outcome {
    if call.ui.format != Format::Table {
        let mut names = vec![
            ("nonce", json!("")),
            ("started", json!(false)),
            ("t", json!(0)),
            ("n", json!(0)),
            ("progress", json!(0)),
        ];
        if !verify {
            names.extend([
                ("required", json!(0)),
                ("pgp_fingerprints", Value::Null),
                ("backup", json!(false)),
                ("verification_required", json!(false)),
                ("verification_nonce", json!("")),
            ]);
        }
        return call.ui.show_map(&fields(status, &names));
    }
    let text = |key: &str| status.get(key).map(plain).unwrap_or_default();
    let given = |key: &str| status.get(key).is_some_and(|value| !is_empty(value));
    let mut rows = vec![vec!["Key".to_owned(), "Value".to_owned()]];
    let mut row = |key: &str, value: String| rows.push(vec![key.to_owned(), value]);
    if verify {
        row("Started", text("started"));
        row("New Shares", text("n"));
        row("New Threshold", text("t"));
        row("Verification Nonce", text("nonce"));
        row("Verification Progress", format!("{}/{}", text("progress"), text("t")));
    } else {
        row("Nonce", text("nonce"));
        row("Started", text("started"));
        if given("started") {
            let all = text("progress") == text("required");
            let note = if all { " (verification in progress)" } else { "" };
            row("Progress", format!("{}/{}{note}", text("progress"), text("required")));
            for (head, key) in [("New Shares", "n"), ("New Threshold", "t")] {
                if given(key) {
                    row(head, text(key));
                }
            }
            row("Verification Required", text("verification_required"));
            if given("verification_nonce") {
                row("Verification Nonce", text("verification_nonce"));
            }
        }
    }
    call.ui.say(&table(&rows));
    Ok(0)
}

fn give(call: &mut Call<'_>, client: &Client, target: &Target) -> Outcome {
    let before = client.json(&Ask::get(&target.attempt)).map_err(refused("Error getting rekey status"))?;
    let before = data(before);
    if before.get("started").is_none_or(is_empty) {
        return Err(wrong(wrapped(
            "No rekey is in progress. Start a rekey process by running \"vault operator rekey -init\".",
        )));
    }
    let told = call.flags.text("nonce").unwrap_or_default().to_owned();
    let (key, nonce) = match call.argument(0).to_owned().as_str() {
        "-" => {
            let key = call.ui.input(INPUT_BYTES_MAX);
            (key.map_err(|why| wrong(format!("Failed to read from stdin: {why}")))?, told)
        }
        "" if call.ui.quiet => {
            return Err(wrong(wrapped(
                "Refusing to read from stdin with -non-interactive specified; specify nonce via the -nonce flag",
            )));
        }
        "" => {
            let nonce = before.get("nonce").map(plain).unwrap_or_default();
            call.ui.say(&format!("Rekey operation nonce: {nonce}"));
            let key = call.ui.ask(&format!("{} Key (will be hidden): ", target.key));
            (
                key.map_err(|why| wrong(format!("An error occurred attempting to ask for the key: {why}")))?,
                nonce,
            )
        }
        key => (key.to_owned(), told),
    };
    if nonce.is_empty() {
        return Err(wrong("Missing nonce value: specify it via the -nonce flag"));
    }
    let body = json!({"key": key.trim(), "nonce": nonce});
    let after = client.json(&Ask::put(&target.update, body)).map_err(refused("Error posting unseal key"))?;
    let after = data(after);
    if after.get("complete").is_none_or(is_empty) {
        return status(call, client, target);
    }
    if target.verify {
        call.ui.say(&wrapped(
            "Rekey verification successful. The rekey operation is complete and the new keys are now active.",
        ));
        return Ok(0);
    }
    if call.ui.format != Format::Table {
        let mut names = vec![
            ("nonce", json!("")),
            ("complete", json!(false)),
            ("keys", Value::Null),
            ("keys_base64", Value::Null),
            ("pgp_fingerprints", Value::Null),
            ("backup", json!(false)),
            ("verification_required", json!(false)),
        ];
        if after.get("verification_nonce").is_some_and(|nonce| !is_empty(nonce)) {
            names.push(("verification_nonce", json!("")));
        }
        return call.ui.show_map(&fields(&after, &names));
    }
    let list = |key: &str| after.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let (hex, encoded) = (list("keys"), list("keys_base64"));
    let keys = if hex.len() == encoded.len() { encoded } else { hex };
    if keys.is_empty() {
        return Err(failed("Error posting unseal key: the answer has no keys"));
    }
    call.ui.say("");
    for (number, key) in (1..).zip(&keys) {
        call.ui.say(&format!("Key {number}: {}", plain(key)));
    }
    let text = |map: &Map<String, Value>, key: &str| map.get(key).map(plain).unwrap_or_default();
    call.ui.say(&format!("\nOperation nonce: {}", text(&after, "nonce")));
    if after.get("verification_required").is_some_and(|value| !is_empty(value)) {
        call.ui.say(&format!("\n{}\n\nVerification nonce: {}", wrapped(
            "The new keys have to be verified before they are in force: give them with \"vault operator rekey \
             -verify\".",
        ), text(&after, "verification_nonce")));
        return Ok(0);
    }
    let (shares, threshold) = (text(&before, "n"), text(&before, "t"));
    call.ui.say(&format!("\n{}", wrapped(&format!(
        "Vault unseal keys rekeyed to {shares} key shares and a key threshold of {threshold}. Please securely \
         distribute the key shares printed above. When Vault is re-sealed, restarted, or stopped, you must supply \
         at least {threshold} of these keys to unseal it before it can start servicing requests."
    ))));
    Ok(0)
}
