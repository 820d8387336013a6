//! Connections to servers, kept for the next request.

use crate::{middleware::Question, snapshot::Transport};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Either, Empty, Limited};
use hyper::{HeaderMap, Request, StatusCode, body::Incoming};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
    time::Duration,
};

/// Most ways of speaking to servers that are kept at a time.
const TRANSPORTS_MAX: usize = 256;
/// Longest that a connection waits for its next request, whatever is configured: many servers close theirs sooner, and
/// a request that meets such an end cannot always be sent again.
const IDLE_MAX: Duration = Duration::from_secs(90);

/// A client's body as it comes, or none.
pub(super) type Outgoing = Either<Incoming, Empty<Bytes>>;
pub(super) type Connections = Client<HttpConnector, Outgoing>;

/// How long a server that is asked about a request may take.
const QUESTION_MAX: Duration = Duration::from_secs(30);

/// Connections, by how servers are spoken to. They outlive a configuration.
#[derive(Debug)]
pub(super) struct Pool {
    servers: RwLock<HashMap<Transport, Connections>>,
    /// To those that are asked about requests.
    advisers: Client<HttpConnector, Empty<Bytes>>,
}

/// Why there is no answer to a question.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("it could not be asked")]
    Request(#[from] hyper::http::Error),
    #[error("it could not be reached")]
    Connect(#[from] hyper_util::client::legacy::Error),
    #[error("it took longer than {QUESTION_MAX:?}")]
    Slow,
    #[error("its answer is too large, or broke off")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Default for Pool {
    fn default() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).timer(TokioTimer::new()).pool_idle_timeout(IDLE_MAX);
        Self { servers: RwLock::default(), advisers: builder.build(connector) }
    }
}

impl Pool {
    pub(super) fn connections(&self, transport: &Transport) -> Connections {
        if let Some(known) = self.servers.read().unwrap_or_else(PoisonError::into_inner).get(transport) {
            return known.clone();
        }
        let mut all = self.servers.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= TRANSPORTS_MAX {
            all.clear();
        }
        all.entry(transport.clone()).or_insert_with(|| connect(transport)).clone()
    }

    /// Asks about a request; the whole answer.
    pub(super) async fn ask(&self, question: Question) -> Result<(StatusCode, HeaderMap, Bytes), AskError> {
        let mut request =
            Request::builder().method(question.method).uri(question.address).body(Empty::new())?;
        *request.headers_mut() = question.headers;
        let asked = async {
            let (head, body) = self.advisers.request(request).await?.into_parts();
            let body =
                Limited::new(body, question.answer_bytes_max).collect().await.map_err(AskError::Body)?;
            Ok((head.status, head.headers, body.to_bytes()))
        };
        tokio::time::timeout(QUESTION_MAX, asked).await.unwrap_or(Err(AskError::Slow))
    }
}

fn connect(transport: &Transport) -> Connections {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(transport.dial);
    let mut builder = Client::builder(TokioExecutor::new());
    builder.pool_timer(TokioTimer::new()).timer(TokioTimer::new());
    builder.pool_idle_timeout(transport.idle.unwrap_or(IDLE_MAX).min(IDLE_MAX));
    builder.pool_max_idle_per_host(transport.idle_connections);
    builder.build(connector)
}
