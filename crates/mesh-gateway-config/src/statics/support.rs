//! What of a static configuration is understood and not done.

use super::{EntryPoint, Http2, Statics};
use crate::Warning;

/// One warning for everything that was asked for and has no effect.
pub fn not_yet(statics: &Statics) -> Option<Warning> {
    let mut options: Vec<String> = Vec::new();
    let mut note = |given: bool, option: &str| {
        if given {
            options.push(option.to_owned());
        }
    };
    let providers = &statics.providers;
    for (unsupported, option) in [
        (&statics.tcp_servers_transport, "tcpServersTransport"),
        (&statics.host_resolver, "hostResolver"),
        (&statics.certificates_resolvers, "certificatesResolvers"),
        (&statics.experimental, "experimental"),
        (&statics.spiffe, "spiffe"),
        (&statics.ocsp, "ocsp"),
        (&statics.servers_transport.spiffe, "serversTransport.spiffe"),
        (&providers.swarm, "providers.swarm"),
        (&providers.kubernetes_ingress, "providers.kubernetesIngress"),
        (&providers.kubernetes_ingress_nginx, "providers.kubernetesIngressNGINX"),
        (&providers.kubernetes_crd, "providers.kubernetesCRD"),
        (&providers.kubernetes_gateway, "providers.kubernetesGateway"),
        (&providers.knative, "providers.knative"),
        (&providers.rest, "providers.rest"),
        (&providers.consul_catalog, "providers.consulCatalog"),
        (&providers.nomad, "providers.nomad"),
        (&providers.ecs, "providers.ecs"),
        (&providers.consul, "providers.consul"),
        (&providers.etcd, "providers.etcd"),
        (&providers.zoo_keeper, "providers.zooKeeper"),
        (&providers.redis, "providers.redis"),
        (&providers.http, "providers.http"),
        (&providers.plugin, "providers.plugin"),
    ] {
        note(unsupported.given, option);
    }
    if let Some(docker) = &providers.docker {
        note(docker.tls.given, "providers.docker.tls");
        note(
            !docker.username.is_empty() || !docker.password.expose().is_empty(),
            "providers.docker.username and password",
        );
    }
    note(providers.providers_throttle_duration.get().is_some(), "providers.providersThrottleDuration");
    note(
        providers.file.as_ref().is_some_and(|file| file.debug_log_generated_template),
        "providers.file.debugLogGeneratedTemplate",
    );
    note(statics.access_log.as_ref().is_some_and(|log| log.otlp.given), "accessLog.otlp");
    if let Some(metrics) = &statics.metrics {
        note(metrics.datadog.given, "metrics.datadog");
        note(metrics.stats_d.given, "metrics.statsD");
        note(metrics.influx_db2.given, "metrics.influxDB2");
        note(metrics.otlp.given, "metrics.otlp");
    }
    note(statics.api.as_ref().is_some_and(|api| api.debug), "api.debug");
    if let Some(log) = &statics.log {
        note(!matches!(log.format.as_str(), "" | "common" | "json"), "log.format");
        note(log.otlp.given, "log.otlp");
    }
    options.extend(statics.entry_points.iter().flat_map(|(name, entry)| of_entry_point(name, entry)));
    if options.is_empty() {
        return None;
    }
    let message = format!("these options have no effect yet: {}", options.join(", "));
    Some(Warning { place: "static configuration".to_owned(), message })
}

/// What of an entry point has no effect.
fn of_entry_point(name: &str, entry: &EntryPoint) -> Vec<String> {
    let (http2, usual) = (&entry.http2, Http2::default());
    let tls = entry.http.tls.as_ref();
    let all = [
        (entry.allow_acme_by_pass, "allowACMEByPass"),
        (entry.reuse_port, "reusePort"),
        (!entry.forwarded_headers.connection.is_empty(), "forwardedHeaders.connection"),
        (entry.http3.given, "http3"),
        (
            http2.max_decoder_header_table_size != usual.max_decoder_header_table_size,
            "http2.maxDecoderHeaderTableSize",
        ),
        (
            http2.max_encoder_header_table_size != usual.max_encoder_header_table_size,
            "http2.maxEncoderHeaderTableSize",
        ),
        (tls.is_some_and(|tls| !tls.cert_resolver.is_empty()), "http.tls.certResolver"),
        (tls.is_some_and(|tls| !tls.domains.is_empty()), "http.tls.domains"),
    ];
    let given = all.iter().filter(|(given, _)| *given);
    given.map(|(_, option)| format!("entryPoints.{name}.{option}")).collect()
}
