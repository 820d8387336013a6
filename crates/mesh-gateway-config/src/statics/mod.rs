//! The static configuration: where the gateway listens and what it learns its routes from.

mod observation;
mod source;
mod support;

#[cfg(test)]
mod tests;

pub use observation::*;
pub use source::{StaticError, load};
pub use support::not_yet;

use super::{
    decode::allow_empty,
    duration::Span,
    model::{self, ForwardingTimeouts, Hidden, Named, RouterTls, Unsupported},
};

/// The rule of containers that have none.
const DEFAULT_RULE: &str = "Host(`{{ normalize .Name }}`)";
/// One less than the largest: before whatever a user gives.
const REDIRECTION_PRIORITY: i64 = i64::MAX - 1;
/// Go's limit of a request's head, in bytes.
pub const HEADER_BYTES: usize = 1 << 20;

record! {
    /// The root.
    #[derive(Default)]
    Statics {
        global: Global,
        servers_transport: StaticTransport,
        tcp_servers_transport: Unsupported,
        entry_points: Named<EntryPoint>,
        providers: Providers,
        #[serde(deserialize_with = "allow_empty")]
        api: Option<Api>,
        metrics: Option<Metrics>,
        #[serde(deserialize_with = "allow_empty")]
        ping: Option<Ping>,
        #[serde(deserialize_with = "allow_empty")]
        log: Option<Log>,
        #[serde(deserialize_with = "allow_empty")]
        access_log: Option<AccessLog>,
        #[serde(deserialize_with = "allow_empty")]
        tracing: Option<Tracing>,
        host_resolver: Unsupported,
        certificates_resolvers: Unsupported,
        experimental: Unsupported,
        core: Core,
        spiffe: Unsupported,
        ocsp: Unsupported,
    }

    /// What concerns all. The first two ask for calls to Traefik's makers, which nobody here makes: passing them over is
    /// doing as asked.
    #[derive(Default)]
    Global {
        check_new_version: bool,
        send_anonymous_usage: bool,
        not_append_x_forwarded_for: bool,
    }

    /// Which rules are meant by rules that do not say.
    Core {
        default_rule_syntax: String,
    }

    /// How servers are spoken to where nothing else is said.
    #[derive(Default)]
    StaticTransport {
        insecure_skip_verify: bool,
        #[serde(rename = "rootCAs")]
        root_cas: Vec<String>,
        max_idle_conns_per_host: i64,
        forwarding_timeouts: ForwardingTimeouts,
        spiffe: Unsupported,
    }

    /// Where the gateway listens.
    #[derive(Default)]
    EntryPoint {
        address: String,
        #[serde(rename = "allowACMEByPass")]
        allow_acme_by_pass: bool,
        reuse_port: bool,
        as_default: bool,
        transport: Transport,
        #[serde(deserialize_with = "allow_empty")]
        proxy_protocol: Option<ProxyHeader>,
        forwarded_headers: ForwardedHeaders,
        http: EntryPointHttp,
        http2: Http2,
        http3: Unsupported,
        udp: UdpSessions,
        observability: EntryObservability,
    }

    /// How long a client of UDP is silent until it is forgotten.
    UdpSessions {
        timeout: Span,
    }

    /// The lives of connections.
    #[derive(Default)]
    Transport {
        life_cycle: LifeCycle,
        responding_timeouts: RespondingTimeouts,
        keep_alive_max_time: Span,
        keep_alive_max_requests: i64,
    }

    /// The end of the gateway.
    LifeCycle {
        request_accept_grace_timeout: Span,
        grace_time_out: Span,
    }

    /// How long clients may take.
    RespondingTimeouts {
        read_timeout: Span,
        write_timeout: Span,
        idle_timeout: Span,
    }

    /// Who may say on whose behalf a connection is, before its first byte.
    #[derive(Default)]
    ProxyHeader {
        insecure: bool,
        #[serde(rename = "trustedIPs")]
        trusted_ips: Vec<String>,
    }

