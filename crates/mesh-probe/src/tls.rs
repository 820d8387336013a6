//! TLS to a server of which only its readiness is asked: whose certificate it has does not matter, as with the
//! probes of other orchestrators.

use mesh_tls::{Client, Trust};
use rustls::{ClientConfig, pki_types::ServerName};
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Talks TLS over `stream`.
pub(crate) async fn over(stream: TcpStream, address: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let config = match CONFIG.get() {
        Some(config) => Arc::clone(config),
        None => {
            let made = Client::trusting(Trust::Insecure).config().map_err(io::Error::other)?;
            Arc::clone(CONFIG.get_or_init(|| Arc::new(made)))
        }
    };
    TlsConnector::from(config).connect(ServerName::IpAddress(address.ip().into()), stream).await
}
