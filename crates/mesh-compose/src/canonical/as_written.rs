//! The half of the long forms that a file with its variables still in it can have: what is short becomes
//! long where the text is complete, and every value stays as it was written.

use super::{
    ports,
    scalars::{self, entry},
};
use crate::{
    context::Context,
    node::{Entry, Map, Node, Value},
    resolve::{is_path, keep_last, short_volume},
};
use std::collections::BTreeMap;

/// Rewrites the whole tree.
pub(crate) fn as_written(
    tree: &mut Node,
    project: &str,
    environment: &BTreeMap<String, String>,
    cx: &mut Context,
) {
    let skip = cx.skip;
    contradictions(tree, cx);
    let services = tree.get_mut("services").and_then(Node::as_map_mut);
    for entry in services.into_iter().flat_map(Map::values_mut) {
        service(&mut entry.node);
        if !skip.normalisation {
            normal(&mut entry.node, environment);
        }
    }
    if skip.normalisation {
        return;
    }
    crate::relations::default_network(tree);
    for section in ["networks", "volumes", "configs", "secrets"] {
        let map = tree.get_mut(section).and_then(Node::as_map_mut);
        for (key, entry) in map.into_iter().flat_map(|map| map.iter_mut()) {
            let node = &mut entry.node;
            if node.is_null() {
                *node = Node::map(entry.key_at);
            }
            if let Some(Node { value: Value::Map(old), .. }) = node.get("external").cloned().as_ref() {
                let at = entry.key_at;
                node.set("external", Node::new(Value::Bool(true), at));
                if let Some(name) = old.get("name") {
                    node.set_default("name", name.node.clone());
                }
            }
            let external = node.get("external").and_then(Node::as_bool) == Some(true);
            let name = if external { key.clone() } else { format!("{project}_{key}") };
            node.set_default("name", Node::text(name, entry.key_at));
        }
    }
}

/// What is wrong whatever the variables are.
fn contradictions(tree: &Node, cx: &mut Context) {
    for section in ["networks", "volumes", "configs", "secrets"] {
        for (key, entry) in tree.get(section).and_then(Node::as_map).into_iter().flatten() {
            super::top::external(&mut entry.node.clone(), entry.key_at, cx, section, key);
        }
    }
    for (name, entry) in tree.get("services").and_then(Node::as_map).into_iter().flatten() {
        let items = |path: &[&str]| entry.node.at_path(path).and_then(Node::as_list).unwrap_or_default();
        for volume in items(&["volumes"]) {
            if volume.get("type").and_then(Node::as_text) == Some("bind") && volume.get("source").is_none() {
                super::volumes::without_source(volume.at, cx);
            }
        }
        for request in items(&["deploy", "resources", "reservations", "devices"]) {
            crate::relations::device_request(name, request, cx);
        }
    }
}

fn service(service: &mut Node) {
    for key in ["annotations", "environment", "labels", "sysctls"] {
        with(service, key, last_settings);
    }
    for (section, keys) in
        [("build", ["args", "additional_contexts", "labels"].as_slice()), ("deploy", &["labels"])]
    {
        for key in keys {
            with(service, section, |section| with(section, key, last_settings));
        }
    }
    for key in ["networks", "models"] {
        with(service, key, scalars::names);
    }
    for key in ["label_file", "dns"] {
        with(service, key, one_to_list);
    }
    with(service, "depends_on", dependencies);
    with(service, "env_file", env_files);
    with(service, "gpus", requests);
    with(service, "ports", |node| {
        // Where one is not complete, all of them stay.
        let mut long = node.clone();
        let mut cx = Context::default();
        ports::ports_as_written(&mut long, &mut cx);
        if !cx.has_errors() {
            *node = long;
        }
    });
    for (key, long) in
        [("volumes", volume as fn(&mut Node)), ("devices", device), ("secrets", secret), ("configs", source)]
    {
        with(service, key, |node| each_item(node, long));
    }
    if let Some(watches) = service.get_mut("develop").and_then(|develop| develop.get_mut("watch")) {
        each_item(watches, |watch| {
            for key in ["ignore", "include"] {
                with(watch, key, one_to_list);
            }
        });
    }
    if let Some(reservations) = service.get_mut("deploy").and_then(|node| node.get_mut("resources"))
        && let Some(devices) = reservations.get_mut("reservations").and_then(|node| node.get_mut("devices"))
    {
        requests(devices);
    }
    with(service, "build", build);
}

fn with(node: &mut Node, key: &str, form: impl FnOnce(&mut Node)) {
    if let Some(node) = node.get_mut(key).filter(|node| !node.is_null()) {
        form(node);
    }
}

fn each_item(node: &mut Node, form: impl Fn(&mut Node)) {
    if let Value::List(items) = &mut node.value {
        items.iter_mut().for_each(form);
    }
}

/// Of the settings of one name in a list the last counts, at the place of the first.
fn last_settings(node: &mut Node) {
    if let Value::List(items) = &mut node.value {
        let name =
            |item: &Node| item.as_text().map(|text| text.split('=').next().unwrap_or_default().to_owned());
        *items = keep_last(std::mem::take(items), name);
    }
}

fn one_to_list(node: &mut Node) {
    if node.as_text().is_some() {
        let at = node.at;
        let only = std::mem::replace(node, Node::new(Value::Null, at));
        node.value = Value::List(vec![only]);
    }
}

fn dependencies(node: &mut Node) {
    scalars::names(node);
    for entry in node.as_map_mut().into_iter().flat_map(Map::values_mut) {
        super::dependencies::dependency(&mut entry.node);
    }
}

