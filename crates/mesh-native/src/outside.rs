//! Health tests from outside of a container, and other questions to its server: over the way that published ports use, without a process.

use crate::{fault, ground::Ground, lifecycle, phase::Running};
use mesh_model::{container::ContainerId, probe::OutsideTest, service::NetworkMode};
use mesh_probe::{Exchange, ProbeError};
use mesh_runtime::{
    error::RuntimeError,
    exec::{ProbeOutcome, Verdict},
    question::{Question, Reply},
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{net::TcpStream, time::timeout};

/// Exit code that a question without the right answer counts as.
const FAILED_CODE: i32 = 1;
/// Services that share each other's networks in a row.
const SHARED_DEPTH_MAX: usize = 16;

/// Where a container is reached.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// At its address, from the project's namespace.
    Project(Ipv4Addr),
    /// It has the machine's own network.
    Machine,
}

/// Asks once.
pub(crate) async fn probe(
    ground: &Arc<Ground>,
    id: &ContainerId,
    test: &OutsideTest,
    longest: Duration,
) -> ProbeOutcome {
    let begun = Instant::now();
    let (verdict, output) = match way(ground, id) {
        Ok(way) => verdict(ground, way, test, longest).await,
        Err(error) => (Verdict::NotRun, fault::chain(&error)),
    };
    ProbeOutcome { verdict, output, took: begun.elapsed() }
}

/// Asks a server of a container, and hands on what it answers.
pub(crate) async fn ask(
    ground: &Arc<Ground>,
    id: &ContainerId,
    question: &Question,
    longest: Duration,
) -> Result<Reply, RuntimeError> {
    let way = way(ground, id)?;
    let address = way.address(question.port);
    let failed =
        |reason: String| RuntimeError::Setup { step: format!("ask a service for {}", question.path), reason };
    let exchange = Exchange {
        tls: question.tls,
        path: &question.path,
        headers: &question.headers,
        body: question.body.as_ref(),
    };
    let asking =
        async { mesh_probe::exchange(connect(ground, way, address).await?, address, &exchange).await };
    match timeout(longest, asking).await {
        Ok(Ok((status, body))) => Ok(Reply { status, body }),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_elapsed) => Err(failed(format!("no answer from {address} within {longest:?}"))),
    }
}

impl Way {
    fn address(self, port: u16) -> SocketAddr {
        SocketAddr::from(match self {
            Self::Project(address) => (address, port),
            Self::Machine => (Ipv4Addr::LOCALHOST, port),
        })
    }
}

async fn connect(ground: &Ground, way: Way, address: SocketAddr) -> Result<TcpStream, ProbeError> {
    let connected = match way {
        Way::Project(_) => ground.network.connect(address).await,
        Way::Machine => TcpStream::connect(address).await,
    };
    connected.map_err(|source| ProbeError::connect(address, source))
}

async fn verdict(ground: &Ground, way: Way, test: &OutsideTest, longest: Duration) -> (Verdict, String) {
    let address = way.address(test.port);
    let asking = async { mesh_probe::ask(connect(ground, way, address).await?, address, test).await };
    match timeout(longest, asking).await {
        Ok(Ok(())) => (Verdict::Passed, String::new()),
        Ok(Err(error)) => (Verdict::Failed(FAILED_CODE), error.to_string()),
        Err(_elapsed) => (Verdict::TimedOut, format!("no answer from {address} within {longest:?}")),
    }
}

/// Finds where a container is reached; one may have the network of another.
fn way(ground: &Ground, id: &ContainerId) -> Result<Way, RuntimeError> {
    let mut running: Arc<Running> = lifecycle::running(ground, id)?;
    let cannot = |reason: &str| RuntimeError::Setup {
        step: "reach the container over its network".to_owned(),
        reason: reason.to_owned(),
    };
    for _ in 0..SHARED_DEPTH_MAX {
        let service = match &running.spec.service.network.mode {
            NetworkMode::Networks(_) => {
                let address = ground.network.address(&running.spec.id);
                return address.map(Way::Project).map_err(|error| cannot(&fault::chain(&error)));
            }
            NetworkMode::Host => return Ok(Way::Machine),
            NetworkMode::None => return Err(cannot("it has none")),
            NetworkMode::Service(service) => service.clone(),
        };
        let found = ground.phases.running_of_service(&service);
        running = found.ok_or_else(|| cannot("it has the network of a service that does not run"))?;
    }
    Err(cannot("too many services share each other's networks"))
}
