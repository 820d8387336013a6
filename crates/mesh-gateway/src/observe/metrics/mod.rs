//! Numbers of requests, under Traefik's names.
//!
//! How many series there are is bounded: methods and protocols are of a fixed set, names are those of the configuration,
//! and values that clients choose stop being told apart when there are too many of them. What belongs to a configuration
//! that is gone is told once more, and then forgotten.

mod process;
mod series;
mod text;

use super::record::{End, Record};
use crate::{certificates::Certificates, config::statics::Prometheus, snapshot::Snapshot};
use hyper::{Method, header::HeaderName};
use series::{Family, Key, One};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

/// Most services whose retries and broken answers are counted one by one.
const SERVICES_MAX: usize = 20_000;

/// A number of each service.
type Counts = Mutex<BTreeMap<String, u64>>;

/// All numbers.
#[derive(Debug)]
pub(crate) struct Metrics {
    buckets: Vec<f64>,
    /// Labels of their own, and the headers that they are taken from.
    labels: Vec<(String, HeaderName)>,
    entry_points: Option<Family>,
    routers: Option<Family>,
    services: Option<Family>,
    retries: Counts,
    /// Answers that broke off.
    broken: Counts,
    open: Mutex<BTreeMap<String, Arc<AtomicI64>>>,
    reloads: AtomicU64,
    /// In seconds since 1970.
    reloaded: AtomicU64,
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Open(Arc<AtomicI64>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    pub(super) fn new(options: &Prometheus) -> Self {
        let mut buckets: Vec<f64> =
            options.buckets.iter().copied().filter(|limit| limit.is_finite()).collect();
        buckets.sort_by(f64::total_cmp);
        buckets.dedup();
        let labels = options.header_labels.iter();
        let labels = labels.filter_map(|(label, header)| Some((text::label(label), header.parse().ok()?)));
        let family = |wanted: bool| wanted.then(Family::default);
        Self {
            buckets,
            labels: labels.collect(),
            entry_points: family(options.add_entry_points_labels),
            routers: family(options.add_routers_labels),
            services: family(options.add_services_labels),
            retries: Mutex::default(),
            broken: Mutex::default(),
            open: Mutex::default(),
            reloads: AtomicU64::new(0),
            reloaded: AtomicU64::new(0),
        }
    }

    /// The headers that labels are taken from.
    pub(super) fn labels(&self) -> impl Iterator<Item = &HeaderName> {
        self.labels.iter().map(|(_, header)| header)
    }

    pub(super) fn opened(&self, entry: &str) -> Open {
        let mut all = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = match all.get(entry) {
            Some(count) => count.clone(),
            None => all.entry(entry.to_owned()).or_default().clone(),
        };
        count.fetch_add(1, Ordering::Relaxed);
        Open(count)
    }

    /// That a configuration came into force.
    pub(crate) fn reloaded(&self, snapshot: &Snapshot) {
        self.reloads.fetch_add(1, Ordering::Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.reloaded.store(now, Ordering::Relaxed);
        let known = &snapshot.inventory;
        if let Some(routers) = &self.routers {
            routers.keep(|name| known.routers.configs.contains_key(name));
        }
        if let Some(services) = &self.services {
            services.keep(|name| known.services.configs.contains_key(name));
        }
        for counts in [&self.retries, &self.broken] {
            let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            counts.retain(|name, _| known.services.configs.contains_key(name));
        }
    }

    pub(super) fn count(&self, record: &Record, end: &End<'_>) {
        let notes = record.notes();
        let key = Key { code: code(record, end), method: method(&record.method), protocol: record.protocol };
        let labels: Vec<&str> = self
            .labels
            .iter()
            .map(|(_, name)| {
                record.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
            })
            .collect();
        let one = One {
            key,
            took: end.took,
            request_bytes: record.request_bytes.load(Ordering::Relaxed),
            response_bytes: end.response_bytes,
            tls: record.tls,
            labels: &labels,
        };
        if let Some(entry_points) = &self.entry_points {
            entry_points.count(
                &record.entry,
                || vec![("entrypoint", record.entry.clone())],
                &one,
                &self.buckets,
            );
        }
        if let (Some(routers), Some(told)) = (&self.routers, &notes.told) {
            let names = || vec![("router", told.router.clone()), ("service", told.service.clone())];
            routers.count(&told.router, names, &one, &self.buckets);
        }
        let (Some(services), Some(attempt)) = (&self.services, notes.attempts.first()) else { return };
        let of_service = One { took: attempt.began.elapsed().min(end.took), ..one };
        let names = || vec![("service", attempt.service.clone())];
        services.count(&attempt.service, names, &of_service, &self.buckets);
        add(&self.retries, &attempt.service, notes.retries());
        add(&self.broken, &attempt.service, u64::from(end.broken));
    }

    /// Everything, in the text format of Prometheus.
    pub(crate) fn text(&self, snapshot: &Snapshot, certificates: &Certificates) -> String {
        text::all(self, snapshot, certificates)
    }
}

fn add(counts: &Counts, service: &str, more: u64) {
    if more == 0 {
        return;
    }
    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(count) = counts.get_mut(service) {
        *count += more;
    } else if counts.len() < SERVICES_MAX {
        counts.insert(service.to_owned(), more);
    }
}

/// The status of the answer; with gRPC its own.
fn code(record: &Record, end: &End<'_>) -> u16 {
    if !record.protocol.starts_with("grpc") {
        return end.status.as_u16();
    }
    /// What gRPC calls unknown.
    const UNKNOWN: u16 = 2;
    let status = end.headers.get("grpc-status").and_then(|value| value.to_str().ok());
    status.and_then(|status| status.parse().ok()).filter(|code| *code <= 16).unwrap_or(UNKNOWN)
}

/// Methods that nobody knows are one.
fn method(method: &Method) -> &'static str {
    const KNOWN: &[&str] =
        &["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PRI"];
    KNOWN.iter().find(|known| **known == method.as_str()).copied().unwrap_or("EXTENSION_METHOD")
}
