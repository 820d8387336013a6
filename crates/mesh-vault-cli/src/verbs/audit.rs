//! `audit list`, `enable`, `disable`.

use crate::{
    client::Ask,
    command::{Call, Command, Outcome, Output, failed, refused, with_slash, wrong},
    data::{parse, texts},
    flags::{Flag, Kind, flag},
    table::table,
    ui::Format,
    values::{object, plain},
};
use serde_json::{Map, Value, json};

const LIST: &[Flag] = &[flag(&["detailed"], Kind::Switch, "Print more of each device.")];
const ENABLE: &[Flag] = &[
    flag(&["description"], Kind::Text, "What it is for."),
    flag(&["path"], Kind::Text, "Its name; that of its type."),
    flag(&["local"], Kind::Switch, "It is not replicated."),
];

pub(super) const COMMANDS: &[Command] = &[
    Command {
        words: &["audit", "list"],
        arguments: "",
        summary: "Lists enabled audit devices",
        output: Output::Format,
        flags: LIST,
        run: list,
    },
    Command {
        words: &["audit", "enable"],
        arguments: "TYPE [K=V...]",
        summary: "Enables an audit device",
        output: Output::No,
        flags: ENABLE,
        run: enable,
    },
    Command {
        words: &["audit", "disable"],
        arguments: "PATH",
        summary: "Disables an audit device",
        output: Output::No,
        flags: &[],
        run: |call| {
            call.count(1)?;
            let path = call.mount(0);
            let api = format!("sys/audit/{path}");
            let sentence = format!("Success! Disabled audit device (if it was enabled) at: {path}");
            call.ask_and_say(&Ask::delete(&api), "Error disabling audit device", &sentence)
        },
    },
];

fn list(call: &mut Call<'_>) -> Outcome {
    call.count(0)?;
    let answer = call.client()?.answer(&Ask::get("sys/audit")).map_err(refused("Error listing audits"))?;
    let data = answer.and_then(|secret| secret.data);
    let data = data.ok_or_else(|| failed("Error listing audits: data from server response is empty"))?;
    let devices: Map<String, Value> = data.into_iter().filter(|(_, it)| it.is_object()).collect();
    if call.ui.format != Format::Table {
        let shown = devices.iter().map(|(path, device)| (path.clone(), output(device))).collect();
        return call.ui.show_map(&shown);
    }
    if devices.is_empty() {
        call.ui.say("No audit devices are enabled.");
        return Ok(2);
    }
    let text = |device: &Value, key: &str| device.get(key).map(plain).unwrap_or_default();
    let detailed = call.flags.is("detailed");
    let heads = ["Path", "Type", "Description", "Replication", "Options"];
    let shown = if detailed { 5 } else { 3 };
    let mut rows = vec![heads[..shown].iter().map(|head| (*head).to_owned()).collect::<Vec<_>>()];
    for (path, device) in &devices {
        let options = device.get("options").and_then(Value::as_object).into_iter().flatten();
        let options: Vec<String> = options.map(|(key, value)| format!("{key}={}", plain(value))).collect();
        let local = device.get("local").and_then(Value::as_bool).unwrap_or(false);
        let mut row = vec![path.clone(), text(device, "type"), text(device, "description")];
        if detailed {
            row.push(if local { "local" } else { "replicated" }.to_owned());
            row.push(options.join(" "));
        }
        rows.push(row);
    }
    call.ui.say(&table(&rows));
    Ok(0)
}

fn output(device: &Value) -> Value {
    let field = |key: &str, other: Value| device.get(key).cloned().unwrap_or(other);
    object([
        ("type", field("type", json!(""))),
        ("description", field("description", json!(""))),
        ("options", field("options", Value::Null)),
        ("local", field("local", json!(false))),
        ("path", field("path", json!(""))),
    ])
}

fn enable(call: &mut Call<'_>) -> Outcome {
    if call.arguments.is_empty() {
        return Err(wrong(
            "Error enabling audit device: audit type missing. Valid types include 'file', 'socket' and 'syslog'.",
        ));
    }
    let kind = call.argument(0).to_owned();
    let path = with_slash(call.flags.text("path").unwrap_or(&kind));
    let arguments = call.arguments[1..].to_vec();
    let options = parse(&mut call.ui, &arguments).and_then(texts);
    let options = options.map_err(|why| wrong(format!("Failed to parse K=V data: {why}")))?;
    let body = object([
        ("type", json!(kind)),
        ("description", json!(call.flags.text("description").unwrap_or_default())),
        ("options", Value::Object(options)),
        ("local", json!(call.flags.is("local"))),
    ]);
    let api = format!("sys/audit/{path}");
    let sentence = format!("Success! Enabled the {kind} audit device at: {path}");
    call.ask_and_say(&Ask::put(&api, body), "Error enabling audit device", &sentence)
}
