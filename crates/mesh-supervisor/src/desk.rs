//! Where requests arrive: each is given to the module that carries it out.
//!
//! A request that changes the project takes its turn first ([`crate::turn`]); one that reads looks at
//! the view and waits for nobody.

use crate::{
    authority::Authority,
    certificates::Certificates,
    container::View,
    images::ImageOverrides,
    outlet::{Outlet, Output},
    owner::OwnerLink,
    turn::{Asker, TURN_WAIT_MAX, Turn, Turns},
    words::refusal,
};
use async_trait::async_trait;
use mesh_api::{
    handler::{Handler, Reply},
    message::{Answer, ApiError, ErrorKind, Level},
    request::Request,
};
use mesh_model::{container::ContainerId, project::Project};
use mesh_runtime::{SharedRuntime, error::RuntimeError, exec::RunStreams};
use std::{
    collections::BTreeSet,
    future::Future,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Longest time the ground may take for one call that makes or removes something.
const GROUND_CALL_MAX: Duration = Duration::from_secs(600);

/// Time that a command waits for its turn in silence; one that had the other asked to give it up waits longer.
const TURN_PATIENCE: Duration = Duration::from_millis(100);
const INTERRUPTED_PATIENCE: Duration = Duration::from_millis(500);

/// Everything that carrying out a request needs.
pub(crate) struct Desk {
    /// Name of the project.
    pub(crate) name: String,
    /// Version of the binary.
    pub(crate) version: String,
    /// Directory of the journals.
    pub(crate) journal: PathBuf,
    pub(crate) runtime: SharedRuntime,
    pub(crate) owner: OwnerLink,
    pub(crate) certificates: Arc<Certificates>,
    /// What gateways sign with.
    pub(crate) authority: Arc<Authority>,
    pub(crate) turns: Turns,
    /// Number of requests under way.
    pub(crate) clients: watch::Sender<usize>,
    /// Ends the supervisor.
    pub(crate) stop: CancellationToken,
    /// Whether what this ground cannot do was told.
    pub(crate) limits_told: AtomicBool,
    /// Containers that some command is removing.
    pub(crate) removing: Mutex<BTreeSet<ContainerId>>,
}

/// Counts a request for as long as it is carried out.
struct Presence<'a>(&'a watch::Sender<usize>);

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

#[async_trait]
impl Handler for Desk {
    async fn handle(
        &self,
        request: Request,
        reply: &Reply,
        descriptors: Option<[OwnedFd; 3]>,
    ) -> Result<Answer, ApiError> {
        let gone = CancellationToken::new();
        let asker = Asker { verb: request.verb(), pid: reply.pid() };
        let (outlet, output) = Outlet::for_asker(gone.clone(), asker);
        let outlet = outlet.asking_registries(reply.registry().cloned());
        let detach_keys = Vec::new();
        let streams =
            descriptors.map(|[stdin, stdout, stderr]| RunStreams { stdin, stdout, stderr, detach_keys });
        let work = async move { self.perform(request, &outlet, streams).await };
        let talk = async {
            tokio::select! {
                () = forward(output, reply) => {}
                () = reply.hung_up() => {}
            }
            gone.cancel();
        };
        tokio::join!(work, talk).0
    }
}

async fn forward(mut output: mpsc::Receiver<Output>, reply: &Reply) {
    while let Some(output) = output.recv().await {
        let sent = match output {
            Output::Progress(progress) => reply.progress(progress).await,
            Output::Event(event) => reply.event(event).await,
        };
        if sent.is_err() {
            return;
        }
    }
}

