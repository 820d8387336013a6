//! `secrets` and `auth`: `list`, `enable`, `disable`, `tune`, `move`. A mount is a mount; what differs is words.

use crate::{
    client::Ask,
    command::{Call, Command, Outcome, Output, failed, refused, with_slash},
    duration::Duration,
    flags::{Flag, Kind, flag},
    table::table,
    ui::Format,
    values::{is_empty, object, plain},
};
use serde_json::{Map, Value, json};
use std::{thread, time};

/// How often it is looked whether a mount has moved.
const MOVE_LOOK: time::Duration = time::Duration::from_secs(1);
/// How often at most.
const MOVE_LOOKS_MAX: u32 = 3600;

const LIST: &[Flag] = &[flag(&["detailed"], Kind::Switch, "Print more of each mount.")];

const ENABLE: &[Flag] = &[
    flag(&["description"], Kind::Text, "What it is for."),
    flag(&["path"], Kind::Text, "Where it is mounted; the name of its type."),
    flag(&["default-lease-ttl"], Kind::Time, "Default life of leases and tokens."),
    flag(&["max-lease-ttl"], Kind::Time, "Longest life of leases and tokens."),
    flag(&["audit-non-hmac-request-keys"], Kind::List, "Keys of requests that are audited as they are."),
    flag(&["audit-non-hmac-response-keys"], Kind::List, "Keys of answers that are audited as they are."),
    flag(&["listing-visibility"], Kind::Text, "unauth or hidden."),
    flag(&["passthrough-request-headers"], Kind::List, "Headers of requests that are passed on."),
    flag(&["allowed-response-headers"], Kind::List, "Headers that answers may have."),
    flag(&["token-type"], Kind::Text, "Kind of tokens of an auth method."),
    flag(&["force-no-cache"], Kind::Switch, "Cache nothing of it."),
    flag(&["plugin-name"], Kind::Text, "Name of the plugin, of type plugin."),
    flag(&["plugin-version"], Kind::Text, "Version of the plugin."),
    flag(&["options"], Kind::Pairs, "An option, key=value."),
    flag(&["local"], Kind::Switch, "It is not replicated."),
    flag(&["seal-wrap"], Kind::Switch, "What is critical in it is wrapped by the seal."),
    flag(&["external-entropy-access"], Kind::Switch, "It takes randomness from outside."),
    flag(&["version"], Kind::Number, "Version of the engine, of kv 1 or 2."),
];

pub(super) const COMMANDS: &[Command] = &[
    Command {
        words: &["secrets", "list"],
        arguments: "",
        summary: "List enabled secrets engines",
        output: Output::Format,
        flags: LIST,
        run: |call| list(call, &SECRETS),
    },
    Command {
        words: &["auth", "list"],
        arguments: "",
        summary: "Lists enabled auth methods",
        output: Output::Format,
        flags: LIST,
        run: |call| list(call, &AUTH),
    },
    Command {
        words: &["secrets", "enable"],
        arguments: "TYPE",
        summary: "Enable a secrets engine",
        output: Output::No,
        flags: ENABLE,
        run: |call| enable(call, &SECRETS),
    },
    Command {
        words: &["auth", "enable"],
        arguments: "TYPE",
        summary: "Enables a new auth method",
        output: Output::No,
        flags: ENABLE,
        run: |call| enable(call, &AUTH),
    },
    Command {
        words: &["secrets", "disable"],
        arguments: "PATH",
        summary: "Disable a secrets engine",
        output: Output::No,
        flags: &[],
        run: |call| disable(call, &SECRETS),
    },
    Command {
        words: &["auth", "disable"],
        arguments: "PATH",
        summary: "Disables an auth method",
        output: Output::No,
        flags: &[],
        run: |call| disable(call, &AUTH),
    },
    Command {
        words: &["secrets", "tune"],
        arguments: "PATH",
        summary: "Tune a secrets engine configuration",
        output: Output::No,
        flags: ENABLE,
        run: |call| tune(call, &SECRETS),
    },
    Command {
        words: &["auth", "tune"],
        arguments: "PATH",
        summary: "Tunes an auth method configuration",
        output: Output::No,
        flags: ENABLE,
        run: |call| tune(call, &AUTH),
    },
    Command {
        words: &["secrets", "move"],
        arguments: "SOURCE DESTINATION",
        summary: "Move a secrets engine to a new path",
        output: Output::No,
        flags: &[],
        run: |call| relocate(call, &SECRETS, ""),
    },
    Command {
        words: &["auth", "move"],
        arguments: "SOURCE DESTINATION",
        summary: "Move an auth method to a new path",
        output: Output::No,
        flags: &[],
        run: |call| relocate(call, &AUTH, "auth/"),
    },
];

