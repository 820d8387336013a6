//! What of a dynamic configuration is understood and not done.

use crate::config::{Warning, model::Configuration};

/// One warning for everything that a provider asked for and that has no effect.
pub(super) fn unsupported(provider: &str, part: &Configuration) -> Option<Warning> {
    let mut options: Vec<String> = Vec::new();
    let mut note = |given: bool, option: String| {
        if given {
            options.push(option);
        }
    };
    for (name, router) in &part.http.routers {
        let place = format!("http.routers.{name}");
        let tls = router.tls.as_ref();
        note(tls.is_some_and(|tls| !tls.cert_resolver.is_empty()), format!("{place}.tls.certResolver"));
        note(tls.is_some_and(|tls| !tls.domains.is_empty()), format!("{place}.tls.domains"));
    }
    for (name, service) in &part.http.services {
        let place = format!("http.services.{name}");
        note(!service.middlewares.is_empty(), format!("{place}.middlewares"));
    }
    for (name, router) in &part.tcp.routers {
        let tls = router.tls.as_ref();
        note(
            tls.is_some_and(|tls| !tls.cert_resolver.is_empty()),
            format!("tcp.routers.{name}.tls.certResolver"),
        );
    }
    for name in part.udp.routers.keys() {
        note(true, format!("udp.routers.{name}"));
    }
    for (name, store) in &part.tls.stores {
        note(name != "default" || store.default_generated_cert.is_some(), format!("tls.stores.{name}"));
    }
    if options.is_empty() {
        return None;
    }
    let message = format!("these options have no effect yet: {}", options.join(", "));
    Some(Warning { place: provider.to_owned(), message })
}
