//! What the gateway answers by itself.

use super::{
    answer::{Answer, own as answer, plain, text},
    handler::Site,
};
use crate::{middleware::Exchange, snapshot::Own};
use hyper::StatusCode;

impl Site {
    pub(super) fn tell(&self, own: Own, exchange: &Exchange) -> Answer {
        match own {
            Own::Api => answer(self.api.answer(exchange, &self.snapshot(), &self.certificates)),
            Own::Dashboard => answer(self.api.page(exchange)),
            Own::Ping => text(StatusCode::OK, "OK"),
            Own::Prometheus => plain(StatusCode::NOT_IMPLEMENTED),
            Own::Nothing => plain(StatusCode::IM_A_TEAPOT),
        }
    }
}
