//! What is done with requests and answers between a router and its service.
//!
//! A layer looks at an [`Exchange`] before the request goes on, and at the answer's headers when it comes back. It does
//! no I/O and knows no connection, so each is tested by a table. Those that are around the rest of a request's way
//! decide here, and are carried out by whoever has bodies and clocks.
//!
//! Deliberately absent, each told by whoever builds layers: plugins.

mod access;
mod allow;
mod breaker;
mod buffering;
mod client_cert;
mod compress;
mod content;
mod cross_origin;
mod digest;
mod encoded;
mod errors;
mod exchange;
mod forward_auth;
mod grpc_web;
mod headers;
mod in_flight;
mod path;
mod predicate;
mod rate;
mod redirect;
mod retry;
mod source;
mod statuses;

#[cfg(test)]
mod suite;
#[cfg(test)]
mod tables;

pub(crate) use breaker::{Breaker, Watched};
pub(crate) use buffering::Buffering;
pub(crate) use compress::{Compress, Encoding};
pub(crate) use content::{SNIFFED_BYTES, sniffed};
pub(crate) use encoded::EncodedCharacters;
pub(crate) use errors::Errors;
pub(crate) use exchange::{Exchange, Reply, decoded};
pub(crate) use forward_auth::ForwardAuth;
pub(crate) use grpc_web::{GrpcWeb, Spelling, trailers_message};
pub(crate) use in_flight::InFlight;
pub(crate) use rate::RateLimit;
pub(crate) use retry::{Attempt, Retry};
pub(crate) use statuses::Statuses;

use crate::{
    config::{expression::ExpressionError, model::Middleware},
    rule::NetworkError,
    snapshot::Destination,
    upstream::TransportError,
};
use access::{BasicAuth, UsersError};
use allow::AllowList;
use client_cert::ClientCert;
use digest::DigestAuth;
use headers::Headers;
use hyper::{HeaderMap, header::InvalidHeaderValue};
use path::{AddPrefix, ReplacePath, ReplacePathLike, StripPrefix, StripPrefixLike};
use predicate::PredicateError;
use redirect::{RedirectLike, RedirectScheme};
use std::sync::{Arc, OnceLock};

