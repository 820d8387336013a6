//! Answers that come before all of their requests: clients get them, whatever they still send.

use super::{hostile::frame, tls::agreed, *};
use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes of a request that is answered before they have come.
const LARGE_BYTES: usize = 8 << 20;

/// A server that answers every head, and lets what follows it go by.
async fn early() -> Server {
    server(|_, mut stream| async move {
        let answer = "HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge";
        stream.write_all(answer.as_bytes()).await.expect("written");
        tokio::spawn(async move { tokio::io::copy(&mut stream, &mut tokio::io::sink()).await });
    })
    .await
}

/// Sends all of a request before it reads anything, as many clients do.
async fn sends_all(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> String {
    let head = format!("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: {LARGE_BYTES}\r\n\r\n");
    let all = async {
        stream.write_all(head.as_bytes()).await.expect("a head is written");
        stream.write_all(&vec![b'x'; LARGE_BYTES]).await.expect("all is written");
        stream.flush().await.expect("all is written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer, and its end");
        answer
    };
    tokio::time::timeout(PATIENCE, all).await.expect("an answer in time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_all_of_a_request_first_gets_its_answer() {
    let server = early().await;
    let running = running(&dynamic(server.address)).await;
    for _ in 0..5 {
        let plain = TcpStream::connect(running.web).await.expect("connected");
        let secure = agreed(running.web, "app.test", rustls::DEFAULT_VERSIONS, |_| {}).await.expect("TLS");
        for answer in [sends_all(plain).await, sends_all(secure).await] {
            assert!(answer.starts_with("HTTP/1.1 413 ") && answer.ends_with("large"), "{answer:?}");
        }
    }
    running.gateway.stop().await;
}

/// Kinds and flags of frames (RFC 9113, section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const ENDS_STREAM: u8 = 1;
const ACKNOWLEDGES: u8 = 1;
const ENDS_HEADERS: u8 = 4;

/// The next frame: its kind, flags and stream.
async fn next(stream: &mut TcpStream) -> (u8, u8, u32) {
    let mut head = [0; 9];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut head)).await.expect("in time").expect("a frame");
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; usize::try_from(length).expect("a length")];
    stream.read_exact(&mut payload).await.expect("a frame");
    (head[3], head[4], u32::from_be_bytes([head[5], head[6], head[7], head[8]]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_not_reset_with_its_answer() {
    let server = early().await;
    let running = running(&dynamic(server.address)).await;
    let mut stream = TcpStream::connect(running.web).await.expect("connected");
    // POST, http, / by their numbers; `:authority` and its value as they are (RFC 7541).
    let head = [&[0x83, 0x86, 0x84, 0x41, 8][..], b"app.test"].concat();
    for part in [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(SETTINGS, 0, 0, &[]),
        frame(HEADERS, ENDS_HEADERS, 1, &head),
        frame(DATA, 0, 1, b"some of it"),
    ] {
        stream.write_all(&part).await.expect("written");
    }
    let ends = |frame: &(u8, u8, u32)| frame.0 == DATA && frame.1 & ENDS_STREAM != 0;
    while !ends(&next(&mut stream).await) {}
    // The client goes on for a while, and then asks for nothing but a sign.
    stream.write_all(&frame(DATA, ENDS_STREAM, 1, b"the rest")).await.expect("written");
    stream.write_all(&frame(PING, 0, 0, &[7; 8])).await.expect("written");
    loop {
        match next(&mut stream).await {
            (RESET, _, stream) => panic!("stream {stream} was reset"),
            (PING, flags, 0) if flags & ACKNOWLEDGES != 0 => break,
            _ => {}
        }
    }
    // One that never ends is told to stop after all.
    stream.write_all(&frame(HEADERS, ENDS_HEADERS, 3, &head)).await.expect("written");
    while next(&mut stream).await.0 != RESET {}
    running.gateway.stop().await;
}
