//! TCP services: where connections go.

use super::{provider_of, qualified, tcp::TcpGathered, turns::Turns};
use crate::{
    config::model::{self, ForwardingTimeouts, Named, ServersTransport, TcpServersTransport},
    upstream::{Health, ServerState, TcpCheck, TcpChecker, Transport},
};
use std::sync::Arc;

/// Deepest nesting of weighted services.
const DEPTH_LEVELS_MAX: usize = 16;

/// Where connections go.
#[derive(Debug)]
pub(crate) enum TcpDestination {
    Servers(TcpServers),
    Weighted {
        services: Vec<Arc<TcpDestination>>,
        turns: Turns,
        /// Whether those that are unwell are passed over.
        watches: bool,
    },
}

/// Servers, of which each connection goes to one.
#[derive(Debug)]
pub(crate) struct TcpServers {
    servers: Vec<TcpServer>,
    turns: Turns,
    pub(crate) transport: Arc<Transport>,
    pub(crate) announced: Option<Announced>,
    /// What servers are asked.
    check: Option<Arc<TcpCheck>>,
}

/// The version of the PROXY protocol in which servers are told whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Announced {
    First,
    Second,
}

/// A server.
#[derive(Debug)]
pub(crate) struct TcpServer {
    /// Host and port.
    pub(crate) address: String,
    /// Whether TLS is spoken with it.
    pub(crate) tls: bool,
    health: Arc<Health>,
}

impl TcpServers {
    /// Which of them are well.
    pub(super) fn up(&self) -> impl Iterator<Item = bool> {
        self.servers.iter().map(|server| server.health.is_up())
    }
}

impl TcpDestination {
    /// The server whose turn it is, and how it is spoken to; none if none is up.
    pub(crate) fn next(&self) -> Option<(&TcpServer, &TcpServers)> {
        let mut now = self;
        loop {
            match now {
                Self::Servers(all) => {
                    let up = |at: usize| all.servers.get(at).is_some_and(|server| server.health.is_up());
                    return Some((all.servers.get(all.turns.next_of(up)?)?, all));
                }
                Self::Weighted { services, turns, watches } => {
                    let up = |at: usize| !watches || services.get(at).is_some_and(|service| service.is_up());
                    now = services.get(turns.next_of(up)?)?;
                }
            }
        }
    }

    /// Whether anybody there is well.
    fn is_up(&self) -> bool {
        match self {
            Self::Servers(all) => all.servers.iter().any(|server| server.health.is_up()),
            Self::Weighted { services, watches, .. } => !watches || services.iter().any(|one| one.is_up()),
        }
    }

    /// Whether it says how it is.
    fn reports(&self) -> bool {
        match self {
            Self::Servers(all) => all.check.is_some(),
            Self::Weighted { watches, .. } => *watches,
        }
    }

    /// How a server is, by its address.
    pub(super) fn state(&self, address: &str) -> Option<ServerState> {
        let Self::Servers(all) = self else { return None };
        all.servers.iter().find(|one| one.address == address).map(|one| one.health.state(address))
    }

    /// What its own servers are to be asked.
    pub(super) fn checkers(&self, service: &str) -> Vec<TcpChecker> {
        let Self::Servers(TcpServers { servers, transport, check: Some(check), .. }) = self else {
            return Vec::new();
        };
        let checker = |server: &TcpServer| TcpChecker {
            service: service.to_owned(),
            address: server.address.clone(),
            tls: server.tls,
            transport: transport.clone(),
            check: check.clone(),
            health: server.health.clone(),
        };
        servers.iter().map(checker).collect()
    }

    /// Servers are as they were, as far as somebody goes on looking.
    pub(super) fn take_over(&self, before: &Self) {
        let (Self::Servers(now), Self::Servers(before)) = (self, before) else { return };
        if now.check.is_none() || before.check.is_none() {
            return;
        }
        for server in &now.servers {
            if let Some(known) = before.servers.iter().find(|known| known.address == server.address) {
                server.health.take_over(&known.health);
            }
        }
    }
}

impl Announced {
    fn named(config: Option<&model::ProxyProtocol>) -> Result<Option<Self>, String> {
        match config.map(|config| config.version) {
            None => Ok(None),
            Some(1) => Ok(Some(Self::First)),
            Some(2) => Ok(Some(Self::Second)),
            Some(other) => Err(format!("unknown proxyProtocol version: {other}")),
        }
    }
}

