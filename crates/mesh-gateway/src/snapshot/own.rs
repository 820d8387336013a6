//! The gateway's own routers, middlewares and services: what it tells about itself.

use super::{build::Gathered, service::Own};
use crate::config::{
    model::{Middleware, RedirectRegex, Router, Service, StripPrefix},
    statics::{Api, Statics},
};

/// Where the gateway's own routers are, unless they are told otherwise.
const ENTRY: &str = "traefik";

/// The services of the gateway's own, or why they are not there.
pub(super) fn services(statics: &Statics) -> Vec<(&'static str, Result<Own, String>)> {
    let given = |there: bool, own: Own, name: &str| match there {
        true => Ok(own),
        false => Err(format!("{name} is not enabled")),
    };
    let prometheus = statics.metrics.as_ref().is_some_and(|metrics| metrics.prometheus.is_some());
    let dashboard = statics.api.as_ref().is_some_and(|api| api.dashboard);
    vec![
        ("api@internal", given(statics.api.is_some(), Own::Api, "api")),
        ("dashboard@internal", given(dashboard, Own::Dashboard, "dashboard")),
        ("ping@internal", given(statics.ping.is_some(), Own::Ping, "ping")),
        ("prometheus@internal", given(prometheus, Own::Prometheus, "prometheus")),
        ("noop@internal", Ok(Own::Nothing)),
    ]
}

impl Gathered {
    /// Adds the routers that lead to what is enabled.
    pub(super) fn own(&mut self, statics: &Statics) {
        for (name, _) in services(statics).into_iter().filter(|(_, own)| own.is_ok()) {
            self.services.insert(name.to_owned(), Service::default());
        }
        if let Some(api) = statics.api.as_ref().filter(|api| api.insecure) {
            self.insecure(api);
        }
        if let Some(ping) = statics.ping.as_ref().filter(|ping| !ping.manual_routing) {
            self.lead("ping", &ping.entry_point, "/ping", i64::MAX);
        }
        let prometheus = statics.metrics.as_ref().and_then(|metrics| metrics.prometheus.as_ref());
        if let Some(prometheus) = prometheus.filter(|prometheus| !prometheus.manual_routing) {
            self.lead("prometheus", &prometheus.entry_point, "/metrics", i64::MAX);
        }
    }

    fn lead(&mut self, name: &str, entry: &str, path: &str, priority: i64) -> &mut Router {
        let router = Router {
            entry_points: vec![entry.to_owned()],
            rule: format!("PathPrefix(`{path}`)"),
            rule_syntax: "default".to_owned(),
            priority,
            service: format!("{name}@internal"),
            ..Router::default()
        };
        self.routers.replace(format!("{name}@internal"), router)
    }

    /// The API and its page for whoever comes.
    fn insecure(&mut self, api: &Api) {
        let base = api.base_path.trim_end_matches('/');
        self.lead("api", ENTRY, &format!("{base}/api"), i64::MAX - 1);
        if !api.dashboard {
            return;
        }
        let page = format!("{base}/dashboard");
        let redirect = Middleware {
            redirect_regex: Some(RedirectRegex {
                regex: format!("^(https?://[^/]+){base}/$"),
                replacement: format!("${{1}}{page}/"),
                permanent: true,
            }),
            ..Middleware::default()
        };
        let prefixes = vec![format!("{page}/"), page];
        let strip = Middleware {
            strip_prefix: Some(StripPrefix { prefixes, ..StripPrefix::default() }),
            ..Middleware::default()
        };
        self.middlewares.insert("dashboard_redirect@internal".to_owned(), redirect);
        self.middlewares.insert("dashboard_stripprefix@internal".to_owned(), strip);
        let router = self.lead("dashboard", ENTRY, &format!("{base}/"), i64::MAX - 2);
        router.middlewares =
            ["dashboard_redirect@internal", "dashboard_stripprefix@internal"].map(str::to_owned).to_vec();
    }
}
