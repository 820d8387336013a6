//! Services: where requests go.

use super::{
    Status,
    choice::{Choice, Strategy},
    depth,
    layers::Layers,
    provider_of, qualified,
    servers::{Balancer, address},
    sticky::Sticky,
};
use crate::{
    config::{
        model::{
            self, Failover, LoadBalancer, Mirroring, Named, ServersTransport, Service, WeightedServices,
        },
        statics::StaticTransport,
    },
    middleware::{Layer, Statuses},
    upstream::{Check, Passive, Transport},
};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

/// Deepest nesting of services.
const DEPTH_LEVELS_MAX: usize = 16;

/// Where a request goes.
#[derive(Debug)]
pub(crate) enum Destination {
    Balancer(Balancer),
    /// One of others.
    Weighted(Weighted),
    /// One, of whose requests others get copies.
    Mirroring(Mirrored),
    /// One, and another for when it is unwell.
    Failover(Fallback),
    /// One that requests reach through layers of its own.
    Layered(Layered),
    /// The gateway itself.
    Own(Own),
}

/// What the gateway answers by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Own {
    /// What is configured, and how it stands.
    Api,
    /// A page of it.
    Dashboard,
    /// Whether the gateway is there.
    Ping,
    /// Numbers.
    Prometheus,
    /// A redirection comes before it.
    Nothing,
}

#[derive(Debug)]
pub(crate) struct Weighted {
    pub(crate) choice: Choice,
    pub(crate) services: Vec<Arc<Destination>>,
    /// Whether those that are unwell are passed over.
    watches: bool,
}

#[derive(Debug)]
pub(crate) struct Mirrored {
    pub(crate) service: Arc<Destination>,
    mirrors: Vec<Mirror>,
    total: AtomicU64,
    /// Whether copies have a body.
    pub(crate) body: bool,
    /// Bodies with more are not copied.
    pub(crate) body_bytes_max: Option<u64>,
    reports: bool,
}

#[derive(Debug)]
struct Mirror {
    service: Arc<Destination>,
    percent: u64,
    sent: AtomicU64,
}

#[derive(Debug)]
pub(crate) struct Fallback {
    pub(crate) service: Arc<Destination>,
    pub(crate) fallback: Arc<Destination>,
    /// Answers that count as being unwell.
    pub(crate) statuses: Statuses,
    pub(crate) body_bytes_max: Option<u64>,
    reports: bool,
}

/// A service with layers that all its requests go through, whatever router they are from.
#[derive(Debug)]
pub(crate) struct Layered {
    pub(crate) layers: Vec<Arc<Layer>>,
    pub(crate) service: Box<Destination>,
}

impl Weighted {
    /// Whether a service may get requests.
    pub(crate) fn is_up(&self, at: usize) -> bool {
        !self.watches || self.services.get(at).is_some_and(|service| service.is_up())
    }
}

impl Mirrored {
    /// Those who get a copy of the request whose turn it is.
    pub(crate) fn mirrors(&self) -> Vec<Arc<Destination>> {
        let total = self.total.fetch_add(1, Ordering::Relaxed) + 1;
        let due = |mirror: &&Mirror| {
            let more = |sent: u64| (sent * 100 < total * mirror.percent).then_some(sent + 1);
            mirror.sent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
        };
        self.mirrors.iter().filter(due).map(|mirror| mirror.service.clone()).collect()
    }
}

impl Fallback {
    /// Whether requests go to the service itself.
    pub(crate) fn is_well(&self) -> bool {
        !self.service.reports() || self.service.is_up()
    }
}

impl Destination {
    /// Whether it says how it is.
    fn reports(&self) -> bool {
        match self {
            Self::Balancer(balancer) => balancer.check.is_some(),
            Self::Weighted(weighted) => weighted.watches,
            Self::Mirroring(mirrored) => mirrored.reports,
            Self::Failover(fallback) => fallback.reports,
            Self::Layered(layered) => layered.service.reports(),
            Self::Own(_) => false,
        }
    }

