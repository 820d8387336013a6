//! TCP routers: which connections go where before anybody speaks HTTP.

use super::{
    Place, State, Status, options, provider_of, qualified,
    tcp_servers::{TcpDestination, TcpServices},
};
use crate::{
    config::model::{Named, TcpMiddleware, TcpRouter, TcpServersTransport, TcpService},
    rule::{Connection, Networks, Syntax, TcpRule},
};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// A router with all that its connections need.
#[derive(Debug, Clone)]
pub(crate) struct TcpRoute {
    pub(crate) name: String,
    rule: TcpRule,
    pub(super) place: Place,
    /// Whether it takes whatever nobody else does.
    pub(crate) takes_all: bool,
    pub(crate) ends: Ends,
    /// The TLS options that it asks for.
    pub(crate) options: String,
    /// Each of these has to contain the client.
    allowed: Vec<Networks>,
    /// Each of these has to have a place for the client.
    places: Vec<Arc<Places>>,
    pub(crate) destination: Arc<TcpDestination>,
}

/// Who speaks TLS with the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// Nobody.
    Plain,
    /// The gateway.
    Here,
    /// The server: bytes are handed on as they are.
    There,
}

impl TcpRoute {
    pub(crate) fn matches(&self, connection: &Connection<'_>) -> bool {
        self.rule.matches(connection)
    }

    /// Whether the client may.
    pub(crate) fn admits(&self, connection: &Connection<'_>) -> bool {
        connection.client.is_some_and(|client| self.allowed.iter().all(|allowed| allowed.contain(client)))
    }

    /// Places for one more connection of a client, until they are dropped; none if it has too many.
    pub(crate) fn hold(&self, client: IpAddr) -> Option<Vec<Held>> {
        self.places.iter().map(|places| places.take(client)).collect()
    }
}

/// How many connections each client may have at a time.
#[derive(Debug)]
pub(crate) struct Places {
    most: u64,
    held: Mutex<HashMap<IpAddr, u64>>,
}

/// One of a client's connections.
#[derive(Debug)]
pub(crate) struct Held {
    places: Arc<Places>,
    client: IpAddr,
}

impl Places {
    fn take(self: &Arc<Self>, client: IpAddr) -> Option<Held> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.get(&client).copied().unwrap_or_default();
        if count >= self.most {
            return None;
        }
        held.insert(client, count + 1);
        Some(Held { places: self.clone(), client })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut held = self.places.held.lock().unwrap_or_else(PoisonError::into_inner);
        match held.get_mut(&self.client) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(held.remove(&self.client)),
        }
    }
}

/// Everything of TCP, by qualified names.
#[derive(Debug, Default)]
pub(super) struct TcpGathered {
    pub(super) routers: Named<TcpRouter>,
    pub(super) services: Named<TcpService>,
    pub(super) middlewares: Named<TcpMiddleware>,
    pub(super) transports: Named<TcpServersTransport>,
}

impl TcpGathered {
    /// A router as it is served, or why it is not.
    pub(super) fn route(
        &self,
        name: &str,
        router: &TcpRouter,
        syntax: &str,
        precedence: &[impl AsRef<str>],
        services: &mut TcpServices<'_>,
    ) -> Result<TcpRoute, String> {
        let syntax = if router.rule_syntax.is_empty() { syntax } else { &router.rule_syntax };
        let rule =
            TcpRule::parse(&router.rule, Syntax::named(syntax)).map_err(|error| crate::chain(&error))?;
        let takes_all = TcpRule::takes_all(&router.rule);
        let ends = match &router.tls {
            None => Ends::Plain,
            Some(tls) if tls.passthrough => Ends::There,
            Some(_) => Ends::Here,
        };
        let names = TcpRule::names(&router.rule).map_err(|error| crate::chain(&error))?;
        if ends == Ends::Plain && names.iter().any(|name| name != "*") {
            let rule = &router.rule;
            return Err(format!("invalid rule: {rule:?}, has HostSNI matcher, but no TLS on router"));
        }
        let (allowed, places) = self.guards(name, &router.middlewares)?;
        let priority = if router.priority == 0 { TcpRule::priority(&router.rule) } else { router.priority };
        Ok(TcpRoute {
            name: name.to_owned(),
            rule,
            place: Place::new(priority, provider_of(name), precedence),
            takes_all,
            ends,
            options: options::named(router.tls.as_ref().map_or("", |tls| tls.options.as_str()), name),
            allowed,
            places,
            destination: services.find(&router.service)?,
        })
    }

    /// What a router's middlewares ask of a client.
    fn guards(&self, router: &str, names: &[String]) -> Result<(Vec<Networks>, Vec<Arc<Places>>), String> {
        let (mut allowed, mut places) = (Vec::new(), Vec::new());
        for name in names {
            let name = qualified(name, provider_of(router));
            let found = self.middlewares.get(&name);
            let found = found.ok_or_else(|| format!("middleware {name:?} does not exist"))?;
            match (found.ip_allow_list.as_ref().or(found.ip_white_list.as_ref()), &found.in_flight_conn) {
                (Some(list), None) => {
                    allowed.push(Networks::parse(&list.source_range).map_err(|error| error.to_string())?);
                }
                (None, Some(limit)) => {
                    let most = u64::try_from(limit.amount).unwrap_or_default();
                    places.push(Arc::new(Places { most, held: Mutex::default() }));
                }
                (None, None) => {
                    return Err(format!(
                        "invalid middleware {name:?} configuration: invalid middleware type or middleware does not exist"
                    ));
                }
                (Some(_), Some(_)) => {
                    return Err(format!(
                        "cannot create middleware {name:?}: multi-types middleware not supported, consider declaring \
                         two different pieces of middleware instead"
                    ));
                }
            }
        }
        Ok((allowed, places))
    }
}

impl Status {
    /// How a router stands of which nothing is known to be wrong.
    pub(super) fn using(entries: &[String]) -> Self {
        Self { state: State::Enabled, errors: Vec::new(), using: entries.to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_so_many_places() {
        let places = Arc::new(Places { most: 2, held: Mutex::default() });
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let (first, second) = (places.take(one), places.take(one));
        assert!(first.is_some() && second.is_some() && places.take(one).is_none());
        assert!(places.take(other).is_some());
        drop(first);
        assert!(places.take(one).is_some());
        drop(second);
        assert!(places.held.lock().expect("whole").is_empty(), "whoever left is forgotten");
        assert!(Arc::new(Places { most: 0, held: Mutex::default() }).take(one).is_none());
    }
}
