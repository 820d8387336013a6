//! All configurations to one snapshot.

use super::{
    Inventory, Place, Route, Snapshot, Status, Table, depth, layers::Layers, options, options::Options, own,
    provider_of, qualified, service::Services, tcp::TcpGathered, tcp_servers::TcpServices, udp,
    unsupported::unsupported,
};
use crate::{
    config::{
        Warning,
        model::{Configuration, Middleware, Named, RedirectScheme, Router, TcpRouter, UdpConfiguration},
        statics::{EntryPoint, Redirection, Statics},
    },
    handshake::DEFAULT,
    observe::Told,
    rule::{HttpRule, Syntax, TcpRule, priority},
};

use std::sync::Arc;

/// Largest priority that a user may give, as Traefik has it: above are the routers of the gateway's own.
const USER_PRIORITY_MAX: i64 = i64::MAX - 1_000;
/// Who the gateway's own routers are from.
const INTERNAL: &str = "internal";
/// The order of providers, where routers are alike in all else.
const PRECEDENCE: &[&str] = &["docker", "file"];

/// Everything of HTTP, by qualified names.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) routers: Named<Router>,
    pub(super) middlewares: Named<Middleware>,
    pub(super) services: Named<crate::config::model::Service>,
    transports: Named<crate::config::model::ServersTransport>,
    tcp: TcpGathered,
    /// Names of TLS options.
    options: Vec<String>,
    udp: UdpConfiguration,
    warnings: Vec<Warning>,
}

/// Builds what requests are routed by from what each provider gave.
pub(crate) fn build(parts: &[(&str, &Configuration)], statics: &Statics) -> Snapshot {
    let mut gathered = Gathered::default();
    let defaults = default_entry_points(statics);
    for (provider, part) in parts {
        gathered.add(provider, part, &defaults);
    }
    for (name, entry) in &statics.entry_points {
        if let Some(redirection) = &entry.http.redirections.entry_point {
            gathered.redirect(name, redirection, statics);
        }
    }
    gathered.own(statics);
    assemble(gathered, statics)
}

/// Where routers are that name no entry point: those that say so, or all but the gateway's own.
fn default_entry_points(statics: &Statics) -> Vec<String> {
    let names = |is: &dyn Fn(&EntryPoint) -> bool| -> Vec<String> {
        let serves = |entry: &EntryPoint| !entry.is_udp() && is(entry);
        let known = statics.entry_points.iter().filter(|(name, entry)| *name != "traefik" && serves(entry));
        known.map(|(name, _)| name.clone()).collect()
    };
    let chosen = statics.entry_points.values().any(|entry| entry.as_default);
    names(&|entry| !chosen || entry.as_default)
}

impl Gathered {
    fn add(&mut self, provider: &str, part: &Configuration, defaults: &[String]) {
        for (name, router) in &part.http.routers {
            let mut router = router.clone();
            if router.entry_points.is_empty() {
                router.entry_points = defaults.to_vec();
            }
            for middleware in &mut router.middlewares {
                *middleware = qualified(middleware, provider);
            }
            router.service = qualified(&router.service, provider);
            self.routers.insert(qualified(name, provider), router);
        }
        let own = |name: &String| qualified(name, provider);
        self.middlewares.extend(part.http.middlewares.iter().map(|(name, thing)| (own(name), thing.clone())));
        self.services.extend(part.http.services.iter().map(|(name, thing)| (own(name), thing.clone())));
        self.transports
            .extend(part.http.servers_transports.iter().map(|(name, thing)| (own(name), thing.clone())));
        for (name, router) in &part.tcp.routers {
            let mut router = router.clone();
            if router.entry_points.is_empty() {
                router.entry_points = defaults.to_vec();
            }
            router.service = qualified(&router.service, provider);
            self.tcp.routers.insert(own(name), router);
        }
        self.tcp.services.extend(part.tcp.services.iter().map(|(name, thing)| (own(name), thing.clone())));
        self.tcp
            .middlewares
            .extend(part.tcp.middlewares.iter().map(|(name, thing)| (own(name), thing.clone())));
        let transports = part.tcp.servers_transports.iter();
        self.tcp.transports.extend(transports.map(|(name, thing)| (own(name), thing.clone())));
        let is_own = |name: &&String| name.as_str() != DEFAULT;
        self.options.extend(part.tls.options.keys().filter(is_own).map(|name| qualified(name, provider)));
        let udp = &part.udp;
        self.udp.routers.extend(udp.routers.iter().map(|(name, thing)| (own(name), thing.clone())));
        self.udp.services.extend(udp.services.iter().map(|(name, thing)| (own(name), thing.clone())));
        self.warnings.extend(unsupported(provider, part));
    }

