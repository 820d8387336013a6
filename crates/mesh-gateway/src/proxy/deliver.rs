//! From a service to a server: choices, copies for others, and another service for when one is unwell.

use super::{
    answer::{Answer, plain, text},
    call::{Call, Unreached},
    handler::Context,
    hop,
    pass::{Way, unread},
    tunnel,
    uploaded::ByClient,
};
use crate::{
    http1::recycle,
    middleware::Exchange,
    snapshot::{Address, Asker, Balancer, Busy, Destination, Fallback, Layered, Mirrored},
    upstream::{Body, SendError, Spool, SpoolError, headed},
};
use http_body_util::BodyExt as _;
use hyper::{
    Method, StatusCode, Version,
    header::{CONTENT_LENGTH, EXPECT, HeaderValue, SET_COOKIE, TRANSFER_ENCODING},
};
use std::{
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

/// Bytes of a body in memory that is sent more than once.
const MEMORY_BYTES: usize = 1 << 20;
/// How long a copy of a request may take.
const COPY_MAX: Duration = Duration::from_secs(60);
/// Most copies under way at a time; further ones are left out.
pub(super) const COPIES_MAX: usize = 1_024;

/// Takes a request to its destination.
pub(super) async fn deliver(context: &Arc<Context>, destination: &Destination, call: &mut Call) -> Answer {
    let mut now = destination;
    let mut cookies: Vec<HeaderValue> = Vec::new();
    let mut answer = loop {
        match now {
            Destination::Weighted(weighted) => {
                let chosen = weighted.choice.choose(asker(call), |at| weighted.is_up(at));
                let Some(chosen) = chosen else { break unavailable() };
                cookies.extend(chosen.cookie);
                let Some(service) = weighted.services.get(chosen.at) else { break unavailable() };
                now = service;
            }
            Destination::Balancer(balancer) => break forward(context, balancer, call, &mut cookies).await,
            Destination::Mirroring(mirrored) => break Box::pin(mirror(context, mirrored, call)).await,
            Destination::Failover(fallback) => break Box::pin(fail_over(context, fallback, call)).await,
            Destination::Layered(Layered { layers, service }) => {
                break Way { context, layers, destination: service }.go(call).await;
            }
            Destination::Own(own) => break context.site.tell(*own, &call.exchange),
        }
    };
    for cookie in cookies {
        answer.headers_mut().append(SET_COOKIE, cookie);
    }
    answer
}

/// The same, for what leads to others.
fn again<'c>(
    context: &'c Arc<Context>,
    destination: &'c Destination,
    call: &'c mut Call,
) -> Pin<Box<dyn Future<Output = Answer> + Send + 'c>> {
    Box::pin(deliver(context, destination, call))
}

fn unavailable() -> Answer {
    text(StatusCode::SERVICE_UNAVAILABLE, "no available server\n")
}

fn asker(call: &Call) -> Asker<'_> {
    let client = call.exchange.client.map(|client| client.ip().to_canonical());
    Asker { headers: &call.exchange.headers, client }
}

/// Sends a request on, and copies of it to others afterwards.
async fn mirror(context: &Arc<Context>, mirrored: &Mirrored, call: &mut Call) -> Answer {
    let mirrors = mirrored.mirrors();
    if mirrors.is_empty() || call.upgrade.is_some() {
        return again(context, &mirrored.service, call).await;
    }
    let mut kept = None;
    if mirrored.body {
        let spool = Spool { bytes_max: mirrored.body_bytes_max, memory_bytes_max: MEMORY_BYTES };
        match spool.read(std::mem::take(&mut call.body)).await {
            Ok(spooled) => {
                call.body = spooled.body();
                kept = Some(spooled);
            }
            Err(SpoolError::TooLarge { body, .. }) => {
                call.body = body;
                return again(context, &mirrored.service, call).await;
            }
            Err(error) => return unread(&error, &call.blame),
        }
    }
    let copy = call.copy(Body::Empty);
    let answer = again(context, &mirrored.service, call).await;
    for mirror in mirrors {
        let Ok(place) = context.site.copies.clone().try_acquire_owned() else {
            tracing::debug!("a copy of a request is left out: too many are under way");
            break;
        };
        let mut copy = copy.copy(kept.as_ref().map_or(Body::Empty, |kept| kept.body()));
        let (of_copy, stop) = (context.clone(), context.site.stop.clone());
        let copied = async move {
            let drained = async {
                let mut body = again(&of_copy, &mirror, &mut copy).await.into_body();
                // What it answers is nobody's.
                while body.frame().await.is_some_and(|frame| frame.is_ok()) {}
            };
            let _ = stop.run_until_cancelled(tokio::time::timeout(COPY_MAX, drained)).await;
            drop(place);
        };
        context.site.tasks.spawn(copied);
    }
    answer
}

/// Sends a request to a service, and to another one if that is unwell, or answers so.
async fn fail_over(context: &Arc<Context>, fallback: &Fallback, call: &mut Call) -> Answer {
    if fallback.is_well() {
        if fallback.statuses.is_empty() || call.upgrade.is_some() {
            return again(context, &fallback.service, call).await;
        }
        let spool = Spool { bytes_max: fallback.body_bytes_max, memory_bytes_max: MEMORY_BYTES };
        let kept = match spool.read(std::mem::take(&mut call.body)).await {
            Ok(kept) => kept,
            Err(error) => return unread(&error, &call.blame),
        };
        let exchange = call.exchange.clone();
        call.body = kept.body();
        let answer = again(context, &fallback.service, call).await;
        if !fallback.statuses.contain(answer.status()) {
            return answer;
        }
        call.exchange = exchange;
        call.body = kept.body();
    }
    if fallback.fallback.is_up() {
        return again(context, &fallback.fallback, call).await;
    }
    plain(StatusCode::SERVICE_UNAVAILABLE)
}

