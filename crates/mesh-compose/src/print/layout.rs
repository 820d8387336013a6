//! Every object of a Compose file: its keys in the order in which Docker Compose shows them.

use super::record::{Kind, Record, Scalar, Slot};

const fn slot(name: &'static str, kind: Kind) -> Slot {
    Slot { name, json: None, kind, always: false }
}

const fn always(name: &'static str, kind: Kind) -> Slot {
    Slot { name, json: None, kind, always: true }
}

/// Always shown, and spelled otherwise in JSON.
const fn cased(name: &'static str, json: &'static str, kind: Kind) -> Slot {
    Slot { name, json: Some(json), kind, always: true }
}

const fn text(name: &'static str) -> Slot {
    slot(name, Kind::One(Scalar::Text))
}

const fn flag(name: &'static str) -> Slot {
    slot(name, Kind::One(Scalar::Bool))
}

const fn int(name: &'static str) -> Slot {
    slot(name, Kind::One(Scalar::Int))
}

const fn float(name: &'static str) -> Slot {
    slot(name, Kind::One(Scalar::Float))
}

const fn bytes(name: &'static str) -> Slot {
    slot(name, Kind::One(Scalar::Bytes))
}

const fn set(name: &'static str, scalar: Scalar) -> Slot {
    slot(name, Kind::Set(scalar))
}

const fn texts(name: &'static str) -> Slot {
    slot(name, Kind::Texts)
}

const fn labels(name: &'static str) -> Slot {
    slot(name, Kind::Labels)
}

const fn object(name: &'static str, record: &'static Record) -> Slot {
    slot(name, Kind::Object(record))
}

const fn objects(name: &'static str, record: &'static Record) -> Slot {
    slot(name, Kind::Objects(record))
}

const fn named(name: &'static str, record: &'static Record) -> Slot {
    slot(name, Kind::Named(record))
}

/// The whole file. JSON sorts these keys.
pub(crate) static PROJECT: Record = Record {
    slots: &[
        text("name"),
        always("services", Kind::Named(&SERVICE)),
        named("networks", &NETWORK),
        named("volumes", &VOLUME),
        named("secrets", &FILE),
        named("configs", &FILE),
        named("models", &MODEL),
    ],
};

/// A service.
pub(crate) static SERVICE: Record = Record {
    slots: &[
        texts("profiles"),
        labels("annotations"),
        set("attach", Scalar::Bool),
        object("build", &BUILD),
        object("develop", &DEVELOP),
        object("blkio_config", &BLOCK_IO),
        texts("cap_add"),
        texts("cap_drop"),
        text("cgroup_parent"),
        text("cgroup"),
        int("cpu_count"),
        float("cpu_percent"),
        int("cpu_period"),
        int("cpu_quota"),
        int("cpu_rt_period"),
        int("cpu_rt_runtime"),
        float("cpus"),
        text("cpuset"),
        int("cpu_shares"),
        slot("command", Kind::Command),
        objects("configs", &FILE_MOUNT),
        text("container_name"),
        object("credential_spec", &CREDENTIAL),
        named("depends_on", &DEPENDENCY),
        object("deploy", &DEPLOY),
        texts("device_cgroup_rules"),
        objects("devices", &DEVICE),
        texts("dns"),
        texts("dns_opt"),
        texts("dns_search"),
        text("dockerfile"),
        text("domainname"),
        slot("entrypoint", Kind::Command),
        object("provider", &PROVIDER),
        slot("environment", Kind::Variables),
        objects("env_file", &ENV_FILE),
        texts("expose"),
        object("extends", &EXTENDS),
        texts("external_links"),
        texts("extra_hosts"),
        texts("group_add"),
        objects("gpus", &DEVICE_REQUEST),
        text("hostname"),
        object("healthcheck", &HEALTH),
        text("image"),
        set("init", Scalar::Bool),
        text("ipc"),
        text("isolation"),
        labels("labels"),
        texts("label_file"),
        texts("links"),
        object("logging", &LOGGING),
        text("log_driver"),
        labels("log_opt"),
        bytes("mem_limit"),
        bytes("mem_reservation"),
        bytes("memswap_limit"),
        bytes("mem_swappiness"),
        text("mac_address"),
        named("models", &SERVICE_MODEL),
        text("net"),
        text("network_mode"),
        named("networks", &ATTACHMENT),
        flag("oom_kill_disable"),
        int("oom_score_adj"),
        text("pid"),
        int("pids_limit"),
        text("platform"),
        objects("ports", &PORT),
        flag("privileged"),
        text("pull_policy"),
        flag("read_only"),
        text("restart"),
        text("runtime"),
        set("scale", Scalar::Int),
        objects("secrets", &FILE_MOUNT),
        texts("security_opt"),
        bytes("shm_size"),
        flag("stdin_open"),
        set("stop_grace_period", Scalar::Duration),
        text("stop_signal"),
        labels("storage_opt"),
        labels("sysctls"),
        texts("tmpfs"),
        flag("tty"),
        slot("ulimits", Kind::Limits),
        flag("use_api_socket"),
        text("user"),
        text("userns_mode"),
        text("uts"),
        text("volume_driver"),
        objects("volumes", &MOUNT),
        texts("volumes_from"),
        text("working_dir"),
        objects("pre_start", &PRE_START),
        objects("post_start", &HOOK),
        objects("pre_stop", &HOOK),
    ],
};

