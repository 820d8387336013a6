//! Every name that a service refers to must be there; the default network appears where it is used.

use super::{
    consistency, cycles,
    profiles::{Inactive, services},
};
use crate::{
    context::{At, Context},
    node::{Entry, Map, Mark, Node, Value},
    suggest::did_you_mean,
};
use mesh_diag::Severity;
use std::collections::BTreeMap;

/// A dependency that may be missing and is: the service, its name, and what the file says of it.
pub(crate) type Absent = (String, String, Entry);

/// Puts back what [`check`] took out, for who wants to see it.
pub(crate) fn restore(tree: &mut Node, absent: Vec<Absent>) {
    for (service, target, entry) in absent {
        let service = tree.get_mut("services").and_then(|services| services.get_mut(&service));
        if let Some(depends) =
            service.and_then(|service| service.get_mut("depends_on")).and_then(Node::as_map_mut)
        {
            depends.insert(target, entry);
        }
    }
}

/// Checks `tree`, whose services are in their long forms, and completes its networks.
pub(crate) fn check(tree: &mut Node, inactive: &Inactive, cx: &mut Context) -> Vec<Absent> {
    let absent = dependencies(tree, inactive, cx);
    cycles::check(tree, cx);
    consistency::check(tree, cx);
    link_aliases(tree);
    let mut containers: BTreeMap<String, String> = BTreeMap::new();
    for (name, service) in services(tree) {
        sections(tree, name, service, cx);
        if let Some(mode) = service.get("network_mode").filter(|_| has_networks(service)) {
            let message = format!("service `{name}` has both `network_mode` and `networks`");
            cx.error_with_hint(mode.at, "network-mode", message, "keep one of them");
        }
        single_container(name, service, &mut containers, cx);
        if service.get("image").and_then(Node::scalar).is_none_or(|image| image.is_empty())
            && service.get("build").is_none()
            && service.get("provider").is_none()
            && !cx.unextended.contains(name)
        {
            let at = entry(tree, "services", name).map(|entry| entry.key_at).unwrap_or_default();
            cx.error(at, "no-image", format!("service `{name}` has neither an `image` nor a `build`"));
        }
    }
    absent
}

fn entry<'t>(tree: &'t Node, section: &str, name: &str) -> Option<&'t Entry> {
    tree.get(section)?.as_map()?.get(name)
}

fn has_networks(service: &Node) -> bool {
    service.get("networks").and_then(Node::as_map).is_some_and(|map| !map.is_empty())
}

/// Services without a network of their own are on the default one, which appears where it is used.
pub(crate) fn default_network(tree: &mut Node) {
    let mut used = false;
    let all = tree.get_mut("services").and_then(Node::as_map_mut);
    for entry in all.into_iter().flat_map(Map::values_mut) {
        let service = &mut entry.node;
        if service.get("network_mode").is_some() {
            continue;
        }
        if !has_networks(service) && service.as_map().is_some() && service.get("provider").is_none() {
            let at = service.at;
            service.set("networks", Node::map(at));
            if let Some(networks) = service.get_mut("networks") {
                networks.set("default", Node::new(Value::Null, at));
            }
        }
        used |= service.get("networks").is_some_and(|networks| networks.get("default").is_some());
    }
    if used {
        tree.set_default("networks", Node::map(At::default()));
        if let Some(networks) = tree.get_mut("networks").filter(|networks| networks.get("default").is_none())
        {
            networks.set("default", Node::new(Value::Null, At::default()));
        }
    }
}

fn dependencies(tree: &mut Node, inactive: &Inactive, cx: &mut Context) -> Vec<Absent> {
    let mut absent = Vec::new();
    let names: Vec<String> = services(tree).map(|(name, _)| name.clone()).collect();
    let known: std::collections::BTreeSet<&String> = names.iter().collect();
    for name in &names {
        let path = tree.get_mut("services").and_then(|services| services.get_mut(name));
        let Some(depends) = path.and_then(|service| service.get_mut("depends_on")).and_then(Node::as_map_mut)
        else {
            continue;
        };
        depends.retain(|target, entry| {
            if known.contains(target) {
                return true;
            }
            let required = entry.node.get("required").and_then(Node::as_bool).unwrap_or(true);
            match inactive.get(target) {
                Some(_) if !required => {
                    absent.push((name.clone(), target.clone(), entry.clone()));
                    return false;
                }
                Some(profiles) => {
                    let message =
                        format!("service `{name}` depends on `{target}`, which no chosen profile activates");
                    let hint = format!(
                        "activate it with `--profile {}`, or write `required: false`",
                        profiles.first().map_or("*", String::as_str)
                    );
                    cx.error_with_hint(entry.key_at, "inactive-service", message, hint);
                }
                None => {
                    let message = format!("service `{name}` depends on undefined service `{target}`");
                    let hint = did_you_mean(target, names.iter().map(String::as_str));
                    cx.report(Severity::Error, entry.key_at, "unknown-service", message, hint);
                }
            }
            true
        });
    }
    absent
}

