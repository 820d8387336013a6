//! What of a dynamic configuration is understood and not done.

use crate::config::{
    Warning,
    model::{Configuration, TlsOptions},
};

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
        note(tls.is_some_and(|tls| !tls.options.is_empty()), format!("{place}.tls.options"));
    }
    for (name, service) in &part.http.services {
        let place = format!("http.services.{name}");
        note(!service.middlewares.is_empty(), format!("{place}.middlewares"));
    }
    for (name, router) in &part.tcp.routers {
        let tls = router.tls.as_ref();
        let named = tls.is_some_and(|tls| !tls.options.is_empty() || !tls.cert_resolver.is_empty());
        note(named, format!("tcp.routers.{name}.tls (its options and its resolver)"));
    }
    for name in part.tcp.servers_transports.keys() {
        note(true, format!("tcp.serversTransports.{name}"));
    }
    for name in part.udp.routers.keys() {
        note(true, format!("udp.routers.{name}"));
    }
    for (name, options) in &part.tls.options {
        let plain = TlsOptions {
            min_version: options.min_version.clone(),
            alpn_protocols: options.alpn_protocols.clone(),
            ..TlsOptions::default()
        };
        let known = ["", "VersionTLS12", "VersionTLS13"].contains(&options.min_version.as_str());
        let served = name == "default" && known && *options == plain;
        note(!served, format!("tls.options.{name} (all but the default's minVersion and alpnProtocols)"));
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
