//! What all requests have in common: a snapshot to be held against, and a way to their router.

use super::{
    announced::Announced,
    answer::{Answer, not_found, plain, text},
    call::{Call, Upgrade},
    deliver::COPIES_MAX,
    forwarded::{Connected, Forwarding},
    hop,
    normal::{normalised, resolved},
    pass::{Way, walk},
    relayed::Relays,
    unwanted::Leftover,
    uploaded::{Admitted, Blame, Uploaded},
};
use crate::{
    api::Api,
    certificates::Certificates,
    config::statics::EntryPoint,
    middleware::{EncodedCharacters, Exchange, Layer},
    observe::{Observer, Watch},
    rule::{Target, canonical_host, routing_path},
    snapshot::{Destination, Snapshot},
    upstream::{Body, Pool},
};
use arc_swap::ArcSwap;
use hyper::{
    HeaderMap, Method, Request, StatusCode, Version,
    body::{Body as _, Incoming},
    header::{HOST, HeaderName, HeaderValue, ORIGIN, TRANSFER_ENCODING},
};
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long connections that are cut may take to end.
const CUT_MAX: std::time::Duration = std::time::Duration::from_secs(5);

/// What all entry points share.
#[derive(Debug)]
pub(crate) struct Site {
    snapshot: ArcSwap<Snapshot>,
    pub(super) certificates: Arc<Certificates>,
    pub(super) api: Api,
    pub(crate) observer: Arc<Observer>,
    /// Whether the end has begun.
    pub(super) ending: AtomicBool,
    pub(super) pool: Arc<Pool>,
    pub(super) tasks: TaskTracker,
    /// Ends what would go on for as long as its client likes.
    pub(super) stop: CancellationToken,
    /// Places of copies of requests.
    pub(super) copies: Arc<Semaphore>,
    /// Ends the questions that the snapshot in force asks servers.
    checks: Mutex<CancellationToken>,
}

impl Site {
    pub(crate) fn new(
        snapshot: Snapshot,
        certificates: Arc<Certificates>,
        api: Api,
        observer: Arc<Observer>,
    ) -> Arc<Self> {
        let site = Self {
            snapshot: ArcSwap::from_pointee(Snapshot::default()),
            certificates,
            api,
            observer,
            ending: AtomicBool::new(false),
            pool: Arc::new(Pool::new()),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            copies: Arc::new(Semaphore::new(COPIES_MAX)),
            checks: Mutex::default(),
        };
        site.replace(snapshot);
        Arc::new(site)
    }

    /// What requests are routed by from now on; those under way stay with what they began with.
    pub(crate) fn replace(&self, snapshot: Snapshot) {
        let stop = self.stop.child_token();
        let before =
            std::mem::replace(&mut *self.checks.lock().unwrap_or_else(PoisonError::into_inner), stop.clone());
        before.cancel();
        snapshot.take_over(&self.current());
        for (service, servers) in snapshot.servers() {
            for server in servers.iter().filter(|server| !server.up) {
                let reason = server.reason.as_deref().unwrap_or_default();
                tracing::debug!(service, server = server.url, reason, "a server stays out");
            }
        }
        for checker in snapshot.checkers() {
            self.tasks.spawn(checker.run(self.pool.clone(), stop.clone()));
        }
        for checker in snapshot.tcp_checkers() {
            self.tasks.spawn(checker.run(stop.clone()));
        }
        self.snapshot.store(Arc::new(snapshot));
    }

