//! `kv`: the same words for version 1 and 2 of the engine; which of them it is, is asked first.

mod metadata;
mod place;
mod versions;
mod write;

pub(super) use metadata::METADATA;

use super::logical::listed;
use crate::{
    client::{ApiError, Ask, Client},
    command::{Call, Command, Fault, Outcome, Output, failed, refused, wrong},
    flags::{Flag, Kind, flag},
    secret::{Secret, map_table},
    ui::Format,
    values::plain,
};
use place::Place;
use serde_json::{Map, Value};

const MOUNT: Flag = flag(&["mount"], Kind::Text, "Where the engine is mounted; the path is below it then.");
const GET: &[Flag] = &[MOUNT, flag(&["version"], Kind::Number, "Which version; the newest.")];
const PUT: &[Flag] =
    &[MOUNT, flag(&["cas"], Kind::Number, "Only where this is the version that is there; 0: none is.")];
const PATCH: &[Flag] = &[
    MOUNT,
    PUT[1],
    flag(&["method"], Kind::Text, "patch, or rw: read, then write."),
    flag(&["remove-data"], Kind::List, "A key to take away."),
];
const VERSIONS: &[Flag] = &[MOUNT, flag(&["versions"], Kind::List, "Which versions.")];

pub(super) const COMMANDS: &[Command] = &[
    Command {
        words: &["kv", "get"],
        arguments: "PATH",
        summary: "Retrieves data from the KV store",
        output: Output::FormatAndField,
        flags: GET,
        run: get,
    },
    Command {
        words: &["kv", "put"],
        arguments: "PATH K=V...",
        summary: "Sets or updates data in the KV store",
        output: Output::FormatAndField,
        flags: PUT,
        run: write::put,
    },
    Command {
        words: &["kv", "patch"],
        arguments: "PATH K=V...",
        summary: "Sets or updates data in the KV store without overwriting",
        output: Output::FormatAndField,
        flags: PATCH,
        run: write::patch,
    },
    Command {
        words: &["kv", "list"],
        arguments: "PATH",
        summary: "List data or secrets",
        output: Output::FormatAndDetailed,
        flags: &[MOUNT],
        run: list,
    },
    Command {
        words: &["kv", "delete"],
        arguments: "PATH",
        summary: "Deletes versions in the KV store",
        output: Output::FormatAndField,
        flags: VERSIONS,
        run: versions::delete,
    },
    Command {
        words: &["kv", "undelete"],
        arguments: "PATH",
        summary: "Undeletes versions in the KV store",
        output: Output::FormatAndField,
        flags: VERSIONS,
        run: versions::undelete,
    },
    Command {
        words: &["kv", "destroy"],
        arguments: "PATH",
        summary: "Permanently removes one or more versions in the KV store",
        output: Output::FormatAndField,
        flags: VERSIONS,
        run: versions::destroy,
    },
    Command {
        words: &["kv", "rollback"],
        arguments: "PATH",
        summary: "Rolls back to a previous version of data",
        output: Output::FormatAndField,
        flags: GET,
        run: write::rollback,
    },
    Command {
        words: &["kv", "enable-versioning"],
        arguments: "PATH",
        summary: "Turns on versioning for a KV store",
        output: Output::No,
        flags: &[],
        run: versions::enable,
    },
];

/// Reads a secret; also what a server says of one that was deleted.
fn read(client: &Client, path: &str, version: Option<i64>) -> Result<Option<Secret>, ApiError> {
    let ask = Ask::get(path);
    client.answer(&match version {
        Some(version) => ask.with("version", &version.to_string()),
        None => ask,
    })
}

fn get(call: &mut Call<'_>) -> Outcome {
    call.count(1)?;
    let mut client = call.client()?;
    let argument = call.arguments[0].trim_start_matches('/').to_owned();
    let place = Place::find(call, &mut client, &argument)?;
    let path = place.path("data");
    let version = call.flags.number("version").filter(|version| place.versioned && *version > 0);
    let answer = read(&client, &path, version).map_err(refused(format!("Error reading {path}")))?;
    let secret = answer.ok_or_else(|| failed(format!("No value found at {path}")))?;
    if let Some(field) = call.flags.text("field").map(str::to_owned) {
        return get_field(call, &secret, &field, place.versioned, &path);
    }
    if secret.wrap_info.is_some() || call.ui.format != Format::Table {
        return call.ui.show_secret(&secret);
    }
    call.ui.show_warnings(&secret);
    let data = match place.versioned {
        true => {
            show_path(call, &path, "Secret Path");
            secret.part("data")
        }
        false => secret.data.as_ref(),
    };
    if let Some(metadata) = secret.part("metadata") {
        show_part(call, "Metadata", metadata);
        call.ui.say("");
    }
    if let Some(data) = data {
        show_part(call, "Data", data);
    }
    Ok(0)
}

