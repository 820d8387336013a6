//! A PostgreSQL session: opened, and, where that takes no password, used for one query.
//!
//! A server that asks for a password is ready: it answers to no other question before it is given one.
//! Protocol 3.0, see "Frontend/Backend Protocol" of its documentation.

use crate::error::{ProbeError, said};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const SERVER: &str = "PostgreSQL";
/// Protocol 3.0.
const PROTOCOL: u32 = 3 << 16;
/// Largest message that is read, in bytes.
const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Most messages between two that count (parameters, notices).
const MESSAGES_MAX: usize = 1000;

/// Opens a session, and asks.
pub(crate) async fn ask(
    mut stream: TcpStream,
    address: SocketAddr,
    user: &str,
    database: &str,
) -> Result<(), ProbeError> {
    let lost = ProbeError::lost(address);
    stream.write_all(&startup(user, database)).await.map_err(&lost)?;
    let request = until(&mut stream, address, b'R').await?;
    if !request.starts_with(&[0; 4]) {
        // It wants a password. That the connection ends here is what it is used to from its own clients.
        return Ok(());
    }
    until(&mut stream, address, b'Z').await?;
    stream.write_all(b"Q\0\0\0\x0DSELECT 1\0").await.map_err(&lost)?;
    until(&mut stream, address, b'Z').await?;
    // An end that it is told of is not worth a line in its log. It may have ended first.
    let _ = stream.write_all(b"X\0\0\0\x04").await;
    Ok(())
}

fn startup(user: &str, database: &str) -> Vec<u8> {
    let mut body = PROTOCOL.to_be_bytes().to_vec();
    for text in ["user", user, "database", database, "application_name", "mesh-probe"] {
        body.extend_from_slice(text.as_bytes());
        body.push(0);
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [length.to_be_bytes().to_vec(), body].concat()
}

/// Reads on to the next message of a kind; an error of the server ends it.
async fn until(stream: &mut TcpStream, address: SocketAddr, wanted: u8) -> Result<Vec<u8>, ProbeError> {
    let lost = ProbeError::lost(address);
    let wrong = |reason: &str| ProbeError::Protocol { address, protocol: SERVER, reason: reason.to_owned() };
    for _ in 0..MESSAGES_MAX {
        let kind = stream.read_u8().await.map_err(&lost)?;
        let length = usize::try_from(stream.read_u32().await.map_err(&lost)?).unwrap_or(usize::MAX);
        if !kind.is_ascii_alphanumeric() || !(4..=MESSAGE_BYTES_MAX).contains(&length) {
            return Err(wrong("it is no message of the protocol"));
        }
        let mut body = vec![0; length - 4];
        stream.read_exact(&mut body).await.map_err(&lost)?;
        match kind {
            b'E' => return Err(ProbeError::Said { server: SERVER, address, said: error_text(&body) }),
            kind if kind == wanted => return Ok(body),
            _ => {}
        }
    }
    Err(wrong("it never comes to its end"))
}

/// Severity, message and code of an `ErrorResponse`.
fn error_text(body: &[u8]) -> String {
    let field = |wanted: u8| {
        let fields = body.split(|byte| *byte == 0);
        fields.into_iter().find(|field| field.first() == Some(&wanted)).map(|field| said(&field[1..]))
    };
    let (severity, message) = (field(b'S').unwrap_or_default(), field(b'M').unwrap_or_default());
    let code = field(b'C').map(|code| format!(" ({code})")).unwrap_or_default();
    format!("{severity}: {message}{code}")
}
