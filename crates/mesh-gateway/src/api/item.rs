//! Routers, services and middlewares of each protocol, as the API shows them.

use super::View;
use crate::{
    config::model::{Named, Shown},
    snapshot::{Condition, Part, State, Status},
    upstream::ServerState,
};
use serde_json::{Map, Value};

/// Which protocol's, and which of its things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    HttpRouter,
    HttpService,
    HttpMiddleware,
    TcpRouter,
    TcpService,
    TcpMiddleware,
    UdpRouter,
    UdpService,
}

/// One thing, as far as lists are filtered and sorted by it.
#[derive(Debug)]
pub(super) struct Entry<'v> {
    pub(super) name: &'v str,
    pub(super) status: State,
    /// How the servers of a service are.
    pub(super) condition: Condition,
    pub(super) rule: &'v str,
    pub(super) service: &'v str,
    pub(super) middlewares: &'v [String],
    pub(super) priority: i64,
    pub(super) entry_points: usize,
    pub(super) servers: usize,
}

impl Kind {
    pub(super) const ALL: [Self; 8] = [
        Self::HttpRouter,
        Self::HttpMiddleware,
        Self::HttpService,
        Self::TcpRouter,
        Self::TcpMiddleware,
        Self::TcpService,
        Self::UdpRouter,
        Self::UdpService,
    ];

    /// By two parts of a path.
    pub(super) fn named(protocol: &str, things: &str) -> Option<Self> {
        Some(match (protocol, things) {
            ("http", "routers") => Self::HttpRouter,
            ("http", "services") => Self::HttpService,
            ("http", "middlewares") => Self::HttpMiddleware,
            ("tcp", "routers") => Self::TcpRouter,
            ("tcp", "services") => Self::TcpService,
            ("tcp", "middlewares") => Self::TcpMiddleware,
            ("udp", "routers") => Self::UdpRouter,
            ("udp", "services") => Self::UdpService,
            _ => return None,
        })
    }

