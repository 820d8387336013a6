//! `x-mesh.certificate`: what the containers of a service hold that expires, and how it is renewed.

use super::{list, text};
use crate::{
    context::Context,
    node::{Node, Value},
    value,
};
use mesh_model::{
    certificate::{Certificate, Reload},
    signal,
};
use std::collections::BTreeSet;

/// Whether it names a file from the container's root.
pub(crate) fn is_file(text: &str) -> bool {
    text.starts_with('/') && !text.ends_with('/') && !text.contains('\0')
}

/// Whether it is a signal's name or number.
pub(crate) fn is_signal(text: &str) -> bool {
    signal::number(text.trim()).is_some()
}

/// The certificates of a service, in their order.
pub(super) fn certificates(service: &Node, cx: &mut Context) -> Vec<Certificate> {
    let Some(node) = service.at_path(&["x-mesh", "certificate"]) else { return Vec::new() };
    let nodes = match &node.value {
        Value::List(nodes) => nodes.iter().collect(),
        _ => vec![node],
    };
    let mut files = BTreeSet::new();
    let mut found = Vec::new();
    for node in nodes {
        let Some(certificate) = certificate(node, cx) else { continue };
        if files.insert(certificate.file.clone()) {
            found.push(certificate);
        } else {
            let message = format!("certificate {} is there twice", certificate.file);
            cx.error(node.at, "bad-value", message);
        }
    }
    found
}

/// What the check of the schema reported is left out here.
fn certificate(node: &Node, cx: &mut Context) -> Option<Certificate> {
    let file = text(node, "file").filter(|file| is_file(file))?;
    let renew = command(node, "renew", cx);
    let before = node.get("before").and_then(|node| value::duration(&node.scalar()?));
    if before.is_some_and(|before| before.is_zero()) {
        let hint = "leave it out: a certificate is renewed in the last third of its life then";
        let message = format!("`before: 0` leaves no time to renew certificate {file}");
        cx.error_with_hint(node.at, "bad-value", message, hint);
    }
    let reload = match node.get("reload") {
        None => None,
        Some(reload) => {
            if renew.is_none() {
                let hint = "say how it is made with `renew: [...]`, or leave `reload` out";
                let message = format!("certificate {file} is never renewed, so nothing is reloaded");
                cx.error_with_hint(reload.at, "bad-value", message, hint);
            }
            self::reload(reload, cx)
        }
    };
    let user = text(node, "user").filter(|user| !user.is_empty());
    Some(Certificate { file, renew, reload, before, user })
}

fn reload(node: &Node, cx: &mut Context) -> Option<Reload> {
    let number = text(node, "signal").and_then(|text| signal::number(text.trim()));
    match (number, command(node, "command", cx)) {
        (Some(number), None) => Some(Reload::Signal(number)),
        (None, Some(words)) => Some(Reload::Command(words)),
        (number, _) => {
            let found = if number.is_some() { "both" } else { "neither" };
            let message =
                format!("`reload` has {found} of `signal` and `command` in service `{}`", cx.service);
            cx.error_with_hint(node.at, "bad-value", message, "it is one of them");
            None
        }
    }
}

/// A command in words, of which there is at least one.
fn command(node: &Node, key: &str, cx: &mut Context) -> Option<Vec<String>> {
    let found = node.get(key)?;
    let words = list(Some(found));
    if words.is_empty() {
        cx.error(found.at, "bad-value", format!("`{key}` of a certificate has no command"));
        return None;
    }
    Some(words)
}
