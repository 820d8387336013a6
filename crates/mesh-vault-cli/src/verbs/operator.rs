//! `operator init`, `unseal`, `seal`, `rotate`, `key-status`.

use super::status::{key_status, show_seal};
use crate::{
    client::Ask,
    command::{Call, Command, Outcome, Output, failed, refused, wrong},
    flags::{Flag, Kind, flag},
    moment,
    table::columns,
    ui::{Format, INTERRUPTED, wrapped},
    values::{object, plain},
};
use serde_json::{Value, json};

const INIT: &[Flag] = &[
    flag(&["key-shares", "n"], Kind::Number, "Into how many keys the root key is split; 5."),
    flag(&["key-threshold", "t"], Kind::Number, "How many of them unseal; 3."),
    flag(&["recovery-shares"], Kind::Number, "The same of recovery keys, for seals that open by themselves."),
    flag(&["recovery-threshold"], Kind::Number, "The same of recovery keys."),
    flag(&["status"], Kind::Switch, "Only tell whether it is initialized: 0 yes, 2 no, 1 not to be told."),
];
const UNSEAL: &[Flag] = &[
    flag(&["migrate"], Kind::Switch, "The key is for a migration of the seal."),
    flag(&["reset"], Kind::Switch, "Forget the keys that were given."),
];

pub(super) const COMMANDS: &[Command] = &[
    Command {
        words: &["operator", "init"],
        arguments: "",
        summary: "Initializes a server",
        output: Output::Format,
        flags: INIT,
        run: init,
    },
    Command {
        words: &["operator", "unseal"],
        arguments: "[KEY]",
        summary: "Unseals the Vault server",
        output: Output::Format,
        flags: UNSEAL,
        run: unseal,
    },
    Command {
        words: &["operator", "seal"],
        arguments: "",
        summary: "Seals the Vault server",
        output: Output::No,
        flags: &[],
        run: |call| {
            call.count(0)?;
            call.ask_and_say(&Ask::put("sys/seal", Value::Null), "Error sealing", "Success! Vault is sealed.")
        },
    },
    Command {
        words: &["operator", "rotate"],
        arguments: "",
        summary: "Rotates the underlying encryption key",
        output: Output::Format,
        flags: &[],
        run: rotate,
    },
    Command {
        words: &["operator", "key-status"],
        arguments: "",
        summary: "Provides information about the active encryption key",
        output: Output::Format,
        flags: &[],
        run: |call| {
            call.count(0)?;
            let status = key_status(&call.client()?)?;
            shown(call, &status, "")
        },
    },
];

/// Shares and threshold where nothing else was said.
const SHARES: i64 = 5;
const THRESHOLD: i64 = 3;

fn init(call: &mut Call<'_>) -> Outcome {
    call.count(0)?;
    let mut client = call.client()?;
    if call.flags.is("status") {
        let status = client.json(&Ask::get("sys/init"));
        let status = status.map_err(|error| wrong(format!("Error checking init status: {error}")))?;
        let is = status.get("initialized").and_then(Value::as_bool).unwrap_or(false);
        match call.ui.format {
            Format::Table => {
                call.ui.say(if is { "Vault is initialized" } else { "Vault is not initialized" });
            }
            // The name is a capital one there.
            _ => drop(call.ui.show_value(&json!({"Initialized": is}))?),
        }
        return Ok(if is { 0 } else { 2 });
    }
    let as_curl = client.really(false);
    let seal = client.json(&Ask::get("sys/seal-status")).map_err(|error| failed(error.to_string()))?;
    client.really(as_curl);
    let recovery = seal.get("recovery_seal").and_then(Value::as_bool).unwrap_or(false);
    let number = |name: &str, other: i64| call.flags.number(name).filter(|n| *n != 0).unwrap_or(other);
    let (shares, threshold, recovery_shares, recovery_threshold) = match recovery {
        false => (number("key-shares", SHARES), number("key-threshold", THRESHOLD), 0, 0),
        true => (
            number("key-shares", 0),
            number("key-threshold", 0),
            number("recovery-shares", SHARES),
            number("recovery-threshold", THRESHOLD),
        ),
    };
    let body = object([
        ("secret_shares", json!(shares)),
        ("secret_threshold", json!(threshold)),
        ("pgp_keys", Value::Null),
        ("recovery_shares", json!(recovery_shares)),
        ("recovery_threshold", json!(recovery_threshold)),
        ("recovery_pgp_keys", Value::Null),
        ("root_token_pgp_key", json!("")),
    ]);
    let made = client.json(&Ask::put("sys/init", body)).map_err(refused("Error initializing"))?;
    let list = |key: &str| match made.get(key) {
        Some(Value::Array(all)) => all.clone(),
        _ => Vec::new(),
    };
    let (keys, recovery_keys) = (list("keys"), list("recovery_keys"));
    if call.ui.format != Format::Table {
        let stored = keys.is_empty();
        let value = object([
            ("unseal_keys_b64", json!(list("keys_base64"))),
            ("unseal_keys_hex", json!(keys)),
            ("unseal_shares", json!(if stored { 1 } else { shares })),
            ("unseal_threshold", json!(if stored { 1 } else { threshold })),
            ("recovery_keys_b64", json!(list("recovery_keys_base64"))),
            ("recovery_keys_hex", json!(recovery_keys)),
            ("recovery_keys_shares", json!(recovery_shares)),
            ("recovery_keys_threshold", json!(recovery_threshold)),
            ("root_token", made.get("root_token").cloned().unwrap_or(json!(""))),
        ]);
        return call.ui.show_value(&value);
    }
    for (word, keys, encoded) in
        [("Unseal", &keys, list("keys_base64")), ("Recovery", &recovery_keys, list("recovery_keys_base64"))]
    {
        let shown = if encoded.len() == keys.len() { &encoded } else { keys };
        for (number, key) in (1..).zip(shown) {
            call.ui.say(&format!("{word} Key {number}: {}", plain(key)));
        }
    }
    let token = made.get("root_token").map(plain).unwrap_or_default();
    call.ui.say(&format!("\nInitial Root Token: {token}\n"));
    if keys.is_empty() {
        call.ui.say("Success! Vault is initialized");
    } else {
        call.ui.say(&advice(shares, threshold));
    }
    if !recovery_keys.is_empty() {
        call.ui.say(&format!("\n{}", wrapped(&format!(
            "Recovery key initialized with {recovery_shares} key shares and a key threshold of {recovery_threshold}. \
             Please securely distribute the key shares printed above."
        ))));
    }
    Ok(0)
}

