//! One service.

use super::{entries, flag, items, mounts, network, number, process, size, text, texts, unsupported};
use crate::{context::Context, node::Node, value};
use mesh_model::{
    limits::{Limits, Ulimit},
    service::{
        Condition, Dependency, Logging, PullPolicy, RestartPolicy, STOP_GRACE_PERIOD_DEFAULT, Service,
    },
};
use std::collections::BTreeMap;

pub(super) fn service(name: &str, node: &Node, cx: &mut Context) -> Service {
    let mut labels = texts(node.get("labels"));
    labels.extend(texts(node.at_path(&["deploy", "labels"])));
    Service {
        name: name.to_owned(),
        image: text(node, "image"),
        build: node.get("build").is_some(),
        pull_policy: pull_policy(node, cx),
        platform: text(node, "platform"),
        container_name: text(node, "container_name"),
        scale: number(node.get("scale"))
            .or_else(|| number(node.at_path(&["deploy", "replicas"])))
            .unwrap_or(1),
        process: process::process(node),
        environment: texts(node.get("environment")),
        labels,
        depends_on: depends_on(node),
        healthcheck: process::healthcheck(node),
        restart: restart(node),
        stop_signal: text(node, "stop_signal").map(|signal| process::signal(&signal)),
        stop_grace_period: text(node, "stop_grace_period")
            .and_then(|text| value::duration(&text))
            .unwrap_or(STOP_GRACE_PERIOD_DEFAULT),
        network: network::network(node, cx),
        mounts: mounts::mounts(node, cx),
        secrets: mounts::files(node, "secrets", "/run/secrets/"),
        configs: mounts::files(node, "configs", "/"),
        security: process::security(node, cx),
        limits: limits(node),
        ulimits: ulimits(node),
        sysctls: texts(node.get("sysctls")),
        devices: items(node.get("devices")).map(device).collect(),
        logging: logging(node, cx),
        substitute: super::project::substitute(node),
    }
}

fn pull_policy(node: &Node, cx: &mut Context) -> PullPolicy {
    let Some(policy) = node.get("pull_policy") else { return PullPolicy::Missing };
    match policy.as_text().unwrap_or_default() {
        "" | "missing" | "if_not_present" => PullPolicy::Missing,
        "always" => PullPolicy::Always,
        "never" => PullPolicy::Never,
        "build" => PullPolicy::Build,
        text @ ("refresh" | "daily" | "weekly") => age_policy(policy, text, cx),
        text if text.starts_with("every_") => age_policy(policy, text, cx),
        _ => {
            unsupported(cx, policy, "pull_policy", "it is one of always, missing, never and build");
            PullPolicy::Missing
        }
    }
}

fn age_policy(node: &Node, text: &str, cx: &mut Context) -> PullPolicy {
    cx.warn(node.at, "no-effect", format!("`pull_policy: {text}` is taken as `missing`: no ages are kept"));
    PullPolicy::Missing
}

fn depends_on(node: &Node) -> BTreeMap<String, Dependency> {
    entries(node.get("depends_on"))
        .map(|(name, node)| {
            let condition = match text(node, "condition").as_deref() {
                Some("service_healthy") => Condition::ServiceHealthy,
                Some("service_completed_successfully") => Condition::ServiceCompletedSuccessfully,
                _ => Condition::ServiceStarted,
            };
            let required = node.get("required").and_then(Node::as_bool).unwrap_or(true);
            (name.clone(), Dependency { condition, required, restart: flag(node, "restart") })
        })
        .collect()
}

fn restart(node: &Node) -> RestartPolicy {
    if let Some(policy) = text(node, "restart").and_then(|text| value::restart(&text)) {
        return policy;
    }
    let Some(policy) = node.at_path(&["deploy", "restart_policy"]) else { return RestartPolicy::No };
    match text(policy, "condition").as_deref() {
        Some("none") => RestartPolicy::No,
        Some("on-failure") => RestartPolicy::OnFailure { max_attempts: number(policy.get("max_attempts")) },
        _ => RestartPolicy::Always,
    }
}

