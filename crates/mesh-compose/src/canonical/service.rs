//! The long forms of one service.

use super::{
    Surface, dependencies,
    files::resolve_unset,
    ports,
    scalars::{self, each},
    volumes,
};
use crate::{
    context::Context,
    node::{Map, Node, Value},
    resolve::hosts_to_mapping,
    value,
};
use std::collections::BTreeMap;

/// Rewrites one service.
pub(crate) fn service(service: &mut Node, surface: &mut Surface<'_>) {
    if service.is_null() {
        service.value = Value::Map(Map::new());
    }
    let Some(map) = service.as_map_mut() else { return };
    // A key without a value is not set; only these two give null a meaning of its own.
    map.retain(|key, entry| !entry.node.is_null() || matches!(key.as_str(), "command" | "entrypoint"));
    single_values(service);
    collections(service, surface.cx);
    dependencies::dependencies(service);
    if !surface.cx.skip.normalisation {
        dependencies::implied(service);
        normal_values(service);
    }
    super::hooks::hooks(service, surface.cx);
    for key in ["command", "entrypoint"] {
        if let Some(node) = service.get_mut(key) {
            scalars::command(node, key, surface.cx);
        }
    }
    if let Some(node) = service.get_mut("healthcheck") {
        healthcheck(node, surface.cx);
    }
    if let Some(node) = service.get_mut("deploy") {
        deploy(node);
    }
    if let Some(node) = service.get_mut("build") {
        build(node, surface.environment, surface.cx);
        if !surface.cx.skip.normalisation {
            default_dockerfile(node);
        }
    }
    surface.environment(service);
    surface.labels(service);
}

fn single_values(service: &mut Node) {
    each(service, &["init", "privileged", "read_only", "stdin_open", "tty"], scalars::boolean);
    each(service, &["mem_limit", "mem_reservation", "memswap_limit", "shm_size"], scalars::bytes);
    each(service, &["cpus", "cpu_quota", "cpu_period"], scalars::float);
    each(service, &["cpu_shares", "oom_score_adj", "pids_limit", "scale"], scalars::integer);
    each(service, &["stop_grace_period"], scalars::duration);
    let texts = [
        "image",
        "user",
        "hostname",
        "domainname",
        "working_dir",
        "container_name",
        "restart",
        "network_mode",
        "pid",
        "ipc",
        "stop_signal",
        "platform",
        "cpuset",
        "pull_policy",
        "mac_address",
        "memswap_limit",
        "mem_swappiness",
    ];
    each(service, &texts, scalars::text);
}

fn collections(service: &mut Node, cx: &mut Context) {
    let lists = [
        "dns",
        "dns_search",
        "dns_opt",
        "tmpfs",
        "cap_add",
        "cap_drop",
        "expose",
        "group_add",
        "links",
        "profiles",
        "security_opt",
    ];
    each(service, &lists, scalars::list);
    each(service, &["dns", "dns_search"], scalars::drop_blank);
    each(service, &["environment"], |node| scalars::pairs(node, None));
    each(service, &["labels", "annotations", "sysctls"], |node| scalars::pairs(node, Some("")));
    each(service, &["ulimits"], ulimits);
    each(service, &["devices"], devices);
    each(service, &["secrets", "configs"], file_mounts);
    secret_targets(service);
    each(service, &["networks"], networks);
    each(service, &["models"], scalars::names);
    if let Some(options) = service.get_mut("logging").and_then(|logging| logging.get_mut("options")) {
        scalars::pairs(options, Some(""));
    }
    if let Some(node) = service.get_mut("ports") {
        ports::ports(node, cx);
    }
    if let Some(node) = service.get_mut("volumes") {
        volumes::volumes(node, cx);
    }
    if let Some(node) = service.get_mut("extra_hosts") {
        extra_hosts(node, cx);
    }
}

fn ulimits(node: &mut Node) {
    for entry in node.as_map_mut().into_iter().flat_map(Map::values_mut) {
        scalars::integer(&mut entry.node);
        each(&mut entry.node, &["soft", "hard"], scalars::integer);
    }
}

fn devices(node: &mut Node) {
    let Value::List(items) = &mut node.value else { return };
    for item in items {
        let Some(text) = item.as_text().map(ToOwned::to_owned) else {
            let (at, source) = (item.at, item.get("source").and_then(Node::scalar).unwrap_or_default());
            item.set_default("target", Node::text(source, at));
            item.set_default("permissions", Node::text("rwm", at));
            continue;
        };
        let mut parts = text.splitn(3, ':');
        let source = parts.next().unwrap_or_default();
        let target = parts.next().unwrap_or(source);
        let permissions = parts.next().unwrap_or("rwm");
        let pairs = [("source", source), ("target", target), ("permissions", permissions)];
        let pairs = pairs.map(|(key, text)| (key, Value::Text(text.to_owned())));
        *item = scalars::entry(pairs.into(), item.at);
    }
}

fn file_mounts(node: &mut Node) {
    let Value::List(items) = &mut node.value else { return };
    for item in items {
        if let Some(source) = item.scalar() {
            *item = scalars::entry(vec![("source", Value::Text(source))], item.at);
        }
        each(item, &["source", "target", "uid", "gid"], scalars::text);
        each(item, &["mode"], scalars::mode);
        scalars::drop_nulls(item, &["target", "uid", "gid", "mode"]);
    }
}

