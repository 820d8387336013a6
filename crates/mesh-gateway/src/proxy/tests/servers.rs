//! Servers of all kinds: what they speak, which of them gets a request, and what becomes of one that fails.

use super::*;
use crate::config::statics::Api;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, StatusCode, body::Incoming, service::service_fn};
use hyper_util::server::conn::auto;
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicUsize, Ordering},
    },
};
use tokio_rustls::TlsAcceptor;

/// A server that tells what it was asked, and in which version; its status can be changed.
pub(super) struct Telling {
    pub(super) address: SocketAddr,
    pub(super) status: Arc<AtomicU16>,
    pub(super) connections: Arc<AtomicUsize>,
    pub(super) requests: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(super) async fn telling(name: &'static str, tls: Option<rustls::ServerConfig>) -> Telling {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (status, connections, requests) = (Arc::new(AtomicU16::new(200)), Arc::default(), Arc::default());
    let acceptor = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
    let (answers, seen, asked): (_, Arc<AtomicUsize>, Arc<AtomicUsize>) =
        (Arc::clone(&status), Arc::clone(&connections), Arc::clone(&requests));
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            seen.fetch_add(1, Ordering::Relaxed);
            let (answers, asked) = (answers.clone(), asked.clone());
            let service = service_fn(move |request| {
                asked.fetch_add(1, Ordering::Relaxed);
                told(name, request, answers.load(Ordering::Relaxed))
            });
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                // Clients may break off.
                let _ = match acceptor {
                    Some(acceptor) => match acceptor.accept(stream).await {
                        Ok(stream) => server.serve_connection(TokioIo::new(stream), service).await,
                        Err(_) => Ok(()),
                    },
                    None => server.serve_connection(TokioIo::new(stream), service).await,
                };
            });
        }
    });
    Telling { address, status, connections, requests, task }
}

async fn told(
    name: &'static str,
    request: Request<Incoming>,
    status: u16,
) -> Result<Response<Full<bytes::Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let host = head.headers.get("host").and_then(|host| host.to_str().ok()).map(str::to_owned);
    let host = host.or_else(|| head.uri.authority().map(ToString::to_string)).unwrap_or_default();
    let text = format!(
        "{name} {:?} {} host={host} path={} body={}",
        head.version,
        head.method,
        head.uri.path_and_query().map_or("", |path| path.as_str()),
        String::from_utf8_lossy(&body)
    );
    let mut answer = Response::new(Full::new(bytes::Bytes::from(text)));
    *answer.status_mut() = StatusCode::from_u16(status).expect("a status");
    Ok(answer)
}

/// A certificate for a name, its key, and a server's configuration with it.
pub(super) fn certificate(name: &str, protocols: &[&str]) -> (String, String, rustls::ServerConfig) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).expect("a certificate");
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let mut config = rustls::ServerConfig::builder_with_provider(mesh_tls::provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a configuration");
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    (made.cert.pem(), made.signing_key.serialize_pem(), config)
}

pub(super) fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