fn env_files(node: &mut Node) {
    one_to_list(node);
    each_item(node, |item| {
        let at = item.at;
        if item.as_text().is_some() {
            let path = std::mem::replace(item, Node::map(at));
            item.set("path", path);
        }
        item.set_default("required", Node::new(Value::Bool(true), at));
    });
}

/// A request of devices that says neither how many nor which means all.
fn requests(node: &mut Node) {
    let at = node.at;
    if node.as_text().is_some() {
        node.value = Value::List(vec![Node::map(at)]);
    }
    each_item(node, |item| {
        let at = item.at;
        if item.as_map().is_some() && item.get("count").is_none() && item.get("device_ids").is_none() {
            item.set("count", Node::text("all", at));
        }
    });
}

fn source(item: &mut Node) {
    if item.as_text().is_some() {
        let at = item.at;
        let source = std::mem::replace(item, Node::map(at));
        item.set("source", source);
    }
}

fn secret(item: &mut Node) {
    source(item);
    if let Some(source) = item.get("source").and_then(Node::scalar) {
        let at = item.at;
        item.set_default("target", Node::text(format!("/run/secrets/{source}"), at));
    }
}

fn device(item: &mut Node) {
    let Some(text) = item.as_text().filter(|text| text.split(':').count() <= 3) else { return };
    let mut parts = text.split(':');
    let source = parts.next().unwrap_or_default();
    let target = parts.next().filter(|target| !target.is_empty()).unwrap_or(source);
    let permissions = parts.next().unwrap_or("rwm");
    let pairs = [("source", source), ("target", target), ("permissions", permissions)];
    *item = entry(pairs.map(|(key, text)| (key, Value::Text(text.to_owned()))).into(), item.at);
}

/// Stands for a colon of a variable while a text is taken apart; no file has it.
const HIDDEN_COLON: char = '\u{1}';

/// The text with the colons inside of `${...}` hidden, where it has any.
fn hide_variables(text: &str) -> Option<String> {
    if !text.contains("${") {
        return None;
    }
    let (mut depth, mut before) = (0_usize, ' ');
    let hide = |character: char| {
        match character {
            '{' if before == '$' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        before = character;
        if character == ':' && depth > 0 { HIDDEN_COLON } else { character }
    };
    Some(text.chars().map(hide).collect())
}

fn volume(item: &mut Node) {
    let at = item.at;
    let Some(text) = item.as_text().map(ToOwned::to_owned) else {
        with(item, "bind", |bind| bind.set_default("create_host_path", Node::new(Value::Bool(true), at)));
        return;
    };
    // A colon inside of a variable parts nothing.
    let hidden = hide_variables(&text);
    let short = short_volume(hidden.as_deref().unwrap_or(&text));
    let shown = |part: &str| if hidden.is_some() { part.replace(HIDDEN_COLON, ":") } else { part.to_owned() };
    if text.is_empty() || short.target.is_empty() || short.source == Some("") {
        return;
    }
    let bind = short.source.is_some_and(is_path);
    let mut long = Node::map(at);
    long.set("type", Node::text(if bind { "bind" } else { "volume" }, at));
    if let Some(source) = short.source {
        long.set("source", Node::text(shown(source), at));
    }
    long.set("target", Node::text(shown(short.target), at));
    long.set(if bind { "bind" } else { "volume" }, Node::map(at));
    for option in short.options.into_iter().flat_map(|options| options.split(',')) {
        super::volumes::option(&mut long, option, at);
    }
    with(&mut long, "bind", |bind| bind.set_default("create_host_path", Node::new(Value::Bool(true), at)));
    *item = long;
}

fn build(node: &mut Node) {
    let at = node.at;
    if node.as_text().is_some() {
        let context = std::mem::replace(node, Node::map(at));
        node.set("context", context);
    }
    for key in ["provenance", "sbom"] {
        with(node, key, scalars::text);
    }
    with(node, "additional_contexts", |contexts| {
        if contexts.as_list().is_some() {
            scalars::pairs(contexts, None);
        }
    });
    with(node, "ssh", |keys| {
        if keys.as_list().is_some() {
            scalars::pairs(keys, None);
        }
    });
    with(node, "secrets", |secrets| each_item(secrets, source));
    node.set_default("context", Node::text(".", at));
}

/// What follows from other keys.
fn normal(service: &mut Node, environment: &BTreeMap<String, String>) {
    super::service::normal_values(service);
    super::dependencies::implied(service);
    with(service, "environment", |node| resolve(node, environment, true));
    with(service, "build", |build| {
        super::service::default_dockerfile(build);
        with(build, "args", |node| resolve(node, environment, false));
    });
    with(service, "volumes", |volumes| {
        each_item(volumes, |volume| {
            if let Some(target) = volume.get_mut("target")
                && let Some(text) = target.as_text().filter(|text| text.starts_with('/'))
            {
                target.value = Value::Text(super::clean(text));
            }
        });
    });
}

/// Gives names without a value that of the environment; one that has none there may be dropped.
fn resolve(node: &mut Node, environment: &BTreeMap<String, String>, keep: bool) {
    match &mut node.value {
        Value::Map(map) => {
            for (name, Entry { node, .. }) in map.iter_mut().filter(|(_, entry)| entry.node.is_null()) {
                if let Some(value) = environment.get(name) {
                    node.value = Value::Text(value.clone());
                }
            }
            map.retain(|_, entry| keep || !entry.node.is_null());
        }
        Value::List(items) => items.retain_mut(|item| {
            let Some(name) = item.as_text().filter(|text| !text.contains('=')) else { return true };
            match environment.get(name) {
                Some(value) => item.value = Value::Text(format!("{name}={value}")),
                None => return keep,
            }
            true
        }),
        _ => {}
    }
}