fn limits(node: &Node) -> Limits {
    let limits = node.at_path(&["deploy", "resources", "limits"]);
    let limit = |key: &str| limits.and_then(|limits| limits.get(key));
    let quota = node.get("cpu_quota").and_then(Node::as_float).map(|quota| {
        quota
            / node
                .get("cpu_period")
                .and_then(Node::as_float)
                .filter(|period| *period > 0.0)
                .unwrap_or(100_000.0)
    });
    let cpus = node.get("cpus").or_else(|| limit("cpus")).and_then(Node::as_float).or(quota);
    let swap = node.get("memswap_limit");
    Limits {
        memory_bytes: size(node.get("mem_limit").or_else(|| limit("memory"))).filter(|bytes| *bytes > 0),
        memory_swap_bytes: swap
            .and_then(|swap| {
                if swap.as_int() == Some(-1) { Some(-1) } else { i64::try_from(size(Some(swap))?).ok() }
            })
            .filter(|bytes| *bytes != 0),
        memory_reservation_bytes: size(
            node.get("mem_reservation")
                .or_else(|| node.at_path(&["deploy", "resources", "reservations", "memory"])),
        ),
        cpus: cpus.filter(|cpus| *cpus > 0.0),
        cpu_shares: number(node.get("cpu_shares")),
        cpuset: text(node, "cpuset").filter(|cpus| !cpus.is_empty()),
        pids: number::<u64>(node.get("pids_limit").or_else(|| limit("pids"))).filter(|pids| *pids > 0),
        shm_bytes: size(node.get("shm_size")),
        oom_score_adj: number(node.get("oom_score_adj")),
    }
}

fn ulimits(node: &Node) -> BTreeMap<String, Ulimit> {
    entries(node.get("ulimits"))
        .filter_map(|(name, node)| {
            let (soft, hard) = match node.as_int() {
                Some(both) => (both, both),
                None => {
                    let (soft, hard) = (number(node.get("soft")), number(node.get("hard")));
                    (soft.or(hard)?, hard.or(soft)?)
                }
            };
            Some((name.clone(), Ulimit { soft, hard }))
        })
        .collect()
}

fn device(node: &Node) -> String {
    let part = |key: &str| text(node, key).unwrap_or_default();
    format!("{}:{}:{}", part("source"), part("target"), part("permissions"))
}

fn logging(node: &Node, cx: &mut Context) -> Logging {
    let mut logging = Logging::default();
    let Some(section) = node.get("logging") else { return logging };
    match section.get("driver").and_then(Node::as_text).unwrap_or_default() {
        "none" => logging.disabled = true,
        "" | "json-file" | "local" | "journald" => {}
        driver => {
            let at = section.get("driver").map(|node| node.at).unwrap_or_default();
            cx.warn(
                at,
                "no-effect",
                format!("logging driver `{driver}` has no effect: logs go to the journal"),
            );
        }
    }
    for (key, option) in entries(section.get("options")) {
        match key.as_str() {
            "max-size" => match size(Some(option)).filter(|bytes| *bytes > 0) {
                Some(bytes) => logging.segment_bytes_max = bytes,
                None if option.scalar().as_deref() == Some("-1") => {}
                None => cx.error_with_hint(
                    option.at,
                    "bad-value",
                    "`max-size` must be a size in bytes",
                    "such as `10m`",
                ),
            },
            "max-file" => match number::<u32>(Some(option)).filter(|count| *count > 0) {
                Some(count) => logging.segments_max = count,
                None => cx.error(option.at, "bad-value", "`max-file` must be a whole number, one or more"),
            },
            other => cx.warn(option.at, "no-effect", format!("logging option `{other}` has no effect")),
        }
    }
    if let Some(mode) = node.at_path(&["deploy", "mode"]).filter(|mode| mode.as_text() != Some("replicated"))
    {
        cx.warn(mode.at, "no-effect", "`deploy.mode` has no effect: it belongs to swarm");
    }
    logging
}
