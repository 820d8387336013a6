//! Flags, files and variables that say the same.

use super::*;
use crate::Warning;

fn loaded(arguments: &[&str], variables: &[(&str, &str)]) -> (Result<Statics, StaticError>, Vec<Warning>) {
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    let variables: Vec<_> =
        variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    let mut warnings = Vec::new();
    let read = load(&arguments, &variables, &mut warnings);
    (read, warnings)
}

const FILE: &str = "
entryPoints:
  web:
    address: ':80'
    http:
      redirections:
        entryPoint: {to: websecure}
  websecure:
    address: ':443'
    http: {tls: {}, encodeQuerySemicolons: true}
providers:
  docker: {exposedByDefault: false, network: edge}
  file: {directory: /dynamic, watch: true}
ping: {}
";

#[test]
fn flags_files_and_variables_say_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("traefik.yml");
    std::fs::write(&file, FILE).expect("written");
    let (by_file, _) = loaded(&["--configFile", &file.display().to_string()], &[]);
    let (by_flags, _) = loaded(
        &[
            "--entrypoints.web.address=:80",
            "--entryPoints.web.http.redirections.entrypoint.to=websecure",
            "--entrypoints.websecure.address",
            ":443",
            "--entrypoints.websecure.http.tls",
            "--entrypoints.websecure.http.encodequerysemicolons",
            "--providers.docker=true",
            "--providers.docker.exposedbydefault=false",
            "-providers.docker.network=edge",
            "--providers.file.directory=/dynamic",
            "--ping",
        ],
        &[],
    );
    let (by_variables, _) = loaded(
        &[],
        &[
            ("TRAEFIK_ENTRYPOINTS_WEB_ADDRESS", ":80"),
            ("TRAEFIK_ENTRYPOINTS_WEB_HTTP_REDIRECTIONS_ENTRYPOINT_TO", "websecure"),
            ("TRAEFIK_ENTRYPOINTS_WEBSECURE_ADDRESS", ":443"),
            ("TRAEFIK_ENTRYPOINTS_WEBSECURE_HTTP_TLS", "true"),
            ("TRAEFIK_ENTRYPOINTS_WEBSECURE_HTTP_ENCODEQUERYSEMICOLONS", "true"),
            ("TRAEFIK_PROVIDERS_DOCKER_EXPOSEDBYDEFAULT", "false"),
            ("TRAEFIK_PROVIDERS_DOCKER_NETWORK", "edge"),
            ("TRAEFIK_PROVIDERS_FILE_DIRECTORY", "/dynamic"),
            ("TRAEFIK_PING", "true"),
            ("PATH", "/bin"),
        ],
    );
    let by_file = by_file.expect("the file is read");
    assert_eq!(by_file, by_flags.expect("the flags are read"));
    assert_eq!(by_file, by_variables.expect("the variables are read"));
    assert_eq!(by_file.entry_points["traefik"].address, ":8080");
    assert_eq!(
        by_file.entry_points["web"].http.redirections.entry_point,
        Some(Redirection { to: "websecure".to_owned(), ..Redirection::default() })
    );
}