static BUILD: Record = Record {
    slots: &[
        text("context"),
        text("dockerfile"),
        text("dockerfile_inline"),
        texts("entitlements"),
        slot("args", Kind::Variables),
        text("provenance"),
        text("sbom"),
        slot("ssh", Kind::Keys),
        labels("labels"),
        texts("cache_from"),
        texts("cache_to"),
        flag("no_cache"),
        texts("no_cache_filter"),
        labels("additional_contexts"),
        flag("pull"),
        texts("extra_hosts"),
        text("isolation"),
        text("network"),
        text("target"),
        objects("secrets", &FILE_MOUNT),
        bytes("shm_size"),
        texts("tags"),
        slot("ulimits", Kind::Limits),
        texts("platforms"),
        flag("privileged"),
    ],
};

static DEVELOP: Record = Record { slots: &[objects("watch", &WATCH)] };

static WATCH: Record = Record {
    slots: &[
        always("path", Kind::One(Scalar::Text)),
        always("action", Kind::One(Scalar::Text)),
        text("target"),
        slot("exec", Kind::Part(&HOOK)),
        texts("include"),
        texts("ignore"),
        flag("initial_sync"),
    ],
};

static HOOK: Record = Record {
    slots: &[
        slot("command", Kind::Command),
        text("user"),
        flag("privileged"),
        text("working_dir"),
        slot("environment", Kind::Variables),
    ],
};

static PRE_START: Record = Record {
    slots: &[
        slot("command", Kind::Command),
        text("image"),
        text("user"),
        flag("privileged"),
        text("working_dir"),
        slot("environment", Kind::Variables),
        slot("per_replica", Kind::Any),
    ],
};

static BLOCK_IO: Record = Record {
    slots: &[
        int("weight"),
        objects("weight_device", &WEIGHT),
        objects("device_read_bps", &RATE),
        objects("device_read_iops", &RATE),
        objects("device_write_bps", &RATE),
        objects("device_write_iops", &RATE),
    ],
};

static WEIGHT: Record = Record {
    slots: &[
        cased("path", "Path", Kind::One(Scalar::Text)),
        cased("weight", "Weight", Kind::One(Scalar::Int)),
    ],
};

static RATE: Record = Record {
    slots: &[cased("path", "Path", Kind::One(Scalar::Text)), cased("rate", "Rate", Kind::One(Scalar::Bytes))],
};

static FILE_MOUNT: Record =
    Record { slots: &[text("source"), text("target"), text("uid"), text("gid"), set("mode", Scalar::Mode)] };

static CREDENTIAL: Record = Record { slots: &[text("config"), text("file"), text("registry")] };

static DEPENDENCY: Record =
    Record { slots: &[text("condition"), flag("restart"), always("required", Kind::One(Scalar::Bool))] };

static DEPLOY: Record = Record {
    slots: &[
        text("mode"),
        set("replicas", Scalar::Int),
        labels("labels"),
        object("update_config", &UPDATE),
        object("rollback_config", &UPDATE),
        slot("resources", Kind::Part(&RESOURCES)),
        object("restart_policy", &RESTART),
        slot("placement", Kind::Part(&PLACEMENT)),
        text("endpoint_mode"),
    ],
};

static UPDATE: Record = Record {
    slots: &[
        set("parallelism", Scalar::Int),
        slot("delay", Kind::One(Scalar::Duration)),
        text("failure_action"),
        slot("monitor", Kind::One(Scalar::Duration)),
        float("max_failure_ratio"),
        text("order"),
    ],
};

static RESOURCES: Record =
    Record { slots: &[object("limits", &RESOURCE), object("reservations", &RESOURCE)] };

