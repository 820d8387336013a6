//! The way of a request through its layers to its destination, and of the answer back.
//!
//! Layers that only look at heads are gone through in a loop. One that has to do with everything behind it, because it
//! sends requests again or changes bodies, is around the rest of the way ([`super::around`]).

use super::{
    answer::{Answer, own, plain},
    around,
    call::Call,
    deliver::deliver,
    handler::Context,
    uploaded::{Blame, ByClient},
};
use crate::{
    middleware::{Exchange, ForwardAuth, Layer, RateLimit, Reply},
    snapshot::Destination,
    upstream::{Body, SendError, Spool, SpoolError, headed},
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::{HeaderMap, StatusCode};
use std::{
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a server that is asked about a request may take.
const QUESTION_MAX: Duration = Duration::from_secs(30);
/// Bytes of a body in memory that another server is asked about.
const QUESTION_MEMORY_BYTES: usize = 1 << 20;

/// Why there is no answer to a question.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("it could not be asked")]
    Request,
    #[error("it could not be reached")]
    Send(#[from] SendError),
    #[error("it took longer than {QUESTION_MAX:?}")]
    Slow,
    #[error("its answer is too large, or broke off")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What is left of a request's way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way<'w> {
    pub(super) context: &'w Arc<Context>,
    pub(super) layers: &'w [Arc<Layer>],
    pub(super) destination: &'w Destination,
}

impl<'w> Way<'w> {
    /// The same as [`walk`], for what is around it.
    pub(super) fn go<'c>(self, call: &'c mut Call) -> Pin<Box<dyn Future<Output = Answer> + Send + 'c>>
    where
        'w: 'c,
    {
        Box::pin(walk(self, call))
    }
}

/// Takes a request through the layers that are left to its destination. What few requests need has its own place in
/// memory: the others stay small.
pub(super) async fn walk(way: Way<'_>, call: &mut Call) -> Answer {
    for (passed, layer) in way.layers.iter().enumerate() {
        call.exchange.watch.entered(way.layers.len() - passed);
        if layer.is_around() {
            let rest = Way { layers: &way.layers[passed + 1..], ..way };
            let mut answer = Box::pin(around::around(layer, rest, call)).await;
            after(&way.layers[..passed], &call.exchange, answer.headers_mut());
            return answer;
        }
        let passed_on = match &**layer {
            Layer::ForwardAuth(asker) => Box::pin(ask(way.context, asker, call)).await,
            Layer::RateLimit(limit) => wait(limit, &call.exchange).await,
            other if other.takes_long() => Box::pin(aside(layer, &mut call.exchange)).await,
            other => other.before(&mut call.exchange),
        };
        if let Err(reply) = passed_on {
            let mut answer = own(reply);
            after(&way.layers[..passed], &call.exchange, answer.headers_mut());
            return answer;
        }
    }
    let mut answer = deliver(way.context, way.destination, call).await;
    after(way.layers, &call.exchange, answer.headers_mut());
    answer
}

/// Has another server say whether a request may. One that cannot be asked lets nobody through.
async fn ask(context: &Arc<Context>, asker: &ForwardAuth, call: &mut Call) -> Result<(), Reply> {
    let mut body = Body::Empty;
    if let Some(bytes_max) = asker.body_bytes_max() {
        let spool = Spool { bytes_max, memory_bytes_max: QUESTION_MEMORY_BYTES };
        match spool.read(std::mem::take(&mut call.body)).await {
            Ok(spooled) => (body, call.body) = (spooled.body(), spooled.body()),
            Err(SpoolError::TooLarge { .. }) => return Err(Reply::empty(StatusCode::UNAUTHORIZED)),
            Err(error) => {
                tracing::debug!(error = %crate::chain(&error), "a request's body could not be read");
                return Err(Reply::empty(StatusCode::INTERNAL_SERVER_ERROR));
            }
        }
    }
    match answered(context, asker, &call.exchange, body).await {
        Ok((status, headers, body)) => asker.answered(&mut call.exchange, status, headers, body),
        Err(AskError::Body(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Reply::empty(StatusCode::UNAUTHORIZED))
        }
        Err(error) => {
            tracing::warn!(error = %crate::chain(&error), "whoever says whether requests may gave no answer");
            Err(Reply::empty(StatusCode::INTERNAL_SERVER_ERROR))
        }
    }
}

async fn answered(
    context: &Context,
    asker: &ForwardAuth,
    exchange: &Exchange,
    body: Body,
) -> Result<(StatusCode, HeaderMap, Bytes), AskError> {
    let question = asker.question(exchange);
    let line = asker.line(&context.site.pool);
    let request = headed(question.method, question.target, &question.host, question.headers, body);
    let mut request = Some(request.ok_or(AskError::Request)?);
    let asked = async {
        let (head, body) = line.send(&mut request).await?.into_parts();
        let body = Limited::new(body, question.answer_bytes_max).collect().await.map_err(AskError::Body)?;
        Ok((head.status, head.headers, body.to_bytes()))
    };
    tokio::time::timeout(QUESTION_MAX, asked).await.unwrap_or(Err(AskError::Slow))
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
async fn aside(layer: &Arc<Layer>, exchange: &mut Exchange) -> Result<(), Reply> {
    let (layer, mut taken) = (layer.clone(), std::mem::take(exchange));
    let done = tokio::task::spawn_blocking(move || (layer.before(&mut taken), taken)).await;
    // Not done only where the layer itself is at fault, or where all ends.
    let Ok((verdict, back)) = done else { return Err(Reply::empty(StatusCode::INTERNAL_SERVER_ERROR)) };
    *exchange = back;
    verdict
}

fn after(layers: &[Arc<Layer>], exchange: &Exchange, answer: &mut HeaderMap) {
    for layer in layers.iter().rev() {
        layer.after(exchange, answer);
    }
}

/// What stands for a body that could not be read whole.
pub(super) fn unread(error: &SpoolError, blame: &Blame) -> Answer {
    tracing::debug!(error = %crate::chain(error), "a body could not be read");
    match error {
        SpoolError::TooLarge { .. } => plain(StatusCode::PAYLOAD_TOO_LARGE),
        SpoolError::Broken(_) => {
            let mut answer = plain(blame.status().unwrap_or(StatusCode::BAD_REQUEST));
            answer.extensions_mut().insert(ByClient);
            answer
        }
        SpoolError::File(_) => plain(StatusCode::INTERNAL_SERVER_ERROR),
    }
}
