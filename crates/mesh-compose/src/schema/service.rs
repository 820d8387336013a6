//! Keys of a service.

use super::{
    COMMAND, COUNT, EXTRA_HOSTS, NAMES, PAIRS, Shape, TEXT_OR_TEXTS, TEXTS_OR_NUMBERS, WHOLE,
    build::BUILD,
    deploy::{DEPLOY, DEVICE_ACCESS, GPUS},
    field,
    hooks::{DEVELOP, HOOK, INIT_CONTAINER},
    ignored, mesh,
    mounts::{BLOCK_DEVICES, DEVICES, FILE_MOUNTS, ULIMITS, VOLUMES},
    not_started, required,
};
use crate::value;

const CPU_REALTIME: &str = "no realtime share is given";
const CPU_COUNT: &str = "it limits on Windows only; `cpus` limits here";

/// A service.
pub(super) const SERVICE: Shape = Shape::Object(&[
    ignored("annotations", PAIRS, "containers carry labels only"),
    field("attach", Shape::Bool),
    ignored("blkio_config", BLOCK_DEVICES, "no limits on block devices are set"),
    field("build", BUILD),
    field("cap_add", NAMES),
    field("cap_drop", NAMES),
    ignored("cgroup", Shape::Word(&["host", "private"]), "the cgroup namespace is always private"),
    ignored("cgroup_parent", Shape::Text, "cgroups stand below the project's"),
    field("command", Shape::Nullable(&COMMAND)),
    field("configs", FILE_MOUNTS),
    field("container_name", Shape::Parsed(has_container_name, "letters, digits, `_`, `.` and `-`")),
    ignored("cpu_count", COUNT, CPU_COUNT),
    ignored("cpu_percent", Shape::Int(0, 100), CPU_COUNT),
    field("cpu_period", WHOLE),
    field("cpu_quota", WHOLE),
    ignored("cpu_rt_period", WHOLE, CPU_REALTIME),
    ignored("cpu_rt_runtime", WHOLE, CPU_REALTIME),
    field("cpu_shares", WHOLE),
    field("cpus", Shape::Number),
    field("cpuset", Shape::Text),
    ignored(
        "credential_spec",
        Shape::Object(&[
            field("config", Shape::Text),
            field("file", Shape::Text),
            field("registry", Shape::Text),
        ]),
        "it belongs to Windows",
    ),
    field("depends_on", Shape::Either(&[NAMES, Shape::Named(&DEPENDENCY)])),
    field("deploy", DEPLOY),
    field("develop", DEVELOP),
    ignored("device_cgroup_rules", NAMES, "devices are given by `devices` only"),
    field("devices", DEVICES),
    field("dns", TEXT_OR_TEXTS),
    field("dns_opt", NAMES),
    field("dns_search", TEXT_OR_TEXTS),
    field("domainname", Shape::Text),
    field("entrypoint", Shape::Nullable(&COMMAND)),
    field("env_file", Shape::Either(&[Shape::Text, Shape::List(&Shape::Either(&[Shape::Text, ENV_FILE]))])),
    field("environment", PAIRS),
    field("expose", Shape::Unique(&Shape::TextOrNumber)),
    // What it names was taken in before this is asked.
    field("extends", Shape::Any),
    not_started("external_links", NAMES, "containers of other projects are not reached by link"),
    field("extra_hosts", EXTRA_HOSTS),
    not_started("gpus", GPUS, DEVICE_ACCESS),
    field("group_add", Shape::Unique(&Shape::TextOrNumber)),
    field("healthcheck", HEALTHCHECK),
    field("hostname", Shape::Text),
    field("image", Shape::Text),
    field("init", Shape::Bool),
    field("ipc", Shape::Text),
    ignored("isolation", Shape::Text, "it belongs to Windows"),
    field("label_file", TEXT_OR_TEXTS),
    field("labels", PAIRS),
    field("links", NAMES),
    field(
        "logging",
        Shape::Object(&[
            field("driver", Shape::Text),
            field("options", Shape::Map(&Shape::Nullable(&Shape::TextOrNumber))),
        ]),
    ),
    field("mac_address", Shape::Text),
    field("mem_limit", MEMORY),
    field("mem_reservation", MEMORY),
    ignored("mem_swappiness", Shape::Bytes, "the kernel's own swappiness counts"),
    field("memswap_limit", MEMORY),
    not_started("models", MODELS, "no models are run here"),
    field("network_mode", Shape::Text),
    field("networks", Shape::Either(&[NAMES, Shape::Named(&ATTACHMENT)])),
    ignored("oom_kill_disable", Shape::Bool, "a service that runs out of memory is ended"),
    field("oom_score_adj", Shape::Int(-1000, 1000)),
    field("pid", Shape::Nullable(&Shape::Text)),
    field("pids_limit", WHOLE),
    field("platform", Shape::Text),
    field("ports", Shape::List(&Shape::Either(&[Shape::TextOrNumber, PORT]))),
    field("post_start", Shape::List(&HOOK)),
    field("pre_start", Shape::List(&INIT_CONTAINER)),
    field("pre_stop", Shape::List(&HOOK)),
    field("privileged", Shape::Bool),
    field("profiles", NAMES),
    field(
        "provider",
        Shape::Object(&[
            required("type", Shape::Text),
            field("options", Shape::Map(&Shape::Either(&[Shape::Scalar, Shape::List(&Shape::Scalar)]))),
        ]),
    ),
    field("pull_policy", Shape::Parsed(value::is_pull_policy, value::PULL_POLICIES)),
    ignored("pull_refresh_after", Shape::Text, "use `pull_policy`"),
    field("read_only", Shape::Bool),
    field(
        "restart",
        Shape::Startable(value::is_restart, "no, always, unless-stopped, on-failure or on-failure:3"),
    ),
    ignored("runtime", Shape::Text, "Mesh is the runtime"),
    field("scale", COUNT),
    field("secrets", FILE_MOUNTS),
    field("security_opt", NAMES),
    field("shm_size", Shape::Bytes),
    field("stdin_open", Shape::Bool),
    field("stop_grace_period", Shape::Duration),
    field("stop_signal", Shape::Startable(value::is_signal, "a signal, such as SIGINT, INT or 2")),
    ignored("storage_opt", Shape::Map(&Shape::Scalar), "the size of the root file system is not limited"),
    field("sysctls", PAIRS),
    field("tmpfs", TEXT_OR_TEXTS),
    field("tty", Shape::Bool),
    field("ulimits", ULIMITS),
    not_started("use_api_socket", Shape::TrueOrFalse, "there is no engine socket to give"),
    field("user", Shape::Text),
    ignored("userns_mode", Shape::Text, "the user namespace is chosen by the ground"),
    ignored("uts", Shape::Text, "every container has its own host name"),
    field("volumes", VOLUMES),
    not_started("volumes_from", NAMES, "name the volumes and mount them in both services instead"),
    field("working_dir", Shape::Text),
    field("x-mesh", mesh::OF_SERVICE),
]);