    /// Sends all that comes in at one entry point to another, or to another scheme.
    fn redirect(&mut self, from: &str, redirection: &Redirection, statics: &Statics) {
        let address =
            statics.entry_points.get(&redirection.to).map_or(redirection.to.as_str(), |to| &to.address);
        let port = address.rsplit_once(':').map(|(_, port)| port.split('/').next().unwrap_or(port));
        let Some(port) = port.filter(|port| port.parse::<u16>().is_ok()) else {
            let message = format!("'to' entry point {:?} doesn't exist", redirection.to);
            let place = format!("entryPoints.{from}.http.redirections");
            self.warnings.push(Warning { place, message });
            return;
        };
        let to = redirection.to.trim_start_matches(':');
        let middleware = format!("redirect-{from}-to-{to}@internal");
        let scheme = RedirectScheme {
            scheme: redirection.scheme.clone(),
            port: port.to_owned(),
            permanent: redirection.permanent,
        };
        let layer = Middleware { redirect_scheme: Some(scheme), ..Middleware::default() };
        self.middlewares.insert(middleware.clone(), layer);
        let router = Router {
            entry_points: vec![from.to_owned()],
            rule: "HostRegexp(`^.+$`)".to_owned(),
            priority: redirection.priority,
            middlewares: vec![middleware],
            service: "noop@internal".to_owned(),
            ..Router::default()
        };
        self.routers.insert(format!("{from}-to-{to}@internal"), router);
    }
}

fn assemble(gathered: Gathered, statics: &Statics) -> Snapshot {
    let mut gathered = gathered;
    let warnings = std::mem::take(&mut gathered.warnings);
    let mut snapshot = Snapshot { warnings, ..Snapshot::default() };
    for (name, _) in statics.entry_points.iter().filter(|(_, entry)| !entry.is_udp()) {
        snapshot.entry_points.insert(name.clone(), Table::default());
    }
    let hosts = gathered.routers.values().flat_map(|router| HttpRule::names(&router.rule));
    let names = gathered.tcp.routers.values().flat_map(|router| TcpRule::all_names(&router.rule));
    snapshot.hosts = hosts.chain(names).collect();
    snapshot.hosts.sort();
    snapshot.hosts.dedup();
    let mut wanted = Options::default();
    for (name, router) in &gathered.routers {
        wanted.add(name, router, &gathered.options, statics);
    }
    place_tcp(&gathered, statics, &mut snapshot);
    let mut layers = Layers::new(&gathered.middlewares);
    let services = Services::new(
        &gathered.services,
        &gathered.transports,
        &statics.servers_transport,
        own::services(statics),
        &mut layers,
    );
    layers.join(&services);
    for (name, router) in &gathered.routers {
        let mut status = Status::default();
        place_router(name, router, statics, &mut layers, &services, &mut snapshot.entry_points, &mut status);
        wanted.judge(name, &mut status, &mut snapshot.entry_points);
        snapshot.routers.insert(name.clone(), status);
    }
    wanted.finish(&mut snapshot.entry_points);
    for table in snapshot.entry_points.values_mut() {
        table.plain.order();
        table.tls.order();
        table.tcp.sort_by_key(|route| route.place);
    }
    (snapshot.middlewares, snapshot.layers) = layers.finish();
    (snapshot.services, snapshot.destinations) = services.finish();
    udp::place(&gathered.udp, statics, &mut snapshot);
    snapshot.inventory = inventory(gathered, statics);
    snapshot
}

/// Places all TCP routers, and judges what they name.
fn place_tcp(gathered: &Gathered, statics: &Statics, snapshot: &mut Snapshot) {
    let mut services = TcpServices::new(&gathered.tcp);
    for (name, router) in &gathered.tcp.routers {
        let (all, tables) = (&gathered.tcp, &mut snapshot.entry_points);
        let status = place_tcp_router(name, router, all, &mut services, statics, tables);
        snapshot.tcp_routers.insert(name.clone(), status);
    }
    for (name, router) in &gathered.tcp.routers {
        let asked = router.tls.as_ref().map_or("", |tls| tls.options.as_str());
        let asked = options::named(asked, name);
        let known = asked == DEFAULT || gathered.options.contains(&asked);
        if let Some(status) = snapshot.tcp_routers.get_mut(name).filter(|_| !known) {
            status.error(format!("unknown TLS options: {asked}"), true);
        }
    }
    for name in gathered.tcp.services.keys() {
        let status = snapshot.tcp_services.get_or_default(name);
        if let Err(message) = services.find(name) {
            status.error(message, true);
        }
    }
    snapshot.tcp_destinations = services.finish();
}

/// A service of the router's own provider is shown as it is mostly written.
fn unqualify(service: &mut String, router: &str) {
    if provider_of(router) != INTERNAL
        && let Some((name, provider)) = service.rsplit_once('@')
        && provider == provider_of(router)
    {
        *service = name.to_owned();
    }
}

