//! Files put together.

use super::{
    Arguments, Config, ConfigError, FILE_BYTES_MAX, FILES_MAX, Finding, LEASE_TTL, Listener, Storage,
    reader::{Findings, Reader},
};
use crate::hcl::{self, Body};
use serde_json::{Map, Value, json};
use std::{
    cell::RefCell,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

/// Keys that Vault knows and that change nothing here: there is no cluster, no plugin, no cache that needs a size,
/// and memory is not locked.
const TAKEN: [&str; 31] = [
    "administrative_namespace_path",
    "allow_audit_log_prefixing",
    "cache_size",
    "cluster_cipher_suites",
    "default_max_request_duration",
    "detect_deadlocks",
    "disable_cache",
    "disable_clustering",
    "disable_indexing",
    "disable_mlock",
    "disable_performance_standby",
    "disable_printable_check",
    "disable_sealwrap",
    "enable_response_header_hostname",
    "enable_response_header_raft_node_id",
    "experiments",
    "imprecise_lease_role_tracking",
    "introspection_endpoint",
    "license_path",
    "log_file",
    "log_format",
    "log_requests_level",
    "log_rotate_bytes",
    "log_rotate_duration",
    "log_rotate_max_files",
    "plugin_directory",
    "plugin_file_permissions",
    "plugin_file_uid",
    "raw_storage_endpoint",
    "telemetry",
    "unsafe_cross_namespace_identity",
];
const LEVELS: [&str; 5] = ["trace", "debug", "info", "warn", "error"];

/// Bodies in the order of their files.
#[derive(Debug, Default)]
pub(super) struct Sources {
    bodies: Vec<(String, Body)>,
}

impl Sources {
    /// A file, or the files of a directory.
    pub(super) fn add_path(&mut self, path: &Path) -> Result<(), ConfigError> {
        let name = path.display().to_string();
        let failed = |error: std::io::Error| ConfigError::one(name.clone(), error.to_string());
        if !fs::metadata(path).map_err(failed)?.is_dir() {
            return self.add_file(path);
        }
        let mut files: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(path).map_err(failed)? {
            let file = entry.map_err(failed)?.path();
            let hidden = file.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            let ours = file.extension().is_some_and(|extension| extension == "hcl" || extension == "json");
            if ours && !hidden {
                files.push(file);
            }
            if files.len() > FILES_MAX {
                return Err(ConfigError::one(name, format!("there are more than {FILES_MAX} files")));
            }
        }
        files.sort();
        if files.is_empty() {
            return Err(ConfigError::one(name, "there is no *.hcl or *.json file in this directory"));
        }
        files.iter().try_for_each(|file| self.add_file(file))
    }

    fn add_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let name = path.display().to_string();
        let mut bytes = Vec::new();
        let read =
            fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
        read.map_err(|error| ConfigError::one(name.clone(), error.to_string()))?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(ConfigError::one(name, format!("it has more than {FILE_BYTES_MAX} bytes")));
        }
        let text = String::from_utf8(bytes).map_err(|_| ConfigError::one(name.clone(), "it is no UTF-8"))?;
        self.add(&name, &text)
    }

    /// A text under a name.
    pub(super) fn add(&mut self, name: &str, text: &str) -> Result<(), ConfigError> {
        let body = hcl::parse_body(text).map_err(|error| {
            let finding = Finding { file: name.to_owned(), line: error.line, message: error.problem };
            ConfigError(vec![finding])
        })?;
        self.bodies.push((name.to_owned(), body));
        Ok(())
    }

    /// All of them as one configuration.
    pub(super) fn resolve(
        &self,
        arguments: &Arguments,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Config, ConfigError> {
        let findings = RefCell::new(Findings::default());
        let mut draft = Draft::default();
        for (file, body) in &self.bodies {
            draft.read(&Reader::new(body, file, &findings));
        }
        let given = |name: &str| environment(name).filter(|value| !value.is_empty());
        draft.api_addr = given("VAULT_API_ADDR").or(draft.api_addr);
        draft.cluster_addr = given("VAULT_CLUSTER_ADDR").or(draft.cluster_addr);
        draft.log_level = arguments.log_level.clone().or(draft.log_level);
        if let Some(development) = &arguments.development {
            draft.storage = Some(Storage::Memory);
            draft.listeners.retain(|listener| listener.address != development.listen);
            draft.listeners.insert(0, Listener::plain(&development.listen));
            draft.ui.get_or_insert(true);
        }
        let findings = findings.into_inner();
        draft.finish(findings)
    }
}

/// What was said so far.
#[derive(Default)]
struct Draft {
    storage: Option<Storage>,
    listeners: Vec<Listener>,
    ui: Option<bool>,
    api_addr: Option<String>,
    cluster_addr: Option<String>,
    cluster_name: Option<String>,
    default_lease_ttl: Option<std::time::Duration>,
    max_lease_ttl: Option<std::time::Duration>,
    log_level: Option<String>,
    pid_file: Option<PathBuf>,
}

fn put<T>(slot: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *slot = value;
    }
}

impl Draft {
    fn read(&mut self, file: &Reader<'_>) {
        self.read_storage(file);
        self.read_refused(file);
        file.know("listener");
        for (kind, body, line) in file.body().blocks("listener") {
            let block = Reader::new(body, file.file(), file.findings());
            self.listen(Listener::read(&kind, line, &block));
        }
        put(&mut self.ui, file.boolean("ui"));
        put(&mut self.api_addr, file.text("redirect_addr"));
        put(&mut self.api_addr, file.text("api_addr"));
        put(&mut self.cluster_addr, file.text("cluster_addr"));
        put(&mut self.cluster_name, file.text("cluster_name"));
        put(&mut self.default_lease_ttl, file.duration("default_lease_ttl"));
        put(&mut self.max_lease_ttl, file.duration("max_lease_ttl"));
        put(&mut self.pid_file, file.text("pid_file").filter(|path| !path.is_empty()).map(PathBuf::from));
        put(&mut self.log_level, file.text("log_level"));
        for key in TAKEN {
            file.know(key);
        }
        file.finish();
    }

