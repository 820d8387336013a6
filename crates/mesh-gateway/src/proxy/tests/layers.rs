//! Layers around the rest of a request's way.

use super::{
    servers::{telling, until},
    *,
};
use std::sync::atomic::Ordering;

async fn through(middlewares: &str, server: SocketAddr) -> Running {
    running(&format!(
        "
http:
  routers: {{app: {{rule: 'Host(`app.test`)', service: app, middlewares: [m]}}}}
  middlewares: {{{middlewares}}}
  services:
    app: {{loadBalancer: {{servers: [{{url: 'http://{server}'}}]}}}}
"
    ))
    .await
}

fn post(text: &str, more: &str) -> String {
    format!(
        "POST /a HTTP/1.1\r\nHost: app.test\r\nContent-Length: {}\r\n{more}Connection: close\r\n\r\n{text}",
        text.len()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_with_bodies_are_sent_again() {
    let app = telling("app", None).await;
    let running = through(
        "m: {retry: {attempts: 3, status: ['503'], maxRequestBodyBytes: 10, retryNonIdempotentMethod: true}}",
        app.address,
    )
    .await;
    app.status.store(503, Ordering::Relaxed);
    let answer = ask(running.web, &post("hello", "")).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.ends_with("body=hello"), "{answer}");
    assert_eq!(app.requests.swap(0, Ordering::Relaxed), 3);
    let answer = ask(running.web, &post("hello, hello", "")).await;
    assert!(answer.ends_with("body=hello, hello"), "{answer}");
    assert_eq!(app.requests.load(Ordering::Relaxed), 1, "what is larger goes on as it comes");
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_did_not_reach_a_server_is_sent_again_with_its_body() {
    let app = telling("app", None).await;
    let running = running(&format!(
        "
http:
  routers: {{app: {{rule: 'Host(`app.test`)', service: app, middlewares: [m]}}}}
  middlewares: {{m: {{retry: {{attempts: 2}}}}}}
  services:
    app: {{loadBalancer: {{servers: [{{url: 'http://127.0.0.1:1'}}, {{url: 'http://{}'}}]}}}}
",
        app.address
    ))
    .await;
    for _ in 0..4 {
        let answer = ask(running.web, &post("hello", "")).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("body=hello"), "{answer}");
    }
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_are_bounded_where_that_is_asked() {
    let app = telling("app", None).await;
    let running = through(
        "m: {buffering: {maxRequestBodyBytes: 200000, memRequestBodyBytes: 100, maxResponseBodyBytes: 250000, \
         retryExpression: 'ResponseCode() == 500 && Attempts() < 3'}}",
        app.address,
    )
    .await;
    let large = "x".repeat(150_000);
    let answer = ask(running.web, &post(&large, "")).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(&large), "{}", &answer[..200]);
    let chunked = "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
                   5\r\nhello\r\n0\r\n\r\n";
    assert!(ask(running.web, chunked).await.ends_with("body=hello"));
    let answer = ask(running.web, &post(&"x".repeat(200_001), "")).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    app.requests.store(0, Ordering::Relaxed);
    app.status.store(500, Ordering::Relaxed);
    assert!(ask(running.web, &post("hello", "")).await.ends_with("body=hello"));
    assert_eq!(app.requests.load(Ordering::Relaxed), 3);
    running.gateway.stop().await;
    let small = through("m: {buffering: {maxResponseBodyBytes: 10}}", app.address).await;
    assert!(get(small.web, "app.test", "/").await.starts_with("HTTP/1.1 500"));
    small.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_fails_is_left_alone() {
    let app = telling("app", None).await;
    let running = through(
        "m: {circuitBreaker: {expression: 'ResponseCodeRatio(500, 600, 0, 600) > 0.5', checkPeriod: 1ms, \
         fallbackDuration: 200ms, recoveryDuration: 100ms, responseCode: 418}}",
        app.address,
    )
    .await;
    assert!(get(running.web, "app.test", "/").await.starts_with("HTTP/1.1 200"));
    app.status.store(500, Ordering::Relaxed);
    until(running.web, "app.test", |answer| answer.starts_with("HTTP/1.1 418")).await;
    app.status.store(200, Ordering::Relaxed);
    until(running.web, "app.test", |answer| answer.starts_with("HTTP/1.1 200")).await;
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_have_pages_of_their_own() {
    let (app, pages) = (telling("app", None).await, telling("pages", None).await);
    let running = running(&format!(
        "
http:
  routers:
    app: {{rule: 'Host(`app.test`)', service: app, middlewares: [m]}}
    dead: {{rule: 'Host(`dead.test`)', service: dead, middlewares: [m]}}
  middlewares:
    m: {{errors: {{status: ['500-599'], service: pages, query: '/{{status}}.html', statusRewrites: {{'503': 500}}}}}}
  services:
    app: {{loadBalancer: {{servers: [{{url: 'http://{}'}}]}}}}
    pages: {{loadBalancer: {{servers: [{{url: 'http://{}'}}]}}}}
    dead: {{loadBalancer: {{servers: [{{url: 'http://127.0.0.1:1'}}]}}}}
",
        app.address, pages.address
    ))
    .await;
    assert!(ask(running.web, &post("hello", "")).await.contains("app HTTP/1.1 POST"));
    for (status, shown) in [(500, 500), (503, 500), (504, 504)] {
        app.status.store(status, Ordering::Relaxed);
        let answer = ask(running.web, &post("hello", "")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {shown} ")), "{answer}");
        assert!(
            answer.ends_with(&format!("pages HTTP/1.1 GET host=app.test path=/{shown}.html body=")),
            "{answer}"
        );
    }
    let answer = get(running.web, "dead.test", "/").await;
    assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("path=/502.html"), "{answer}");
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_made_smaller_and_streams_are_not_held_back() {
    let app = server(|asked, mut stream| async move {
        if asked.starts_with("GET /stream") {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nfirst\n\r\n";
            stream.write_all(head.as_bytes()).await.expect("written");
            // Until the client has gone.
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            return;
        }
        let text = "again and again ".repeat(1_000);
        let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", text.len());
        stream.write_all((head + &text).as_bytes()).await.expect("written");
    })
    .await;
    let running = through("m: {compress: {}}", app.address).await;
    for encoding in ["gzip", "br", "zstd"] {
        let request = format!(
            "GET / HTTP/1.1\r\nHost: app.test\r\nAccept-Encoding: {encoding}\r\nConnection: close\r\n\r\n"
        );
        let lower = ask(running.web, &request).await.to_lowercase();
        assert!(lower.contains(&format!("content-encoding: {encoding}\r")), "{lower}");
        assert!(lower.contains("vary: accept-encoding") && lower.len() < 1_000, "{}", lower.len());
    }
    let plain = get(running.web, "app.test", "/").await;
    assert!(!plain.to_lowercase().contains("content-encoding") && plain.len() > 16_000);
    let stream = async {
        let mut stream = TcpStream::connect(running.web).await.expect("connected");
        let request = "GET /stream HTTP/1.1\r\nHost: app.test\r\nAccept-Encoding: gzip\r\n\r\n";
        stream.write_all(request.as_bytes()).await.expect("written");
        assert!(head(&mut stream).await.to_lowercase().contains("content-encoding: gzip"));
        let mut chunk = [0; 4];
        stream.read_exact(&mut chunk).await.expect("the first part, while the stream goes on");
    };
    tokio::time::timeout(PATIENCE, stream).await.expect("in time");
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_at_a_time_are_counted_to_their_end() {
    let app = server(|_, mut stream| async move {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n";
        stream.write_all(head.as_bytes()).await.expect("written");
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    })
    .await;
    let running = through("m: {inFlightReq: {amount: 1}}", app.address).await;
    let mut held = TcpStream::connect(running.web).await.expect("connected");
    held.write_all(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n").await.expect("written");
    assert!(head(&mut held).await.starts_with("HTTP/1.1 200"));
    let refused = get(running.web, "app.test", "/").await;
    assert!(
        refused.starts_with("HTTP/1.1 429") && refused.ends_with("max connections reached: 1"),
        "{refused}"
    );
    drop(held);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let mut next = TcpStream::connect(running.web).await.expect("connected");
        next.write_all(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n").await.expect("written");
        if head(&mut next).await.starts_with("HTTP/1.1 200") {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "the place is free again");
    }
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_server_is_asked_about_bodies_and_sets_cookies() {
    let adviser = server(|asked, mut stream| async move {
        assert!(asked.to_lowercase().contains("content-length: 5"), "{asked}");
        let mut body = [0; 5];
        stream.read_exact(&mut body).await.expect("read");
        let answer: &[u8] = match &body {
            b"right" => {
                b"HTTP/1.1 200 OK\r\nSet-Cookie: a=new\r\nSet-Cookie: b=new\r\nContent-Length: 0\r\n\r\n"
            }
            _ => b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        };
        stream.write_all(answer).await.expect("written");
    })
    .await;
    let app = server(|asked, mut stream| async move {
        assert!(asked.starts_with("POST /a"), "{asked}");
        let mut body = [0; 5];
        stream.read_exact(&mut body).await.expect("read");
        let head = "HTTP/1.1 200 OK\r\nSet-Cookie: a=old\r\nSet-Cookie: c=old\r\nContent-Length: 5\r\n\r\n";
        stream.write_all(&[head.as_bytes(), &body].concat()).await.expect("written");
    })
    .await;
    let running = through(
        &format!(
            "m: {{forwardAuth: {{address: 'http://{}/', forwardBody: true, maxBodySize: 5, \
             addAuthCookiesToResponse: [a]}}}}",
            adviser.address
        ),
        app.address,
    )
    .await;
    let passed = ask(running.web, &post("right", "")).await;
    assert!(passed.starts_with("HTTP/1.1 200") && passed.ends_with("right"), "{passed}");
    assert!(passed.contains("a=new") && passed.contains("c=old"), "{passed}");
    assert!(!passed.contains("a=old") && !passed.contains("b=new"), "{passed}");
    assert!(ask(running.web, &post("wrong", "")).await.starts_with("HTTP/1.1 403"));
    assert!(ask(running.web, &post("too large", "")).await.starts_with("HTTP/1.1 401"));
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_say_what_they_are() {
    let app = server(|_, mut stream| async move {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\n<html></html>";
        stream.write_all(answer.as_bytes()).await.expect("written");
    })
    .await;
    let told = through("m: {contentType: {}}", app.address).await;
    let answer = get(told.web, "app.test", "/").await;
    assert!(answer.to_lowercase().contains("content-type: text/html; charset=utf-8"), "{answer}");
    assert!(answer.ends_with("<html></html>"), "{answer}");
    told.gateway.stop().await;
    let untold = through("m: {encodedCharacters: {allowEncodedSlash: true}}", app.address).await;
    assert!(!get(untold.web, "app.test", "/a%2Fb").await.to_lowercase().contains("content-type"));
    assert!(get(untold.web, "app.test", "/a%5cb").await.starts_with("HTTP/1.1 400"));
    untold.gateway.stop().await;
}

/// They are nearer to the service than those of routers, and hold for whoever leads there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_have_layers_of_their_own() {
    let (app, pages) = (telling("app", None).await, telling("pages", None).await);
    let running = running(&format!(
        "
http:
  routers:
    app: {{rule: 'Host(`app.test`)', service: app, middlewares: [outer]}}
    share: {{rule: 'Host(`share.test`)', service: share}}
    closed: {{rule: 'Host(`closed.test`)', service: closed}}
  middlewares:
    outer: {{addPrefix: {{prefix: /outer}}}}
    inner: {{addPrefix: {{prefix: /inner}}}}
    head: {{headers: {{customResponseHeaders: {{X-Layer: service}}}}}}
    again: {{retry: {{attempts: 3, status: ['503']}}}}
    page: {{errors: {{status: ['503'], service: pages, query: '/{{status}}'}}}}
    users: {{basicAuth: {{users: ['test:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/']}}}}
  services:
    app: {{middlewares: [page, head, again, inner], loadBalancer: {{servers: [{{url: 'http://{0}'}}]}}}}
    pages: {{loadBalancer: {{servers: [{{url: 'http://{1}'}}]}}}}
    share: {{middlewares: [head], weighted: {{services: [{{name: app, weight: 1}}]}}}}
    closed: {{middlewares: [users], loadBalancer: {{servers: [{{url: 'http://{0}'}}]}}}}
",
        app.address, pages.address
    ))
    .await;
    let answer = get(running.web, "app.test", "/a").await;
    assert!(answer.contains("path=/inner/outer/a ") && answer.contains("x-layer: service"), "{answer}");
    let answer = get(running.web, "share.test", "/a").await;
    assert!(answer.contains("path=/inner/a "), "{answer}");
    assert_eq!(answer.matches("x-layer: service").count(), 1, "{answer}");
    assert!(get(running.web, "closed.test", "/").await.starts_with("HTTP/1.1 401"));
    app.requests.store(0, Ordering::Relaxed);
    app.status.store(503, Ordering::Relaxed);
    let answer = get(running.web, "app.test", "/a").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("pages HTTP/1.1 GET"), "{answer}");
    assert_eq!(app.requests.load(Ordering::Relaxed), 3, "it was sent again");
    running.gateway.stop().await;
}
