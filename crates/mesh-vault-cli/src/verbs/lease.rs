//! `lease lookup`, `renew`, `revoke`.

use crate::{
    client::Ask,
    command::{Call, Command, Fault, Outcome, Output, refused, wrong},
    flags::{Flag, Kind, flag},
    ui::wrapped,
};
use serde_json::{Value, json};

const RENEW: &[Flag] = &[flag(&["increment", "i"], Kind::Time, "For how long; the server may give less.")];
const REVOKE: &[Flag] = &[
    flag(&["force", "f"], Kind::Switch, "Forget them even where their engine fails; only with -prefix."),
    flag(&["prefix"], Kind::Switch, "All leases whose ids begin so."),
    flag(&["sync"], Kind::Switch, "Wait until they are revoked."),
];

pub(super) const COMMANDS: &[Command] = &[
    Command {
        words: &["lease", "lookup"],
        arguments: "ID",
        summary: "Lookup the lease of a secret",
        output: Output::Format,
        flags: &[],
        run: |call| {
            let id = id(call, "1")?;
            let answer = call.client()?.answer(&Ask::put("sys/leases/lookup", json!({"lease_id": id})));
            let answer = answer.map_err(refused(format!("error looking up lease id {id}")))?;
            call.show(answer.as_ref(), "")
        },
    },
    Command {
        words: &["lease", "renew"],
        arguments: "ID",
        summary: "Renews the lease of a secret",
        output: Output::Format,
        flags: RENEW,
        run: |call| {
            let id = id(call, "1-2")?;
            let increment = call.flags.time("increment").unwrap_or_default().whole_seconds();
            let body = json!({"increment": increment, "lease_id": id});
            let answer = call.client()?.answer(&Ask::put("sys/leases/renew", body));
            let answer = answer.map_err(refused(format!("Error renewing {id}")))?;
            call.show(answer.as_ref(), "")
        },
    },
    Command {
        words: &["lease", "revoke"],
        arguments: "ID",
        summary: "Revokes leases and secrets",
        output: Output::No,
        flags: REVOKE,
        run: revoke,
    },
];

fn id(call: &Call<'_>, expected: &str) -> Result<String, Fault> {
    match call.arguments.len() {
        0 => Err(wrong("Missing ID!")),
        1 => Ok(call.argument(0).to_owned()),
        got => Err(wrong(format!("Too many arguments (expected {expected}, got {got})"))),
    }
}

fn revoke(call: &mut Call<'_>) -> Outcome {
    call.count(1)?;
    let (force, prefix, sync) = (call.flags.is("force"), call.flags.is("prefix"), call.flags.is("sync"));
    if force && !prefix {
        return Err(wrong("Specifying -force requires also specifying -prefix"));
    }
    let client = call.client()?;
    let id = call.argument(0).to_owned();
    if force {
        call.ui.warn(&wrapped(
            "Warning! Force-removing leases can cause Vault to become out of sync with secret engines!",
        ));
    }
    let (verb, attempt, sentence) = match (force, prefix) {
        (true, _) => (
            "revoke-force",
            format!("Error force revoking leases with prefix {id}"),
            format!("Success! Force revoked any leases with prefix: {id}"),
        ),
        (false, true) => (
            "revoke-prefix",
            format!("Error revoking leases with prefix {id}"),
            format!("Success! Revoked any leases with prefix: {id}"),
        ),
        (false, false) => {
            ("revoke", format!("Error revoking lease {id}"), format!("Success! Revoked lease: {id}"))
        }
    };
    let path = match prefix {
        true => format!("sys/leases/{verb}/{id}"),
        false => format!("sys/leases/{verb}"),
    };
    let body = match (force, prefix) {
        (true, _) => Value::Null,
        (_, true) => json!({"sync": sync}),
        _ => json!({"sync": sync, "lease_id": id}),
    };
    client.ask(&Ask::put(&path, body)).map_err(refused(attempt))?;
    call.ui.say(if force || sync { &sentence } else { "All revocation operations queued successfully!" });
    Ok(0)
}
