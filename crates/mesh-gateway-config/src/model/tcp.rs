//! TCP and UDP.

use super::{
    Named, Present,
    service::Spiffe,
    tls::{Certificate, Domain, San},
};
use crate::{decode::allow_empty, duration::Span};

record! {
    /// Everything of TCP.
    #[derive(Default)]
    TcpConfiguration {
        routers: Named<TcpRouter>,
        services: Named<TcpService>,
        middlewares: Named<TcpMiddleware>,
        servers_transports: Named<TcpServersTransport>,
    }

    /// Which connections go to which service.
    #[derive(Default)]
    TcpRouter {
        entry_points: Vec<String>,
        middlewares: Vec<String>,
        service: String,
        rule: String,
        rule_syntax: String,
        priority: i64,
        #[serde(deserialize_with = "allow_empty")]
        tls: Option<TcpRouterTls>,
    }

    /// That a router takes TLS, and how.
    #[derive(Default)]
    TcpRouterTls {
        passthrough: bool,
        options: String,
        cert_resolver: String,
        domains: Vec<Domain>,
    }

    /// A service is one of these.
    #[derive(Default)]
    TcpService {
        load_balancer: Option<TcpLoadBalancer>,
        weighted: Option<TcpWeightedServices>,
    }

    /// Servers.
    #[derive(Default)]
    TcpLoadBalancer {
        #[serde(alias = "server")]
        servers: Vec<TcpServer>,
        servers_transport: String,
        #[serde(deserialize_with = "allow_empty")]
        proxy_protocol: Option<ProxyProtocol>,
        termination_delay: Option<i64>,
        #[serde(deserialize_with = "allow_empty")]
        health_check: Option<TcpHealthCheck>,
    }

    /// One of them.
    #[derive(Default)]
    TcpServer {
        address: String,
        #[serde(skip_serializing)]
        port: String,
        tls: bool,
    }

    /// Which version of the PROXY protocol a server is spoken to in.
    ProxyProtocol {
        version: u8,
    }

    /// What servers are asked, to know whether they are well.
    TcpHealthCheck {
        port: u16,
        send: String,
        expect: String,
        interval: Span,
        unhealthy_interval: Option<Span>,
        timeout: Span,
    }

    /// Services with weights.
    #[derive(Default)]
    TcpWeightedServices {
        services: Vec<TcpWeightedService>,
        #[serde(deserialize_with = "allow_empty")]
        health_check: Option<Present>,
    }

    /// One of them.
    TcpWeightedService {
        name: String,
        weight: Option<i64>,
    }

    /// What is done with connections on their way.
    #[derive(Default)]
    TcpMiddleware {
        in_flight_conn: Option<TcpInFlightConn>,
        ip_white_list: Option<TcpIpAllowList>,
        ip_allow_list: Option<TcpIpAllowList>,
    }

    /// How many at a time.
    #[derive(Default)]
    TcpInFlightConn {
        amount: i64,
    }

    /// Who may.
    #[derive(Default)]
    TcpIpAllowList {
        source_range: Vec<String>,
    }

    /// How servers are spoken to.
    TcpServersTransport {
        dial_keep_alive: Span,
        dial_timeout: Span,
        #[serde(deserialize_with = "allow_empty")]
        proxy_protocol: Option<ProxyProtocol>,
        termination_delay: Span,
        #[serde(deserialize_with = "allow_empty")]
        tls: Option<TlsClient>,
    }

    /// TLS with servers.
    #[derive(Default)]
    TlsClient {
        server_name: String,
        insecure_skip_verify: bool,
        #[serde(rename = "rootCAs")]
        root_cas: Vec<String>,
        certificates: Vec<Certificate>,
        #[serde(rename = "peerCertURI")]
        peer_cert_uri: String,
        #[serde(rename = "peerCertSANs")]
        peer_cert_sans: Vec<San>,
        #[serde(deserialize_with = "allow_empty")]
        spiffe: Option<Spiffe>,
    }

    /// Everything of UDP.
    #[derive(Default)]
    UdpConfiguration {
        routers: Named<UdpRouter>,
        services: Named<UdpService>,
    }

    /// Which entry points go to which service.
    #[derive(Default)]
    UdpRouter {
        entry_points: Vec<String>,
        service: String,
    }

    /// A service is one of these.
    #[derive(Default)]
    UdpService {
        load_balancer: Option<UdpLoadBalancer>,
        weighted: Option<TcpWeightedServices>,
    }

    /// Servers.
    #[derive(Default)]
    UdpLoadBalancer {
        #[serde(alias = "server")]
        servers: Vec<UdpServer>,
    }

    /// One of them.
    #[derive(Default)]
    UdpServer {
        address: String,
        #[serde(skip_serializing)]
        port: String,
    }
}

impl Default for ProxyProtocol {
    fn default() -> Self {
        Self { version: 2 }
    }
}

impl Default for TcpHealthCheck {
    fn default() -> Self {
        Self {
            port: 0,
            send: String::new(),
            expect: String::new(),
            interval: Span::seconds(30),
            unhealthy_interval: None,
            timeout: Span::seconds(5),
        }
    }
}

impl Default for TcpWeightedService {
    fn default() -> Self {
        Self { name: String::new(), weight: Some(1) }
    }
}

impl Default for TcpServersTransport {
    fn default() -> Self {
        Self {
            dial_keep_alive: Span::seconds(15),
            dial_timeout: Span::seconds(30),
            proxy_protocol: None,
            termination_delay: Span::milliseconds(100),
            tls: None,
        }
    }
}
