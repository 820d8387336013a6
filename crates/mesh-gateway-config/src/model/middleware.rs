//! HTTP middlewares: what is done with requests and answers on their way.

use super::{Hidden, Named, Unsupported};
use crate::{decode::allow_empty, duration::Span};

record! {
    /// A middleware is one of these.
    #[derive(Default)]
    Middleware {
        add_prefix: Option<AddPrefix>,
        strip_prefix: Option<StripPrefix>,
        strip_prefix_regex: Option<StripPrefixRegex>,
        replace_path: Option<ReplacePath>,
        replace_path_regex: Option<ReplacePathRegex>,
        chain: Option<Chain>,
        ip_white_list: Option<IpAllowList>,
        ip_allow_list: Option<IpAllowList>,
        headers: Option<Box<Headers>>,
        encoded_characters: Option<EncodedCharacters>,
        errors: Option<ErrorPage>,
        rate_limit: Option<RateLimit>,
        redirect_regex: Option<RedirectRegex>,
        redirect_scheme: Option<RedirectScheme>,
        basic_auth: Option<BasicAuth>,
        digest_auth: Option<BasicAuth>,
        forward_auth: Option<Box<ForwardAuth>>,
        in_flight_req: Option<InFlightReq>,
        buffering: Option<Buffering>,
        circuit_breaker: Option<CircuitBreaker>,
        #[serde(deserialize_with = "allow_empty")]
        compress: Option<Compress>,
        #[serde(rename = "passTLSClientCert")]
        pass_tls_client_cert: Option<PassTlsClientCert>,
        retry: Option<Retry>,
        #[serde(deserialize_with = "allow_empty")]
        content_type: Option<ContentType>,
        grpc_web: Option<GrpcWeb>,
        plugin: Unsupported,
    }

    /// Puts something before the path.
    #[derive(Default)]
    AddPrefix {
        prefix: String,
    }

    /// Takes something off the path's beginning.
    #[derive(Default)]
    StripPrefix {
        prefixes: Vec<String>,
        force_slash: Option<bool>,
    }

    /// The same by expressions.
    #[derive(Default)]
    StripPrefixRegex {
        regex: Vec<String>,
    }

    /// Another path.
    #[derive(Default)]
    ReplacePath {
        path: String,
    }

    /// Another path by an expression.
    #[derive(Default)]
    ReplacePathRegex {
        regex: String,
        replacement: String,
    }

    /// Several, one after another.
    #[derive(Default)]
    Chain {
        middlewares: Vec<String>,
    }

    /// Which of the addresses on the way is the client's.
    #[derive(Default)]
    IpStrategy {
        depth: i64,
        #[serde(rename = "excludedIPs")]
        excluded_ips: Vec<String>,
        ipv6_subnet: Option<i64>,
    }

    /// Who may.
    #[derive(Default)]
    IpAllowList {
        source_range: Vec<String>,
        #[serde(deserialize_with = "allow_empty")]
        ip_strategy: Option<IpStrategy>,
        reject_status_code: u16,
    }

    /// Headers of requests and answers.
    #[derive(Default)]
    Headers {
        custom_request_headers: Named<String>,
        custom_response_headers: Named<String>,
        access_control_allow_credentials: bool,
        access_control_allow_headers: Vec<String>,
        access_control_allow_methods: Vec<String>,
        access_control_allow_origin_list: Vec<String>,
        access_control_allow_origin_list_regex: Vec<String>,
        access_control_expose_headers: Vec<String>,
        access_control_max_age: Option<i64>,
        add_vary_header: bool,
        allowed_hosts: Vec<String>,
        hosts_proxy_headers: Vec<String>,
        ssl_proxy_headers: Named<String>,
        sts_seconds: Option<i64>,
        sts_include_subdomains: bool,
        sts_preload: bool,
        #[serde(rename = "forceSTSHeader")]
        force_sts_header: bool,
        frame_deny: bool,
        custom_frame_options_value: String,
        content_type_nosniff: bool,
        browser_xss_filter: bool,
        #[serde(rename = "customBrowserXSSValue")]
        custom_browser_xss_value: String,
        content_security_policy: String,
        content_security_policy_report_only: String,
        public_key: String,
        referrer_policy: String,
        permissions_policy: String,
        is_development: bool,
        feature_policy: Option<String>,
        ssl_redirect: Option<bool>,
        ssl_temporary_redirect: Option<bool>,
        ssl_host: Option<String>,
        ssl_force_host: Option<bool>,
    }

    /// Which encoded characters a path may have.
    #[derive(Default)]
    EncodedCharacters {
        allow_encoded_slash: bool,
        allow_encoded_back_slash: bool,
        allow_encoded_null_character: bool,
        allow_encoded_semicolon: bool,
        allow_encoded_percent: bool,
        allow_encoded_question_mark: bool,
        allow_encoded_hash: bool,
    }

    /// Pages of another service in place of errors.
    #[derive(Default)]
    ErrorPage {
        status: Vec<String>,
        status_rewrites: Named<u16>,
        service: String,
        query: String,
        /// None stands for all of them, an empty list for none.
        error_request_headers: Option<Vec<String>>,
    }

    /// Whose requests are counted together.
    #[derive(Default)]
    SourceCriterion {
        ip_strategy: Option<IpStrategy>,
        request_header_name: String,
        request_host: bool,
    }

