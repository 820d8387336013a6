//! Certificates of listeners, and how they are read anew.

use crate::config::{Listener, MinimumTls};
use mesh_tls::{PemError, ServerFiles, TlsError};
use std::{io, sync::Arc};
use tokio_rustls::TlsAcceptor;

/// Why a listener cannot be.
#[derive(Debug, thiserror::Error)]
pub enum ListenerError {
    /// Its address.
    #[error("error initializing listener of type tcp: listen tcp {address}")]
    Bind {
        /// As configured.
        address: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Its certificate.
    #[error("error loading TLS cert")]
    Certificate(#[source] PemError),
    /// Its authorities.
    #[error("error loading TLS client authorities")]
    Tls(#[source] TlsError),
}

/// The certificates of all listeners.
#[derive(Debug, Default)]
pub struct Certificates(Vec<Arc<ServerFiles>>);

impl Certificates {
    /// What speaks TLS for a listener; none for one without.
    pub(super) fn acceptor(&mut self, listener: &Listener) -> Result<Option<TlsAcceptor>, ListenerError> {
        let Some(tls) = &listener.tls else { return Ok(None) };
        let files = ServerFiles::open(tls.certificate.clone(), tls.key.clone());
        let files = Arc::new(files.map_err(ListenerError::Certificate)?);
        let authorities = tls.client_authorities.as_deref().map(|path| (path, tls.client_required));
        let versions: &[_] = match tls.minimum {
            MinimumTls::V12 => rustls::DEFAULT_VERSIONS,
            MinimumTls::V13 => &[&rustls::version::TLS13],
        };
        let mut config =
            mesh_tls::server_speaking(versions, files.clone(), authorities).map_err(ListenerError::Tls)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        self.0.push(files);
        Ok(Some(TlsAcceptor::from(Arc::new(config))))
    }

    /// Reads all of them anew; those that cannot be used stay as they were, and are told.
    pub fn reload(&self) {
        for files in &self.0 {
            match files.reload() {
                Ok(()) => tracing::info!("a certificate was read anew"),
                Err(error) => tracing::error!(%error, "a certificate cannot be read anew"),
            }
        }
    }
}
