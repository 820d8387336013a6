//! A tree in its long forms to the model. Every reference was checked before.

pub(crate) mod certificate;
pub(crate) mod dump;
mod hooks;
mod mounts;
mod network;
mod outside;
mod process;
mod project;
mod repeat;
mod service;
mod watch;

pub(crate) use project::{Frame, project};

use crate::{
    context::Context,
    node::{Map, Node},
};
use std::collections::BTreeMap;

/// The texts of a mapping; keys without a value are left out.
fn texts(node: Option<&Node>) -> BTreeMap<String, String> {
    entries(node).filter_map(|(key, node)| Some((key.clone(), node.scalar()?))).collect()
}

/// The texts of a list.
fn list(node: Option<&Node>) -> Vec<String> {
    items(node).filter_map(Node::scalar).collect()
}

fn entries(node: Option<&Node>) -> impl Iterator<Item = (&String, &Node)> {
    let map: Option<&Map> = node.and_then(Node::as_map);
    map.into_iter().flatten().map(|(key, entry)| (key, &entry.node))
}

fn items(node: Option<&Node>) -> impl Iterator<Item = &Node> {
    node.and_then(Node::as_list).into_iter().flatten()
}

fn text(node: &Node, key: &str) -> Option<String> {
    node.get(key)?.scalar()
}

fn flag(node: &Node, key: &str) -> bool {
    node.get(key).and_then(Node::as_bool).unwrap_or(false)
}

/// A number that fits; others were reported by the check of the schema.
fn number<N: TryFrom<i64>>(node: Option<&Node>) -> Option<N> {
    N::try_from(node?.as_int()?).ok()
}

fn size(node: Option<&Node>) -> Option<u64> {
    node?.scalar().and_then(|text| crate::value::bytes(&text))
}

/// The service being read has a value that the ground cannot carry out.
fn unsupported(cx: &mut Context, node: &Node, key: &str, hint: &str) {
    let text = node.scalar().unwrap_or_default();
    let message = format!("`{key}: {text}` is not supported");
    cx.refuse_this(node.at, "unsupported", message, Some(hint.to_owned()));
}