    /// Who may say on whose behalf a request is.
    #[derive(Default)]
    ForwardedHeaders {
        insecure: bool,
        #[serde(rename = "trustedIPs")]
        trusted_ips: Vec<String>,
        connection: Vec<String>,
        not_append_x_forwarded_for: bool,
        add_x_forwarded_scheme_headers: bool,
    }

    /// What all routers of an entry point have.
    EntryPointHttp {
        redirections: Redirections,
        middlewares: Vec<String>,
        #[serde(deserialize_with = "allow_empty")]
        tls: Option<RouterTls>,
        encoded_characters: Option<PathCharacters>,
        encode_query_semicolons: bool,
        sanitize_path: Option<bool>,
        max_header_bytes: usize,
        underscore_headers_strategy: String,
    }

    /// Which encoded characters paths may have; all that are not forbidden.
    PathCharacters {
        allow_encoded_slash: bool,
        allow_encoded_back_slash: bool,
        allow_encoded_null_character: bool,
        allow_encoded_semicolon: bool,
        allow_encoded_percent: bool,
        allow_encoded_question_mark: bool,
        allow_encoded_hash: bool,
    }

    /// Where requests are sent on to.
    #[derive(Default)]
    Redirections {
        entry_point: Option<Redirection>,
    }

    /// Another entry point.
    Redirection {
        to: String,
        scheme: String,
        permanent: bool,
        priority: i64,
    }

    /// HTTP/2.
    Http2 {
        max_concurrent_streams: u32,
        max_decoder_header_table_size: u32,
        max_encoder_header_table_size: u32,
    }

    /// What routes are learnt from.
    #[derive(Default)]
    Providers {
        providers_throttle_duration: Span,
        precedence: Vec<String>,
        #[serde(deserialize_with = "allow_empty")]
        docker: Option<Docker>,
        file: Option<FileProvider>,
        swarm: Unsupported,
        kubernetes_ingress: Unsupported,
        #[serde(rename = "kubernetesIngressNGINX")]
        kubernetes_ingress_nginx: Unsupported,
        #[serde(rename = "kubernetesCRD")]
        kubernetes_crd: Unsupported,
        kubernetes_gateway: Unsupported,
        knative: Unsupported,
        rest: Unsupported,
        consul_catalog: Unsupported,
        nomad: Unsupported,
        ecs: Unsupported,
        consul: Unsupported,
        etcd: Unsupported,
        zoo_keeper: Unsupported,
        redis: Unsupported,
        http: Unsupported,
        plugin: Unsupported,
    }

    /// Containers and their labels.
    Docker {
        exposed_by_default: bool,
        constraints: String,
        allow_empty_services: bool,
        network: String,
        #[serde(rename = "useBindPortIP")]
        use_bind_port_ip: bool,
        watch: bool,
        default_rule: String,
        username: String,
        password: Hidden,
        endpoint: String,
        tls: Unsupported,
        #[serde(rename = "httpClientTimeout")]
        http_client_timeout: Span,
    }

    /// Files.
    FileProvider {
        directory: String,
        watch: bool,
        filename: String,
        debug_log_generated_template: bool,
    }

    /// What tells of the routes.
    Api {
        base_path: String,
        insecure: bool,
        dashboard: bool,
        debug: bool,
        disable_dashboard_ad: bool,
        dashboard_name: String,
    }

    /// What says that the gateway is there.
    Ping {
        entry_point: String,
        manual_routing: bool,
        terminating_status_code: u16,
    }

    /// The log.
    Log {
        level: String,
        format: String,
        no_color: bool,
        file_path: String,
        max_size: i64,
        max_age: i64,
        max_backups: i64,
        compress: bool,
        otlp: Unsupported,
    }
}

impl Default for Core {
    fn default() -> Self {
        Self { default_rule_syntax: "v3".to_owned() }
    }
}

