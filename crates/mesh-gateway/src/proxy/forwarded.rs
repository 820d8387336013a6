//! On whose behalf a request is: the `X-Forwarded-*` headers.
//!
//! What a client says of these is taken out, unless it is trusted; names with underscores count as those with hyphens.

use crate::{
    config::statics::ForwardedHeaders,
    rule::{NetworkError, Networks},
};
use hyper::{
    HeaderMap,
    header::{HOST, HeaderName, HeaderValue},
};
use rustls::pki_types::CertificateDer;
use std::{net::SocketAddr, sync::Arc};

const MANAGED: &[&str] = &[
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-server",
    "x-forwarded-uri",
    "x-forwarded-method",
    "x-forwarded-prefix",
    "x-forwarded-tls-client-cert",
    "x-forwarded-tls-client-cert-info",
    "x-scheme",
    "x-real-ip",
];

const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_SCHEME: HeaderName = HeaderName::from_static("x-forwarded-scheme");
const X_SCHEME: HeaderName = HeaderName::from_static("x-scheme");
const X_FORWARDED_SERVER: HeaderName = HeaderName::from_static("x-forwarded-server");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Whom an entry point believes.
#[derive(Debug)]
pub(super) struct Forwarding {
    everyone: bool,
    trusted: Option<Networks>,
    append: bool,
    schemes: bool,
    /// What this gateway is called.
    server: Option<HeaderValue>,
}

/// What is known of a request from its connection.
#[derive(Debug, Clone)]
pub(super) struct Connected {
    pub(super) client: SocketAddr,
    /// The client's address as text.
    pub(super) address: HeaderValue,
    pub(super) tls: bool,
    /// The certificates that the client showed, its own first.
    pub(super) peer: Arc<[CertificateDer<'static>]>,
    /// The options by which TLS was agreed on.
    pub(super) options: Arc<str>,
}

impl Connected {
    /// A connection that shows no certificate.
    pub(super) fn new(client: SocketAddr, tls: bool) -> Self {
        let address = client.ip().to_canonical().to_string();
        let address = HeaderValue::try_from(address).unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        Self { client, address, tls, peer: Arc::default(), options: Arc::default() }
    }
}

impl Forwarding {
    pub(super) fn new(config: &ForwardedHeaders, host_name: &str) -> Result<Self, NetworkError> {
        let trusted = match config.trusted_ips.is_empty() {
            true => None,
            false => Some(Networks::parse(&config.trusted_ips)?),
        };
        Ok(Self {
            everyone: config.insecure,
            trusted,
            append: !config.not_append_x_forwarded_for,
            schemes: config.add_x_forwarded_scheme_headers,
            server: HeaderValue::from_str(host_name).ok(),
        })
    }

    /// Whether a header says on whose behalf a request is.
    pub(super) fn is_managed(name: &HeaderName) -> bool {
        let name = name.as_str();
        name.starts_with('x')
            && (MANAGED.contains(&name)
                || (name.contains('_') && MANAGED.contains(&name.replace('_', "-").as_str())))
    }

    /// Whether a client may say on whose behalf it asks.
    pub(super) fn believes(&self, from: &Connected) -> bool {
        let address = from.client.ip().to_canonical();
        self.everyone || self.trusted.as_ref().is_some_and(|trusted| trusted.contain(address))
    }

    /// Takes out what is not believed, and says what is so.
    pub(super) fn rewrite(&self, headers: &mut HeaderMap, host: &str, from: &Connected, web_socket: bool) {
        if !self.believes(from) {
            let managed: Vec<HeaderName> =
                headers.keys().filter(|name| Self::is_managed(name)).cloned().collect();
            for name in managed {
                headers.remove(name);
            }
        }
        let mut missing = |name: HeaderName, value: Option<HeaderValue>| {
            let known = headers.get(&name).is_some_and(|value| !value.is_empty());
            if let Some(value) = value.filter(|_| !known) {
                headers.insert(name, value);
            }
        };
        missing(X_REAL_IP, Some(from.address.clone()));
        let scheme = match (web_socket, from.tls) {
            (true, true) => "wss",
            (true, false) => "ws",
            (false, true) => "https",
            (false, false) => "http",
        };
        missing(X_FORWARDED_PROTO, Some(HeaderValue::from_static(scheme)));
        if headers.get(X_FORWARDED_HOST).is_none_or(HeaderValue::is_empty) {
            let said = headers.get(HOST).filter(|said| *said == host).cloned();
            let said = said.or_else(|| HeaderValue::from_str(host).ok()).filter(|host| !host.is_empty());
            if let Some(said) = said {
                headers.insert(X_FORWARDED_HOST, said);
            }
        }
        let said = headers.get(X_FORWARDED_PROTO).cloned();
        if headers.get(X_FORWARDED_PORT).is_none_or(HeaderValue::is_empty) {
            let tls = from.tls || said.as_ref().is_some_and(|said| said == "https" || said == "wss");
            let usual = HeaderValue::from_static(if tls { "443" } else { "80" });
            let port = port(host).and_then(|port| HeaderValue::from_str(port).ok());
            headers.insert(X_FORWARDED_PORT, port.unwrap_or(usual));
        }
        if let Some(said) = said.filter(|_| self.schemes) {
            headers.insert(X_FORWARDED_SCHEME, said.clone());
            headers.insert(X_SCHEME, said);
        }
        if let Some(server) = &self.server {
            headers.insert(X_FORWARDED_SERVER, server.clone());
        }
    }

    /// Adds the client to those that the request came by; done last, so that layers see who came before.
    pub(super) fn append(&self, headers: &mut HeaderMap, from: &Connected) {
        let name = X_FORWARDED_FOR;
        if !self.append {
            return;
        }
        if !headers.contains_key(&name) {
            headers.insert(name, from.address.clone());
            return;
        }
        let before = headers.get_all(&name).into_iter().filter_map(|value| value.to_str().ok());
        let way: Vec<&str> = before.chain(from.address.to_str().ok()).collect();
        if let Ok(value) = HeaderValue::from_str(&way.join(", ")) {
            headers.insert(name, value);
        }
    }
}

fn port(host: &str) -> Option<&str> {
    let (_, port) = host.rsplit_once(':')?;
    (!port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())).then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_that_are_trusted_are_believed() {
        let trusted = ForwardedHeaders { trusted_ips: vec!["10.0.0.0/8".to_owned()], ..Default::default() };
        for (client, expected) in [
            ("10.1.1.1:1", ["1.2.3.4, 10.1.1.1", "https", "evil"]),
            ("11.1.1.1:1", ["11.1.1.1", "http", "a.test"]),
        ] {
            let forwarding = Forwarding::new(&trusted, "gw").expect("networks");
            let mut headers = HeaderMap::new();
            for (name, value) in [
                ("x-forwarded-for", "1.2.3.4"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "evil"),
                ("x_forwarded_host", "worse"),
            ] {
                headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            let from = Connected::new(client.parse().expect("an address"), false);
            forwarding.rewrite(&mut headers, "a.test", &from, false);
            forwarding.append(&mut headers, &from);
            let found = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"]
                .map(|name| headers[name].to_str().expect("text"));
            assert_eq!(found, expected, "{client}");
            assert_eq!(headers.contains_key("x_forwarded_host"), client.starts_with("10."));
            assert_eq!(headers["x-forwarded-server"], "gw");
        }
    }
}
