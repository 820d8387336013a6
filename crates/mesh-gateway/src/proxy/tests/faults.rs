//! Whose fault it is that a request was not answered, and what is done about a server's.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_breaks_off_is_nobodys_fault() {
    // It reads uploads to their end before it answers; asked for anything else it answers at once.
    let app = server(|asked, mut stream| async move {
        if asked.starts_with("POST") {
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            return;
        }
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await;
    let address = app.address;
    let running = running(&format!(
        "
http:
  routers: {{app: {{rule: 'Host(`app.test`)', service: app, middlewares: [breaker]}}}}
  middlewares:
    breaker: {{circuitBreaker: {{expression: 'NetworkErrorRatio() > 0.01 || ResponseCodeRatio(400, 600, 0, 600) > 0.01', checkPeriod: 1ms}}}}
  services:
    app: {{loadBalancer: {{passiveHealthCheck: {{maxFailedAttempts: 1, failureWindow: 60s}}, servers: [{{url: 'http://{address}'}}]}}}}
"
    ))
    .await;
    let garbled =
        "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n";
    for _ in 0..3 {
        let answer = ask(running.web, garbled).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        let mut stream = TcpStream::connect(running.web).await.expect("connected");
        let broken = "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 10\r\n\r\nhel";
        stream.write_all(broken.as_bytes()).await.expect("written");
        drop(stream);
        // The server sees to one connection at a time: it answers this one when the broken one has ended there.
        let answer = get(running.web, "app.test", "/").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_are_believed_before_a_length() {
    let app = server(|_, mut stream| async move {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
                      5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.expect("written");
    })
    .await;
    let running = running(&dynamic(app.address)).await;
    let answer = get(running.web, "app.test", "/").await;
    assert!(answer.contains("hello") && answer.contains(" world"), "{answer}");
    assert!(!answer.to_lowercase().contains("content-length"), "{answer}");
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_is_asked_again_where_a_kept_connection_had_ended() {
    // Each connection gets one answer; a second request ends it without one.
    let app = server(|_, mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.expect("written");
        head(&mut stream).await;
    })
    .await;
    let running = running(&dynamic(app.address)).await;
    for _ in 0..4 {
        let answer = get(running.web, "app.test", "/").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let order = "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let answer = ask(running.web, order).await;
    assert!(answer.starts_with("HTTP/1.1 502"), "what changes something is not sent twice: {answer}");
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_asked_as_a_whole_and_codings_are_not_passed_over() {
    let app = echo("app").await;
    let running = running(&dynamic(app.address)).await;
    let whole = "OPTIONS * HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n";
    let answer = ask(running.web, whole).await;
    assert!(answer.contains("app\nOPTIONS * HTTP/1.1"), "{answer}");
    let coded = "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: gzip, chunked\r\nConnection: close\r\n\r\n0\r\n\r\n";
    let answer = ask(running.web, coded).await;
    assert!(answer.starts_with("HTTP/1.1 501"), "{answer}");
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_goes_on_counting_over_a_new_configuration() {
    let (first, second) = (echo("first").await, echo("second").await);
    let config = |server: SocketAddr, average: u32| {
        format!(
            "
http:
  routers:
    app: {{rule: 'Host(`app.test`)', service: app, middlewares: [limit]}}
    free: {{rule: 'Host(`free.test`)', service: app}}
  middlewares: {{limit: {{rateLimit: {{average: {average}, period: 1h, burst: 1}}}}}}
  services: {{app: {{loadBalancer: {{servers: [{{url: 'http://{server}'}}]}}}}}}
"
        )
    };
    let running = running(&config(first.address, 1)).await;
    assert!(get(running.web, "app.test", "/").await.contains("first"));
    assert!(get(running.web, "app.test", "/").await.starts_with("HTTP/1.1 429"));
    write(running.folder.path(), &config(second.address, 1));
    servers::until(running.web, "free.test", |answer| answer.contains("second")).await;
    assert!(get(running.web, "app.test", "/").await.starts_with("HTTP/1.1 429"));
    write(running.folder.path(), &config(first.address, 2));
    servers::until(running.web, "free.test", |answer| answer.contains("first")).await;
    assert!(get(running.web, "app.test", "/").await.contains("first"), "another limit counts anew");
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_and_bodies_pass_that_are_larger_than_what_is_kept_of_them() {
    let size = 3 << 20;
    let app = server(move |asked, mut stream| async move {
        let (asked, field) = (asked.len(), "b".repeat(48 << 10));
        let head = format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nX-Asked: {asked}\r\nX-Large: {field}\r\nContent-Length: {size}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.expect("written");
        stream.write_all(&vec![b'c'; size]).await.expect("written");
    })
    .await;
    let running = running(&dynamic(app.address)).await;
    for (field, expected) in [(100 << 10, "200"), (200 << 10, "431")] {
        let field = "a".repeat(field);
        let request =
            format!("GET / HTTP/1.1\r\nHost: app.test\r\nX-A: {field}\r\nConnection: close\r\n\r\n");
        let answer = raw(running.web, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{}", &answer[..answer.len().min(99)]);
        assert!(expected != "200" || answer.len() > size + (48 << 10), "{}", answer.len());
    }
    running.gateway.stop().await;
}

/// The same as [`ask`], of a gateway that may not read all that it is sent.
async fn raw(address: SocketAddr, request: &str) -> String {
    let asked = async {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("an answer in time")
}