    /// How many requests in a time.
    RateLimit {
        average: i64,
        period: Span,
        burst: i64,
        source_criterion: Option<SourceCriterion>,
        redis: Unsupported,
    }

    /// How many requests at a time.
    #[derive(Default)]
    InFlightReq {
        amount: i64,
        source_criterion: Option<SourceCriterion>,
    }

    /// Another place by an expression.
    #[derive(Default)]
    RedirectRegex {
        regex: String,
        replacement: String,
        permanent: bool,
    }

    /// Another scheme.
    #[derive(Default)]
    RedirectScheme {
        scheme: String,
        port: String,
        permanent: bool,
    }

    /// Names and passwords.
    #[derive(Default)]
    BasicAuth {
        users: Vec<Hidden>,
        users_file: String,
        realm: String,
        remove_header: bool,
        header_field: String,
    }

    /// Another server is asked whether a request may.
    ForwardAuth {
        address: String,
        tls: Option<ClientTls>,
        trust_forward_header: Option<bool>,
        auth_response_headers: Vec<String>,
        auth_response_headers_regex: String,
        auth_request_headers: Vec<String>,
        max_response_body_size: Option<i64>,
        add_auth_cookies_to_response: Vec<String>,
        header_field: String,
        forward_body: bool,
        max_body_size: Option<i64>,
        preserve_location_header: bool,
        preserve_request_method: bool,
        #[serde(rename = "authSigninURL")]
        auth_signin_url: String,
    }

    /// TLS with another server.
    #[derive(Default)]
    ClientTls {
        ca: String,
        cert: String,
        key: Hidden,
        insecure_skip_verify: bool,
        ca_optional: Option<bool>,
    }

    /// Bodies are read whole, up to a size.
    #[derive(Default)]
    Buffering {
        max_request_body_bytes: i64,
        mem_request_body_bytes: i64,
        max_response_body_bytes: i64,
        mem_response_body_bytes: i64,
        retry_expression: String,
    }

    /// No requests for a service that fails.
    CircuitBreaker {
        expression: String,
        check_period: Span,
        fallback_duration: Span,
        recovery_duration: Span,
        response_code: u16,
    }

    /// Smaller answers.
    Compress {
        excluded_content_types: Vec<String>,
        included_content_types: Vec<String>,
        min_response_body_bytes: i64,
        encodings: Vec<String>,
        default_encoding: String,
    }

    /// The client's certificate, as a header.
    #[derive(Default)]
    PassTlsClientCert {
        pem: bool,
        info: Option<TlsClientCertInfo>,
    }

    /// Parts of the client's certificate.
    #[derive(Default)]
    TlsClientCertInfo {
        not_after: bool,
        not_before: bool,
        sans: bool,
        serial_number: bool,
        subject: Option<DistinguishedNameInfo>,
        issuer: Option<DistinguishedNameInfo>,
    }

    /// Parts of a name.
    #[derive(Default)]
    DistinguishedNameInfo {
        country: bool,
        province: bool,
        locality: bool,
        organization: bool,
        organizational_unit: bool,
        common_name: bool,
        serial_number: bool,
        domain_component: bool,
    }

    /// Again, if it failed.
    Retry {
        attempts: i64,
        timeout: Span,
        initial_interval: Span,
        max_request_body_bytes: Option<i64>,
        status: Vec<String>,
        disable_retry_on_network_error: bool,
        retry_non_idempotent_method: bool,
    }

    /// What an answer is, where it does not say so.
    #[derive(Default)]
    ContentType {
        auto_detect: Option<bool>,
    }

    /// gRPC for browsers.
    #[derive(Default)]
    GrpcWeb {
        allow_origins: Vec<String>,
    }
}

impl Default for RateLimit {
    fn default() -> Self {
        Self {
            average: 0,
            period: Span::seconds(1),
            burst: 1,
            source_criterion: None,
            redis: Unsupported::default(),
        }
    }
}

impl Default for ForwardAuth {
    fn default() -> Self {
        Self {
            address: String::new(),
            tls: None,
            trust_forward_header: None,
            auth_response_headers: Vec::new(),
            auth_response_headers_regex: String::new(),
            auth_request_headers: Vec::new(),
            max_response_body_size: None,
            add_auth_cookies_to_response: Vec::new(),
            header_field: String::new(),
            forward_body: false,
            max_body_size: Some(-1),
            preserve_location_header: false,
            preserve_request_method: false,
            auth_signin_url: String::new(),
        }
    }
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self {
            expression: String::new(),
            check_period: Span::milliseconds(100),
            fallback_duration: Span::seconds(10),
            recovery_duration: Span::seconds(10),
            response_code: 503,
        }
    }
}

impl Default for Compress {
    fn default() -> Self {
        Self {
            excluded_content_types: Vec::new(),
            included_content_types: Vec::new(),
            min_response_body_bytes: 0,
            encodings: ["gzip", "br", "zstd"].map(str::to_owned).to_vec(),
            default_encoding: String::new(),
        }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 0,
            timeout: Span::default(),
            initial_interval: Span::default(),
            max_request_body_bytes: Some(2 << 20),
            status: Vec::new(),
            disable_retry_on_network_error: false,
            retry_non_idempotent_method: false,
        }
    }
}
