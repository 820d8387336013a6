//! Traefik's tables of layers around answers, played through a gateway.

use super::*;
use crate::suite::{Case, Played, play};
use serde_json::{Value, json};

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

/// A server that answers each request with what a function makes of its head: a status, a header, a body.
async fn answering(answer: impl Fn(&str) -> (u64, String, String) + Send + Sync + 'static) -> Server {
    let answer = std::sync::Arc::new(answer);
    server(move |asked, mut stream| {
        let answer = answer.clone();
        async move {
            let length: usize = asked
                .to_lowercase()
                .split("content-length: ")
                .nth(1)
                .and_then(|rest| rest.split("\r\n").next()?.parse().ok())
                .unwrap_or_default();
            let mut body = vec![0; length];
            // A request that was refused on its way has none.
            let _ = stream.read_exact(&mut body).await;
            let (status, header, body) = answer(&asked);
            let length = match status {
                304 => String::new(),
                _ => format!("Content-Length: {}\r\n", body.len()),
            };
            let head = format!("HTTP/1.1 {status} X\r\n{length}{header}Connection: close\r\n\r\n");
            let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
        }
    })
    .await
}

/// A configuration as a file has it, with one layer or none, before a service `app` and beside one `error`.
fn file(layer: Option<Value>, app: SocketAddr, pages: SocketAddr) -> String {
    let service =
        |at: SocketAddr| json!({ "loadBalancer": { "servers": [{ "url": format!("http://{at}") }] } });
    let mut router = json!({ "rule": "PathPrefix(`/`)", "service": "app" });
    let mut http = json!({ "services": { "app": service(app), "error": service(pages) } });
    if let Some(layer) = layer {
        http["middlewares"] = json!({ "m": layer });
        router["middlewares"] = json!(["m"]);
    }
    http["routers"] = json!({ "app": router });
    json!({ "http": http }).to_string()
}

fn phrase(code: u64) -> &'static str {
    let status = u16::try_from(code).ok().and_then(|code| hyper::StatusCode::from_u16(code).ok());
    status.and_then(|status| status.canonical_reason()).unwrap_or_default()
}

fn status_of(answer: &str) -> Option<u64> {
    answer.split(' ').nth(1)?.parse().ok()
}

/// Pages in place of errors.
fn pages(case: &Case) -> Played {
    if case.fields["status"].is_null() {
        // What only a provider for Kubernetes asks for.
        return Played::Foreign;
    }
    let code = case.fields["backendCode"].as_u64().unwrap_or_default();
    let (page, only) = (case.text("page").to_owned(), case.text("pageAt").to_owned());
    let asked = case.pairs("requestHeaders").fold(String::new(), |text, (name, value)| {
        format!("{text}{name}: {}\r\n", value.as_str().unwrap_or_default())
    });
    let answer = block_on(async {
        let app = answering(move |_| (code, String::new(), phrase(code).to_owned())).await;
        let pages = answering(move |head| {
            let right = only.is_empty() || head.starts_with(&format!("GET {only} HTTP/1.1\r\n"));
            let body = match page.as_str() {
                "{host}" | "{headers}" => head.to_owned(),
                page if right => page.to_owned(),
                _ => String::new(),
            };
            (200, String::new(), body)
        })
        .await;
        let layer = json!({ "errors": case.fields["errorPage"] });
        let running = running(&file(Some(layer), app.address, pages.address)).await;
        let request = format!(
            "GET /test?foo=bar&baz=buz HTTP/1.1\r\nHost: localhost\r\n{asked}Connection: close\r\n\r\n"
        );
        let answer = ask(running.web, &request).await;
        running.gateway.stop().await;
        answer
    });
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let missing: Vec<_> =
        case.texts("contains").into_iter().filter(|text| !body.contains(text.as_str())).collect();
    let unwanted: Vec<_> =
        case.texts("lacks").into_iter().filter(|text| body.contains(text.as_str())).collect();
    if missing.is_empty() && unwanted.is_empty() {
        Played::compare(&case.fields["status"].as_u64(), &status_of(&answer))
    } else {
        Played::Different(format!("missing {missing:?}, unwanted {unwanted:?} in {answer}"))
    }
}

/// Bodies that are read whole; both of them are the same here.
fn buffered(case: &Case) -> Played {
    let body = case.text("body").to_owned();
    let sent = body.clone();
    let answer = block_on(async {
        let app = answering(move |_| (200, String::new(), sent.clone())).await;
        // As in the test's values, nothing is said by leaving everything out.
        let mut config = case.fields["config"].clone();
        if config.as_object().is_none_or(serde_json::Map::is_empty) {
            config = json!({ "maxRequestBodyBytes": 0 });
        }
        let running = running(&file(Some(json!({ "buffering": config })), app.address, app.address)).await;
        let head = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let answer = ask(running.web, &(head + &body)).await;
        running.gateway.stop().await;
        answer
    });
    Played::compare(&case.fields["expectedCode"].as_u64(), &status_of(&answer))
}

fn content(case: &Case) -> Played {
    let header = match case.text("contentType") {
        "" => String::new(),
        kind => format!("Content-Type: {kind}\r\n"),
    };
    let answer = block_on(async {
        let app = answering(move |_| (200, header.clone(), "Test".to_owned())).await;
        let layer = case.flag("autoDetect").then(|| json!({ "contentType": {} }));
        let running = running(&file(layer, app.address, app.address)).await;
        let answer = get(running.web, "a", "/").await;
        running.gateway.stop().await;
        answer
    });
    let lines = answer.split("\r\n").filter_map(|line| line.split_once(": "));
    let found = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-type")).map(|(_, kind)| kind);
    Played::compare(&case.text("wantContentType"), &found.last().unwrap_or_default())
}

#[test]
fn errors_have_pages_as_with_traefik() {
    play("pkg/middlewares/customerrors", &[], pages);
}

#[test]
fn bodies_are_bounded_as_with_traefik() {
    play("pkg/middlewares/buffering", &[], buffered);
}

#[test]
fn answers_are_named_as_with_traefik() {
    play("pkg/middlewares/contenttype", &[], content);
}
