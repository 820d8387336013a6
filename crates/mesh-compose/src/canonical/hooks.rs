//! The long forms of hooks, `develop`, `provider`, requests for devices, and limits of block devices.

use super::scalars::{self, each};
use crate::{
    context::Context,
    node::{Map, Node, Value},
};

/// Rewrites these keys of a service.
pub(super) fn hooks(service: &mut Node, cx: &mut Context) {
    let image = service.get("image").filter(|image| image.as_text() != Some("")).cloned();
    for key in ["pre_start", "post_start", "pre_stop"] {
        for item in items(service.get_mut(key)) {
            hook(item, key, cx);
            if let (true, Some(image)) = (key == "pre_start", &image) {
                item.set_default("image", image.clone());
            }
        }
    }
    for watch in items(service.get_mut("develop").and_then(|develop| develop.get_mut("watch"))) {
        each(watch, &["ignore", "include"], scalars::list);
        if let Some(exec) = watch.get_mut("exec") {
            hook(exec, "exec", cx);
        }
    }
    each(service, &["attach"], scalars::boolean);
    provider(service);
    devices(service);
    block_devices(service);
}

fn hook(node: &mut Node, key: &str, cx: &mut Context) {
    if let Some(command) = node.get_mut("command") {
        scalars::command(command, &format!("{key}.command"), cx);
    }
    each(node, &["environment"], |node| scalars::pairs(node, None));
    each(node, &["privileged", "per_replica"], scalars::boolean);
}

/// An option has one value or several; afterwards it is always a list of texts.
fn provider(service: &mut Node) {
    let Some(options) = service.get_mut("provider").and_then(|provider| provider.get_mut("options")) else {
        return;
    };
    options
        .as_map_mut()
        .into_iter()
        .flat_map(Map::values_mut)
        .for_each(|entry| scalars::list(&mut entry.node));
}

/// A request names devices or counts them; -1 is all of them, which is also meant where it does neither.
fn devices(service: &mut Node) {
    if let Some(gpus) = service.get_mut("gpus").filter(|gpus| gpus.as_text().is_some()) {
        gpus.value = Value::List(vec![Node::map(gpus.at)]);
    }
    items(service.get_mut("gpus")).for_each(request);
    let reserved = service.get_mut("deploy").and_then(|deploy| deploy.get_mut("resources"));
    let reserved = reserved.and_then(|resources| resources.get_mut("reservations"));
    items(reserved.and_then(|reserved| reserved.get_mut("devices"))).for_each(request);
}

fn request(node: &mut Node) {
    let at = node.at;
    if node.get("device_ids").is_none() {
        node.set_default("count", Node::text("all", at));
    }
    if let Some(count) = node.get_mut("count") {
        scalars::integer(count);
        if count.as_text() == Some("all") {
            count.value = Value::Int(-1);
        }
    }
    each(node, &["options"], |node| scalars::pairs(node, Some("")));
}

fn block_devices(service: &mut Node) {
    let Some(node) = service.get_mut("blkio_config") else { return };
    each(node, &["weight"], scalars::integer);
    for key in ["device_read_bps", "device_read_iops", "device_write_bps", "device_write_iops"] {
        items(node.get_mut(key)).for_each(|item| each(item, &["rate"], scalars::bytes));
    }
    items(node.get_mut("weight_device")).for_each(|item| each(item, &["weight"], scalars::integer));
}

fn items(node: Option<&mut Node>) -> impl Iterator<Item = &mut Node> {
    let list = node.and_then(|node| match &mut node.value {
        Value::List(items) => Some(items),
        _ => None,
    });
    list.into_iter().flatten()
}
