//! Traefik's tables of its API, played.

use super::*;
use crate::{
    config::model::Named,
    snapshot::{Part, State, Status},
    suite::{Case, Played, play, read_json},
};
use serde::de::DeserializeOwned;

/// This table has a provider by the name of a plugin, of which there are none here.
const KNOWN: &[&str] = &["TestHandler_Overview/with_providers: /api/overview"];

fn part<T: DeserializeOwned>(row: &Value, statuses: &mut Named<Status>) -> Option<Part<T>> {
    let mut part = Part { configs: Named::new(), used_by: Named::new() };
    for (name, thing) in row.as_object().into_iter().flatten() {
        let mut config = thing.as_object()?.clone();
        let mut list = |key: &str| crate::suite::texts(&config.remove(key).unwrap_or_default());
        let (errors, using, used_by) = (list("error"), list("using"), list("usedBy"));
        let state = match config.remove("status").unwrap_or_default().as_str() {
            Some("disabled") => State::Disabled,
            Some("warning") => State::Warning,
            _ => State::Enabled,
        };
        config.remove("serverStatus");
        part.configs.insert(name.clone(), read_json(&config.into())?);
        part.used_by.insert(name.clone(), used_by);
        statuses.insert(name.clone(), Status { state, errors, using });
    }
    Some(part)
}

fn snapshot(row: &Value) -> Option<Snapshot> {
    let mut snapshot = Snapshot::default();
    let all = &mut snapshot.inventory;
    all.routers = part(&row["routers"], &mut snapshot.routers)?;
    all.services = part(&row["services"], &mut snapshot.services)?;
    all.middlewares = part(&row["middlewares"], &mut snapshot.middlewares)?;
    all.tcp_routers = part(&row["tcpRouters"], &mut snapshot.tcp_routers)?;
    all.tcp_services = part(&row["tcpServices"], &mut snapshot.tcp_services)?;
    all.tcp_middlewares = part(&row["tcpMiddlewares"], &mut snapshot.tcp_middlewares)?;
    all.udp_routers = part(&row["udpRouters"], &mut snapshot.udp_routers)?;
    all.udp_services = part(&row["udpServices"], &mut snapshot.udp_services)?;
    Some(snapshot)
}

fn statics(case: &Case) -> Option<Statics> {
    let mut statics = Statics { api: Some(Default::default()), ..Statics::default() };
    for (name, entry) in case.pairs("entryPoints") {
        statics.entry_points.insert(name.to_owned(), read_json(entry)?);
    }
    let features = &case.fields["features"];
    statics.tracing =
        features["tracing"].as_str().filter(|name| !name.is_empty()).map(|_| Default::default());
    if features["metrics"] == "Prometheus" {
        let prometheus = Some(Default::default());
        statics.metrics = Some(crate::config::statics::Metrics { prometheus, ..Default::default() });
    }
    for name in case.texts("providers") {
        let providers = &mut statics.providers;
        match name.as_str() {
            "Docker" => providers.docker = Some(Default::default()),
            "File" => providers.file = Some(Default::default()),
            "Swarm" => providers.swarm.given = true,
            "KubernetesIngress" => providers.kubernetes_ingress.given = true,
            "KubernetesCRD" => providers.kubernetes_crd.given = true,
            "Rest" => providers.rest.given = true,
            _ => {}
        }
    }
    Some(statics)
}

/// Leaves out what is there because a reader put it there: the tests make their values by hand, without defaults.
fn bare(found: Value, expected: &Value) -> Value {
    match (found, expected) {
        (Value::Object(fields), Value::Object(wanted)) => {
            let by_reader: Vec<&str> =
                ["strategy", "responseForwarding", "serverStatus", "http2", "observability", "transport"]
                    .into_iter()
                    .chain(["forwardedHeaders", "path", "mirrorBody", "maxBodySize"])
                    .collect();
            let kept = fields
                .into_iter()
                .filter(|(key, _)| wanted.contains_key(key) || !by_reader.contains(&key.as_str()));
            let kept = kept.map(|(key, value)| {
                // The tests' entry points have nothing of HTTP, not even what all have.
                let empty =
                    wanted.get(&key).and_then(Value::as_object).is_some_and(serde_json::Map::is_empty);
                let value =
                    if key == "http" && empty { Value::Object(serde_json::Map::new()) } else { value };
                let value = bare(value, wanted.get(&key).unwrap_or(&Value::Null));
                (key, value)
            });
            Value::Object(kept.collect())
        }
        (Value::Array(items), Value::Array(wanted)) if items.len() == wanted.len() => {
            items.into_iter().zip(wanted).map(|(item, wanted)| bare(item, wanted)).collect()
        }
        (found, _) => found,
    }
}

/// Passwords are shown by Traefik.
fn hidden(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(key, value)| match (key.as_str(), value) {
                    ("users", Value::Array(users)) => {
                        (key, users.iter().map(|_| Value::from("xxxx")).collect())
                    }
                    // Counts of certificates are not in the tables.
                    (_, value) => (key, hidden(value)),
                })
                .collect(),
        ),
        Value::Array(items) => items.into_iter().map(hidden).collect(),
        other => other,
    }
}

fn asked(case: &Case) -> Played {
    let (Some(statics), Some(snapshot)) = (statics(case), snapshot(&case.fields["runtime"])) else {
        return Played::Different("the row cannot be read".to_owned());
    };
    let view =
        View { statics: &statics, started: SystemTime::now(), snapshot: &snapshot, certificates: None };
    let (path, query) = case.text("path").split_once('?').unwrap_or((case.text("path"), ""));
    let reply = view.answer(&Method::GET, path, Some(query), &HeaderMap::new());
    let next = reply.headers.get(NEXT_PAGE).map_or("", |value| value.to_str().expect("a number"));
    let expected = &case.fields["expected"];
    let found = match expected {
        Value::Null => Value::Null,
        expected => bare(serde_json::from_slice(&reply.body).unwrap_or_default(), expected),
    };
    Played::compare(
        &(case.fields["status"].as_u64(), case.text("nextPage"), &sorted(hidden(expected.clone()))),
        &(Some(u64::from(reply.status.as_u16())), next, &sorted(found)),
    )
}

/// By keys: what a file says first is not what is meant.
fn sorted(mut value: Value) -> Value {
    value.sort_all_objects();
    value
}

#[test]
fn questions_are_answered_as_traefik_answers_them() {
    play("pkg/api", KNOWN, asked);
}
