//! The servers of a service.

use super::choice::Choice;
use crate::upstream::{Check, Checker, Health, Line, Passive, Pool, Scheme, ServerState, Transport};
use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

/// How often the log has that nobody is there for a service.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// Most servers of which it is told why.
const REASONS_MAX: usize = 8;

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
    /// When it was last told that nobody is there.
    pub(super) told: Mutex<Option<Instant>>,
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
    /// Tells that no server can be asked, and why; but not for each request.
    pub(crate) fn tell_down(&self, now: Instant) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_some_and(|at| now.saturating_duration_since(at) < TELL_EVERY) {
            return;
        }
        *told = Some(now);
        drop(told);
        tracing::warn!(service = self.name, why = self.why_down(), "no available server");
    }

    /// Why no server can be asked.
    fn why_down(&self) -> String {
        let states = self.states();
        let whys = states.iter().take(REASONS_MAX).map(|state| match (&state.reason, state.up) {
            (Some(reason), _) => format!("{}: {reason}", state.url),
            (None, true) => format!("{}: its weight is none", state.url),
            (None, false) => format!("{}: down", state.url),
        });
        let mut whys: Vec<String> = whys.collect();
        match states.len().saturating_sub(REASONS_MAX) {
            0 if states.is_empty() => "it has no servers".to_owned(),
            0 => whys.join("; "),
            more => {
                whys.push(format!("and {more} more"));
                whys.join("; ")
            }
        }
    }

    pub(super) fn states(&self) -> Vec<ServerState> {
        self.servers.iter().map(|server| server.health.state(&server.url)).collect()
    }

    /// How a server is, by its URL.
    pub(super) fn state(&self, url: &str) -> Option<ServerState> {
        self.servers.iter().find(|server| server.url == url).map(|server| server.health.state(url))
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
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) =
            *before.told.lock().unwrap_or_else(PoisonError::into_inner);
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
    fn it_is_said_why_nobody_is_there() {
        let balancer = |urls: &[&str]| Balancer {
            name: "s".to_owned(),
            servers: urls.iter().map(|url| address(url, false).expect("a server")).collect(),
            choice: Choice::new(super::super::choice::Strategy::Turns, &[], None),
            pass_host: true,
            transport: Arc::new(Transport::new(&Default::default()).expect("a transport")),
            check: None,
            passive: None,
            told: Mutex::default(),
        };
        assert_eq!(balancer(&[]).why_down(), "it has no servers");
        let two = balancer(&["http://a", "http://b"]);
        two.servers[0].health.set(Err("it is closed".to_owned()));
        assert_eq!(two.why_down(), "http://a: it is closed; http://b: its weight is none");
        let many = vec!["http://a"; REASONS_MAX + 2];
        assert!(balancer(&many).why_down().ends_with("; and 2 more"));
    }

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