/// What was configured, for whoever asks: ranks and entry points are filled in as they are in force.
fn inventory(mut gathered: Gathered, statics: &Statics) -> Inventory {
    for (name, router) in &mut gathered.routers {
        unqualify(&mut router.service, name);
        if router.priority == 0 {
            router.priority = priority(&router.rule);
        }
        let entries = router.entry_points.iter().filter_map(|name| statics.entry_points.get(name));
        for entry in entries {
            if router.tls.is_none() {
                router.tls.clone_from(&entry.http.tls);
            }
        }
    }
    for (name, router) in &mut gathered.tcp.routers {
        unqualify(&mut router.service, name);
        if router.priority == 0 {
            router.priority = TcpRule::priority(&router.rule);
        }
    }
    let mut all = Inventory::default();
    all.routers.configs = gathered.routers;
    all.services.configs = gathered.services;
    all.middlewares.configs = gathered.middlewares;
    all.tcp_routers.configs = gathered.tcp.routers;
    all.tcp_services.configs = gathered.tcp.services;
    all.tcp_middlewares.configs = gathered.tcp.middlewares;
    all.udp_routers.configs = gathered.udp.routers;
    all.udp_services.configs = gathered.udp.services;
    all.relate();
    all
}

/// Puts a TCP router where it belongs; its status says why not, or where.
fn place_tcp_router(
    name: &str,
    router: &TcpRouter,
    all: &TcpGathered,
    services: &mut TcpServices<'_>,
    statics: &Statics,
    tables: &mut Named<Table>,
) -> Status {
    let (known, unknown): (Vec<String>, Vec<String>) =
        router.entry_points.iter().cloned().partition(|entry| tables.contains_key(entry));
    let mut status = Status::using(&known);
    for entry in unknown {
        status.error(format!("entryPoint {entry:?} doesn't exist"), known.is_empty());
    }
    let precedence = &statics.providers.precedence;
    let syntax = &statics.core.default_rule_syntax;
    let made = match precedence.is_empty() {
        true => all.route(name, router, syntax, PRECEDENCE, services),
        false => all.route(name, router, syntax, precedence, services),
    };
    match made {
        Ok(route) => {
            for entry in &known {
                tables.get_or_default(entry).tcp.push(route.clone());
            }
        }
        Err(message) => status.error(message, true),
    }
    status
}

/// Puts a router where it belongs; its status says why not, or where.
fn place_router(
    name: &str,
    router: &Router,
    statics: &Statics,
    layers: &mut Layers<'_>,
    services: &Services<'_>,
    tables: &mut Named<Table>,
    status: &mut Status,
) {
    for entry in &router.entry_points {
        if !tables.contains_key(entry) {
            status.error(format!("entryPoint {entry:?} doesn't exist"), false);
        } else if !status.using.contains(entry) {
            status.using.push(entry.clone());
        }
    }
    status.using.sort();
    if status.using.is_empty() {
        return status.error("no valid entryPoint for this router".to_owned(), true);
    }
    if !router.parent_refs.is_empty() {
        return status.error("routers of routers (parentRefs) are not served yet".to_owned(), true);
    }
    for entry in status.using.clone() {
        let Some(options) = statics.entry_points.get(&entry) else { continue };
        match route(name, router, options, statics, layers, services) {
            Ok(route) => {
                let table = tables.get_or_default(&entry);
                let tls = router.tls.is_some() || options.http.tls.is_some();
                if tls { &mut table.tls } else { &mut table.plain }.push(route);
            }
            Err(message) => status.error(message, true),
        }
    }
}

fn route(
    name: &str,
    router: &Router,
    entry: &EntryPoint,
    statics: &Statics,
    layers: &mut Layers<'_>,
    services: &Services<'_>,
) -> Result<Route, String> {
    let own = provider_of(name) == INTERNAL;
    if !own && router.priority > USER_PRIORITY_MAX {
        let given = router.priority;
        return Err(format!(
            "the router priority {given} exceeds the max user-defined priority {USER_PRIORITY_MAX}"
        ));
    }
    let provider = provider_of(name);
    let defaults = entry.http.middlewares.iter().filter(|_| !own);
    let names: Vec<String> =
        defaults.chain(&router.middlewares).map(|layer| qualified(layer, provider)).collect();
    let syntax = match router.rule_syntax.as_str() {
        "" => &statics.core.default_rule_syntax,
        syntax => syntax,
    };
    let rule = HttpRule::parse(&router.rule, Syntax::named(syntax)).map_err(|error| crate::chain(&error))?;
    let rank = if router.priority == 0 { priority(&router.rule) } else { router.priority };
    let precedence = &statics.providers.precedence;
    let place = match precedence.is_empty() {
        true => Place::new(rank, provider, PRECEDENCE),
        false => Place::new(rank, provider, precedence),
    };
    let chained = layers.named_chain(&names)?;
    let destination = services.find(&router.service)?;
    let steps = depth::deepest(&chained, services.depth(&router.service), |service| services.depth(service));
    depth::admit("router", name, steps)?;
    let mut told = Told::new(name, router, entry, statics);
    if told.detailed {
        told.layers = layers.described(&names);
    }
    Ok(Route {
        name: name.to_owned(),
        told: Arc::new(told),
        rule,
        place,
        layers: chained.into_iter().map(|(_, layer)| layer).collect(),
        destination,
        options: None,
    })
}
