//! What a gateway tells of requests that go through it, over loopback.

use crate::{
    config::statics::{
        AccessLog, EntryPoint, FileProvider, Metrics, Otlp, OtlpHttp, Prometheus, Statics, Tracing,
    },
    server::Gateway,
};
use serde_json::Value;
use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
};

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server that keeps what it was sent, and answers everything with one text.
struct Server {
    address: SocketAddr,
    requests: mpsc::Receiver<(String, Vec<u8>)>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn server(answer: &'static str) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (told, requests) = mpsc::channel(64);
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut seen = Vec::new();
            let mut buffer = [0; 4096];
            while let Ok(read) = stream.read(&mut buffer).await {
                seen.extend_from_slice(&buffer[..read]);
                let end = seen.windows(4).position(|part| part == b"\r\n\r\n").map(|at| at + 4);
                let head = end.map(|end| String::from_utf8_lossy(&seen[..end]).to_lowercase());
                let length = head.as_deref().map_or(usize::MAX, |head| {
                    let line = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                    line.map_or(0, |length| length.parse().expect("a number"))
                });
                if read == 0 {
                    break;
                }
                let (Some(head), Some(end)) = (head, end) else { continue };
                if seen.len() >= end + length {
                    stream.write_all(answer.as_bytes()).await.expect("written");
                    told.send((head, seen[end..].to_vec())).await.expect("somebody listens");
                    break;
                }
            }
        }
    });
    Server { address, requests, task }
}

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Answer: yes\r\nConnection: close\r\n\r\nhello";
const BROKEN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nhello";
const TAKEN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

struct Running {
    gateway: Gateway,
    _folder: TempDir,
    web: SocketAddr,
    traefik: SocketAddr,
}

async fn running(statics: impl FnOnce(&mut Statics), backend: SocketAddr) -> Running {
    let folder = tempfile::tempdir().expect("a folder");
    let dynamic = format!(
        "
http:
  routers:
    app: {{rule: 'Host(`app.test`)', service: app}}
    users: {{rule: 'Host(`users.test`)', service: app, middlewares: [users]}}
    silent: {{rule: 'Host(`silent.test`)', service: app, observability: {{accessLogs: false, metrics: false, tracing: false}}}}
    whole: {{rule: 'Host(`whole.test`)', service: app, middlewares: [both], observability: {{traceVerbosity: detailed}}}}
    dead: {{rule: 'Host(`dead.test`)', service: dead, middlewares: [again]}}
  middlewares:
    users: {{basicAuth: {{users: ['test:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/']}}}}
    again: {{retry: {{attempts: 3, initialInterval: 1ms}}}}
    prefix: {{addPrefix: {{prefix: /before}}}}
    both: {{chain: {{middlewares: [again, prefix]}}}}
  services:
    app: {{loadBalancer: {{servers: [{{url: 'http://{backend}'}}]}}}}
    dead: {{loadBalancer: {{servers: [{{url: 'http://127.0.0.1:1'}}]}}}}
"
    );
    fs::write(folder.path().join("dynamic.yml"), dynamic).expect("written");
    let mut all = Statics::default();
    let entry = EntryPoint { address: "127.0.0.1:0".to_owned(), ..EntryPoint::default() };
    all.entry_points.insert("web".to_owned(), entry.clone());
    all.entry_points.insert("traefik".to_owned(), entry);
    all.ping = Some(Default::default());
    let directory = folder.path().display().to_string();
    all.providers.file = Some(FileProvider { directory, ..FileProvider::default() });
    statics(&mut all);
    let gateway = Gateway::start(all, Default::default()).await.expect("a gateway");
    let at =
        |name: &str| gateway.addresses().iter().find(|(known, _)| known == name).expect("an entry point").1;
    let (web, traefik) = (at("web"), at("traefik"));
    Running { gateway, _folder: folder, web, traefik }
}

