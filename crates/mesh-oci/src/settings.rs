//! What the client is told: where credentials are, which mirrors stand in, how long it waits.

use crate::http::proxy::Proxies;
use mesh_redact::Secret;
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// Settings of a [`crate::client::Client`].
#[derive(Debug, Clone)]
pub struct Settings {
    /// Files of credentials, Docker's `config.json` and containers' `auth.json`: the first that has something for
    /// a registry serves.
    pub credential_files: Vec<PathBuf>,
    /// What credential helpers are run with, and looked for in; `None`: the environment of this process.
    pub helper_environment: Option<Secret<BTreeMap<String, String>>>,
    /// Mirrors of registries, asked in this order before the registry itself.
    pub mirrors: Mirrors,
    /// Registries besides this machine's own that are asked without TLS, or without a look at their
    /// certificate: `host` or `host:port`.
    pub insecure: Vec<String>,
    /// Folders of certificates by registry, as Docker has them (`<host:port>/*.crt`, `*.cert` with `*.key`): the
    /// first that has a registry serves.
    pub certificates: Vec<PathBuf>,
    /// Ways out through a proxy.
    pub proxies: Proxies,
    /// How long a registry may take to its first answer before it counts as not to be reached.
    pub first_answer: Duration,
    /// How long any later answer may take to begin.
    pub answer: Duration,
    /// How long a download may stand still.
    pub stalled: Duration,
    /// Wait before the second attempt; it doubles with each.
    pub backoff: Duration,
    /// How long a registry that was not reached is not asked again: long enough for all images of a run, and
    /// over before a user has mended what was wrong.
    pub unreachable: Duration,
    /// Downloads at a time, for all images together.
    pub downloads: usize,
    /// `User-Agent`.
    pub user_agent: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            credential_files: Vec::new(),
            helper_environment: None,
            mirrors: Mirrors::default(),
            insecure: Vec::new(),
            certificates: MACHINE_CERTIFICATES.map(PathBuf::from).to_vec(),
            proxies: Proxies::default(),
            first_answer: Duration::from_secs(2),
            answer: Duration::from_secs(15),
            stalled: Duration::from_secs(15),
            backoff: Duration::from_millis(500),
            unreachable: Duration::from_secs(10),
            downloads: 4,
            user_agent: concat!("mesh/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// Where the machine's administrator puts certificates of registries.
const MACHINE_CERTIFICATES: [&str; 2] = ["/etc/containers/certs.d", "/etc/docker/certs.d"];

/// Environment variables that [`Settings::from_variables`] asks for.
pub const VARIABLES: &[&str] = &[
    "DOCKER_CONFIG",
    "HOME",
    "REGISTRY_AUTH_FILE",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
    "MESH_REGISTRY_MIRRORS",
    "MESH_REGISTRY_INSECURE",
    "MESH_REGISTRY_TIMEOUT",
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
];

/// Those of [`VARIABLES`] that are paths.
pub const PATHS: &[&str] =
    &["DOCKER_CONFIG", "HOME", "REGISTRY_AUTH_FILE", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"];

/// Longest wait for a first answer that can be asked for, in seconds.
const FIRST_ANSWER_SECONDS_MAX: u64 = 300;

/// Why a variable's value cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {reason}")]
pub struct SettingError {
    /// The variable.
    pub variable: &'static str,
    /// What is wrong with its value.
    pub reason: String,
}

impl Settings {
    /// Settings as variables of the environment have them; see [`VARIABLES`].
    ///
    /// # Errors
    /// When a variable's value has not the form it needs.
    pub fn from_variables(get: &dyn Fn(&str) -> Option<String>) -> Result<Self, SettingError> {
        let get = |name: &str| get(name).filter(|value| !value.is_empty());
        let mut settings = Self { credential_files: credential_files(&get), ..Self::default() };
        if let Some(folder) = user_folder(&get) {
            settings.certificates.insert(0, folder.join("containers/certs.d"));
        }
        if let Some(text) = get("MESH_REGISTRY_MIRRORS") {
            settings.mirrors = Mirrors::parse(&text)
                .map_err(|reason| SettingError { variable: "MESH_REGISTRY_MIRRORS", reason })?;
        }
        if let Some(text) = get("MESH_REGISTRY_INSECURE") {
            settings.insecure = list(&text).map(str::to_owned).collect();
        }
        if let Some(text) = get("MESH_REGISTRY_TIMEOUT") {
            let seconds =
                text.trim().parse().ok().filter(|seconds| (1..=FIRST_ANSWER_SECONDS_MAX).contains(seconds));
            settings.first_answer = Duration::from_secs(seconds.ok_or_else(|| SettingError {
                variable: "MESH_REGISTRY_TIMEOUT",
                reason: format!("{text:?} is no number of seconds from 1 to {FIRST_ANSWER_SECONDS_MAX}"),
            })?);
        }
        settings.proxies = Proxies::from_variables(&get);
        Ok(settings)
    }
}

/// Where credentials are looked for, in this order: the file that is named, Docker's, containers' own of this
/// session and of this user.
fn credential_files(get: &dyn Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    let docker = get("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(|| get("HOME").map(|home| PathBuf::from(home).join(".docker")));
    let files = [
        get("REGISTRY_AUTH_FILE").map(PathBuf::from),
        docker.map(|folder| folder.join("config.json")),
        get("XDG_RUNTIME_DIR").map(|folder| PathBuf::from(folder).join("containers/auth.json")),
        user_folder(get).map(|folder| folder.join("containers/auth.json")),
    ];
    files.into_iter().flatten().collect()
}

/// The folder of this user's configuration.
fn user_folder(get: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let home = || get("HOME").map(|home| PathBuf::from(home).join(".config"));
    get("XDG_CONFIG_HOME").map(PathBuf::from).or_else(home)
}

/// Mirrors by registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mirrors {
    by_registry: BTreeMap<String, Vec<Mirror>>,
}

/// A place that has what a registry has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// `host` or `host:port`.
    pub host: String,
    /// What stands before the repository there: `proxy/hub`, or nothing.
    pub prefix: String,
    /// Asked without TLS, because it was written with `http://`.
    pub plain: bool,
}

impl Mirrors {
    /// Reads `registry=mirror,registry=mirror`; a mirror is `[http[s]://]host[:port][/prefix]`. A registry
    /// that stands there twice has two mirrors.
    ///
    /// # Errors
    /// A phrase that says which part is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut mirrors = Self::default();
        for part in list(text) {
            let Some((registry, mirror)) = part.split_once('=') else {
                return Err(format!("{part:?} is not written registry=mirror"));
            };
            let registry = registry_key(registry.trim());
            let mirror = Mirror::parse(mirror.trim()).ok_or_else(|| {
                let shown = mesh_redact::url_without_password(mirror.trim());
                format!("{shown:?} is no mirror: it is written [http://]host[:port][/path]")
            })?;
            mirrors.by_registry.entry(registry).or_default().push(mirror);
        }
        Ok(mirrors)
    }

    /// The mirrors of a registry (`docker.io`), in the order they are asked.
    #[must_use]
    pub fn of(&self, registry: &str) -> &[Mirror] {
        self.by_registry.get(registry).map_or(&[], Vec::as_slice)
    }
}

impl Mirror {
    fn parse(text: &str) -> Option<Self> {
        let (plain, rest) = match text.split_once("://") {
            Some(("http", rest)) => (true, rest),
            Some(("https", rest)) => (false, rest),
            Some(_) => return None,
            None => (false, text),
        };
        let (host, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_host =
            !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(c));
        let prefix = prefix.trim_matches('/');
        let is_path = prefix.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c))
            && !prefix.split('/').any(|part| part == "..");
        (is_host && is_path).then(|| Self { host: host.to_owned(), prefix: prefix.to_owned(), plain })
    }
}

