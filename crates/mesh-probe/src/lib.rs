//! Asks a server, over a connection that somebody else made, whether it is ready.
//!
//! A question is asked once and answered or not; how often, and what follows from it, is decided elsewhere.
//! Invariants: whatever the server sends, memory is bounded and nothing panics; a password is in no error;
//! every error is one line that says what was wanted. Deliberately absent: time limits (the caller drops the
//! future), reconnecting, TLS but for HTTP. Beside probes there is one question whose answer is
//! handed on ([`exchange`]).

mod error;
mod exchange;
mod grpc;
mod http;
mod password;
mod postgres;
mod redis;
mod scram;
mod tls;

pub use error::ProbeError;
pub use exchange::{Exchange, exchange};

use mesh_model::probe::{OutsideTest, Question};
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// Asks what `test` says over `stream`, a connection to its port; `address` is only for telling.
///
/// # Errors
/// [`ProbeError`], where the server did not answer as it has to.
pub async fn ask(stream: TcpStream, address: SocketAddr, test: &OutsideTest) -> Result<(), ProbeError> {
    let lost = |source| ProbeError::Lost { address, source };
    stream.set_nodelay(true).map_err(lost)?;
    match &test.question {
        Question::Tcp => Ok(()),
        Question::Http(question) => http::ask(stream, address, question).await,
        Question::Grpc { service } => grpc::ask(stream, address, service).await,
        Question::Postgres { user, database, password } => {
            postgres::ask(stream, address, user, database, password.as_ref()).await
        }
        Question::Redis { user, password } => {
            redis::ask(stream, address, user.as_deref(), password.as_ref()).await
        }
    }
}
