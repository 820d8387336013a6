//! `token create`, `lookup`, `renew`, `revoke`, `capabilities`.

use crate::{
    client::Ask,
    command::{Call, Command, Outcome, Output, failed, refused, wrong},
    flags::{Flag, Kind, flag},
    ui::Format,
    values::plain,
};
use serde_json::{Map, Value, json};

const CREATE: &[Flag] = &[
    flag(&["id"], Kind::Text, "The token itself; made where it is not given."),
    flag(&["display-name"], Kind::Text, "What it is called in logs."),
    flag(&["ttl"], Kind::Time, "How long it lives unless it is renewed."),
    flag(&["explicit-max-ttl"], Kind::Time, "How long it lives at most, renewed or not."),
    flag(&["period"], Kind::Time, "Renewed within each period it lives without end."),
    flag(&["renewable"], Kind::Switch, "Whether it can be renewed; yes."),
    flag(&["orphan"], Kind::Switch, "It has no parent."),
    flag(&["no-default-policy"], Kind::Switch, "It has not the default policy."),
    flag(&["use-limit"], Kind::Number, "How often it can be used; 0 is without limit."),
    flag(&["role"], Kind::Text, "Role that it is made by."),
    flag(&["type"], Kind::Text, "service or batch."),
    flag(&["metadata"], Kind::Pairs, "A note about it, key=value."),
    flag(&["policy"], Kind::List, "A policy of it."),
    flag(&["entity-alias"], Kind::Text, "Alias of the entity that it is for."),
];
const ACCESSOR: Flag = flag(&["accessor"], Kind::Switch, "What is given is an accessor, not a token.");
const RENEW: &[Flag] =
    &[ACCESSOR, flag(&["increment", "i"], Kind::Time, "For how long; the server may give less.")];
const REVOKE: &[Flag] = &[
    ACCESSOR,
    flag(&["self"], Kind::Switch, "The token that is in use."),
    flag(&["mode"], Kind::Text, "orphan: its children stay; path: all that were made at a path."),
];

pub(super) const COMMANDS: &[Command] = &[
    Command {
        words: &["token", "create"],
        arguments: "",
        summary: "Create a new token",
        output: Output::FormatAndField,
        flags: CREATE,
        run: create,
    },
    Command {
        words: &["token", "lookup"],
        arguments: "[TOKEN | ACCESSOR]",
        summary: "Display information about a token",
        output: Output::FormatAndField,
        flags: &[ACCESSOR],
        run: lookup,
    },
    Command {
        words: &["token", "renew"],
        arguments: "[TOKEN | ACCESSOR]",
        summary: "Renew a token lease",
        output: Output::Format,
        flags: RENEW,
        run: renew,
    },
    Command {
        words: &["token", "revoke"],
        arguments: "[TOKEN | ACCESSOR]",
        summary: "Revoke a token and its children",
        output: Output::No,
        flags: REVOKE,
        run: revoke,
    },
    Command {
        words: &["token", "capabilities"],
        arguments: "[TOKEN] PATH",
        summary: "Print capabilities of a token on a path",
        output: Output::Format,
        flags: &[ACCESSOR],
        run: capabilities,
    },
];

fn create(call: &mut Call<'_>) -> Outcome {
    call.count(0)?;
    let flags = &call.flags;
    let time = |name: &str| json!(flags.time(name).unwrap_or_default().to_string());
    let kind = flags.text("type").unwrap_or("service");
    let mut body = Map::new();
    let mut add = |key: &str, value: Value, given: bool| {
        if given {
            body.insert(key.to_owned(), value);
        }
    };
    add("id", json!(flags.text("id")), flags.text("id").is_some());
    add("policies", json!(flags.list("policy")), flags.has("policy"));
    add("meta", json!(flags.pairs("metadata")), flags.has("metadata"));
    for (key, name) in [("ttl", "ttl"), ("explicit_max_ttl", "explicit-max-ttl"), ("period", "period")] {
        add(key, time(name), true);
    }
    add("no_parent", json!(true), flags.is("orphan"));
    add("no_default_policy", json!(true), flags.is("no-default-policy"));
    add("display_name", json!(flags.text("display-name").unwrap_or_default()), true);
    add("num_uses", json!(flags.number("use-limit").unwrap_or(0)), true);
    add("renewable", json!(flags.is_not_off("renewable") && kind != "batch"), true);
    add("type", json!(kind), true);
    add("entity_alias", json!(flags.text("entity-alias").unwrap_or_default()), true);
    let path = match flags.text("role") {
        Some(role) => format!("auth/token/create/{role}"),
        None => "auth/token/create".to_owned(),
    };
    let answer = call.client()?.answer(&Ask::post(&path, Value::Object(body)));
    let answer = answer.map_err(refused("Error creating token"))?;
    call.show(answer.as_ref(), "")
}

/// The token that is named, without white space; an error where there are too many.
fn named(call: &Call<'_>) -> Result<String, crate::command::Fault> {
    let (got, accessor) = (call.arguments.len(), call.flags.is("accessor"));
    match got {
        0 if accessor => Err(wrong("Not enough arguments with -accessor (expected 1, got 0)")),
        0 | 1 => Ok(call.argument(0).to_owned()),
        got if accessor => Err(wrong(format!("Too many arguments with -accessor (expected 1, got {got})"))),
        got => Err(wrong(format!("Too many arguments (expected 0-1, got {got})"))),
    }
}

