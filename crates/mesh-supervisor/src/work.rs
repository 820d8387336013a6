//! The owner's errands on the ground: each is a task whose result comes back as an input.
//!
//! Every errand has a longest time, and all of them end before the owner does.

use crate::{
    hooks::{self, Row},
    owner::Input,
    programs::Crier,
    said::Speaker,
    transition::lifecycle_exit,
};
use mesh_lifecycle::phase::{Effect, Exit};
use mesh_model::{container::ContainerId, health::Probe};
use mesh_runtime::{
    SharedRuntime,
    error::RuntimeError,
    exec::{ProbeOutcome, RunStreams, Verdict},
    observed::Started,
};
use std::{
    future::Future,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Longest time that work under way may hold up the end of the supervisor.
const END_MAX: Duration = Duration::from_secs(20);
/// Longest time the ground may take to execute a process.
const START_MAX: Duration = Duration::from_secs(120);
/// Longest time the ground may take to deliver a signal.
const SIGNAL_MAX: Duration = Duration::from_secs(10);
/// Longest time the ground may take to look at a container.
const LOOK_MAX: Duration = Duration::from_secs(10);
/// Time a probe may take longer than it says before it is given up.
const PROBE_EXTRA: Duration = Duration::from_secs(5);
/// Most programs of others whose end is waited for; of more it is not told.
const FOLLOWED_MAX: usize = 256;
/// Time in which the exit of a process that is gone must have been reported.
const EXIT_REPORT_MAX: Duration = Duration::from_secs(1);

/// Code of a program that was killed.
const KILLED_CODE: i32 = 128 + crate::words::SIGKILL;

/// The result of an errand.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A start.
    Started(Result<Started, RuntimeError>),
    /// A health test.
    Probed(ProbeOutcome),
    /// The hooks after the start: well, or why one failed.
    Greeted(Result<(), String>),
    /// The hooks before the stop, the same way.
    TakenLeave(Result<(), String>),
    /// A signal.
    Signalled(Result<(), RuntimeError>),
    /// The process was found ended, a while ago.
    Found(Exit),
    /// The process was gone a while ago, and its exit may have been missed.
    Vanished,
}

