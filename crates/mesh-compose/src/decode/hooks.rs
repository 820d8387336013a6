//! Hooks and providers.

use super::{entries, flag, items, list, text};
use crate::{
    context::Context,
    node::{Node, Value},
};
use mesh_model::{
    hook::{Hook, Hooks, InitContainer},
    provider::Provider,
};
use std::collections::BTreeMap;

/// Values for keys of an `environment` that have none.
type Environment = BTreeMap<String, String>;

pub(super) fn hooks(service: &Node, environment: &Environment, cx: &Context) -> Hooks {
    let placed = |node: &Node| {
        let place = cx.place(node.at).map(|place| format!("{}:{}", place.file, place.line));
        Some(Hook { place, ..hook(node, environment)? })
    };
    let image = text(service, "image");
    Hooks {
        pre_start: items(service.get("pre_start"))
            .map(|node| InitContainer {
                image: text(node, "image").filter(|own| !own.is_empty() && Some(own) != image.as_ref()),
                command: words(node),
                user: text(node, "user").filter(|user| !user.is_empty()),
                privileged: flag(node, "privileged"),
                working_dir: text(node, "working_dir").filter(|path| !path.is_empty()),
                environment: variables(node, environment),
                per_replica: flag(node, "per_replica"),
            })
            .collect(),
        post_start: items(service.get("post_start")).filter_map(placed).collect(),
        pre_stop: items(service.get("pre_stop")).filter_map(placed).collect(),
    }
}

/// A hook without a command has nothing to run.
pub(super) fn hook(node: &Node, environment: &Environment) -> Option<Hook> {
    Some(Hook {
        command: words(node).filter(|words| !words.is_empty())?,
        user: text(node, "user").filter(|user| !user.is_empty()),
        privileged: flag(node, "privileged"),
        working_dir: text(node, "working_dir").filter(|path| !path.is_empty()),
        environment: variables(node, environment),
        place: None,
    })
}

fn words(node: &Node) -> Option<Vec<String>> {
    let command = node.get("command").filter(|node| matches!(node.value, Value::List(_)))?;
    Some(list(Some(command)))
}

fn variables(node: &Node, environment: &Environment) -> BTreeMap<String, String> {
    entries(node.get("environment"))
        .filter_map(|(name, node)| {
            let value = node.scalar().or_else(|| environment.get(name).cloned())?;
            Some((name.clone(), value))
        })
        .collect()
}

pub(super) fn provider(service: &Node) -> Option<Provider> {
    let node = service.get("provider")?;
    let options = entries(node.get("options"))
        .map(|(key, node)| (key.clone(), node.scalar().map_or_else(|| list(Some(node)), |one| vec![one])));
    Some(Provider { kind: text(node, "type")?, options: options.collect() })
}
