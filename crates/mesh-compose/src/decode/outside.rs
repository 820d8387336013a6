//! `x-mesh`: how a service is probed from outside of its containers, and how ports are published.

use super::{entries, number, project::source, text, texts};
use crate::{context::Context, node::Node, value};
use mesh_model::{
    health::{HealthSettings, HealthTest, Healthcheck},
    probe::{HttpQuestion, OutsideTest, Question},
    project::{FileSource, Ports, Publishing},
};
use std::{collections::BTreeMap, time::Duration};

/// What can be asked; a probe asks one of them.
const KINDS: [&str; 5] = ["http", "tcp", "grpc", "postgres", "redis"];
/// Statuses of HTTP that pass where the file names none.
const STATUSES: (u16, u16) = (200, 399);

/// `x-mesh.ports` at the top.
pub(super) fn publishing(tree: &Node) -> Publishing {
    let in_file = match tree.at_path(&["x-mesh", "ports"]).and_then(Node::as_text) {
        Some("auto") => Some(Ports::Auto),
        Some("file") => Some(Ports::File),
        _ => None,
    };
    Publishing { in_file, ..Publishing::default() }
}

/// The health check that `x-mesh.probe` of a service asks for. `healthcheck` is for other tools then; its times hold
/// where the probe says none.
pub(super) fn healthcheck(
    tree: &Node,
    service: &Node,
    environment: &BTreeMap<String, String>,
    cx: &mut Context,
) -> Option<Healthcheck> {
    let node = service.at_path(&["x-mesh", "probe"])?;
    let test = test(tree, node, environment, cx)?;
    if service.get("network_mode").and_then(Node::as_text) == Some("none") {
        let hint = "give it a network, or test it with `healthcheck` inside of its container";
        let message = format!("service `{}` has no network to probe it over", cx.service);
        cx.error_with_hint(node.at, "probe", message, hint);
    }
    let other = service.get("healthcheck");
    let said = |key: &str| node.get(key).or_else(|| other?.get(key));
    let time = |key: &str| -> Option<Duration> { value::duration(&said(key)?.scalar()?) };
    Some(Healthcheck::Set(HealthSettings {
        test: Some(HealthTest::Outside(Box::new(test))),
        interval: time("interval").filter(|time| !time.is_zero()),
        timeout: time("timeout").filter(|time| !time.is_zero()),
        retries: number(said("retries")),
        start_period: time("start_period"),
        start_interval: time("start_interval").filter(|time| !time.is_zero()),
    }))
}

fn test(
    tree: &Node,
    node: &Node,
    environment: &BTreeMap<String, String>,
    cx: &mut Context,
) -> Option<OutsideTest> {
    let kinds: Vec<&str> = KINDS.into_iter().filter(|kind| node.get(kind).is_some()).collect();
    let [kind] = kinds.as_slice() else {
        let found = if kinds.is_empty() { "none".to_owned() } else { kinds.join(" and ") };
        let message = format!("`x-mesh.probe` of service `{}` has {found} of its kinds", cx.service);
        cx.error_with_hint(node.at, "probe", message, format!("it is one of {}", KINDS.join(", ")));
        return None;
    };
    let asked = node.get(kind)?;
    let (port, question) = match *kind {
        "http" => {
            let http = http(asked, cx)?;
            (if http.tls { 443 } else { 80 }, Question::Http(http))
        }
        "tcp" => (0, Question::Tcp),
        "grpc" => (0, Question::Grpc { service: text(asked, "service").unwrap_or_default() }),
        "postgres" => {
            let user = plain(asked, "user", cx).unwrap_or_else(|| "postgres".to_owned());
            let database = plain(asked, "database", cx).unwrap_or_else(|| user.clone());
            let password = match asked.get("password") {
                Some(node) => Some(password(tree, node, environment, cx)?),
                None => None,
            };
            (5432, Question::Postgres { user, database, password })
        }
        _ => {
            let password = match asked.get("password") {
                Some(node) => Some(password(tree, node, environment, cx)?),
                None => None,
            };
            (6379, Question::Redis { user: plain(asked, "user", cx), password })
        }
    };
    let port = number(Some(asked)).or_else(|| number(asked.get("port"))).unwrap_or(port);
    Some(OutsideTest { port, question })
}