fn get_field(call: &mut Call<'_>, secret: &Secret, field: &str, versioned: bool, path: &str) -> Outcome {
    if !versioned {
        return call.ui.show_field(secret, field);
    }
    let Some(data) = secret.part("data") else {
        return Err(failed(format!("No data found at {path}")));
    };
    // A field of that name goes before all of them.
    if field == "data" && !data.contains_key("data") {
        return call.ui.show_field(secret, field);
    }
    call.ui.show_field_of(data, field)
}

fn list(call: &mut Call<'_>) -> Outcome {
    if call.arguments.is_empty() && call.flags.text("mount").is_some() {
        call.arguments.push(String::new());
    }
    call.count(1)?;
    let mut client = call.client()?;
    let argument = call.path(0);
    let path = Place::find(call, &mut client, &argument)?.path("metadata");
    let answer = client.answer(&Ask::list(&path)).map_err(refused(format!("Error listing {path}")))?;
    listed(call, answer, &path, false)
}

/// A head with equal signs on both sides, so wide.
fn head(title: &str, width: usize) -> String {
    let signs = match width.saturating_sub(title.len() + 2) {
        0 => 4,
        signs => signs + signs % 2,
    };
    let side = "=".repeat(signs / 2);
    format!("{side} {title} {side}")
}

/// The path that something is at, under a head.
fn show_path(call: &mut Call<'_>, path: &str, title: &str) {
    call.ui.say(&format!("{}\n{path}\n", head(title, path.len())));
}

/// A head as wide as the table below it begins.
fn head_of(title: &str, map: &Map<String, Value>) -> String {
    let key = map.keys().map(String::len).max().unwrap_or(0);
    head(title, key + "    Value".len())
}

fn show_part(call: &mut Call<'_>, title: &str, map: &Map<String, Value>) {
    call.ui.say(&head_of(title, map));
    let table = map_table(map);
    if !table.is_empty() {
        call.ui.say(&table);
    }
}

/// What was written: its metadata, or what was asked for.
fn show_written(call: &mut Call<'_>, answer: Option<&Secret>, path: &str) -> Outcome {
    let Some(secret) = answer else {
        call.say_in_table(&format!("Success! Data written to: {path}"));
        return Ok(0);
    };
    if let Some(field) = call.flags.text("field").map(str::to_owned) {
        return call.ui.show_field(secret, &field);
    }
    if secret.is_wrapped() || call.ui.format != Format::Table {
        return call.ui.show_secret(secret);
    }
    show_path(call, path, "Secret Path");
    show_part(call, "Metadata", &secret.data.clone().unwrap_or_default());
    Ok(0)
}

/// Versions as the flags have them: each may hold several.
fn versions_of(call: &Call<'_>) -> Vec<String> {
    let given = call.flags.list("versions");
    let parts = given.iter().flat_map(|text| text.split(',')).map(str::trim);
    parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// Data and metadata.
type Existing = (Map<String, Value>, Map<String, Value>);

/// The data and the metadata of what is there, where it is of a kind that can be gone on from.
fn existing(secret: Option<Secret>, path: &str, verb: &str) -> Result<Existing, Fault> {
    let secret = secret.filter(|secret| secret.data.is_some());
    let secret = secret.ok_or_else(|| failed(format!("No value found at {path}")))?;
    let part = |key: &str| {
        let only = format!("found at {path}; {verb} only works on existing data");
        secret.part(key).cloned().ok_or_else(|| failed(format!("No {key} {only}")))
    };
    let metadata = part("metadata")?;
    if verb == "rollback" {
        if metadata.get("deletion_time").is_some_and(|time| !plain(time).is_empty() && !time.is_null()) {
            return Err(failed("Cannot roll back to a version that has been deleted"));
        }
        if metadata.get("destroyed") == Some(&Value::Bool(true)) {
            return Err(failed("Cannot roll back to a version that has been destroyed"));
        }
    }
    Ok((part("data")?, metadata))
}

/// For what version 1 cannot do.
fn only_versioned(place: &Place, text: &str, code: u8) -> Result<(), Fault> {
    match (place.versioned, code) {
        (true, _) => Ok(()),
        (false, 1) => Err(wrong(text)),
        (false, _) => Err(failed(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::head;

    #[test]
    fn heads_are_as_wide_as_what_is_below_them() {
        assert_eq!(head("Secret Path", "secret/data/foo".len()), "= Secret Path =");
        assert_eq!(head("Secret Path", 5), "== Secret Path ==");
        assert_eq!(head("Data", 9), "== Data ==");
        assert_eq!(head("Metadata", 24), "======= Metadata =======");
    }
}
