//! Bodies that break off on their way: nobody is to take one for whole.

use super::{hostile::frame, *};
use crate::config::duration::Span;
use http_body_util::{BodyExt as _, Empty};
use std::sync::{Arc, Mutex};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const END_HEADERS: u8 = 4;
const NO_ERROR: [u8; 4] = [0, 0, 0, 0];
const CANCEL: [u8; 4] = [0, 0, 0, 8];

/// What a server does in the middle of its answer.
#[derive(Debug, Clone, Copy)]
enum Breaks {
    /// It leaves, with less than it promised.
    Leaves(&'static str),
    /// It resets its stream of HTTP/2.
    Resets([u8; 4]),
    /// It leaves a connection of HTTP/2.
    LeavesStream,
}

/// A server of HTTP/2 without TLS that sends the head and the beginning of each answer.
async fn stream_of(mut stream: TcpStream, breaks: Breaks) -> std::io::Result<()> {
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        stream.read_exact(&mut vec![0; usize::try_from(length).expect("a length")]).await?;
        if head[3] != HEADERS {
            continue;
        }
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        // 200, of the static table.
        let mut bytes = frame(HEADERS, END_HEADERS, id, &[0x88]);
        bytes.extend(frame(DATA, 0, id, b"hello"));
        if let Breaks::Resets(why) = breaks {
            bytes.extend(frame(RESET, 0, id, &why));
        }
        stream.write_all(&bytes).await?;
        if matches!(breaks, Breaks::LeavesStream) {
            return Ok(());
        }
    }
}

async fn breaking(breaks: Breaks) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                match breaks {
                    Breaks::Leaves(answer) => {
                        head(&mut stream).await;
                        // Clients may break off.
                        let _ = stream.write_all(answer.as_bytes()).await;
                    }
                    _ => drop(stream_of(stream, breaks).await),
                }
            });
        }
    });
    Server { address, task }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_breaks_off_is_never_whole() {
    for (breaks, scheme) in [
        (Breaks::Leaves("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"), "http"),
        (Breaks::Leaves("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"), "http"),
        (
            Breaks::Leaves("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nwo"),
            "http",
        ),
        (Breaks::Leaves("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n"), "http"),
        (Breaks::Resets(NO_ERROR), "h2c"),
        (Breaks::Resets(CANCEL), "h2c"),
        (Breaks::LeavesStream, "h2c"),
    ] {
        let app = breaking(breaks).await;
        let running = running(
            &dynamic(app.address).replace("url: 'http://127.0.0.1:", &format!("url: '{scheme}://127.0.0.1:")),
        )
        .await;

        let request = "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n";
        let answer = ask(running.web, request).await;
        // What breaks off at once may do so before anything of it was handed on.
        let begun = answer.starts_with("HTTP/1.1 200") && answer.contains("hello");
        let stands_for_it = scheme == "h2c" && answer.starts_with("HTTP/1.1 502");
        assert!(begun || stands_for_it || answer.is_empty(), "{breaks:?}: {answer}");
        let lower = answer.to_lowercase();
        // Its length is more than came, or its last chunk did not.
        let whole = !lower.contains("content-length: 9") && lower.ends_with("0\r\n\r\n");
        assert!(!whole, "{breaks:?}: {answer}");
        let framed = lower.contains("content-length: 9") || lower.contains("transfer-encoding: chunked");
        assert!(framed || !begun, "{answer}");

        let stream = TokioIo::new(secured(running.web, "h2").await);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.expect("HTTP/2");
        let connection = tokio::spawn(connection);
        let request = hyper::Request::get("https://app.test/").body(Empty::<bytes::Bytes>::new());
        // Nor has it to have a head then.
        let answered = sender.send_request(request.expect("a request"));
        if let Ok(answer) = tokio::time::timeout(PATIENCE, answered).await.expect("in time") {
            let status = answer.status().as_u16();
            let collected =
                tokio::time::timeout(PATIENCE, answer.into_body().collect()).await.expect("in time");
            // A stream that was reset before its head was looked at has no answer at all.
            let stands_for_it = scheme == "h2c" && status == 502;
            let broken = status == 200 && collected.is_err();
            assert!(broken || stands_for_it, "{breaks:?}: {status} {collected:?}");
        }
        // The connection serves others.
        let request = hyper::Request::get("https://nobody.test/").body(Empty::<bytes::Bytes>::new());
        let answer = sender.send_request(request.expect("a request")).await.expect("an answer");
        assert_eq!(answer.status(), 404, "{breaks:?}");
        connection.abort();
        running.gateway.stop().await;
    }
}

/// A server that notes what it gets until a connection ends, and answers nothing.
async fn silent() -> (Server, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = seen.clone();
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = Vec::new();
            // However it ends.
            let _ = stream.read_to_end(&mut bytes).await;
            noted.lock().expect("no fault").push(String::from_utf8_lossy(&bytes).into_owned());
        }
    });
    (Server { address, task }, seen)
}

/// What a server got of a request, once its connection has ended.
async fn noted(seen: &Mutex<Vec<String>>) -> String {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(text) = seen.lock().expect("no fault").pop() {
            return text;
        }
        assert!(tokio::time::Instant::now() < deadline, "the server's connection does not end");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_breaks_off_is_never_whole() {
    let (app, seen) = silent().await;
    let running = running(&dynamic(app.address)).await;
    // POST, http and / of the static table, and a host that is written out.
    let request = [&[0x83, 0x86, 0x84, 0x01, 8][..], b"app.test"].concat();
    for why in [NO_ERROR, CANCEL] {
        let mut stream = TcpStream::connect(running.web).await.expect("connected");
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(frame(SETTINGS, 0, 0, &[]));
        bytes.extend(frame(HEADERS, END_HEADERS, 1, &request));
        bytes.extend(frame(DATA, 0, 1, b"hello"));
        bytes.extend(frame(RESET, 0, 1, &why));
        stream.write_all(&bytes).await.expect("written");
        // One that was never sent is as good as one that broke off.
        let told = tokio::time::timeout(Duration::from_secs(2), noted(&seen)).await.unwrap_or_default();
        assert!(!told.ends_with("0\r\n\r\n"), "{why:?}: {told}");
        drop(stream);
    }
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_takes_no_longer_than_it_may() {
    let (app, seen) = silent().await;
    let running = running_as(&dynamic(app.address), |statics| {
        let web = statics.entry_points.get_mut("web").expect("an entry point");
        web.transport.responding_timeouts.read_timeout = Span::milliseconds(300);
    })
    .await;
    let mut stream = TcpStream::connect(running.web).await.expect("connected");
    let begin = "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1000000\r\n\r\n";
    stream.write_all(begin.as_bytes()).await.expect("written");
    let (mut read, mut written) = stream.into_split();
    // A byte now and then is no sign of life.
    let drip = tokio::spawn(async move {
        while written.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut answer = Vec::new();
    let ended = async {
        // However it ends.
        let _ = read.read_to_end(&mut answer).await;
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the connection ends");
    drip.abort();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let told = noted(&seen).await;
    assert!(told.contains("\r\n\r\nx") && told.len() < 10_000, "{told}");
    running.gateway.stop().await;
}