/// The words for one kind of mounts.
struct Words {
    api: &'static str,
    noun: &'static str,
    /// What failed when they were listed.
    listing: &'static str,
    is_auth: bool,
}

const SECRETS: Words =
    Words { api: "sys/mounts", noun: "secrets engine", listing: "secrets engines", is_auth: false };
const AUTH: Words =
    Words { api: "sys/auth", noun: "auth method", listing: "enabled authentications", is_auth: true };

fn list(call: &mut Call<'_>, words: &Words) -> Outcome {
    call.count(0)?;
    let answer = call.client()?.answer(&Ask::get(words.api));
    let answer = answer.map_err(refused(format!("Error listing {}", words.listing)))?;
    let mounts = answer.and_then(|secret| secret.data);
    let mounts = mounts.ok_or_else(|| {
        failed(format!("Error listing {}: data from server response is empty", words.listing))
    })?;
    let mounts: Map<String, Value> = mounts
        .iter()
        .filter(|(_, mount)| mount.is_object())
        .map(|(path, it)| (path.clone(), output(it)))
        .collect();
    if call.ui.format != Format::Table {
        return call.ui.show_map(&mounts);
    }
    let mut rows = vec![heads(words, call.flags.is("detailed"))];
    for (path, mount) in &mounts {
        rows.push(if call.flags.is("detailed") {
            detailed(words, path, mount)
        } else {
            simple(words, path, mount)
        });
    }
    call.ui.say(&table(&rows));
    Ok(0)
}

fn heads(words: &Words, detailed: bool) -> Vec<String> {
    let heads = match (detailed, words.is_auth) {
        (false, false) => "Path|Type|Accessor|Description",
        (false, true) => "Path|Type|Accessor|Description|Version",
        (true, false) => {
            "Path|Plugin|Accessor|Default TTL|Max TTL|Force No Cache|Replication|Seal Wrap|External Entropy \
             Access|Options|Description|UUID|Version|Running Version|Running SHA256|Deprecation Status"
        }
        (true, true) => {
            "Path|Plugin|Accessor|Default TTL|Max TTL|Token Type|Replication|Seal Wrap|External Entropy \
             Access|Options|Description|UUID|Version|Running Version|Running SHA256|Deprecation Status"
        }
    };
    heads.split('|').map(str::to_owned).collect()
}

fn text(mount: &Value, key: &str) -> String {
    mount.get(key).filter(|value| !value.is_null()).map(plain).unwrap_or_default()
}

fn simple(words: &Words, path: &str, mount: &Value) -> Vec<String> {
    let mut row = vec![path.to_owned()];
    row.extend(["type", "accessor", "description"].map(|key| text(mount, key)));
    if words.is_auth {
        row.push(text(mount, "plugin_version"));
    }
    row
}

fn detailed(words: &Words, path: &str, mount: &Value) -> Vec<String> {
    let kind = text(mount, "type");
    let config = mount.get("config").cloned().unwrap_or_default();
    let ttl = |key: &str| match config.get(key).and_then(Value::as_i64).unwrap_or(0) {
        _ if kind == "system" || kind == "cubbyhole" => String::new(),
        0 => "system".to_owned(),
        seconds => seconds.to_string(),
    };
    let third = if words.is_auth { text(&config, "token_type") } else { text(&config, "force_no_cache") };
    let local = mount.get("local").and_then(Value::as_bool).unwrap_or(false);
    let options = mount.get("options").filter(|options| !options.is_null()).map_or("map[]".to_owned(), plain);
    let mut row = vec![
        path.to_owned(),
        kind.clone(),
        text(mount, "accessor"),
        ttl("default_lease_ttl"),
        ttl("max_lease_ttl"),
        third,
        if local { "local" } else { "replicated" }.to_owned(),
        text(mount, "seal_wrap"),
        text(mount, "external_entropy_access"),
        options,
    ];
    let rest = [
        "description",
        "uuid",
        "plugin_version",
        "running_plugin_version",
        "running_sha256",
        "deprecation_status",
    ];
    row.extend(rest.map(|key| text(mount, key)));
    row
}

