//! How the process is started, tested and confined.

use super::{flag, list, number, text, unsupported};
use crate::{
    context::Context,
    node::{Node, Value},
    value,
};
use mesh_model::{
    health::{HealthSettings, HealthTest, Healthcheck},
    service::{ProcessSettings, Security},
};
use std::time::Duration;

/// Capabilities of Linux, without `CAP_`.
const CAPABILITIES: [&str; 42] = [
    "ALL",
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

pub(super) fn process(node: &Node) -> ProcessSettings {
    let words = |key: &str| {
        node.get(key).filter(|node| matches!(node.value, Value::List(_))).map(|node| list(Some(node)))
    };
    ProcessSettings {
        entrypoint: words("entrypoint"),
        command: words("command"),
        user: text(node, "user").filter(|user| !user.is_empty()),
        group_add: list(node.get("group_add")),
        working_dir: text(node, "working_dir").filter(|path| !path.is_empty()),
        init: flag(node, "init"),
        tty: flag(node, "tty"),
        stdin_open: flag(node, "stdin_open"),
    }
}

pub(super) fn healthcheck(node: &Node) -> Healthcheck {
    let Some(node) = node.get("healthcheck") else { return Healthcheck::Image };
    let words = list(node.get("test"));
    let test = match words.split_first() {
        _ if flag(node, "disable") => return Healthcheck::Disabled,
        Some((kind, _)) if kind == "NONE" => return Healthcheck::Disabled,
        Some((kind, rest)) if kind == "CMD-SHELL" => Some(HealthTest::Shell(rest.join(" "))),
        Some((_, rest)) => Some(HealthTest::Command(rest.to_vec())),
        None => None,
    };
    let time = |key: &str| -> Option<Duration> { value::duration(&text(node, key)?) };
    Healthcheck::Set(HealthSettings {
        test,
        interval: time("interval").filter(|time| !time.is_zero()),
        timeout: time("timeout").filter(|time| !time.is_zero()),
        retries: number(node.get("retries")),
        start_period: time("start_period"),
        start_interval: time("start_interval").filter(|time| !time.is_zero()),
    })
}

/// The full name of a signal: `INT` and `sigint` are `SIGINT`; numbers stay as they are.
pub(super) fn signal(text: &str) -> String {
    let upper = text.trim().to_ascii_uppercase();
    if upper.starts_with("SIG") || upper.starts_with(|first: char| first.is_ascii_digit()) {
        return upper;
    }
    format!("SIG{upper}")
}

pub(super) fn security(node: &Node, cx: &mut Context) -> Security {
    let mut security = Security {
        cap_add: capabilities(node, "cap_add", cx),
        cap_drop: capabilities(node, "cap_drop", cx),
        privileged: flag(node, "privileged"),
        no_new_privileges: true,
        seccomp_unconfined: false,
        read_only: flag(node, "read_only"),
        host_pid: namespace(node, "pid", cx),
        host_ipc: namespace(node, "ipc", cx),
        distrusts_gateway: node.at_path(&["x-mesh", "trust"]).and_then(Node::as_bool) == Some(false),
    };
    for option in super::items(node.get("security_opt")) {
        let text = option.scalar().unwrap_or_default();
        let (name, value) = text.split_once([':', '=']).unwrap_or((&text, ""));
        match (name, value) {
            ("no-new-privileges", "" | "true") => security.no_new_privileges = true,
            ("no-new-privileges", "false") => security.no_new_privileges = false,
            ("seccomp", "unconfined") => security.seccomp_unconfined = true,
            ("seccomp" | "apparmor" | "label" | "systempaths", _) => {
                let message = format!("security option `{text}` has no effect: the own filter is used");
                cx.warn(option.at, "no-effect", message);
            }
            _ => {
                unsupported(cx, option, "security_opt", "known are no-new-privileges and seccomp:unconfined")
            }
        }
    }
    security
}

fn capabilities(node: &Node, key: &str, cx: &mut Context) -> Vec<String> {
    let mut names = Vec::new();
    for item in super::items(node.get(key)) {
        let upper = item.scalar().unwrap_or_default().to_ascii_uppercase();
        let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if CAPABILITIES.contains(&name) {
            names.push(name.to_owned());
        } else {
            let hint = crate::suggest::did_you_mean(name, CAPABILITIES);
            let message = format!("`{name}` is not a capability");
            cx.refuse_this(item.at, "bad-value", message, hint);
        }
    }
    names
}

/// Whether a namespace is the host's.
fn namespace(node: &Node, key: &str, cx: &mut Context) -> bool {
    match node.get(key) {
        None => false,
        Some(value) => match value.as_text().unwrap_or_default() {
            "host" => true,
            "" | "private" | "shareable" => false,
            _ => {
                unsupported(cx, value, key, "it is the container's own, or `host`");
                false
            }
        },
    }
}
