//! `read`, `write`, `list`, `delete`, `patch`, `unwrap`, `path-help`.

use crate::{
    client::{ApiError, Ask},
    command::{Call, Command, Fault, Outcome, Output, failed, refused, wrong},
    data::{parameters, parse},
    flags::{Flag, Kind, flag},
    secret::Secret,
    ui::Format,
};
use hyper::StatusCode;
use mesh_redact::Secret as Hidden;
use serde_json::{Value, json};

const FORCE: &[Flag] = &[flag(&["force", "f"], Kind::Switch, "Send the request without any data.")];
const PAGE: &[Flag] = &[
    flag(&["after"], Kind::Text, "Begin behind this key."),
    flag(&["limit"], Kind::Number, "Give no more than so many keys."),
];

pub(super) const COMMANDS: &[Command] = &[
    Command {
        words: &["read"],
        arguments: "PATH [K=V...]",
        summary: "Read data and retrieves secrets",
        output: Output::FormatAndField,
        flags: &[],
        run: read,
    },
    Command {
        words: &["write"],
        arguments: "PATH [K=V...]",
        summary: "Write data, configuration, and secrets",
        output: Output::FormatAndField,
        flags: FORCE,
        run: |call| write(call, false),
    },
    Command {
        words: &["patch"],
        arguments: "PATH [K=V...]",
        summary: "Patch data, configuration, and secrets",
        output: Output::FormatAndField,
        flags: FORCE,
        run: |call| write(call, true),
    },
    Command {
        words: &["delete"],
        arguments: "PATH",
        summary: "Delete secrets and configuration",
        output: Output::FormatAndField,
        flags: &[],
        run: delete,
    },
    Command {
        words: &["list"],
        arguments: "PATH",
        summary: "List data or secrets",
        output: Output::FormatAndDetailed,
        flags: PAGE,
        run: list,
    },
    Command {
        words: &["unwrap"],
        arguments: "[TOKEN]",
        summary: "Unwrap a wrapped secret",
        output: Output::FormatAndField,
        flags: &[],
        run: unwrap,
    },
    Command {
        words: &["path-help"],
        arguments: "PATH",
        summary: "Retrieve API help for paths",
        output: Output::Format,
        flags: &[],
        run: path_help,
    },
];

/// What `path-help` says of a server that is sealed.
const SEALED: &str = "Error: Vault is sealed.\n\nThe \"path-help\" command requires the Vault to be unsealed so that \
                      the mount\npoints of the secret engines are known.";

fn read(call: &mut Call<'_>) -> Outcome {
    call.at_least(1)?;
    let client = call.client()?;
    let path = call.path(0);
    let arguments = call.arguments[1..].to_vec();
    let data = parse(&mut call.ui, &arguments).and_then(parameters);
    let data = data.map_err(|why| wrong(format!("Failed to parse K=V data: {why}")))?;
    let ask = data.iter().fold(Ask::get(&path), |ask, (key, value)| ask.with(key, value));
    if call.ui.format == Format::Raw {
        let answered = client.ask(&ask).map_err(refused(format!("Error reading: {path}")))?;
        call.ui.say(&String::from_utf8_lossy(&answered.body));
        return Ok(0);
    }
    let answer = client.answer(&ask).map_err(refused(format!("Error reading {path}")))?;
    let answer = answer.ok_or_else(|| failed(format!("No value found at {path}")))?;
    call.show(Some(&answer), "")
}

fn write(call: &mut Call<'_>, patch: bool) -> Outcome {
    call.at_least(1)?;
    if call.arguments.len() == 1 && !call.flags.is("force") {
        return Err(wrong("Must supply data or use -force"));
    }
    let path = call.path(0);
    let arguments = call.arguments[1..].to_vec();
    let data = parse(&mut call.ui, &arguments);
    let data = data.map_err(|why| wrong(format!("Failed to parse K=V data: {why}")))?;
    let body = if arguments.is_empty() { Value::Null } else { Value::Object(data) };
    let ask = if patch { Ask::patch(&path, body) } else { Ask::put(&path, body) };
    let outcome = call.client()?.answer(&ask);
    let attempt = format!("Error writing data to {path}");
    let answer = told(call, outcome, attempt)?;
    call.show(answer.as_ref(), &format!("Success! Data written to: {path}"))
}

