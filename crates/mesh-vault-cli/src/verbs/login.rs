//! `login`: by token, by name and password, by the ids of an AppRole.

use crate::{
    client::{Ask, Client},
    command::{Call, Command, Fault, Outcome, Output, failed, with_slash, wrong},
    data::{parse, texts},
    flags::{Flag, Kind, flag, truth},
    secret::Secret,
    ui::{Format, INTERRUPTED, wrapped},
    values::plain,
};
use mesh_redact::Secret as Hidden;
use serde_json::{Map, Value, json};

const FLAGS: &[Flag] = &[
    flag(&["method"], Kind::Text, "token, userpass or approle; token."),
    flag(&["path"], Kind::Text, "Where the method is mounted; its name."),
    flag(&["no-store"], Kind::Switch, "Do not keep the token."),
    flag(&["no-print"], Kind::Switch, "Do not print the token."),
    flag(&["token-only"], Kind::Switch, "Print the token alone, and do not keep it."),
];

pub(super) const COMMANDS: &[Command] = &[Command {
    words: &["login"],
    arguments: "[TOKEN | K=V...]",
    summary: "Authenticate locally",
    output: Output::FormatAndField,
    flags: FLAGS,
    run: login,
}];

/// How somebody logs in.
enum Method {
    Token,
    /// By name and password.
    Name,
    /// By the ids of an AppRole.
    Role,
}

fn login(call: &mut Call<'_>) -> Outcome {
    let token_only = call.flags.is("token-only");
    let no_store = token_only || call.flags.is("no-store");
    if no_store && call.flags.is("no-print") {
        return Err(wrong("-no-store and -no-print cannot be used together"));
    }
    let method = call.flags.text("method").unwrap_or("token").trim_matches('/').to_owned();
    let by = match method.as_str() {
        "token" => Method::Token,
        "userpass" => Method::Name,
        "approle" => Method::Role,
        other => {
            return Err(wrong(wrapped(&format!(
                "Unknown auth method: {other}. Use \"vault auth list\" to see the complete list of auth methods. \
                 Additionally, some auth methods are only available via the HTTP API."
            ))));
        }
    };
    let mount = call.flags.text("path").map_or_else(|| with_slash(&method), str::to_owned);
    let mut arguments = call.arguments.clone();
    if let Some(first) = arguments.first_mut().filter(|first| method == "token" && !first.contains('=')) {
        *first = format!("token={first}");
    }
    let data = parse(&mut call.ui, &arguments).and_then(texts);
    let data = data.map_err(|why| wrong(format!("Error parsing configuration: {why}")))?;
    let mut client = call.client_without_token()?;
    let outcome = match by {
        Method::Token => by_token(call, &mut client, &data),
        Method::Name => by_name(call, &client, &data, &mount),
        Method::Role => by_role(call, &client, &data, &mount),
    };
    let secret = outcome.map_err(|why| failed(format!("Error authenticating: {why}")))?;
    client.unwrapped();
    let secret = extracted(&mut client, secret, !no_store)?;
    if secret.auth.is_none() {
        return match token_only {
            true => call.ui.show_field(&secret, "wrapping_token"),
            false => call.ui.show_secret(&secret),
        };
    }
    keep(call, &secret, no_store, token_only)
}

/// Keeps the token, and shows what it is.
fn keep(call: &mut Call<'_>, secret: &Secret, no_store: bool, token_only: bool) -> Outcome {
    let token = secret.field("token").map(|token| plain(&token)).unwrap_or_default();
    if !no_store {
        if let Err(why) = call.environment.keep_token(&Hidden::new(token)) {
            call.ui.error(&format!("Error storing token: {why}"));
            call.ui.error(&format!("{}\n", wrapped(
                "Authentication was successful, but the token was not persisted. The resulting token is shown below \
                 for your records.",
            )));
            call.ui.show_secret(secret)?;
            return Ok(2);
        }
        if call.environment.text("VAULT_TOKEN").is_some() {
            call.ui.warn(&format!("{}\n", wrapped(
                "WARNING! The VAULT_TOKEN environment variable is set! The value of this variable will take \
                 precedence; if this is unwanted please unset VAULT_TOKEN or update its value accordingly.",
            )));
        }
    } else if !token_only {
        call.ui.warn(&format!("{}\n", wrapped(
            "The token was not stored in token helper. Set the VAULT_TOKEN environment variable or pass the token \
             below with each request to Vault.",
        )));
    }
    if call.flags.is("no-print") {
        return Ok(0);
    }
    let field =
        if token_only { Some("token".to_owned()) } else { call.flags.text("field").map(str::to_owned) };
    if let Some(field) = field {
        return call.ui.show_field(secret, &field);
    }
    if call.ui.format == Format::Table {
        call.ui.say(&format!("{}\n", wrapped(
            "Success! You are now authenticated. The token information displayed below is already stored in the \
             token helper. You do NOT need to run \"vault login\" again. Future Vault requests will automatically \
             use this token.",
        )));
    }
    call.ui.show_secret(secret)
}

