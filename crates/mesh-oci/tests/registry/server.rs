//! A server of HTTP/1.1 that does what a test tells it, right or wrong.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// As it should.
    Whole,
    /// The connection breaks after so many bytes.
    Cut(usize),
    /// Nothing comes after so many bytes, and the connection stays.
    Stall(usize),
    /// It goes on with zeros until the other side has enough.
    Endless,
}

/// What is answered.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) end: End,
    /// `Content-Length`, where it is not the body's; `Some(None)`: chunked.
    pub(crate) length: Option<Option<u64>>,
}

impl Reply {
    pub(crate) fn of(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), end: End::Whole, length: None }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn ending(self, end: End) -> Self {
        Self { end, ..self }
    }
}

/// A running server; it ends with this value.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Handler = dyn Fn(&Request, usize) -> Reply + Send + Sync;

impl Server {
    /// Starts one; the handler is told how many requests for the same path came before.
    pub(crate) async fn start(handler: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (handler, all): (Arc<Handler>, _) = (Arc::new(handler), seen.clone());
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                open.spawn(serve(stream, handler.clone(), all.clone()));
            }
        });
        Self { address, seen, task }
    }

    /// The requests so far, without the question whether it is there.
    pub(crate) fn seen(&self) -> Vec<Request> {
        let all = self.seen.lock().unwrap();
        all.iter().filter(|request| request.path != "/v2/").cloned().collect()
    }

    /// How many requests for a path came.
    pub(crate) fn count(&self, part: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|request| request.path.contains(part)).count()
    }
}

async fn serve(stream: TcpStream, handler: Arc<Handler>, seen: Arc<Mutex<Vec<Request>>>) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream).await {
        let before = {
            let mut seen = seen.lock().unwrap();
            let before = seen.iter().filter(|other| other.path == request.path).count();
            seen.push(request.clone());
            before
        };
        let reply = handler(&request, before);
        let keep = reply.end == End::Whole;
        if write(stream.get_mut(), &request, reply).await.is_err() || !keep {
            return;
        }
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut request = Request::default();
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|&count| count > 0)?;
    let mut words = line.split_whitespace();
    request.method = words.next()?.to_owned();
    request.path = words.next()?.to_owned();
    loop {
        line.clear();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        request.headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length: usize = request.header("content-length").parse().unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    request.body = String::from_utf8(body).ok()?;
    Some(request)
}

async fn write(stream: &mut TcpStream, request: &Request, reply: Reply) -> std::io::Result<()> {
    let length = reply.length.unwrap_or(Some(reply.body.len() as u64));
    let mut head = format!("HTTP/1.1 {} X\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    match length {
        Some(length) => head.push_str(&format!("Content-Length: {length}\r\n\r\n")),
        None => head.push_str("Connection: close\r\n\r\n"),
    }
    stream.write_all(head.as_bytes()).await?;
    if request.method == "HEAD" {
        return Ok(());
    }
    match reply.end {
        End::Whole => stream.write_all(&reply.body).await?,
        End::Cut(at) => stream.write_all(&reply.body[..at]).await?,
        End::Stall(at) => {
            stream.write_all(&reply.body[..at]).await?;
            stream.flush().await?;
            // Until the other side has had enough: a read ends with its going.
            let _ = tokio::time::timeout(Duration::from_secs(60), stream.read_u8()).await;
        }
        End::Endless => {
            stream.write_all(&reply.body).await?;
            // Far more than any limit of these tests, and yet an end.
            for _ in 0..100_000 {
                stream.write_all(&[0; 4096]).await?;
            }
        }
    }
    stream.flush().await
}