fn advice(shares: i64, threshold: i64) -> String {
    let paragraphs = [
        format!(
            "Vault initialized with {shares} key shares and a key threshold of {threshold}. Please securely \
             distribute the key shares printed above. When the Vault is re-sealed, restarted, or stopped, you must \
             supply at least {threshold} of these keys to unseal it before it can start servicing requests."
        ),
        format!(
            "Vault does not store the generated root key. Without at least {threshold} keys to reconstruct the root \
             key, Vault will remain permanently sealed!"
        ),
        "It is possible to generate new unseal keys, provided you have a quorum of existing unseal keys shares. See \
         \"vault operator rekey\" for more information."
            .to_owned(),
    ];
    paragraphs.map(|text| wrapped(&text)).join("\n\n")
}

fn unseal(call: &mut Call<'_>) -> Outcome {
    let got = call.arguments.len();
    if got > 1 {
        return Err(wrong(format!("Too many arguments (expected 1, got {got})")));
    }
    let client = call.client()?;
    if call.flags.is("reset") {
        let status = client.json(&Ask::put("sys/unseal", json!({"reset": true})));
        let status = status.map_err(refused("Error resetting unseal process"))?;
        return show_seal(call, &client, &status);
    }
    let mut key = call.argument(0).to_owned();
    if key.is_empty() {
        if call.ui.quiet {
            return Err(wrong(wrapped(
                "Refusing to read from stdin with -non-interactive specified; specify unseal key as an argument to \
                 this command",
            )));
        }
        key = call.ui.ask("Unseal Key (will be hidden): ").map_err(|why| {
            if why == INTERRUPTED {
                return wrong(why);
            }
            wrong(format!(
                "{}\n\n{why}",
                wrapped(
                    "An error occurred attempting to ask for an unseal key. The raw error message is shown below, \
                     but usually this is because you attempted to pipe a value into the unseal command or you are \
                     executing outside of a terminal (tty). You should run the unseal command from a terminal for \
                     maximum security. If this is not an option, the unseal key can be provided as the first \
                     argument to the unseal command. The raw error was:",
                )
            ))
        })?;
    }
    let body = json!({"key": key.trim(), "migrate": call.flags.is("migrate")});
    let status = client.json(&Ask::put("sys/unseal", body)).map_err(refused("Error unsealing"))?;
    show_seal(call, &client, &status)
}

fn rotate(call: &mut Call<'_>) -> Outcome {
    call.count(0)?;
    let client = call.client()?;
    client.ask(&Ask::post("sys/rotate", Value::Null)).map_err(refused("Error rotating key"))?;
    let status = key_status(&client)?;
    shown(call, &status, "Success! Rotated key\n\n")
}

fn shown(call: &mut Call<'_>, status: &Value, before: &str) -> Outcome {
    if call.ui.format != Format::Table {
        return call.ui.show_value(status);
    }
    let text = |key: &str| status.get(key).map(plain).unwrap_or_default();
    let rows = [
        vec!["Key Term".to_owned(), text("term")],
        vec!["Install Time".to_owned(), moment::short(&text("install_time"))],
        vec!["Encryption Count".to_owned(), text("encryptions")],
    ];
    call.ui.say(&format!("{before}{}", columns(&rows)));
    Ok(0)
}