fn delete(call: &mut Call<'_>) -> Outcome {
    let got = call.arguments.len();
    if got < 1 {
        return Err(wrong(format!("Not enough arguments (expected at least 1, got {got})")));
    }
    let client = call.client()?;
    let path = call.path(0);
    let arguments = call.arguments[1..].to_vec();
    let data = parse(&mut call.ui, &arguments).and_then(parameters);
    let data = data.map_err(|why| wrong(format!("Failed to parse string list data: {why}")))?;
    let ask = data.iter().fold(Ask::delete(&path), |ask, (key, value)| ask.with(key, value));
    let outcome = client.answer(&ask);
    let attempt = format!("Error deleting {path}");
    let answer = told(call, outcome, attempt)?;
    call.show(answer.as_ref(), &format!("Success! Data deleted (if it existed) at: {path}"))
}

/// A failure, shown with what the server's answer brings beside it: an error of a kind that carries warnings or
/// data is both.
pub(super) fn told(
    call: &mut Call<'_>,
    outcome: Result<Option<Secret>, ApiError>,
    attempt: String,
) -> Result<Option<Secret>, Fault> {
    outcome.map_err(|error| {
        let beside = match &error {
            ApiError::Answered { status: 404, body, .. } => Secret::read(body).ok().flatten(),
            _ => None,
        };
        let fault = refused(attempt)(error);
        match beside.filter(Secret::says_something) {
            None => fault,
            Some(secret) => {
                call.ui.error(&fault.text);
                // What is shown is not what decides.
                let _ = call.ui.show_secret(&secret);
                Fault { text: String::new(), ..fault }
            }
        }
    })
}

fn list(call: &mut Call<'_>) -> Outcome {
    call.count(1)?;
    let client = call.client()?;
    let path = call.path(0);
    let (after, limit) = (call.flags.text("after"), call.flags.number("limit").unwrap_or(-1));
    let ask = match (after, limit) {
        (None, ..=0) => Ask::list(&path),
        (after, limit) => {
            Ask::list(&path).with("after", after.unwrap_or_default()).with("limit", &limit.to_string())
        }
    };
    let answer = client.answer(&ask).map_err(refused(format!("Error listing {path}")))?;
    listed(call, answer, &path, true)
}

/// Shows the answer to a list.
pub(super) fn listed(call: &mut Call<'_>, answer: Option<Secret>, path: &str, beside: bool) -> Outcome {
    if let Some(secret) = answer.as_ref().filter(|secret| secret.is_wrapped()) {
        return call.ui.show_secret(secret);
    }
    let has_keys = answer.as_ref().is_some_and(|secret| secret.keys().is_some());
    if call.ui.format != Format::Table && !has_keys {
        call.ui.show_value(&json!({}))?;
        return Ok(2);
    }
    let nothing = || failed(format!("No value found at {path}"));
    let secret = answer.ok_or_else(nothing)?;
    if secret.data.is_none() {
        return if beside { call.ui.show_secret(&secret) } else { Err(nothing()) };
    }
    if !has_keys {
        return Err(failed(format!("No entries found at {path}")));
    }
    call.ui.show_list(&secret)
}

fn unwrap(call: &mut Call<'_>) -> Outcome {
    let got = call.arguments.len();
    if got > 1 {
        return Err(wrong(format!("Too many arguments (expected 0-1, got {got})")));
    }
    let mut client = call.client()?;
    let token = call.argument(0).to_owned();
    let mut body = Value::Null;
    if !token.is_empty() {
        match client.token().map(Hidden::expose) {
            None => client.set_token(Some(Hidden::new(token))),
            Some(own) if *own == token => {}
            Some(_) => body = json!({"token": token}),
        }
    }
    let answered = client.ask(&Ask::put("sys/wrapping/unwrap", body)).map_err(refused("Error unwrapping"))?;
    let answer = match answered.status {
        StatusCode::NO_CONTENT => None,
        _ => Secret::read(&answered.body).map_err(|why| failed(format!("Error unwrapping: {why}")))?,
    };
    let Some(secret) = answer else {
        call.say_in_table("Successfully unwrapped. There was no data in the wrapped secret.");
        return Ok(0);
    };
    if secret.keys().is_some() && !call.flags.has("field") {
        return call.ui.show_list(&secret);
    }
    call.show(Some(&secret), "")
}

fn path_help(call: &mut Call<'_>) -> Outcome {
    call.count(1)?;
    let path = call.path(0);
    let help = call.client()?.json(&Ask::get(&path).with("help", "1"));
    let help = help.map_err(|error| {
        let sealed = error.to_string().contains("Vault is sealed");
        match sealed {
            true => failed(SEALED),
            false => refused("Error retrieving help")(error),
        }
    })?;
    let text = match call.ui.format {
        Format::Json => crate::values::json_line(help.get("openapi").unwrap_or(&Value::Null)),
        _ => help.get("help").and_then(Value::as_str).unwrap_or_default().to_owned(),
    };
    call.ui.say(&text);
    Ok(0)
}
