//! What of a dynamic configuration is understood and not done.

use crate::{
    config::{
        Warning,
        model::{Configuration, TcpServersTransport},
    },
    handshake::DEFAULT,
};

/// One warning for everything that a provider asked for and that has no effect.
pub(super) fn unsupported(provider: &str, part: &Configuration) -> Option<Warning> {
    let options: Vec<String> = http(part).chain(tcp(part)).chain(tls(part)).collect();
    if options.is_empty() {
        return None;
    }
    let message = format!("these options have no effect yet: {}", options.join(", "));
    Some(Warning { place: provider.to_owned(), message })
}

/// The names of what was given, below a place.
fn given<'p>(place: String, options: &[(&'p str, bool)]) -> impl Iterator<Item = String> + use<'p> {
    let names: Vec<&str> = options.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
    names.into_iter().map(move |name| format!("{place}.{name}"))
}

fn http(part: &Configuration) -> impl Iterator<Item = String> {
    let routers = part.http.routers.iter().flat_map(|(name, router)| {
        let tls = router.tls.as_ref();
        given(
            format!("http.routers.{name}.tls"),
            &[
                ("certResolver", tls.is_some_and(|tls| !tls.cert_resolver.is_empty())),
                ("domains", tls.is_some_and(|tls| !tls.domains.is_empty())),
            ],
        )
    });
    let middlewares = part.http.middlewares.iter().flat_map(|(name, middleware)| {
        let headers = middleware.headers.as_ref().map(|headers| {
            // What Traefik has taken out as well; a configuration that counts on it is to hear of it.
            given(
                format!("http.middlewares.{name}.headers"),
                &[
                    ("featurePolicy", headers.feature_policy.is_some()),
                    ("sslRedirect", headers.ssl_redirect.is_some()),
                    ("sslTemporaryRedirect", headers.ssl_temporary_redirect.is_some()),
                    ("sslHost", headers.ssl_host.is_some()),
                    ("sslForceHost", headers.ssl_force_host.is_some()),
                ],
            )
        });
        let asked = middleware.forward_auth.as_ref().and_then(|auth| auth.tls.as_ref());
        let optional = asked.is_some_and(|tls| tls.ca_optional.is_some());
        let optional = given(format!("http.middlewares.{name}.forwardAuth.tls"), &[("caOptional", optional)]);
        headers.into_iter().flatten().chain(optional)
    });
    routers.chain(middlewares)
}

fn tcp(part: &Configuration) -> impl Iterator<Item = String> {
    let routers = part.tcp.routers.iter().flat_map(|(name, router)| {
        let tls = router.tls.as_ref();
        given(
            format!("tcp.routers.{name}.tls"),
            &[
                ("certResolver", tls.is_some_and(|tls| !tls.cert_resolver.is_empty())),
                ("domains", tls.is_some_and(|tls| !tls.domains.is_empty())),
            ],
        )
    });
    let services = part.tcp.services.iter().flat_map(|(name, service)| {
        let balancer = service.load_balancer.as_ref();
        let delay = balancer.is_some_and(|balancer| balancer.termination_delay.is_some());
        given(format!("tcp.services.{name}.loadBalancer"), &[("terminationDelay", delay)])
    });
    let usual = TcpServersTransport::default();
    let transports = part.tcp.servers_transports.iter().flat_map(move |(name, transport)| {
        given(
            format!("tcp.serversTransports.{name}"),
            &[
                ("dialKeepAlive", transport.dial_keep_alive != usual.dial_keep_alive),
                ("terminationDelay", transport.termination_delay != usual.termination_delay),
            ],
        )
    });
    routers.chain(services).chain(transports)
}

fn tls(part: &Configuration) -> impl Iterator<Item = String> {
    let stores = part.tls.stores.iter().filter_map(|(name, store)| {
        let told = name != DEFAULT || store.default_generated_cert.is_some();
        told.then(|| format!("tls.stores.{name}"))
    });
    let options = part.tls.options.iter().flat_map(|(name, options)| {
        let order = options.prefer_server_cipher_suites.is_some();
        given(format!("tls.options.{name}"), &[("preferServerCipherSuites", order)])
    });
    let certificates = part.tls.certificates.iter().flat_map(|one| {
        let stores = one.stores.iter().any(|store| store != DEFAULT);
        given(format!("tls.certificates.{}", shown(&one.cert_file)), &[("stores", stores)])
    });
    stores.chain(options).chain(certificates)
}

/// The name of a file; a certificate in its place is not told.
fn shown(file: &str) -> &str {
    if file.contains('\n') { "PEM" } else { file }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::files::of_text;
    use std::path::Path;

    #[test]
    fn what_has_no_effect_is_named_once_with_its_place() {
        let text = "
http:
  routers: {r: {rule: 'Host(`a`)', service: s, tls: {certResolver: le, domains: [{main: a}]}}}
  services: {s: {loadBalancer: {servers: [{url: 'http://a'}]}}}
  middlewares:
    m: {headers: {sslRedirect: true, featurePolicy: x, frameDeny: true}}
    n: {forwardAuth: {address: 'http://a', tls: {caOptional: true}}}
tcp:
  routers: {r: {rule: 'HostSNI(`*`)', service: s, tls: {certResolver: le, domains: [{main: a}]}}}
  services: {s: {loadBalancer: {terminationDelay: 5, servers: [{address: 'a:1'}]}}}
  serversTransports: {t: {dialKeepAlive: 1s, terminationDelay: 1s, dialTimeout: 1s}}
tls:
  certificates: [{certFile: /a.pem, keyFile: /a.key, stores: [other]}]
  options: {o: {preferServerCipherSuites: true, minVersion: VersionTLS12}}
  stores: {other: {defaultCertificate: {certFile: /a.pem, keyFile: /a.key}}}
";
        let part = of_text(Path::new("a.yml"), text).expect("read");
        let warning = unsupported("file", &part).expect("a warning");
        let told = warning.message.strip_prefix("these options have no effect yet: ").expect("options");
        let expected = [
            "http.routers.r.tls.certResolver",
            "http.routers.r.tls.domains",
            "http.middlewares.m.headers.featurePolicy",
            "http.middlewares.m.headers.sslRedirect",
            "http.middlewares.n.forwardAuth.tls.caOptional",
            "tcp.routers.r.tls.certResolver",
            "tcp.routers.r.tls.domains",
            "tcp.services.s.loadBalancer.terminationDelay",
            "tcp.serversTransports.t.dialKeepAlive",
            "tcp.serversTransports.t.terminationDelay",
            "tls.stores.other",
            "tls.options.o.preferServerCipherSuites",
            "tls.certificates./a.pem.stores",
        ];
        assert_eq!(told.split(", ").collect::<Vec<_>>(), expected);
        assert_eq!(warning.place, "file");
        assert_eq!(unsupported("file", &Configuration::default()), None);
    }
}
