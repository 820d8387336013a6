//! `develop.watch`.

use super::{flag, hooks::hook, items, list, text};
use crate::node::Node;
use mesh_model::develop::{BuildFiles, Watch, WatchAction};
use std::{collections::BTreeMap, path::PathBuf};

/// The entries of a service.
pub(super) fn watch(service: &Node, environment: &BTreeMap<String, String>) -> Vec<Watch> {
    let build = service.get("build").and_then(build_files);
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
                build: build.clone(),
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

/// A context of this machine; one that is fetched has no files here.
fn build_files(build: &Node) -> Option<BuildFiles> {
    let context = PathBuf::from(build.as_text().map(str::to_owned).or_else(|| text(build, "context"))?);
    let dockerfile = text(build, "dockerfile").unwrap_or_default();
    context.is_absolute().then_some(BuildFiles { context, dockerfile })
}
