//! HTTP routers.

use super::{Middleware, Named, ServersTransport, Service, tls::Domain};
use crate::decode::allow_empty;

record! {
    /// Everything of HTTP.
    #[derive(Default)]
    HttpConfiguration {
        routers: Named<Router>,
        services: Named<Service>,
        middlewares: Named<Middleware>,
        servers_transports: Named<ServersTransport>,
    }

    /// Which requests go to which service.
    #[derive(Default)]
    Router {
        entry_points: Vec<String>,
        middlewares: Vec<String>,
        service: String,
        rule: String,
        parent_refs: Vec<String>,
        rule_syntax: String,
        priority: i64,
        #[serde(deserialize_with = "allow_empty")]
        tls: Option<RouterTls>,
        observability: Option<RouterObservability>,
    }

    /// That a router takes TLS, and how.
    #[derive(Default)]
    RouterTls {
        options: String,
        cert_resolver: String,
        domains: Vec<Domain>,
    }

    /// What is told of a router's requests.
    RouterObservability {
        access_logs: Option<bool>,
        metrics: Option<bool>,
        tracing: Option<bool>,
        trace_verbosity: String,
    }
}

impl Default for RouterObservability {
    fn default() -> Self {
        Self { access_logs: None, metrics: None, tracing: None, trace_verbosity: "minimal".to_owned() }
    }
}