/// A mount as Vault's own client writes it.
fn output(mount: &Value) -> Value {
    let field =
        |key: &str, other: Value| mount.get(key).filter(|value| !value.is_null()).cloned().unwrap_or(other);
    let empty = Value::Object(Map::new());
    object([
        ("uuid", field("uuid", json!(""))),
        ("type", field("type", json!(""))),
        ("description", field("description", json!(""))),
        ("accessor", field("accessor", json!(""))),
        ("config", config(mount.get("config").unwrap_or(&empty))),
        ("options", field("options", Value::Null)),
        ("local", field("local", json!(false))),
        ("seal_wrap", field("seal_wrap", json!(false))),
        ("external_entropy_access", field("external_entropy_access", json!(false))),
        ("plugin_version", field("plugin_version", json!(""))),
        ("running_plugin_version", field("running_plugin_version", json!(""))),
        ("running_sha256", field("running_sha256", json!(""))),
        ("deprecation_status", field("deprecation_status", json!(""))),
    ])
}

fn config(config: &Value) -> Value {
    let field =
        |key: &str, other: Value| config.get(key).filter(|value| !value.is_null()).cloned().unwrap_or(other);
    let mut shown = Map::new();
    for key in ["default_lease_ttl", "max_lease_ttl"] {
        shown.insert(key.to_owned(), field(key, json!(0)));
    }
    shown.insert("force_no_cache".to_owned(), field("force_no_cache", json!(false)));
    for key in [
        "audit_non_hmac_request_keys",
        "audit_non_hmac_response_keys",
        "listing_visibility",
        "passthrough_request_headers",
        "allowed_response_headers",
        "token_type",
        "allowed_managed_keys",
        "user_lockout_config",
    ] {
        let value = field(key, Value::Null);
        if !is_empty(&value) {
            shown.insert(key.to_owned(), value);
        }
    }
    Value::Object(shown)
}

fn enable(call: &mut Call<'_>, words: &Words) -> Outcome {
    call.count(1)?;
    let client = call.client()?;
    let plugin = call.flags.text("plugin-name").unwrap_or_default().to_owned();
    let kind = match call.argument(0) {
        "plugin" => plugin,
        kind => kind.to_owned(),
    };
    let path = with_slash(call.flags.text("path").unwrap_or(&kind));
    let time = |name: &str| call.flags.time(name).unwrap_or_default().to_string();
    let mut config = Map::new();
    config.insert("options".to_owned(), Value::Null);
    config.insert("default_lease_ttl".to_owned(), json!(time("default-lease-ttl")));
    config.insert("max_lease_ttl".to_owned(), json!(time("max-lease-ttl")));
    config.insert("force_no_cache".to_owned(), json!(call.flags.is("force-no-cache")));
    given(call, &mut config);
    let body = object([
        ("type", json!(kind)),
        ("description", json!(call.flags.text("description").unwrap_or_default())),
        ("config", Value::Object(config)),
        ("local", json!(call.flags.is("local"))),
        ("seal_wrap", json!(call.flags.is("seal-wrap"))),
        ("external_entropy_access", json!(call.flags.is("external-entropy-access"))),
        ("options", options(call)),
    ]);
    let attempt =
        if words.is_auth { format!("Error enabling {kind} auth") } else { "Error enabling".to_owned() };
    let api = format!("{}/{path}", words.api);
    client.ask(&Ask::post(&api, body)).map_err(refused(attempt))?;
    let version = call.flags.text("plugin-version").map(|it| format!(" version {it}")).unwrap_or_default();
    let the = if words.is_auth { "" } else { "the " };
    call.ui.say(&format!("Success! Enabled {the}{kind} {}{version} at: {path}", words.noun));
    Ok(0)
}

/// Options, with the version among them.
fn options(call: &Call<'_>) -> Value {
    let mut options = call.flags.pairs("options");
    if let Some(version) = call.flags.number("version").filter(|version| *version > 0) {
        options.insert("version".to_owned(), version.to_string());
    }
    if options.is_empty() { Value::Null } else { json!(options) }
}

