//! Whose requests are counted together.

use super::{LayerError, allow::Whose, exchange::Exchange};
use crate::config::model;
use hyper::header::HeaderName;

/// What makes requests be of one source.
#[derive(Debug, PartialEq)]
pub(super) enum Source {
    Address(Whose),
    Header(HeaderName),
    Host,
}

impl Source {
    pub(super) fn new(config: Option<&model::SourceCriterion>) -> Result<Self, LayerError> {
        let Some(config) = config else { return Ok(Self::Address(Whose::new(None)?)) };
        let named =
            [config.ip_strategy.is_some(), !config.request_header_name.is_empty(), config.request_host];
        if named.iter().filter(|named| **named).count() > 1 {
            return Err(LayerError::Sources);
        }
        if config.request_host {
            return Ok(Self::Host);
        }
        let name = &config.request_header_name;
        if !name.is_empty() {
            return Ok(Self::Header(name.parse().map_err(|_| LayerError::HeaderName(name.clone()))?));
        }
        Ok(Self::Address(Whose::new(config.ip_strategy.as_ref())?))
    }

    pub(super) fn of(&self, exchange: &Exchange) -> String {
        match self {
            Self::Address(whose) => {
                whose.address(exchange).map(|address| address.to_string()).unwrap_or_default()
            }
            Self::Header(name) => exchange.header(name.as_str()).unwrap_or_default().to_owned(),
            Self::Host => exchange.host.to_lowercase(),
        }
    }
}
