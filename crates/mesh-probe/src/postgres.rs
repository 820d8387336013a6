//! A PostgreSQL session: opened, and used for one query.
//!
//! Without a password, a server that asks for one is ready: it answers to no other question before it is given one.
//! With one, it is given as the server wants it: SCRAM-SHA-256, MD5 or in the clear. Protocol 3.0, see "Frontend/Backend Protocol" of its documentation.

use crate::{
    error::{ProbeError, said},
    password, scram,
};
use md5::{Digest as _, Md5};
use mesh_model::project::FileSource;
use mesh_redact::Secret;
use std::{fmt::Write as _, net::SocketAddr};
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

/// What `AuthenticationRequest` asks for.
const SATISFIED: u32 = 0;
const CLEAR: u32 = 3;
const MD5: u32 = 5;
const SASL: u32 = 10;
const SASL_CONTINUE: u32 = 11;
const SASL_FINAL: u32 = 12;

/// Opens a session, and asks.
pub(crate) async fn ask(
    stream: TcpStream,
    address: SocketAddr,
    user: &str,
    database: &str,
    source: Option<&FileSource>,
) -> Result<(), ProbeError> {
    let lost = ProbeError::lost(address);
    let password = match source {
        Some(source) => Some(password::read(source).await?),
        None => None,
    };
    let mut session = Session { stream, address, password };
    session.stream.write_all(&startup(user, database)).await.map_err(&lost)?;
    let request = session.until(b'R').await?;
    if !request.starts_with(&SATISFIED.to_be_bytes()) {
        if session.password.is_none() {
            // That the connection ends here is what it is used to from its own clients.
            return Ok(());
        }
        session.log_in(user, &request).await?;
    }
    session.until(b'Z').await?;
    session.stream.write_all(b"Q\0\0\0\x0DSELECT 1\0").await.map_err(&lost)?;
    session.until(b'Z').await?;
    // An end that it is told of is not worth a line in its log. It may have ended first.
    let _ = session.stream.write_all(b"X\0\0\0\x04").await;
    Ok(())
}

struct Session {
    stream: TcpStream,
    address: SocketAddr,
    password: Option<Secret<Vec<u8>>>,
}

impl Session {
    /// Answers a request for a password until the server is satisfied.
    async fn log_in(&mut self, user: &str, request: &[u8]) -> Result<(), ProbeError> {
        let password = self.password.clone().unwrap_or_default();
        let (kind, rest) = self.kind(request)?;
        match kind {
            CLEAR => self.send(&[password.expose(), &b"\0"[..]].concat()).await?,
            MD5 => self.send(&hashed(password.expose(), user, rest)).await?,
            SASL if rest.split(|byte| *byte == 0).any(|name| name == scram::NAME.as_bytes()) => {
                return self.scram(&password).await;
            }
            _ => return Err(self.wrong(&format!("it asks for authentication {kind}, which is not known"))),
        }
        self.expect(SATISFIED).await.map(drop)
    }

    async fn scram(&mut self, password: &Secret<Vec<u8>>) -> Result<(), ProbeError> {
        let mut exchange = scram::Exchange::new().map_err(|reason| self.wrong(reason))?;
        let first = exchange.first();
        let length = u32::try_from(first.len()).unwrap_or(u32::MAX).to_be_bytes();
        self.send(&[scram::NAME.as_bytes(), b"\0", &length, first.as_bytes()].concat()).await?;
        let challenge = self.expect(SASL_CONTINUE).await?;
        let answer = exchange.answer(&challenge, password).map_err(|reason| self.wrong(reason))?;
        self.send(answer.as_bytes()).await?;
        let proof = self.expect(SASL_FINAL).await?;
        if !exchange.is_proven_by(&proof) {
            return Err(self.wrong("it does not know the password itself"));
        }
        self.expect(SATISFIED).await.map(drop)
    }

    /// Sends a `PasswordMessage` or one of SASL, which look alike.
    async fn send(&mut self, body: &[u8]) -> Result<(), ProbeError> {
        let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes();
        let message = [b"p", &length[..], body].concat();
        self.stream.write_all(&message).await.map_err(ProbeError::lost(self.address))
    }

    /// What an `AuthenticationRequest` of a kind brings.
    async fn expect(&mut self, wanted: u32) -> Result<Vec<u8>, ProbeError> {
        let body = self.until(b'R').await?;
        match self.kind(&body)? {
            (kind, rest) if kind == wanted => Ok(rest.to_vec()),
            (kind, _) => Err(self.wrong(&format!("it asks for authentication {kind} in the middle"))),
        }
    }

    fn kind<'a>(&self, request: &'a [u8]) -> Result<(u32, &'a [u8]), ProbeError> {
        let (kind, rest) =
            request.split_first_chunk().ok_or_else(|| self.wrong("it is no message of the protocol"))?;
        Ok((u32::from_be_bytes(*kind), rest))
    }

    fn wrong(&self, reason: &str) -> ProbeError {
        ProbeError::Protocol { address: self.address, protocol: SERVER, reason: reason.to_owned() }
    }

    /// Reads on to the next message of a kind; an error of the server ends it.
    async fn until(&mut self, wanted: u8) -> Result<Vec<u8>, ProbeError> {
        let address = self.address;
        let lost = ProbeError::lost(address);
        for _ in 0..MESSAGES_MAX {
            let kind = self.stream.read_u8().await.map_err(&lost)?;
            let length = usize::try_from(self.stream.read_u32().await.map_err(&lost)?).unwrap_or(usize::MAX);
            if !kind.is_ascii_alphanumeric() || !(4..=MESSAGE_BYTES_MAX).contains(&length) {
                return Err(self.wrong("it is no message of the protocol"));
            }
            let mut body = vec![0; length - 4];
            self.stream.read_exact(&mut body).await.map_err(&lost)?;
            match kind {
                b'E' => {
                    return Err(ProbeError::Said { server: SERVER, address, said: self.error_text(&body) });
                }
                kind if kind == wanted => return Ok(body),
                _ => {}
            }
        }
        Err(self.wrong("it never comes to its end"))
    }

    /// What an `ErrorResponse` says, without the password, should it be in there.
    fn error_text(&self, body: &[u8]) -> String {
        let holds = |password: &Secret<Vec<u8>>| {
            let password = password.expose();
            !password.is_empty() && body.windows(password.len()).any(|part| part == password)
        };
        match self.password.as_ref().is_some_and(holds) {
            true => "an error that repeats the password".to_owned(),
            false => error_text(body),
        }
    }
}

/// `md5` and the hash of the hash of password and user, and the salt.
fn hashed(password: &[u8], user: &str, salt: &[u8]) -> Vec<u8> {
    let hex = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    };
    let inner = hex(&Md5::new().chain_update(password).chain_update(user).finalize());
    let outer = hex(&Md5::new().chain_update(inner).chain_update(salt).finalize());
    format!("md5{outer}\0").into_bytes()
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
