//! TCP routers: which connections go where before anybody speaks HTTP.

use super::{Place, State, Status, options, provider_of, qualified, turns::Turns};
use crate::{
    config::model::{
        self, ForwardingTimeouts, Named, ServersTransport, TcpMiddleware, TcpRouter, TcpServersTransport,
        TcpService,
    },
    rule::{Connection, Networks, Syntax, TcpRule},
    upstream::Transport,
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
    /// The TLS options that it asks for.
    pub(crate) options: String,
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
    Servers(TcpServers),
    Weighted { services: Vec<Arc<TcpDestination>>, turns: Turns },
}

/// Servers, of which each connection goes to one.
#[derive(Debug)]
pub(crate) struct TcpServers {
    servers: Vec<TcpServer>,
    turns: Turns,
    pub(crate) transport: Arc<Transport>,
}

/// A server.
#[derive(Debug)]
pub(crate) struct TcpServer {
    /// Host and port.
    pub(crate) address: String,
    /// Whether TLS is spoken with it.
    pub(crate) tls: bool,
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
    /// The server whose turn it is, and how it is spoken to.
    pub(crate) fn next(&self) -> Option<(&TcpServer, &Arc<Transport>)> {
        let mut now = self;
        loop {
            match now {
                Self::Servers(all) => return Some((all.servers.get(all.turns.next()?)?, &all.transport)),
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
            options: options::named(router.tls.as_ref().map_or("", |tls| tls.options.as_str()), name),
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
                if balancer.proxy_protocol.is_some() || balancer.health_check.is_some() {
                    return Err(format!(
                        "the service {name:?} asks for the PROXY protocol or health checks, neither of which is there \
                         yet"
                    ));
                }
                let of = |server: &model::TcpServer| TcpServer {
                    address: server.address.clone(),
                    tls: server.tls,
                };
                let servers: Vec<TcpServer> = balancer.servers.iter().map(of).collect();
                let turns = Turns::new(&vec![1; servers.len()]);
                let transport = self.transport(name, &balancer.servers_transport)?;
                TcpDestination::Servers(TcpServers { servers, turns, transport })
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

    fn transport(&self, service: &str, name: &str) -> Result<Arc<Transport>, String> {
        let mut config = TcpServersTransport::default();
        if !name.is_empty() {
            let name = qualified(name, provider_of(service));
            let found = self.transports.get(&name);
            config = found.cloned().ok_or_else(|| format!("servers transport not found {name}"))?;
        }
        if config.proxy_protocol.is_some() {
            return Err("the PROXY protocol to servers is not there yet".to_owned());
        }
        let tls = config.tls.unwrap_or_default();
        let times = ForwardingTimeouts { dial_timeout: config.dial_timeout, ..ForwardingTimeouts::default() };
        let config = ServersTransport {
            server_name: tls.server_name,
            insecure_skip_verify: tls.insecure_skip_verify,
            root_cas: tls.root_cas,
            certificates: tls.certificates,
            peer_cert_uri: tls.peer_cert_uri,
            peer_cert_sans: tls.peer_cert_sans,
            spiffe: tls.spiffe,
            forwarding_timeouts: Some(times),
            ..ServersTransport::default()
        };
        Transport::new(&config).map(Arc::new).map_err(|error| crate::chain(&error))
    }
}

impl Status {
    /// How a router stands of which nothing is known to be wrong.
    pub(super) fn using(entries: &[String]) -> Self {
        Self { state: State::Enabled, errors: Vec::new(), using: entries.to_vec() }
    }
}
