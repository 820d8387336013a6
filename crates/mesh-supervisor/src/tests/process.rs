//! The supervisor as a whole, behind its socket.

use crate::{
    SupervisorError, SupervisorSettings,
    fake::{Fake, FakeRuntime, project, service},
    run,
};
use mesh_api::{
    client::Client,
    message::Answer,
    options::{DownOptions, UpOptions},
    request::Request,
};
use mesh_store::home::Home;
use std::{sync::Arc, time::Duration};
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};

const LONG: Duration = Duration::from_secs(600);

struct Process {
    client: Client,
    settings: SupervisorSettings,
    ended: JoinHandle<Result<(), SupervisorError>>,
}

async fn start(fake: &Arc<Fake>, root: &std::path::Path, idle_exit_after: Duration) -> Process {
    let home = Home { data: root.join("data"), state: root.join("state"), runtime: root.join("run") };
    let settings = SupervisorSettings {
        project: "p".into(),
        paths: home.project("p"),
        data: home.data.clone(),
        version: "1.2.3".into(),
        idle_exit_after,
    };
    let client = Client::new(&settings.paths.socket);
    let (sender, ready) = oneshot::channel();
    let runtime = Arc::new(FakeRuntime(Arc::clone(fake)));
    let own = settings.clone();
    let ended =
        tokio::spawn(async move { run(own, runtime, || sender.send(()).expect("the test waits")).await });
    timeout(LONG, ready).await.unwrap().unwrap();
    Process { client, settings, ended }
}

impl Process {
    async fn ask(&self, request: Request) -> Answer {
        timeout(LONG, self.client.call(request, &mut |_| {}, None)).await.unwrap().unwrap()
    }

    async fn ended(self) {
        timeout(LONG, self.ended).await.unwrap().unwrap().unwrap();
        assert!(!self.settings.paths.socket.exists());
    }
}

#[tokio::test]
async fn a_supervisor_is_alone_serves_leaves_what_runs_and_ends_after_down() {
    let root = tempfile::tempdir().unwrap();
    let fake = Fake::new();
    let first = start(&fake, root.path(), LONG).await;
    let Answer::Pong { version, .. } = first.ask(Request::Ping).await else { panic!("no pong") };
    assert_eq!(version, "1.2.3");
    let runtime = Arc::new(FakeRuntime(Fake::new()));
    let second = run(first.settings.clone(), runtime, || panic!("two are ready")).await;
    assert!(matches!(second, Err(SupervisorError::Lock(_))));
    let project = Box::new(project(vec![service("web")]));
    first.ask(Request::Up { project, options: UpOptions::default() }).await;
    first.ask(Request::Shutdown).await;
    first.ended().await;

    let next = start(&fake, root.path(), LONG).await;
    let Answer::Containers(found) = next.ask(Request::Containers).await else { panic!("no list") };
    assert_eq!(found[0].name, "p-web-1");
    assert_eq!(found[0].state, mesh_api::status::State::Running);
    next.ask(Request::Down(DownOptions::default())).await;
    next.ended().await;
    assert!(fake.is_empty());
}

#[tokio::test]
async fn an_idle_supervisor_ends_by_itself() {
    let root = tempfile::tempdir().unwrap();
    start(&Fake::new(), root.path(), Duration::from_millis(20)).await.ended().await;
}
