//! One request: to its router, through the layers, to a server and back.

use super::{
    announced::Announced,
    answer::{Answer, not_found, own, plain, text},
    forwarded::{Connected, Forwarding},
    hop,
    normal::{normalised, resolved},
    pool::{Connections, Outgoing, Pool},
    tunnel,
};
use crate::{
    api::Api,
    certificates::Certificates,
    config::statics::EntryPoint,
    middleware::{Exchange, ForwardAuth, Layer, RateLimit, Reply, Retry},
    observe::{Observer, Watch},
    rule::{Target, canonical_host, routing_path},
    snapshot::{Address, Balancer, Destination, Snapshot},
};
use arc_swap::ArcSwap;
use http_body_util::{Either, Empty};
use hyper::{
    HeaderMap, Method, Request, StatusCode, Uri, Version,
    body::{Body as _, Incoming},
    header::{EXPECT, HOST, HeaderValue, ORIGIN},
    http::uri::PathAndQuery,
    upgrade::OnUpgrade,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What all entry points share.
#[derive(Debug)]
pub(crate) struct Site {
    snapshot: ArcSwap<Snapshot>,
    pub(super) certificates: Arc<Certificates>,
    pub(super) api: Api,
    /// Whether the end has begun.
    pub(super) ending: AtomicBool,
    pub(crate) observer: Arc<Observer>,
    pool: Pool,
    pub(super) tasks: TaskTracker,
    /// Ends what would go on for as long as its client likes.
    pub(super) stop: CancellationToken,
}

impl Site {
    pub(crate) fn new(
        snapshot: Snapshot,
        certificates: Arc<Certificates>,
        api: Api,
        observer: Arc<Observer>,
    ) -> Arc<Self> {
        Arc::new(Self {
            snapshot: ArcSwap::from_pointee(snapshot),
            certificates,
            api,
            ending: AtomicBool::new(false),
            observer,
            pool: Pool::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        })
    }

    /// What requests are routed by from now on; those under way stay with what they began with.
    pub(crate) fn replace(&self, snapshot: Snapshot) {
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
        if tokio::time::timeout(grace, self.tasks.wait()).await.is_err() {
            self.stop.cancel();
            self.tasks.wait().await;
        }
    }
}

/// What is known of an entry point's requests beforehand.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) site: Arc<Site>,
    pub(super) entry: String,
    pub(super) options: EntryPoint,
    pub(super) forwarding: Forwarding,
    /// Whom it believes on whose behalf a connection is, if anybody may say so.
    pub(super) announced: Option<Announced>,
}

/// What is asked for beside the request itself.
struct Asked<'l> {
    /// By the client: to go on with something else than HTTP.
    upgrades: bool,
    /// By the configuration.
    retry: Option<&'l Retry>,
}

