//! What is told of requests: the access log, metrics and traces, and who asks for them.

use crate::{
    decode::allow_empty,
    duration::Span,
    model::{ClientTls, Hidden, Named, Unsupported},
};

/// The buckets of durations where none are given, in seconds.
const BUCKETS_SECONDS: &[f64] = &[0.1, 0.3, 1.2, 5.0];

record! {
    /// What an entry point's requests leave behind.
    EntryObservability {
        access_logs: bool,
        metrics: bool,
        tracing: bool,
        trace_verbosity: String,
    }

    /// The log of requests.
    AccessLog {
        file_path: String,
        format: String,
        filters: Filters,
        fields: Fields,
        buffering_size: i64,
        add_internals: bool,
        dual_output: bool,
        otlp: Unsupported,
    }

    /// Which requests are written down; all, if nothing is asked for.
    #[derive(Default)]
    Filters {
        status_codes: Vec<String>,
        retry_attempts: bool,
        min_duration: Span,
    }

    /// What is written of a request.
    Fields {
        default_mode: String,
        names: Named<String>,
        headers: FieldHeaders,
        query_parameters: FieldQuery,
    }

    /// Which headers.
    FieldHeaders {
        default_mode: String,
        names: Named<String>,
    }

    /// Whether what follows the question mark.
    FieldQuery {
        default_mode: String,
    }

    /// Numbers.
    #[derive(Default)]
    Metrics {
        add_internals: bool,
        #[serde(deserialize_with = "allow_empty")]
        prometheus: Option<Prometheus>,
        datadog: Unsupported,
        stats_d: Unsupported,
        influx_db2: Unsupported,
        otlp: Unsupported,
    }

    /// Numbers for whoever asks.
    Prometheus {
        buckets: Vec<f64>,
        add_entry_points_labels: bool,
        add_routers_labels: bool,
        add_services_labels: bool,
        entry_point: String,
        manual_routing: bool,
        header_labels: Named<String>,
    }

    /// Traces.
    Tracing {
        service_name: String,
        resource_attributes: Named<String>,
        captured_request_headers: Vec<String>,
        captured_response_headers: Vec<String>,
        safe_query_params: Vec<String>,
        sample_rate: f64,
        add_internals: bool,
        #[serde(deserialize_with = "allow_empty")]
        otlp: Option<Otlp>,
        global_attributes: Named<String>,
    }

    /// Who collects traces.
    #[derive(Default)]
    Otlp {
        #[serde(deserialize_with = "allow_empty")]
        grpc: Option<OtlpGrpc>,
        #[serde(deserialize_with = "allow_empty")]
        http: Option<OtlpHttp>,
    }

    /// A collector by gRPC.
    OtlpGrpc {
        endpoint: String,
        insecure: bool,
        tls: Option<ClientTls>,
        headers: Named<Hidden>,
    }

    /// A collector by HTTP.
    OtlpHttp {
        endpoint: String,
        tls: Option<ClientTls>,
        headers: Named<Hidden>,
    }
}

impl Default for EntryObservability {
    fn default() -> Self {
        Self { access_logs: true, metrics: true, tracing: true, trace_verbosity: "minimal".to_owned() }
    }
}

impl Default for AccessLog {
    fn default() -> Self {
        Self {
            file_path: String::new(),
            format: "common".to_owned(),
            filters: Filters::default(),
            fields: Fields::default(),
            buffering_size: 0,
            add_internals: false,
            dual_output: false,
            otlp: Unsupported::default(),
        }
    }
}

impl Default for Fields {
    fn default() -> Self {
        Self {
            default_mode: "keep".to_owned(),
            names: Named::new(),
            headers: FieldHeaders::default(),
            query_parameters: FieldQuery::default(),
        }
    }
}

impl Default for FieldHeaders {
    fn default() -> Self {
        Self { default_mode: "drop".to_owned(), names: Named::new() }
    }
}

impl Default for FieldQuery {
    fn default() -> Self {
        Self { default_mode: "keep".to_owned() }
    }
}

impl Default for Prometheus {
    fn default() -> Self {
        Self {
            buckets: BUCKETS_SECONDS.to_vec(),
            add_entry_points_labels: true,
            add_routers_labels: false,
            add_services_labels: true,
            entry_point: "traefik".to_owned(),
            manual_routing: false,
            header_labels: Named::new(),
        }
    }
}

impl Default for Tracing {
    fn default() -> Self {
        Self {
            service_name: "traefik".to_owned(),
            resource_attributes: Named::new(),
            captured_request_headers: Vec::new(),
            captured_response_headers: Vec::new(),
            safe_query_params: Vec::new(),
            sample_rate: 1.0,
            add_internals: false,
            otlp: None,
            global_attributes: Named::new(),
        }
    }
}

impl Default for OtlpGrpc {
    fn default() -> Self {
        Self { endpoint: "localhost:4317".to_owned(), insecure: false, tls: None, headers: Named::new() }
    }
}

impl Default for OtlpHttp {
    fn default() -> Self {
        Self { endpoint: "https://localhost:4318".to_owned(), tls: None, headers: Named::new() }
    }
}
