//! Circles in `depends_on`.

use super::profiles::services;
use crate::{context::Context, node::Node};
use std::collections::{BTreeMap, BTreeSet};

/// Reports every circle once, naming its services in order.
pub(super) fn check(tree: &Node, cx: &mut Context) {
    let edges: BTreeMap<&str, Vec<&str>> = services(tree)
        .map(|(name, service)| {
            let map = service.get("depends_on").and_then(Node::as_map);
            (name.as_str(), map.into_iter().flat_map(|map| map.keys().map(String::as_str)).collect())
        })
        .collect();
    let mut done: BTreeSet<&str> = BTreeSet::new();
    for start in edges.keys() {
        // Depth first without recursion: a chain may be as long as there are services.
        let mut path: Vec<(&str, usize)> = Vec::new();
        let mut on_path: BTreeSet<&str> = BTreeSet::new();
        if done.contains(start) {
            continue;
        }
        path.push((start, 0));
        on_path.insert(start);
        while let Some((name, next)) = path.last_mut() {
            let name = *name;
            let Some(target) = edges.get(name).and_then(|targets| targets.get(*next)).copied() else {
                done.insert(name);
                on_path.remove(name);
                path.pop();
                continue;
            };
            *next += 1;
            if on_path.contains(target) {
                let from = path.iter().position(|(name, _)| *name == target).unwrap_or(0);
                let names: Vec<&str> = path[from..].iter().map(|(name, _)| *name).chain([target]).collect();
                report(tree, name, target, &names, cx);
            } else if edges.contains_key(target) && !done.contains(target) {
                path.push((target, 0));
                on_path.insert(target);
            }
        }
    }
}

fn report(tree: &Node, from: &str, to: &str, names: &[&str], cx: &mut Context) {
    let depends = tree.at_path(&["services", from, "depends_on"]).and_then(Node::as_map);
    let at = depends.and_then(|map| map.get(to)).map(|entry| entry.key_at).unwrap_or_default();
    cx.error(
        at,
        "dependency-cycle",
        format!("services depend on one another in a circle: {}", names.join(" -> ")),
    );
}