    pub(super) fn current(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Tells whoever asks that the end has begun.
    pub(crate) fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Waits for connections to end, and ends them when `grace` is over.
    pub(crate) async fn finish(&self, grace: std::time::Duration) {
        self.tasks.close();
        self.checks.lock().unwrap_or_else(PoisonError::into_inner).cancel();
        if tokio::time::timeout(grace, self.tasks.wait()).await.is_err() {
            self.stop.cancel();
            if tokio::time::timeout(CUT_MAX, self.tasks.wait()).await.is_err() {
                tracing::warn!(connections = self.tasks.len(), "some connections do not end");
            }
        }
        self.pool.close().await;
    }
}

/// What is known of an entry point's requests beforehand.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) site: Arc<Site>,
    pub(super) entry: String,
    pub(super) options: EntryPoint,
    pub(super) forwarding: Forwarding,
    /// Who relays connections to it, and says for whom.
    pub(super) relays: Arc<Relays>,
    /// Whom it believes on whose behalf a connection is, if anybody may say so.
    pub(super) announced: Option<Announced>,
    /// Encoded characters that paths may not have.
    pub(super) characters: Option<EncodedCharacters>,
    pub(super) underscores: Underscores,
}

/// What becomes of headers with underscores in their names, which some servers take for hyphens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Underscores {
    Keep,
    Delete,
    Reject,
}

impl Underscores {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "" | "keep" => Some(Self::Keep),
            "delete" => Some(Self::Delete),
            "reject" => Some(Self::Reject),
            _ => None,
        }
    }

    /// Whether a request goes on with what is left of its headers.
    fn admits(self, headers: &mut HeaderMap) -> bool {
        if self == Self::Keep {
            return true;
        }
        let found = headers.keys().filter(|name| name.as_str().contains('_')).cloned();
        let found: Vec<HeaderName> = found.collect();
        for name in &found {
            headers.remove(name);
        }
        self == Self::Delete || found.is_empty()
    }
}

/// A request as a client sends it, and whose fault it is if it does not come whole.
pub(super) fn uploaded(
    context: &Context,
    from: &Connected,
    request: Request<Incoming>,
    leftover: &Leftover,
) -> (Request<Body>, Blame) {
    let blame = Blame::default();
    let admitted = Admitted { underscores: context.underscores, managed: context.forwarding.believes(from) };
    let (version, within) =
        (request.version(), context.options.transport.responding_timeouts.read_timeout.get());
    let request = request.map(|body| match body.is_end_stream() {
        true => Body::Incoming(body),
        false => Body::made(Uploaded::new(body, version, within, blame.clone(), admitted, leftover.clone())),
    });
    (request, blame)
}

/// A request that is on its way to somebody who answers it.
#[derive(Debug)]
pub(super) struct Routed {
    call: Call,
    layers: Arc<[Arc<Layer>]>,
    destination: Arc<Destination>,
}

/// Finds out where a request leads. Whatever goes wrong is an answer too.
pub(super) fn routed(
    context: &Context,
    from: Connected,
    watch: Watch,
    mut request: Request<Body>,
    blame: Blame,
) -> Result<Routed, Box<Answer>> {
    let mut exchange =
        exchange(context, &from, &request).ok_or_else(|| Box::new(plain(StatusCode::BAD_REQUEST)))?;
    if !context.underscores.admits(request.headers_mut()) {
        return Err(Box::new(plain(StatusCode::BAD_REQUEST)));
    }
    if has_unknown_coding(request.headers()) {
        return Err(Box::new(plain(StatusCode::NOT_IMPLEMENTED)));
    }
    let upgrade = upgrade(&mut request);
    let web_socket = upgrade.as_ref().is_some_and(Upgrade::is_web_socket);
    exchange.watch = watch;
    exchange.headers = std::mem::take(request.headers_mut());
    context.forwarding.rewrite(&mut exchange.headers, &exchange.host, &from, web_socket);
    hop::remove(&mut exchange.headers, Forwarding::is_managed);
    if let Some(upgrade) = &upgrade {
        // Rules may ask for it.
        upgrade.ask(&mut exchange.headers);
    }
    let snapshot = context.site.current();
    let route = snapshot.entry_points.get(&context.entry).and_then(|table| {
        table.find(
            &Target {
                method: exchange.method.as_str(),
                host: &canonical_host(&exchange.host),
                path: &routing_path(&exchange.path)?,
                query: exchange.query.as_deref().unwrap_or_default(),
                headers: &exchange.headers,
                client: Some(from.client.ip().to_canonical()),
            },
            from.tls,
        )
    });
    let route = route.ok_or_else(|| Box::new(not_found()))?;
    if route.options.as_ref().is_some_and(|options| from.tls && *options != from.options) {
        // A name that was asked for first, with weaker options, does not lead to what stronger ones guard.
        return Err(Box::new(text(StatusCode::MISDIRECTED_REQUEST, "Misdirected Request\n")));
    }
    exchange.watch.routed(&route.told);
    tracing::trace!(router = %route.name, "a request is routed");
    // A request that takes long does not keep the snapshot it came by.
    let (layers, destination) = (route.layers.clone(), route.destination.clone());
    let body = exchange.watch.counted(request.into_body());
    Ok(Routed { call: Call { exchange, body, from, upgrade, blame }, layers, destination })
}