/// A text without the byte that ends texts on the wire.
fn plain(node: &Node, key: &str, cx: &mut Context) -> Option<String> {
    let found = text(node, key)?;
    if found.contains('\0') {
        let at = node.get(key).map(|node| node.at).unwrap_or_default();
        cx.error(at, "bad-value", format!("`{key}` holds a NUL"));
    }
    Some(found)
}

fn http(node: &Node, cx: &mut Context) -> Option<HttpQuestion> {
    let mut refused = false;
    let mut check = |key: &str, fits: &dyn Fn(&str) -> bool, wanted: &str| {
        let Some(found) = node.get(key) else { return };
        if !found.scalar().is_some_and(|text| fits(&text)) {
            refused = true;
            cx.error(found.at, "bad-value", format!("`{key}` of an http probe must be {wanted}"));
        }
    };
    check("method", &|text| is_token(text), "a method such as GET");
    check("path", &is_path, "a path such as /health, with what is special in it as %20");
    check("status", &|text| statuses(text).is_some(), "a status or a range of them, such as 200-299");
    for (name, entry) in entries(node.get("headers")) {
        let sound = |text: &str| text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if !is_token(name) || !entry.scalar().is_some_and(|text| sound(&text)) {
            refused = true;
            cx.error(entry.at, "bad-value", format!("header `{name}` cannot be sent"));
        }
    }
    if refused {
        return None;
    }
    let (status_min, status_max) = text(node, "status").and_then(|text| statuses(&text)).unwrap_or(STATUSES);
    Some(HttpQuestion {
        tls: text(node, "scheme").is_some_and(|scheme| scheme == "https"),
        method: text(node, "method").map_or_else(|| "GET".to_owned(), |method| method.to_ascii_uppercase()),
        path: text(node, "path").unwrap_or_else(|| "/".to_owned()),
        headers: texts(node.get("headers")),
        status_min,
        status_max,
        contains: text(node, "contains").filter(|text| !text.is_empty()),
    })
}

/// `200`, `200-299`.
fn statuses(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let status = |text: &str| text.trim().parse().ok().filter(|status| (100..=599).contains(status));
    let range = (status(first)?, status(last)?);
    (range.0 <= range.1).then_some(range)
}

/// What HTTP calls a token: methods and names of headers are.
fn is_token(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(fits)
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

/// Where a password is: `{secret: NAME}` of the project, or `{environment: VARIABLE}`. Where it stands in the
/// file itself it is not repeated.
fn password(
    tree: &Node,
    node: &Node,
    environment: &BTreeMap<String, String>,
    cx: &mut Context,
) -> Option<FileSource> {
    const WAYS: &str = "write `password: {secret: NAME}` for a secret of the project, or `password: \
                        {environment: VARIABLE}`; it is not written into the file itself";
    let single = node.as_map().is_some_and(|map| map.len() == 1);
    let secret = node.get("secret").and_then(Node::scalar).filter(|_| single);
    let variable = node.get("environment").and_then(Node::scalar).filter(|_| single);
    let found = match (secret, variable) {
        (Some(key), _) => {
            let Some(declared) = tree.at_path(&["secrets", &key]) else {
                let message = format!("the probe's password is secret `{key}`, which is not declared");
                cx.error_with_hint(
                    node.at,
                    "unknown-secret",
                    message,
                    "declare it under `secrets` at the top",
                );
                return None;
            };
            let users = [cx.service.clone()];
            source(("secrets", &key), declared, &users, environment, cx)
        }
        (None, Some(name)) => match environment.get(&name) {
            Some(value) => Some(FileSource::Content(mesh_redact::Secret::new(value.clone()))),
            None => {
                let message = format!("the probe's password is in {name}, which is not set");
                let hint = format!("set {name} in the environment or in a `.env` file");
                cx.error_with_hint(node.at, "variable-missing", message, hint);
                None
            }
        },
        (None, None) => {
            cx.error_with_hint(node.at, "bad-value", "the probe's password is not named", WAYS);
            None
        }
    };
    if let Some(FileSource::External(name)) = &found {
        let message = format!("secret `{name}` is external, and cannot be read for the probe");
        cx.error_with_hint(node.at, "unsupported", message, "declare it with `file` or `environment`");
        return None;
    }
    found
}