#[test]
fn what_is_told_of_requests_is_read() {
    let (read, _) = loaded(
        &[
            "--global.checknewversion=false",
            "--global.notappendxforwardedfor",
            "--accesslog",
            "--accesslog.filters.statuscodes=200,500-599",
            "--accesslog.filters.minduration=10ms",
            "--accesslog.fields.headers.names.User-Agent=keep",
            "--metrics.prometheus.buckets=0.1,2",
            "--metrics.prometheus.headerlabels.tenant=X-Tenant",
            "--tracing.otlp.grpc",
            "--tracing.globalattributes.team=a",
            "--tracing.samplerate=0.25",
            "--entrypoints.web.address=:1",
            "--entrypoints.web.observability.accesslogs=false",
        ],
        &[],
    );
    let read = read.expect("known flags");
    assert!(read.entry_points["web"].forwarded_headers.not_append_x_forwarded_for);
    assert!(
        !read.entry_points["web"].observability.access_logs && read.entry_points["web"].observability.metrics
    );
    let log = read.access_log.as_ref().expect("a log");
    assert_eq!(log.filters.status_codes, ["200", "500-599"]);
    assert_eq!(log.fields.headers.default_mode, "drop");
    assert_eq!(log.fields.headers.names["User-Agent"], "keep");
    let prometheus = read.metrics.as_ref().and_then(|metrics| metrics.prometheus.as_ref()).expect("metrics");
    assert_eq!(prometheus.buckets, [0.1, 2.0]);
    assert!(prometheus.add_services_labels && !prometheus.add_routers_labels);
    assert_eq!(read.entry_points["traefik"].address, ":8080", "metrics are asked for there");
    let tracing = read.tracing.as_ref().expect("traces");
    assert_eq!((tracing.sample_rate, tracing.resource_attributes["team"].as_str()), (0.25, "a"));
    assert_eq!(
        tracing.otlp.as_ref().and_then(|otlp| otlp.grpc.as_ref()).expect("gRPC").endpoint,
        "localhost:4317"
    );
    assert_eq!(not_yet(&read), None);
    for path in ["gate", "/a b", "/a\u{e4}"] {
        let (read, _) = loaded(&["--api", &format!("--api.basepath={path}")], &[]);
        assert!(matches!(read, Err(StaticError::BasePath { .. })), "{path}");
    }
}

#[test]
fn what_is_wrong_or_without_effect_is_named() {
    let (read, _) = loaded(&["--entrypoints.web.adress=:80"], &[]);
    let error = read.expect_err("an unknown flag");
    assert_eq!(
        crate::chain(&error),
        "could not read the flags: entrypoints.web.adress: field not found, node: adress"
    );
    let (read, _) = loaded(&["serve"], &[]);
    assert!(matches!(read, Err(StaticError::Argument { .. })));
    let (read, _) =
        loaded(&["--metrics.influxdb2=true", "--entrypoints.web.http3", "--entrypoints.web.address=:1"], &[]);
    let warning = not_yet(&read.expect("known flags")).expect("a warning");
    assert_eq!(warning.message, "these options have no effect yet: metrics.influxDB2, entryPoints.web.http3");
    let (read, _) = loaded(
        &[],
        &[
            ("TRAEFIK_ENTRYPOINTS_WEB_ADDRESS", ":1"),
            ("TRAEFIK_ENTRYPOINTS_WEB_HTTP_TLS_CERTRESOLVER", "le"),
            ("TRAEFIK_ENTRYPOINTS_WEB_HTTP_TLS_DOMAINS_10_MAIN", "b.test"),
            ("TRAEFIK_ENTRYPOINTS_WEB_HTTP_TLS_DOMAINS_2_MAIN", "a.test"),
            ("TRAEFIK_ENTRYPOINTS_WEB_HTTP2_MAXDECODERHEADERTABLESIZE", "1"),
            ("TRAEFIK_ENTRYPOINTS_DNS_ADDRESS", ":53/udp"),
            ("TRAEFIK_ENTRYPOINTS_DNS_UDP_TIMEOUT", "5s"),
            ("TRAEFIK_PROVIDERS_PROVIDERSTHROTTLEDURATION", "1s"),
        ],
    );
    let read = read.expect("known variables");
    assert!(read.entry_points["dns"].is_udp() && !read.entry_points["web"].is_udp());
    assert_eq!(
        not_yet(&read).expect("a warning").message,
        "these options have no effect yet: providers.providersThrottleDuration, \
         entryPoints.web.http2.maxDecoderHeaderTableSize, entryPoints.web.http.tls.certResolver, \
         entryPoints.web.http.tls.domains"
    );
    let tls = read.entry_points["web"].http.tls.as_ref().expect("TLS");
    let names: Vec<&str> = tls.domains.iter().map(|domain| domain.main.as_str()).collect();
    assert_eq!(names, ["a.test", "b.test"], "items of a list come by their numbers");
    assert_eq!(not_yet(&loaded(&[], &[]).0.expect("nothing")), None);
}