/// The answer to a request, once.
pub(super) async fn answer(context: &Arc<Context>, routed: &mut Result<Routed, Box<Answer>>) -> Answer {
    match routed {
        Ok(Routed { call, layers, destination }) => walk(Way { context, layers, destination }, call).await,
        Err(answer) => std::mem::take(&mut **answer),
    }
}

/// Whether a body comes in a coding that would have to be taken off to send it on (RFC 9112, section 6.1).
fn has_unknown_coding(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(TRANSFER_ENCODING).into_iter();
    let mut codings = codings.flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    codings.any(|coding| !coding.trim_ascii().eq_ignore_ascii_case(b"chunked"))
}

/// What a client wants to go on with, in the way of its version of HTTP.
fn upgrade(request: &mut Request<Body>) -> Option<Upgrade> {
    let in_stream = request.extensions().get::<hyper::ext::Protocol>().is_some();
    let protocol = match request.extensions().get::<hyper::ext::Protocol>() {
        Some(protocol) => HeaderValue::from_str(protocol.as_str()).ok()?,
        None => hop::upgrade(request.headers()).filter(|_| request.version() == Version::HTTP_11)?,
    };
    Some(Upgrade { protocol, client: hyper::upgrade::on(request), in_stream })
}

/// Whether a stream of HTTP/2 is to go on as a web socket (RFC 8441).
fn is_web_socket_stream(request: &Request<Body>) -> bool {
    let protocol = request.extensions().get::<hyper::ext::Protocol>();
    protocol.is_some_and(|protocol| protocol.as_str().eq_ignore_ascii_case("websocket"))
}

/// The request as layers see it; none for one that means nothing, or two things.
fn exchange(context: &Context, from: &Connected, request: &Request<Body>) -> Option<Exchange> {
    let method = match request.method() {
        // To a server it is what a web socket of HTTP/1.1 is.
        &Method::CONNECT if is_web_socket_stream(request) => Method::GET,
        // What leads anywhere is a forward proxy's.
        &Method::CONNECT => return None,
        method => method.clone(),
    };
    let mut named = request.headers().get_all(HOST).iter();
    let host = match (request.uri().authority(), named.next(), named.next()) {
        (_, _, Some(_)) => return None,
        (Some(authority), ..) => authority.as_str(),
        (None, Some(host), None) => host.to_str().ok()?,
        (None, None, None) if request.version() <= Version::HTTP_10 => "",
        (None, None, None) => return None,
    };
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let path = normalised(request.uri().path())?;
    if context.characters.as_ref().is_some_and(|characters| !characters.admits(&path)) {
        return None;
    }
    let sanitize = context.options.http.sanitize_path.unwrap_or(true) && path.starts_with('/');
    let query = request.uri().query().map(|query| match context.options.http.encode_query_semicolons {
        true => query.replace(';', "%3B"),
        false => query.to_owned(),
    });
    Some(Exchange {
        method,
        host: host.to_owned(),
        path: if sanitize { resolved(path) } else { path },
        query,
        headers: HeaderMap::new(),
        client: Some(from.client),
        tls: from.tls,
        origin: request.headers().get(ORIGIN).cloned(),
        peer: from.peer.clone(),
        cookies: Vec::new(),
        published: context.site.current().published.clone(),
        watch: Watch::default(),
    })
}
