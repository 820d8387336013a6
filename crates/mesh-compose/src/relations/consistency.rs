//! What the keys of one service say of one another.

use super::profiles::services;
use crate::{
    context::Context,
    node::{Map, Node},
    suggest::did_you_mean,
    value,
};
use mesh_diag::Severity;

/// Checks every service of `tree`, whose services are in their long forms.
pub(super) fn check(tree: &Node, cx: &mut Context) {
    for (name, service) in services(tree) {
        if let Some(build) = service.get("build") {
            dockerfiles(name, build, cx);
            contexts(tree, name, build, cx);
            platforms(name, service, build, cx);
        }
        limits(name, service, cx);
        for item in items(service.at_path(&["develop", "watch"])) {
            watched(name, item, cx);
        }
        let reserved = ["deploy", "resources", "reservations", "devices"];
        for request in items(service.get("gpus")).chain(items(service.at_path(&reserved))) {
            device_request(name, request, cx);
        }
    }
}

fn items(node: Option<&Node>) -> impl Iterator<Item = &Node> {
    node.and_then(Node::as_list).into_iter().flatten()
}

fn text(node: &Node, key: &str) -> Option<String> {
    node.get(key).and_then(Node::scalar).filter(|text| !text.is_empty())
}

fn dockerfiles(name: &str, build: &Node, cx: &mut Context) {
    if text(build, "dockerfile").is_some()
        && let Some(inline) = build.get("dockerfile_inline").filter(|node| node.as_text() != Some(""))
    {
        let message = format!("`build` of service `{name}` has both `dockerfile` and `dockerfile_inline`");
        cx.error_with_hint(inline.at, "build", message, "keep one of them");
    }
}

/// A context may be another service's image, which must then be built.
fn contexts(tree: &Node, name: &str, build: &Node, cx: &mut Context) {
    let contexts = build.get("additional_contexts").and_then(Node::as_map);
    for entry in contexts.into_iter().flat_map(Map::values) {
        let Some(target) = entry.node.as_text().and_then(|text| text.strip_prefix("service:")) else {
            continue;
        };
        match tree.at_path(&["services", target]) {
            Some(other) if other.get("build").is_some() => {}
            Some(_) => {
                let message =
                    format!("service `{name}` builds on service `{target}`, which is not built itself");
                cx.error(entry.node.at, "build", message);
            }
            None => {
                let message = format!("service `{name}` builds on undefined service `{target}`");
                let hint = did_you_mean(target, services(tree).map(|(name, _)| name.as_str()));
                cx.report(Severity::Error, entry.node.at, "unknown-service", message, hint);
            }
        }
    }
}

fn platforms(name: &str, service: &Node, build: &Node, cx: &mut Context) {
    let built: Vec<String> = items(build.get("platforms")).filter_map(Node::scalar).collect();
    if let Some(platform) = text(service, "platform").filter(|platform| !built.contains(platform))
        && !built.is_empty()
    {
        let at = build.get("platforms").map_or(build.at, |node| node.at);
        let message = format!("`build.platforms` of service `{name}` lacks its `platform`, {platform}");
        cx.error(at, "build", message);
    }
}

/// How a limit is read: as a number, or as a size.
type Reading<'r> = &'r dyn Fn(&Node) -> Option<f64>;

/// A limit may be given in two ways, but not to different values.
fn limits(name: &str, service: &Node, cx: &mut Context) {
    let number = |node: &Node| node.as_float();
    let size = |node: &Node| value::bytes(&node.scalar()?).and_then(|bytes| bytes.to_string().parse().ok());
    let pairs: [(&str, &str, &str, Reading<'_>); 4] = [
        ("cpus", "limits", "cpus", &number),
        ("mem_limit", "limits", "memory", &size),
        ("mem_reservation", "reservations", "memory", &size),
        ("pids_limit", "limits", "pids", &number),
    ];
    for (key, section, limit, read) in pairs {
        let Some(own) = service.get(key).filter(|node| read(node).is_some_and(|value| value != 0.0)) else {
            continue;
        };
        let Some(section_node) = service.at_path(&["deploy", "resources", section]) else { continue };
        let other = section_node.get(limit).and_then(read).unwrap_or_default();
        // Compose takes a limit that is not there for 0, which is another one.
        if read(own).is_some_and(|value| (value - other).abs() > f64::EPSILON) {
            let message =
                format!("service `{name}` sets `{key}` and `deploy.resources.{section}.{limit}` differently");
            cx.error_with_hint(own.at, "limit", message, "keep one of them, or give both the same value");
        }
    }
}

fn watched(name: &str, item: &Node, cx: &mut Context) {
    let action = text(item, "action").unwrap_or_default();
    if text(item, "target").is_none() && !matches!(action.as_str(), "rebuild" | "restart") {
        let message = format!("an entry of `develop.watch` of service `{name}` copies, but has no `target`");
        cx.error_with_hint(item.at, "watch", message, "`target` is the path in the container");
    }
}

/// What a request for devices says twice.
pub(crate) fn device_request(name: &str, request: &Node, cx: &mut Context) {
    if let (Some(count), Some(_)) = (request.get("count"), request.get("device_ids")) {
        let message = format!("a request for devices of service `{name}` has both `count` and `device_ids`");
        cx.error_with_hint(count.at, "devices", message, "keep one of them");
    }
}