/// -1 is without a limit.
const MEMORY: Shape = Shape::Either(&[Shape::Word(&["-1"]), Shape::Bytes]);

const DEPENDENCY: Shape = Shape::Object(&[
    required(
        "condition",
        Shape::Word(&["service_started", "service_healthy", "service_completed_successfully"]),
    ),
    field("required", Shape::Bool),
    field("restart", Shape::Bool),
]);

const ENV_FILE: Shape = Shape::Object(&[
    required("path", Shape::Text),
    field("required", Shape::Bool),
    field("format", Shape::Parsed(is_env_format, "raw")),
]);

const HEALTHCHECK: Shape = Shape::Object(&[
    field("disable", Shape::Bool),
    field("interval", Shape::Duration),
    field("retries", COUNT),
    field("start_interval", Shape::Duration),
    field("start_period", Shape::Duration),
    field("test", COMMAND),
    field("timeout", Shape::Duration),
]);

const MODELS: Shape = Shape::Either(&[
    NAMES,
    Shape::Map(&Shape::Nullable(&Shape::Object(&[
        field("endpoint_var", Shape::Text),
        field("model_var", Shape::Text),
    ]))),
]);

const ATTACHMENT: Shape = Shape::Nullable(&Shape::Object(&[
    field("aliases", NAMES),
    ignored("driver_opts", TEXTS_OR_NUMBERS, "the driver takes no options of an attachment"),
    ignored("gw_priority", WHOLE, "`priority` chooses the default route"),
    field("interface_name", Shape::Text),
    field("ipv4_address", Shape::Startable(value::is_ipv4, "an IPv4 address")),
    ignored("ipv6_address", Shape::Startable(value::is_ipv6, "an IPv6 address"), "networks carry IPv4"),
    ignored("link_local_ips", NAMES, "link-local addresses are the kernel's"),
    field("mac_address", Shape::Text),
    field("priority", WHOLE),
]));

const PORT: Shape = Shape::Object(&[
    field("app_protocol", Shape::Text),
    field("host_ip", Shape::Parsed(value::is_address, "an IP address")),
    field("mode", Shape::Text),
    field("name", Shape::Text),
    field("protocol", Shape::Text),
    field("published", Shape::TextOrNumber),
    field("target", Shape::Int(1, 65535)),
]);

/// The specification asks only that a name is somewhere in it; the ground asks for the whole.
fn has_container_name(text: &str) -> bool {
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    text.char_indices()
        .any(|(index, first)| first.is_ascii_alphanumeric() && text[index + 1..].starts_with(named))
}

fn is_env_format(text: &str) -> bool {
    matches!(text, "raw" | "")
}