/// Why a middleware cannot be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LayerError {
    #[error("prefix cannot be empty")]
    NoPrefix,
    #[error("you must provide a target scheme")]
    NoScheme,
    #[error("headers configuration not valid")]
    NoHeaders,
    #[error("sourceRange is empty, IPAllowList not created")]
    NoRange,
    #[error("invalid HTTP status code {0}")]
    Status(u16),
    #[error("invalid IPv6 subnet {0} value, should be greater to 0 and lower or equal to 128")]
    Subnet(i64),
    #[error("iPStrategy, RequestHeaderName and RequestHost are mutually exclusive")]
    Sources,
    #[error("retry middleware requires at least HTTP status codes or retry on TCP")]
    NothingToRetry,
    #[error("incorrect (or empty) value for attempt ({0})")]
    Attempts(i64),
    #[error("{0:?} is neither a status nor a range of them")]
    StatusRange(String),
    #[error("{0:?} is no address of a server")]
    Address(String),
    #[error("{0} is not there yet, and nothing goes past it")]
    NotYet(&'static str),
    #[error("{0:?} is no name of a header")]
    HeaderName(String),
    #[error("what a header is to be is no value of a header")]
    HeaderValue(#[from] InvalidHeaderValue),
    #[error("excludedContentTypes and includedContentTypes options are mutually exclusive")]
    ContentTypes,
    #[error("{0:?} is no media type")]
    ContentType(String),
    #[error("at least one encoding must be specified")]
    NoEncoding,
    #[error("unsupported encoding: {0}")]
    Encoding(String),
    #[error("unsupported default encoding: {0}")]
    DefaultEncoding(String),
    /// Which one is not said: it may hold a password.
    #[error("user number {0} is not written as name:realm:hash")]
    DigestUser(usize),
    #[error("this machine gives no random numbers")]
    Random,
    #[error(transparent)]
    Predicate(#[from] PredicateError),
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error(transparent)]
    Users(#[from] UsersError),
    #[error(transparent)]
    Expression(#[from] ExpressionError),
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(
        "cannot create middleware: multi-types middleware not supported, consider declaring two different pieces of \
         middleware instead"
    )]
    Several,
    #[error("invalid middleware configuration: invalid middleware type or middleware does not exist")]
    None,
}

/// What a configured middleware is.
#[derive(Debug)]
pub(crate) enum Kind {
    Layer(Box<Layer>),
    /// Others, one after another.
    Chain(Vec<String>),
    /// Something that does nothing.
    Nothing,
}

/// One middleware.
#[derive(Debug)]
pub(crate) enum Layer {
    AddPrefix(AddPrefix),
    StripPrefix(StripPrefix),
    StripPrefixLike(StripPrefixLike),
    ReplacePath(ReplacePath),
    ReplacePathLike(ReplacePathLike),
    RedirectScheme(RedirectScheme),
    RedirectLike(RedirectLike),
    Headers(Box<Headers>),
    BasicAuth(BasicAuth),
    DigestAuth(Box<DigestAuth>),
    /// Whoever has the connections asks; nothing is done in [`Layer::before`].
    ForwardAuth(Box<ForwardAuth>),
    /// The same: whoever has the clock waits.
    RateLimit(RateLimit),
    AllowList(AllowList),
    EncodedCharacters(EncodedCharacters),
    ClientCert(ClientCert),
    /// From here on: around the rest of a request's way.
    Retry(Retry),
    InFlight(Arc<InFlight>),
    Buffering(Buffering),
    Errors(Box<Errors>),
    Breaker(Arc<Breaker>),
    Compress(Compress),
    ContentType,
    GrpcWeb(GrpcWeb),
}

impl Kind {
    /// What a configuration asks for; exactly one kind.
    pub(crate) fn build(name: &str, config: &Middleware) -> Result<Self, LayerError> {
        let mut kinds: Vec<Box<dyn FnOnce() -> Result<Self, LayerError> + '_>> = Vec::new();
        macro_rules! layers {
            ($($field:ident $kind:ident $build:expr;)*) => {$(
                if let Some(given) = &config.$field {
                    kinds.push(Box::new(move || Ok(Self::Layer(Box::new(Layer::$kind($build(given)?))))));
                }
            )*};
        }
        layers! {
            add_prefix AddPrefix AddPrefix::new;
            strip_prefix StripPrefix |given| Ok::<_, LayerError>(StripPrefix::new(given));
            strip_prefix_regex StripPrefixLike StripPrefixLike::new;
            replace_path ReplacePath |given| Ok::<_, LayerError>(ReplacePath::new(given));
            replace_path_regex ReplacePathLike ReplacePathLike::new;
            redirect_scheme RedirectScheme RedirectScheme::new;
            redirect_regex RedirectLike RedirectLike::new;
            headers Headers |given: &Box<_>| Headers::new(given).map(Box::new);
            basic_auth BasicAuth |given| BasicAuth::new(name, given);
            forward_auth ForwardAuth |given: &Box<_>| ForwardAuth::new(given).map(Box::new);
            retry Retry Retry::new;
            rate_limit RateLimit RateLimit::new;
            ip_allow_list AllowList AllowList::new;
            ip_white_list AllowList AllowList::new;
            digest_auth DigestAuth |given| DigestAuth::new(given).map(Box::new);
            encoded_characters EncodedCharacters |given| Ok::<_, LayerError>(EncodedCharacters::new(given));
            pass_tls_client_cert ClientCert |given| Ok::<_, LayerError>(ClientCert::new(given));
            in_flight_req InFlight |given| InFlight::new(given).map(Arc::new);
            buffering Buffering Buffering::new;
            errors Errors |given| Errors::new(given).map(Box::new);
            circuit_breaker Breaker |given| Breaker::new(given).map(Arc::new);
            compress Compress Compress::new;
            grpc_web GrpcWeb |given| Ok::<_, LayerError>(GrpcWeb::new(given));
        }
        if let Some(given) = &config.content_type {
            let detects = given.auto_detect.unwrap_or(true);
            let kind = if detects { Self::Layer(Box::new(Layer::ContentType)) } else { Self::Nothing };
            kinds.push(Box::new(|| Ok(kind)));
        }
        if config.plugin.given {
            kinds.push(Box::new(|| Err(LayerError::NotYet("plugin"))));
        }
        if let Some(chain) = &config.chain {
            kinds.push(Box::new(|| Ok(Self::Chain(chain.middlewares.clone()))));
        }
        let several = kinds.len() > 1;
        match kinds.pop() {
            Some(_) if several => Err(LayerError::Several),
            Some(build) => build(),
            None => Err(LayerError::None),
        }
    }
}

impl Layer {
    /// What is done before the request goes on; an answer, if it does not.
    pub(crate) fn before(&self, exchange: &mut Exchange) -> Result<(), Reply> {
        match self {
            Self::AddPrefix(layer) => layer.before(exchange),
            Self::StripPrefix(layer) => layer.before(exchange)?,
            Self::StripPrefixLike(layer) => layer.before(exchange)?,
            Self::ReplacePath(layer) => layer.before(exchange)?,
            Self::ReplacePathLike(layer) => layer.before(exchange)?,
            Self::RedirectScheme(layer) => layer.before(exchange)?,
            Self::RedirectLike(layer) => layer.before(exchange)?,
            Self::Headers(layer) => layer.before(exchange)?,
            Self::BasicAuth(layer) => layer.before(exchange)?,
            Self::DigestAuth(layer) => layer.before(exchange)?,
            Self::AllowList(layer) => layer.before(exchange)?,
            Self::EncodedCharacters(layer) => layer.before(exchange)?,
            Self::ClientCert(layer) => layer.before(exchange),
            _ => {}
        }
        Ok(())
    }

    /// Goes on with what the layer of the same name has counted or given out, where both are asked for alike.
    pub(crate) fn take_over(&self, before: &Self) {
        match (self, before) {
            (Self::RateLimit(layer), Self::RateLimit(before)) => layer.take_over(before),
            (Self::DigestAuth(layer), Self::DigestAuth(before)) => layer.take_over(before),
            (Self::InFlight(layer), Self::InFlight(before)) => layer.take_over(before),
            (Self::Breaker(layer), Self::Breaker(before)) => layer.take_over(before),
            _ => {}
        }
    }

    /// Whether it is around the rest of a request's way.
    pub(crate) fn is_around(&self) -> bool {
        matches!(
            self,
            Self::Retry(_)
                | Self::InFlight(_)
                | Self::Buffering(_)
                | Self::Errors(_)
                | Self::Breaker(_)
                | Self::Compress(_)
                | Self::ContentType
                | Self::GrpcWeb(_)
        )
    }

    /// The service that it names, and where it is put once it is known.
    pub(crate) fn wants(&self) -> Option<(&str, &OnceLock<Arc<Destination>>)> {
        match self {
            Self::Errors(layer) => Some(layer.wants()),
            _ => None,
        }
    }

    /// Whether [`Self::before`] computes for longer than others should wait.
    pub(crate) fn takes_long(&self) -> bool {
        matches!(self, Self::BasicAuth(_))
    }

    /// What is done with the headers of an answer on its way back.
    pub(crate) fn after(&self, exchange: &Exchange, answer: &mut HeaderMap) {
        match self {
            Self::Headers(layer) => layer.after(exchange, answer),
            Self::ForwardAuth(layer) => layer.after(exchange, answer),
            _ => {}
        }
    }
}