/// Who runs the errands.
pub(crate) struct Worker {
    runtime: SharedRuntime,
    inbox: mpsc::Sender<Input>,
    /// Where lines of hooks go.
    speaker: Speaker,
    /// Programs of others whose end is waited for.
    followed: Arc<AtomicUsize>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Worker {
    pub(crate) fn new(runtime: SharedRuntime, inbox: mpsc::Sender<Input>, speaker: Speaker) -> Self {
        let (followed, tasks, stop) = (Arc::default(), TaskTracker::new(), CancellationToken::new());
        Self { runtime, inbox, speaker, followed, tasks, stop }
    }

    pub(crate) fn start(&self, id: &ContainerId, life: u64, streams: Option<RunStreams>) {
        let (runtime, id) = (self.runtime.clone(), id.clone());
        self.errand(&id.clone(), life, async move {
            Outcome::Started(match timeout(START_MAX, runtime.start(&id, streams)).await {
                Ok(result) => result,
                Err(_) => Err(late("start the container")),
            })
        });
    }

    pub(crate) fn probe(&self, id: &ContainerId, life: u64, probe: Probe) {
        let (runtime, id) = (self.runtime.clone(), id.clone());
        let crier = Crier::of_test(&self.inbox, &id, &probe.test);
        self.errand(&id.clone(), life, async move {
            let longest = probe.timeout + PROBE_EXTRA;
            if let Some(crier) = &crier {
                crier.started().await;
            }
            let outcome = timeout(longest, runtime.probe(&id, &probe)).await;
            let given_up = |_| ProbeOutcome {
                verdict: Verdict::TimedOut,
                output: "the health test did not end".to_owned(),
                took: longest,
            };
            let outcome = outcome.unwrap_or_else(given_up);
            if let (Some(crier), Some(code)) = (&crier, code(outcome.verdict)) {
                crier.ended(code).await;
            }
            Outcome::Probed(outcome)
        });
    }

    /// Runs the hooks after the start.
    pub(crate) fn greet(&self, life: u64, row: Row) {
        let (runtime, speaker, inbox) = (self.runtime.clone(), self.speaker.clone(), self.inbox.clone());
        self.errand(&row.id.clone(), life, async move {
            Outcome::Greeted(hooks::run(&runtime, &row, &speaker, &inbox).await)
        });
    }

    /// Runs the hooks before the stop, in a container that may be frozen.
    pub(crate) fn take_leave(&self, life: u64, row: Row, frozen: bool) {
        let (runtime, speaker, inbox) = (self.runtime.clone(), self.speaker.clone(), self.inbox.clone());
        self.errand(&row.id.clone(), life, async move {
            if frozen {
                // One that stays frozen is told by the first hook.
                let _ = timeout(SIGNAL_MAX, runtime.unpause(&row.id)).await;
            }
            Outcome::TakenLeave(hooks::run(&runtime, &row, &speaker, &inbox).await)
        });
    }

    pub(crate) fn signal(&self, id: &ContainerId, life: u64, effects: Vec<Effect>) {
        let (runtime, id) = (self.runtime.clone(), id.clone());
        self.errand(&id.clone(), life, async move {
            let mut result = Ok(());
            for effect in effects {
                let sent = async {
                    match effect {
                        Effect::Thaw => runtime.unpause(&id).await,
                        Effect::Signal(number) => runtime.signal(&id, number).await,
                        Effect::Kill => runtime.signal(&id, crate::words::SIGKILL).await,
                        Effect::Start | Effect::Probe | Effect::Greet | Effect::TakeLeave => Ok(()),
                    }
                };
                result = timeout(SIGNAL_MAX, sent).await.unwrap_or_else(|_| Err(late("send a signal")));
            }
            Outcome::Signalled(result)
        });
    }

    /// Tells of the end of a program that somebody else runs, once its shim has told the code.
    pub(crate) fn follow(&self, crier: Crier, told: OwnedFd) {
        let stop = self.stop.clone();
        if self.followed.load(Ordering::Relaxed) >= FOLLOWED_MAX {
            return;
        }
        let followed = Arc::clone(&self.followed);
        followed.fetch_add(1, Ordering::Relaxed);
        self.tasks.spawn(async move {
            tokio::select! { biased;
                () = stop.cancelled() => {}
                ended = crier.ended_as_told(told) => if let Err(error) = ended {
                    tracing::debug!(%error, "the end of a program was not heard");
                }
            }
            followed.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// Says that a process has vanished unless its exit is reported soon.
    pub(crate) fn expect_exit(&self, id: &ContainerId, life: u64) {
        self.errand(id, life, async {
            sleep(EXIT_REPORT_MAX).await;
            Outcome::Vanished
        });
    }

    /// Looks whether a process ended of which that was not told.
    pub(crate) fn look(&self, id: &ContainerId, life: u64) {
        let (runtime, id) = (self.runtime.clone(), id.clone());
        self.possible_errand(&id.clone(), life, async move {
            let exit = timeout(LOOK_MAX, runtime.ended(&id)).await.ok()?.ok()??;
            // One that ended just now is being reported.
            sleep(EXIT_REPORT_MAX).await;
            Some(Outcome::Found(lifecycle_exit(exit)))
        });
    }

    /// Ends all errands. A start under way is not undone; the next supervisor finds it.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        if timeout(END_MAX, self.tasks.wait()).await.is_err() {
            tracing::warn!("work on containers had not ended; they go on without this supervisor");
        }
    }

    fn errand(&self, id: &ContainerId, life: u64, work: impl Future<Output = Outcome> + Send + 'static) {
        self.possible_errand(id, life, async { Some(work.await) });
    }

    /// An errand that may have nothing to tell.
    fn possible_errand(
        &self,
        id: &ContainerId,
        life: u64,
        work: impl Future<Output = Option<Outcome>> + Send + 'static,
    ) {
        let (id, inbox, stop) = (id.clone(), self.inbox.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            let done = async {
                if let Some(outcome) = work.await {
                    let _ = inbox.send(Input::Outcome { id, life, outcome }).await;
                }
            };
            tokio::select! { biased;
                () = stop.cancelled() => {}
                () = done => {}
            }
        });
    }
}

/// The code of a health test's program; `None`: it did not run.
fn code(verdict: Verdict) -> Option<i32> {
    match verdict {
        Verdict::Passed => Some(0),
        Verdict::Failed(code) => Some(code),
        Verdict::TimedOut => Some(KILLED_CODE),
        Verdict::NotRun => None,
    }
}

fn late(attempted: &str) -> RuntimeError {
    RuntimeError::System {
        attempted: format!("could not {attempted}"),
        source: std::io::ErrorKind::TimedOut.into(),
    }
}
