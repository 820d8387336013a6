//! One HTTP/1.1 request. Redirections are answers like any other.

use crate::{
    error::{ProbeError, said},
    tls,
};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http1,
    header::{CONNECTION, HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use mesh_model::probe::HttpQuestion;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

/// Largest head of an answer, in bytes.
pub(crate) const HEAD_BYTES_MAX: usize = 64 << 10;
/// Most of a body that is looked through, in bytes.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Asks, and looks at the answer.
pub(crate) async fn ask(
    stream: TcpStream,
    address: SocketAddr,
    question: &HttpQuestion,
) -> Result<(), ProbeError> {
    if question.tls {
        let failed = |source| ProbeError::Tls { address, source };
        return over(tls::over(stream, address).await.map_err(failed)?, address, question).await;
    }
    over(stream, address, question).await
}

async fn over<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    address: SocketAddr,
    question: &HttpQuestion,
) -> Result<(), ProbeError> {
    let failed = |error: hyper::Error| broken(address, &error);
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    let request = request(address, question)?;
    let asking = async {
        let response = sender.send_request(request).await.map_err(failed)?;
        judge(response, address, question).await
    };
    tokio::pin!(asking);
    tokio::select! { biased;
        result = &mut asking => return result,
        // Its own error is also that of the request, whose answer may still be in its hands.
        _ = connection => {}
    }
    asking.await
}

fn request(address: SocketAddr, question: &HttpQuestion) -> Result<Request<Empty<Bytes>>, ProbeError> {
    let mut request = Request::builder().method(question.method.as_str()).uri(question.path.as_str());
    let has = |name: &str| question.headers.keys().any(|known| known.eq_ignore_ascii_case(name));
    if !has(HOST.as_str()) {
        request = request.header(HOST, address.to_string());
    }
    if !has(USER_AGENT.as_str()) {
        request = request.header(USER_AGENT, "mesh-probe");
    }
    if !has(CONNECTION.as_str()) {
        request = request.header(CONNECTION, "close");
    }
    for (name, value) in &question.headers {
        request = request.header(name, value);
    }
    request.body(Empty::new()).map_err(|error| ProbeError::Protocol {
        address,
        protocol: "asked for",
        reason: format!("the request cannot be made: {error}"),
    })
}

async fn judge(
    response: Response<Incoming>,
    address: SocketAddr,
    question: &HttpQuestion,
) -> Result<(), ProbeError> {
    let status = response.status().as_u16();
    let scheme = if question.tls { "https" } else { "http" };
    let request = || format!("{} {scheme}://{address}{}", question.method, question.path);
    if !(question.status_min..=question.status_max).contains(&status) {
        let wanted = match (question.status_min, question.status_max) {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        };
        return Err(ProbeError::Status { status, wanted, request: request() });
    }
    let Some(wanted) = &question.contains else { return Ok(()) };
    let (mut body, mut seen) = (response.into_body(), Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(address, &error))?;
        if let Some(data) = frame.data_ref() {
            seen.extend_from_slice(&data[..data.len().min(BODY_BYTES_MAX.saturating_sub(seen.len()))]);
        }
        if seen.len() >= BODY_BYTES_MAX {
            break;
        }
    }
    let found = seen.windows(wanted.len().max(1)).any(|window| window == wanted.as_bytes());
    if found { Ok(()) } else { Err(ProbeError::Body { status, wanted: wanted.clone(), request: request() }) }
}

pub(crate) fn broken(address: SocketAddr, error: &hyper::Error) -> ProbeError {
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return ProbeError::Closed { address };
    }
    let mut reason = error.to_string();
    if let Some(cause) = std::error::Error::source(error) {
        reason = format!("{reason}: {cause}");
    }
    ProbeError::Protocol { address, protocol: "HTTP/1.1", reason: said(reason.as_bytes()) }
}
