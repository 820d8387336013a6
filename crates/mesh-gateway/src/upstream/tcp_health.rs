//! Whether servers of TCP are well: whether they can be reached, and what they say when something is said to them.

use super::{
    dial::{DialError, reach},
    health::{Asking, Health, Times, patience},
    transport::Transport,
};
use crate::config::model;
use std::{io, sync::Arc, time::Duration};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

/// Most bytes that are said to a server, and that it is to say; nothing is said or waited for where there are more.
const SAID_BYTES_MAX: usize = 65_535;

/// What servers are asked.
#[derive(Debug, Clone)]
pub(crate) struct TcpCheck {
    port: Option<u16>,
    send: String,
    expect: String,
    times: Times,
    timeout: Duration,
}

/// Why a server is not well.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unwell {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("it could not be asked")]
    Send(#[source] io::Error),
    #[error("it did not answer")]
    Receive(#[source] io::Error),
    #[error("it answered something else than is expected")]
    Other,
    #[error("it took longer than {0:?}")]
    Slow(Duration),
}

impl TcpCheck {
    pub(crate) fn new(config: &model::TcpHealthCheck) -> Self {
        let bounded = |text: &String| if text.len() > SAID_BYTES_MAX { String::new() } else { text.clone() };
        Self {
            port: (config.port != 0).then_some(config.port),
            send: bounded(&config.send),
            expect: bounded(&config.expect),
            times: Times::new(config.interval, config.unhealthy_interval),
            timeout: patience(config.timeout),
        }
    }
}

/// Asks one server for as long as its configuration is in force.
#[derive(Debug)]
pub(crate) struct TcpChecker {
    pub(crate) service: String,
    /// Host and port.
    pub(crate) address: String,
    pub(crate) tls: bool,
    pub(crate) transport: Arc<Transport>,
    pub(crate) check: Arc<TcpCheck>,
    pub(crate) health: Arc<Health>,
}

impl TcpChecker {
    /// Asks until told to stop.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let Self { service, address, health, .. } = &self;
        let asking = Asking { service, url: address, health, times: self.check.times };
        loop {
            let Some(found) = stop.run_until_cancelled(self.ask()).await else { return };
            let wait = asking.found(found);
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return;
            }
        }
    }

    /// Host and port of whom is asked.
    pub(super) fn asked(&self) -> String {
        match (self.check.port, self.address.rsplit_once(':')) {
            (Some(port), Some((host, _))) => format!("{host}:{port}"),
            _ => self.address.clone(),
        }
    }

    pub(super) async fn ask(&self) -> Result<(), Unwell> {
        let limit = self.check.timeout;
        tokio::time::timeout(limit, self.talk()).await.unwrap_or(Err(Unwell::Slow(limit)))
    }

    async fn talk(&self) -> Result<(), Unwell> {
        let address = self.asked();
        // Nobody is announced: the question is the gateway's own.
        let mut server = reach(&self.transport, &address, self.tls, &[]).await?;
        if !self.check.send.is_empty() {
            server.write_all(self.check.send.as_bytes()).await.map_err(Unwell::Send)?;
            server.flush().await.map_err(Unwell::Send)?;
        }
        let mut said = vec![0; self.check.expect.len()];
        server.read_exact(&mut said).await.map_err(Unwell::Receive)?;
        if said == self.check.expect.as_bytes() { Ok(()) } else { Err(Unwell::Other) }
    }
}
