//! Layers around the rest of a request's way: those that send it again, read bodies whole, change them, or count
//! requests for as long as they last.

use super::{
    answer::{Answer, own, plain},
    call::{Call, Unreached},
    deliver::deliver,
    pass::{Way, unread},
    shape,
    uploaded::{Blame, ByClient},
};
use crate::{
    middleware::{
        Attempt, Breaker, Buffering, Compress, Errors, GrpcWeb, Layer, Retry, SNIFFED_BYTES, Watched, sniffed,
    },
    upstream::{Body, Spool, SpoolError},
};
use http_body_util::BodyExt as _;
use hyper::{
    Method, StatusCode,
    body::Body as _,
    header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, TRANSFER_ENCODING},
};
use std::{sync::Arc, time::Instant};

/// Bytes of a body in memory that may be sent again.
const MEMORY_BYTES: usize = 2 << 20;

/// Takes a request through a layer and what is behind it.
pub(super) async fn around(layer: &Layer, rest: Way<'_>, call: &mut Call) -> Answer {
    match layer {
        Layer::Retry(layer) => retry(layer, rest, call).await,
        Layer::InFlight(layer) => match layer.admit(&call.exchange) {
            Ok(counted) => rest.go(call).await.map(|body| body.guarded(counted)),
            Err(reply) => own(reply),
        },
        Layer::Buffering(layer) => buffer(layer, rest, call).await,
        Layer::Errors(layer) => pages(layer, rest, call).await,
        Layer::Breaker(layer) => breaker(layer, rest, call).await,
        Layer::Compress(layer) => compress(layer, rest, call).await,
        Layer::ContentType => content_type(rest, call).await,
        Layer::GrpcWeb(layer) => grpc_web(layer, rest, call).await,
        _ => rest.go(call).await,
    }
}

async fn retry(layer: &Retry, rest: Way<'_>, call: &mut Call) -> Answer {
    let begin = Instant::now();
    let mut minds = call.upgrade.is_none() && layer.minds_answers(&call.exchange.method);
    let mut kept = None;
    if minds && !call.body.is_empty() {
        let spool = Spool { bytes_max: layer.body_bytes_max(), memory_bytes_max: MEMORY_BYTES };
        match spool.read(std::mem::take(&mut call.body)).await {
            Ok(spooled) => {
                call.body = spooled.body();
                kept = Some(spooled);
            }
            // It goes on as it comes, and what is answered stands.
            Err(SpoolError::TooLarge { body, .. }) => (call.body, minds) = (body, false),
            Err(error) => return unread(&error, &call.blame),
        }
    }
    let exchange = call.exchange.clone();
    let mut sent = 0;
    loop {
        let answer = rest.go(call).await;
        sent += 1;
        let attempt = match answer.extensions().get::<Unreached>() {
            Some(Unreached) => Attempt::Unreached(answer.status()),
            None => Attempt::Answered(answer.status()),
        };
        let Some(wait) = layer.again(sent, begin, attempt, minds) else { return answer };
        drop(answer);
        tokio::time::sleep(wait).await;
        call.exchange.clone_from(&exchange);
        if let Some(kept) = &kept {
            call.body = kept.body();
        }
    }
}

async fn buffer(layer: &Buffering, rest: Way<'_>, call: &mut Call) -> Answer {
    if call.upgrade.is_some() {
        return rest.go(call).await;
    }
    let kept = match layer.request.read(std::mem::take(&mut call.body)).await {
        Ok(kept) => kept,
        Err(error) => return unread(&error, &call.blame),
    };
    call.exchange.headers.remove(TRANSFER_ENCODING);
    if call.exchange.headers.contains_key(CONTENT_LENGTH) || kept.len() > 0 {
        call.exchange.headers.insert(CONTENT_LENGTH, HeaderValue::from(kept.len()));
    }
    let exchange = call.exchange.clone();
    let mut sent = 0;
    loop {
        call.body = kept.body();
        let (mut head, body) = rest.go(call).await.into_parts();
        sent += 1;
        let read = match layer.answer.read(body).await {
            Ok(read) => read,
            Err(error) => {
                tracing::debug!(error = %crate::chain(&error), "an answer could not be read whole");
                return plain(StatusCode::INTERNAL_SERVER_ERROR);
            }
        };
        if layer.again(sent, &exchange.method, head.status) {
            call.exchange.clone_from(&exchange);
            continue;
        }
        // A length that was told for an answer without a body (to HEAD) stays.
        if read.len() > 0 {
            head.headers.insert(CONTENT_LENGTH, HeaderValue::from(read.len()));
        }
        return Answer::from_parts(head, read.body());
    }
}