fn lookup(call: &mut Call<'_>) -> Outcome {
    let token = named(call)?;
    let ask = match (token.is_empty(), call.flags.is("accessor")) {
        (true, _) => Ask::get("auth/token/lookup-self"),
        (false, true) => Ask::post("auth/token/lookup-accessor", json!({"accessor": token})),
        (false, false) => Ask::post("auth/token/lookup", json!({"token": token})),
    };
    let answer = call.client()?.answer(&ask).map_err(refused("Error looking up token"))?;
    call.show(answer.as_ref(), "")
}

fn renew(call: &mut Call<'_>) -> Outcome {
    let got = call.arguments.len();
    if got > 1 {
        return Err(wrong(format!("Too many arguments (expected 1, got {got})")));
    }
    let token = call.argument(0).to_owned();
    let increment = call.flags.time("increment").unwrap_or_default().whole_seconds();
    let ask = match (token.is_empty(), call.flags.is("accessor")) {
        (true, _) => Ask::put("auth/token/renew-self", json!({"increment": increment})),
        (false, true) => {
            Ask::post("auth/token/renew-accessor", json!({"accessor": token, "increment": increment}))
        }
        (false, false) => Ask::put("auth/token/renew", json!({"token": token, "increment": increment})),
    };
    let answer = call.client()?.answer(&ask).map_err(refused("Error renewing token"))?;
    call.show(answer.as_ref(), "")
}

fn revoke(call: &mut Call<'_>) -> Outcome {
    let token = call.argument(0).to_owned();
    let mode = call.flags.text("mode").unwrap_or_default().to_owned();
    let (own, accessor, got) = (call.flags.is("self"), call.flags.is("accessor"), call.arguments.len());
    let refusal = match (mode.as_str(), own, accessor) {
        (mode, ..) if !["", "orphan", "path"].contains(&mode) => Some(format!("Invalid mode: {mode}")),
        (_, true, _) if got > 0 => Some(format!("Too many arguments with -self (expected 0, got {got})")),
        (_, false, _) if got > 1 => Some(format!("Too many arguments (expected 1 or -self, got {got})")),
        (_, false, _) if got < 1 => Some(format!("Not enough arguments (expected 1 or -self, got {got})")),
        (_, true, true) => Some("Cannot use -self with -accessor!".to_owned()),
        ("", ..) => None,
        (_, true, _) => Some("Cannot use -self with -mode!".to_owned()),
        (mode, _, true) => Some(format!("Cannot use -accessor with -mode={mode}!")),
        _ => None,
    };
    if let Some(text) = refusal {
        return Err(wrong(text));
    }
    let prefix = format!("sys/leases/revoke-prefix/{token}");
    let ask = match (mode.as_str(), own, accessor) {
        ("path", ..) => Ask::put(&prefix, Value::Null),
        ("orphan", ..) => Ask::put("auth/token/revoke-orphan", json!({"token": token})),
        (_, true, _) => Ask::put("auth/token/revoke-self", Value::Null),
        (_, _, true) => Ask::post("auth/token/revoke-accessor", json!({"accessor": token})),
        _ => Ask::put("auth/token/revoke", json!({"token": token})),
    };
    call.ask_and_say(&ask, "Error revoking token", "Success! Revoked token (if it existed)")
}

fn capabilities(call: &mut Call<'_>) -> Outcome {
    let got = call.arguments.len();
    let (token, path) = match call.arguments.as_slice() {
        [path] if !call.flags.is("accessor") => (None, path.clone()),
        [token, path] => (Some(token.clone()), path.clone()),
        [_] => return Err(wrong("Not enough arguments with -accessor (expected 2, got 1)")),
        [] => return Err(wrong("Not enough arguments (expected 1-2, got 0)")),
        _ => return Err(wrong(format!("Too many arguments (expected 1-2, got {got})"))),
    };
    let client = call.client()?;
    let own = client.token().map(|token| token.expose().clone());
    let ask = match &token {
        Some(token) if call.flags.is("accessor") => {
            Ask::post("sys/capabilities-accessor", json!({"accessor": token, "path": path}))
        }
        Some(token) if own.as_ref() != Some(token) => {
            Ask::post("sys/capabilities", json!({"token": token, "path": path}))
        }
        _ => Ask::post("sys/capabilities-self", json!({"token": own.unwrap_or_default(), "path": path})),
    };
    let answer = client.answer(&ask).map_err(refused("Error listing capabilities"))?;
    let secret =
        answer.ok_or_else(|| failed("Error listing capabilities: data from server response is empty"))?;
    let found = secret.get(&path).or_else(|| secret.get("capabilities")).and_then(Value::as_array);
    let Some(found) = found else { return Err(wrong("No capabilities found")) };
    if call.ui.format != Format::Table {
        let found = json!(found);
        return call.ui.show_value(&found);
    }
    let mut words: Vec<String> = found.iter().map(plain).collect();
    words.sort();
    call.ui.say(&words.join(", "));
    Ok(0)
}
