//! `kv metadata get`, `put`, `patch`, `delete`.

use super::{MOUNT, head_of, only_versioned, place::Place, show_part, show_path};
use crate::{
    client::{Ask, Client},
    command::{Call, Command, Fault, Outcome, Output, failed, refused},
    flags::{Flag, Kind, flag},
    ui::Format,
};
use serde_json::{Map, Value, json};

const SETTINGS: &[Flag] = &[
    MOUNT,
    flag(&["max-versions"], Kind::Number, "How many versions are kept."),
    flag(&["cas-required"], Kind::Switch, "Whether writes have to say which version they replace."),
    flag(&["delete-version-after"], Kind::Time, "How long a version lives."),
    flag(&["custom-metadata"], Kind::Pairs, "A note, key=value."),
    flag(&["remove-custom-metadata"], Kind::List, "A note to take away; of patch."),
];

pub(in super::super) const METADATA: &[Command] = &[
    Command {
        words: &["kv", "metadata", "get"],
        arguments: "PATH",
        summary: "Retrieves key metadata from the KV store",
        output: Output::FormatAndField,
        flags: &[MOUNT],
        run: get,
    },
    Command {
        words: &["kv", "metadata", "put"],
        arguments: "PATH",
        summary: "Sets or updates key settings in the KV store",
        output: Output::FormatAndField,
        flags: SETTINGS,
        run: |call| set(call, false),
    },
    Command {
        words: &["kv", "metadata", "patch"],
        arguments: "PATH",
        summary: "Patches key settings in the KV store",
        output: Output::FormatAndField,
        flags: SETTINGS,
        run: |call| set(call, true),
    },
    Command {
        words: &["kv", "metadata", "delete"],
        arguments: "PATH",
        summary: "Deletes all versions and metadata for a key in the KV store",
        output: Output::FormatAndField,
        flags: &[MOUNT],
        run: delete,
    },
];

fn find(call: &Call<'_>) -> Result<(Client, String), Fault> {
    call.count(1)?;
    let mut client = call.client()?;
    let place = Place::find(call, &mut client, &call.path(0))?;
    only_versioned(&place, "Metadata not supported on KV Version 1", 1)?;
    Ok((client, place.path("metadata")))
}

fn get(call: &mut Call<'_>) -> Outcome {
    let (client, path) = find(call)?;
    let answer = client.answer(&Ask::get(&path)).map_err(refused(format!("Error reading {path}")))?;
    let nothing = || failed(format!("No value found at {path}"));
    let secret = answer.ok_or_else(nothing)?;
    if call.flags.has("field") || secret.wrap_info.is_some() || call.ui.format != Format::Table {
        return call.show(Some(&secret), "");
    }
    let mut data = secret.data.clone().unwrap_or_default();
    let Some(Value::Object(versions)) = data.shift_remove("versions") else { return Err(nothing()) };
    show_path(call, &path, "Metadata Path");
    call.ui.show_warnings(&secret);
    show_part(call, "Metadata", &data);
    let mut numbers: Vec<(u64, &Map<String, Value>)> = Vec::new();
    for (key, version) in &versions {
        let number = key.parse().map_err(|_| failed(format!("Error parsing version {key}")))?;
        numbers.extend(version.as_object().map(|version| (number, version)));
    }
    numbers.sort_by_key(|(number, _)| *number);
    for (number, version) in numbers {
        call.ui.say(&format!("\n{}", head_of(&format!("Version {number}"), version)));
        call.ui.show_map(version)?;
    }
    Ok(0)
}

fn set(call: &mut Call<'_>, patch: bool) -> Outcome {
    let (client, path) = find(call)?;
    let mut data = Map::new();
    let mut add = |key: &str, value: Value| data.insert(key.to_owned(), value);
    if let Some(versions) = call.flags.number("max-versions").filter(|count| *count >= 0) {
        add("max_versions", json!(versions));
    }
    if call.flags.has("cas-required") {
        add("cas_required", json!(call.flags.is("cas-required")));
    }
    if let Some(time) = call.flags.time("delete-version-after").filter(|time| !time.is_negative()) {
        add("delete_version_after", json!(time.to_string()));
    }
    let mut notes: Map<String, Value> =
        call.flags.pairs("custom-metadata").into_iter().map(|(key, value)| (key, json!(value))).collect();
    if patch {
        notes.extend(call.flags.list("remove-custom-metadata").into_iter().map(|key| (key, Value::Null)));
    }
    if patch || !notes.is_empty() {
        add("custom_metadata", Value::Object(notes));
    }
    let ask = if patch { Ask::patch } else { Ask::put };
    let answer = client.answer(&ask(&path, Value::Object(data)));
    let answer = answer.map_err(refused(format!("Error writing data to {path}")))?;
    call.show(answer.as_ref(), &format!("Success! Data written to: {path}"))
}

fn delete(call: &mut Call<'_>) -> Outcome {
    let (client, path) = find(call)?;
    client.answer(&Ask::delete(&path)).map_err(refused(format!("Error deleting {path}")))?;
    call.ui.say(&format!("Success! Data deleted (if it existed) at: {path}"));
    Ok(0)
}
