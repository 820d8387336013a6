//! `grpc.health.v1.Health/Check` over HTTP/2 without TLS.
//!
//! The request is one message with one text, the answer one with one number; both are read and written here
//! as they are on the wire.

use crate::error::{ProbeError, said};
use bytes::{BufMut, Bytes, BytesMut};
use h2::{RecvStream, client};
use hyper::{HeaderMap, Request, StatusCode};
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// Largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// What a server without the health service answers.
const UNIMPLEMENTED: &str = "12";
/// Its words for a service it does not know.
const NOT_FOUND: &str = "5";

/// Asks, and looks at the answer.
pub(crate) async fn ask(stream: TcpStream, address: SocketAddr, service: &str) -> Result<(), ProbeError> {
    let failed = |error: h2::Error| broken(address, &error);
    let (sender, connection) = client::Builder::new()
        .initial_window_size(u32::try_from(ANSWER_BYTES_MAX).unwrap_or(u32::MAX))
        .max_header_list_size(16 << 10)
        .handshake::<_, Bytes>(stream)
        .await
        .map_err(failed)?;
    let asking = async {
        let mut sender = sender.ready().await.map_err(failed)?;
        let (response, mut body) = sender.send_request(request(address)?, false).map_err(failed)?;
        body.send_data(message(service), true).map_err(failed)?;
        let response = response.await.map_err(failed)?;
        if response.status() != StatusCode::OK {
            let reason = format!("status {}", response.status().as_u16());
            return Err(ProbeError::Protocol { address, protocol: "gRPC", reason });
        }
        status(response.headers(), address, service)?;
        let (answer, trailers) = read(response.into_body()).await.map_err(failed)?;
        status(&trailers, address, service)?;
        judge(&answer, address, service)
    };
    tokio::pin!(asking);
    tokio::select! { biased;
        result = &mut asking => return result,
        // Its own error is also that of the request.
        _ = connection => {}
    }
    asking.await
}

fn request(address: SocketAddr) -> Result<Request<()>, ProbeError> {
    Request::builder()
        .method("POST")
        .uri(format!("http://{address}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "mesh-probe")
        .body(())
        .map_err(|error| ProbeError::Protocol { address, protocol: "asked for", reason: error.to_string() })
}

/// `HealthCheckRequest { service }` behind its frame's head: not compressed, and its length.
fn message(service: &str) -> Bytes {
    let mut fields = BytesMut::new();
    if !service.is_empty() {
        fields.put_u8(0x0A);
        let mut length = service.len();
        while length >= 0x80 {
            fields.put_u8(u8::try_from(length & 0x7F).unwrap_or(0) | 0x80);
            length >>= 7;
        }
        fields.put_u8(u8::try_from(length).unwrap_or(0));
        fields.put_slice(service.as_bytes());
    }
    let mut framed = BytesMut::with_capacity(5 + fields.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(fields.len()).unwrap_or(0));
    framed.put(fields);
    framed.freeze()
}

async fn read(mut body: RecvStream) -> Result<(Vec<u8>, HeaderMap), h2::Error> {
    let mut answer = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        answer.extend_from_slice(&data[..data.len().min(ANSWER_BYTES_MAX.saturating_sub(answer.len()))]);
        if answer.len() >= ANSWER_BYTES_MAX {
            break;
        }
    }
    Ok((answer, body.trailers().await?.unwrap_or_default()))
}

/// The status of the call, in the head or the trailers; 0 and none yet are fine.
fn status(headers: &HeaderMap, address: SocketAddr, service: &str) -> Result<(), ProbeError> {
    let Some(code) = headers.get("grpc-status").and_then(|code| code.to_str().ok()) else { return Ok(()) };
    let words = headers.get("grpc-message").map(|text| said(text.as_bytes())).unwrap_or_default();
    let said = match code {
        "0" => return Ok(()),
        UNIMPLEMENTED => format!("it has no health service (status 12) {words}"),
        NOT_FOUND => format!("it does not know service `{service}` (status 5) {words}"),
        code => format!("status {} {words}", said(code.as_bytes())),
    };
    Err(ProbeError::Said { server: "gRPC", address, said: said.trim_end().to_owned() })
}

/// Looks for field 1 of `HealthCheckResponse`; a status that is 0 is left out on the wire.
fn judge(answer: &[u8], address: SocketAddr, service: &str) -> Result<(), ProbeError> {
    let wrong = |reason: &str| ProbeError::Protocol { address, protocol: "gRPC", reason: reason.to_owned() };
    let Some((head, rest)) = answer.split_at_checked(5) else { return Err(wrong("it is empty")) };
    if head[0] != 0 {
        return Err(wrong("it is compressed, which was not asked for"));
    }
    let status = match rest {
        [] => 0,
        [0x08, status, ..] => *status,
        _ => return Err(wrong("it is not a HealthCheckResponse")),
    };
    let word = match status {
        1 => return Ok(()),
        2 => "NOT_SERVING",
        3 => "SERVICE_UNKNOWN",
        _ => "UNKNOWN",
    };
    let of = if service.is_empty() { String::new() } else { format!(" of service `{service}`") };
    Err(ProbeError::Said { server: "gRPC", address, said: format!("health{of} is {word}") })
}

fn broken(address: SocketAddr, error: &h2::Error) -> ProbeError {
    if error.is_io() && error.get_io().is_some_and(|io| io.kind() == std::io::ErrorKind::UnexpectedEof) {
        return ProbeError::Closed { address };
    }
    ProbeError::Protocol { address, protocol: "HTTP/2", reason: said(error.to_string().as_bytes()) }
}
