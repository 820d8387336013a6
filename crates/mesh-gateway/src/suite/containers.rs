//! Traefik's tables of containers and labels, played.

use super::{Case, Played, play};
use crate::config::{
    containers::{Container, Published, configuration},
    decode::decode,
    model::Shown,
    statics::Docker,
    tree::{Node, Value as Tree},
};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What Traefik's test of many containers has as rule.
const RULE_OF_THE_TEST: &str = "Host(`{{ normalize .Name }}.traefik.wtf`)";

/// Leaves out what stands for nothing.
fn bare(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: Map<_, _> = fields.into_iter().map(|(key, value)| (key, bare(value))).collect();
            let told = |(key, value): &(String, Value)| {
                let empty = value.as_object().is_some_and(Map::is_empty);
                let part = ["http", "tcp", "udp", "tls"].contains(&key.as_str()) && empty;
                // Traefik writes this one even where it is not asked for.
                let passthrough = key == "passthrough" && *value == false;
                !value.is_null() && !passthrough && (!part || key == "tls")
            };
            let hidden = |(key, value): (String, Value)| match (key.as_str(), value) {
                ("users", Value::Array(users)) => (key, users.iter().map(|_| Value::from("xxxx")).collect()),
                (_, value) => (key, value),
            };
            Value::Object(fields.into_iter().filter(told).map(hidden).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(bare).collect()),
        other => other,
    }
}

fn without_empty_root(mut value: Value) -> Value {
    if let Some(root) = value.as_object_mut() {
        root.retain(|_, part| !part.as_object().is_some_and(Map::is_empty));
    }
    value
}

fn container(row: &Value) -> Container {
    let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let settings = &row["NetworkSettings"];
    let pairs = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let networks = pairs(&settings["Networks"]);
    let ports = pairs(&settings["Ports"]);
    let mut by_number = BTreeMap::new();
    for (port, bindings) in &ports {
        let number = port.split('/').next().and_then(|number| number.parse().ok());
        let first = bindings.as_array().and_then(|list| list.first());
        let published = first.map(|binding| Published {
            address: binding["HostIP"].as_str().unwrap_or_default().to_owned(),
            port: binding["HostPort"].as_str().unwrap_or_default().to_owned(),
        });
        if let Some(number) = number {
            by_number.insert(number, published);
        }
    }
    Container {
        id: text("ID"),
        name: if text("ServiceName").is_empty() { text("Name") } else { text("ServiceName") },
        labels: pairs(&row["Labels"])
            .into_iter()
            .map(|(key, value)| (key, value.as_str().unwrap_or_default().to_owned()))
            .collect(),
        status: text("Status"),
        health: text("Health"),
        network_mode: settings["NetworkMode"].as_str().unwrap_or_default().to_owned(),
        networks: networks
            .into_iter()
            .map(|(name, network)| (name, network["Addr"].as_str().unwrap_or_default().to_owned()))
            .collect(),
        ports: by_number,
    }
}

fn containers(case: &Case) -> Played {
    let rule = match case.test.as_str() {
        "TestDynConfBuilder_DefaultRule" => case.text("defaultRule").to_owned(),
        "TestDynConfBuilder_build" => RULE_OF_THE_TEST.to_owned(),
        "TestDynConfBuilder_build_allowNonRunning" => Docker::default().default_rule,
        // The others look at parts of the provider, or at its way to the engine.
        _ => return Played::Foreign,
    };
    let options = Docker {
        default_rule: rule,
        constraints: case.text("constraints").to_owned(),
        allow_empty_services: case.flag("allowEmptyServices"),
        use_bind_port_ip: case.flag("useBindPortIP"),
        ..Docker::default()
    };
    let mut containers: Vec<Container> = case.items("containers").iter().map(container).collect();
    if case.test.ends_with("allowNonRunning") {
        // This test says how a container is taken beside its labels.
        for (container, row) in containers.iter_mut().zip(case.items("containers")) {
            for (key, field) in
                [("traefik.enable", "Enable"), ("traefik.docker.allownonrunning", "AllowNonRunning")]
            {
                if let Some(value) = row["ExtraConf"][field].as_bool() {
                    container.labels.insert(key.to_owned(), value.to_string());
                }
            }
        }
    }
    let found = configuration(&containers, &options, &mut Vec::new());
    Played::compare(
        &without_empty_root(bare(case.fields["expected"].clone())),
        &without_empty_root(bare(found.shown())),
    )
}

#[test]
fn containers_are_taken_as_traefik_takes_them() {
    play("pkg/provider/docker", &[], containers);
}

/// A value of the configuration from a row, as files would give it.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(value: &Value) -> Option<T> {
    decode(&node(value)).ok()
}

fn node(value: &Value) -> Node {
    Node::new(match value {
        Value::Null => Tree::Null,
        Value::String(text) => Tree::Text(text.clone()),
        Value::Array(items) => Tree::List(items.iter().map(node).collect()),
        Value::Object(fields) => {
            Tree::Map(fields.iter().map(|(key, value)| (key.clone(), node(value))).collect())
        }
        other => Tree::Text(other.to_string()),
    })
}