impl EntryPoint {
    /// Whether datagrams come in here.
    pub fn is_udp(&self) -> bool {
        self.address.rsplit_once('/').is_some_and(|(_, protocol)| protocol.eq_ignore_ascii_case("udp"))
    }
}

impl Default for UdpSessions {
    fn default() -> Self {
        Self { timeout: Span::seconds(3) }
    }
}

impl Default for LifeCycle {
    fn default() -> Self {
        Self { request_accept_grace_timeout: Span::default(), grace_time_out: Span::seconds(10) }
    }
}

impl Default for RespondingTimeouts {
    fn default() -> Self {
        Self {
            read_timeout: Span::seconds(60),
            write_timeout: Span::default(),
            idle_timeout: Span::seconds(180),
        }
    }
}

impl Default for EntryPointHttp {
    fn default() -> Self {
        Self {
            redirections: Redirections::default(),
            middlewares: Vec::new(),
            tls: None,
            encoded_characters: None,
            encode_query_semicolons: false,
            sanitize_path: Some(true),
            max_header_bytes: HEADER_BYTES,
            underscore_headers_strategy: "keep".to_owned(),
        }
    }
}

impl Default for PathCharacters {
    fn default() -> Self {
        Self {
            allow_encoded_slash: true,
            allow_encoded_back_slash: true,
            allow_encoded_null_character: true,
            allow_encoded_semicolon: true,
            allow_encoded_percent: true,
            allow_encoded_question_mark: true,
            allow_encoded_hash: true,
        }
    }
}

impl PathCharacters {
    /// The same as a middleware has it.
    pub fn allowed(&self) -> model::EncodedCharacters {
        model::EncodedCharacters {
            allow_encoded_slash: self.allow_encoded_slash,
            allow_encoded_back_slash: self.allow_encoded_back_slash,
            allow_encoded_null_character: self.allow_encoded_null_character,
            allow_encoded_semicolon: self.allow_encoded_semicolon,
            allow_encoded_percent: self.allow_encoded_percent,
            allow_encoded_question_mark: self.allow_encoded_question_mark,
            allow_encoded_hash: self.allow_encoded_hash,
        }
    }
}

impl Default for Redirection {
    fn default() -> Self {
        Self {
            to: String::new(),
            scheme: "https".to_owned(),
            permanent: true,
            priority: REDIRECTION_PRIORITY,
        }
    }
}

impl Default for Http2 {
    fn default() -> Self {
        Self {
            max_concurrent_streams: 250,
            max_decoder_header_table_size: 4_096,
            max_encoder_header_table_size: 4_096,
        }
    }
}

impl Default for Docker {
    fn default() -> Self {
        Self {
            exposed_by_default: true,
            constraints: String::new(),
            allow_empty_services: false,
            network: String::new(),
            use_bind_port_ip: false,
            watch: true,
            default_rule: DEFAULT_RULE.to_owned(),
            username: String::new(),
            password: Hidden::default(),
            endpoint: String::new(),
            tls: Unsupported::default(),
            http_client_timeout: Span::default(),
        }
    }
}

impl Default for FileProvider {
    fn default() -> Self {
        Self {
            directory: String::new(),
            watch: true,
            filename: String::new(),
            debug_log_generated_template: false,
        }
    }
}

impl Default for Api {
    fn default() -> Self {
        Self {
            base_path: "/".to_owned(),
            insecure: false,
            dashboard: true,
            debug: false,
            disable_dashboard_ad: false,
            dashboard_name: String::new(),
        }
    }
}

impl Default for Ping {
    fn default() -> Self {
        Self { entry_point: "traefik".to_owned(), manual_routing: false, terminating_status_code: 503 }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "ERROR".to_owned(),
            format: "common".to_owned(),
            no_color: false,
            file_path: String::new(),
            max_size: 0,
            max_age: 0,
            max_backups: 0,
            compress: false,
            otlp: Unsupported::default(),
        }
    }
}
