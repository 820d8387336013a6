//! How many of everything there are, and how they stand.

use super::{
    View,
    item::{Entry, Kind},
};
use crate::{
    config::statics::Statics,
    snapshot::{Condition, State},
};
use serde_json::{Map, Value, json};

impl View<'_> {
    pub(super) fn overview(&self) -> Value {
        let count = |kind: Kind| {
            let entries = kind.entries(self);
            let of = |state: State| entries.iter().filter(|entry| standing(entry) == state).count();
            section(entries.len(), of(State::Warning), of(State::Disabled))
        };
        let mut overview = json!({
            "http": {
                "routers": count(Kind::HttpRouter),
                "services": count(Kind::HttpService),
                "middlewares": count(Kind::HttpMiddleware),
            },
            "tcp": {
                "routers": count(Kind::TcpRouter),
                "services": count(Kind::TcpService),
                "middlewares": count(Kind::TcpMiddleware),
            },
            "udp": { "routers": count(Kind::UdpRouter), "services": count(Kind::UdpService) },
            "features": features(self.statics),
        });
        let mut more = Map::new();
        if self.certificates.is_some() {
            let all = self.shown_certificates();
            let of = |status: &str| all.iter().filter(|one| one.status == status).count();
            more.insert("certificates".to_owned(), section(all.len(), of("warning"), of("expired")));
        }
        let providers = providers(self.statics);
        if !providers.is_empty() {
            more.insert("providers".to_owned(), providers.into());
        }
        if let Some(fields) = overview.as_object_mut() {
            fields.extend(more);
        }
        overview
    }
}

/// How something is counted: what is configured as it should be and has no server that is well is not well.
fn standing(entry: &Entry<'_>) -> State {
    match (entry.status, entry.condition) {
        (State::Disabled, _) | (_, Condition::Down) => State::Disabled,
        (State::Warning, _) | (_, Condition::Partly) => State::Warning,
        (State::Enabled, Condition::Well) => State::Enabled,
    }
}

fn section(total: usize, warnings: usize, errors: usize) -> Value {
    json!({ "total": total, "warnings": warnings, "errors": errors })
}

fn features(statics: &Statics) -> Value {
    let metrics = statics.metrics.as_ref().map_or("", |metrics| match metrics {
        metrics if metrics.prometheus.is_some() => "Prometheus",
        metrics if metrics.datadog.given => "Datadog",
        metrics if metrics.stats_d.given => "StatsD",
        metrics if metrics.influx_db2.given => "InfluxDB2",
        metrics if metrics.otlp.given => "OTLP",
        _ => "",
    });
    let tracing = statics.tracing.as_ref().filter(|tracing| tracing.otlp.is_some()).map_or("", |_| "OTLP");
    json!({ "tracing": tracing, "metrics": metrics, "accessLog": statics.access_log.is_some() })
}

/// What routes are learnt from, under the names that Traefik's API has for it.
fn providers(statics: &Statics) -> Vec<&'static str> {
    let known = &statics.providers;
    let given = [
        (known.docker.is_some(), "Docker"),
        (known.swarm.given, "Swarm"),
        (known.file.is_some(), "File"),
        (known.kubernetes_ingress.given, "KubernetesIngress"),
        (known.kubernetes_ingress_nginx.given, "KubernetesIngressNGINX"),
        (known.kubernetes_crd.given, "KubernetesCRD"),
        (known.kubernetes_gateway.given, "KubernetesGateway"),
        (known.knative.given, "Knative"),
        (known.rest.given, "Rest"),
        (known.consul_catalog.given, "ConsulCatalog"),
        (known.nomad.given, "Nomad"),
        (known.ecs.given, "Ecs"),
        (known.consul.given, "Consul"),
        (known.etcd.given, "Etcd"),
        (known.zoo_keeper.given, "ZooKeeper"),
        (known.redis.given, "Redis"),
        (known.http.given, "HTTP"),
    ];
    given.iter().filter(|(given, _)| *given).map(|(_, name)| *name).collect()
}
