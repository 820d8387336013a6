//! TCP routers: who is announced to servers, which servers are well, and how many connections a client may have.

use super::{servers::body, *};
use crate::config::statics::Api;

/// A server that says a word first and gives back what it gets.
async fn greeting(word: &'static str) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut written) = stream.split();
                // Clients may break off.
                let _ = written.write_all(word.as_bytes()).await;
                let _ = tokio::io::copy(&mut read, &mut written).await;
            });
        }
    });
    Server { address, task }
}

/// What a client gets that says something and no more.
async fn said(address: SocketAddr, bytes: &[u8]) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        // Who may not is told by an end.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::time::timeout(PATIENCE, exchange).await.expect("in time")
}

fn all_to(service: &str, more: &str) -> String {
    format!(
        "tcp:\n  routers: {{all: {{rule: 'HostSNI(`*`)', service: s{more}}}}}\n  services: {{s: {service}}}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_are_told_whose_connection_it_is() {
    let server = greeting("").await;
    for (version, begins) in [
        (1, &b"PROXY TCP4 127.0.0.1 127.0.0.1 "[..]),
        (2, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01"),
    ] {
        let own = format!(
            "{{loadBalancer: {{proxyProtocol: {{version: {version}}}, servers: [{{address: '{}'}}]}}}}",
            server.address
        );
        let transport = format!(
            "{{loadBalancer: {{serversTransport: t, servers: [{{address: '{}'}}]}}}}",
            server.address
        );
        let transports = format!("  serversTransports: {{t: {{proxyProtocol: {{version: {version}}}}}}}\n");
        for dynamic in [all_to(&own, ""), all_to(&transport, "") + &transports] {
            let running = running(&dynamic).await;
            let answer = said(running.web, b"hello").await;
            assert!(
                answer.as_bytes().starts_with(begins) && answer.ends_with("hello"),
                "{version}: {answer:?}"
            );
            running.gateway.stop().await;
        }
    }
    let wrong = "{loadBalancer: {proxyProtocol: {version: 3}, servers: [{address: '127.0.0.1:1'}]}}";
    let running = running(&all_to(wrong, "")).await;
    let status = &running.gateway.snapshot().tcp_services["s@file"];
    assert_eq!(status.errors, ["unknown proxyProtocol version: 3"]);
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_do_not_say_what_is_expected_get_no_connections() {
    let (one, two) = (greeting("+OK").await, greeting("-NO").await);
    let service = format!(
        "{{loadBalancer: {{healthCheck: {{send: PING, expect: '+OKPING', interval: 20ms, timeout: 1s}},
    servers: [{{address: '{}'}}, {{address: '{}'}}]}}}}",
        one.address, two.address
    );
    let dynamic = all_to(&service, "");
    let api = Api { insecure: true, ..Api::default() };
    let running = running_as(&dynamic, |statics| statics.api = Some(api)).await;
    let told = async || {
        let told = get(running.at("traefik"), "x", "/api/tcp/services/s@file").await;
        serde_json::from_str::<serde_json::Value>(body(&told)).expect("JSON")
    };
    let until = async |server: SocketAddr, wanted: &str| {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let told = told().await;
            if told["serverStatus"][server.to_string()] == wanted {
                return told;
            }
            assert!(tokio::time::Instant::now() < deadline, "not in time: {told}");
        }
    };
    let told = until(two.address, "DOWN").await;
    assert_eq!(told["serverStatus"][one.address.to_string()], "UP", "{told}");
    let reason = told["serverReason"][two.address.to_string()].as_str().expect("a reason");
    assert!(reason.contains("something else than is expected"), "{told}");
    for _ in 0..4 {
        assert_eq!(said(running.web, b"hello").await, "+OKhello");
    }
    let gone = one.address;
    drop(one);
    let told = until(gone, "DOWN").await;
    let reason = told["serverReason"][gone.to_string()].as_str().expect("a reason");
    assert!(reason.contains("cannot be reached"), "{told}");
    assert_eq!(said(running.web, b"hello").await, "", "nobody is there");
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_has_so_many_connections_at_a_time() {
    let server = greeting("hello").await;
    let service = format!("{{loadBalancer: {{servers: [{{address: '{}'}}]}}}}", server.address);
    let dynamic =
        all_to(&service, ", middlewares: [few]") + "  middlewares: {few: {inFlightConn: {amount: 2}}}\n";
    let running = running(&dynamic).await;
    let greeted = async || {
        let mut stream = TcpStream::connect(running.web).await.expect("connected");
        let mut word = String::new();
        let mut letters = [0; 5];
        if let Ok(Ok(_)) = tokio::time::timeout(PATIENCE, stream.read_exact(&mut letters)).await {
            word.push_str(&String::from_utf8_lossy(&letters));
        }
        (stream, word)
    };
    let (first, second, third) = (greeted().await, greeted().await, greeted().await);
    assert_eq!([first.1, second.1, third.1], ["hello", "hello", ""]);
    drop(first.0);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while greeted().await.1 != "hello" {
        assert!(tokio::time::Instant::now() < deadline, "nobody gets the place that is free");
    }
    drop(second.0);
    running.gateway.stop().await;
}