/// Asks until the answer is as wanted.
pub(super) async fn until(web: SocketAddr, host: &str, wanted: impl Fn(&str) -> bool) -> String {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let answer = get(web, host, "/").await;
        if wanted(&answer) {
            return answer;
        }
        assert!(tokio::time::Instant::now() < deadline, "not in time: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_are_spoken_to_as_their_schemes_say() {
    let (pem, _, both) = certificate("server.test", &["h2", "http/1.1"]);
    let (_, _, first) = certificate("other.test", &["http/1.1"]);
    let (plain, secure, old) = (
        telling("plain", None).await,
        telling("secure", Some(both)).await,
        telling("old", Some(first)).await,
    );
    let indented = pem.replace('\n', "\n        ");
    let running = running(&format!(
        "
http:
  routers:
    h2c: {{rule: 'Host(`h2c.test`)', service: h2c}}
    told: {{rule: 'Host(`told.test`)', service: told}}
    http1: {{rule: 'Host(`http1.test`)', service: http1}}
    unknown: {{rule: 'Host(`unknown.test`)', service: unknown}}
    anyone: {{rule: 'Host(`anyone.test`)', service: anyone}}
    wrong: {{rule: 'Host(`wrong.test`)', service: wrong}}
    own: {{rule: 'Host(`own.test`)', service: own}}
  services:
    h2c: {{loadBalancer: {{servers: [{{url: 'h2c://{plain}'}}]}}}}
    told: {{loadBalancer: {{serversTransport: told, servers: [{{url: 'https://{secure}'}}]}}}}
    http1: {{loadBalancer: {{serversTransport: first, servers: [{{url: 'https://{secure}'}}]}}}}
    unknown: {{loadBalancer: {{servers: [{{url: 'https://{secure}'}}]}}}}
    anyone: {{loadBalancer: {{serversTransport: anyone, servers: [{{url: 'https://{old}'}}]}}}}
    wrong: {{loadBalancer: {{serversTransport: anyone, servers: [{{url: 'https://{plain}'}}]}}}}
    own: {{loadBalancer: {{passHostHeader: false, servers: [{{url: 'http://{plain}/base', preservePath: true}}]}}}}
  serversTransports:
    anyone: {{insecureSkipVerify: true}}
    first: {{insecureSkipVerify: true, disableHTTP2: true}}
    told:
      serverName: server.test
      rootCAs:
      - |
        {indented}
",
        plain = plain.address,
        secure = secure.address,
        old = old.address,
    ))
    .await;
    let own = plain.address.to_string();
    for (host, status, expected) in [
        ("h2c.test", 200, "plain HTTP/2.0 GET host=h2c.test path=/a?b"),
        ("told.test", 200, "secure HTTP/2.0 GET host=told.test path=/a?b"),
        ("http1.test", 200, "secure HTTP/1.1 GET host=http1.test path=/a?b"),
        ("anyone.test", 200, "old HTTP/1.1 GET host=anyone.test path=/a?b"),
        ("own.test", 200, &format!("plain HTTP/1.1 GET host={own} path=/base/a?b")),
        ("unknown.test", 500, "Internal Server Error"),
        ("wrong.test", 500, "Internal Server Error"),
    ] {
        let answer = get(running.web, host, "/a?b").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{host}: {answer}");
        assert!(body(&answer).contains(expected), "{host}: {answer}");
    }
    for _ in 0..5 {
        get(running.web, "h2c.test", "/").await;
        get(running.web, "own.test", "/").await;
    }
    // One for HTTP/2, one for HTTP/1.1, and one that TLS was tried on.
    assert_eq!(plain.connections.load(Ordering::Relaxed), 3, "connections are kept");
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_may_ask_whom_it_serves() {
    let (client, key, _) = certificate("gateway.test", &[]);
    let folder = tempfile::tempdir().expect("a folder");
    let (certs, keys) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    fs::write(&certs, &client).expect("written");
    fs::write(&keys, key).expect("written");
    let made = rcgen::generate_simple_self_signed(vec!["server.test".to_owned()]).expect("a certificate");
    let private =
        rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let roots = {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(mesh_tls::certificates(&certs).expect("a certificate").remove(0)).expect("a root");
        Arc::new(roots)
    };
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(roots, mesh_tls::provider());
    let config = rustls::ServerConfig::builder_with_provider(mesh_tls::provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier.build().expect("a verifier"))
        .with_single_cert(vec![made.cert.der().clone()], private)
        .expect("a configuration");
    let strict = telling("strict", Some(config)).await;
    let running = running(&format!(
        "
http:
  routers:
    shown: {{rule: 'Host(`shown.test`)', service: shown}}
    unshown: {{rule: 'Host(`unshown.test`)', service: unshown}}
  services:
    shown: {{loadBalancer: {{serversTransport: shown, servers: [{{url: 'https://{strict}'}}]}}}}
    unshown: {{loadBalancer: {{serversTransport: unshown, servers: [{{url: 'https://{strict}'}}]}}}}
  serversTransports:
    unshown: {{insecureSkipVerify: true}}
    shown: {{insecureSkipVerify: true, certificates: [{{certFile: '{}', keyFile: '{}'}}]}}
",
        certs.display(),
        keys.display(),
        strict = strict.address,
    ))
    .await;
    let answer = get(running.web, "shown.test", "/").await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("strict"), "{answer}");
    let answer = get(running.web, "unshown.test", "/").await;
    assert!(answer.starts_with("HTTP/1.1 50"), "{answer}");
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_wrong_with_a_server_has_its_status() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let slow = silent.local_addr().expect("an address");
    let closing = server(|_, stream| async move { drop(stream) }).await;
    let nonsense = server(|_, mut stream| async move {
        let _ = stream.write_all(b"hello, this is no HTTP\r\n\r\n").await;
    })
    .await;
    let running = running(&format!(
        "
http:
  routers:
    slow: {{rule: 'Host(`slow.test`)', service: slow}}
    closing: {{rule: 'Host(`closing.test`)', service: closing}}
    nonsense: {{rule: 'Host(`nonsense.test`)', service: nonsense}}
    dead: {{rule: 'Host(`dead.test`)', service: dead}}
    nobody: {{rule: 'Host(`nobody.test`)', service: nobody}}
    none: {{rule: 'Host(`none.test`)', service: none}}
  services:
    slow: {{loadBalancer: {{serversTransport: short, servers: [{{url: 'http://{slow}'}}]}}}}
    closing: {{loadBalancer: {{servers: [{{url: 'http://{}'}}]}}}}
    nonsense: {{loadBalancer: {{servers: [{{url: 'http://{}'}}]}}}}
    dead: {{loadBalancer: {{servers: [{{url: 'http://127.0.0.1:1'}}]}}}}
    nobody: {{loadBalancer: {{servers: [{{url: 'http://nobody.invalid'}}]}}}}
    none: {{loadBalancer: {{servers: []}}}}
  serversTransports: {{short: {{forwardingTimeouts: {{responseHeaderTimeout: 100ms}}}}}}
",
        closing.address, nonsense.address,
    ))
    .await;
    for (host, expected) in [
        ("slow.test", "504 Gateway Timeout"),
        ("closing.test", "502 Bad Gateway"),
        ("nonsense.test", "502 Bad Gateway"),
        ("dead.test", "502 Bad Gateway"),
        ("nobody.test", "502 Bad Gateway"),
        ("none.test", "503 Service Unavailable"),
    ] {
        let answer = get(running.web, host, "/").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{host}: {answer}");
    }
    assert!(get(running.web, "none.test", "/").await.ends_with("no available server\n"));
    // A request whose body comes slowly is not late: the server's time begins with its end.
    let slow_body = async {
        let mut stream = TcpStream::connect(running.web).await.expect("connected");
        let head = "POST / HTTP/1.1\r\nHost: slow.test\r\nContent-Length: 4\r\nConnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).await.expect("written");
        for byte in [b"a", b"b", b"c", b"d"] {
            tokio::time::sleep(Duration::from_millis(60)).await;
            stream.write_all(byte).await.expect("written");
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("read");
        assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
    };
    tokio::time::timeout(PATIENCE, slow_body).await.expect("in time");
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_stay_with_their_server_by_a_cookie() {
    let (one, two) = (telling("one", None).await, telling("two", None).await);
    let running = running(&format!(
        "
http:
  routers:
    app: {{rule: 'Host(`app.test`)', service: app}}
    split: {{rule: 'Host(`split.test`)', service: split}}
  services:
    app: {{loadBalancer: {{sticky: {{cookie: {{name: stay, httpOnly: true, sameSite: strict}}}},
      servers: [{{url: 'http://{one}'}}, {{url: 'http://{two}'}}]}}}}
    one: {{loadBalancer: {{servers: [{{url: 'http://{one}'}}]}}}}
    two: {{loadBalancer: {{servers: [{{url: 'http://{two}'}}]}}}}
    split: {{weighted: {{sticky: {{cookie: {{name: half}}}}, services: [{{name: one}}, {{name: two, weight: 1}}]}}}}
",
        one = one.address,
        two = two.address,
    ))
    .await;
    for (host, name) in [("app.test", "stay"), ("split.test", "half")] {
        let first = get(running.web, host, "/").await;
        let line =
            first.lines().find(|line| line.to_lowercase().starts_with("set-cookie:")).expect("a cookie");
        let cookie = line.split_once(": ").expect("a value").1;
        assert!(cookie.starts_with(&format!("{name}=")) && cookie.contains("; Path=/"), "{cookie}");
        assert_eq!(cookie.ends_with("; HttpOnly; SameSite=Strict"), name == "stay", "{cookie}");
        let pair = cookie.split(';').next().expect("a pair");
        for _ in 0..4 {
            let request =
                format!("GET / HTTP/1.1\r\nHost: {host}\r\nCookie: {pair}\r\nConnection: close\r\n\r\n");
            let next = ask(running.web, &request).await;
            assert_eq!(body(&next).split(' ').next(), body(&first).split(' ').next());
            assert!(!next.to_lowercase().contains("set-cookie"));
        }
    }
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_are_not_well_get_no_requests() {
    let (one, two) = (telling("one", None).await, telling("two", None).await);
    let dynamic = format!(
        "
http:
  routers:
    app: {{rule: 'Host(`app.test`)', service: app}}
    over: {{rule: 'Host(`over.test`)', service: over}}
    passive: {{rule: 'Host(`passive.test`)', service: passive}}
  services:
    app: {{loadBalancer: {{healthCheck: {{path: /health, interval: 20ms, timeout: 1s, headers: {{X-Who: gateway}}}},
      servers: [{{url: 'http://{one}'}}, {{url: 'http://{two}'}}]}}}}
    main: {{loadBalancer: {{healthCheck: {{path: /, interval: 20ms}}, servers: [{{url: 'http://{one}'}}]}}}}
    spare: {{loadBalancer: {{servers: [{{url: 'http://{two}'}}]}}}}
    over: {{failover: {{service: main, fallback: spare}}}}
    passive: {{loadBalancer: {{passiveHealthCheck: {{failureWindow: 60s, maxFailedAttempts: 2}},
      servers: [{{url: 'http://{one}'}}]}}}}
",
        one = one.address,
        two = two.address,
    );
    let api = Api { insecure: true, ..Api::default() };
    let running = running_as(&dynamic, |statics| statics.api = Some(api)).await;
    until(running.web, "over.test", |answer| body(answer).starts_with("one")).await;
    one.status.store(503, Ordering::Relaxed);
    until(running.web, "over.test", |answer| body(answer).starts_with("two")).await;
    let known = |url: &str| {
        let servers = running.gateway.snapshot().servers();
        servers["app@file"].iter().find(|server| server.url.ends_with(url)).cloned().expect("a server")
    };
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while known(&one.address.to_string()).up {
        assert!(tokio::time::Instant::now() < deadline, "it is asked");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let down = known(&one.address.to_string());
    assert_eq!(down.reason.as_deref(), Some("received error status code: 503"));
    for _ in 0..6 {
        assert!(body(&get(running.web, "app.test", "/").await).starts_with("two"));
    }
    two.status.store(500, Ordering::Relaxed);
    let answer = until(running.web, "app.test", |answer| answer.starts_with("HTTP/1.1 503")).await;
    assert!(answer.ends_with("no available server\n"), "{answer}");
    let told = get(running.at("traefik"), "x", "/api/http/services/app@file").await;
    let told: serde_json::Value = serde_json::from_str(body(&told)).expect("JSON");
    for (server, reason) in [(&one, "503"), (&two, "500")] {
        let url = format!("http://{}", server.address);
        assert_eq!(told["serverStatus"][&url], "DOWN", "{told}");
        assert_eq!(told["serverReason"][&url], format!("received error status code: {reason}"));
    }
    one.status.store(200, Ordering::Relaxed);
    until(running.web, "app.test", |answer| body(answer).starts_with("one")).await;

    one.status.store(500, Ordering::Relaxed);
    let statuses = [
        get(running.web, "passive.test", "/").await,
        get(running.web, "passive.test", "/").await,
        get(running.web, "passive.test", "/").await,
    ];
    assert_eq!(statuses.map(|answer| answer[9..12].to_owned()), ["500", "500", "503"]);
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_and_other_services_get_requests() {
    let (one, two) = (telling("one", None).await, telling("two", None).await);
    let running = running(&format!(
        "
http:
  routers:
    copied: {{rule: 'Host(`copied.test`)', service: copied}}
    errors: {{rule: 'Host(`errors.test`)', service: errors}}
    hashed: {{rule: 'Host(`hashed.test`)', service: hashed}}
  services:
    one: {{loadBalancer: {{servers: [{{url: 'http://{one}'}}]}}}}
    two: {{loadBalancer: {{servers: [{{url: 'http://{two}'}}]}}}}
    copied: {{mirroring: {{service: one, mirrors: [{{name: two, percent: 50}}]}}}}
    errors: {{failover: {{service: one, fallback: two, errors: {{status: ['500-599'], maxRequestBodyBytes: 8}}}}}}
    hashed: {{highestRandomWeight: {{services: [{{name: one, weight: 1}}, {{name: two, weight: 1}}]}}}}
",
        one = one.address,
        two = two.address,
    ))
    .await;
    let post = |host: &str, text: &str| {
        format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
            text.len()
        )
    };
    for _ in 0..4 {
        let answer = ask(running.web, &post("copied.test", "hello")).await;
        assert!(body(&answer).starts_with("one") && answer.ends_with("body=hello"), "{answer}");
    }
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while two.requests.load(Ordering::Relaxed) < 2 {
        assert!(tokio::time::Instant::now() < deadline, "copies are sent");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let first = get(running.web, "hashed.test", "/").await;
    for _ in 0..5 {
        assert_eq!(body(&get(running.web, "hashed.test", "/").await), body(&first));
    }
    assert!(body(&ask(running.web, &post("errors.test", "hello")).await).starts_with("one"));
    one.status.store(502, Ordering::Relaxed);
    let answer = ask(running.web, &post("errors.test", "hello")).await;
    assert!(body(&answer).starts_with("two") && answer.ends_with("body=hello"), "{answer}");
    let answer = ask(running.web, &post("errors.test", "more than that")).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    running.gateway.stop().await;
}