/// Answers a request. Whatever goes wrong is an answer too.
pub(super) async fn answer(
    context: &Context,
    from: Connected,
    watch: Watch,
    mut request: Request<Incoming>,
) -> Answer {
    let Some(mut exchange) = exchange(context, from, &request) else {
        return plain(StatusCode::BAD_REQUEST);
    };
    let upgrade = hop::upgrade(request.headers()).filter(|_| request.version() == Version::HTTP_11);
    let web_socket =
        upgrade.as_ref().is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"));
    exchange.watch = watch;
    exchange.headers = std::mem::take(request.headers_mut());
    context.forwarding.rewrite(&mut exchange.headers, &exchange.host, from, web_socket);
    hop::remove(&mut exchange.headers, Forwarding::is_managed);
    if let Some(upgrade) = &upgrade {
        // Rules may ask for it.
        hop::ask_for(&mut exchange.headers, upgrade.clone());
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
    let Some(route) = route else { return not_found() };
    let (layers, destination) = (route.layers.clone(), route.destination.clone());
    exchange.watch.routed(&route.told);
    tracing::trace!(router = %route.name, "a request is routed");
    // A request that takes long does not keep the snapshot it came by.
    drop(snapshot);
    for (passed, layer) in layers.iter().enumerate() {
        let passed_on = match &**layer {
            Layer::ForwardAuth(asker) => ask(context, asker, &mut exchange).await,
            Layer::RateLimit(limit) => wait(limit, &exchange).await,
            layer => before(layer, &mut exchange),
        };
        if let Err(reply) = passed_on {
            let mut answer = own(reply);
            after(&layers[..passed], &exchange, answer.headers_mut());
            return answer;
        }
    }
    let mut answer = match destination.resolve() {
        Some(Destination::Balancer(balancer)) => {
            let retry = layers.iter().rev().find_map(|layer| match &**layer {
                Layer::Retry(retry) => Some(retry),
                _ => None,
            });
            forward(
                context,
                from,
                balancer,
                &mut exchange,
                request,
                Asked { upgrades: upgrade.is_some(), retry },
            )
            .await
        }
        Some(Destination::Own(own)) => context.site.tell(*own, &exchange),
        Some(Destination::Weighted { .. }) | None => {
            text(StatusCode::SERVICE_UNAVAILABLE, "no available server\n")
        }
    };
    after(&layers, &exchange, answer.headers_mut());
    answer
}

/// Has another server say whether a request may. One that cannot be asked lets nobody through.
async fn ask(context: &Context, asker: &ForwardAuth, exchange: &mut Exchange) -> Result<(), Reply> {
    match context.site.pool.ask(asker.question(exchange)).await {
        Ok((status, headers, body)) => asker.answered(exchange, status, headers, body),
        Err(error) => {
            tracing::warn!(error = %crate::chain(&error), "whoever says whether requests may gave no answer");
            Err(Reply::plain(StatusCode::INTERNAL_SERVER_ERROR))
        }
    }
}

/// Waits for a request's turn, if that is not long.
async fn wait(limit: &RateLimit, exchange: &Exchange) -> Result<(), Reply> {
    let wait = limit.admit(exchange, Instant::now())?;
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
    Ok(())
}

/// A layer that hashes passwords takes its time; others get to work meanwhile.
fn before(layer: &Layer, exchange: &mut Exchange) -> Result<(), Reply> {
    if layer.takes_long() {
        tokio::task::block_in_place(|| layer.before(exchange))
    } else {
        layer.before(exchange)
    }
}

fn after(layers: &[Arc<Layer>], exchange: &Exchange, answer: &mut HeaderMap) {
    for layer in layers.iter().rev() {
        layer.after(exchange, answer);
    }
}

/// The request as layers see it; none for one that means nothing, or two things.
fn exchange(context: &Context, from: Connected, request: &Request<Incoming>) -> Option<Exchange> {
    if request.method() == Method::CONNECT {
        // What leads anywhere is a forward proxy's.
        return None;
    }
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
    let sanitize = context.options.http.sanitize_path.unwrap_or(true) && path.starts_with('/');
    let query = request.uri().query().map(|query| match context.options.http.encode_query_semicolons {
        true => query.replace(';', "%3B"),
        false => query.to_owned(),
    });
    Some(Exchange {
        method: request.method().clone(),
        host: host.to_owned(),
        path: if sanitize { resolved(&path) } else { path },
        query,
        headers: HeaderMap::new(),
        client: Some(from.client),
        tls: from.tls,
        origin: request.headers().get(ORIGIN).cloned(),
        watch: Default::default(),
    })
}

/// Sends a request to the server whose turn it is, and hands its answer on; again, if that is asked for.
async fn forward(
    context: &Context,
    from: Connected,
    balancer: &Balancer,
    exchange: &mut Exchange,
    mut request: Request<Incoming>,
    asked: Asked<'_>,
) -> Answer {
    let client_side = asked.upgrades.then(|| hyper::upgrade::on(&mut request));
    let retry = asked.retry.filter(|_| client_side.is_none() && request.body().is_end_stream());
    let connections = context.site.pool.connections(&balancer.transport);
    let mut body = Some(Either::Left(request.into_body()));
    context.forwarding.append(&mut exchange.headers, from.client);
    exchange.headers.remove(EXPECT);
    let mut sent = 0;
    loop {
        let Some(address) = balancer.next() else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "no available server\n");
        };
        let body = body.take().unwrap_or_else(|| Either::Right(Empty::new()));
        let Some(outgoing) = outgoing(balancer, address, exchange, body, retry.is_some()) else {
            return plain(StatusCode::BAD_REQUEST);
        };
        sent += 1;
        let received = send(&connections, outgoing, balancer, address).await;
        let status = received.as_ref().ok().map(hyper::Response::status);
        exchange.watch.received(status);
        if let Some(wait) = retry.and_then(|retry| retry.again(sent, &exchange.method, status)) {
            tokio::time::sleep(wait).await;
            continue;
        }
        return match received {
            Ok(answer) => back(context, answer, client_side),
            Err(status) => plain(status),
        };
    }
}