    /// Its servers, if it has some itself.
    pub(super) fn balancer(&self) -> Option<&Balancer> {
        match self {
            Self::Balancer(balancer) => Some(balancer),
            Self::Layered(layered) => layered.service.balancer(),
            Self::Weighted(_) | Self::Mirroring(_) | Self::Failover(_) | Self::Own(_) => None,
        }
    }

    /// Whether anybody there is well.
    pub(crate) fn is_up(&self) -> bool {
        match self {
            Self::Balancer(balancer) => balancer.servers.iter().any(|server| server.health.is_up()),
            Self::Weighted(weighted) => (0..weighted.services.len()).any(|at| weighted.is_up(at)),
            Self::Mirroring(mirrored) => mirrored.service.is_up(),
            Self::Failover(fallback) => {
                fallback.is_well() || !fallback.fallback.reports() || fallback.fallback.is_up()
            }
            Self::Layered(layered) => layered.service.is_up(),
            Self::Own(_) => true,
        }
    }
}

/// Services by their names, each made once.
pub(super) struct Services<'c> {
    configured: &'c Named<Service>,
    transports: &'c Named<ServersTransport>,
    default: &'c StaticTransport,
    made: Named<Result<Arc<Destination>, String>>,
    /// How deep requests go in each of them.
    depths: Named<usize>,
    spoken: Named<Result<Arc<Transport>, String>>,
    statuses: Named<Status>,
}

/// How one came to a service: by which others, and the layers that any of them may name.
struct Way<'w, 'c> {
    before: Vec<String>,
    layers: &'w mut Layers<'c>,
}

