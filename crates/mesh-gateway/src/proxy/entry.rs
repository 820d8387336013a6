//! Entry points: listeners and their connections.

use super::{
    announced::Announced,
    answer::head_of,
    endings::Endings,
    forwarded::{Connected, Forwarding},
    handler::{Context, Site, Underscores, answer, routed, uploaded},
    lasting::{Lasting, Over},
    plain::{self, Client},
    relayed::Relays,
    shortage::Shortage,
    tcp::{self, Way},
    unwanted::{Leftover, Lingering, Unread},
};
use crate::{
    config::statics::{EntryPoint, HEADER_BYTES},
    handshake::DEFAULT,
    middleware::EncodedCharacters,
    observe::{Agreed, Unanswered},
    rewound::Rewound,
    rule::NetworkError,
    snapshot::Ends,
    upstream::keep_alive,
};
use bytes::BytesMut;
use futures_util::stream;
use hyper::{
    Method, Request, StatusCode, Version,
    body::Incoming,
    header::{CONNECTION, HeaderValue},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use rustls::server::Acceptor;
use std::{convert::Infallible, future::poll_fn, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

/// Most connections of an entry point at a time; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 32_768;
/// What TLS begins with (RFC 8446, section 5.1); no method of HTTP does.
const TLS_HANDSHAKE: u8 = 22;
/// How long a client may take until its TLS stands.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How long a client may take for a request's head where nothing is configured.
const HEAD_MAX: Duration = Duration::from_secs(60);
/// Least and most bytes of a request's head that can be configured.
const HEAD_BYTES_MIN: usize = 8 << 10;
const HEAD_BYTES_MAX: usize = 16 << 20;
/// What stands for the most bytes of a head where nothing else than the default is asked for: a connection of HTTP/1.1
/// may keep as much waiting in each direction, for as long as its client reads slowly.
const HEAD_BYTES_UNASKED: usize = 128 << 10;
/// Most bytes of a stream that wait for its client.
const STREAM_WAITING_BYTES_MAX: usize = 64 << 10;
/// Bytes of a stream that a client may send ahead, and of all streams of a connection.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// How long a connection says nothing before its client is asked whether it is there.
const SILENCE_MAX: Duration = Duration::from_secs(180);
/// How often a silent HTTP/2 client is asked whether it is there, and how long it may take to answer.
const PING_EVERY: Duration = Duration::from_secs(30);
const PONG_MAX: Duration = Duration::from_secs(10);
/// Streams that a client may reset before the server has begun with them (CVE-2023-44487).
const EARLY_RESETS_MAX: usize = 100;

/// Why an entry point does not listen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindError {
    #[error("entry point {name}: {address:?} is no address to listen at")]
    Address { name: String, address: String },
    #[error("entry point {name}: could not listen at {address}")]
    Listen {
        name: String,
        address: String,
        #[source]
        source: io::Error,
    },
    #[error("entry point {name}: invalid underscoreHeadersStrategy value {value:?}")]
    Underscores { name: String, value: String },
    #[error("entry point {name}: proxyProtocol.trustedIPs")]
    Announced {
        name: String,
        #[source]
        source: NetworkError,
    },
    #[error("entry point {name}: forwardedHeaders.trustedIPs")]
    Trusted {
        name: String,
        #[source]
        source: NetworkError,
    },
}

/// An entry point that listens.
#[derive(Debug)]
pub(crate) struct Entry {
    listener: TcpListener,
    context: Arc<Context>,
    places: Arc<Semaphore>,
}

impl Entry {
    /// Listens; nobody is answered yet.
    pub(crate) async fn bind(
        name: &str,
        options: &EntryPoint,
        site: Arc<Site>,
        host_name: &str,
        relays: Arc<Relays>,
    ) -> Result<Self, BindError> {
        let address = listening(&options.address)
            .ok_or_else(|| BindError::Address { name: name.to_owned(), address: options.address.clone() })?;
        let listener = listen(&address).await.map_err(|source| BindError::Listen {
            name: name.to_owned(),
            address: address.clone(),
            source,
        })?;
        let forwarding = Forwarding::new(&options.forwarded_headers, host_name)
            .map_err(|source| BindError::Trusted { name: name.to_owned(), source })?;
        let value = &options.http.underscore_headers_strategy;
        let underscores = Underscores::named(value)
            .ok_or_else(|| BindError::Underscores { name: name.to_owned(), value: value.clone() })?;
        let characters = options.http.encoded_characters.as_ref();
        let announced = options.proxy_protocol.as_ref().map(Announced::new).transpose();
        let announced = announced.map_err(|source| BindError::Announced { name: name.to_owned(), source })?;
        let context = Context {
            site,
            entry: name.to_owned(),
            options: options.clone(),
            forwarding,
            characters: characters.map(|allowed| EncodedCharacters::new(&allowed.allowed())),
            underscores,
            relays,
            announced,
        };
        Ok(Self { listener, context: Arc::new(context), places: Arc::new(Semaphore::new(CONNECTIONS_MAX)) })
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Accepts until told to stop; connections go on without it.
    pub(crate) async fn serve(self, mut stop: watch::Receiver<bool>) {
        let mut shortage = Shortage::default();
        loop {
            let accepted = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                accepted = self.accept() => accepted,
            };
            let (stream, client, place) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tokio::time::sleep(shortage.failed(&self.context.entry, &error)).await;
                    continue;
                }
            };
            shortage.accepted(&self.context.entry);
            // Small answers do not wait for more; a socket that cannot be told so works all the same.
            let _ = stream.set_nodelay(true);
            keep_alive(&stream, SILENCE_MAX);
            let (context, stop) = (self.context.clone(), stop.clone());
            self.context.site.tasks.spawn(async move {
                let open = context.site.observer.opened(&context.entry);
                greet(context, client, stream, stop).await;
                drop(open);
                drop(place);
            });
        }
    }

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let place = self.places.clone().acquire_owned().await.map_err(io::Error::other)?;
        let (stream, client) = self.listener.accept().await?;
        Ok((stream, client, place))
    }
}