/// The server's answer, or the status that stands for none.
async fn send(
    connections: &Connections,
    outgoing: Request<Outgoing>,
    balancer: &Balancer,
    address: &Address,
) -> Result<hyper::Response<Incoming>, StatusCode> {
    let sent = connections.request(outgoing);
    let received = match balancer.transport.answer {
        Some(limit) => tokio::time::timeout(limit, sent).await.map_err(|_| StatusCode::GATEWAY_TIMEOUT)?,
        None => sent.await,
    };
    received.map_err(|error| {
        let error = crate::chain(&error);
        tracing::debug!(service = %balancer.name, server = %address.authority, error, "a server gave no answer");
        StatusCode::BAD_GATEWAY
    })
}

/// The request as a server gets it; its headers are kept for another one where that may follow.
fn outgoing(
    balancer: &Balancer,
    address: &Address,
    exchange: &mut Exchange,
    body: Outgoing,
    keep: bool,
) -> Option<Request<Outgoing>> {
    let target = format!("{}{}", address.path, exchange.target());
    let target = if target.starts_with('/') { target } else { format!("/{target}") };
    let uri = Uri::builder().scheme("http").authority(address.authority.as_str());
    let uri = uri.path_and_query(target.parse::<PathAndQuery>().ok()?).build().ok()?;
    let mut headers = if keep { exchange.headers.clone() } else { std::mem::take(&mut exchange.headers) };
    let host =
        if balancer.pass_host && !exchange.host.is_empty() { &exchange.host } else { &address.authority };
    headers.insert(HOST, HeaderValue::from_str(host).ok()?);
    exchange.watch.sending(&balancer.name, &format!("http://{}", address.authority), &mut headers);
    let mut outgoing = Request::new(body);
    *outgoing.method_mut() = exchange.method.clone();
    *outgoing.uri_mut() = uri;
    *outgoing.headers_mut() = headers;
    Some(outgoing)
}

/// The server's answer as the client gets it.
fn back(context: &Context, mut answer: hyper::Response<Incoming>, client: Option<OnUpgrade>) -> Answer {
    let upgrade =
        hop::upgrade(answer.headers()).filter(|_| answer.status() == StatusCode::SWITCHING_PROTOCOLS);
    hop::remove(answer.headers_mut(), |_| false);
    // The server's version is between the gateway and the server.
    *answer.version_mut() = Version::HTTP_11;
    match (upgrade, client) {
        (Some(upgrade), Some(client)) => {
            hop::ask_for(answer.headers_mut(), upgrade);
            let server = hyper::upgrade::on(&mut answer);
            let joined = tunnel::join(client, server, context.site.stop.clone());
            context.site.tasks.spawn(joined);
        }
        // A server that goes on with what nobody asked for.
        (_, None) if answer.status() == StatusCode::SWITCHING_PROTOCOLS => {
            return plain(StatusCode::BAD_GATEWAY);
        }
        _ => {}
    }
    answer.map(Either::Left)
}
