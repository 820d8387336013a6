//! Keys of a service.

use super::{Field, PAIRS, SCALARS, Shape, TEXT_OR_TEXTS, TEXTS, field, ignored, refused, top::X_MESH};
use crate::value;

pub(super) const MODELS_UNUSED: &str = "no models are run here";
const BUILD_UNUSED: &str = "images are not built here";
const SWARM: &str = "it belongs to swarm";
const HOOKS: &str = "no hooks are run";
const DEVICE_ACCESS: &str = "no devices are reserved; the service sees those of `devices` only";
const CPU_REALTIME: &str = "no realtime share is given";
const CPU_COUNT: &str = "it limits on Windows only; `cpus` limits here";

const MODE: Shape = Shape::Parsed(value::is_mode, "an octal mode such as 0440");
const COMMAND: Shape = Shape::Either(&[Shape::Text, TEXTS]);
const TEXT_OR_INT: Shape = Shape::Text;

/// A service.
pub(super) const SERVICE: Shape = Shape::Object(&[
    ignored("annotations", PAIRS, "containers carry labels only"),
    ignored("attach", Shape::Bool, "every service's output is followed"),
    ignored("blkio_config", Shape::Any, "no limits on block devices are set"),
    field("build", Shape::Either(&[Shape::Text, BUILD])),
    field("cap_add", TEXTS),
    field("cap_drop", TEXTS),
    ignored("cgroup", Shape::Word(&["host", "private"]), "the cgroup namespace is always private"),
    ignored("cgroup_parent", Shape::Text, "cgroups stand below the project's"),
    field("command", COMMAND),
    field("configs", FILE_MOUNTS),
    field("container_name", Shape::Parsed(value::is_container_name, "letters, digits, `_`, `.` and `-`")),
    ignored("cpu_count", Shape::Int(0, i64::MAX), CPU_COUNT),
    ignored("cpu_percent", Shape::Int(0, 100), CPU_COUNT),
    field("cpu_period", Shape::Scalar),
    field("cpu_quota", Shape::Scalar),
    ignored("cpu_rt_period", Shape::Scalar, CPU_REALTIME),
    ignored("cpu_rt_runtime", Shape::Scalar, CPU_REALTIME),
    field("cpu_shares", Shape::Int(0, i64::MAX)),
    field("cpus", Shape::Number),
    field("cpuset", Shape::Text),
    ignored("credential_spec", Shape::Any, "it belongs to Windows"),
    field("depends_on", Shape::Either(&[TEXTS, Shape::Map(&DEPENDENCY)])),
    field("deploy", DEPLOY),
    ignored("develop", Shape::Any, "files are not watched"),
    ignored("device_cgroup_rules", TEXTS, "devices are given by `devices` only"),
    field("devices", Shape::List(&Shape::Either(&[Shape::Text, DEVICE]))),
    field("dns", TEXT_OR_TEXTS),
    field("dns_opt", TEXTS),
    field("dns_search", TEXT_OR_TEXTS),
    field("domainname", Shape::Text),
    field("entrypoint", COMMAND),
    field("env_file", Shape::Either(&[Shape::Text, Shape::List(&Shape::Either(&[Shape::Text, ENV_FILE]))])),
    field("environment", PAIRS),
    field("expose", TEXTS),
    field("extends", Shape::Any),
    refused("external_links", TEXTS, "containers of other projects are not reached by link"),
    field("extra_hosts", Shape::Either(&[Shape::Map(&TEXT_OR_TEXTS), TEXTS])),
    ignored("gpus", Shape::Any, DEVICE_ACCESS),
    field("group_add", TEXTS),
    field("healthcheck", HEALTHCHECK),
    field("hostname", Shape::Text),
    field("image", Shape::Text),
    field("init", Shape::Bool),
    field("ipc", Shape::Text),
    ignored("isolation", Shape::Text, "it belongs to Windows"),
    field("label_file", TEXT_OR_TEXTS),
    field("labels", PAIRS),
    field("links", TEXTS),
    field("logging", Shape::Object(&[field("driver", Shape::Text), field("options", SCALARS)])),
    field("mac_address", Shape::Text),
    field("mem_limit", Shape::Bytes),
    field("mem_reservation", Shape::Bytes),
    ignored("mem_swappiness", Shape::Int(0, 100), "the kernel's own swappiness counts"),
    field("memswap_limit", Shape::Either(&[Shape::Word(&["-1"]), Shape::Bytes])),
    ignored("models", Shape::Any, MODELS_UNUSED),
    field("network_mode", Shape::Text),
    field("networks", Shape::Either(&[TEXTS, Shape::Map(&ATTACHMENT)])),
    ignored("oom_kill_disable", Shape::Bool, "a service that runs out of memory is ended"),
    field("oom_score_adj", Shape::Int(-1000, 1000)),
    field("pid", Shape::Text),
    field("pids_limit", Shape::Int(-1, i64::MAX)),
    field("platform", Shape::Text),
    field("ports", Shape::List(&Shape::Either(&[Shape::Text, PORT]))),
    ignored("post_start", Shape::Any, HOOKS),
    ignored("pre_start", Shape::Any, HOOKS),
    ignored("pre_stop", Shape::Any, HOOKS),
    field("privileged", Shape::Bool),
    field("profiles", TEXTS),
    refused("provider", Shape::Any, "no provider programs are run, so the service would be missing"),
    field("pull_policy", Shape::Text),
    ignored("pull_refresh_after", Shape::Text, "use `pull_policy`"),
    field("read_only", Shape::Bool),
    field(
        "restart",
        Shape::Parsed(value::is_restart, "no, always, unless-stopped, on-failure or on-failure:3"),
    ),
    ignored("runtime", Shape::Text, "Mesh is the runtime"),
    field("scale", Shape::Int(0, 1000)),
    field("secrets", FILE_MOUNTS),
    field("security_opt", TEXTS),
    field("shm_size", Shape::Bytes),
    field("stdin_open", Shape::Bool),
    field("stop_grace_period", Shape::Duration),
    field("stop_signal", Shape::Text),
    ignored("storage_opt", Shape::Any, "the size of the root file system is not limited"),
    field("sysctls", PAIRS),
    field("tmpfs", TEXT_OR_TEXTS),
    field("tty", Shape::Bool),
    field("ulimits", Shape::Map(&Shape::Either(&[ULIMIT_VALUE, ULIMIT]))),
    refused("use_api_socket", Shape::Bool, "there is no engine socket to give"),
    field("user", TEXT_OR_INT),
    ignored("userns_mode", Shape::Text, "the user namespace is chosen by the ground"),
    ignored("uts", Shape::Text, "every container has its own host name"),
    field("volumes", Shape::List(&Shape::Either(&[Shape::Text, VOLUME_MOUNT]))),
    refused("volumes_from", TEXTS, "name the volumes and mount them in both services instead"),
    field("working_dir", Shape::Text),
    field("x-mesh", X_MESH),
]);