/// TCP services by their names, each made once.
#[derive(Debug)]
pub(super) struct TcpServices<'g> {
    all: &'g TcpGathered,
    made: Named<Result<Arc<TcpDestination>, String>>,
}

impl<'g> TcpServices<'g> {
    pub(super) fn new(all: &'g TcpGathered) -> Self {
        let mut services = Self { all, made: Named::new() };
        for name in all.services.keys() {
            // What is wrong stands in the service's status.
            let _ = services.find(name);
        }
        services
    }

    pub(super) fn find(&mut self, name: &str) -> Result<Arc<TcpDestination>, String> {
        self.build(name, &mut Vec::new())
    }

    /// Those that are served.
    pub(super) fn finish(self) -> Named<Arc<TcpDestination>> {
        self.made.into_iter().filter_map(|(name, made)| Some((name, made.ok()?))).collect()
    }

    fn build(&mut self, name: &str, way: &mut Vec<String>) -> Result<Arc<TcpDestination>, String> {
        if let Some(made) = self.made.get(name) {
            return made.clone();
        }
        let Some(service) = self.all.services.get(name) else {
            return Err(format!("the service {name:?} does not exist"));
        };
        if way.iter().any(|before| before == name) || way.len() >= DEPTH_LEVELS_MAX {
            return Err(format!("could not instantiate service {name}: recursion detected"));
        }
        way.push(name.to_owned());
        let made = match (&service.load_balancer, &service.weighted) {
            (Some(_), Some(_)) => Err("cannot create service: multi-types service not supported".to_owned()),
            (None, None) => Err(format!("the service {name:?} does not have any type defined")),
            (Some(balancer), None) => self.servers(name, balancer).map(TcpDestination::Servers),
            (None, Some(weighted)) => self.weighted(name, weighted, way),
        };
        way.pop();
        let made = made.map(Arc::new);
        self.made.insert(name.to_owned(), made.clone());
        made
    }

    fn servers(&self, name: &str, balancer: &model::TcpLoadBalancer) -> Result<TcpServers, String> {
        let of = |server: &model::TcpServer| TcpServer {
            address: server.address.clone(),
            tls: server.tls,
            health: Arc::default(),
        };
        let servers: Vec<TcpServer> = balancer.servers.iter().map(of).collect();
        let turns = Turns::new(&vec![1; servers.len()]);
        let config = self.transport(name, &balancer.servers_transport)?;
        // What a transport says counts alone, as Traefik has it.
        let announced = match balancer.servers_transport.is_empty() {
            true => balancer.proxy_protocol.as_ref(),
            false => config.proxy_protocol.as_ref(),
        };
        let announced = Announced::named(announced)?;
        let check = balancer.health_check.as_ref().map(|check| Arc::new(TcpCheck::new(check)));
        Ok(TcpServers { servers, turns, transport: spoken(config)?, announced, check })
    }

    fn weighted(
        &mut self,
        name: &str,
        config: &model::TcpWeightedServices,
        way: &mut Vec<String>,
    ) -> Result<TcpDestination, String> {
        let watches = config.health_check.is_some();
        let mut services = Vec::new();
        for other in &config.services {
            let child = self.build(&qualified(&other.name, provider_of(name)), way)?;
            if watches && !child.reports() {
                let child = &other.name;
                return Err(format!(
                    "cannot register {child} as updater for {name}: healthCheck not enabled in config for this service"
                ));
            }
            services.push(child);
        }
        let weights: Vec<i64> = config.services.iter().map(|other| other.weight.unwrap_or(1)).collect();
        Ok(TcpDestination::Weighted { services, turns: Turns::new(&weights), watches })
    }

    fn transport(&self, service: &str, name: &str) -> Result<TcpServersTransport, String> {
        if name.is_empty() {
            return Ok(TcpServersTransport::default());
        }
        let name = qualified(name, provider_of(service));
        let found = self.all.transports.get(&name);
        found.cloned().ok_or_else(|| format!("servers transport not found {name}"))
    }
}

fn spoken(config: TcpServersTransport) -> Result<Arc<Transport>, String> {
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
