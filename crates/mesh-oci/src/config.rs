//! An image's config: what its maker says about running it, and the digests of its layers' contents.

use crate::{
    digest::Digest,
    manifest::{ManifestError, Platform, map_or_null},
};
use serde::{Deserialize, Deserializer, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// Largest config, in bytes.
pub const CONFIG_BYTES_MAX: u64 = 8 << 20;

/// The config of an image, of OCI's form and of Docker's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ImageConfig {
    /// When it was made, as it says (RFC 3339).
    #[serde(default)]
    pub created: Option<String>,
    /// What it runs on.
    #[serde(flatten)]
    pub platform: Platform,
    /// How its container runs.
    #[serde(default, deserialize_with = "or_null")]
    pub config: Execution,
    /// What its layers contain.
    #[serde(default, deserialize_with = "or_null")]
    pub rootfs: RootFs,
}

/// The digests of an image's layers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RootFs {
    /// Digests of the layers' tar streams, uncompressed, lowest first.
    #[serde(default, deserialize_with = "or_null")]
    pub diff_ids: Vec<Digest>,
}

/// How a container of the image runs, where the Compose file says nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Execution {
    /// `USER`: user[:group], names or numbers; empty for root.
    #[serde(default, deserialize_with = "or_null")]
    pub user: String,
    /// `EXPOSE`: `80/tcp`, without duplicates.
    #[serde(default, deserialize_with = "keys")]
    pub exposed_ports: Vec<String>,
    /// `ENV`: `NAME=value`.
    #[serde(default, deserialize_with = "or_null")]
    pub env: Vec<String>,
    /// `ENTRYPOINT`.
    #[serde(default, deserialize_with = "or_null")]
    pub entrypoint: Vec<String>,
    /// `CMD`.
    #[serde(default, deserialize_with = "or_null")]
    pub cmd: Vec<String>,
    /// `VOLUME`: paths.
    #[serde(default, deserialize_with = "keys")]
    pub volumes: Vec<String>,
    /// `WORKDIR`; empty for `/`.
    #[serde(default, deserialize_with = "or_null")]
    pub working_dir: String,
    /// `LABEL`.
    #[serde(default, deserialize_with = "map_or_null")]
    pub labels: BTreeMap<String, String>,
    /// `STOPSIGNAL`: a name or a number.
    #[serde(default)]
    pub stop_signal: Option<String>,
    /// `HEALTHCHECK`; Docker's images have it.
    #[serde(default)]
    pub healthcheck: Option<HealthCheck>,
}

/// `HEALTHCHECK` of an image.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HealthCheck {
    /// `["NONE"]`, `["CMD", ...]`, `["CMD-SHELL", line]`; empty: that of the image below.
    #[serde(default, deserialize_with = "or_null")]
    pub test: Vec<String>,
    /// Nanoseconds between two tests; 0: the default.
    #[serde(default)]
    pub interval: i64,
    /// Nanoseconds one test may take; 0: the default.
    #[serde(default)]
    pub timeout: i64,
    /// Nanoseconds in which failures do not count; 0: none.
    #[serde(default)]
    pub start_period: i64,
    /// Nanoseconds between two tests in the start period; 0: the default.
    #[serde(default)]
    pub start_interval: i64,
    /// Failures until it counts as unhealthy; 0: the default.
    #[serde(default)]
    pub retries: i64,
}

impl HealthCheck {
    /// One of its times; `None` where it leaves it to the default.
    #[must_use]
    pub fn duration(nanoseconds: i64) -> Option<Duration> {
        u64::try_from(nanoseconds).ok().filter(|&nanoseconds| nanoseconds > 0).map(Duration::from_nanos)
    }
}

impl ImageConfig {
    /// Reads a config.
    ///
    /// # Errors
    /// When it is too large or not JSON of this shape.
    pub fn read(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() as u64 > CONFIG_BYTES_MAX {
            return Err(ManifestError::TooLarge { limit: CONFIG_BYTES_MAX });
        }
        serde_json::from_slice(bytes).map_err(ManifestError::Json)
    }
}

/// Docker writes `null` for what is empty.
pub(crate) fn or_null<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The keys of a map whose values say nothing (`{"80/tcp": {}}`), or a list of them.
fn keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Map(BTreeMap<String, serde::de::IgnoredAny>),
        List(Vec<String>),
    }
    Ok(match Option::deserialize(deserializer)? {
        Some(Form::Map(map)) => map.into_keys().collect(),
        Some(Form::List(list)) => list,
        None => Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_as_docker_writes_it_is_read() {
        let text = r#"{"architecture":"arm64","variant":"v8","os":"linux","created":"2026-01-01T00:00:00Z",
            "config":{"Hostname":"","User":"app:app","ExposedPorts":{"80/tcp":{},"53/udp":{}},"Tty":false,
              "Env":["PATH=/bin","A=b=c"],"Cmd":["serve"],"Entrypoint":null,"Volumes":{"/data":{}},
              "WorkingDir":"/srv","Labels":null,"StopSignal":"SIGQUIT","OnBuild":null,
              "Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":5000000000,"Retries":3}},
            "rootfs":{"type":"layers","diff_ids":[
              "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]},"history":[]}"#;
        let config = ImageConfig::read(text.as_bytes()).unwrap();
        assert_eq!(config.platform.to_string(), "linux/arm64/v8");
        let run = &config.config;
        assert_eq!((run.user.as_str(), run.working_dir.as_str()), ("app:app", "/srv"));
        assert_eq!(run.exposed_ports, ["53/udp", "80/tcp"]);
        assert_eq!((run.volumes.len(), run.entrypoint.len(), run.cmd.len()), (1, 0, 1));
        assert_eq!(run.stop_signal.as_deref(), Some("SIGQUIT"));
        let health = run.healthcheck.as_ref().unwrap();
        assert_eq!(HealthCheck::duration(health.interval), Some(Duration::from_secs(5)));
        assert_eq!(HealthCheck::duration(health.timeout), None);
        assert_eq!(config.rootfs.diff_ids.len(), 1);
    }

    #[test]
    fn little_or_nothing_is_a_config_too() {
        assert_eq!(ImageConfig::read(b"{}").unwrap(), ImageConfig::default());
        assert_eq!(
            ImageConfig::read(br#"{"config":null,"rootfs":null}"#).unwrap().config,
            Execution::default()
        );
        assert!(ImageConfig::read(b"[]").is_err());
        assert!(ImageConfig::read(br#"{"config":{"Env":"A=b"}}"#).is_err());
    }
}
