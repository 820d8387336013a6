//! How many requests of a source are under way at a time.

use super::{
    LayerError,
    exchange::{Exchange, Reply},
    source::Source,
};
use crate::config::model;
use arc_swap::ArcSwap;
use bytes::Bytes;
use hyper::StatusCode;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

#[derive(Debug)]
pub(crate) struct InFlight {
    amount: i64,
    source: Source,
    /// Only sources with requests under way: connections bound their number.
    requests: ArcSwap<Requests>,
}

type Requests = Mutex<HashMap<String, i64>>;

/// A request that is counted until this is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    requests: Arc<Requests>,
    source: String,
}

impl InFlight {
    pub(super) fn new(config: &model::InFlightReq) -> Result<Self, LayerError> {
        let of_host = model::SourceCriterion { request_host: true, ..Default::default() };
        let named = |source: &&model::SourceCriterion| {
            source.ip_strategy.is_some() || !source.request_header_name.is_empty() || source.request_host
        };
        let source = config.source_criterion.as_ref().filter(named).unwrap_or(&of_host);
        Ok(Self { amount: config.amount, source: Source::new(Some(source))?, requests: ArcSwap::default() })
    }

    /// Counts those too that are under way since before a new configuration.
    pub(super) fn take_over(&self, before: &Self) {
        if self.source == before.source {
            self.requests.store(before.requests.load_full());
        }
    }

    /// Counts a request; an answer, if there are too many.
    pub(crate) fn admit(&self, exchange: &Exchange) -> Result<Counted, Reply> {
        let source = self.source.of(exchange);
        let shared = self.requests.load_full();
        let mut requests = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let count = requests.get(&source).copied().unwrap_or(0);
        if count >= self.amount {
            let mut reply = Reply::plain(StatusCode::TOO_MANY_REQUESTS);
            reply.body = Bytes::from(format!("max connections reached: {}", self.amount));
            return Err(reply);
        }
        requests.insert(source.clone(), count + 1);
        drop(requests);
        Ok(Counted { requests: shared, source })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = requests.get_mut(&self.source) {
            *count -= 1;
            if *count <= 0 {
                requests.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_under_way_are_counted_by_their_source() {
        let layer = Arc::new(
            InFlight::new(&model::InFlightReq { amount: 2, ..Default::default() }).expect("a layer"),
        );
        let exchange = |host: &str| Exchange { host: host.to_owned(), ..Exchange::default() };
        let first = layer.admit(&exchange("a")).expect("counted");
        let _second = layer.admit(&exchange("A")).expect("counted");
        let refused = layer.admit(&exchange("a")).expect_err("too many");
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(&refused.body[..], b"max connections reached: 2");
        let other = layer.admit(&exchange("b")).expect("counted");
        drop((first, other));
        assert!(layer.admit(&exchange("a")).is_ok());
        assert_eq!(layer.requests.load().lock().expect("no fault").len(), 1);
        let config = model::InFlightReq { amount: 1, ..Default::default() };
        let (before, after) =
            (InFlight::new(&config).expect("a layer"), InFlight::new(&config).expect("a layer"));
        let counted = before.admit(&exchange("a")).expect("counted");
        after.take_over(&before);
        assert!(after.admit(&exchange("a")).is_err());
        drop(counted);
        assert!(after.admit(&exchange("a")).is_ok());
    }
}
