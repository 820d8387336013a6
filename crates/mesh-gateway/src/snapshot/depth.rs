//! How deep requests go.
//!
//! Each layer around the rest of a request's way, and each service, is called by the one before it, so the way has to end
//! before a thread's stack does. How deep it is depends on the configuration alone and is found out when that is read.
//! Layers that only look at heads are gone through one after another, and count nothing.

use super::{provider_of, qualified};
use crate::middleware::Layer;
use std::sync::Arc;

/// Most layers around others, and services, one within another. The stack of a thread ([`crate::process`]) has room for
/// them, even in code that is compiled for tests, where each takes up to some 40 KiB.
pub(super) const STEPS_MAX: usize = 20;

/// How deep requests go that come to these layers, and from there to something of a depth of its own. `of_service` tells
/// how deep services are that layers lead to; those that are not served count nothing, for nothing gets there.
pub(super) fn deepest(
    layers: &[(String, Arc<Layer>)],
    behind: usize,
    of_service: impl Fn(&str) -> usize,
) -> usize {
    let (mut around, mut deepest) = (0_usize, 0);
    for (name, layer) in layers.iter().filter(|(_, layer)| layer.is_around()) {
        around = around.saturating_add(1);
        if let Some((service, _)) = layer.wants() {
            let led = of_service(&qualified(service, provider_of(name)));
            deepest = deepest.max(around.saturating_add(led));
        }
    }
    deepest.max(around.saturating_add(behind))
}

/// Refuses what is deeper than a thread's stack.
pub(super) fn admit(what: &str, name: &str, depth: usize) -> Result<(), String> {
    if depth <= STEPS_MAX {
        return Ok(());
    }
    Err(format!(
        "requests of {what} {name} would go through {depth} services and middlewares one within another, at most \
         {STEPS_MAX} are served"
    ))
}

#[cfg(test)]
mod tests {
    use crate::{
        config::statics::{EntryPoint, Statics},
        snapshot::{Snapshot, build},
    };
    use std::{fmt::Write as _, path::Path};

    fn built(text: &str) -> Snapshot {
        let mut statics = Statics::default();
        statics.entry_points.insert("web".to_owned(), EntryPoint::default());
        let part = crate::config::files::of_text(Path::new("a.yml"), text).expect("read");
        build(&[("file", &part)], &statics)
    }

    /// A router with layers, before services one within another with layers of their own, before layers that lead to
    /// the last one's pages.
    fn text(of_router: usize, services: usize, of_service: usize, kind: &str) -> String {
        let names = |count: usize| vec!["m"; count].join(", ");
        let mut text = format!(
            "http:\n  routers: {{r: {{rule: 'Host(`a`)', service: s0, middlewares: [{}]}}}}\n  middlewares:\n    m: \
             {{{kind}}}\n  services:\n    up: {{loadBalancer: {{servers: [{{url: 'http://a'}}]}}}}\n",
            names(of_router),
        );
        for at in 0..services {
            let inner = if at + 1 == services { "up".to_owned() } else { format!("s{}", at + 1) };
            let middlewares = if of_service == 0 { String::new() } else { names(of_service) };
            let _ = writeln!(
                text,
                "    s{at}: {{middlewares: [{middlewares}], weighted: {{services: [{{name: {inner}}}]}}}}"
            );
        }
        text
    }

    #[test]
    fn a_way_is_as_deep_as_its_services_and_what_is_around_them() {
        let (around, before) = ("inFlightReq: {amount: 9}", "addPrefix: {prefix: /a}");
        let pages = "errors: {status: ['500'], service: up, query: /}";
        for (of_router, services, of_service, kind, refused) in [
            (18, 1, 0, around, None),
            (19, 1, 0, around, Some("router r@file")),
            (18, 1, 0, pages, None),
            (19, 1, 0, pages, Some("router r@file")),
            (200, 1, 50, before, None),
            (0, 9, 1, around, None),
            (2, 9, 1, around, Some("router r@file")),
            (0, 15, 2, around, Some("service s8@file")),
            (0, 1, 18, around, None),
            (0, 1, 19, around, Some("service s0@file")),
        ] {
            let snapshot = built(&text(of_router, services, of_service, kind));
            let told = snapshot.routers["r@file"].errors.concat();
            let row = format!("{of_router} {services} {of_service} {kind}: {told:?}");
            assert_eq!(told.is_empty(), refused.is_none(), "{row}");
            assert!(
                refused.is_none_or(|refused| told.contains(refused) && told.contains("at most 20")),
                "{row}"
            );
        }
    }

    #[test]
    fn pages_count_from_where_they_are_asked_for() {
        let text = |count: usize| {
            let m = vec!["m"; count].join(", ");
            format!(
                "http:
  routers: {{r: {{rule: 'Host(`a`)', service: up, middlewares: [m, pages, m]}}}}
  middlewares:
    m: {{inFlightReq: {{amount: 9}}}}
    pages: {{errors: {{status: ['500'], service: deep, query: /}}}}
  services:
    up: {{loadBalancer: {{servers: [{{url: 'http://a'}}]}}}}
    deep: {{middlewares: [{m}], loadBalancer: {{servers: [{{url: 'http://a'}}]}}}}
"
            )
        };
        assert_eq!(built(&text(17)).routers["r@file"].errors.concat(), "");
        let told = built(&text(18)).routers["r@file"].errors.concat();
        assert!(told.contains("router r@file") && told.contains("21 services and middlewares"), "{told}");
    }

    #[test]
    fn chains_of_chains_end() {
        for (depth, refused) in [(9, false), (10, true), (30, true)] {
            let mut text = String::from(
                "http:\n  routers: {r: {rule: 'Host(`a`)', service: up, middlewares: [c0]}}\n  services: {up: {loadBalancer: \
                 {servers: [{url: 'http://a'}]}}}\n  middlewares:\n",
            );
            for at in 0..depth {
                let _ = writeln!(text, "    c{at}: {{chain: {{middlewares: [c{0}, c{0}]}}}}", at + 1);
            }
            let _ = writeln!(text, "    c{depth}: {{contentType: {{autoDetect: false}}}}");
            let told = built(&text).routers["r@file"].errors.concat();
            assert_eq!(told.contains("at most 1024 middlewares"), refused, "{depth}: {told}");
        }
    }
}
