//! What is counted, in Vault's names.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Routes (operation and mount) that are told apart; further ones are counted together.
const ROUTES_MAX: usize = 512;

/// How often, and how long altogether.
#[derive(Debug, Default, Clone, Copy)]
struct Summary {
    count: u64,
    sum: Duration,
}

/// Counters since the start.
#[derive(Debug)]
pub(crate) struct Metrics {
    started: Instant,
    requests: AtomicU64,
    requests_micros: AtomicU64,
    logins: AtomicU64,
    in_flight: AtomicU64,
    tokens: AtomicU64,
    leases: AtomicU64,
    expired: AtomicU64,
    failed_audits: AtomicU64,
    routes: Mutex<Routes>,
}

/// Counts by operation, and there by mount: found without making a name for them.
#[derive(Debug, Default)]
struct Routes {
    by_operation: BTreeMap<&'static str, HashMap<String, Summary>>,
    /// How many are told apart.
    known: usize,
    others: Summary,
}

impl Routes {
    fn of(&mut self, operation: &'static str, mount: &str) -> &mut Summary {
        let mounts = self.by_operation.entry(operation).or_default();
        // Asked twice, so that only a mount that is new costs a copy of its name.
        if !mounts.contains_key(mount) {
            if self.known >= ROUTES_MAX {
                return &mut self.others;
            }
            self.known += 1;
            mounts.insert(mount.to_owned(), Summary::default());
        }
        mounts.get_mut(mount).unwrap_or(&mut self.others)
    }

    /// By the names they are told under, which two mounts may share.
    fn named(&self) -> BTreeMap<String, Summary> {
        let mut named: BTreeMap<String, Summary> = BTreeMap::new();
        for (operation, mounts) in &self.by_operation {
            for (mount, summary) in mounts {
                named.entry(route_name(operation, mount)).or_default().add(*summary);
            }
        }
        if self.others.count > 0 {
            named.entry("other".to_owned()).or_default().add(self.others);
        }
        named
    }
}

impl Summary {
    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.sum += other.sum;
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            requests: AtomicU64::default(),
            requests_micros: AtomicU64::default(),
            logins: AtomicU64::default(),
            in_flight: AtomicU64::default(),
            tokens: AtomicU64::default(),
            leases: AtomicU64::default(),
            expired: AtomicU64::default(),
            failed_audits: AtomicU64::default(),
            routes: Mutex::default(),
        }
    }
}

