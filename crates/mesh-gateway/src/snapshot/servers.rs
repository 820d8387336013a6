//! The servers of a service.

use super::choice::Choice;
use crate::upstream::{Check, Checker, Health, Line, Passive, Pool, Scheme, ServerState, Transport};
use std::sync::{Arc, OnceLock};

/// Servers, of which each request goes to one.
#[derive(Debug)]
pub(crate) struct Balancer {
    pub(crate) name: String,
    pub(crate) servers: Vec<Address>,
    pub(crate) choice: Choice,
    /// Whether servers are told the host that the client asked for.
    pub(crate) pass_host: bool,
    pub(crate) transport: Arc<Transport>,
    /// What servers are asked.
    pub(super) check: Option<Arc<Check>>,
    pub(crate) passive: Option<Passive>,
}

/// A server.
#[derive(Debug)]
pub(crate) struct Address {
    /// As it was written.
    pub(crate) url: String,
    pub(crate) scheme: Scheme,
    /// Host and port.
    pub(crate) authority: String,
    /// The same as it was written, which the server may see.
    pub(crate) host: String,
    /// Before the request's path; only if the server is to see it.
    pub(crate) path: String,
    pub(crate) health: Arc<Health>,
    line: OnceLock<Arc<Line>>,
}

impl Address {
    /// The way to it.
    pub(crate) fn line(&self, pool: &Pool, transport: &Arc<Transport>) -> &Arc<Line> {
        self.line.get_or_init(|| pool.line(transport, self.scheme, &self.authority))
    }
}

impl Balancer {
    pub(super) fn states(&self) -> Vec<ServerState> {
        let state = |server: &Address| ServerState {
            url: server.url.clone(),
            up: server.health.is_up(),
            reason: server.health.reason(),
        };
        self.servers.iter().map(state).collect()
    }

    pub(super) fn checkers(&self) -> Vec<Checker> {
        let Some(check) = &self.check else { return Vec::new() };
        let checker = |server: &Address| Checker {
            service: self.name.clone(),
            url: server.url.clone(),
            scheme: server.scheme,
            authority: server.authority.clone(),
            host: server.host.clone(),
            transport: self.transport.clone(),
            check: check.clone(),
            health: server.health.clone(),
        };
        self.servers.iter().map(checker).collect()
    }

    /// Servers are as they were, as far as somebody goes on looking.
    pub(super) fn take_over(&self, before: &Self) {
        let looks = |balancer: &Self| (balancer.check.is_some(), balancer.passive.is_some());
        if looks(self) != looks(before) || looks(self) == (false, false) {
            return;
        }
        for server in &self.servers {
            if let Some(known) = before.servers.iter().find(|known| known.url == server.url) {
                server.health.take_over(&known.health);
            }
        }
    }
}

pub(super) fn address(url: &str, preserve_path: bool) -> Result<Address, String> {
    let wrong = || format!("error parsing server URL {url}");
    let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
    let scheme = Scheme::named(scheme)
        .ok_or_else(|| format!("error building proxy for server URL {url}: unsupported scheme {scheme}"))?;
    let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let parsed: hyper::http::uri::Authority = host.parse().map_err(|_| wrong())?;
    if parsed.host().is_empty() {
        return Err(wrong());
    }
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let path = if preserve_path { path.trim_end_matches('/') } else { "" };
    let authority = match parsed.port_u16() {
        Some(_) => host.to_owned(),
        None => format!("{}:{}", host.trim_end_matches(':'), scheme.port()),
    };
    Ok(Address {
        url: url.to_owned(),
        scheme,
        authority,
        host: host.to_owned(),
        path: path.to_owned(),
        health: Arc::default(),
        line: OnceLock::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_where_their_urls_say() {
        for (url, keeps, expected) in [
            ("http://a", false, Some((Scheme::Http, "a:80", "a", ""))),
            ("https://a/base/", true, Some((Scheme::Https, "a:443", "a", "/base"))),
            ("h2c://a:9000/x?y", true, Some((Scheme::H2c, "a:9000", "a:9000", "/x"))),
            ("http://[::1]:81", false, Some((Scheme::Http, "[::1]:81", "[::1]:81", ""))),
            ("http://user:word@a", false, Some((Scheme::Http, "a:80", "a", ""))),
            ("ftp://a", false, None),
            ("http://", false, None),
            ("a:80", false, None),
        ] {
            let found = address(url, keeps).ok();
            let found = found.as_ref().map(|server| {
                (server.scheme, server.authority.as_str(), server.host.as_str(), server.path.as_str())
            });
            assert_eq!(found, expected, "{url}");
        }
    }
}