/// `links: ["db:database"]` gives `db` the further name where both are members.
fn link_aliases(tree: &mut Node) {
    let mut aliases: Vec<(String, String, String)> = Vec::new();
    for (_, service) in services(tree) {
        for link in service.get("links").and_then(Node::as_list).unwrap_or_default() {
            let Some((target, alias)) = link.as_text().and_then(|text| text.split_once(':')) else {
                continue;
            };
            for network in service.get("networks").and_then(Node::as_map).into_iter().flat_map(Map::keys) {
                aliases.push((target.to_owned(), network.clone(), alias.to_owned()));
            }
        }
    }
    for (target, network, alias) in aliases {
        let service = tree.get_mut("services").and_then(|services| services.get_mut(&target));
        let Some(attachment) =
            service.and_then(|service| service.get_mut("networks")).and_then(|all| all.get_mut(&network))
        else {
            continue;
        };
        let at = attachment.at;
        let implied = |value| Node { mark: Mark::Implied, ..Node::new(value, at) };
        if attachment.is_null() {
            *attachment = implied(Value::Map(Map::new()));
        }
        attachment.set_default("aliases", implied(Value::List(Vec::new())));
        if let Some(Value::List(known)) = attachment.get_mut("aliases").map(|node| &mut node.value)
            && !known.iter().any(|known| known.as_text() == Some(&alias))
        {
            known.push(implied(Value::Text(alias)));
        }
    }
}

/// References of one service to the sections beside `services`.
fn sections(tree: &Node, name: &str, service: &Node, cx: &mut Context) {
    let mut names: Vec<(&str, String, At)> = Vec::new();
    for (key, entry) in service.get("networks").and_then(Node::as_map).into_iter().flatten() {
        names.push(("networks", key.clone(), entry.key_at));
    }
    for (key, entry) in service.get("models").and_then(Node::as_map).into_iter().flatten() {
        names.push(("models", key.clone(), entry.key_at));
    }
    for mount in service.get("volumes").and_then(Node::as_list).unwrap_or_default() {
        if mount.get("type").and_then(Node::as_text) == Some("volume")
            && let Some(source) = mount.get("source")
        {
            names.extend(source.scalar().map(|text| ("volumes", text, source.at)));
        }
    }
    let built = service.at_path(&["build", "secrets"]);
    for mount in built.and_then(Node::as_list).unwrap_or_default() {
        let source = mount.get("source").unwrap_or(mount);
        names.extend(source.scalar().map(|text| ("secrets", text, source.at)));
    }
    for section in ["secrets", "configs"] {
        for mount in service.get(section).and_then(Node::as_list).unwrap_or_default() {
            match mount.get("source") {
                Some(source) => names.extend(source.scalar().map(|text| (section, text, source.at))),
                None => cx.error(mount.at, "bad-value", format!("an entry of `{section}` needs a `source`")),
            }
        }
    }
    for (section, key, at) in names {
        if entry(tree, section, &key).is_some() {
            continue;
        }
        let known = tree.get(section).and_then(Node::as_map);
        let singular = section.trim_end_matches('s');
        let message = format!("service `{name}` refers to undefined {singular} `{key}`");
        let near = did_you_mean(&key, known.into_iter().flat_map(|map| map.keys().map(String::as_str)));
        let hint = near.unwrap_or_else(|| format!("declare it under `{section}:` at the top of the file"));
        cx.error_with_hint(at, "undefined", message, hint);
    }
}

fn single_container(name: &str, service: &Node, containers: &mut BTreeMap<String, String>, cx: &mut Context) {
    let replicas = service.at_path(&["deploy", "replicas"]);
    if let (Some(scale), Some(replicas)) = (service.get("scale"), replicas)
        && scale.as_int() != replicas.as_int()
    {
        let message = format!("service `{name}` sets `scale` and `deploy.replicas` differently");
        cx.error_with_hint(scale.at, "scale", message, "keep one of them");
    }
    let Some(container) = service.get("container_name") else { return };
    let count = service.get("scale").or(replicas).and_then(Node::as_int).unwrap_or(1);
    if count > 1 {
        let message = format!("service `{name}` has a `container_name` and {count} containers");
        cx.error_with_hint(container.at, "scale", message, "a fixed name serves one container; remove it");
    }
    let text = container.scalar().unwrap_or_default();
    if let Some(other) = containers.insert(text.clone(), name.to_owned()) {
        let message = format!("services `{other}` and `{name}` both name their container `{text}`");
        cx.error(container.at, "container-name", message);
    }
}