impl Desk {
    /// Carries out one request. What changes the project has memory of its own: in one place, the shortest question would
    /// take as much as the longest change, and be moved with all of it.
    pub(crate) async fn perform(
        &self,
        request: Request,
        outlet: &Outlet,
        streams: Option<RunStreams>,
    ) -> Result<Answer, ApiError> {
        self.clients.send_modify(|count| *count += 1);
        let _presence = Presence(&self.clients);
        match request {
            Request::Ping => Ok(Answer::Pong { version: self.version.clone(), pid: std::process::id() }),
            Request::Shutdown => {
                self.stop.cancel();
                Ok(Answer::Done)
            }
            Request::Up { project, options } => Box::pin(self.up(*project, options, outlet)).await,
            Request::Create { project, options } => Box::pin(self.create(*project, options, outlet)).await,
            Request::Pull { project, services, refresh, substitute, named } => {
                let overrides = ImageOverrides::of_pull(refresh, substitute);
                let named = named.as_ref().unwrap_or(&services);
                Box::pin(self.pull(*project, &services, named, overrides, outlet)).await
            }
            Request::Scale { scale, no_deps } => Box::pin(self.scale(scale, no_deps, outlet)).await,
            Request::Run { project, options } => {
                Box::pin(self.run_one_off(*project, options, streams, outlet)).await
            }
            Request::Down(options) => Box::pin(self.down(options, outlet)).await,
            Request::Start { services, wait, wait_timeout_ms } => {
                Box::pin(self.start(&services, wait, wait_timeout_ms, outlet)).await
            }
            Request::Stop { services, timeout_seconds } => {
                Box::pin(self.stop_services(&services, timeout_seconds, outlet)).await
            }
            Request::Restart { services, timeout_seconds, no_deps } => {
                Box::pin(self.restart(&services, timeout_seconds, no_deps, outlet)).await
            }
            Request::Kill { services, signal, remove_orphans } => {
                Box::pin(self.kill(&services, &signal, remove_orphans, outlet)).await
            }
            Request::Remove { services, stop, volumes } => {
                Box::pin(self.remove(&services, stop, volumes, outlet)).await
            }
            Request::Pause { services } => Box::pin(self.freeze(&services, true, outlet)).await,
            Request::Unpause { services } => Box::pin(self.freeze(&services, false, outlet)).await,
            other => self.query(other, streams.map(|streams| streams.stdin), outlet).await,
        }
    }

    /// Waits for the turn to change the project.
    pub(crate) async fn turn(&self, interrupt: bool, outlet: &Outlet) -> Result<Turn, ApiError> {
        let turn = tokio::select! { biased;
            () = outlet.gone() => return Err(hung_up()),
            turn = self.turns.take(interrupt, outlet.asker()) => turn?,
            () = self.tell_holder(interrupt, outlet) => return Err(hung_up()),
        };
        if self.stop.is_cancelled() {
            return Err(refusal(ErrorKind::Ending, "the supervisor is about to end; try again"));
        }
        Ok(turn)
    }

    /// Says who has the turn, once that is not over soon. Never ends.
    async fn tell_holder(&self, interrupt: bool, outlet: &Outlet) {
        sleep(if interrupt { INTERRUPTED_PATIENCE } else { TURN_PATIENCE }).await;
        if let Some(holder) = self.turns.holder() {
            let text = format!(
                "waiting for {}, which has been changing this project for {} s; after {} s this command gives up",
                holder.asker,
                holder.seconds(),
                TURN_WAIT_MAX.as_secs(),
            );
            outlet.note(Level::Info, text).await;
        }
        std::future::pending().await
    }

    /// The project as it was last given.
    pub(crate) fn project(&self) -> (Arc<View>, Arc<Project>) {
        let view = self.owner.now();
        let project = view.project(&self.name);
        (view, project)
    }

    /// Waits for a call of the ground, a bounded time.
    pub(crate) async fn ground<T>(
        &self,
        what: &str,
        call: impl Future<Output = Result<T, RuntimeError>> + Send,
    ) -> Result<T, ApiError> {
        match timeout(GROUND_CALL_MAX, call).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(crate::words::ground_error(what, &error)),
            Err(_) => {
                let seconds = GROUND_CALL_MAX.as_secs();
                Err(refusal(
                    ErrorKind::Ground,
                    format!("{what}: the ground did not answer within {seconds} s"),
                ))
            }
        }
    }

    /// Tells once in the supervisor's life what cannot be had here.
    pub(crate) async fn tell_limits(&self, outlet: &Outlet) {
        if !self.limits_told.swap(true, Ordering::Relaxed) {
            for text in self.runtime.capabilities().missing {
                outlet.note(Level::Warning, text).await;
            }
        }
    }
}

/// The client is gone; nobody reads this.
pub(crate) fn hung_up() -> ApiError {
    refusal(ErrorKind::Internal, "the client hung up")
}

/// Another command wanted the turn.
pub(crate) fn interrupted() -> ApiError {
    refusal(ErrorKind::Busy, "interrupted by another command")
}