/// The login itself, where it waits behind a token and is wanted at once.
fn extracted(client: &mut Client, secret: Secret, unwrap: bool) -> Result<Secret, Fault> {
    let wrong = |why: &str| failed(format!("Error extracting token: {why}"));
    if secret.auth.is_some() {
        return Ok(secret);
    }
    let Some(info) = &secret.wrap_info else { return Err(wrong("no auth or wrapping info in response")) };
    let text = |key: &str| info.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    if text("wrapped_accessor").is_empty() {
        return Err(wrong("wrapped response does not contain a token"));
    }
    if !unwrap {
        return Ok(secret);
    }
    client.set_token(Some(Hidden::new(text("token"))));
    let answer = client.answer(&Ask::put("sys/wrapping/unwrap", Value::Null));
    let answer = answer.map_err(|error| wrong(&error.to_string()))?;
    answer.filter(|secret| secret.auth.is_some()).ok_or_else(|| wrong("no auth or wrapping info in response"))
}

fn field(data: &Map<String, Value>, key: &str) -> String {
    data.get(key).map(plain).unwrap_or_default()
}

fn by_token(call: &mut Call<'_>, client: &mut Client, data: &Map<String, Value>) -> Result<Secret, String> {
    let looks = match data.get("lookup").map(plain) {
        None => true,
        Some(text) => truth(&text).ok_or("Failed to parse \"lookup\" as boolean: invalid syntax")?,
    };
    let token = match data.get("token") {
        Some(token) => plain(token),
        None if call.ui.quiet => return Err("'token' not supplied and refusing to pull from stdin".to_owned()),
        None => call.ui.ask("Token (will be hidden): ").map_err(|why| {
            if why == INTERRUPTED {
                return why;
            }
            format!(
                "An error occurred attempting to ask for a token. The raw error message is shown below, but usually \
                 this is because you attempted to pipe a value into the command or you are executing outside of a \
                 terminal (tty). If you want to pipe the value, pass \"-\" as the argument to read from stdin. The \
                 raw error was: {why}"
            )
        })?,
    };
    let token = token.trim().to_owned();
    if token.is_empty() {
        return Err("a token must be passed to auth, please view the help for more information".to_owned());
    }
    let mut auth = Map::new();
    auth.insert("client_token".to_owned(), json!(token));
    if !looks {
        return Ok(Secret { auth: Some(auth), ..Secret::default() });
    }
    client.set_token(Some(Hidden::new(token)));
    client.unwrapped();
    let answer = client.answer(&Ask::get("auth/token/lookup-self"));
    let answer = answer.map_err(|error| format!("error looking up token: {error}"))?;
    let found = answer.ok_or("empty response from lookup-self")?;
    let get = |key: &str, other: Value| found.get(key).cloned().unwrap_or(other);
    let policies = get("policies", Value::Null);
    let mut identity = get("identity_policies", Value::Null);
    if identity.as_array().is_some_and(Vec::is_empty) {
        identity = Value::Null;
    }
    let all = policies.as_array().into_iter().chain(identity.as_array()).flatten().cloned();
    let all: Vec<Value> = all.collect();
    for (key, value) in [
        ("client_token", get("id", json!(""))),
        ("accessor", get("accessor", json!(""))),
        ("policies", json!(all)),
        ("token_policies", policies),
        ("identity_policies", identity),
        ("metadata", get("meta", Value::Null)),
        ("lease_duration", get("ttl", json!(0))),
        ("renewable", get("renewable", json!(false))),
    ] {
        auth.insert(key.to_owned(), value);
    }
    Ok(Secret { auth: Some(auth), ..Secret::default() })
}

fn by_name(
    call: &mut Call<'_>,
    client: &Client,
    data: &Map<String, Value>,
    mount: &str,
) -> Result<Secret, String> {
    let (name, mut password) = (field(data, "username"), field(data, "password"));
    if name.is_empty() {
        return Err("'username' must be specified".to_owned());
    }
    if password.is_empty() {
        if call.ui.quiet {
            return Err("'password' must be specified and refusing to pull from stdin".to_owned());
        }
        password = call.ui.ask("Password (will be hidden): ")?;
    }
    at_mount(client, mount, data, &format!("login/{name}"), json!({"password": password}))
}

fn by_role(
    call: &mut Call<'_>,
    client: &Client,
    data: &Map<String, Value>,
    mount: &str,
) -> Result<Secret, String> {
    let (role, mut secret) = (field(data, "role_id"), field(data, "secret_id"));
    if role.is_empty() {
        return Err("'role_id' must be specified".to_owned());
    }
    // A role may do without one.
    if secret.is_empty() && !data.contains_key("secret_id") && !call.ui.quiet {
        secret = call.ui.ask("Secret ID (will be hidden): ")?;
    }
    let mut body = json!({"role_id": role});
    if !secret.is_empty() {
        body["secret_id"] = json!(secret);
    }
    at_mount(client, mount, data, "login", body)
}

fn at_mount(
    client: &Client,
    mount: &str,
    data: &Map<String, Value>,
    tail: &str,
    body: Value,
) -> Result<Secret, String> {
    let told = field(data, "mount");
    let mount = if told.is_empty() { mount } else { &told };
    let path = format!("auth/{}/{tail}", mount.trim_matches('/'));
    let answer = client.answer(&Ask::put(&path, body)).map_err(|error| error.to_string())?;
    answer.ok_or_else(|| "empty response from credential provider".to_owned())
}