const BUILD: Shape = Shape::Object(&[
    field("context", Shape::Text),
    field("dockerfile", Shape::Text),
    field("dockerfile_inline", Shape::Text),
    field("args", PAIRS),
    field("labels", PAIRS),
    field("target", Shape::Text),
    field("tags", TEXTS),
    field("platforms", TEXTS),
    field("network", Shape::Text),
    field("shm_size", Shape::Bytes),
    field("pull", Shape::Bool),
    field("no_cache", Shape::Bool),
    ignored("no_cache_filter", TEXT_OR_TEXTS, BUILD_UNUSED),
    ignored("additional_contexts", PAIRS, BUILD_UNUSED),
    ignored("ssh", Shape::Any, BUILD_UNUSED),
    ignored("cache_from", TEXTS, BUILD_UNUSED),
    ignored("cache_to", TEXTS, BUILD_UNUSED),
    ignored("entitlements", TEXTS, BUILD_UNUSED),
    ignored("extra_hosts", Shape::Any, BUILD_UNUSED),
    ignored("isolation", Shape::Text, BUILD_UNUSED),
    ignored("privileged", Shape::Bool, BUILD_UNUSED),
    ignored("provenance", Shape::Scalar, BUILD_UNUSED),
    ignored("sbom", Shape::Scalar, BUILD_UNUSED),
    ignored("secrets", Shape::Any, BUILD_UNUSED),
    ignored("ulimits", Shape::Any, BUILD_UNUSED),
]);

const DEPENDENCY: Shape = Shape::Object(&[
    field(
        "condition",
        Shape::Word(&["service_started", "service_healthy", "service_completed_successfully"]),
    ),
    field("required", Shape::Bool),
    field("restart", Shape::Bool),
]);

const RESOURCE_LIMITS: &[Field] =
    &[field("cpus", Shape::Number), field("memory", Shape::Bytes), field("pids", Shape::Int(-1, i64::MAX))];

