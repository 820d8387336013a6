//! The supervisor over a ground of the imagination, under a clock that jumps.

mod authority;
mod certificates;
mod commands;
mod hooks;
mod ports;
mod process;
mod recovery;
mod resources;
mod simulation;
mod starting;

use crate::{
    authority::Authority,
    certificates::Certificates,
    desk::Desk,
    fake::{Fake, FakeRuntime},
    outlet::{Outlet, Output},
    owner::{Owner, Past},
    turn::Turns,
};
use mesh_api::{
    message::{Answer, ApiError, Progress},
    options::{CreateOptions, UpOptions},
    request::Request,
    status::{ContainerStatus, State},
};
use mesh_model::project::Project;
use mesh_runtime::Runtime;
use mesh_store::record::{self, Loaded};
use std::{
    path::Path,
    sync::{Arc, Mutex, atomic::AtomicBool},
    time::Duration,
};
use tokio::{sync::watch, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

/// A supervisor without its socket.
pub(crate) struct Rig {
    pub(crate) fake: Arc<Fake>,
    pub(crate) desk: Arc<Desk>,
    directory: Arc<tempfile::TempDir>,
    owner: JoinHandle<()>,
}

impl Rig {
    pub(crate) async fn new() -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        Self::on(Fake::new(), directory).await
    }

    async fn on(fake: Arc<Fake>, directory: Arc<tempfile::TempDir>) -> Self {
        let path = directory.path().join("project.json");
        let record = match record::load(&path).unwrap() {
            Loaded::Found(record) => Some(*record),
            _ => None,
        };
        let runtime = Arc::new(FakeRuntime(Arc::clone(&fake)));
        let observed = runtime.containers().await.unwrap();
        let project = record.as_ref().map(|record| Arc::new(record.project.clone()));
        let past = Past::of(record.as_ref(), &fake.boot());
        let boot = fake.boot();
        let (owner, link) = Owner::adopt(Arc::clone(&runtime) as _, project, observed, &past);
        let stop = CancellationToken::new();
        let moved = Arc::clone(&fake);
        let certificates = Arc::new(Certificates::new(
            "p".into(),
            Arc::clone(&runtime) as _,
            link.clone(),
            Arc::new(move || moved.unix_ms()),
        ));
        let (moved, begun) = (Arc::clone(&fake), crate::container::unix_ms());
        let authority = Arc::new(Authority::new(
            "p".into(),
            directory.path(),
            Arc::clone(&runtime) as _,
            link.clone(),
            // Authorities are made by the clock of the machine.
            Arc::new(move || begun + moved.unix_ms()),
        ));
        let desk = Arc::new(Desk {
            certificates,
            authority,
            name: "p".into(),
            version: "0".into(),
            journal: directory.path().join("journal"),
            runtime,
            owner: link,
            turns: Turns::new(path, record, boot),
            clients: watch::Sender::new(0),
            stop: stop.clone(),
            limits_told: AtomicBool::new(false),
            removing: Mutex::default(),
        });
        let owner = tokio::spawn(owner.run(stop));
        Self { fake, desk, directory, owner }
    }

    /// Ends this supervisor and gives the next one over the same ground.
    pub(crate) async fn succeed(self) -> Self {
        self.desk.stop.cancel();
        self.owner.await.unwrap();
        Self::on(self.fake, self.directory).await
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Carries out a request; gives its end and all that was told.
    pub(crate) async fn ask(&self, request: Request) -> (Result<Answer, ApiError>, Vec<Progress>) {
        let (outlet, mut output) = Outlet::new(CancellationToken::new());
        let mut told = Vec::new();
        let work = async move { self.desk.perform(request, &outlet, None).await };
        let listen = async {
            while let Some(output) = output.recv().await {
                if let Output::Progress(progress) = output {
                    told.push(progress);
                }
            }
        };
        let (answer, ()) = tokio::join!(work, listen);
        (answer, told)
    }

    pub(crate) async fn up(&self, project: &Project, wait: bool) -> Result<(), ApiError> {
        self.up_with(project, UpOptions { wait, ..UpOptions::default() }).await
    }

    pub(crate) async fn up_with(&self, project: &Project, options: UpOptions) -> Result<(), ApiError> {
        let request = Request::Up { project: Box::new(project.clone()), options };
        self.ask(request).await.0.map(|_| ())
    }

    pub(crate) async fn done(&self, request: Request) {
        let (answer, told) = self.ask(request.clone()).await;
        assert!(answer.is_ok(), "{request:?}: {answer:?} {told:?}");
    }

    pub(crate) async fn status(&self, service: &str) -> ContainerStatus {
        let Ok(Answer::Containers(all)) = self.ask(Request::Containers).await.0 else { panic!("no answer") };
        all.into_iter().find(|found| found.service == service).unwrap_or_else(|| panic!("no {service}"))
    }

    /// Waits until a container of `run` is so.
    pub(crate) async fn until_one_off(&self, state: State) {
        let reached = self.desk.owner.until(|view| {
            let mut all = view.containers.values().filter(|found| found.spec.one_off);
            all.any(|found| found.status(false).state == state)
        });
        timeout(Duration::from_secs(3600), reached).await.unwrap_or_else(|_| panic!("no one-off got there"));
    }

    /// Waits until the container of a service is so.
    pub(crate) async fn until(&self, service: &str, enough: impl Fn(&ContainerStatus) -> bool) {
        let reached = self.desk.owner.until(|view| {
            let found = view.of_service(service).next();
            found.is_some_and(|found| enough(&found.status(false)))
        });
        timeout(Duration::from_secs(3600), reached)
            .await
            .unwrap_or_else(|_| panic!("{service} never got there"));
    }
}

/// `up` of some services only.
pub(crate) fn only(services: &[&str], no_deps: bool) -> UpOptions {
    let services = services.iter().map(|name| (*name).to_owned()).collect();
    UpOptions {
        create: CreateOptions { services, no_deps, ..CreateOptions::default() },
        ..UpOptions::default()
    }
}
