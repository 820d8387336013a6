//! Counters by their labels.

use crate::observe::Agreed;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

/// Most names of one kind that are told apart.
const GROUPS_MAX: usize = 20_000;
/// Most ways of statuses, methods and protocols of one name.
const SERIES_MAX: usize = 1_000;
/// Most values of headers that are told apart for one name; further ones are one.
const VALUES_MAX: usize = 200;
const OTHER: &str = "other";
/// Longest value of a header that is a label, in bytes.
const VALUE_BYTES_MAX: usize = 128;

/// What is known of every request at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) code: u16,
    pub(super) method: &'static str,
    pub(super) protocol: &'static str,
}

/// One request.
#[derive(Debug, Clone, Copy)]
pub(super) struct One<'o> {
    pub(super) key: Key,
    pub(super) took: Duration,
    pub(super) request_bytes: u64,
    pub(super) response_bytes: u64,
    pub(super) tls: Option<Agreed>,
    pub(super) labels: &'o [&'o str],
}

/// All of one kind: entry points, routers or services.
#[derive(Debug, Default)]
pub(super) struct Family {
    groups: RwLock<HashMap<String, Arc<Group>>>,
}

/// All of one name.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) names: Vec<(&'static str, String)>,
    series: RwLock<HashMap<Key, Arc<Series>>>,
    tls: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    labelled: Mutex<BTreeMap<(Key, Vec<String>), u64>>,
    /// Whether the configuration still has it.
    gone: AtomicBool,
}

/// The numbers of one way.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) count: AtomicU64,
    pub(super) sum_nanoseconds: AtomicU64,
    pub(super) request_bytes: AtomicU64,
    pub(super) response_bytes: AtomicU64,
    /// How many took no longer than each limit, and longer than the one before.
    pub(super) buckets: Vec<AtomicU64>,
}

impl Family {
    pub(super) fn count(
        &self,
        name: &str,
        names: impl FnOnce() -> Vec<(&'static str, String)>,
        one: &One<'_>,
        limits: &[f64],
    ) {
        let found = self.groups.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        let group = match found {
            Some(group) => group,
            None => {
                let mut all = self.groups.write().unwrap_or_else(PoisonError::into_inner);
                if all.len() >= GROUPS_MAX && !all.contains_key(name) {
                    return;
                }
                all.entry(name.to_owned()).or_insert_with(|| Arc::new(Group::new(names()))).clone()
            }
        };
        group.count(one, limits);
    }

    /// What is not to be kept is told once more.
    pub(super) fn keep(&self, wanted: impl Fn(&str) -> bool) {
        for (name, group) in &*self.groups.read().unwrap_or_else(PoisonError::into_inner) {
            group.gone.store(!wanted(name), Ordering::Relaxed);
        }
    }

    /// All groups in the order of their names; those that are gone will not be among them again.
    pub(super) fn take(&self) -> Vec<Arc<Group>> {
        let mut all = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        let mut groups: Vec<_> = all.values().cloned().collect();
        groups.sort_by(|left, right| left.names.cmp(&right.names));
        all.retain(|_, group| !group.gone.load(Ordering::Relaxed));
        groups
    }
}

impl Group {
    fn new(names: Vec<(&'static str, String)>) -> Self {
        Self {
            names,
            series: RwLock::default(),
            tls: Mutex::default(),
            labelled: Mutex::default(),
            gone: AtomicBool::new(false),
        }
    }

    fn count(&self, one: &One<'_>, limits: &[f64]) {
        if let Some(agreed) = one.tls {
            let mut tls = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
            *tls.entry((agreed.version, agreed.cipher)).or_default() += 1;
        }
        if !one.labels.is_empty() {
            self.count_labels(one);
        }
        let found = self.series.read().unwrap_or_else(PoisonError::into_inner).get(&one.key).cloned();
        let series = match found {
            Some(series) => series,
            None => {
                let mut all = self.series.write().unwrap_or_else(PoisonError::into_inner);
                if all.len() >= SERIES_MAX && !all.contains_key(&one.key) {
                    return;
                }
                all.entry(one.key).or_insert_with(|| Arc::new(Series::new(limits.len()))).clone()
            }
        };
        series.count(one, limits);
    }

    fn count_labels(&self, one: &One<'_>) {
        let cut = |text: &&str| {
            let end = (0..=VALUE_BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
            text[..end.unwrap_or(0)].to_owned()
        };
        let mut labelled = self.labelled.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = (one.key, one.labels.iter().map(cut).collect::<Vec<_>>());
        if labelled.len() >= VALUES_MAX && !labelled.contains_key(&key) {
            key.1 = vec![OTHER.to_owned(); one.labels.len()];
            if labelled.len() >= SERIES_MAX && !labelled.contains_key(&key) {
                return;
            }
        }
        *labelled.entry(key).or_default() += 1;
    }

    pub(super) fn series(&self) -> Vec<(Key, Arc<Series>)> {
        let all = self.series.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = all.iter().map(|(key, series)| (*key, series.clone())).collect();
        all.sort_by_key(|(key, _)| *key);
        all
    }

    pub(super) fn tls(&self) -> BTreeMap<(&'static str, &'static str), u64> {
        self.tls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn labelled(&self) -> BTreeMap<(Key, Vec<String>), u64> {
        self.labelled.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Series {
    fn new(limits: usize) -> Self {
        Self {
            count: AtomicU64::new(0),
            sum_nanoseconds: AtomicU64::new(0),
            request_bytes: AtomicU64::new(0),
            response_bytes: AtomicU64::new(0),
            buckets: (0..limits).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    fn count(&self, one: &One<'_>, limits: &[f64]) {
        let seconds = one.took.as_secs_f64();
        if let Some(bucket) =
            limits.iter().position(|limit| seconds <= *limit).and_then(|at| self.buckets.get(at))
        {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        let nanoseconds = u64::try_from(one.took.as_nanos()).unwrap_or(u64::MAX);
        self.sum_nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
        self.request_bytes.fetch_add(one.request_bytes, Ordering::Relaxed);
        self.response_bytes.fetch_add(one.response_bytes, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}
