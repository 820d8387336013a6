//! `PING` to Redis or what speaks like it, after `AUTH` where there is a password.

use crate::{
    error::{ProbeError, said},
    password,
};
use mesh_model::project::FileSource;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

const SERVER: &str = "Redis";
/// Longest line that is read of an answer, in bytes.
const LINE_BYTES_MAX: u64 = 4 << 10;

/// Asks, and looks at the answer.
pub(crate) async fn ask(
    stream: TcpStream,
    address: SocketAddr,
    user: Option<&str>,
    source: Option<&FileSource>,
) -> Result<(), ProbeError> {
    let mut stream = BufReader::new(stream);
    if let Some(source) = source {
        let password = password::read(source).await?;
        let words: Vec<&[u8]> = [Some(&b"AUTH"[..]), user.map(str::as_bytes), Some(password.expose())]
            .into_iter()
            .flatten()
            .collect();
        let answer = call(&mut stream, address, &words).await?;
        if !answer.starts_with(b"+") {
            // Some answers repeat what they were asked: of this one the first word is told alone.
            let word = answer.split(|byte| *byte == b' ').next().unwrap_or_default();
            let word = said(word.strip_prefix(b"-").unwrap_or(b"not understood"));
            return Err(ProbeError::Said { server: SERVER, address, said: format!("AUTH failed ({word})") });
        }
    }
    let answer = call(&mut stream, address, &[b"PING"]).await?;
    match answer.first() {
        Some(b'+') => Ok(()),
        Some(b'-') => Err(ProbeError::Said { server: SERVER, address, said: said(&answer[1..]) }),
        _ => Err(ProbeError::Protocol { address, protocol: SERVER, reason: said(&answer) }),
    }
}

/// Sends a command and reads the line that answers it.
async fn call(
    stream: &mut BufReader<TcpStream>,
    address: SocketAddr,
    words: &[&[u8]],
) -> Result<Vec<u8>, ProbeError> {
    let lost = ProbeError::lost(address);
    let mut command = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        command.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        command.extend_from_slice(word);
        command.extend_from_slice(b"\r\n");
    }
    stream.get_mut().write_all(&command).await.map_err(&lost)?;
    let mut line = Vec::new();
    stream.take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await.map_err(&lost)?;
    if line.is_empty() {
        return Err(ProbeError::Closed { address });
    }
    Ok(line.trim_ascii_end().to_vec())
}
