//! `status`, `version`, `print token`, and the table of seals that others show too.

use crate::{
    client::{ApiError, Ask, Client},
    command::{Call, Command, Fault, Outcome, Output, failed, wrong},
    table::table,
    ui::{Format, Ui},
    values::{is_empty, object, plain},
};
use serde_json::{Map, Value, json};

pub(super) const COMMANDS: &[Command] = &[
    Command {
        words: &["status"],
        arguments: "",
        summary: "Print seal and HA status",
        output: Output::FormatAndField,
        flags: &[],
        run: status,
    },
    Command {
        words: &["version"],
        arguments: "",
        summary: "Prints the version",
        output: Output::No,
        flags: &[],
        run: |call| {
            // The version of Vault's API that is spoken comes first: clients' tests choose by the second word.
            call.ui.say(concat!("Vault v1.18.5 (Mesh v", env!("CARGO_PKG_VERSION"), ")"));
            Ok(0)
        },
    },
    Command {
        words: &["print", "token"],
        arguments: "",
        summary: "Prints the token currently in use",
        output: Output::No,
        flags: &[],
        run: |call| {
            let client = call.client()?;
            call.ui.say(client.token().map_or("", |token| token.expose().as_str()));
            Ok(0)
        },
    },
];

/// 0 where it is unsealed, 2 where it is sealed, 1 where that cannot be told.
fn status(call: &mut Call<'_>) -> Outcome {
    call.count(0)?;
    let mut client = call.client().map_err(|fault| wrong(fault.text))?;
    client.leave_namespace();
    let status = client.json(&Ask::get("sys/seal-status"));
    let status = status.map_err(|error| match error {
        ApiError::Curl(text) => Fault { code: 0, text, as_curl: true },
        error => wrong(format!("Error checking seal status: {error}")),
    })?;
    let shown = of_seal(&client, &status)?;
    let code = if truth(&shown, "sealed") { 2 } else { 0 };
    match call.flags.text("field") {
        Some(field) => {
            let value = match field {
                "ha_mode" => json!(mode(&shown)),
                field => shown.get(field).cloned().unwrap_or(Value::Null),
            };
            if value.is_null() {
                call.ui.error(&format!("Field {field:?} not present in seal status"));
            } else {
                call.ui.show_alone(&value)?;
            }
        }
        None => show(&mut call.ui, &shown)?,
    }
    Ok(code)
}

/// Shows the state of a seal that a server answered with.
pub(super) fn show_seal(call: &mut Call<'_>, client: &Client, status: &Value) -> Outcome {
    let shown = of_seal(client, status)?;
    show(&mut call.ui, &shown)?;
    Ok(0)
}

/// What a server says of its seal and of its leader, in the order of Vault's own output.
fn of_seal(client: &Client, status: &Value) -> Result<Map<String, Value>, Fault> {
    let leader = match client.json(&Ask::get("sys/leader")) {
        Ok(leader) => leader,
        Err(error) if error.to_string().contains("Vault is sealed") => json!({"ha_enabled": true}),
        Err(error) => return Err(wrong(format!("Error checking leader status: {error}"))),
    };
    let mut shown = Map::new();
    let mut add = |from: &Value, key: &str, other: Value, optional: bool| {
        let value = from.get(key).filter(|value| !value.is_null()).cloned().unwrap_or(other);
        if !(optional && is_empty(&value)) {
            shown.insert(key.to_owned(), value);
        }
    };
    add(status, "type", json!(""), false);
    for key in ["initialized", "sealed"] {
        add(status, key, json!(false), false);
    }
    for key in ["t", "n", "progress"] {
        add(status, key, json!(0), false);
    }
    for key in ["nonce", "version", "build_date"] {
        add(status, key, json!(""), false);
    }
    add(status, "commit_date", json!(""), true);
    add(status, "migration", json!(false), false);
    for key in ["cluster_name", "cluster_id"] {
        add(status, key, json!(""), true);
    }
    add(status, "recovery_seal", json!(false), false);
    for key in ["recovery_seal_type", "storage_type", "warnings"] {
        add(status, key, Value::Null, true);
    }
    add(&leader, "ha_enabled", json!(false), false);
    for key in ["is_self", "active_time", "leader_address", "leader_cluster_address"] {
        add(&leader, key, Value::Null, true);
    }
    for key in ["raft_committed_index", "raft_applied_index"] {
        add(&leader, key, Value::Null, true);
    }
    if shown.get("active_time").is_some_and(|time| time == "0001-01-01T00:00:00Z") {
        shown.remove("active_time");
    }
    Ok(shown)
}

