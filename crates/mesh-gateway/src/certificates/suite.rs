//! Traefik's tables of certificates and options of TLS, played.

use super::*;
use crate::{
    config::model::{Hidden, Store, StoredCertificate, TlsOptions},
    suite::{Case, Played, play, texts},
};
use mesh_redact::Secret;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;

fn stored(pair: &Value) -> Certificate {
    let of = |field: &str| pair[field].as_str().unwrap_or_default().to_owned();
    Certificate { cert_file: of("certFile"), key_file: Hidden(Secret::new(of("keyFile"))) }
}

/// A certificate of these names that nobody vouches for.
fn named(names: &Value) -> Certificate {
    let made = rcgen::generate_simple_self_signed(texts(names)).expect("a certificate");
    Certificate {
        cert_file: made.cert.pem(),
        key_file: Hidden(Secret::new(made.signing_key.serialize_pem())),
    }
}

/// Which certificate is shown, of those in a row or of ones with the names in it.
fn shown(case: &Case) -> Played {
    let given = case.items("certificates").iter().map(stored);
    let made = case.items("names").iter().map(named);
    let all: Vec<Certificate> = given.chain(made).collect();
    let mut config = TlsConfiguration::default();
    config.certificates.extend(all.iter().map(|one| StoredCertificate {
        cert_file: one.cert_file.clone(),
        key_file: one.key_file.clone(),
        stores: Vec::new(),
    }));
    if case.fields["default"].is_object() {
        let store = Store { default_certificate: Some(stored(&case.fields["default"])), ..Store::default() };
        config.stores.insert(DEFAULT.to_owned(), store);
    }
    let shown = match Shown::read(&config, &[], &mut Vec::new()) {
        Ok(shown) => shown,
        Err(error) => return Played::Different(crate::chain(&error)),
    };
    let found = shown.find(Some(case.text("domainToCheck")), None);
    let leaf = |one: &Certificate| CertificateDer::from_pem_slice(one.cert_file.as_bytes()).ok();
    let at = all.iter().position(|one| leaf(one).as_ref() == found.cert.first());
    let expected = match case.fields["expectedAt"].as_u64() {
        Some(at) => Some(usize::try_from(at).expect("a place")),
        None => case.flag("expected").then_some(0),
    };
    Played::compare(&expected, &at)
}

/// How TLS is spoken by options, and what clients have to show.
fn spoken(case: &Case) -> Played {
    if case.fields["options"].is_null() {
        // Options that are not there are told with the router that asks for them.
        return Played::Foreign;
    }
    let options: TlsOptions = match serde_json::from_value(case.fields["options"].clone()) {
        Ok(options) => options,
        Err(error) => return Played::Different(error.to_string()),
    };
    let made = handshake::server_config(Arc::new(Resolver(ArcSwap::from_pointee(None))), &options);
    if case.flag("expectedError") {
        return Played::compare(&true, &made.is_err());
    }
    let config = match made {
        Ok(config) => config,
        Err(error) => return Played::Different(crate::chain(&error)),
    };
    if case.test == "TestClientAuth" {
        let verifier = handshake::verifier(&options.client_auth).ok().flatten();
        let asks = match &verifier {
            None => "no",
            Some(verifier) if verifier.client_auth_mandatory() => "requires",
            Some(_) => "asks",
        };
        let authorities = verifier.map_or(0, |verifier| verifier.root_hint_subjects().len());
        let expected = (case.text("asks"), case.fields["authorities"].as_u64());
        return Played::compare(&expected, &(asks, u64::try_from(authorities).ok()));
    }
    let least = options.min_version.trim_start_matches("VersionTLS").to_owned();
    let expected = case.text("least").replace('.', "");
    let protocols = case.texts("protocols");
    let known: Vec<_> = protocols.iter().filter(|name| PROTOCOLS.contains(&name.as_str())).cloned().collect();
    let text = |name: &Vec<u8>| String::from_utf8_lossy(name).into_owned();
    let spoken: Vec<String> = config.alpn_protocols.iter().map(text).collect();
    if !protocols.is_empty() && (known != spoken || protocols != options.alpn_protocols) {
        return Played::Different(format!("{spoken:?} are spoken"));
    }
    Played::compare(&expected, &if least.is_empty() { "12".to_owned() } else { least })
}

#[test]
fn certificates_are_chosen_as_with_traefik() {
    play("pkg/tls", &[], |case| match case.test.as_str() {
        _ if case.flag("foreign") => Played::Foreign,
        "TestGetBestCertificate"
        | "TestGetBestCertificate_SharedSAN"
        | "TestTLSInStore"
        | "TestTLSInvalidStore" => shown(case),
        "TestManager_Get" | "TestClientAuth" | "TestManager_Get_DefaultValues" => spoken(case),
        // Names that servers show are played where servers are spoken to.
        _ => Played::Foreign,
    });
}