    /// The later of two at one address wins: the image's entrypoint leaves the configuration in a file and in the
    /// environment.
    fn listen(&mut self, listener: Listener) {
        let same = |known: &Listener| known.address == listener.address && !known.address.ends_with(":0");
        self.listeners.retain(|known| !same(known));
        self.listeners.push(listener);
    }

    fn read_storage(&mut self, file: &Reader<'_>) {
        let blocks = ["storage", "backend"].map(|key| {
            file.know(key);
            file.body().blocks(key)
        });
        for (kind, body, line) in blocks.into_iter().flatten() {
            let block = Reader::new(body, file.file(), file.findings());
            self.storage = match kind.as_str() {
                "inmem" => Some(Storage::Memory),
                "file" | "raft" => match block.text("path").filter(|path| !path.is_empty()) {
                    Some(path) => Some(Storage::Directory { kind, path: path.into() }),
                    None => {
                        block.error(line, format!("storage {kind:?} needs a path"));
                        None
                    }
                },
                _ => {
                    let message =
                        format!("storage {kind:?} is not supported: \"file\", \"raft\" and \"inmem\" are");
                    block.error(line, message);
                    None
                }
            };
        }
    }

    fn read_refused(&self, file: &Reader<'_>) {
        file.know("seal");
        for (kind, _, line) in file.body().blocks("seal") {
            if kind != "shamir" {
                file.error(line, format!("seal {kind:?} is not supported: unsealing is by key shares alone"));
            }
        }
        for (key, reason) in [
            ("ha_storage", "there is no high availability"),
            ("ha_backend", "there is no high availability"),
            ("kms_library", "unsealing is by key shares alone"),
            ("entropy", "random numbers are the kernel's and the library's"),
            ("service_registration", "there is no registration"),
        ] {
            if let Some(entry) = file.know(key) {
                let said = format!("{key} has no effect: {reason}");
                match key {
                    "service_registration" | "entropy" => file.warn(entry.line, said),
                    _ => file.error(entry.line, said),
                }
            }
        }
    }

    fn finish(self, mut findings: Findings) -> Result<Config, ConfigError> {
        let mut error = |message: &str| {
            findings.errors.push(Finding {
                file: "configuration".to_owned(),
                line: 0,
                message: message.to_owned(),
            });
        };
        if self.storage.is_none() {
            error("A storage backend must be specified");
        }
        if self.listeners.is_empty() {
            error("no listener is specified");
        }
        let level = self.log_level.unwrap_or_else(|| "info".to_owned()).to_ascii_lowercase();
        let level = if level == "err" { "error".to_owned() } else { level };
        if !LEVELS.contains(&level.as_str()) {
            error(&format!("unknown log level: {level}"));
        }
        let default_lease_ttl = self.default_lease_ttl.filter(|ttl| !ttl.is_zero()).unwrap_or(LEASE_TTL);
        let max_lease_ttl = self.max_lease_ttl.filter(|ttl| !ttl.is_zero()).unwrap_or(LEASE_TTL);
        if self.default_lease_ttl.is_some() && default_lease_ttl > max_lease_ttl {
            error("default_lease_ttl is longer than max_lease_ttl");
        }
        let (Some(storage), [first, ..], true) =
            (self.storage, &self.listeners[..], findings.errors.is_empty())
        else {
            return Err(ConfigError(findings.errors));
        };
        let mut config = Config {
            api_addr: self.api_addr.unwrap_or_else(|| first.url()),
            cluster_addr: self.cluster_addr.unwrap_or_default(),
            cluster_name: self.cluster_name.unwrap_or_default(),
            listeners: self.listeners,
            storage,
            ui: self.ui.unwrap_or(false),
            default_lease_ttl: default_lease_ttl.min(max_lease_ttl),
            max_lease_ttl,
            log_level: level,
            pid_file: self.pid_file,
            sanitized: Map::new(),
            warnings: findings.warnings,
        };
        config.sanitized = sanitized(&config);
        Ok(config)
    }
}

/// What `sys/config/state/sanitized` shows: nothing of it is secret.
fn sanitized(config: &Config) -> Map<String, Value> {
    let listener = |listener: &Listener| {
        json!({"type": "tcp", "config": {
            "address": listener.address,
            "tls_disable": listener.tls.is_none(),
        }})
    };
    let listeners: Vec<Value> = config.listeners.iter().map(listener).collect();
    let shown = json!({
        "api_addr": config.api_addr,
        "cache_size": 0,
        "cluster_addr": config.cluster_addr,
        "cluster_cipher_suites": "",
        "cluster_name": config.cluster_name,
        "default_lease_ttl": config.default_lease_ttl.as_secs(),
        "default_max_request_duration": 0,
        "disable_cache": false,
        "disable_clustering": true,
        "disable_mlock": true,
        "enable_ui": config.ui,
        "listeners": listeners,
        "log_format": "",
        "log_level": config.log_level,
        "max_lease_ttl": config.max_lease_ttl.as_secs(),
        "pid_file": config.pid_file.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
        "raw_storage_endpoint": false,
        "storage": {
            "type": config.storage.kind(),
            "cluster_addr": config.cluster_addr,
            "disable_clustering": true,
            "redirect_addr": config.api_addr,
        },
    });
    shown.as_object().cloned().unwrap_or_default()
}