async fn pages(layer: &Errors, rest: Way<'_>, call: &mut Call) -> Answer {
    let asked = call.exchange.clone();
    let answer = rest.go(call).await;
    let found = answer.status();
    let Some(pages) = layer.pages(found).cloned() else { return answer };
    let copy = Call {
        exchange: layer.question(&asked, found),
        body: Body::Empty,
        from: call.from.clone(),
        upgrade: None,
        blame: Blame::default(),
    };
    drop(answer);
    let context = rest.context.clone();
    // Pages may have services of any kind behind them.
    let asked: std::pin::Pin<Box<dyn Future<Output = Answer> + Send>> = Box::pin(async move {
        let mut copy = copy;
        deliver(&context, &pages, &mut copy).await
    });
    let mut page = asked.await;
    *page.status_mut() = layer.status(found);
    page
}

async fn breaker(layer: &Arc<Breaker>, rest: Way<'_>, call: &mut Call) -> Answer {
    let begin = Instant::now();
    if let Err(reply) = layer.admit(begin) {
        return own(reply);
    }
    let answer = rest.go(call).await;
    if answer.extensions().get::<ByClient>().is_some() {
        return answer;
    }
    let watched = Watched::new(layer, begin, answer.status());
    if answer.body().is_end_stream() {
        return answer;
    }
    answer.map(|body| body.guarded(watched))
}

async fn compress(layer: &Compress, rest: Way<'_>, call: &mut Call) -> Answer {
    let Some(encoding) = layer.wanted(&call.exchange) else { return rest.go(call).await };
    let mut answer = rest.go(call).await;
    let length = answer.body().size_hint().exact();
    let status = answer.status();
    if !layer.applies(encoding, status, answer.headers_mut(), length) {
        return answer;
    }
    answer.map(|body| shape::compressed(encoding, body))
}

/// Says what an answer is, if it does not.
async fn content_type(rest: Way<'_>, call: &mut Call) -> Answer {
    let answer = rest.go(call).await;
    if answer.headers().contains_key(CONTENT_TYPE) || answer.body().is_end_stream() {
        return answer;
    }
    let (mut head, mut body) = answer.into_parts();
    let Some(first) = body.frame().await else { return Answer::from_parts(head, Body::Empty) };
    if let Ok(data) = first.as_ref().map(|frame| frame.data_ref()) {
        let bytes = data.map_or(&[][..], |data| &data[..data.len().min(SNIFFED_BYTES)]);
        head.headers.insert(CONTENT_TYPE, HeaderValue::from_static(sniffed(bytes)));
    }
    Answer::from_parts(head, shape::begun(first, body))
}

async fn grpc_web(layer: &GrpcWeb, rest: Way<'_>, call: &mut Call) -> Answer {
    if let Some(reply) = layer.preflight(&call.exchange) {
        return own(reply);
    }
    let Some(spelling) = GrpcWeb::begin(&mut call.exchange) else { return rest.go(call).await };
    call.body = shape::from_web(spelling, std::mem::take(&mut call.body));
    let asked = call.exchange.clone();
    let mut answer = rest.go(call).await;
    let grpc = answer
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if !grpc {
        return answer;
    }
    // Where there is no body, what would be in trailers is in the head.
    let status = HeaderName::from_static("grpc-status");
    let only = answer.headers().contains_key(&status) && answer.body().is_end_stream();
    layer.end(&asked, spelling, answer.headers_mut());
    debug_assert_eq!(asked.method, Method::POST, "nothing else is gRPC");
    if only { answer } else { answer.map(|body| shape::to_web(spelling, body)) }
}
