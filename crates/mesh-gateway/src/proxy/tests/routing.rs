//! Traefik's table of who gets a connection where routers of HTTP, of TCP and of TLS share an entry point, played.
//!
//! Where its tests tell options apart by TLS 1.0, which is not spoken here, 1.3 takes that place.

use super::*;
use crate::suite::{Case, Played, play};
use rustls::{
    ProtocolVersion,
    version::{TLS12, TLS13},
};
use std::sync::Arc;

/// What a server of TCP says to whoever speaks first, and to whoever waits.
const ANSWER: &str = "TCP-CLIENT-FIRST";
const GREETING: &str = "TCP-SERVER-FIRST";
/// How long a client is waited for before it is greeted, and how long it waits itself.
const SILENCE: Duration = Duration::from_millis(100);
const CLIENT_PATIENCE: Duration = Duration::from_millis(700);

/// The routers of the test, by the names of its functions: of HTTP or of TCP, and what they are.
const ROUTERS: &[(&str, &str, &str)] = &[
    ("routerTCPCatchAll", "tcp", "rule: 'HostSNI(`*`)'"),
    ("routerHTTP", "http", "rule: 'Host(`foo.bar`)'"),
    ("routerTCPTLSCatchAll", "tcp", "rule: 'HostSNI(`*`)', tls: {options: older}"),
    ("routerTCPTLS", "tcp", "rule: 'HostSNI(`foo.bar`)', tls: {options: tls12}"),
    ("routerHTTPSPathPrefix", "http", "rule: 'PathPrefix(`/`)', tls: {options: older}"),
    ("routerHTTPS", "http", "rule: 'Host(`foo.bar`)', tls: {options: tls12}"),
];

/// A server that answers, or greets whoever is silent.
async fn either() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut said = [0; 100];
                let word = match tokio::time::timeout(SILENCE, stream.read(&mut said)).await {
                    Ok(_) => ANSWER,
                    Err(_) => GREETING,
                };
                // Clients may break off.
                let _ = stream.write_all(word.as_bytes()).await;
            });
        }
    });
    Server { address, task }
}

fn configuration(case: &Case, server: SocketAddr) -> String {
    let routers = |kind: &str| {
        let named = case.texts("routers");
        let found = ROUTERS.iter().filter(|(name, of, _)| *of == kind && named.iter().any(|one| one == name));
        let lines: Vec<_> = found.map(|(name, _, what)| format!("{name}: {{{what}, service: s}}")).collect();
        lines.join(", ")
    };
    format!(
        "
http:
  routers: {{{}}}
  services: {{s: {{loadBalancer: {{servers: [{{url: 'http://{server}'}}]}}}}}}
tcp:
  routers: {{{}}}
  services: {{s: {{loadBalancer: {{servers: [{{address: '{server}'}}]}}}}}}
tls:
  options:
    default: {{minVersion: VersionTLS13}}
    older: {{minVersion: VersionTLS13}}
    tls12: {{maxVersion: VersionTLS12}}
",
        routers("http"),
        routers("tcp")
    )
}

/// What comes until the end, or until the client has waited enough.
async fn heard(mut stream: impl tokio::io::AsyncRead + Unpin) -> String {
    let mut text = Vec::new();
    let reading = async {
        let mut part = [0; 1024];
        while let Ok(read @ 1..) = stream.read(&mut part).await {
            text.extend_from_slice(&part[..read]);
        }
    };
    let _ = tokio::time::timeout(CLIENT_PATIENCE, reading).await;
    String::from_utf8_lossy(&text).into_owned()
}

/// Whether a client gets what it is for: a request of HTTP any answer of HTTP, others the server's words.
async fn reached(check: &str, web: SocketAddr) -> Result<(), String> {
    let request: &[u8] = match check {
        "checkTCPServerFirst" => b"",
        name if name.starts_with("checkHTTP") => {
            b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        }
        _ => b"HELLO",
    };
    let expected = match check {
        "checkTCPServerFirst" => GREETING,
        name if name.starts_with("checkHTTP") => "HTTP/1.1 ",
        _ => ANSWER,
    };
    let mut stream = TcpStream::connect(web).await.expect("connected");
    let version = match check.rsplit_once("TLS") {
        Some((_, "10")) => Some(ProtocolVersion::TLSv1_3),
        Some((_, "12")) => Some(ProtocolVersion::TLSv1_2),
        _ => None,
    };
    let text = if let Some(version) = version {
        let trust = mesh_tls::Client::trusting(mesh_tls::Trust::Insecure);
        let config =
            trust.config_speaking(&mesh_tls::provider(), &[&TLS12, &TLS13]).expect("a configuration");
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let name = "foo.bar".try_into().expect("a name");
        let mut stream = connector.connect(name, stream).await.map_err(|error| error.to_string())?;
        let found = stream.get_ref().1.protocol_version();
        if found != Some(version) {
            return Err(format!("{found:?} is spoken"));
        }
        stream.write_all(request).await.map_err(|error| error.to_string())?;
        heard(stream).await
    } else {
        stream.write_all(request).await.map_err(|error| error.to_string())?;
        heard(stream).await
    };
    if text.starts_with(expected) { Ok(()) } else { Err(format!("{text:?} was said")) }
}

fn routed(case: &Case) -> Played {
    let checks: Vec<_> = case
        .items("checks")
        .iter()
        // Certificates by ACME are not there.
        .filter(|check| check["check"] != "checkACMETLS")
        .map(|check| {
            let of = |field: &str| check[field].as_str().unwrap_or_default().to_owned();
            (of("desc"), of("check"), of("error"))
        })
        .collect();
    if checks.is_empty() {
        return Played::Foreign;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let wrong = runtime.expect("a runtime").block_on(async {
        let server = either().await;
        let running = running(&configuration(case, server.address)).await;
        let mut wrong = Vec::new();
        for (what, check, error) in checks {
            let found = reached(&check, running.web).await;
            if found.is_err() == error.is_empty() {
                wrong.push((what, error, found));
            }
        }
        running.gateway.stop().await;
        wrong
    });
    if wrong.is_empty() { Played::Same } else { Played::Different(format!("{wrong:?}")) }
}

#[test]
fn connections_go_where_they_go_with_traefik() {
    play("pkg/server/router/tcp", &[], routed);
}
