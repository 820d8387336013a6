//! Traefik's tables of health checks, played.

use super::{
    Check, Checker, Health, Scheme, TcpCheck, TcpChecker, Transport,
    health::{Times, patience},
};
use crate::{
    config::{duration::Span, model},
    suite::{Case, Played, play},
};
use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::Arc,
    time::Duration,
};

fn config<T: serde::de::DeserializeOwned>(case: &Case) -> T {
    serde_json::from_value(case.fields["config"].clone()).expect("a configuration")
}

fn times(case: &Case, interval: Span, timeout: Span) -> Played {
    let name = |short: &str, long: &str| match case.text(short) {
        "" => case.text(long).to_owned(),
        text => text.to_owned(),
    };
    let expected = [name("expInterval", "expectedInterval"), name("expTimeout", "expectedTimeout")];
    let span = |text: &String| Span::parse(text).and_then(Span::get).unwrap_or_default();
    let found = [Times::new(interval, None).well, patience(timeout)];
    Played::compare(&[span(&expected[0]), span(&expected[1])], &found)
}

fn transport() -> Arc<Transport> {
    Arc::new(Transport::new(&model::ServersTransport::default()).expect("a transport"))
}

/// What the first question is.
fn question(case: &Case) -> Played {
    let config: model::HealthCheck = config(case);
    let check = match Check::new(&config) {
        Ok(_) if case.flag("expError") => return Played::Different("made, though it is none".to_owned()),
        Err(_) if case.flag("expError") => return Played::Same,
        Err(error) => return Played::Different(error.to_string()),
        Ok(check) => check,
    };
    let (scheme, host) = case.text("targetURL").split_once("://").expect("a URL");
    let scheme = Scheme::named(scheme).expect("a scheme");
    let authority = if host.contains(':') { host.to_owned() } else { format!("{host}:{}", scheme.port()) };
    let checker = Checker {
        service: "test".to_owned(),
        url: case.text("targetURL").to_owned(),
        scheme,
        authority,
        host: host.to_owned(),
        transport: transport(),
        check: Arc::new(check),
        health: Arc::default(),
    };
    let place = checker.place();
    let Some((method, path, headers)) = checker.check.asks() else {
        return Played::Different("nothing is asked by HTTP".to_owned());
    };
    // A port that nobody named is not written out.
    let named = if config.port == 0 { host } else { place.authority.as_str() };
    let custom = headers.get("custom-header").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let found = [
        method.to_string(),
        format!("{}://{named}{path}", place.scheme.name()),
        place.host.clone(),
        custom.to_owned(),
    ];
    let expected =
        ["expMethod", "expTarget", "expHostname", "expHeader"].map(|name| case.text(name).to_owned());
    Played::compare(&expected, &found)
}

fn tcp(check: TcpCheck, address: &str) -> TcpChecker {
    TcpChecker {
        service: "test".to_owned(),
        address: address.to_owned(),
        tls: false,
        transport: transport(),
        check: Arc::new(check),
        health: Arc::<Health>::default(),
    }
}

/// What is said to a server that answers as the row says.
fn talk(case: &Case) -> Played {
    let mut config: model::TcpHealthCheck = config(case);
    config.timeout = Span::seconds(2);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let answer = case.text("mockResponse").to_owned();
    let wanted = case.text("expectedSentData").len();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a deadline");
        let mut said = vec![0; wanted];
        let read = stream.read_exact(&mut said);
        // A client that has heard enough leaves.
        let _ = stream.write_all(answer.as_bytes());
        let mut more = Vec::new();
        let _ = stream.read_to_end(&mut more);
        read.map(|()| [said, more].concat()).unwrap_or_default()
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let found = runtime.block_on(tcp(TcpCheck::new(&config), &address).ask());
    drop(runtime);
    let said = String::from_utf8_lossy(&server.join().expect("no fault")).into_owned();
    let expected = (case.flag("expectedSuccess"), case.text("expectedSentData").to_owned());
    Played::compare(&expected, &(found.is_ok(), said))
}

/// Whether a server is believed that shows a certificate of these names, signed by an authority that is known.
fn believed(case: &Case) -> Played {
    let authority = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = params.self_signed(&authority).expect("a root");
    let issuer = rcgen::Issuer::new(params, authority);
    let mut params = rcgen::CertificateParams::new(case.texts("dns")).expect("names");
    let uris = case.texts("uris").into_iter().map(|uri| rcgen::SanType::URI(uri.try_into().expect("a URI")));
    params.subject_alt_names.extend(uris);
    let key = rcgen::KeyPair::generate().expect("a key");
    let leaf = params.signed_by(&key, &issuer).expect("a certificate");
    let transport = Transport::new(&model::ServersTransport {
        root_cas: vec![root.pem()],
        peer_cert_sans: serde_json::from_value(case.fields["sans"].clone()).expect("names"),
        ..model::ServersTransport::default()
    });
    let config = transport.expect("a transport").tls(false).expect("a configuration");
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let server = rustls::ServerConfig::builder_with_provider(mesh_tls::provider())
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![leaf.der().clone()], key));
    let mut server =
        rustls::ServerConnection::new(Arc::new(server.expect("a configuration"))).expect("a server");
    let name = "server.test".try_into().expect("a name");
    let mut client = rustls::ClientConnection::new(config, name).expect("a client");
    let mut refused = false;
    while client.is_handshaking() && !refused {
        let mut said = Vec::new();
        client.write_tls(&mut said).expect("memory");
        server.read_tls(&mut said.as_slice()).expect("memory");
        server.process_new_packets().expect("nothing of the server's is wrong");
        let mut said = Vec::new();
        server.write_tls(&mut said).expect("memory");
        client.read_tls(&mut said.as_slice()).expect("memory");
        refused = client.process_new_packets().is_err();
    }
    Played::compare(&case.flag("expErr"), &refused)
}

#[test]
fn servers_are_believed_as_with_traefik() {
    play("pkg/tls", &[], |case| match case.test.as_str() {
        "Test_VerifyPeerCertificate" if !case.flag("foreign") => believed(case),
        // Certificates that are shown to clients are played where those are kept.
        _ => Played::Foreign,
    });
}

#[test]
fn servers_are_asked_as_traefik_asks_them() {
    // A path that is no path is found out by the first question.
    let known = &["TestServiceHealthChecker_newRequest: path with invalid path"];
    play("pkg/healthcheck", known, |case| match case.test.as_str() {
        "TestServiceHealthChecker_newRequest" => question(case),
        "TestNewServiceHealthChecker_durations" => {
            let config: model::HealthCheck = config(case);
            times(case, config.interval, config.timeout)
        }
        "TestNewServiceTCPHealthChecker" => {
            let config: model::TcpHealthCheck = config(case);
            times(case, config.interval, config.timeout)
        }
        "TestServiceTCPHealthChecker_executeHealthCheck_connection" => {
            let checker = tcp(TcpCheck::new(&config(case)), case.text("address"));
            Played::compare(&case.text("expectedAddress").to_owned(), &checker.asked())
        }
        "TestServiceTCPHealthChecker_executeHealthCheck_payloadHandling" => talk(case),
        // Servers of the tests' own, which are functions.
        _ => Played::Foreign,
    });
}