/// The address without its protocol; none for another one than TCP, or without a port.
fn listening(address: &str) -> Option<String> {
    let (address, protocol) = address.split_once('/').unwrap_or((address, "tcp"));
    let (_, port) = address.rsplit_once(':')?;
    let sound = protocol.eq_ignore_ascii_case("tcp") && port.parse::<u16>().is_ok();
    sound.then(|| address.to_owned())
}

/// An address without a host is every one of both families.
async fn listen(address: &str) -> io::Result<TcpListener> {
    let Some(port) = address.strip_prefix(':') else { return TcpListener::bind(address).await };
    match TcpListener::bind(format!("[::]:{port}")).await {
        Ok(listener) => Ok(listener),
        // A machine without IPv6.
        Err(_) => TcpListener::bind(format!("0.0.0.0:{port}")).await,
    }
}

/// Finds out whether a connection is TLS, and serves it. What follows has its own place in memory: it is only there
/// while it lasts, and no larger than it has to be.
async fn greet(
    context: Arc<Context>,
    client: SocketAddr,
    mut stream: TcpStream,
    mut stop: watch::Receiver<bool>,
) {
    let Some(client) = Box::pin(context.relays.client(&mut stream, client)).await else { return };
    let client = match &context.announced {
        None => client,
        Some(announced) => match Box::pin(announced.client(&mut stream, client)).await {
            Some(client) => client,
            None => return,
        },
    };
    let ends = tcp::Peers { client, here: stream.local_addr().ok() };
    match tcp::at_once(&context, client) {
        Some(Way::Tcp(route)) => return Box::pin(tcp::serve(&context, &route, ends, stream)).await,
        Some(Way::Nowhere) => return,
        Some(Way::Http) | None => {}
    }
    let mut first = [0];
    // Whoever has said nothing yet is not waited for at the end.
    let said = tokio::select! {
        said = tokio::time::timeout(head_max(&context.options), stream.peek(&mut first)) => said,
        _ = stop.wait_for(|stop| *stop) => return,
    };
    if !matches!(said, Ok(Ok(1))) {
        return;
    }
    let from = Connected::new(client, first[0] == TLS_HANDSHAKE);
    let route = Box::pin(tcp::route(&context, &from, &stream)).await;
    match &route {
        Way::Tcp(route) if route.ends != Ends::Here => {
            return Box::pin(tcp::serve(&context, route, ends, stream)).await;
        }
        Way::Http if !from.tls => {
            return Box::pin(converse(context, from, None, false, stream, stop)).await;
        }
        Way::Nowhere => return,
        Way::Tcp(_) | Way::Http => {}
    }
    let secured = Box::pin(secure(&context, &route, client, stream));
    let Some((stream, options)) = secured.await else { return };
    match route {
        Way::Tcp(route) => Box::pin(tcp::serve(&context, &route, ends, stream)).await,
        Way::Http | Way::Nowhere => {
            let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
            let peer = shown.iter().map(|shown| shown.clone().into_owned()).collect();
            let from = Connected { peer, options: options.into(), ..from };
            let agreed = Agreed::of(stream.get_ref().1);
            let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            Box::pin(converse(context, from, agreed, is_h2, stream, stop)).await;
        }
    }
}

