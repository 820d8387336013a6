//! Headers that are set and removed, on requests and on answers, and those that tell browsers what they may.

use super::{
    LayerError,
    cross_origin::CrossOrigin,
    exchange::{Exchange, Reply},
};
use crate::config::model;
use hyper::{
    HeaderMap, StatusCode,
    header::{HeaderName, HeaderValue},
};

/// A header and what it becomes; nothing for one that is removed.
type Change = (HeaderName, Option<HeaderValue>);

#[derive(Debug)]
pub(crate) struct Headers {
    request: Vec<Change>,
    /// What the service is told as host.
    host: Option<String>,
    answer: Vec<Change>,
    cross_origin: Option<CrossOrigin>,
    security: Security,
}

/// What browsers are told.
#[derive(Debug, Default)]
struct Security {
    always: Vec<(HeaderName, HeaderValue)>,
    /// What is told over TLS.
    strict_transport: Option<HeaderValue>,
    strict_transport_always: bool,
    /// Which header says, with which value, that whoever is before us spoke TLS.
    tls_headers: Vec<(HeaderName, String)>,
    allowed_hosts: Vec<String>,
    /// Where a host stands beside `Host`.
    host_headers: Vec<HeaderName>,
}

impl Headers {
    pub(super) fn new(config: &model::Headers) -> Result<Self, LayerError> {
        if *config == model::Headers::default() {
            return Err(LayerError::NoHeaders);
        }
        let is_host = |name: &str| name.eq_ignore_ascii_case("host");
        let host =
            config.custom_request_headers.iter().find(|(name, _)| is_host(name)).map(|(_, value)| value);
        Ok(Self {
            request: changes(config.custom_request_headers.iter().filter(|(name, _)| !is_host(name)))?,
            host: host.filter(|host| !host.is_empty()).cloned(),
            answer: changes(config.custom_response_headers.iter())?,
            cross_origin: CrossOrigin::new(config)?,
            security: Security::new(config)?,
        })
    }

    pub(super) fn before(&self, exchange: &mut Exchange) -> Result<(), Reply> {
        if let Some(reply) = self.cross_origin.as_ref().and_then(|rules| rules.preflight(exchange)) {
            return Err(reply);
        }
        apply(&self.request, &mut exchange.headers);
        if let Some(host) = &self.host {
            exchange.host.clone_from(host);
        }
        if !self.security.allows(exchange) {
            return Err(Reply::plain(StatusCode::INTERNAL_SERVER_ERROR));
        }
        Ok(())
    }

    pub(super) fn after(&self, exchange: &Exchange, answer: &mut HeaderMap) {
        for (name, value) in &self.security.always {
            answer.insert(name, value.clone());
        }
        if let Some(value) = &self.security.strict_transport
            && (self.security.strict_transport_always || self.security.is_tls(exchange))
        {
            answer.insert(hyper::header::STRICT_TRANSPORT_SECURITY, value.clone());
        }
        apply(&self.answer, answer);
        if let Some(rules) = &self.cross_origin {
            rules.answered(exchange.origin.as_ref(), answer);
        }
    }
}

fn changes<'c>(pairs: impl Iterator<Item = (&'c String, &'c String)>) -> Result<Vec<Change>, LayerError> {
    let change = |(header, value): (&String, &String)| {
        let value = if value.is_empty() { None } else { Some(HeaderValue::from_str(value)?) };
        Ok((name(header)?, value))
    };
    pairs.map(change).collect()
}

fn name(text: &str) -> Result<HeaderName, LayerError> {
    text.parse().map_err(|_| LayerError::HeaderName(text.to_owned()))
}

fn apply(changes: &[Change], headers: &mut HeaderMap) {
    for (name, value) in changes {
        match value {
            Some(value) => drop(headers.insert(name, value.clone())),
            None => drop(headers.remove(name)),
        }
    }
}

impl Security {
    fn new(config: &model::Headers) -> Result<Self, LayerError> {
        let mut always = Vec::new();
        let mut tell = |header: &'static str, value: &str| -> Result<(), LayerError> {
            if !value.is_empty() {
                always.push((HeaderName::from_static(header), HeaderValue::from_str(value)?));
            }
            Ok(())
        };
        let either = |custom: &str, given: bool, usual: &str| match (custom.is_empty(), given) {
            (false, _) => custom.to_owned(),
            (true, true) => usual.to_owned(),
            (true, false) => String::new(),
        };
        tell("x-frame-options", &either(&config.custom_frame_options_value, config.frame_deny, "DENY"))?;
        tell("x-content-type-options", &either("", config.content_type_nosniff, "nosniff"))?;
        let filter = either(&config.custom_browser_xss_value, config.browser_xss_filter, "1; mode=block");
        tell("x-xss-protection", &filter)?;
        tell("content-security-policy", &config.content_security_policy)?;
        tell("content-security-policy-report-only", &config.content_security_policy_report_only)?;
        tell("referrer-policy", &config.referrer_policy)?;
        tell("permissions-policy", &config.permissions_policy)?;
        let seconds = config.sts_seconds.filter(|seconds| *seconds != 0 && !config.is_development);
        let strict = seconds.map(|seconds| {
            let inner = if config.sts_include_subdomains { "; includeSubDomains" } else { "" };
            let preload = if config.sts_preload { "; preload" } else { "" };
            HeaderValue::from_str(&format!("max-age={seconds}{inner}{preload}"))
        });
        let tls_header = |(header, value): (&String, &String)| Ok((name(header)?, value.clone()));
        Ok(Self {
            always,
            strict_transport: strict.transpose()?,
            strict_transport_always: config.force_sts_header,
            tls_headers: config
                .ssl_proxy_headers
                .iter()
                .map(tls_header)
                .collect::<Result<_, LayerError>>()?,
            allowed_hosts: if config.is_development { Vec::new() } else { config.allowed_hosts.clone() },
            host_headers: config
                .hosts_proxy_headers
                .iter()
                .map(|header| name(header))
                .collect::<Result<_, _>>()?,
        })
    }

    fn is_tls(&self, exchange: &Exchange) -> bool {
        let says = |(name, value): &(HeaderName, String)| exchange.header(name.as_str()) == Some(value);
        exchange.tls || self.tls_headers.iter().any(says)
    }

    fn allows(&self, exchange: &Exchange) -> bool {
        if self.allowed_hosts.is_empty() {
            return true;
        }
        let told = self.host_headers.iter().find_map(|name| exchange.header(name.as_str()));
        let host = told.unwrap_or(&exchange.host);
        self.allowed_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
    }
}
