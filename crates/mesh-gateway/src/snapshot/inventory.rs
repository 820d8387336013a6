//! What was configured, by qualified names, as the read API shows it.
//!
//! A snapshot keeps it beside what requests are routed by: neither is read for the other.

use super::{provider_of, qualified};
use crate::config::model::{
    Middleware, Named, Router, Service, TcpMiddleware, TcpRouter, TcpService, UdpRouter, UdpService,
};

/// Everything that was configured.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    pub(crate) routers: Part<Router>,
    pub(crate) services: Part<Service>,
    pub(crate) middlewares: Part<Middleware>,
    pub(crate) tcp_routers: Part<TcpRouter>,
    pub(crate) tcp_services: Part<TcpService>,
    pub(crate) tcp_middlewares: Part<TcpMiddleware>,
    pub(crate) udp_routers: Part<UdpRouter>,
    pub(crate) udp_services: Part<UdpService>,
}

/// Things of one kind, and which routers need them.
#[derive(Debug)]
pub(crate) struct Part<T> {
    pub(crate) configs: Named<T>,
    pub(crate) used_by: Named<Vec<String>>,
}

impl<T> Default for Part<T> {
    fn default() -> Self {
        Self { configs: Named::new(), used_by: Named::new() }
    }
}

impl<T> Part<T> {
    fn note(&mut self, name: &str, router: &str) {
        let name = qualified(name, provider_of(router));
        if self.configs.contains_key(&name) {
            self.used_by.get_or_default(&name).push(router.to_owned());
        }
    }
}

impl Inventory {
    /// Finds out who needs what. Routers come in the order of their names, and so do the names in each list.
    pub(crate) fn relate(&mut self) {
        for (name, router) in &self.routers.configs {
            for middleware in &router.middlewares {
                self.middlewares.note(middleware, name);
            }
            self.services.note(&router.service, name);
        }
        for (name, router) in &self.tcp_routers.configs {
            for middleware in &router.middlewares {
                self.tcp_middlewares.note(middleware, name);
            }
            self.tcp_services.note(&router.service, name);
        }
        for (name, router) in &self.udp_routers.configs {
            self.udp_services.note(&router.service, name);
        }
    }
}