/// What is sent only where it was given.
fn given(call: &Call<'_>, config: &mut Map<String, Value>) {
    for (name, key) in [
        ("audit-non-hmac-request-keys", "audit_non_hmac_request_keys"),
        ("audit-non-hmac-response-keys", "audit_non_hmac_response_keys"),
        ("passthrough-request-headers", "passthrough_request_headers"),
        ("allowed-response-headers", "allowed_response_headers"),
    ] {
        if call.flags.has(name) {
            config.insert(key.to_owned(), json!(call.flags.list(name)));
        }
    }
    for (name, key) in [
        ("listing-visibility", "listing_visibility"),
        ("token-type", "token_type"),
        ("plugin-version", "plugin_version"),
    ] {
        if let Some(value) = call.flags.text(name) {
            config.insert(key.to_owned(), json!(value));
        }
    }
}

fn disable(call: &mut Call<'_>, words: &Words) -> Outcome {
    call.count(1)?;
    let path = call.mount(0);
    let api = format!("{}/{path}", words.api);
    let noun = words.noun;
    let attempt = format!("Error disabling {noun} at {path}");
    call.ask_and_say(
        &Ask::delete(&api),
        &attempt,
        &format!("Success! Disabled the {noun} (if it existed) at: {path}"),
    )
}

fn tune(call: &mut Call<'_>, words: &Words) -> Outcome {
    call.count(1)?;
    let client = call.client()?;
    let path = call.mount(0);
    // 0 leaves it as it is, what is below 0 puts it back to the system's.
    let time = |name: &str| match call.flags.time(name).unwrap_or_default() {
        time if time.is_zero() => String::new(),
        time if Duration::is_negative(time) => "system".to_owned(),
        time => time.to_string(),
    };
    let mut body = Map::new();
    body.insert("options".to_owned(), options(call));
    body.insert("default_lease_ttl".to_owned(), json!(time("default-lease-ttl")));
    body.insert("max_lease_ttl".to_owned(), json!(time("max-lease-ttl")));
    body.insert("force_no_cache".to_owned(), json!(false));
    if call.flags.has("description") {
        body.insert("description".to_owned(), json!(call.flags.text("description").unwrap_or_default()));
    }
    given(call, &mut body);
    let auth = if words.is_auth { "auth/" } else { "" };
    let api = format!("sys/mounts/{auth}{path}tune");
    let noun = words.noun;
    client
        .ask(&Ask::post(&api, Value::Object(body)))
        .map_err(refused(format!("Error tuning {noun} {path}")))?;
    call.ui.say(&format!("Success! Tuned the {noun} at: {path}"));
    Ok(0)
}

fn relocate(call: &mut Call<'_>, words: &Words, prefix: &str) -> Outcome {
    call.count(2)?;
    let (from, to) = (with_slash(call.argument(0)), with_slash(call.argument(1)));
    let client = call.client()?;
    let noun = words.noun;
    let body = json!({"from": format!("{prefix}{from}"), "to": format!("{prefix}{to}")});
    let answer = client.answer(&Ask::post("sys/remount", body));
    let answer = answer.map_err(refused(format!("Error moving {noun} {from} to {to}")))?;
    let id = answer.as_ref().and_then(|secret| secret.get("migration_id")).map(plain);
    let id = id.ok_or_else(|| failed("data from server response is empty"))?;
    call.ui.say(&format!("Started moving {noun} {from} to {to}, with migration ID {id}"));
    let api = format!("sys/remount/status/{id}");
    for _ in 0..MOVE_LOOKS_MAX {
        let attempt = format!("Error checking migration status of {noun} {from} to {to}");
        let answer = client.answer(&Ask::get(&api)).map_err(refused(attempt))?;
        let info = answer.and_then(|secret| secret.part("migration_info").cloned()).unwrap_or_default();
        match info.get("status").and_then(Value::as_str) {
            Some("success") => {
                call.ui
                    .say(&format!("Success! Finished moving {noun} {from} to {to}, with migration ID {id}"));
                return Ok(0);
            }
            Some("failure") => {
                return Err(failed(format!(
                    "Failure! Error encountered moving {noun} {from} to {to}, with migration ID {id}"
                )));
            }
            _ => {}
        }
        call.ui.say(&format!(
            "Waiting for terminal status in migration of {noun} {from} to {to}, with migration ID {id}"
        ));
        thread::sleep(MOVE_LOOK);
    }
    Err(failed(format!("{noun} {from} is still being moved to {to}, with migration ID {id}")))
}
