//! Which other sites' pages may ask (CORS).

use super::{
    LayerError,
    exchange::{Exchange, Reply},
};
use crate::config::{expression::compile, model};
use bytes::Bytes;
use hyper::{
    HeaderMap, Method, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
        ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderName, HeaderValue, VARY,
    },
};
use regex::Regex;

#[derive(Debug)]
pub(super) struct CrossOrigin {
    credentials: bool,
    headers: Allowed,
    methods: Allowed,
    expose: Option<HeaderValue>,
    origins: Vec<HeaderValue>,
    origins_like: Vec<Regex>,
    max_age: Option<i64>,
    vary: bool,
}

/// What is allowed, as one value; and whether it is everything.
#[derive(Debug)]
struct Allowed {
    list: Option<HeaderValue>,
    all: bool,
}

impl Allowed {
    fn new(list: &[String]) -> Result<Self, LayerError> {
        let value = if list.is_empty() { None } else { Some(HeaderValue::from_str(&list.join(","))?) };
        Ok(Self { list: value, all: list.iter().any(|item| item == "*") })
    }

    /// With credentials a star stands for nothing, so that what was asked for is named.
    fn answer(&self, asked: Option<&HeaderValue>, credentials: bool) -> Option<HeaderValue> {
        if self.all && credentials { asked.cloned() } else { self.list.clone() }
    }
}

impl CrossOrigin {
    pub(super) fn new(config: &model::Headers) -> Result<Option<Self>, LayerError> {
        let expose = Allowed::new(&config.access_control_expose_headers)?;
        let credentials = config.access_control_allow_credentials;
        let like = config.access_control_allow_origin_list_regex.iter().map(|pattern| compile(pattern));
        let origins =
            config.access_control_allow_origin_list.iter().map(|origin| HeaderValue::from_str(origin));
        let rules = Self {
            credentials,
            headers: Allowed::new(&config.access_control_allow_headers)?,
            methods: Allowed::new(&config.access_control_allow_methods)?,
            expose: expose.list.filter(|_| !(expose.all && credentials)),
            origins: origins.collect::<Result<_, _>>()?,
            origins_like: like.collect::<Result<_, _>>()?,
            max_age: config.access_control_max_age,
            vary: config.add_vary_header,
        };
        let asked = credentials
            || rules.vary
            || rules.max_age.is_some()
            || rules.headers.list.is_some()
            || rules.methods.list.is_some()
            || !config.access_control_expose_headers.is_empty()
            || !rules.origins.is_empty()
            || !rules.origins_like.is_empty();
        Ok(asked.then_some(rules))
    }

    /// The answer to a browser that asks whether it may.
    pub(super) fn preflight(&self, exchange: &Exchange) -> Option<Reply> {
        let method =
            exchange.headers.get(ACCESS_CONTROL_REQUEST_METHOD).filter(|method| !method.is_empty())?;
        let origin = exchange.origin.as_ref().filter(|origin| !origin.is_empty())?;
        if exchange.method != Method::OPTIONS {
            return None;
        }
        let mut headers = HeaderMap::new();
        let mut tell = |name: HeaderName, value: Option<HeaderValue>| {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        };
        let asked = exchange.headers.get(ACCESS_CONTROL_REQUEST_HEADERS).filter(|asked| !asked.is_empty());
        tell(ACCESS_CONTROL_ALLOW_CREDENTIALS, self.credentials.then(|| HeaderValue::from_static("true")));
        tell(ACCESS_CONTROL_ALLOW_HEADERS, self.headers.answer(asked, self.credentials));
        tell(ACCESS_CONTROL_ALLOW_METHODS, self.methods.answer(Some(method), self.credentials));
        tell(ACCESS_CONTROL_ALLOW_ORIGIN, self.allowed(Some(origin)));
        tell(ACCESS_CONTROL_MAX_AGE, self.max_age.map(HeaderValue::from));
        tell(ACCESS_CONTROL_EXPOSE_HEADERS, self.expose.clone());
        Some(Reply { status: StatusCode::OK, headers: Box::new(headers), body: Bytes::new() })
    }

    pub(super) fn answered(&self, origin: Option<&HeaderValue>, answer: &mut HeaderMap) {
        if let Some(allowed) = self.allowed(origin) {
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        }
        if self.credentials {
            answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        if let Some(expose) = &self.expose {
            answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
        }
        if !self.vary {
            return;
        }
        let now = answer.get(VARY).and_then(|vary| vary.to_str().ok()).unwrap_or_default();
        let vary = match now {
            "" | "Origin" => Ok(HeaderValue::from_static("Origin")),
            now => HeaderValue::from_str(&format!("{now},Origin")),
        };
        if let Ok(vary) = vary {
            answer.insert(VARY, vary);
        }
    }

    fn allowed(&self, origin: Option<&HeaderValue>) -> Option<HeaderValue> {
        for allowed in &self.origins {
            if allowed == "*" {
                return if self.credentials { origin.cloned() } else { Some(allowed.clone()) };
            }
            if Some(allowed) == origin {
                return Some(allowed.clone());
            }
        }
        let text = origin.and_then(|origin| origin.to_str().ok()).unwrap_or_default();
        let like = self.origins_like.iter().any(|expression| expression.is_match(text));
        origin.filter(|_| like).cloned()
    }
}
