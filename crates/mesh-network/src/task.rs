//! Owned tasks and the lasting thread of a namespace.

use mesh_linux::netns;
use std::{future::Future, io, os::fd::OwnedFd, thread};
use tokio::sync::{mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Jobs that wait for the thread of a namespace.
const WORKER_JOBS_MAX: usize = 256;

/// Tasks with one owner: they end when it ends them or is dropped.
#[derive(Debug)]
pub(crate) struct Scope {
    token: CancellationToken,
    tracker: TaskTracker,
}

/// Starts tasks of a scope without owning it.
#[derive(Debug, Clone)]
pub(crate) struct Spawner {
    token: CancellationToken,
    tracker: TaskTracker,
}

impl Scope {
    pub(crate) fn new() -> Self {
        Self { token: CancellationToken::new(), tracker: TaskTracker::new() }
    }

    pub(crate) fn spawner(&self) -> Spawner {
        Spawner { token: self.token.clone(), tracker: self.tracker.clone() }
    }

    /// Ends every task and waits until they are gone.
    pub(crate) async fn close(&self) {
        self.token.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

impl Spawner {
    /// Runs `work` until it ends or the scope does.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let token = self.token.clone();
        drop(self.tracker.spawn(async move {
            tokio::select! { biased;
                () = token.cancelled() => {}
                () = work => {}
            }
        }));
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// A thread that lives in a network namespace and opens sockets there. It ends with the last handle.
#[derive(Debug, Clone)]
pub(crate) struct Worker {
    jobs: mpsc::Sender<Job>,
}

impl Worker {
    pub(crate) async fn start(namespace: OwnedFd) -> io::Result<Self> {
        let (jobs, mut inbox) = mpsc::channel::<Job>(WORKER_JOBS_MAX);
        let (entered, ready) = oneshot::channel();
        thread::Builder::new().name("network".into()).spawn(move || {
            let result = netns::enter(&namespace);
            let failed = result.is_err();
            // A caller that went away is noticed by the closed inbox.
            let _ = entered.send(result);
            while !failed && let Some(job) = inbox.blocking_recv() {
                job();
            }
        })?;
        ready.await.unwrap_or_else(|_| Err(ended()))?;
        Ok(Self { jobs })
    }

    /// Runs `job` in the namespace. It must not block for long.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (done, result) = oneshot::channel();
        let job = Box::new(move || drop(done.send(job())));
        self.jobs.send(job).await.map_err(|_| ended())?;
        result.await.unwrap_or_else(|_| Err(ended()))
    }
}

/// Runs `job` on a thread of its own that ends afterwards; for what changes the thread.
pub(crate) async fn on_own_thread<T: Send + 'static>(
    job: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (done, result) = oneshot::channel();
    thread::Builder::new().name("namespace".into()).spawn(move || drop(done.send(job())))?;
    result.await.unwrap_or_else(|_| Err(ended()))
}

fn ended() -> io::Error {
    io::Error::other("the thread of the namespace ended")
}
