//! `kv put`, `patch`, `rollback`.

use super::{existing, only_versioned, place::Place, read, show_written};
use crate::{
    client::{ApiError, Ask, Client},
    command::{Call, Fault, Outcome, failed, refused, wrong},
    data::parse,
    secret::Secret,
};
use serde_json::{Map, Value, json};

/// The data of the arguments behind the path.
fn data(call: &mut Call<'_>, enough: bool) -> Result<Map<String, Value>, Fault> {
    match call.arguments.len() {
        0 => return Err(wrong("Not enough arguments (expected >1, got 0)")),
        1 if !enough => return Err(wrong("Must supply data")),
        _ => {}
    }
    let arguments = call.arguments[1..].to_vec();
    parse(&mut call.ui, &arguments).map_err(|why| wrong(format!("Failed to parse K=V data: {why}")))
}

pub(super) fn put(call: &mut Call<'_>) -> Outcome {
    let data = data(call, false)?;
    let mut client = call.client()?;
    let argument = call.path(0);
    let place = Place::find(call, &mut client, &argument)?;
    let path = place.path("data");
    let body = match (place.versioned, call.flags.number("cas").filter(|cas| *cas > -1)) {
        (false, _) => Value::Object(data),
        (true, None) => json!({"data": data, "options": {}}),
        (true, Some(cas)) => json!({"data": data, "options": {"cas": cas}}),
    };
    let outcome = client.answer(&Ask::put(&path, body));
    let answer = super::super::logical::told(call, outcome, format!("Error writing data to {path}"))?;
    show_written(call, answer.as_ref(), &path)
}

pub(super) fn patch(call: &mut Call<'_>) -> Outcome {
    let removed = call.flags.list("remove-data");
    let mut data = data(call, !removed.is_empty())?;
    data.extend(removed.into_iter().map(|key| (key, Value::Null)));
    let mut client = call.client()?;
    let argument = call.path(0);
    let place = Place::find(call, &mut client, &argument)?;
    only_versioned(&place, "K/V engine mount must be version 2 for patch support", 2)?;
    let path = place.path("data");
    let method = call.flags.text("method").unwrap_or_default().to_owned();
    let answer = match method.as_str() {
        "rw" => read_then_write(call, &client, &path, &data)?,
        "" | "patch" => {
            let options = match call.flags.number("cas").filter(|cas| *cas > 0) {
                Some(cas) => json!({"cas": cas}),
                None => json!({}),
            };
            let body = json!({"data": data, "options": options});
            match client.answer(&Ask::patch(&path, body)) {
                Ok(answer) => answer,
                Err(error) if method.is_empty() && matches!(error.status(), Some(403 | 405)) => {
                    if error.status() == Some(403) {
                        call.ui.warn(&format!(
                            "Data was written to {path} but we recommend that you add the \"patch\" capability to \
                             your ACL policy in order to use HTTP PATCH in the future."
                        ));
                    }
                    read_then_write(call, &client, &path, &data)?
                }
                Err(error) => return Err(written(&path)(error)),
            }
        }
        other => return Err(failed(format!("Unsupported method provided to -method flag: {other}"))),
    };
    show_written(call, answer.as_ref(), &path)
}

fn written(path: &str) -> impl FnOnce(ApiError) -> Fault {
    refused(format!("Error writing data to {path}"))
}

/// What is there with the new data over it, unless somebody was faster.
fn read_then_write(
    _call: &mut Call<'_>,
    client: &Client,
    path: &str,
    new: &Map<String, Value>,
) -> Result<Option<Secret>, Fault> {
    let there = read(client, path, None).map_err(refused(format!("Error doing pre-read at {path}")))?;
    let (mut data, metadata) = existing(there, path, "patch")?;
    data.extend(new.clone());
    let body = json!({"data": data, "options": {"cas": metadata.get("version")}});
    client.answer(&Ask::put(path, body)).map_err(written(path))
}

pub(super) fn rollback(call: &mut Call<'_>) -> Outcome {
    let got = call.arguments.len();
    if got != 1 {
        return Err(wrong(format!("Invalid number of arguments (expected 1, got {got})")));
    }
    let version = call.flags.number("version").ok_or_else(|| wrong("Version flag must be specified"))?;
    if version <= 0 {
        return Err(wrong(format!("Invalid value {version} for the version flag")));
    }
    let mut client = call.client()?;
    let argument = call.path(0);
    let place = Place::find(call, &mut client, &argument)?;
    only_versioned(&place, "K/V engine mount must be version 2 for rollback support", 2)?;
    let path = place.path("data");
    let attempt = || refused(format!("Error doing pre-read at {path}"));
    let newest = read(&client, &path, None).map_err(attempt())?;
    let newest = newest.filter(|secret| secret.data.is_some());
    let newest = newest.ok_or_else(|| failed(format!("No value found at {path}")))?;
    let current = newest.part("metadata").and_then(|metadata| metadata.get("version")).cloned();
    let current = current.ok_or_else(|| {
        failed(format!("No metadata found at {path}; rollback only works on existing data"))
    })?;
    let there = read(&client, &path, Some(version)).map_err(attempt())?;
    let (data, _) = existing(there, &path, "rollback")?;
    let body = json!({"data": data, "options": {"cas": current}});
    let answer = client.answer(&Ask::put(&path, body)).map_err(written(&path))?;
    call.show(answer.as_ref(), &format!("Success! Data written to: {path}"))
}
