//! The client: one connection a request.

use crate::{
    frame::{self, LineError, LineReader},
    message::{Answer, ApiError, ErrorKind, Message},
    request::{Envelope, Request, VERSION},
};
use mesh_model::registry::RegistryVariables;
use std::{
    io,
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
};
use tokio::net::UnixStream;

/// Asks one supervisor.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
    registry: Option<RegistryVariables>,
}

/// Why a call brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody listens.
    #[error("nobody answers on {}", socket.display())]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The request cannot be put on the wire.
    #[error("the request is too large")]
    TooLarge,
    /// The request could not be written down.
    #[error("could not encode the request")]
    Encode(#[source] serde_json::Error),
    /// The request could not be sent.
    #[error("could not send the request")]
    Send(#[source] io::Error),
    /// The connection broke, or the supervisor ended.
    #[error("the supervisor ended without an answer")]
    Ended,
    /// The answer could not be read.
    #[error("the supervisor's answer cannot be read: {what}")]
    Unreadable {
        /// What is wrong with it.
        what: String,
    },
    /// The supervisor said no.
    #[error(transparent)]
    Refused(#[from] ApiError),
}

impl CallError {
    /// Whether the socket led to nobody, so that a supervisor may be started. A socket that may not be
    /// opened leads to somebody.
    #[must_use]
    pub fn is_nobody(&self) -> bool {
        matches!(self, Self::Connect { source, .. } if source.kind() != io::ErrorKind::PermissionDenied)
    }

    /// Whether the supervisor surely did nothing of what was asked, because it ends.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        match self {
            Self::Refused(error) => error.kind == ErrorKind::Ending,
            other => other.is_nobody(),
        }
    }
}

impl Client {
    /// A client for the supervisor behind `socket`. Nothing is connected yet.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), registry: None }
    }

    /// The same, with how registries are asked by requests that fetch images.
    #[must_use]
    pub fn asking_registries(self, registry: Option<RegistryVariables>) -> Self {
        Self { registry, ..self }
    }

    /// Sends one request and waits for its end; what is said meanwhile goes to `on_message`. Dropping
    /// the future hangs up. There is no deadline here: a request may take as long as it takes.
    ///
    /// # Errors
    /// Where nobody answers, the connection breaks, or the supervisor refuses.
    pub async fn call(
        &self,
        request: Request,
        on_message: &mut (dyn FnMut(Message) + Send),
        descriptors: Option<[BorrowedFd<'_>; 3]>,
    ) -> Result<Answer, CallError> {
        let registry = self.registry.clone().filter(|_| request.may_fetch());
        let envelope = Envelope { version: VERSION, registry, request };
        let line = frame::encode(&envelope)?;
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|source| CallError::Connect { socket: self.socket.clone(), source })?;
        let sent = frame::send(&stream, &line, descriptors.as_ref()).await;
        let mut reader = LineReader::default();
        loop {
            let line = match (reader.line(&stream).await, &sent) {
                (Ok(Some(line)), _) => line,
                (Ok(None) | Err(LineError::Torn | LineError::Io(_)), Ok(())) => return Err(CallError::Ended),
                (Err(error @ LineError::TooLong), _) => {
                    return Err(CallError::Unreadable { what: error.to_string() });
                }
                // A refusal may have come although the request did not leave whole; none did.
                (_, Err(_)) => break,
            };
            match frame::decode(&line)? {
                Message::Answer(answer) => return Ok(answer),
                Message::Error(error) => return Err(CallError::Refused(error)),
                message => on_message(message),
            }
        }
        match sent {
            Err(source) => Err(CallError::Send(source)),
            Ok(()) => Err(CallError::Ended),
        }
    }
}