    pub(super) fn singular(self) -> &'static str {
        match self {
            Self::HttpRouter | Self::TcpRouter | Self::UdpRouter => "router",
            Self::HttpService | Self::TcpService | Self::UdpService => "service",
            Self::HttpMiddleware | Self::TcpMiddleware => "middleware",
        }
    }

    pub(super) fn raw_name(self) -> &'static str {
        match self {
            Self::HttpRouter => "routers",
            Self::HttpService => "services",
            Self::HttpMiddleware => "middlewares",
            Self::TcpRouter => "tcpRouters",
            Self::TcpService => "tcpServices",
            Self::TcpMiddleware => "tcpMiddlewares",
            Self::UdpRouter => "udpRouters",
            Self::UdpService => "udpServices",
        }
    }

    fn is_router(self) -> bool {
        self.singular() == "router"
    }

    /// What all things of this kind are, as far as lists ask.
    pub(super) fn entries<'v>(self, view: &'v View<'_>) -> Vec<Entry<'v>> {
        fn all<'v, T>(
            part: &'v Part<T>,
            statuses: &Named<Status>,
            fill: impl Fn(&'v T, &mut Entry<'v>),
        ) -> Vec<Entry<'v>> {
            let entries = part.configs.iter().map(|(name, config)| {
                let status = statuses.get(name).map_or(State::Enabled, |status| status.state);
                let mut entry = Entry::bare(name, status);
                fill(config, &mut entry);
                entry
            });
            entries.collect()
        }
        let found = &view.snapshot.inventory;
        match self {
            Self::HttpRouter => all(&found.routers, &view.snapshot.routers, |router, entry| {
                entry.rule = &router.rule;
                entry.service = &router.service;
                entry.middlewares = &router.middlewares;
                entry.priority = router.priority;
                entry.entry_points = router.entry_points.len();
            }),
            Self::TcpRouter => all(&found.tcp_routers, &view.snapshot.tcp_routers, |router, entry| {
                entry.rule = &router.rule;
                entry.service = &router.service;
                entry.middlewares = &router.middlewares;
                entry.priority = router.priority;
                entry.entry_points = router.entry_points.len();
            }),
            Self::UdpRouter => all(&found.udp_routers, &view.snapshot.udp_routers, |router, entry| {
                entry.service = &router.service;
                entry.entry_points = router.entry_points.len();
            }),
            Self::HttpService => all(&found.services, &view.snapshot.services, |service, entry| {
                entry.condition = view.snapshot.condition(entry.name);
                entry.servers = service.load_balancer.as_ref().map_or(0, |balancer| balancer.servers.len());
            }),
            Self::TcpService => all(&found.tcp_services, &view.snapshot.tcp_services, |service, entry| {
                entry.condition = view.snapshot.tcp_condition(entry.name);
                entry.servers = service.load_balancer.as_ref().map_or(0, |balancer| balancer.servers.len());
            }),
            Self::UdpService => all(&found.udp_services, &view.snapshot.udp_services, |service, entry| {
                entry.servers = service.load_balancer.as_ref().map_or(0, |balancer| balancer.servers.len());
            }),
            Self::HttpMiddleware => all(&found.middlewares, &view.snapshot.middlewares, |_, _| {}),
            Self::TcpMiddleware => all(&found.tcp_middlewares, &view.snapshot.tcp_middlewares, |_, _| {}),
        }
    }

    /// One thing with its name, its provider and its type.
    pub(super) fn one(self, view: &View<'_>, name: &str) -> Option<Value> {
        let mut fields = self.fields(view, name)?;
        if self.is_router() {
            if let Some(Value::Object(tls)) = fields.get_mut("tls").filter(|_| self == Self::HttpRouter) {
                tls.entry("options").or_insert_with(|| "default".into());
            }
            let priority = fields.get("priority").and_then(Value::as_i64).unwrap_or(0);
            if self != Self::UdpRouter {
                fields.insert("priorityStr".to_owned(), priority.to_string().into());
            }
        } else if let Some(kind) = self.type_of(view, name) {
            fields.insert("type".to_owned(), kind.into());
        }
        fields.insert("name".to_owned(), name.into());
        let provider = name.split_once('@').map_or("", |(_, provider)| provider);
        fields.insert("provider".to_owned(), provider.into());
        Some(fields.into())
    }

    /// All things of this kind, by their names.
    pub(super) fn raw(self, view: &View<'_>) -> Map<String, Value> {
        let entries = self.entries(view);
        let named = entries
            .iter()
            .filter_map(|entry| Some((entry.name.to_owned(), self.fields(view, entry.name)?.into())));
        named.collect()
    }

    fn fields(self, view: &View<'_>, name: &str) -> Option<Map<String, Value>> {
        let (found, snapshot) = (&view.snapshot.inventory, view.snapshot);
        match self {
            Self::HttpRouter => fields(&found.routers, &snapshot.routers, name),
            Self::HttpMiddleware => fields(&found.middlewares, &snapshot.middlewares, name),
            Self::TcpRouter => {
                let mut fields = fields(&found.tcp_routers, &snapshot.tcp_routers, name)?;
                if let Some(Value::Object(tls)) = fields.get_mut("tls") {
                    tls.entry("passthrough").or_insert(false.into());
                }
                Some(fields)
            }
            Self::TcpMiddleware => fields(&found.tcp_middlewares, &snapshot.tcp_middlewares, name),
            Self::UdpRouter => fields(&found.udp_routers, &snapshot.udp_routers, name),
            Self::UdpService => fields(&found.udp_services, &snapshot.udp_services, name),
            Self::HttpService => {
                let mut fields = fields(&found.services, &snapshot.services, name)?;
                let servers = found.services.configs.get(name)?.load_balancer.iter();
                let servers = servers.flat_map(|balancer| &balancer.servers).map(|server| &server.url);
                insert_servers(&mut fields, servers, |url| snapshot.state(name, url));
                insert_condition(&mut fields, snapshot.condition(name));
                Some(fields)
            }
            Self::TcpService => {
                let mut fields = fields(&found.tcp_services, &snapshot.tcp_services, name)?;
                let servers = found.tcp_services.configs.get(name)?.load_balancer.iter();
                let servers = servers.flat_map(|balancer| &balancer.servers).map(|server| &server.address);
                insert_servers(&mut fields, servers, |address| snapshot.tcp_state(name, address));
                insert_condition(&mut fields, snapshot.tcp_condition(name));
                Some(fields)
            }
        }
    }

    /// What a service or a middleware is, in small letters.
    pub(super) fn type_of(self, view: &View<'_>, name: &str) -> Option<String> {
        fn first<T: Shown>(part: &Part<T>, name: &str) -> Option<String> {
            let value = part.configs.get(name)?.shown();
            let given = value.as_object()?.iter().find(|(_, value)| value.is_object())?;
            Some(given.0.to_lowercase())
        }
        let found = &view.snapshot.inventory;
        match self {
            Self::HttpService => first(&found.services, name),
            Self::HttpMiddleware => first(&found.middlewares, name),
            Self::TcpService => first(&found.tcp_services, name),
            Self::TcpMiddleware => first(&found.tcp_middlewares, name),
            Self::UdpService => first(&found.udp_services, name),
            Self::HttpRouter | Self::TcpRouter | Self::UdpRouter => None,
        }
    }
}

