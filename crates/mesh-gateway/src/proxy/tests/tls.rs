//! TLS with clients by options, what goes through it, and streams of HTTP/2.

use super::{
    servers::{certificate, telling},
    *,
};
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use hyper::{Method, Request, Response, StatusCode, body::Frame, service::service_fn};
use rustls::{
    ClientConfig,
    pki_types::{PrivateKeyDer, pem::PemObject as _},
    version::{TLS12, TLS13},
};
use std::{convert::Infallible, sync::Arc};

/// Agrees on TLS as `change` has it, with whoever answers.
pub(super) async fn agreed(
    address: SocketAddr,
    name: &str,
    versions: &[&'static rustls::SupportedProtocolVersion],
    change: impl FnOnce(&mut ClientConfig),
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, std::io::Error> {
    let trust = mesh_tls::Client::trusting(mesh_tls::Trust::Insecure);
    let mut config = trust.config_speaking(&mesh_tls::provider(), versions).expect("a configuration");
    change(&mut config);
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(address).await.expect("connected");
    connector.connect(name.to_owned().try_into().expect("a name"), stream).await
}

/// What is answered; the error of a connection that ended instead.
async fn asked(
    stream: Result<tokio_rustls::client::TlsStream<TcpStream>, std::io::Error>,
    host: &str,
) -> Result<String, std::io::Error> {
    let mut stream = stream?;
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_have_options_of_their_own() {
    let app = telling("app", None).await;
    let (client, key, _) = certificate("client.test", &[]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("client.pem");
    fs::write(&file, &client).expect("written");
    let (shown, private, _) = certificate("strict.test", &[]);
    let (shown_file, private_file) = (folder.path().join("s.pem"), folder.path().join("s.key"));
    fs::write(&shown_file, shown).expect("written");
    fs::write(&private_file, private).expect("written");
    let running = running(&format!(
        "
http:
  routers:
    new: {{rule: 'Host(`new.test`)', service: app, tls: {{options: new}}}}
    old: {{rule: 'Host(`old.test`)', service: app, tls: {{options: old}}}}
    mutual: {{rule: 'Host(`mutual.test`)', service: app, tls: {{options: mutual}}, middlewares: [cert]}}
    strict: {{rule: 'Host(`strict.test`) || Host(`stricter.test`)', service: app, tls: {{options: strict}}}}
    plain: {{rule: 'Host(`plain.test`)', service: app, tls: {{}}}}
    broken: {{rule: 'Host(`broken.test`)', service: app, tls: {{options: broken}}}}
    one: {{rule: 'Host(`both.test`) && PathPrefix(`/a`)', service: app, tls: {{options: new}}}}
    two: {{rule: 'Host(`both.test`)', service: app, tls: {{options: old}}}}
    lost: {{rule: 'Host(`lost.test`)', service: app, tls: {{options: nobody}}}}
  middlewares: {{cert: {{passTLSClientCert: {{info: {{sans: true}}}}}}}}
  services: {{app: {{loadBalancer: {{servers: [{{url: 'http://{}'}}]}}}}}}
tls:
  certificates: [{{certFile: '{}', keyFile: '{}'}}]
  options:
    new: {{minVersion: VersionTLS13}}
    old: {{maxVersion: VersionTLS12, cipherSuites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256], alpnProtocols: [http/1.1]}}
    mutual: {{clientAuth: {{caFiles: ['{}'], clientAuthType: RequireAndVerifyClientCert}}}}
    strict: {{sniStrict: true}}
    broken: {{minVersion: nonsense}}
",
        app.address,
        shown_file.display(),
        private_file.display(),
        file.display(),
    ))
    .await;
    let web = running.web;
    let both = &[&TLS12, &TLS13][..];
    for (name, versions, host, expected) in [
        ("new.test", both, "new.test", Some("200")),
        ("new.test", &[&TLS12], "new.test", None),
        ("old.test", both, "old.test", Some("200")),
        ("old.test", &[&TLS13], "old.test", None),
        ("plain.test", both, "plain.test", Some("200")),
        ("plain.test", both, "mutual.test", Some("421")),
        ("plain.test", both, "new.test", Some("421")),
        ("mutual.test", both, "mutual.test", None),
        ("strict.test", both, "strict.test", Some("200")),
        ("stricter.test", both, "stricter.test", None),
        ("broken.test", both, "broken.test", None),
        ("both.test", both, "both.test", Some("200")),
        ("lost.test", both, "lost.test", None),
    ] {
        let answer = asked(agreed(web, name, versions, |_| {}).await, host).await;
        match expected {
            Some(status) => {
                let answer = answer.unwrap_or_else(|error| panic!("{name} {host}: {error}"));
                assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{name} {host}: {answer}");
            }
            None => assert!(answer.is_err(), "{name}: {answer:?}"),
        }
    }
    let stream =
        agreed(web, "old.test", both, |config| config.alpn_protocols = vec![b"http/1.1".to_vec()]).await;
    let (_, session) = stream.as_ref().expect("TLS").get_ref();
    assert_eq!(
        session.negotiated_cipher_suite().map(|suite| suite.suite()),
        Some(rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)
    );
    let stream = agreed(web, "mutual.test", both, |config| {
        let chain = mesh_tls::certificates(&file).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
        let shown = rustls::sign::CertifiedKey::from_der(chain, key, &mesh_tls::provider()).expect("a pair");
        config.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(shown));
    })
    .await;
    let answer = asked(stream, "mutual.test").await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let statuses = running.gateway.snapshot();
    for (name, error) in [("lost@file", "unknown TLS options: nobody@file"), ("one@file", "conflicting")] {
        assert!(statuses.routers[name].errors.concat().contains(error), "{:?}", statuses.routers[name]);
    }
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tcp_servers_are_spoken_to_by_tls() {
    let (pem, _, config) = certificate("db.test", &[]);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = tokio::spawn(async move {
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let (stream, _) = listener.accept().await.expect("a client");
        let mut stream = acceptor.accept(stream).await.expect("TLS");
        stream.write_all(b"hello").await.expect("written");
        stream.shutdown().await.expect("ended");
    });
    let indented = pem.replace('\n', "\n          ");
    let running = running(&format!(
        "
tcp:
  routers: {{db: {{rule: 'HostSNI(`*`)', service: db}}}}
  services: {{db: {{loadBalancer: {{serversTransport: t, servers: [{{address: '{address}', tls: true}}]}}}}}}
  serversTransports:
    t:
      tls:
        serverName: db.test
        rootCAs:
        - |
          {indented}
"
    ))
    .await;
    let asked = async {
        let mut stream = TcpStream::connect(running.web).await.expect("connected");
        let mut said = String::new();
        stream.read_to_string(&mut said).await.expect("read");
        assert_eq!(said, "hello");
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("in time");
    server.await.expect("served");
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn web_sockets_go_through_streams_of_http2() {
    let app = server(|asked, mut stream| async move {
        let lower = asked.to_lowercase();
        assert!(lower.starts_with("get /chat http/1.1") && lower.contains("upgrade: websocket"), "{asked}");
        assert!(
            lower.contains("sec-websocket-key: ") && lower.contains("x-forwarded-proto: ws\r"),
            "{asked}"
        );
        let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.expect("written");
        let mut said = [0; 4];
        stream.read_exact(&mut said).await.expect("read");
        said.reverse();
        stream.write_all(&said).await.expect("written");
    })
    .await;
    let running = running(&dynamic(app.address)).await;
    let exchange = async {
        let stream = TokioIo::new(TcpStream::connect(running.web).await.expect("connected"));
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.expect("HTTP/2");
        let connection = tokio::spawn(connection);
        // The server's settings say that it may be asked; they have come with the first answer.
        let first =
            Request::get("http://other.test/none").body(Empty::<bytes::Bytes>::new()).expect("a request");
        let _ = sender.send_request(first).await;
        let mut request = Request::connect("http://ws.test/chat").body(Empty::new()).expect("a request");
        request.extensions_mut().insert(hyper::ext::Protocol::from_static("websocket"));
        let mut answer = sender.send_request(request).await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["sec-websocket-protocol"], "chat");
        assert!(!answer.headers().contains_key("sec-websocket-accept"));
        let mut stream = TokioIo::new(hyper::upgrade::on(&mut answer).await.expect("a stream"));
        stream.write_all(b"abcd").await.expect("written");
        let mut said = [0; 4];
        stream.read_exact(&mut said).await.expect("read");
        assert_eq!(&said, b"dcba");
        // Anything else that is asked for so is refused.
        let mut request = Request::connect("http://ws.test/chat").body(Empty::new()).expect("a request");
        request.extensions_mut().insert(hyper::ext::Protocol::from_static("connect-udp"));
        assert_eq!(sender.send_request(request).await.expect("an answer").status(), StatusCode::BAD_REQUEST);
        connection.abort();
    };
    tokio::time::timeout(PATIENCE, exchange).await.expect("in time");
    running.gateway.stop().await;
}

/// A server of HTTP/2 whose answers end with trailers, as those of gRPC do.
async fn grpc() -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let service = service_fn(|request: Request<hyper::body::Incoming>| async move {
                    assert_eq!(request.headers()["te"], "trailers");
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.expect("a body").to_bytes();
                    let mut trailers = hyper::HeaderMap::new();
                    let health = head.uri.path() == "/grpc.health.v1.Health/Check";
                    trailers.insert("grpc-status", "0".parse().expect("a value"));
                    let said = if health { bytes::Bytes::from_static(&[0, 0, 0, 0, 2, 8, 1]) } else { body };
                    let frames = [Frame::data(said), Frame::trailers(trailers)].map(Ok::<_, Infallible>);
                    let body = StreamBody::new(futures_util::stream::iter(frames));
                    let answer = Response::builder().header("content-type", "application/grpc").body(body);
                    Ok::<_, Infallible>(answer.expect("an answer"))
                });
                let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                // Clients may break off.
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (address, task)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_keeps_its_trailers_and_pages_may_speak_it() {
    let (address, task) = grpc().await;
    let running = running(&format!(
        "
http:
  routers:
    app: {{rule: 'Host(`app.test`)', service: app}}
    web: {{rule: 'Host(`web.test`)', service: app, middlewares: [web]}}
  middlewares: {{web: {{grpcWeb: {{allowOrigins: ['*']}}}}}}
  services:
    app: {{loadBalancer: {{healthCheck: {{mode: grpc, interval: 20ms}}, servers: [{{url: 'h2c://{address}'}}]}}}}
"
    ))
    .await;
    let exchange = async {
        let stream = TokioIo::new(TcpStream::connect(running.web).await.expect("connected"));
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.expect("HTTP/2");
        let connection = tokio::spawn(connection);
        for _ in 0..20 {
            let request = Request::builder()
                .method(Method::POST)
                .uri("http://app.test/a.B/C")
                .header("te", "trailers")
                .header("content-type", "application/grpc")
                .body(Full::new(bytes::Bytes::from_static(b"\0\0\0\0\x02ab")))
                .expect("a request");
            let answer = sender.send_request(request).await.expect("an answer");
            let answer = answer.into_body().collect().await.expect("a body");
            assert_eq!(answer.trailers().expect("trailers")["grpc-status"], "0");
            assert_eq!(answer.to_bytes(), &b"\0\0\0\0\x02ab"[..]);
        }
        connection.abort();
    };
    tokio::time::timeout(PATIENCE, exchange).await.expect("in time");
    let request = "POST /a.B/C HTTP/1.1\r\nHost: web.test\r\nOrigin: https://page.test\r\nContent-Length: 12\r\n\
                   Content-Type: application/grpc-web-text\r\nConnection: close\r\n\r\nAAAAAAJhYg==";
    let answer = ask(running.web, request).await;
    let lower = answer.to_lowercase();
    assert!(lower.contains("content-type: application/grpc-web-text\r"), "{answer}");
    assert!(lower.contains("access-control-allow-origin: https://page.test"), "{answer}");
    // The message, and then the trailers as one more.
    assert!(answer.contains("AAAAAAJhYg==") && answer.contains("gAAAABBncnBjLXN0YXR1czogMA0K"), "{answer}");
    assert!(running.gateway.snapshot().servers()["app@file"][0].up);
    running.gateway.stop().await;
    task.abort();
}
