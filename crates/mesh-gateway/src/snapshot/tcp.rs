//! TCP routers: which connections go where before anybody speaks HTTP.

use super::{Place, State, Status, provider_of, qualified, turns::Turns};
use crate::{
    config::model::{Named, TcpMiddleware, TcpRouter, TcpService},
    rule::{Connection, Networks, Syntax, TcpRule},
};
use std::sync::Arc;

/// Deepest nesting of weighted services.
const DEPTH_LEVELS_MAX: usize = 16;

/// A router with all that its connections need.
#[derive(Debug, Clone)]
pub(crate) struct TcpRoute {
    pub(crate) name: String,
    rule: TcpRule,
    pub(super) place: Place,
    /// Whether it takes whatever nobody else does.
    pub(crate) takes_all: bool,
    pub(crate) ends: Ends,
    /// Each of these has to contain the client.
    allowed: Vec<Networks>,
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

/// Where connections go.
#[derive(Debug)]
pub(crate) enum TcpDestination {
    Servers { addresses: Vec<String>, turns: Turns },
    Weighted { services: Vec<Arc<TcpDestination>>, turns: Turns },
}

impl TcpRoute {
    pub(crate) fn matches(&self, connection: &Connection<'_>) -> bool {
        self.rule.matches(connection)
    }

    /// Whether the client may.
    pub(crate) fn admits(&self, connection: &Connection<'_>) -> bool {
        connection.client.is_some_and(|client| self.allowed.iter().all(|allowed| allowed.contain(client)))
    }
}

impl TcpDestination {
    /// The server whose turn it is.
    pub(crate) fn next(&self) -> Option<&str> {
        let mut now = self;
        loop {
            match now {
                Self::Servers { addresses, turns } => {
                    return addresses.get(turns.next()?).map(String::as_str);
                }
                Self::Weighted { services, turns } => now = services.get(turns.next()?)?,
            }
        }
    }
}

/// Everything of TCP, by qualified names.
#[derive(Debug, Default)]
pub(super) struct TcpGathered {
    pub(super) routers: Named<TcpRouter>,
    pub(super) services: Named<TcpService>,
    pub(super) middlewares: Named<TcpMiddleware>,
}

impl TcpGathered {
    /// A router as it is served, or why it is not.
    pub(super) fn route(
        &self,
        name: &str,
        router: &TcpRouter,
        syntax: &str,
        precedence: &[impl AsRef<str>],
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
        let priority = if router.priority == 0 { TcpRule::priority(&router.rule) } else { router.priority };
        Ok(TcpRoute {
            name: name.to_owned(),
            rule,
            place: Place::new(priority, provider_of(name), precedence),
            takes_all,
            ends,
            allowed: self.allowed(name, &router.middlewares)?,
            destination: self.destination(&router.service, &mut Vec::new())?,
        })
    }

    fn allowed(&self, router: &str, names: &[String]) -> Result<Vec<Networks>, String> {
        let mut allowed = Vec::new();
        for name in names {
            let name = qualified(name, provider_of(router));
            let found = self.middlewares.get(&name);
            let found = found.ok_or_else(|| format!("middleware {name:?} does not exist"))?;
            let list = found
                .ip_allow_list
                .as_ref()
                .or(found.ip_white_list.as_ref())
                .filter(|_| found.in_flight_conn.is_none());
            let list =
                list.ok_or_else(|| format!("middleware {name:?} is of a kind that is not there yet"))?;
            allowed.push(Networks::parse(&list.source_range).map_err(|error| error.to_string())?);
        }
        Ok(allowed)
    }

    pub(super) fn destination(
        &self,
        name: &str,
        way: &mut Vec<String>,
    ) -> Result<Arc<TcpDestination>, String> {
        let service =
            self.services.get(name).ok_or_else(|| format!("the service {name:?} does not exist"))?;
        if way.iter().any(|before| before == name) || way.len() >= DEPTH_LEVELS_MAX {
            return Err(format!("could not instantiate service {name}: recursion detected"));
        }
        let made = match (&service.load_balancer, &service.weighted) {
            (Some(_), Some(_)) => {
                return Err("cannot create service: multi-types service not supported".to_owned());
            }
            (None, None) => return Err(format!("the service {name:?} does not have any type defined")),
            (Some(balancer), None) => {
                let unserved = balancer.servers.iter().any(|server| server.tls)
                    || balancer.proxy_protocol.is_some()
                    || balancer.health_check.is_some()
                    || !balancer.servers_transport.is_empty();
                if unserved {
                    return Err(format!(
                        "the service {name:?} asks for TLS, the PROXY protocol, health checks or a transport of its \
                         own, none of which is there yet"
                    ));
                }
                let addresses: Vec<String> =
                    balancer.servers.iter().map(|server| server.address.clone()).collect();
                let turns = Turns::new(&vec![1; addresses.len()]);
                TcpDestination::Servers { addresses, turns }
            }
            (None, Some(weighted)) => {
                way.push(name.to_owned());
                let mut services = Vec::new();
                for other in &weighted.services {
                    services.push(self.destination(&qualified(&other.name, provider_of(name)), way)?);
                }
                way.pop();
                let weights: Vec<i64> =
                    weighted.services.iter().map(|other| other.weight.unwrap_or(1)).collect();
                TcpDestination::Weighted { services, turns: Turns::new(&weights) }
            }
        };
        Ok(Arc::new(made))
    }
}

impl Status {
    /// How a router stands of which nothing is known to be wrong.
    pub(super) fn using(entries: &[String]) -> Self {
        Self { state: State::Enabled, errors: Vec::new(), using: entries.to_vec() }
    }
}
