//! Labels of containers: `traefik.http.routers.web.rule=…` to a configuration.

use super::{
    decode::{DecodeError, decode},
    model::Configuration,
    tree::{Node, PathError},
};
use serde::Deserialize;
use std::collections::BTreeMap;

/// What every label of ours begins with.
const ROOT: &str = "traefik";
/// The labels that are configuration. Of TLS, a container may name the default store alone.
const CONFIGURATION: &[&str] = &["traefik.http", "traefik.tcp", "traefik.udp", "traefik.tls.stores.default"];
/// The labels that say how a container is taken.
const TAKEN: &[&str] = &["traefik.docker.", "traefik.enable"];

/// Labels by their keys.
pub(crate) type Labels = BTreeMap<String, String>;

/// Why labels are no configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LabelError {
    #[error(transparent)]
    Path(#[from] PathError),
    #[error("invalid label root {0}")]
    Root(String),
    #[error(transparent)]
    Value(#[from] DecodeError),
}

/// How a container wants to be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Taking {
    pub(crate) enabled: bool,
    pub(crate) network: Option<String>,
    pub(crate) allow_non_running: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TakingLabels {
    enable: Option<bool>,
    docker: DockerLabels,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DockerLabels {
    network: Option<String>,
    lbswarm: bool,
    allow_non_running: bool,
}

/// The configuration that labels spell.
pub(crate) fn configuration(labels: &Labels) -> Result<Configuration, LabelError> {
    Ok(decode(&tree(labels, CONFIGURATION)?)?)
}

/// How labels want their container to be taken.
pub(crate) fn taking(labels: &Labels, enabled_by_default: bool) -> Result<Taking, LabelError> {
    let read: TakingLabels = decode(&tree(labels, TAKEN)?)?;
    Ok(Taking {
        enabled: read.enable.unwrap_or(enabled_by_default),
        network: read.docker.network,
        allow_non_running: read.docker.allow_non_running,
    })
}

/// Labels of Traefik's that say nothing here, since they are neither configuration nor about the container.
pub(crate) fn unknown(labels: &Labels) -> Vec<&str> {
    let ours = |key: &&str| begins(key, "traefik.");
    let known = |key: &&str| CONFIGURATION.iter().chain(TAKEN).any(|filter| begins(key, filter));
    labels.keys().map(String::as_str).filter(ours).filter(|key| !known(key)).collect()
}

fn begins(key: &str, filter: &str) -> bool {
    key.get(..filter.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(filter))
}

fn tree(labels: &Labels, filters: &[&str]) -> Result<Node, LabelError> {
    let mut root = Node::empty();
    for (key, value) in labels.iter().filter(|(key, _)| filters.iter().any(|filter| begins(key, filter))) {
        let mut path: Vec<&str> = key.split('.').collect();
        let first = path.remove(0);
        if first != ROOT {
            return Err(LabelError::Root(first.to_owned()));
        }
        root.insert(&path, value)?;
    }
    Ok(root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn labels_become_configuration() {
        let read = configuration(&labels(&[
            ("traefik.enable", "true"),
            ("traefik.http.routers.web.rule", "Host(`a`)"),
            ("traefik.HTTP.routers.web.entrypoints", "web, websecure"),
            ("traefik.http.routers.web.tls", "true"),
            ("traefik.http.routers.web.tls.domains[0].main", "a"),
            ("traefik.http.routers.api.tls", "true"),
            ("traefik.http.routers.old.tls", "false"),
            ("traefik.http.services.web.loadbalancer.server.port", "80"),
            ("traefik.http.services.web.loadbalancer.sticky.cookie", "true"),
            ("traefik.http.middlewares.m.headers.customrequestheaders.X-A", "b"),
            ("traefik.http.middlewares.m.headers.accessControlMaxAge", "100"),
            ("com.example.other", "x"),
        ]));
        let written = serde_json::to_value(read.expect("labels")).expect("JSON");
        assert_eq!(
            written["http"]["routers"],
            json!({
                "api": {"tls": {}},
                "old": {},
                "web": {"entryPoints": ["web", "websecure"], "rule": "Host(`a`)", "tls": {"domains": [{"main": "a"}]}},
            })
        );
        assert_eq!(
            written["http"]["services"]["web"]["loadBalancer"]["sticky"],
            json!({"cookie": {"path": "/"}})
        );
        let headers = &written["http"]["middlewares"]["m"]["headers"];
        assert_eq!(*headers, json!({"customRequestHeaders": {"X-A": "b"}, "accessControlMaxAge": 100}));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (key, value, expected) in [
            ("traefik.http.routers.web.rulee", "x", "http.routers.web.rulee: field not found, node: rulee"),
            (
                "traefik.http.routers.web.priority",
                "high",
                "http.routers.web.priority: \"high\" is not a number that fits here",
            ),
            (
                "traefik.http.middlewares.m.retry",
                "x",
                "http.middlewares.m.retry: cannot be a standalone element (type Retry)",
            ),
            (
                "traefik.http.middlewares.m.redirectscheme.permanent",
                "maybe",
                "http.middlewares.m.redirectscheme.permanent: \"maybe\" is neither true nor false",
            ),
            ("traefik.http..x", "x", "invalid element: http..x"),
            ("Traefik.http.routers.web.rule", "x", "invalid label root Traefik"),
        ] {
            assert_eq!(configuration(&labels(&[(key, value)])).expect_err(key).to_string(), expected);
        }
        assert_eq!(
            unknown(&labels(&[("traefik.htp.x", "1"), ("traefik.enable", "1"), ("a", "b")])),
            ["traefik.htp.x"]
        );
    }
}
