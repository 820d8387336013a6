//! What is told of requests: the access log, metrics and traces.
//!
//! A [`Watch`] goes with a request from its first line to the last byte of its answer; whoever has to do with the request
//! notes there what happened. At the end all that is wanted is made of it at once. Where nothing is wanted a watch is
//! nothing, and costs nothing. Nobody who serves a request ever waits for whoever writes about it: what does not fit into a
//! queue is lost, which is counted and told.
//!
//! Deliberately absent: metrics and logs by OTLP, Datadog, StatsD and InfluxDB.

pub(crate) mod access;
pub(crate) mod metrics;
mod record;
mod told;
pub(crate) mod trace;
mod watched;

#[cfg(test)]
mod tests;

pub(crate) use record::{Agreed, Watch};
pub(crate) use told::Told;
pub(crate) use watched::{Unanswered, Watched};

use crate::config::{Warning, statics::Statics};
use access::{AccessLog, OpenError};
use metrics::{Metrics, Open};
use record::Record;
use std::sync::{Arc, atomic::AtomicU64};
use trace::{Tracer, TracerError};

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObserveError {
    #[error(transparent)]
    Log(#[from] OpenError),
    #[error(transparent)]
    Trace(#[from] TracerError),
}

/// Everything that wants to know of requests.
#[derive(Debug, Default)]
pub(crate) struct Observer {
    access: Option<AccessLog>,
    metrics: Option<Metrics>,
    tracer: Option<Tracer>,
    requests: AtomicU64,
}

impl Observer {
    /// Opens what is asked for. Has to be called where tasks can be started.
    pub(crate) fn new(statics: &Statics, warnings: &mut Vec<Warning>) -> Result<Arc<Self>, ObserveError> {
        let access = statics.access_log.as_ref().map(|options| AccessLog::open(options, warnings));
        let prometheus = statics.metrics.as_ref().and_then(|metrics| metrics.prometheus.as_ref());
        let tracer = statics.tracing.as_ref().map(|options| Tracer::new(options, warnings));
        Ok(Arc::new(Self {
            access: access.transpose()?,
            metrics: prometheus.map(Metrics::new),
            tracer: tracer.transpose()?,
            requests: AtomicU64::new(0),
        }))
    }

    pub(crate) fn metrics(&self) -> Option<&Metrics> {
        self.metrics.as_ref()
    }

    fn is_idle(&self) -> bool {
        self.access.is_none() && self.metrics.is_none() && self.tracer.is_none()
    }

    /// Counts a connection for as long as the value lives.
    pub(crate) fn opened(&self, entry: &str) -> Option<Open> {
        self.metrics.as_ref().map(|metrics| metrics.opened(entry))
    }

    /// Opens the log's file anew, after somebody has moved it away.
    pub(crate) fn reopen(&self) {
        if let Some(access) = &self.access {
            access.reopen();
        }
    }

    /// Writes what is left, for as long as that is allowed to take.
    pub(crate) async fn close(&self) {
        if let Some(tracer) = &self.tracer {
            tracer.close().await;
        }
        if let Some(access) = &self.access {
            access.flush();
        }
    }

    /// Makes of a request that is over what is wanted of it.
    fn end(&self, record: &Record, end: &record::End<'_>) {
        let told = record.told();
        if let Some(access) = self.access.as_ref().filter(|access| access.wants(told.as_deref())) {
            access.write(record, end);
        }
        if let Some(metrics) = self.metrics.as_ref().filter(|_| told.as_ref().is_none_or(|told| told.metrics))
        {
            metrics.count(record, end);
        }
        if let Some(tracer) = self.tracer.as_ref().filter(|_| told.as_ref().is_none_or(|told| told.tracing)) {
            tracer.end(record, end);
        }
    }
}