const DEPLOY: Shape = Shape::Object(&[
    ignored("endpoint_mode", Shape::Text, SWARM),
    field("labels", PAIRS),
    field("mode", Shape::Text),
    ignored("placement", Shape::Any, SWARM),
    field("replicas", Shape::Int(0, 1000)),
    field(
        "resources",
        Shape::Object(&[
            field("limits", Shape::Object(RESOURCE_LIMITS)),
            field(
                "reservations",
                Shape::Object(&[
                    ignored("cpus", Shape::Number, "no CPU is set aside"),
                    field("memory", Shape::Bytes),
                    ignored("pids", Shape::Int(-1, i64::MAX), "no process numbers are set aside"),
                    ignored("generic_resources", Shape::Any, SWARM),
                    ignored("devices", Shape::Any, DEVICE_ACCESS),
                ]),
            ),
        ]),
    ),
    field(
        "restart_policy",
        Shape::Object(&[
            field("condition", Shape::Word(&["none", "on-failure", "any"])),
            ignored("delay", Shape::Duration, "restarts back off by themselves"),
            field("max_attempts", Shape::Int(0, 1_000_000)),
            ignored("window", Shape::Duration, "restarts back off by themselves"),
        ]),
    ),
    ignored("rollback_config", Shape::Any, SWARM),
    ignored("update_config", Shape::Any, SWARM),
]);

const DEVICE: Shape = Shape::Object(&[
    field("source", Shape::Text),
    field("target", Shape::Text),
    field("permissions", Shape::Text),
]);

const ENV_FILE: Shape = Shape::Object(&[
    field("path", Shape::Text),
    field("required", Shape::Bool),
    field("format", Shape::Word(&["raw"])),
]);

const HEALTHCHECK: Shape = Shape::Object(&[
    field("disable", Shape::Bool),
    field("interval", Shape::Duration),
    field("retries", Shape::Int(0, 1_000_000)),
    field("start_interval", Shape::Duration),
    field("start_period", Shape::Duration),
    field("test", COMMAND),
    field("timeout", Shape::Duration),
]);

const ATTACHMENT: Shape = Shape::Object(&[
    field("aliases", TEXTS),
    ignored("driver_opts", SCALARS, "the driver takes no options of an attachment"),
    ignored("gw_priority", Shape::Int(i64::MIN, i64::MAX), "`priority` chooses the default route"),
    ignored("interface_name", Shape::Text, "interfaces are numbered in order"),
    field("ipv4_address", Shape::Parsed(value::is_ipv4, "an IPv4 address")),
    ignored("ipv6_address", Shape::Parsed(value::is_ipv6, "an IPv6 address"), "networks carry IPv4"),
    ignored("link_local_ips", TEXTS, "link-local addresses are the kernel's"),
    field("mac_address", Shape::Text),
    field("priority", Shape::Int(-1_000_000, 1_000_000)),
]);

const PORT: Shape = Shape::Object(&[
    field("app_protocol", Shape::Text),
    field("host_ip", Shape::Parsed(value::is_address, "an IP address")),
    field("mode", Shape::Word(&["ingress", "host"])),
    field("name", Shape::Text),
    field("protocol", Shape::Text),
    field("published", Shape::Text),
    field("target", Shape::Int(1, 65535)),
]);

const FILE_MOUNTS: Shape = Shape::List(&Shape::Either(&[
    Shape::Text,
    Shape::Object(&[
        field("source", Shape::Text),
        field("target", Shape::Text),
        field("uid", Shape::Text),
        field("gid", Shape::Text),
        field("mode", MODE),
    ]),
]));

const ULIMIT_VALUE: Shape = Shape::Int(-1, i64::MAX);
const ULIMIT: Shape = Shape::Object(&[field("soft", ULIMIT_VALUE), field("hard", ULIMIT_VALUE)]);

const VOLUME_MOUNT: Shape = Shape::Object(&[
    field("type", Shape::Word(&["bind", "volume", "tmpfs", "cluster", "npipe", "image"])),
    field("source", Shape::Text),
    field("target", Shape::Text),
    field("read_only", Shape::Bool),
    ignored("consistency", Shape::Text, "files are shared directly"),
    field(
        "bind",
        Shape::Object(&[
            field("create_host_path", Shape::Bool),
            ignored("propagation", Shape::Text, "mounts do not propagate"),
            ignored("recursive", Shape::Text, "binds are recursive"),
            ignored("selinux", Shape::Text, "SELinux labels are left alone"),
        ]),
    ),
    field(
        "volume",
        Shape::Object(&[
            field("nocopy", Shape::Bool),
            field("subpath", Shape::Text),
            ignored("labels", PAIRS, "label the volume at the top of the file"),
        ]),
    ),
    field(
        "tmpfs",
        Shape::Object(&[
            field("size", Shape::Bytes),
            field("mode", MODE),
            field("uid", Shape::Int(0, u32::MAX as i64)),
            field("gid", Shape::Int(0, u32::MAX as i64)),
        ]),
    ),
    ignored("image", Shape::Any, "images are not mounted"),
]);
