//! What the gateway answers by itself.

use super::{
    answer::{Answer, own as answer, plain, text},
    handler::Site,
};
use crate::{
    middleware::{Exchange, Reply},
    snapshot::Own,
};
use hyper::{
    StatusCode,
    header::{CONTENT_TYPE, HeaderValue},
};
use std::sync::atomic::Ordering;

impl Site {
    /// Metrics, in the text format of Prometheus.
    fn numbers(&self) -> Answer {
        let Some(metrics) = self.observer.metrics() else { return plain(StatusCode::NOT_FOUND) };
        let text = metrics.text(&self.snapshot(), &self.certificates);
        let mut reply = Reply::plain(StatusCode::OK);
        let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8; escaping=underscores");
        reply.headers.insert(CONTENT_TYPE, kind);
        reply.body = text.into();
        answer(reply)
    }

    pub(super) fn tell(&self, own: Own, exchange: &Exchange) -> Answer {
        match own {
            Own::Api => answer(self.api.answer(exchange, &self.snapshot(), &self.certificates)),
            Own::Dashboard => answer(self.api.page(exchange)),
            Own::Ping if self.ending.load(Ordering::Relaxed) => plain(self.api.ending()),
            Own::Ping => text(StatusCode::OK, "OK"),
            Own::Prometheus => self.numbers(),
            Own::Nothing => plain(StatusCode::IM_A_TEAPOT),
        }
    }
}
