//! HTTP services: where requests go.

use super::{
    Named, Present,
    tls::{Certificate, San},
};
use crate::{decode::allow_empty, duration::Span};

record! {
    /// A service is one of these.
    #[derive(Default)]
    Service {
        middlewares: Vec<String>,
        load_balancer: Option<LoadBalancer>,
        highest_random_weight: Option<WeightedServices>,
        weighted: Option<WeightedServices>,
        mirroring: Option<Mirroring>,
        failover: Option<Failover>,
    }

    /// Servers.
    LoadBalancer {
        #[serde(deserialize_with = "allow_empty")]
        sticky: Option<Sticky>,
        #[serde(alias = "server")]
        servers: Vec<Server>,
        strategy: String,
        health_check: Option<HealthCheck>,
        passive_health_check: Option<PassiveHealthCheck>,
        pass_host_header: Option<bool>,
        response_forwarding: Option<ResponseForwarding>,
        servers_transport: String,
    }

    /// One of them.
    #[derive(Default)]
    Server {
        url: String,
        weight: Option<i64>,
        preserve_path: bool,
        #[serde(skip_serializing)]
        scheme: String,
        #[serde(skip_serializing)]
        port: String,
    }

    /// How answers are handed on.
    ResponseForwarding {
        flush_interval: Span,
    }

    /// That a client stays with its server.
    #[derive(Default)]
    Sticky {
        #[serde(deserialize_with = "allow_empty")]
        cookie: Option<Cookie>,
    }

    /// By which cookie.
    Cookie {
        name: String,
        secure: bool,
        http_only: bool,
        same_site: String,
        max_age: i64,
        path: Option<String>,
        domain: String,
    }

    /// What servers are asked, to know whether they are well.
    HealthCheck {
        scheme: String,
        mode: String,
        path: String,
        method: String,
        status: u16,
        port: u16,
        interval: Span,
        unhealthy_interval: Option<Span>,
        timeout: Span,
        hostname: String,
        follow_redirects: Option<bool>,
        headers: Named<String>,
    }

    /// When servers are taken to be unwell by what they answer.
    PassiveHealthCheck {
        failure_window: Span,
        max_failed_attempts: i64,
    }

    /// Services with weights.
    #[derive(Default)]
    WeightedServices {
        services: Vec<WeightedService>,
        #[serde(deserialize_with = "allow_empty")]
        sticky: Option<Sticky>,
        #[serde(deserialize_with = "allow_empty")]
        health_check: Option<Present>,
    }

    /// One of them.
    WeightedService {
        name: String,
        weight: Option<i64>,
    }

    /// A service whose requests others get too.
    Mirroring {
        service: String,
        mirror_body: Option<bool>,
        max_body_size: Option<i64>,
        mirrors: Vec<Mirror>,
        #[serde(deserialize_with = "allow_empty")]
        health_check: Option<Present>,
    }

    /// One of the others.
    #[derive(Default)]
    Mirror {
        name: String,
        percent: i64,
    }

    /// A service, and another for when it is unwell.
    #[derive(Default)]
    Failover {
        service: String,
        fallback: String,
        #[serde(deserialize_with = "allow_empty")]
        health_check: Option<Present>,
        errors: Option<FailoverErrors>,
    }

    /// Which answers count as being unwell.
    FailoverErrors {
        max_request_body_bytes: Option<i64>,
        status: Vec<String>,
    }

    /// How servers are spoken to.
    #[derive(Default)]
    ServersTransport {
        server_name: String,
        insecure_skip_verify: bool,
        #[serde(rename = "rootCAs")]
        root_cas: Vec<String>,
        certificates: Vec<Certificate>,
        cipher_suites: Vec<String>,
        min_version: String,
        max_version: String,
        max_idle_conns_per_host: i64,
        forwarding_timeouts: Option<ForwardingTimeouts>,
        #[serde(rename = "disableHTTP2")]
        disable_http2: bool,
        #[serde(rename = "peerCertURI")]
        peer_cert_uri: String,
        #[serde(rename = "peerCertSANs")]
        peer_cert_sans: Vec<San>,
        #[serde(deserialize_with = "allow_empty")]
        spiffe: Option<Spiffe>,
    }

    /// Workload identities that are trusted.
    #[derive(Default)]
    Spiffe {
        ids: Vec<String>,
        trust_domain: String,
    }

    /// How long servers may take.
    ForwardingTimeouts {
        dial_timeout: Span,
        response_header_timeout: Span,
        idle_conn_timeout: Span,
        read_idle_timeout: Span,
        ping_timeout: Span,
    }
}

impl Default for LoadBalancer {
    fn default() -> Self {
        Self {
            sticky: None,
            servers: Vec::new(),
            strategy: "wrr".to_owned(),
            health_check: None,
            passive_health_check: None,
            pass_host_header: Some(true),
            response_forwarding: Some(ResponseForwarding::default()),
            servers_transport: String::new(),
        }
    }
}

impl Default for ResponseForwarding {
    fn default() -> Self {
        Self { flush_interval: Span::milliseconds(100) }
    }
}

impl Default for Cookie {
    fn default() -> Self {
        Self {
            name: String::new(),
            secure: false,
            http_only: false,
            same_site: String::new(),
            max_age: 0,
            path: Some("/".to_owned()),
            domain: String::new(),
        }
    }
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            scheme: String::new(),
            mode: "http".to_owned(),
            path: String::new(),
            method: String::new(),
            status: 0,
            port: 0,
            interval: Span::seconds(30),
            unhealthy_interval: None,
            timeout: Span::seconds(5),
            hostname: String::new(),
            follow_redirects: Some(true),
            headers: Named::new(),
        }
    }
}

impl Default for PassiveHealthCheck {
    fn default() -> Self {
        Self { failure_window: Span::seconds(10), max_failed_attempts: 1 }
    }
}

impl Default for WeightedService {
    fn default() -> Self {
        Self { name: String::new(), weight: Some(1) }
    }
}

impl Default for Mirroring {
    fn default() -> Self {
        Self {
            service: String::new(),
            mirror_body: Some(true),
            max_body_size: Some(-1),
            mirrors: Vec::new(),
            health_check: None,
        }
    }
}

impl Default for FailoverErrors {
    fn default() -> Self {
        Self { max_request_body_bytes: Some(-1), status: Vec::new() }
    }
}

impl Default for ForwardingTimeouts {
    fn default() -> Self {
        Self {
            dial_timeout: Span::seconds(30),
            response_header_timeout: Span::default(),
            idle_conn_timeout: Span::seconds(90),
            read_idle_timeout: Span::default(),
            ping_timeout: Span::seconds(15),
        }
    }
}
