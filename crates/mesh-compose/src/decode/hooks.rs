//! Hooks, watched paths, and providers.

use super::{entries, flag, items, list, text};
use crate::node::{Node, Value};
use mesh_model::{
    develop::{Watch, WatchAction},
    hook::{Hook, Hooks, InitContainer},
    provider::Provider,
};
use std::{collections::BTreeMap, path::PathBuf};

/// Values for keys of an `environment` that have none.
type Environment = BTreeMap<String, String>;

pub(super) fn hooks(service: &Node, environment: &Environment) -> Hooks {
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
        post_start: items(service.get("post_start")).filter_map(|node| hook(node, environment)).collect(),
        pre_stop: items(service.get("pre_stop")).filter_map(|node| hook(node, environment)).collect(),
    }
}

/// A hook without a command has nothing to run.
fn hook(node: &Node, environment: &Environment) -> Option<Hook> {
    Some(Hook {
        command: words(node).filter(|words| !words.is_empty())?,
        user: text(node, "user").filter(|user| !user.is_empty()),
        privileged: flag(node, "privileged"),
        working_dir: text(node, "working_dir").filter(|path| !path.is_empty()),
        environment: variables(node, environment),
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

pub(super) fn watch(service: &Node, environment: &Environment) -> Vec<Watch> {
    items(service.at_path(&["develop", "watch"]))
        .filter_map(|node| {
            Some(Watch {
                path: PathBuf::from(text(node, "path")?),
                action: action(&text(node, "action")?)?,
                target: text(node, "target").filter(|target| !target.is_empty()),
                ignore: list(node.get("ignore")),
                include: list(node.get("include")),
                initial_sync: flag(node, "initial_sync"),
                exec: node.get("exec").and_then(|node| hook(node, environment)),
            })
        })
        .collect()
}

fn action(text: &str) -> Option<WatchAction> {
    Some(match text {
        "rebuild" => WatchAction::Rebuild,
        "sync" => WatchAction::Sync,
        "restart" => WatchAction::Restart,
        "sync+restart" => WatchAction::SyncRestart,
        "sync+exec" => WatchAction::SyncExec,
        _ => return None,
    })
}

pub(super) fn provider(service: &Node) -> Option<Provider> {
    let node = service.get("provider")?;
    let options = entries(node.get("options"))
        .map(|(key, node)| (key.clone(), node.scalar().map_or_else(|| list(Some(node)), |one| vec![one])));
    Some(Provider { kind: text(node, "type")?, options: options.collect() })
}
