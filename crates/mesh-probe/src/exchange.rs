//! One question over HTTP/1.1 with its whole answer, within bounds.

use crate::{error::ProbeError, http, tls};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request,
    client::conn::http1,
    header::{CONNECTION, CONTENT_TYPE, HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use mesh_redact::Secret;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

/// Largest body of an answer, in bytes.
const BODY_BYTES_MAX: usize = 1 << 20;

/// A question.
#[derive(Debug)]
pub struct Exchange<'a> {
    /// Whether TLS is spoken, whosever certificate the server shows.
    pub tls: bool,
    /// The path.
    pub path: &'a str,
    /// Headers beside those of every question.
    pub headers: &'a [(&'static str, Secret<String>)],
    /// What is posted, as JSON; `None`: it is a GET.
    pub body: Option<&'a Secret<Vec<u8>>>,
}

/// Asks over `stream`, a connection to the server; `address` is only for telling. Gives the status and the body,
/// whatever they say.
///
/// # Errors
/// [`ProbeError`], where there is no answer, or one that is too large.
pub async fn exchange(
    stream: TcpStream,
    address: SocketAddr,
    exchange: &Exchange<'_>,
) -> Result<(u16, Secret<Vec<u8>>), ProbeError> {
    if exchange.tls {
        let failed = |source| ProbeError::Tls { address, source };
        return over(tls::over(stream, address).await.map_err(failed)?, address, exchange).await;
    }
    over(stream, address, exchange).await
}

async fn over<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    address: SocketAddr,
    exchange: &Exchange<'_>,
) -> Result<(u16, Secret<Vec<u8>>), ProbeError> {
    let failed = |error: hyper::Error| http::broken(address, &error);
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(http::HEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    let request = request(address, exchange)?;
    let asking = async {
        let response = sender.send_request(request).await.map_err(failed)?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
        let body = body.map_err(|error| ProbeError::Protocol {
            address,
            protocol: "HTTP/1.1",
            reason: format!("its body cannot be read: {error}"),
        })?;
        Ok((status, Secret::new(body.to_bytes().to_vec())))
    };
    tokio::pin!(asking);
    tokio::select! { biased;
        result = &mut asking => return result,
        // Its own error is also that of the request, whose answer may still be in its hands.
        _ = connection => {}
    }
    asking.await
}

fn request(address: SocketAddr, exchange: &Exchange<'_>) -> Result<Request<Full<Bytes>>, ProbeError> {
    let method = if exchange.body.is_some() { Method::POST } else { Method::GET };
    let mut request = Request::builder()
        .method(method)
        .uri(exchange.path)
        .header(HOST, address.to_string())
        .header(USER_AGENT, "mesh")
        .header(CONNECTION, "close");
    if exchange.body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    for (name, value) in exchange.headers {
        request = request.header(*name, value.expose());
    }
    let body = exchange.body.map(|body| body.expose().clone()).unwrap_or_default();
    // Its reason is not told: it may repeat a header.
    request.body(Full::new(Bytes::from(body))).map_err(|_| ProbeError::Protocol {
        address,
        protocol: "asked for",
        reason: "the request cannot be made".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    /// What a server heard that answers so, and what came of it.
    async fn ask(answer: String, body: Option<&str>) -> (String, Result<(u16, String), ProbeError>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut heard, mut part) = (String::new(), [0; 4096]);
            while !heard.ends_with("\r\n\r\n") && !heard.ends_with('}') {
                let count = stream.read(&mut part).await.unwrap();
                heard.push_str(std::str::from_utf8(&part[..count]).unwrap());
            }
            // Whoever has enough of the answer has left.
            let _ = stream.write_all(answer.as_bytes()).await;
            heard
        });
        let body = body.map(|text| Secret::new(text.as_bytes().to_vec()));
        let headers = [("X-Vault-Token", Secret::new("hunter2".to_owned()))];
        let question = Exchange { tls: false, path: "/v1/x", headers: &headers, body: body.as_ref() };
        let stream = TcpStream::connect(address).await.unwrap();
        let outcome = exchange(stream, address, &question).await;
        let text = |body: Secret<Vec<u8>>| String::from_utf8(body.expose().clone()).unwrap();
        (server.await.unwrap(), outcome.map(|(status, body)| (status, text(body))))
    }

    #[tokio::test]
    async fn an_answer_of_any_status_is_given() {
        let answer = "HTTP/1.1 503 Sealed\r\nContent-Length: 2\r\n\r\n{}".to_owned();
        let (heard, outcome) = ask(answer.clone(), Some("{\"a\":1}")).await;
        assert!(heard.starts_with("POST /v1/x HTTP/1.1\r\n") && heard.ends_with("{\"a\":1}"), "{heard}");
        assert!(heard.to_ascii_lowercase().contains("x-vault-token: hunter2"), "{heard}");
        assert_eq!(outcome.unwrap(), (503, "{}".to_owned()));
        let (heard, outcome) = ask(answer, None).await;
        assert!(heard.starts_with("GET /v1/x"), "{heard}");
        assert_eq!(outcome.unwrap().0, 503);
    }

    #[tokio::test]
    async fn what_is_no_answer_or_too_large_is_refused() {
        let large = BODY_BYTES_MAX + 1;
        let large = format!("HTTP/1.1 200 OK\r\nContent-Length: {large}\r\n\r\n{}", "x".repeat(large));
        for answer in [String::new(), "SSH-2.0-x\r\n".to_owned(), large] {
            let (_, outcome) = ask(answer, None).await;
            assert!(!outcome.unwrap_err().to_string().contains("hunter2"));
        }
    }
}