/// Where a secret is found when its entry does not say.
fn secret_targets(service: &mut Node) {
    let Some(Value::List(items)) = service.get_mut("secrets").map(|node| &mut node.value) else { return };
    for item in items {
        if let Some(source) = item.get("source").and_then(Node::scalar) {
            let at = item.at;
            item.set_default("target", Node::text(format!("/run/secrets/{source}"), at));
        }
    }
}

fn networks(node: &mut Node) {
    scalars::names(node);
    for entry in node.as_map_mut().into_iter().flat_map(Map::values_mut) {
        each(&mut entry.node, &["aliases"], scalars::list);
        each(&mut entry.node, &["priority"], scalars::integer);
        scalars::drop_nulls(
            &mut entry.node,
            &["aliases", "priority", "ipv4_address", "ipv6_address", "mac_address"],
        );
    }
}

fn extra_hosts(node: &mut Node, cx: &mut Context) {
    let at = node.at;
    let hosts = hosts_to_mapping(std::mem::replace(node, Node::new(Value::Null, at)));
    let mut lines = Vec::new();
    for (host, entry) in hosts.as_map().into_iter().flatten() {
        for address in entry.node.as_list().unwrap_or_default() {
            let text = address.scalar().unwrap_or_default();
            for text in text.split(',').map(str::trim) {
                let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
                if host.is_empty() || !(text == "host-gateway" || value::is_address(text)) {
                    let message = format!("`{host}={text}` is not a host and its address");
                    let hint = "write `name=203.0.113.7` or `name=host-gateway`";
                    cx.error_with_hint(address.at, "bad-value", message, hint);
                    continue;
                }
                lines.push(Node::text(format!("{host}={text}"), address.at));
            }
        }
    }
    lines.sort_by(|a, b| a.as_text().cmp(&b.as_text()));
    node.value = Value::List(lines);
}

/// Other names of the same value.
pub(super) fn normal_values(service: &mut Node) {
    if let Some(policy) = service.get_mut("pull_policy")
        && policy.as_text() == Some("if_not_present")
    {
        policy.value = Value::Text("missing".to_owned());
    }
}

fn healthcheck(node: &mut Node, cx: &mut Context) {
    each(node, &["disable"], scalars::boolean);
    each(node, &["retries"], scalars::integer);
    let durations = ["interval", "timeout", "start_period", "start_interval"];
    each(node, &durations, scalars::duration);
    scalars::drop_nulls(node, &["test", "retries", "interval", "timeout", "start_period", "start_interval"]);
    let Some(test) = node.get_mut("test") else { return };
    let at = test.at;
    if let Value::List(items) = &mut test.value {
        items.iter_mut().for_each(scalars::text);
        let first = items.first().and_then(Node::as_text);
        if !matches!(first, None | Some("CMD" | "CMD-SHELL" | "NONE")) {
            let hint =
                "the first word says how it runs: [\"CMD\", \"curl\", ...] or [\"CMD-SHELL\", \"curl ...\"]";
            let message = "a health check given as a list starts with CMD, CMD-SHELL or NONE";
            cx.error_with_hint(at, "bad-value", message, hint);
        }
    } else if let Some(line) = test.scalar() {
        test.value = Value::List(vec![Node::text("CMD-SHELL", at), Node::text(line, at)]);
    }
}

fn deploy(node: &mut Node) {
    each(node, &["labels"], |node| scalars::pairs(node, Some("")));
    each(node, &["replicas"], scalars::integer);
    for config in ["update_config", "rollback_config"] {
        if let Some(config) = node.get_mut(config) {
            each(config, &["delay", "monitor"], scalars::duration);
        }
    }
    scalars::drop_nulls(node, &["replicas", "resources", "restart_policy"]);
    if let Some(resources) = node.get_mut("resources") {
        for part in ["limits", "reservations"] {
            if let Some(part) = resources.get_mut(part) {
                each(part, &["cpus"], scalars::float);
                each(part, &["memory"], scalars::bytes);
                each(part, &["pids"], scalars::integer);
            }
        }
    }
    if let Some(policy) = node.get_mut("restart_policy") {
        each(policy, &["max_attempts"], scalars::integer);
        each(policy, &["delay", "window"], scalars::duration);
    }
}

fn build(node: &mut Node, environment: &BTreeMap<String, String>, cx: &mut Context) {
    if node.as_text().is_some() {
        let at = node.at;
        let context = std::mem::replace(node, Node::map(at));
        node.set("context", context);
    }
    let at = node.at;
    node.set_default("context", Node::text(".", at));
    each(node, &["args"], |node| scalars::pairs(node, None));
    if !cx.skip.normalisation
        && let Some(args) = node.get_mut("args").and_then(Node::as_map_mut)
    {
        resolve_unset(args, environment);
        args.retain(|_, entry| !entry.node.is_null());
    }
    each(node, &["shm_size"], scalars::bytes);
    each(node, &["provenance", "sbom"], scalars::text);
    each(node, &["no_cache_filter"], scalars::list);
    each(node, &["labels", "additional_contexts"], |node| scalars::pairs(node, Some("")));
    each(node, &["secrets"], file_mounts);
    if let Some(hosts) = node.get_mut("extra_hosts") {
        extra_hosts(hosts, cx);
    }
}

pub(super) fn default_dockerfile(build: &mut Node) {
    if build.get("dockerfile_inline").is_none() {
        let at = build.at;
        build.set_default("dockerfile", Node::text("Dockerfile", at));
    }
}
