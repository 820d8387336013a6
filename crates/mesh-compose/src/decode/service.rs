//! One service.

use super::{
    certificate, entries, flag, hooks, items, mounts, network, number, process, size, text, texts, watch,
};
use crate::{context::Context, node::Node, value};
use mesh_model::{
    limits::{Limits, Ulimit},
    service::{
        Condition, Dependency, Logging, PullPolicy, RestartPolicy, STOP_GRACE_PERIOD_DEFAULT, Service,
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// Most containers of one service.
const SCALE_MAX: u32 = 1000;

pub(super) fn service(
    name: &str,
    node: &Node,
    environment: &BTreeMap<String, String>,
    cx: &mut Context,
) -> Service {
    name.clone_into(&mut cx.service);
    image_or_build(node, cx);
    container_name(node, cx);
    let mut labels = texts(node.get("labels"));
    labels.extend(texts(node.at_path(&["deploy", "labels"])));
    Service {
        name: name.to_owned(),
        image: text(node, "image"),
        build: node.get("build").is_some(),
        pull_policy: pull_policy(node, cx),
        platform: text(node, "platform"),
        container_name: text(node, "container_name"),
        scale: scale(node, cx),
        process: process::process(node),
        environment: texts(node.get("environment")),
        environment_unset: unset(node.get("environment")),
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
        limits: limits(node, cx),
        ulimits: ulimits(node),
        sysctls: texts(node.get("sysctls")),
        devices: items(node.get("devices")).map(device).collect(),
        logging: logging(node, cx),
        substitute: super::project::substitute(node),
        when_no_source: super::project::when_no_source(node),
        dump: super::dump::dump(name, node),
        hooks: hooks::hooks(node, environment, cx),
        watch: watch::watch(node, environment),
        provider: hooks::provider(node),
        certificates: certificate::certificates(node, cx),
        repeat: super::repeat::repeat(node, cx),
    }
}

/// Nothing is built here: an image is used in its place, and where none is named nothing can start.
fn image_or_build(node: &Node, cx: &mut Context) {
    let Some(build) = node.get("build") else { return };
    if text(node, "image").is_some_and(|image| !image.is_empty()) {
        let message =
            format!("`build` of service `{}` has no effect: its image is used as it is", cx.service);
        cx.warn(build.at, "no-effect", message);
    } else {
        let message = format!(
            "service `{}` has no image: it has only a `build`, and images are not built here",
            cx.service
        );
        let hint = "build the image elsewhere, and name it with `image`".to_owned();
        cx.refuse_this(build.at, "unsupported", message, Some(hint));
    }
}

fn container_name(node: &Node, cx: &mut Context) {
    let Some(name) = node.get("container_name") else { return };
    let text = name.scalar().unwrap_or_default();
    if !value::is_container_name(&text) {
        let message = format!("`{text}` cannot name a container");
        let hint =
            "a name takes letters, digits, `_`, `.` and `-`, and starts with a letter or digit".to_owned();
        cx.refuse_this(name.at, "bad-value", message, Some(hint));
    }
}

fn scale(node: &Node, cx: &mut Context) -> u32 {
    let Some(wanted) = node.get("scale").or_else(|| node.at_path(&["deploy", "replicas"])) else { return 1 };
    match number(Some(wanted)) {
        Some(count) if count <= SCALE_MAX => count,
        _ => {
            let message = format!("a service has at most {SCALE_MAX} containers");
            cx.refuse_this(wanted.at, "too-large", message, None);
            1
        }
    }
}

fn pull_policy(node: &Node, cx: &mut Context) -> PullPolicy {
    let Some(policy) = node.get("pull_policy") else { return PullPolicy::Unset };
    let text = policy.scalar().unwrap_or_default();
    if text == "refresh" {
        cx.warn(policy.at, "no-effect", "`pull_policy: refresh` without a time is taken as `missing`");
    }
    value::pull_policy(&text).unwrap_or_default()
}

/// The variables that are named without a value, which the environment that the file was read in does not have
/// either.
fn unset(node: Option<&Node>) -> BTreeSet<String> {
    entries(node).filter(|(_, node)| node.is_null()).map(|(name, _)| name.clone()).collect()
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

fn limits(node: &Node, cx: &mut Context) -> Limits {
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
    let cpus = node.get("cpus").or_else(|| limit("cpus"));
    if let Some(negative) = cpus.filter(|cpus| cpus.as_float().is_some_and(|count| count < 0.0)) {
        cx.refuse_this(negative.at, "bad-value", "`cpus` must be zero or more".to_owned(), None);
    }
    let cpus = cpus.and_then(Node::as_float).or(quota);
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
    let unattached = node.get("attach").is_some() && !flag(node, "attach");
    let mut logging = Logging { unattached, ..Logging::default() };
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