impl<'v> Entry<'v> {
    fn bare(name: &'v str, status: State) -> Self {
        Self {
            name,
            status,
            condition: Condition::default(),
            rule: "",
            service: "",
            middlewares: &[],
            priority: 0,
            entry_points: 0,
            servers: 0,
        }
    }

    pub(super) fn provider(&self) -> &'v str {
        self.name.split_once('@').map_or("", |(_, provider)| provider)
    }
}

impl State {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Warning => "warning",
            Self::Disabled => "disabled",
        }
    }
}

/// What was configured, and how it stands.
fn fields<T: Shown>(part: &Part<T>, statuses: &Named<Status>, name: &str) -> Option<Map<String, Value>> {
    let config = part.configs.get(name)?;
    let mut fields = match config.shown() {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    let status = statuses.get(name).cloned().unwrap_or_default();
    fields.insert("status".to_owned(), status.state.text().into());
    let mut list = |key: &str, items: &[String]| {
        if !items.is_empty() {
            fields.insert(key.to_owned(), items.to_vec().into());
        }
    };
    list("error", &status.errors);
    list("using", &status.using);
    list("usedBy", part.used_by.get(name).map_or(&[], Vec::as_slice));
    Some(fields)
}

/// That a service is not well, which Traefik does not say of the whole of it.
fn insert_condition(fields: &mut Map<String, Value>, condition: Condition) {
    if let Some(text) = condition.text() {
        fields.insert("condition".to_owned(), text.into());
    }
}

fn insert_servers<'v>(
    fields: &mut Map<String, Value>,
    servers: impl Iterator<Item = &'v String>,
    state: impl Fn(&str) -> Option<ServerState>,
) {
    let (mut statuses, mut reasons) = (Map::new(), Map::new());
    for url in servers {
        let state = state(url);
        let up = state.as_ref().is_none_or(|state| state.up);
        statuses.insert(url.clone(), if up { "UP" } else { "DOWN" }.into());
        if let Some(reason) = state.and_then(|state| state.reason) {
            reasons.insert(url.clone(), reason.into());
        }
    }
    // The second is not Traefik's.
    for (key, map) in [("serverStatus", statuses), ("serverReason", reasons)] {
        if !map.is_empty() {
            fields.insert(key.to_owned(), map.into());
        }
    }
}