async fn ask(address: SocketAddr, host: &str, path: &str, more: &str) -> String {
    let asked = async {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n");
        stream.write_all(request.as_bytes()).await.expect("written");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("read");
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("an answer in time")
}

/// The lines of a file, once there are so many.
async fn lines(path: &PathBuf, count: usize) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        if lines.len() >= count {
            return lines;
        }
        assert!(Instant::now() < deadline, "{count} lines: {lines:#?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_written_down_as_they_were() {
    let backend = server(HELLO).await;
    let logs = tempfile::tempdir().expect("a folder");
    let path = logs.path().join("deep/access.log");
    let running = running(
        |statics| {
            let mut log = AccessLog { file_path: path.display().to_string(), ..AccessLog::default() };
            log.format = "json".to_owned();
            log.fields.headers.default_mode = "drop".to_owned();
            for (name, mode) in [("User-Agent", "keep"), ("Authorization", "redact"), ("X-Answer", "keep")] {
                log.fields.headers.names.insert(name.to_owned(), mode.to_owned());
            }
            log.fields.names.insert("clientport".to_owned(), "drop".to_owned());
            statics.access_log = Some(log);
        },
        backend.address,
    )
    .await;
    // The password is one that is not right.
    let user = "Authorization: Basic dGVzdDp0ZXN0MQ==\r\nUser-Agent: a \"b\"\r\n";
    ask(running.web, "silent.test", "/", "").await;
    ask(running.traefik, "a", "/ping", "").await;
    ask(running.web, "app.test", "/a?b=c", "User-Agent: x\r\n").await;
    ask(running.web, "nobody.test", "/", "").await;
    ask(running.web, "users.test", "/", user).await;
    ask(running.web, "dead.test", "/", "").await;
    let found: Vec<Value> =
        lines(&path, 4).await.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(found.len(), 4, "{found:#?}");
    for (line, field, expected) in [
        (0, "RouterName", "app@file"),
        (0, "ServiceName", "app@file"),
        (0, "RequestPath", "/a?b=c"),
        (0, "RequestMethod", "GET"),
        (0, "entryPointName", "web"),
        (0, "request_User-Agent", "x"),
        (0, "origin_X-Answer", "yes"),
        (0, "downstream_X-Answer", "yes"),
        (0, "ClientHost", "127.0.0.1"),
        (0, "ClientUsername", "-"),
        (0, "level", "info"),
        (2, "request_Authorization", "REDACTED"),
    ] {
        assert_eq!(found[line][field], expected, "{field}: {:#}", found[line]);
    }
    for (line, field, expected) in [
        (0, "DownstreamStatus", 200),
        (0, "DownstreamContentSize", 5),
        (0, "OriginStatus", 200),
        (0, "RetryAttempts", 0),
        (1, "DownstreamStatus", 404),
        (1, "OriginStatus", 0),
        (2, "DownstreamStatus", 401),
        (3, "DownstreamStatus", 502),
        (3, "RetryAttempts", 2),
    ] {
        assert_eq!(found[line][field], expected, "{field}: {:#}", found[line]);
    }
    assert!(found[0].get("ClientPort").is_none() && found[1].get("RouterName").is_none());
    assert!(found[0]["Duration"].as_u64() >= found[0]["OriginDuration"].as_u64());

    let moved = logs.path().join("moved.log");
    fs::rename(&path, &moved).expect("moved");
    running.gateway.reopen();
    ask(running.web, "app.test", "/after", "").await;
    let after = lines(&path, 1).await;
    assert!(after[0].contains("\"/after\""), "{after:?}");
    assert_eq!(lines(&moved, 4).await.len(), 4);
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_common_format_is_traefiks_and_filters_count() {
    let backend = server(HELLO).await;
    let logs = tempfile::tempdir().expect("a folder");
    let path = logs.path().join("access.log");
    let running = running(
        |statics| {
            let mut log = AccessLog { file_path: path.display().to_string(), ..AccessLog::default() };
            log.filters.status_codes = vec!["200".to_owned(), "500-599".to_owned()];
            log.fields.headers.default_mode = "keep".to_owned();
            log.fields.query_parameters.default_mode = "drop".to_owned();
            statics.access_log = Some(log);
        },
        backend.address,
    )
    .await;
    ask(running.web, "nobody.test", "/404", "").await;
    ask(running.web, "app.test", "/a?secret=1", "User-Agent: evil\"\x0b\r\nX-Forwarded-For: 1.2.3.4\r\n")
        .await;
    ask(running.web, "app.test", "/a?secret=1", "User-Agent: good\"\r\nReferer: r\r\n").await;
    ask(running.web, "dead.test", "/", "").await;
    let found = lines(&path, 2).await;
    let form = regex::Regex::new(&format!(
        "^127.0.0.1 - - \\[[0-9]{{2}}/[A-Z][a-z]{{2}}/[0-9]{{4}}(:[0-9]{{2}}){{3}} \\+0000\\] \"GET /a HTTP/1.1\" 200 5 \"r\" \
         \"good\\\\\"\" [0-9]+ \"app@file\" \"http://{}\" [0-9]+ms$",
        backend.address
    ))
    .expect("an expression");
    assert!(found.iter().any(|line| form.is_match(line)), "{found:#?}");
    assert!(found.iter().any(|line| line.contains("\" 502 ")), "{found:#?}");
    assert!(!found.iter().any(|line| line.contains("404") || line.contains("secret")), "{found:#?}");
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_nobody() {
    let backend = server(HELLO).await;
    let log = AccessLog { file_path: "/dev/full".to_owned(), ..AccessLog::default() };
    let running = running(|statics| statics.access_log = Some(log), backend.address).await;
    for _ in 0..20 {
        assert!(ask(running.web, "app.test", "/", "").await.ends_with("hello"));
    }
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_broke_off_is_told() {
    let backend = server(BROKEN).await;
    let logs = tempfile::tempdir().expect("a folder");
    let path = logs.path().join("access.log");
    let running = running(
        |statics| {
            let mut log = AccessLog { file_path: path.display().to_string(), ..AccessLog::default() };
            log.format = "json".to_owned();
            statics.access_log = Some(log);
            let prometheus = Some(Prometheus::default());
            statics.metrics = Some(Metrics { prometheus, ..Metrics::default() });
        },
        backend.address,
    )
    .await;
    let answer = ask(running.web, "app.test", "/", "").await;
    assert!(
        answer.is_empty() || answer.contains("Content-Length: 9") || answer.contains("content-length: 9")
    );
    ask(running.web, "nobody.test", "/", "").await;
    let found: Vec<Value> =
        lines(&path, 2).await.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let broken = found.iter().find(|line| line["RequestHost"] == "app.test").expect("a line");
    assert_eq!((&broken["DownstreamBroken"], &broken["DownstreamStatus"]), (&true.into(), &200.into()));
    assert_eq!(found.iter().filter(|line| line.get("DownstreamBroken").is_some()).count(), 1, "{found:#?}");
    // The line was written after it was counted, or before: at the end of both.
    let deadline = Instant::now() + PATIENCE;
    let expected = "traefik_service_responses_broken_total{service=\"app@file\"} 1";
    while !ask(running.traefik, "a", "/metrics", "").await.lines().any(|line| line == expected) {
        assert!(Instant::now() < deadline, "{expected}");
    }
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_before_the_answer_is_told() {
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let logs = tempfile::tempdir().expect("a folder");
    let path = logs.path().join("access.log");
    let running = running(
        |statics| {
            let mut log = AccessLog { file_path: path.display().to_string(), ..AccessLog::default() };
            log.format = "json".to_owned();
            statics.access_log = Some(log);
            statics.metrics = Some(Metrics { prometheus: Some(Prometheus::default()), ..Metrics::default() });
        },
        silent.local_addr().expect("an address"),
    )
    .await;
    let mut taken = Vec::new();
    for request in [
        "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1\r\n\r\na",
    ] {
        let mut stream = TcpStream::connect(running.web).await.expect("connected");
        stream.write_all(request.as_bytes()).await.expect("written");
        // It has come to the server: somebody waits for it.
        taken.push(
            tokio::time::timeout(PATIENCE, silent.accept()).await.expect("in time").expect("a connection"),
        );
        drop(stream);
    }
    let found: Vec<Value> =
        lines(&path, 2).await.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for line in &found {
        assert_eq!(line["DownstreamStatus"], 499, "{line}");
        assert_eq!(line["DownstreamContentSize"], 0, "{line}");
        assert_eq!(line["RouterName"], "app@file", "{line}");
    }
    let text = ask(running.traefik, "a", "/metrics", "").await;
    for method in ["GET", "POST"] {
        assert!(found.iter().any(|line| line["RequestMethod"] == method), "{found:#?}");
        let expected = format!(
            "traefik_service_requests_total{{code=\"499\",method=\"{method}\",protocol=\"http\",service=\"app@file\"}} 1"
        );
        let deadline = Instant::now() + PATIENCE;
        while !ask(running.traefik, "a", "/metrics", "").await.lines().any(|line| line == expected) {
            assert!(Instant::now() < deadline, "{expected}\n{text}");
        }
    }
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_under_traefiks_names() {
    let backend = server(HELLO).await;
    let running = running(
        |statics| {
            let mut prometheus = Prometheus { add_routers_labels: true, ..Prometheus::default() };
            prometheus.header_labels.insert("tenant".to_owned(), "X-Tenant".to_owned());
            statics.metrics = Some(Metrics { prometheus: Some(prometheus), ..Metrics::default() });
        },
        backend.address,
    )
    .await;
    ask(running.web, "app.test", "/", "X-Tenant: a\"b\r\n").await;
    ask(running.web, "app.test", "/", "X-Tenant: a\"b\r\n").await;
    ask(running.web, "silent.test", "/", "").await;
    ask(running.web, "nobody.test", "/", "").await;
    ask(running.web, "dead.test", "/", "").await;
    let expected = [
        "traefik_config_reloads_total 1",
        "traefik_entrypoint_requests_total{code=\"200\",method=\"GET\",protocol=\"http\",entrypoint=\"web\",tenant=\"a\\\"b\"} 2",
        "traefik_entrypoint_requests_total{code=\"404\",method=\"GET\",protocol=\"http\",entrypoint=\"web\",tenant=\"\"} 1",
        "traefik_router_requests_total{code=\"200\",method=\"GET\",protocol=\"http\",router=\"app@file\",service=\"app@file\",tenant=\"a\\\"b\"} 2",
        "traefik_service_request_duration_seconds_bucket{code=\"200\",method=\"GET\",protocol=\"http\",service=\"app@file\",le=\"+Inf\"} 2",
        "traefik_service_request_duration_seconds_count{code=\"200\",method=\"GET\",protocol=\"http\",service=\"app@file\"} 2",
        "traefik_service_responses_bytes_total{code=\"200\",method=\"GET\",protocol=\"http\",service=\"app@file\"} 10",
        "traefik_service_retries_total{service=\"dead@file\"} 2",
    ];
    let deadline = Instant::now() + PATIENCE;
    let text = loop {
        let text = ask(running.traefik, "a", "/metrics", "").await;
        // The last answer may be counted a moment after it was read.
        if expected.iter().all(|line| text.lines().any(|known| known == *line)) {
            break text;
        }
        assert!(Instant::now() < deadline, "{expected:#?}\n{text}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(text.contains("content-type: text/plain; version=0.0.4"), "{text}");
    assert!(text.contains("traefik_open_connections{entrypoint=\"traefik\",protocol=\"TCP\"} 1"), "{text}");
    assert!(text.contains("traefik_tls_certs_not_after{cn="), "{text}");
    assert!(!text.contains("silent@file"), "{text}");
    assert!(!text.contains("entrypoint=\"traefik\",tenant"), "its own requests are not counted: {text}");
    running.gateway.stop().await;
}

/// Fields of a message by their numbers; what is in messages is taken apart by whoever knows them.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let (first, rest) = bytes.split_first().expect("a number");
            *bytes = rest;
            value |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                break;
            }
        }
        value
    }
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let length = match key & 7 {
            0 => {
                all.push((key >> 3, varint(&mut bytes).to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            2 => usize::try_from(varint(&mut bytes)).expect("a length"),
            5 => 4,
            other => panic!("wire type {other}"),
        };
        let (value, rest) = bytes.split_at(length);
        all.push((key >> 3, value.to_vec()));
        bytes = rest;
    }
    all
}

fn field(message: &[(u64, Vec<u8>)], number: u64) -> Vec<u8> {
    message.iter().find(|(known, _)| *known == number).map(|(_, value)| value.clone()).unwrap_or_default()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A span as a collector reads it.
#[derive(Debug)]
struct Read {
    name: String,
    trace: String,
    id: String,
    parent: String,
    kind: u8,
    attributes: Vec<(String, String)>,
}

fn spans(request: &[u8]) -> Vec<Read> {
    let resource_spans = fields(&field(&fields(request), 1));
    let scope_spans = fields(&field(&resource_spans, 2));
    let spans = scope_spans.iter().filter(|(number, _)| *number == 2).map(|(_, span)| {
        let span = fields(span);
        let attributes = span.iter().filter(|(number, _)| *number == 9).map(|(_, pair)| {
            let pair = fields(pair);
            let value = fields(&field(&pair, 2));
            let text = match value.first() {
                Some((3, number)) => {
                    u64::from_le_bytes(number[..8].try_into().expect("a number")).to_string()
                }
                Some((_, text)) => String::from_utf8_lossy(text).into_owned(),
                None => String::new(),
            };
            (String::from_utf8_lossy(&field(&pair, 1)).into_owned(), text)
        });
        Read {
            name: String::from_utf8_lossy(&field(&span, 5)).into_owned(),
            trace: hexadecimal(&field(&span, 1)),
            id: hexadecimal(&field(&span, 2)),
            parent: hexadecimal(&field(&span, 4)),
            kind: field(&span, 6).first().copied().unwrap_or_default(),
            attributes: attributes.collect(),
        }
    });
    spans.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_go_on_from_before_to_behind() {
    let mut backend = server(HELLO).await;
    let mut collector = server(TAKEN).await;
    let endpoint = format!("http://{}", collector.address);
    let http = OtlpHttp { endpoint, ..OtlpHttp::default() };
    let running = running(
        |statics| {
            let mut tracing = Tracing { service_name: "edge".to_owned(), ..Tracing::default() };
            tracing.otlp = Some(Otlp { http: Some(http), ..Otlp::default() });
            tracing.captured_request_headers = vec!["X-Tenant".to_owned()];
            tracing.safe_query_params = vec!["page".to_owned()];
            tracing.resource_attributes.insert("team".to_owned(), "a".to_owned());
            statics.tracing = Some(tracing);
        },
        backend.address,
    )
    .await;
    let parent = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ntracestate: a=1\r\nX-Tenant: t\r\n";
    ask(running.web, "whole.test", "/p?page=2&token=hunter2", parent).await;
    ask(running.web, "silent.test", "/", "").await;
    ask(
        running.web,
        "app.test",
        "/",
        "traceparent: 00-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203331-00\r\n",
    )
    .await;
    running.gateway.stop().await;

    let (head, _) = backend.requests.recv().await.expect("a request");
    let sent =
        head.lines().find_map(|line| line.strip_prefix("traceparent: ")).expect("a place in the trace");
    assert!(head.contains("tracestate: a=1"), "{head}");
    let (silent, _) = backend.requests.recv().await.expect("a request");
    assert!(!silent.contains("traceparent"), "{silent}");
    let (unsampled, _) = backend.requests.recv().await.expect("a request");
    assert!(
        unsampled.contains("-00\r\n") && unsampled.contains("0af7651916cd43dd8448eb211c80319d"),
        "{unsampled}"
    );

    let received = tokio::time::timeout(PATIENCE, collector.requests.recv()).await.expect("in time");
    let (head, body) = received.expect("spans");
    assert!(head.starts_with("post /v1/traces ") && head.contains("application/x-protobuf"), "{head}");
    assert!(!String::from_utf8_lossy(&body).contains("hunter2"));
    let spans = spans(&body);
    let names: Vec<_> = spans.iter().map(|span| (span.name.as_str(), span.kind)).collect();
    assert_eq!(
        names,
        [("GET", 2), ("Router", 1), ("retry", 1), ("addPrefix", 1), ("Service", 1), ("ReverseProxy", 3)],
        "{spans:#?}"
    );
    assert_eq!(spans[0].parent, "b7ad6b7169203331");
    for pair in spans.windows(2) {
        assert_eq!(pair[1].parent, pair[0].id);
        assert_eq!(pair[0].trace, "0af7651916cd43dd8448eb211c80319c");
    }
    assert_eq!(sent, format!("00-{}-{}-01", spans[5].trace, spans[5].id));
    for (span, name, value) in [
        (0, "entry_point", "web"),
        (0, "url.query", "page=2&token=REDACTED"),
        (0, "http.response.status_code", "200"),
        (1, "traefik.router.name", "whole@file"),
        (2, "traefik.middleware.name", "again@file"),
        (3, "traefik.middleware.name", "prefix@file"),
        (4, "traefik.service.name", "app@file"),
        (5, "server.address", "127.0.0.1"),
    ] {
        let found = spans[span].attributes.iter().find(|(known, _)| known == name);
        assert_eq!(found.map(|(_, found)| found.as_str()), Some(value), "{name}: {:#?}", spans[span]);
    }
    assert!(spans[0].attributes.iter().any(|(name, _)| name == "http.request.header.x-tenant"));
    assert!(
        String::from_utf8_lossy(&body).contains("service.name")
            && String::from_utf8_lossy(&body).contains("edge")
    );
    assert!(collector.requests.try_recv().is_err(), "nothing else is sent");
}
