//! Who wants to know of a router's requests.

use crate::config::{
    model::Router,
    statics::{EntryPoint, Statics},
};

/// What is told of a router's requests, decided when its snapshot is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) router: String,
    pub(crate) service: String,
    pub(crate) rule: String,
    pub(crate) access_logs: bool,
    pub(crate) metrics: bool,
    pub(crate) tracing: bool,
    /// Whether a trace has the steps between its two ends.
    pub(crate) detailed: bool,
    /// Names and kinds of its layers; only where a trace has them.
    pub(crate) layers: Vec<(String, String)>,
}

impl Told {
    /// What a router says counts before what its entry point says. Of the gateway's own only those are told of that
    /// somebody asked for.
    pub(crate) fn new(name: &str, router: &Router, entry: &EntryPoint, statics: &Statics) -> Self {
        let (own, from) = (router.observability.as_ref(), &entry.observability);
        let internal = router.service.ends_with("@internal");
        let told = |asked: Option<bool>, default: bool, add: Option<bool>| {
            asked.unwrap_or(default) && (!internal || add == Some(true))
        };
        let verbosity = own.map_or(from.trace_verbosity.as_str(), |own| &own.trace_verbosity);
        let logs = statics.access_log.as_ref().map(|log| log.add_internals);
        let metrics = statics.metrics.as_ref().map(|metrics| metrics.add_internals);
        let traces = statics.tracing.as_ref().map(|tracing| tracing.add_internals);
        Self {
            router: name.to_owned(),
            service: router.service.clone(),
            rule: router.rule.clone(),
            access_logs: told(own.and_then(|own| own.access_logs), from.access_logs, logs),
            metrics: told(own.and_then(|own| own.metrics), from.metrics, metrics),
            tracing: told(own.and_then(|own| own.tracing), from.tracing, traces),
            detailed: verbosity == "detailed" && statics.tracing.is_some(),
            layers: Vec::new(),
        }
    }
}