impl<'c> Services<'c> {
    /// All of them are made, with the services that their layers lead to.
    pub(super) fn new(
        configured: &'c Named<Service>,
        transports: &'c Named<ServersTransport>,
        default: &'c StaticTransport,
        own: Vec<(&'static str, Result<Own, String>)>,
        layers: &mut Layers<'_>,
    ) -> Self {
        let mut made = Named::new();
        for (name, own) in own {
            made.insert(name.to_owned(), own.map(|own| Arc::new(Destination::Own(own))));
        }
        let (depths, spoken, statuses) = (Named::new(), Named::new(), Named::new());
        let mut services = Self { configured, transports, default, made, depths, spoken, statuses };
        let mut way = Way { before: Vec::new(), layers };
        for name in configured.keys() {
            // What is wrong stands in the service's status.
            let _ = services.build(name, &mut way);
        }
        services
    }

    pub(super) fn find(&self, name: &str) -> Result<Arc<Destination>, String> {
        self.made.get(name).cloned().unwrap_or_else(|| Err(format!("the service {name:?} does not exist")))
    }

    /// How deep requests go in a service.
    pub(super) fn depth(&self, name: &str) -> usize {
        // The gateway's own are one step.
        self.depths.get(name).copied().unwrap_or(1)
    }

    /// How all of them stand, and those that are served.
    pub(super) fn finish(self) -> (Named<Status>, Named<Arc<Destination>>) {
        let served = self.made.into_iter().filter_map(|(name, made)| Some((name, made.ok()?)));
        (self.statuses, served.collect())
    }

    fn build(&mut self, name: &str, way: &mut Way<'_, '_>) -> Result<Arc<Destination>, String> {
        if let Some(made) = self.made.get(name) {
            return made.clone();
        }
        let Some(service) = self.configured.get(name) else { return self.find(name) };
        if way.before.iter().any(|before| before == name) || way.before.len() >= DEPTH_LEVELS_MAX {
            let cycle = [way.before.as_slice(), &[name.to_owned()]].concat().join("->");
            return Err(format!("could not instantiate service {name}: recursion detected in {cycle}"));
        }
        way.before.push(name.to_owned());
        let made = self.make(name, service, way);
        let made = made.and_then(|made| self.layered(name, &service.middlewares, made, way)).map(Arc::new);
        way.before.pop();
        let status = self.statuses.get_or_default(name);
        if let Err(error) = &made {
            status.error(error.clone(), true);
        }
        self.made.insert(name.to_owned(), made.clone());
        made
    }

    fn make(&mut self, name: &str, service: &Service, way: &mut Way<'_, '_>) -> Result<Destination, String> {
        let given = [
            service.load_balancer.is_some(),
            service.weighted.is_some(),
            service.highest_random_weight.is_some(),
            service.mirroring.is_some(),
            service.failover.is_some(),
        ];
        if given.iter().filter(|given| **given).count() > 1 {
            return Err(
                "cannot create service: multi-types service not supported, consider declaring two different \
                        pieces of service instead"
                    .to_owned(),
            );
        }
        if let Some(balancer) = &service.load_balancer {
            return self.balancer(name, balancer).map(Destination::Balancer);
        }
        if let Some(weighted) = &service.weighted {
            return self.weighted(name, weighted, Strategy::Turns, way);
        }
        if let Some(weighted) = &service.highest_random_weight {
            return self.weighted(name, weighted, Strategy::Hash, way);
        }
        if let Some(mirroring) = &service.mirroring {
            return self.mirroring(name, mirroring, way);
        }
        if let Some(failover) = &service.failover {
            return self.failover(name, failover, way);
        }
        Err(format!("the service {name:?} does not have any type defined"))
    }

    /// A service behind the layers that it names. Where they lead to others, those are made first: one that leads back
    /// to the service itself is a circle as any other.
    fn layered(
        &mut self,
        name: &str,
        middlewares: &[String],
        service: Destination,
        way: &mut Way<'_, '_>,
    ) -> Result<Destination, String> {
        if middlewares.is_empty() {
            return Ok(service);
        }
        let names: Vec<String> =
            middlewares.iter().map(|layer| qualified(layer, provider_of(name))).collect();
        let found = way.layers.named_chain(&names)?;
        for (layer_name, layer) in &found {
            if let Some((wanted, place)) = layer.wants() {
                let led = self.build(&qualified(wanted, provider_of(layer_name)), way)?;
                // Another service of the same layer may have led it there before.
                drop(place.set(led));
            }
        }
        let depth = depth::deepest(&found, self.depth(name), |service| self.depth(service));
        depth::admit("service", name, depth)?;
        self.depths.insert(name.to_owned(), depth);
        let layers = found.into_iter().map(|(_, layer)| layer).collect();
        Ok(Destination::Layered(Layered { layers, service: Box::new(service) }))
    }

    /// A service that another one names; one that has to say how it is does so.
    fn child(
        &mut self,
        parent: &str,
        name: &str,
        reports: bool,
        way: &mut Way<'_, '_>,
    ) -> Result<Arc<Destination>, String> {
        let name_of_child = qualified(name, provider_of(parent));
        let child = self.build(&name_of_child, way)?;
        let depth = self.depth(parent).max(self.depth(&name_of_child).saturating_add(1));
        depth::admit("service", parent, depth)?;
        self.depths.insert(parent.to_owned(), depth);
        if reports && !child.reports() {
            return Err(format!(
                "cannot register {name} as updater for {parent}: healthCheck not enabled in config for this service"
            ));
        }
        Ok(child)
    }

    fn weighted(
        &mut self,
        name: &str,
        config: &WeightedServices,
        strategy: Strategy,
        way: &mut Way<'_, '_>,
    ) -> Result<Destination, String> {
        let watches = config.health_check.is_some();
        let mut services = Vec::new();
        let mut members = Vec::new();
        for other in &config.services {
            services.push(self.child(name, &other.name, watches, way)?);
            members.push((other.name.clone(), other.weight.unwrap_or(1)));
        }
        let choice = Choice::new(strategy, &members, sticky(config.sticky.as_ref(), name));
        Ok(Destination::Weighted(Weighted { choice, services, watches }))
    }

    fn mirroring(
        &mut self,
        name: &str,
        config: &Mirroring,
        way: &mut Way<'_, '_>,
    ) -> Result<Destination, String> {
        let reports = config.health_check.is_some();
        let service = self.child(name, &config.service, reports, way)?;
        let mut mirrors = Vec::new();
        for mirror in &config.mirrors {
            let percent = u64::try_from(mirror.percent).ok().filter(|percent| *percent <= 100);
            let percent = percent.ok_or("percent must be between 0 and 100")?;
            let service = self.child(name, &mirror.name, false, way)?;
            mirrors.push(Mirror { service, percent, sent: AtomicU64::new(0) });
        }
        Ok(Destination::Mirroring(Mirrored {
            service,
            mirrors,
            total: AtomicU64::new(0),
            body: config.mirror_body.unwrap_or(true),
            body_bytes_max: config.max_body_size.and_then(|size| u64::try_from(size).ok()),
            reports,
        }))
    }

    fn failover(
        &mut self,
        name: &str,
        config: &Failover,
        way: &mut Way<'_, '_>,
    ) -> Result<Destination, String> {
        let errors = config.errors.as_ref();
        let statuses = errors.map(|errors| Statuses::parse(&errors.status)).transpose();
        let statuses = statuses.map_err(|error| error.to_string())?.unwrap_or_default();
        let reports = config.health_check.is_some();
        let service = self.child(name, &config.service, statuses.is_empty(), way)?;
        let fallback = self.child(name, &config.fallback, reports, way)?;
        let size = errors.and_then(|errors| errors.max_request_body_bytes);
        let body_bytes_max = size.and_then(|size| u64::try_from(size).ok());
        Ok(Destination::Failover(Fallback { service, fallback, statuses, body_bytes_max, reports }))
    }

    fn balancer(&mut self, name: &str, config: &LoadBalancer) -> Result<Balancer, String> {
        let strategy = Strategy::named(&config.strategy)
            .ok_or_else(|| format!("unsupported load-balancer strategy {:?}", config.strategy))?;
        let servers = config.servers.iter().map(|server| address(&server.url, server.preserve_path));
        let members = config.servers.iter().map(|server| (server.url.clone(), server.weight.unwrap_or(1)));
        let members: Vec<(String, i64)> = members.collect();
        let check = config.health_check.as_ref().map(Check::new).transpose();
        let check = check.map_err(|error| error.to_string())?.map(Arc::new);
        let passive = config.passive_health_check.as_ref();
        Ok(Balancer {
            name: name.to_owned(),
            servers: servers.collect::<Result<_, _>>()?,
            choice: Choice::new(strategy, &members, sticky(config.sticky.as_ref(), name)),
            pass_host: config.pass_host_header.unwrap_or(true),
            transport: self.transport(name, &config.servers_transport)?,
            passive: passive.map(|passive| Passive::new(passive, check.is_some())),
            check,
            told: Mutex::default(),
        })
    }

    fn transport(&mut self, service: &str, name: &str) -> Result<Arc<Transport>, String> {
        let name = if name.is_empty() { String::new() } else { qualified(name, provider_of(service)) };
        if let Some(known) = self.spoken.get(&name) {
            return known.clone();
        }
        let config = match name.as_str() {
            "" | "default@internal" => Ok(ServersTransport {
                insecure_skip_verify: self.default.insecure_skip_verify,
                root_cas: self.default.root_cas.clone(),
                max_idle_conns_per_host: self.default.max_idle_conns_per_host,
                forwarding_timeouts: Some(self.default.forwarding_timeouts.clone()),
                ..ServersTransport::default()
            }),
            other => self
                .transports
                .get(other)
                .cloned()
                .ok_or_else(|| format!("servers transport not found {other}")),
        };
        let made = config
            .and_then(|config| Transport::new(&config).map(Arc::new).map_err(|error| crate::chain(&error)));
        self.spoken.insert(name, made.clone());
        made
    }
}

fn sticky(config: Option<&model::Sticky>, service: &str) -> Option<Sticky> {
    Some(Sticky::new(config?.cookie.as_ref()?, service))
}
