//! The API over HTTP: connections with bounds, requests to [`Call`](crate::core::Call)s, answers to responses.
//!
//! HTTP/1.1 and HTTP/2, in clear (told apart by what a client says first) and over TLS (by ALPN). Everything a client
//! can make this wait for or keep has a bound: the handshake, a request's head, its body, the number of connections,
//! of streams on one and of bytes that bodies have in memory together. At the end connections are asked to finish and
//! are given time for it.

mod body;
mod connection;
mod pulse;
mod request;
mod respond;
mod site;
mod tls;

#[cfg(test)]
mod tests;

pub use site::Site;
pub use tls::{Certificates, ListenerError};

use crate::config::Listener;
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// Connections at a time on one listener; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 16_384;
/// How long the last requests may take when the server ends.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// How long nothing is accepted after the machine had no descriptor or no memory for it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A listener that is bound and can serve.
#[derive(Debug)]
pub struct Bound {
    socket: TcpListener,
    address: SocketAddr,
    acceptor: Option<Acceptor>,
    options: Arc<Listener>,
}

#[derive(Clone)]
struct Acceptor(TlsAcceptor);

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptor")
    }
}

impl Bound {
    /// Binds a listener; its certificate joins `certificates`, which can read them anew.
    ///
    /// # Errors
    /// When the address cannot be had, or the certificate cannot be used.
    pub async fn bind(options: Listener, certificates: &mut Certificates) -> Result<Self, ListenerError> {
        let acceptor = certificates.acceptor(&options)?.map(Acceptor);
        let failed = |source| ListenerError::Bind { address: options.address.clone(), source };
        let socket = TcpListener::bind(options.address.as_str()).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(Self { socket, address, acceptor, options: Arc::new(options) })
    }

    /// Where it listens: with the port that a port 0 became.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it was told to be.
    #[must_use]
    pub fn options(&self) -> &Listener {
        &self.options
    }

    /// Serves until told to stop, then until the connections have ended or their time is over.
    pub async fn serve(self, site: Arc<Site>, mut stop: watch::Receiver<bool>) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                Some(_) = connections.join_next() => continue,
                accepted = self.accept(&places) => accepted,
            };
            let Some((place, stream, peer)) = accepted else { continue };
            let (site, acceptor, options) = (site.clone(), self.acceptor.clone(), self.options.clone());
            let stop = stop.clone();
            connections.spawn(async move {
                let _place = place;
                connection::serve(
                    stream,
                    peer.ip(),
                    acceptor.map(|acceptor| acceptor.0),
                    site,
                    options,
                    stop,
                )
                .await;
            });
        }
        drop(self.socket);
        let drained =
            tokio::time::timeout(DRAIN_MAX, async { while connections.join_next().await.is_some() {} });
        if drained.await.is_err() {
            tracing::warn!(left = connections.len(), "connections did not end in time and are cut");
        }
    }

    async fn accept(
        &self,
        places: &Arc<Semaphore>,
    ) -> Option<(tokio::sync::OwnedSemaphorePermit, TcpStream, SocketAddr)> {
        let place = places.clone().acquire_owned().await.ok()?;
        match self.socket.accept().await {
            Ok((stream, peer)) => {
                // Without it a small answer waits for the acknowledgement of the one before.
                let _ = stream.set_nodelay(true);
                Some((place, stream, peer))
            }
            Err(error) => {
                if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
                {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                None
            }
        }
    }
}

/// Until the server is to end.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Nobody left to say so means the same; the value is a lock that must not be kept.
    drop(stop.wait_for(|stop| *stop).await);
}