/// A request under way.
#[derive(Debug)]
pub(crate) struct InFlight<'a> {
    metrics: &'a Metrics,
    began: Instant,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let micros = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.metrics.requests_micros.fetch_add(micros, Ordering::Relaxed);
        self.metrics.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    /// Requests that have begun since the start.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// A request begins; it ends with what this gives.
    pub(crate) fn begin(&self) -> InFlight<'_> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight { metrics: self, began: Instant::now() }
    }

    /// A mount answered.
    pub(crate) fn route(&self, operation: &'static str, mount: &str, took: Duration) {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.of(operation, mount).add(Summary { count: 1, sum: took });
    }

    /// Somebody logged in.
    pub(crate) fn login(&self) {
        self.logins.fetch_add(1, Ordering::Relaxed);
    }

    /// A token was made.
    pub(crate) fn token(&self) {
        self.tokens.fetch_add(1, Ordering::Relaxed);
    }

    /// A lease was made.
    pub(crate) fn lease(&self) {
        self.leases.fetch_add(1, Ordering::Relaxed);
    }

    /// A token or a lease was over.
    pub(crate) fn expired(&self) {
        self.expired.fetch_add(1, Ordering::Relaxed);
    }

    /// No audit device took a record.
    pub(crate) fn failed_audit(&self) {
        self.failed_audits.fetch_add(1, Ordering::Relaxed);
    }

    /// In Prometheus's text format.
    #[must_use]
    pub(crate) fn prometheus(&self, sealed: bool) -> String {
        let mut text = String::new();
        for (name, kind, value) in self.plain(sealed) {
            let name = name.replace('.', "_");
            // Writing to a String cannot fail.
            let _ = writeln!(text, "# HELP {name} {name}\n# TYPE {name} {kind}\n{name} {value}");
        }
        let millis = |micros: f64| micros / 1_000.0;
        let count = self.requests.load(Ordering::Relaxed);
        let micros = self.requests_micros.load(Ordering::Relaxed) as f64;
        summary(&mut text, "vault_core_handle_request", millis(micros), count);
        for (name, route) in self.routes.lock().unwrap_or_else(PoisonError::into_inner).named() {
            summary(
                &mut text,
                &format!("vault_route_{name}"),
                millis(route.sum.as_micros() as f64),
                route.count,
            );
        }
        text
    }

    /// Name, Prometheus's type, value.
    fn plain(&self, sealed: bool) -> Vec<(&'static str, &'static str, f64)> {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        vec![
            ("vault.core.unsealed", "gauge", f64::from(u8::from(!sealed))),
            ("vault.core.active", "gauge", f64::from(u8::from(!sealed))),
            ("vault.core.in_flight_requests", "gauge", of(&self.in_flight)),
            ("vault.core.login_requests", "counter", of(&self.logins)),
            ("vault.token.creation", "counter", of(&self.tokens)),
            ("vault.secret.lease.creation", "counter", of(&self.leases)),
            ("vault.expire.revoked", "counter", of(&self.expired)),
            ("vault.audit.log_request_failure", "counter", of(&self.failed_audits)),
            ("vault.runtime.uptime_seconds", "gauge", self.started.elapsed().as_secs_f64()),
        ]
    }

    /// As `sys/metrics` answers without a format.
    #[must_use]
    pub(crate) fn json(&self, sealed: bool) -> serde_json::Value {
        let (mut gauges, mut counters) = (Vec::new(), Vec::new());
        for (name, kind, value) in self.plain(sealed) {
            match kind {
                "gauge" => gauges.push(serde_json::json!({ "Name": name, "Value": value, "Labels": {} })),
                _ => counters
                    .push(serde_json::json!({ "Name": name, "Count": value, "Sum": value, "Labels": {} })),
            }
        }
        let count = self.requests.load(Ordering::Relaxed);
        let sum = self.requests_micros.load(Ordering::Relaxed) as f64 / 1_000.0;
        let samples = [
            serde_json::json!({ "Name": "vault.core.handle_request", "Count": count, "Sum": sum, "Labels": {} }),
        ];
        serde_json::json!({
            "Timestamp": crate::moment::rfc3339(crate::moment::nanos(std::time::SystemTime::now())),
            "Gauges": gauges,
            "Points": [],
            "Counters": counters,
            "Samples": samples,
        })
    }
}

fn route_name(operation: &str, mount: &str) -> String {
    let letter = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
    let mount: String = mount.chars().map(letter).collect();
    format!("{operation}_{mount}")
}

fn summary(text: &mut String, name: &str, sum: f64, count: u64) {
    // Writing to a String cannot fail.
    let _ =
        writeln!(text, "# HELP {name} {name}\n# TYPE {name} summary\n{name}_sum {sum}\n{name}_count {count}");
}

#[cfg(test)]
mod tests {
    use super::{Metrics, ROUTES_MAX};
    use std::time::Duration;

    #[test]
    fn routes_are_counted_by_name_and_within_bounds() {
        let metrics = Metrics::default();
        let second = Duration::from_secs(1);
        for mount in ["a/b/", "a-b/", "c/"] {
            metrics.route("read", mount, second);
        }
        metrics.route("read", "c/", second);
        let text = metrics.prometheus(false);
        // Both are told as `a_b_`.
        assert!(text.contains("vault_route_read_a_b__count 2\n"), "{text}");
        assert!(text.contains("vault_route_read_c__sum 2000\nvault_route_read_c__count 2\n"), "{text}");
        for mount in 0..ROUTES_MAX {
            metrics.route("list", &mount.to_string(), second);
        }
        let text = metrics.prometheus(false);
        assert!(text.contains("vault_route_other_count 3\n"), "{text}");
    }
}