fn registry_key(registry: &str) -> String {
    match registry {
        "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        other => other.to_owned(),
    }
}

/// The parts of a list separated by commas.
pub(crate) fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_read() {
        let mirrors = Mirrors::parse(
            "docker.io=mirror.example, docker.io=http://127.0.0.1:5000/hub/ ,ghcr.io=https://m:443",
        )
        .unwrap();
        let show = |registry: &str| {
            let each = |m: &Mirror| format!("{} {:?} {}", m.host, m.prefix, m.plain);
            mirrors.of(registry).iter().map(each).collect::<Vec<_>>()
        };
        assert_eq!(show("docker.io"), ["mirror.example \"\" false", "127.0.0.1:5000 \"hub\" true"]);
        assert_eq!(show("ghcr.io"), ["m:443 \"\" false"]);
        assert!(show("quay.io").is_empty());
        for text in ["mirror.example", "docker.io=", "docker.io=ftp://x", "docker.io=x/../y", "a=b c"] {
            assert!(Mirrors::parse(text).is_err(), "{text}");
        }
        assert!(!Mirrors::parse("a=https://user:hunter2@host").unwrap_err().contains("hunter2"));
    }

    #[test]
    fn variables_make_settings() {
        let of = |pairs: &'static [(&str, &str)]| {
            Settings::from_variables(&|name| {
                pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            })
        };
        let shown = |paths: &[PathBuf]| {
            paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ")
        };
        let files = |pairs| shown(&of(pairs).unwrap().credential_files);
        assert_eq!(files(&[]), "");
        assert_eq!(files(&[("HOME", "/h")]), "/h/.docker/config.json /h/.config/containers/auth.json");
        let all = [
            ("HOME", "/h"),
            ("DOCKER_CONFIG", "/d"),
            ("REGISTRY_AUTH_FILE", "/a"),
            ("XDG_RUNTIME_DIR", "/r"),
        ];
        let expected = "/a /d/config.json /r/containers/auth.json /h/.config/containers/auth.json";
        assert_eq!(
            shown(
                &Settings::from_variables(&|name| {
                    all.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
                })
                .unwrap()
                .credential_files
            ),
            expected
        );
        let certificates = shown(&of(&[("HOME", "/h")]).unwrap().certificates);
        assert_eq!(certificates, "/h/.config/containers/certs.d /etc/containers/certs.d /etc/docker/certs.d");
        assert_eq!(of(&[("MESH_REGISTRY_TIMEOUT", "9")]).unwrap().first_answer.as_secs(), 9);
        for wrong in ["0", "301", "soon"] {
            let value = [("MESH_REGISTRY_TIMEOUT", wrong)];
            let get = |name: &str| value.iter().find(|(key, _)| *key == name).map(|v| v.1.to_owned());
            assert!(Settings::from_variables(&get).is_err());
        }
        assert_eq!(of(&[("MESH_REGISTRY_INSECURE", "a:1, b")]).unwrap().insecure, ["a:1", "b"]);
    }
}
