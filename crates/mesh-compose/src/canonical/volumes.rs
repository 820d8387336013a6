//! `volumes` of a service: `source:target:options` and the long form.

use super::scalars::{self, entry};
use crate::{
    context::{At, Context},
    node::{Node, Value},
    resolve::{is_path, short_volume},
};
use mesh_diag::Severity;
use std::collections::HashSet;

/// Rewrites every entry to the long form.
pub(super) fn volumes(node: &mut Node, cx: &mut Context) {
    let Value::List(items) = &mut node.value else { return };
    for item in items.iter_mut() {
        if let Some(text) = item.as_text().map(ToOwned::to_owned) {
            *item = short_form(&text, item, cx);
        } else {
            long_form(item, cx);
        }
        target(item, cx);
    }
    items.retain(|item| item.as_map().is_some());
    let mut seen: HashSet<&str> = HashSet::new();
    for item in items.iter() {
        let Some(target) = item.get("target").and_then(Node::as_text) else { continue };
        if !seen.insert(target) {
            cx.error(item.at, "duplicate-mount", format!("something is already mounted at {target}"));
        }
    }
}

fn short_form(text: &str, item: &Node, cx: &mut Context) -> Node {
    let at = item.at;
    let short = short_volume(text);
    let bind = short.source.is_some_and(is_path);
    if short.source == Some("") || short.target.is_empty() {
        cx.error(at, "bad-volume", format!("`{text}` has nothing between two colons"));
    } else if short.options.is_some_and(|options| options.contains(':')) {
        cx.error(at, "bad-volume", format!("`{text}` has more than two colons"));
    }
    let mut pairs = vec![("type", Value::Text(if bind { "bind" } else { "volume" }.to_owned()))];
    if let Some(source) = short.source {
        pairs.push(("source", Value::Text(source.to_owned())));
        if !bind && !source.is_empty() && !is_volume_name(source) {
            let message = format!("`{source}` is neither a volume name nor a path");
            cx.error_with_hint(at, "bad-volume", message, format!("start a path with `./`: `./{source}`"));
        }
    }
    pairs.push(("target", Value::Text(short.target.to_owned())));
    let mut node = entry(pairs, at);
    // A text as short as this is not looked into.
    if text.len() > 2 {
        node.set(if bind { "bind" } else { "volume" }, Node::map(at));
    }
    for option in short.options.into_iter().flat_map(|options| options.split(',')) {
        let written = self::option(&mut node, option, at);
        match option {
            "ro" | "nocopy" | "rw" | "" | "rbind" => {}
            _ if written || matches!(option, "cached" | "delegated" | "consistent" | "copy") => {
                cx.warn(at, "no-effect", format!("volume option `{option}` has no effect"));
            }
            other => {
                let shown: String = other.chars().take(40).collect();
                cx.report(
                    Severity::Warning,
                    at,
                    "no-effect",
                    format!("volume option `{shown}` has no effect: it is not known"),
                    Some("the options are ro, rw and nocopy".to_owned()),
                );
            }
        }
    }
    node
}

/// Writes an option of the short form into the long one; `false` where it has no place there.
pub(super) fn option(volume: &mut Node, option: &str, at: At) -> bool {
    let (part, key, value) = match option {
        "ro" => {
            volume.set("read_only", Node::new(Value::Bool(true), at));
            return true;
        }
        "nocopy" => ("volume", "nocopy", Value::Bool(true)),
        "z" | "Z" => ("bind", "selinux", Value::Text(option.to_owned())),
        "shared" | "rshared" | "slave" | "rslave" | "private" | "rprivate" => {
            ("bind", "propagation", Value::Text(option.to_owned()))
        }
        _ => return false,
    };
    volume.set_default(part, Node::map(at));
    if let Some(part) = volume.get_mut(part) {
        part.set(key, Node::new(value, at));
    }
    true
}

fn long_form(item: &mut Node, cx: &mut Context) {
    let at = item.at;
    if item.as_map().is_none() {
        return;
    }
    scalars::each(item, &["read_only"], scalars::boolean);
    scalars::each(item, &["source", "target"], scalars::text);
    scalars::drop_nulls(item, &["source", "read_only", "bind", "volume", "tmpfs"]);
    if let Some(bind) = item.get_mut("bind") {
        scalars::each(bind, &["create_host_path"], scalars::boolean);
        // A missing source is made unless the file says otherwise, so only that is worth printing.
        if bind.get("create_host_path").and_then(Node::as_bool) == Some(true) {
            bind.remove("create_host_path");
        }
    }
    if let Some(volume) = item.get_mut("volume") {
        scalars::each(volume, &["nocopy"], scalars::boolean);
    }
    if let Some(tmpfs) = item.get_mut("tmpfs") {
        scalars::each(tmpfs, &["size"], scalars::bytes);
        scalars::each(tmpfs, &["mode"], scalars::mode);
        scalars::each(tmpfs, &["uid", "gid"], scalars::integer);
    }
    let source = item.get("source").and_then(Node::as_text).map(ToOwned::to_owned);
    match item.get("type").and_then(Node::as_text) {
        None => cx.error_with_hint(
            at,
            "bad-volume",
            "a volume in the long form needs a `type`",
            "bind, volume or tmpfs",
        ),
        Some("bind") if source.is_none() => {
            without_source(at, cx);
        }
        Some("volume") => {
            if let Some(source) = source.filter(|source| !is_volume_name(source)) {
                let message = format!("`{source}` is not a volume name");
                cx.error_with_hint(at, "bad-volume", message, "a path of this machine is `type: bind`");
            }
        }
        Some(_) => {}
    }
}

fn target(item: &mut Node, cx: &mut Context) {
    let at = item.at;
    let Some(map) = item.get("target").map(Node::as_text) else {
        if item.as_map().is_some() {
            cx.error(at, "bad-volume", "a volume needs a `target`");
        }
        return;
    };
    let text = map.unwrap_or_default();
    // Whoever starts the service refuses a target that is not absolute.
    let clean = match text.strip_prefix("./") {
        Some(relative) => clean(relative).trim_start_matches('/').to_owned(),
        None if text.starts_with('/') => clean(text),
        None => return,
    };
    item.set("target", Node::text(clean, at));
}

/// A path of the container without `.`, `..` and doubled slashes.
pub(crate) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    format!("/{}", parts.join("/"))
}

fn is_volume_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

/// A bind that does not say of what.
pub(super) fn without_source(at: At, cx: &mut Context) {
    cx.error(at, "bad-volume", "a bind needs a `source`");
}
