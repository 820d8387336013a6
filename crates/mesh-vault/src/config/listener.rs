//! `listener "tcp" { ... }`

use super::reader::Reader;
use std::path::PathBuf;

/// Where Vault listens unless told otherwise.
pub(super) const ADDRESS: &str = "127.0.0.1:8200";
/// Largest body of a request, in bytes, as Vault has it.
const REQUEST_BYTES_MAX: u64 = 32 << 20;

/// Keys that Vault knows and that change nothing here.
const TAKEN: [&str; 18] = [
    "cluster_address",
    "http_idle_timeout",
    "http_read_header_timeout",
    "http_read_timeout",
    "http_write_timeout",
    "max_request_duration",
    "proxy_protocol_authorized_addrs",
    "proxy_protocol_behavior",
    "purpose",
    "role",
    "tls_cipher_suites",
    "tls_max_version",
    "tls_prefer_server_cipher_suites",
    "x_forwarded_for_authorized_addrs",
    "x_forwarded_for_hop_skips",
    "x_forwarded_for_reject_not_authorized",
    "x_forwarded_for_reject_not_present",
    "disable_replication_status_endpoints",
];

/// The oldest TLS that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MinimumTls {
    /// 1.2
    V12,
    /// 1.3
    V13,
}

/// A listener's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// PEM with the chain.
    pub certificate: PathBuf,
    /// PEM.
    pub key: PathBuf,
    /// The oldest TLS that is spoken.
    pub minimum: MinimumTls,
    /// Authorities of clients that are asked for a certificate.
    pub client_authorities: Option<PathBuf>,
    /// Whether a client without one is turned away.
    pub client_required: bool,
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// `host:port`.
    pub address: String,
    /// None for plain HTTP.
    pub tls: Option<Tls>,
    /// Largest body of a request, in bytes.
    pub request_bytes_max: u64,
    /// Whether a request needs the header `X-Vault-Request`.
    pub require_request_header: bool,
    /// Whether `sys/metrics` needs no token here.
    pub open_metrics: bool,
}

impl Listener {
    /// Plain HTTP at an address.
    #[must_use]
    pub fn plain(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            tls: None,
            request_bytes_max: REQUEST_BYTES_MAX,
            require_request_header: false,
            open_metrics: false,
        }
    }

    /// The address as a URL, for `api_addr`.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Reads a block.
    pub(super) fn read(kind: &str, line: u32, block: &Reader<'_>) -> Self {
        if kind != "tcp" {
            block.error(line, format!("listener {kind:?} is not supported: \"tcp\" is"));
        }
        let address = block.text("address").unwrap_or_else(|| ADDRESS.to_owned());
        let address = complete(&address);
        if address.is_none() {
            block.error(block.line("address"), "address must be host:port");
        }
        for key in TAKEN {
            block.know(key);
        }
        let telemetry = block.know("telemetry").map(|_| block.body().blocks("telemetry"));
        let open_metrics = telemetry.into_iter().flatten().any(|(_, body, _)| {
            Reader::new(body, block.file(), block.findings()).boolean("unauthenticated_metrics_access")
                == Some(true)
        });
        let listener = Self {
            address: address.unwrap_or_default(),
            tls: read_tls(line, block),
            request_bytes_max: block.count("max_request_size").unwrap_or(REQUEST_BYTES_MAX),
            require_request_header: block.boolean("require_request_header").unwrap_or(false),
            open_metrics,
        };
        block.finish();
        listener
    }
}

/// `host:port`; without a port that is Vault's, without a host that is every address.
fn complete(address: &str) -> Option<String> {
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (address, "8200"),
    };
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    // An IPv6 address without its brackets is cut in the middle.
    let sound =
        bare.map_or(!host.contains([':', '[', ']']), |host| host.parse::<std::net::Ipv6Addr>().is_ok());
    (sound && port.parse::<u16>().is_ok()).then(|| format!("{host}:{port}"))
}

fn read_tls(line: u32, block: &Reader<'_>) -> Option<Tls> {
    let disabled = block.boolean("tls_disable").unwrap_or(false);
    let path = |key| block.text(key).filter(|path| !path.is_empty()).map(PathBuf::from);
    let (certificate, key) = (path("tls_cert_file"), path("tls_key_file"));
    let authorities = path("tls_client_ca_file");
    let required = block.boolean("tls_require_and_verify_client_cert").unwrap_or(false);
    let unasked = block.boolean("tls_disable_client_certs").unwrap_or(false);
    let minimum = match block.text("tls_min_version").as_deref() {
        None | Some("tls12" | "") => MinimumTls::V12,
        Some("tls13") => MinimumTls::V13,
        Some(other) => {
            let message = format!("tls_min_version {other:?} is not supported: \"tls12\" and \"tls13\" are");
            block.error(block.line("tls_min_version"), message);
            MinimumTls::V12
        }
    };
    if disabled {
        return None;
    }
    if required && unasked {
        block.error(
            line,
            "tls_disable_client_certs and tls_require_and_verify_client_cert exclude each other",
        );
    }
    if required && authorities.is_none() {
        block.error(line, "tls_require_and_verify_client_cert needs tls_client_ca_file");
    }
    let (Some(certificate), Some(key)) = (certificate, key) else {
        block.error(line, "a listener needs 'tls_cert_file' and 'tls_key_file', or 'tls_disable'");
        return None;
    };
    let client_authorities = authorities.filter(|_| !unasked);
    Some(Tls { certificate, key, minimum, client_authorities, client_required: required })
}