static RESOURCE: Record = Record {
    slots: &[
        float("cpus"),
        bytes("memory"),
        int("pids"),
        objects("devices", &DEVICE_REQUEST),
        objects("generic_resources", &GENERIC),
    ],
};

static DEVICE_REQUEST: Record = Record {
    slots: &[
        texts("capabilities"),
        text("driver"),
        slot("count", Kind::One(Scalar::Count)),
        texts("device_ids"),
        labels("options"),
    ],
};

static GENERIC: Record = Record { slots: &[object("discrete_resource_spec", &DISCRETE)] };

static DISCRETE: Record =
    Record { slots: &[always("kind", Kind::One(Scalar::Text)), always("value", Kind::One(Scalar::Int))] };

static RESTART: Record = Record {
    slots: &[
        text("condition"),
        set("delay", Scalar::Duration),
        set("max_attempts", Scalar::Int),
        set("window", Scalar::Duration),
    ],
};

static PLACEMENT: Record = Record {
    slots: &[texts("constraints"), objects("preferences", &PREFERENCE), int("max_replicas_per_node")],
};

static PREFERENCE: Record = Record { slots: &[text("spread")] };

static DEVICE: Record = Record { slots: &[text("source"), text("target"), text("permissions")] };

static PROVIDER: Record = Record { slots: &[text("type"), slot("options", Kind::Lists)] };

static ENV_FILE: Record =
    Record { slots: &[text("path"), slot("required", Kind::UnlessTrue), text("format")] };

static EXTENDS: Record = Record { slots: &[text("file"), text("service")] };

static HEALTH: Record = Record {
    slots: &[
        texts("test"),
        set("timeout", Scalar::Duration),
        set("interval", Scalar::Duration),
        set("retries", Scalar::Int),
        set("start_period", Scalar::Duration),
        set("start_interval", Scalar::Duration),
        flag("disable"),
    ],
};

static LOGGING: Record = Record { slots: &[text("driver"), labels("options")] };

static SERVICE_MODEL: Record = Record { slots: &[text("endpoint_var"), text("model_var")] };

static ATTACHMENT: Record = Record {
    slots: &[
        texts("aliases"),
        labels("driver_opts"),
        int("gw_priority"),
        text("interface_name"),
        text("ipv4_address"),
        text("ipv6_address"),
        texts("link_local_ips"),
        text("mac_address"),
        int("priority"),
    ],
};

static PORT: Record = Record {
    slots: &[
        text("name"),
        text("mode"),
        text("host_ip"),
        int("target"),
        text("published"),
        text("protocol"),
        text("app_protocol"),
    ],
};

static MOUNT: Record = Record {
    slots: &[
        text("type"),
        text("source"),
        text("target"),
        flag("read_only"),
        text("consistency"),
        object("bind", &BIND),
        object("volume", &VOLUME_MOUNT),
        object("tmpfs", &TMPFS),
        object("image", &IMAGE_MOUNT),
    ],
};

static BIND: Record = Record {
    slots: &[
        text("selinux"),
        text("propagation"),
        slot("create_host_path", Kind::UnlessTrue),
        text("recursive"),
    ],
};

static VOLUME_MOUNT: Record = Record { slots: &[labels("labels"), flag("nocopy"), text("subpath")] };

static TMPFS: Record = Record { slots: &[bytes("size"), slot("mode", Kind::One(Scalar::ModeNumber))] };

static IMAGE_MOUNT: Record = Record { slots: &[text("subpath")] };

static NETWORK: Record = Record {
    slots: &[
        text("name"),
        text("driver"),
        labels("driver_opts"),
        slot("ipam", Kind::Part(&ADDRESSES)),
        flag("external"),
        flag("internal"),
        flag("attachable"),
        labels("labels"),
        set("enable_ipv4", Scalar::Bool),
        set("enable_ipv6", Scalar::Bool),
    ],
};

static ADDRESSES: Record = Record { slots: &[text("driver"), objects("config", &POOL), labels("options")] };

static POOL: Record =
    Record { slots: &[text("subnet"), text("gateway"), text("ip_range"), labels("aux_addresses")] };

static VOLUME: Record = Record {
    slots: &[text("name"), text("driver"), labels("driver_opts"), flag("external"), labels("labels")],
};

/// A secret or a config.
static FILE: Record = Record {
    slots: &[
        text("name"),
        text("file"),
        text("environment"),
        text("content"),
        flag("external"),
        labels("labels"),
        text("driver"),
        labels("driver_opts"),
        text("template_driver"),
    ],
};

static MODEL: Record =
    Record { slots: &[text("name"), text("model"), int("context_size"), texts("runtime_flags")] };