/// Agrees on TLS, by the options of whoever asks for the name that the client asks for; and by which.
async fn secure(
    context: &Context,
    route: &Way,
    client: SocketAddr,
    stream: TcpStream,
) -> Option<(TlsStream<TcpStream>, String)> {
    let agreed = async {
        let started = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let options = match route {
            Way::Tcp(route) => route.options.clone(),
            Way::Http | Way::Nowhere => {
                let name = started.client_hello().server_name().unwrap_or_default().to_lowercase();
                let snapshot = context.site.current();
                let table = snapshot.entry_points.get(&context.entry);
                table.map_or(DEFAULT, |table| table.options(&name)).to_owned()
            }
        };
        let config = context.site.certificates.config_named(&options);
        let config = config.ok_or_else(|| io::Error::other("its options cannot be used"))?;
        Ok::<_, io::Error>((started.into_stream(config).await?, options))
    };
    match tokio::time::timeout(HANDSHAKE_MAX, agreed).await {
        Ok(Ok(agreed)) => return Some(agreed),
        Ok(Err(error)) => tracing::debug!(%client, %error, "TLS was not agreed on"),
        Err(_) => tracing::debug!(%client, "TLS took too long"),
    }
    None
}

/// Serves a connection to its end.
async fn converse<S>(
    context: Arc<Context>,
    from: Connected,
    agreed: Option<Agreed>,
    is_h2: bool,
    stream: S,
    stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let lasting = Lasting::new(&context.options.transport);
    let cancelled = context.site.stop.clone();
    let cut = stream::once(async move {
        cancelled.cancelled_owned().await;
        Over::Cut
    });
    let mut endings = Endings::new(vec![Box::pin(lasting.ends(stop)), Box::pin(cut)]);
    let client = Client { context, from, agreed, lasting };
    let stream = Rewound { read: BytesMut::new(), stream };
    if is_h2 {
        return Box::pin(by_hyper(client, true, stream, endings)).await;
    }
    if let Some(rest) = plain::serve(&client, stream.stream, &mut endings).await {
        Box::pin(by_hyper(client, false, rest, endings)).await;
    }
}

/// Serves what is not plain: whatever hyper understands.
async fn by_hyper<S>(client: Client, is_h2: bool, stream: Rewound<S>, mut endings: Endings)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let builder = builder(&client.context.options);
    // Whoever has agreed on HTTP/2 is not understood in anything else.
    let builder = if is_h2 { builder.http2_only() } else { builder };
    let client = Arc::new(client);
    let unread = Unread::default();
    let stream = Lingering::new(stream, unread.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let (client, unread) = (client.clone(), unread.clone());
        async move {
            let Client { context, from, agreed, lasting } = &*client;
            let underway = lasting.begin();
            let Site { tasks, stop, .. } = &*context.site;
            let leftover = Leftover::new(request.version(), &unread, tasks, stop);
            let is_first = request.version() != Version::HTTP_2;
            let watch = context.site.observer.begin(&context.entry, from.client, *agreed, &request);
            let unanswered = Unanswered::new(watch.clone());
            let asks_for_head = request.method() == Method::HEAD;
            let (request, blame) = uploaded(context, from, request, &leftover);
            let mut routed = routed(context, from.clone(), watch, request, blame);
            let answer = answer(context, &mut routed).await;
            let mut answer = if asks_for_head { head_of(answer) } else { answer };
            if is_first && lasting.is_spent() && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
                // What was sent ahead is not answered any more.
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(unanswered.end(answer, (leftover.answering(), underway)))
        }
    });
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    loop {
        tokio::select! {
            biased;
            // An error here is the client's: it broke off, or spoke no HTTP.
            _ = connection.as_mut() => return,
            over = poll_fn(|cx| endings.poll(cx)) => match over {
                Over::Close => connection.as_mut().graceful_shutdown(),
                Over::Cut => return,
            },
        }
    }
}

pub(super) fn head_max(options: &EntryPoint) -> Duration {
    options.transport.responding_timeouts.read_timeout.get().unwrap_or(HEAD_MAX)
}

/// Most bytes of a request's head.
pub(super) fn head_bytes_max(options: &EntryPoint) -> usize {
    match options.http.max_header_bytes {
        HEADER_BYTES => HEAD_BYTES_UNASKED,
        asked => asked.clamp(HEAD_BYTES_MIN, HEAD_BYTES_MAX),
    }
}

fn builder(options: &EntryPoint) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    let (head, head_bytes) = (head_max(options), head_bytes_max(options));
    builder.http1().timer(TokioTimer::new()).header_read_timeout(head).max_buf_size(head_bytes);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(options.http2.max_concurrent_streams)
        .max_header_list_size(u32::try_from(head_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(EARLY_RESETS_MAX)
        .max_send_buf_size(STREAM_WAITING_BYTES_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_MAX)
        .enable_connect_protocol();
    builder
}
