//! What is done with requests and answers between a router and its service.
//!
//! A layer looks at an [`Exchange`] before the request goes on, and at the answer's headers when it comes back. It does
//! no I/O and knows no connection, so each is tested by a table.
//!
//! Deliberately absent, each told by whoever builds layers: those in [`Missing`].

mod access;
mod allow;
mod cross_origin;
mod exchange;
mod forward_auth;
mod headers;
mod path;
mod rate;
mod redirect;
mod retry;

#[cfg(test)]
mod suite;

pub(crate) use exchange::{Exchange, Reply, decoded};
pub(crate) use forward_auth::{ForwardAuth, Question};
pub(crate) use rate::RateLimit;
pub(crate) use retry::Retry;

use crate::{
    config::model::Middleware,
    rule::{ExpressionError, NetworkError},
};
use access::{BasicAuth, UsersError};
use allow::AllowList;
use headers::Headers;
use hyper::{HeaderMap, header::InvalidHeaderValue};
use path::{AddPrefix, ReplacePath, ReplacePathLike, StripPrefix, StripPrefixLike};
use redirect::{RedirectLike, RedirectScheme};

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

/// A kind of middleware that is not there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Without it a request may get where it must not: its routers are not served.
    Guard(&'static str),
    /// Without it a request gets where it should, if less well: it is passed over.
    Comfort(&'static str),
}

/// What a configured middleware is.
#[derive(Debug)]
pub(crate) enum Kind {
    Layer(Box<Layer>),
    /// Others, one after another.
    Chain(Vec<String>),
    Missing(Missing),
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
    /// Whoever has the connections asks; nothing is done in [`Layer::before`].
    ForwardAuth(Box<ForwardAuth>),
    /// The same: whoever sends requests sends them again.
    Retry(Retry),
    /// The same: whoever has the clock waits.
    RateLimit(RateLimit),
    AllowList(AllowList),
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
        }
        if let Some(chain) = &config.chain {
            kinds.push(Box::new(|| Ok(Self::Chain(chain.middlewares.clone()))));
        }
        kinds.extend(missing(config).into_iter().map(|missing| {
            Box::new(move || Ok(Self::Missing(missing))) as Box<dyn FnOnce() -> Result<Self, LayerError>>
        }));
        let several = kinds.len() > 1;
        match kinds.pop() {
            Some(_) if several => Err(LayerError::Several),
            Some(build) => build(),
            None => Err(LayerError::None),
        }
    }
}

/// What a configuration asks for and nobody does yet.
fn missing(config: &Middleware) -> Vec<Missing> {
    let guards = [
        (config.encoded_characters.is_some(), "encodedCharacters"),
        (config.digest_auth.is_some(), "digestAuth"),
        (config.in_flight_req.is_some(), "inFlightReq"),
        (config.buffering.is_some(), "buffering"),
        (config.pass_tls_client_cert.is_some(), "passTLSClientCert"),
        (config.plugin.given, "plugin"),
    ];
    let comforts = [
        (config.errors.is_some(), "errors"),
        (config.circuit_breaker.is_some(), "circuitBreaker"),
        (config.compress.is_some(), "compress"),
        (config.content_type.is_some(), "contentType"),
        (config.grpc_web.is_some(), "grpcWeb"),
    ];
    let guards = guards.iter().filter(|(given, _)| *given).map(|(_, name)| Missing::Guard(name));
    guards
        .chain(comforts.iter().filter(|(given, _)| *given).map(|(_, name)| Missing::Comfort(name)))
        .collect()
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
            Self::AllowList(layer) => layer.before(exchange)?,
            Self::ForwardAuth(_) | Self::Retry(_) | Self::RateLimit(_) => {}
        }
        Ok(())
    }

    /// Whether [`Self::before`] computes for longer than others should wait.
    pub(crate) fn takes_long(&self) -> bool {
        matches!(self, Self::BasicAuth(_))
    }

    /// What is done with the headers of an answer on its way back.
    pub(crate) fn after(&self, exchange: &Exchange, answer: &mut HeaderMap) {
        if let Self::Headers(layer) = self {
            layer.after(exchange, answer);
        }
    }
}
