//! Certificates, stores and options of TLS.

use super::{Hidden, Named};

record! {
    /// Everything of TLS.
    #[derive(Default)]
    TlsConfiguration {
        certificates: Vec<StoredCertificate>,
        options: Named<TlsOptions>,
        stores: Named<Store>,
    }

    /// A certificate and its key, as files or as what would be in them.
    #[derive(Default, Eq)]
    Certificate {
        cert_file: String,
        key_file: Hidden,
    }

    /// A certificate, and the stores it is for.
    #[derive(Default)]
    StoredCertificate {
        cert_file: String,
        key_file: Hidden,
        stores: Vec<String>,
    }

    /// Certificates that a listener shows.
    #[derive(Default)]
    Store {
        default_certificate: Option<Certificate>,
        default_generated_cert: Option<GeneratedCertificate>,
    }

    /// A certificate that somebody makes.
    #[derive(Default)]
    GeneratedCertificate {
        resolver: String,
        domain: Option<Domain>,
    }

    /// Names of a certificate.
    #[derive(Default, Eq)]
    Domain {
        main: String,
        sans: Vec<String>,
    }

    /// A name that a server has to show.
    #[derive(Default, Eq)]
    San {
        #[serde(rename = "type")]
        kind: String,
        value: String,
    }

    /// How TLS is spoken with clients.
    TlsOptions {
        min_version: String,
        max_version: String,
        cipher_suites: Vec<String>,
        curve_preferences: Vec<String>,
        client_auth: ClientAuth,
        sni_strict: bool,
        alpn_protocols: Vec<String>,
        disable_session_tickets: bool,
        prefer_server_cipher_suites: Option<bool>,
    }

    /// Which certificates clients have to show.
    #[derive(Default, Eq)]
    ClientAuth {
        ca_files: Vec<String>,
        client_auth_type: String,
    }
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self {
            min_version: String::new(),
            max_version: String::new(),
            cipher_suites: Vec::new(),
            curve_preferences: Vec::new(),
            client_auth: ClientAuth::default(),
            sni_strict: false,
            alpn_protocols: ["h2", "http/1.1", "acme-tls/1"].map(str::to_owned).to_vec(),
            disable_session_tickets: false,
            prefer_server_cipher_suites: None,
        }
    }
}