/// Sends a request to the server whose turn it is, and hands its answer on.
async fn forward(
    context: &Arc<Context>,
    balancer: &Balancer,
    call: &mut Call,
    cookies: &mut Vec<HeaderValue>,
) -> Answer {
    let up = |at: usize| balancer.servers.get(at).is_some_and(|server| server.health.is_up());
    let Some(chosen) = balancer.choice.choose(asker(call), up) else {
        balancer.tell_down(Instant::now());
        return unavailable();
    };
    let Some(server) = balancer.servers.get(chosen.at) else { return unavailable() };
    cookies.extend(chosen.cookie);
    let load = balancer.choice.load(chosen.at).filter(|_| balancer.choice.weighs_load());
    let busy = load.map(|load| load.busy());
    context.forwarding.append(&mut call.exchange.headers, &call.from);
    call.exchange.headers.remove(EXPECT);
    let target = target(&call.exchange, &server.path);
    let exchange = &mut call.exchange;
    let host = if balancer.pass_host && !exchange.host.is_empty() { &exchange.host } else { &server.host };
    exchange.watch.sending(&balancer.name, &server.url, &mut exchange.headers);
    let headers = std::mem::take(&mut exchange.headers);
    let body = std::mem::take(&mut call.body);
    let Some(request) = headed(exchange.method.clone(), target, host, headers, body) else {
        return plain(StatusCode::BAD_REQUEST);
    };
    let mut request = Some(request);
    let begin = Instant::now();
    let sent = server.line(&context.site.pool, &balancer.transport).send(&mut request).await;
    if let Some(load) = load.filter(|_| sent.is_ok()) {
        load.took(begin.elapsed());
    }
    let by_client = sent.as_ref().err().and_then(|_| call.blame.status());
    if by_client.is_none() {
        note(balancer, server, sent.as_ref().map(hyper::Response::status));
    }
    call.exchange.watch.received(sent.as_ref().ok().map(hyper::Response::status));
    match sent {
        Ok(answer) => {
            if let Some(mut request) = request {
                recycle(std::mem::take(request.headers_mut()));
            }
            back(context, answer, call, busy)
        }
        Err(error) => {
            let mut answer = plain(by_client.unwrap_or_else(|| error.status()));
            if by_client.is_some() {
                answer.extensions_mut().insert(ByClient);
            } else if !error.reached() {
                answer.extensions_mut().insert(Unreached);
                call.body = request.map(hyper::Request::into_body).unwrap_or_default();
            }
            answer
        }
    }
}

/// What is asked of a server whose own path is this.
fn target(exchange: &Exchange, beneath: &str) -> String {
    // It asks for the server as a whole, which has no path (RFC 9112, section 3.2.4).
    if exchange.path == "*" && exchange.query.is_none() && exchange.method == Method::OPTIONS {
        return "*".to_owned();
    }
    let query = exchange.query.as_deref();
    let mut target =
        String::with_capacity(beneath.len() + exchange.path.len() + query.map_or(1, |it| it.len() + 2));
    let begin = if beneath.is_empty() { &exchange.path } else { beneath };
    let is_sound = begin.starts_with('/') || (begin == "*" && query.is_none());
    if !is_sound {
        target.push('/');
    }
    target.push_str(beneath);
    target.push_str(&exchange.path);
    if let Some(query) = query {
        target.push('?');
        target.push_str(query);
    }
    target
}

/// Tells how a server did.
fn note(balancer: &Balancer, server: &Address, status: Result<StatusCode, &SendError>) {
    if let Err(error) = status {
        let (service, server, error) = (&balancer.name, &server.url, crate::chain(error));
        tracing::debug!(service, server, error, "a server gave no answer");
    }
    if let Some(passive) = &balancer.passive {
        let failed = status.map_or(true, |status| status.is_server_error());
        passive.note(&server.health, failed, Instant::now());
    }
}

/// The server's answer as the client gets it.
fn back(
    context: &Arc<Context>,
    mut answer: hyper::Response<Body>,
    call: &mut Call,
    busy: Option<Busy>,
) -> Answer {
    let switched = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
    let upgrade = hop::upgrade(answer.headers()).filter(|_| switched);
    if answer.headers().contains_key(TRANSFER_ENCODING) {
        // Its chunks say where it ends (RFC 9112, section 6.3), and nobody is to cut it elsewhere.
        answer.headers_mut().remove(CONTENT_LENGTH);
    }
    hop::remove(answer.headers_mut(), |_| false);
    // The server's version is between the gateway and the server.
    *answer.version_mut() = Version::HTTP_11;
    if !switched {
        return match busy {
            Some(busy) => answer.map(|body| body.guarded(busy)),
            None => answer,
        };
    }
    let (Some(upgrade), Some(asked), Body::Switched(server)) =
        (upgrade, call.upgrade.take(), std::mem::take(answer.body_mut()))
    else {
        // A server that goes on with what nobody asked for.
        return plain(StatusCode::BAD_GATEWAY);
    };
    if asked.in_stream {
        // A stream goes on as it is: there is nothing to switch to, and no key to answer (RFC 8441, section 5).
        *answer.status_mut() = StatusCode::OK;
        answer.headers_mut().remove("sec-websocket-accept");
    } else {
        hop::ask_for(answer.headers_mut(), upgrade);
    }
    let joined = tunnel::join(asked.client, *server, context.site.stop.clone());
    context.site.tasks.spawn(async move {
        joined.await;
        drop(busy);
    });
    answer.map(|_| Body::Empty)
}