fn truth(shown: &Map<String, Value>, key: &str) -> bool {
    shown.get(key).and_then(Value::as_bool).unwrap_or(false)
}

fn mode(shown: &Map<String, Value>) -> &'static str {
    if truth(shown, "is_self") { "active" } else { "standby" }
}

fn show(ui: &mut Ui<'_>, shown: &Map<String, Value>) -> Result<(), Fault> {
    if ui.format != Format::Table {
        return ui.show_map(shown).map(drop);
    }
    let text = |key: &str| shown.get(key).map(plain).unwrap_or_default();
    let mut rows = vec![[String::from("Key"), String::from("Value")].to_vec()];
    let mut row = |key: &str, value: String| rows.push(vec![key.to_owned(), value]);
    row("Seal Type", text("type"));
    let recovery = truth(shown, "recovery_seal");
    if recovery {
        row("Recovery Seal Type", text("recovery_seal_type"));
    }
    row("Initialized", text("initialized"));
    row("Sealed", text("sealed"));
    row(if recovery { "Total Recovery Shares" } else { "Total Shares" }, text("n"));
    row("Threshold", text("t"));
    if truth(shown, "sealed") {
        row("Unseal Progress", format!("{}/{}", text("progress"), text("t")));
        row("Unseal Nonce", text("nonce"));
    }
    if truth(shown, "migration") {
        row("Seal Migration in Progress", "true".to_owned());
    }
    let mut given = |head: &str, key: &str| {
        if !text(key).is_empty() {
            row(head, text(key));
        }
    };
    given("Version", "version");
    given("Build Date", "build_date");
    given("Storage Type", "storage_type");
    if shown.contains_key("cluster_name") && shown.contains_key("cluster_id") {
        given("Cluster Name", "cluster_name");
        given("Cluster ID", "cluster_id");
    }
    row("HA Enabled", text("ha_enabled"));
    if truth(shown, "ha_enabled") && !truth(shown, "sealed") {
        row("HA Cluster", text("leader_cluster_address"));
        row("HA Mode", mode(shown).to_owned());
        let own = truth(shown, "is_self");
        for (head, key, wanted) in
            [("Active Since", "active_time", own), ("Active Node Address", "leader_address", !own)]
        {
            if wanted && shown.contains_key(key) {
                row(head, text(key));
            }
        }
    }
    for (head, key) in
        [("Raft Committed Index", "raft_committed_index"), ("Raft Applied Index", "raft_applied_index")]
    {
        if shown.contains_key(key) {
            row(head, text(key));
        }
    }
    ui.say(&table(&rows));
    Ok(())
}

/// A time of installation and a number, as key statuses have them.
pub(super) fn key_status(client: &Client) -> Result<Value, Fault> {
    let status = client.json(&Ask::get("sys/key-status"));
    let status = status.map_err(crate::command::refused("Error reading key status"))?;
    let data = status.get("data").unwrap_or(&status);
    let field = |key: &str| data.get(key).cloned().unwrap_or(json!(0));
    if !data.is_object() {
        return Err(failed("Error reading key status: the answer is empty"));
    }
    Ok(object([
        ("term", field("term")),
        ("install_time", field("install_time")),
        ("encryptions", field("encryptions")),
    ]))
}
