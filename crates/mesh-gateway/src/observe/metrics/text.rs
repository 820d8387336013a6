//! Numbers in the text format of Prometheus (version 0.0.4).

use super::{
    Metrics, process,
    series::{Family, Group, Key, Series},
};
use crate::{api::names, certificates::Certificates, snapshot::Snapshot};
use std::{
    fmt::{Display, Write as _},
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

/// A text that grows by lines.
pub(super) struct Text(String);

/// A name with its value.
type Label<'l> = (&'l str, &'l str);

impl Text {
    /// Begins with a metric.
    pub(super) fn head(&mut self, name: &str, kind: &str, help: &str) {
        // A text takes whatever is written to it.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    pub(super) fn line(&mut self, name: &str, labels: &[Label<'_>], value: impl Display) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            self.0.push(if at == 0 { '{' } else { ',' });
            self.0.push_str(label);
            self.0.push_str("=\"");
            for character in text.chars() {
                match character {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    other => self.0.push(other),
                }
            }
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    /// A metric of one value.
    pub(super) fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.head(name, kind, help);
        self.line(name, &[], value);
    }
}

/// A name as Prometheus takes it.
pub(super) fn label(name: &str) -> String {
    let sound = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    let mut label: String = name.chars().map(sound).collect();
    if label.starts_with(|c: char| c.is_ascii_digit()) {
        label.insert(0, '_');
    }
    label
}

pub(super) fn all(metrics: &Metrics, snapshot: &Snapshot, certificates: &Certificates) -> String {
    let mut text = Text(String::with_capacity(16 << 10));
    process::tell(&mut text);
    text.single(
        "traefik_config_reloads_total",
        "counter",
        "Config reloads",
        metrics.reloads.load(Ordering::Relaxed),
    );
    text.single(
        "traefik_config_last_reload_success",
        "gauge",
        "Last config reload success",
        metrics.reloaded.load(Ordering::Relaxed),
    );
    connections(&mut text, metrics);
    shown(&mut text, certificates);
    for (kind, family) in
        [("entrypoint", &metrics.entry_points), ("router", &metrics.routers), ("service", &metrics.services)]
    {
        if let Some(family) = family {
            tell(&mut text, kind, family, metrics);
        }
    }
    if metrics.services.is_some() {
        services(&mut text, metrics, snapshot);
    }
    text.0
}

fn connections(text: &mut Text, metrics: &Metrics) {
    let name = "traefik_open_connections";
    text.head(name, "gauge", "How many open connections exist, by entryPoint and protocol");
    for (entry, count) in &*metrics.open.lock().unwrap_or_else(PoisonError::into_inner) {
        text.line(name, &[("entrypoint", entry), ("protocol", "TCP")], count.load(Ordering::Relaxed));
    }
}

/// Until when certificates hold.
fn shown(text: &mut Text, certificates: &Certificates) {
    let name = "traefik_tls_certs_not_after";
    text.head(name, "gauge", "Certificate expiration timestamp");
    for leaf in certificates.leaves() {
        let Ok((_, certificate)) = X509Certificate::from_der(&leaf) else { continue };
        let common = certificate.subject().iter_common_name().next();
        let common = common.and_then(|name| name.as_str().ok()).unwrap_or_default();
        let (serial, sans) = (certificate.serial.to_string(), names(&certificate).join(","));
        let labels = [("cn", common), ("sans", sans.as_str()), ("serial", serial.as_str())];
        text.line(name, &labels, certificate.validity().not_after.timestamp());
    }
}

fn seconds(nanoseconds: u64) -> f64 {
    Duration::from_nanos(nanoseconds).as_secs_f64()
}

/// The five metrics of a kind.
fn tell(text: &mut Text, kind: &str, family: &Family, metrics: &Metrics) {
    let groups = family.take();
    let mut each = |suffix: &str, type_name: &str, help: &str, write: &dyn Fn(&mut Text, &str, &Group)| {
        let name = format!("traefik_{kind}_{suffix}");
        text.head(&name, type_name, help);
        for group in &groups {
            write(text, &name, group);
        }
    };
    each("requests_total", "counter", "How many HTTP requests were processed", &|text, name, group| {
        if metrics.labels.is_empty() {
            each_series(group, |labels, series| {
                text.line(name, labels, series.count.load(Ordering::Relaxed));
            });
            return;
        }
        for ((key, values), count) in group.labelled() {
            with_labels(group, key, |labels| {
                let more = metrics.labels.iter().map(|(label, _)| label.as_str());
                let mut labels = labels.to_vec();
                labels.extend(more.zip(values.iter().map(String::as_str)));
                text.line(name, &labels, count);
            });
        }
    });
    each("requests_tls_total", "counter", "How many HTTP requests came over TLS", &|text, name, group| {
        for ((version, cipher), count) in group.tls() {
            let mut labels = vec![("tls_version", version), ("tls_cipher", cipher)];
            labels.extend(group.names.iter().map(|(label, value)| (*label, value.as_str())));
            text.line(name, &labels, count);
        }
    });
    each("request_duration_seconds", "histogram", "How long requests took", &|text, name, group| {
        each_series(group, |labels, series| histogram(text, name, labels, series, &metrics.buckets));
    });
    each("requests_bytes_total", "counter", "The size of requests in bytes", &|text, name, group| {
        each_series(group, |labels, series| {
            text.line(name, labels, series.request_bytes.load(Ordering::Relaxed));
        });
    });
    each("responses_bytes_total", "counter", "The size of responses in bytes", &|text, name, group| {
        each_series(group, |labels, series| {
            text.line(name, labels, series.response_bytes.load(Ordering::Relaxed));
        });
    });
}

fn each_series(group: &Group, mut write: impl FnMut(&[Label<'_>], &Arc<Series>)) {
    for (key, series) in group.series() {
        with_labels(group, key, |labels| write(labels, &series));
    }
}

fn with_labels(group: &Group, key: Key, write: impl FnOnce(&[Label<'_>])) {
    let code = key.code.to_string();
    let mut labels = vec![("code", code.as_str()), ("method", key.method), ("protocol", key.protocol)];
    labels.extend(group.names.iter().map(|(label, value)| (*label, value.as_str())));
    write(&labels);
}

fn histogram(text: &mut Text, name: &str, labels: &[Label<'_>], series: &Series, limits: &[f64]) {
    let bucket = format!("{name}_bucket");
    let mut below = 0;
    for (limit, count) in limits.iter().zip(&series.buckets) {
        below += count.load(Ordering::Relaxed);
        let limit = limit.to_string();
        let labels = [labels, &[("le", limit.as_str())]].concat();
        text.line(&bucket, &labels, below);
    }
    // What is counted meanwhile must not make the last less than the one before.
    let count = series.count.load(Ordering::Relaxed).max(below);
    text.line(&bucket, &[labels, &[("le", "+Inf")]].concat(), count);
    text.line(&format!("{name}_sum"), labels, seconds(series.sum_nanoseconds.load(Ordering::Relaxed)));
    text.line(&format!("{name}_count"), labels, count);
}

fn services(text: &mut Text, metrics: &Metrics, snapshot: &Snapshot) {
    for (name, help, counts) in [
        (
            "traefik_service_retries_total",
            "How many request retries happened on a service.",
            &metrics.retries,
        ),
        // Not Traefik's.
        (
            "traefik_service_responses_broken_total",
            "How many responses of a service broke off before their end.",
            &metrics.broken,
        ),
    ] {
        text.head(name, "counter", help);
        for (service, count) in &*counts.lock().unwrap_or_else(PoisonError::into_inner) {
            text.line(name, &[("service", service)], count);
        }
    }
    let name = "traefik_service_server_up";
    text.head(name, "gauge", "service server is up, described by gauge value of 0 or 1.");
    for (service, config) in &snapshot.inventory.services.configs {
        let Some(balancer) = config.load_balancer.as_ref().filter(|one| one.health_check.is_some()) else {
            continue;
        };
        for server in &balancer.servers {
            let up = u8::from(snapshot.is_up(service, &server.url));
            text.line(name, &[("service", service), ("url", &server.url)], up);
        }
    }
}
