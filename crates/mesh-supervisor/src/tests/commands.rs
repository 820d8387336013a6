//! What keeps running, what ends, and what the next supervisor finds.

use super::Rig;
use crate::{
    fake::{Script, checked, project, service, waiting},
    outlet::Outlet,
    turn::Asker,
};
use mesh_api::{
    message::{Action, Answer, ErrorKind, Progress},
    options::{DownOptions, RunOptions, UpOptions},
    request::Request,
    status::{Health, State},
};
use mesh_model::{
    project::Project,
    service::{Condition::ServiceStarted, RestartPolicy, Service},
};
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

fn always(name: &str) -> Service {
    Service { restart: RestartPolicy::Always, ..service(name) }
}

fn chain() -> Project {
    project(vec![
        service("db"),
        waiting(service("web"), &[("db", ServiceStarted)]),
        waiting(service("proxy"), &[("web", ServiceStarted)]),
    ])
}

fn stop(services: &[&str]) -> Request {
    Request::Stop {
        services: services.iter().map(|name| (*name).to_owned()).collect(),
        timeout_seconds: None,
    }
}

#[tokio::test(start_paused = true)]
async fn what_ends_unasked_is_restarted_with_growing_pauses() {
    let rig = Rig::new().await;
    let exits = vec![(Duration::ZERO, 1); 4];
    rig.fake.script("web", Script { exits, ..Script::default() });
    let begun = Instant::now();
    rig.up(&project(vec![always("web")]), false).await.unwrap();
    rig.until("web", |web| web.restarts == 4 && web.state == State::Running).await;
    let took = begun.elapsed().as_millis();
    assert!((1500..1600).contains(&took), "{took}");
    rig.fake.crash("web", 9);
    rig.until("web", |web| web.state == State::Restarting).await;
    rig.until("web", |web| web.restarts == 5).await;
}

#[tokio::test(start_paused = true)]
async fn a_command_that_stops_is_not_undone_by_a_policy() {
    for request in
        [stop(&["web"]), Request::Kill { services: vec![], signal: "KILL".into(), remove_orphans: false }]
    {
        let rig = Rig::new().await;
        rig.up(&project(vec![always("web")]), false).await.unwrap();
        rig.done(request).await;
        assert_eq!(rig.status("web").await.state, State::Exited);
        // The next supervisor leaves it alone too, until it is started.
        let rig = rig.succeed().await;
        assert_eq!(rig.status("web").await.state, State::Exited);
        rig.done(Request::Start { services: vec![], wait: true, wait_timeout_ms: None }).await;
        assert_eq!(rig.status("web").await.state, State::Running);
    }
}

#[tokio::test(start_paused = true)]
async fn down_ends_dependents_first_and_twice_is_fine() {
    let rig = Rig::new().await;
    rig.fake.script("db", Script { deaf: true, ..Script::default() });
    rig.up(&chain(), false).await.unwrap();
    rig.fake.take_log();
    let begun = Instant::now();
    rig.done(Request::Down(DownOptions::default())).await;
    let want = [
        "signal 15 p-proxy-1",
        "remove p-proxy-1",
        "signal 15 p-web-1",
        "remove p-web-1",
        "signal 15 p-db-1",
        "signal 9 p-db-1",
        "remove p-db-1",
        "remove network p_default",
        "release",
    ];
    assert_eq!(rig.fake.take_log(), want);
    assert!((10_000..10_100).contains(&begun.elapsed().as_millis()), "its grace period was not kept");
    assert!(rig.fake.is_empty() && rig.desk.stop.is_cancelled());
    assert!(!rig.directory().join("project.json").exists());
    let rig = rig.succeed().await;
    rig.done(Request::Down(DownOptions { volumes: true, ..DownOptions::default() })).await;
}

#[tokio::test(start_paused = true)]
async fn the_next_supervisor_adopts_what_runs_and_mends_what_died() {
    let rig = Rig::new().await;
    let checked_always = Service { restart: RestartPolicy::UnlessStopped, ..checked("db") };
    let healthy = Script { healthy_after: Some(Duration::ZERO), ..Script::default() };
    rig.fake.script("db", healthy);
    rig.up(&project(vec![checked_always, always("web"), service("job")]), true).await.unwrap();
    rig.fake.take_log();
    rig.desk.stop.cancel();
    rig.fake.crash("web", 1);
    rig.fake.crash("job", 0);
    let rig = rig.succeed().await;
    rig.until("db", |db| db.health == Some(Health::Healthy)).await;
    rig.until("web", |web| web.state == State::Running).await;
    assert_eq!(rig.status("job").await.state, State::Exited);
    assert_eq!(rig.fake.take_log(), ["start p-web-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_record_loses_no_container() {
    let rig = Rig::new().await;
    rig.up(&chain(), false).await.unwrap();
    std::fs::write(rig.directory().join("project.json"), "{").unwrap();
    let rig = rig.succeed().await;
    assert_eq!(rig.status("web").await.state, State::Running);
    rig.fake.take_log();
    rig.done(Request::Down(DownOptions::default())).await;
    assert_eq!(rig.fake.take_log()[0], "signal 15 p-proxy-1");
    assert!(rig.fake.is_empty());
}

#[tokio::test(start_paused = true)]
async fn restart_brings_along_who_asked_for_it() {
    let rig = Rig::new().await;
    let mut project = chain();
    project.services.get_mut("web").unwrap().depends_on.get_mut("db").unwrap().restart = true;
    rig.up(&project, false).await.unwrap();
    rig.fake.take_log();
    let restart = |no_deps| Request::Restart { services: vec!["db".into()], timeout_seconds: None, no_deps };
    rig.done(restart(false)).await;
    assert_eq!(
        rig.fake.take_log(),
        ["signal 15 p-web-1", "signal 15 p-db-1", "start p-db-1", "start p-web-1"]
    );
    rig.done(restart(true)).await;
    assert_eq!(rig.fake.take_log(), ["signal 15 p-db-1", "start p-db-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_second_up_waits_its_turn_and_down_does_not() {
    let rig = Rig::new().await;
    let project = project(vec![checked("db")]);
    let slow = UpOptions { wait: true, ..UpOptions::default() };
    rig.fake.script("db", Script { healthy_after: Some(Duration::from_secs(3)), ..Script::default() });
    let (first, second) =
        tokio::join!(rig.up_with(&project, slow.clone()), rig.up_with(&project, slow.clone()));
    first.and(second).unwrap();
    assert_eq!(rig.fake.take_log().len(), 3);

    rig.done(Request::Down(DownOptions::default())).await;
    let rig = rig.succeed().await;
    rig.fake.script("db", Script { healthy_after: Some(Duration::from_secs(5)), ..Script::default() });
    let down = async {
        rig.until("db", |db| db.state == State::Running).await;
        rig.ask(Request::Down(DownOptions::default())).await.0
    };
    let (up, down) = tokio::join!(rig.up_with(&project, slow), down);
    assert_eq!(up.unwrap_err().kind, ErrorKind::Busy);
    down.unwrap();
    assert!(rig.fake.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_turn_is_waited_for_a_minute() {
    let rig = Rig::new().await;
    let turn = rig.desk.turns.take(false, Asker { verb: "run", pid: Some(7) }).await.unwrap();
    let request =
        Request::Up { project: Box::new(project(vec![service("web")])), options: UpOptions::default() };
    let (answer, told) = rig.ask(request).await;
    let error = answer.unwrap_err();
    let want = "`mesh run` (process 7) has been changing this project for 60 s";
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Busy, want));
    let told = format!("{told:?}");
    assert!(told.contains("waiting for `mesh run` (process 7), which"), "{told}");
    drop(turn);
    rig.up(&project(vec![service("web")]), false).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hangs_up_leaves_what_runs_and_what_waits_is_not_started() {
    let rig = Rig::new().await;
    let gated = waiting(service("web"), &[("db", mesh_model::service::Condition::ServiceHealthy)]);
    let project = project(vec![checked("db"), gated]);
    rig.fake.script("db", Script { healthy_after: Some(Duration::from_secs(2)), ..Script::default() });
    let gone = CancellationToken::new();
    let (outlet, output) = Outlet::new(gone.clone());
    let request = Request::Up { project: Box::new(project.clone()), options: UpOptions::default() };
    let leave = async {
        rig.until("db", |db| db.state == State::Running).await;
        drop(output);
        gone.cancel();
    };
    // The channel is closed before it is full, so that the request is not held up by it.
    let (answer, ()) = tokio::join!(rig.desk.perform(request, &outlet, None), leave);
    assert!(answer.is_err());
    rig.until("db", |db| db.health == Some(Health::Healthy)).await;
    assert_eq!(rig.status("web").await.state, State::Created);
    rig.up(&project, true).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn orphans_are_told_and_removed_when_asked() {
    let rig = Rig::new().await;
    let mut project = chain();
    rig.up(&project, false).await.unwrap();
    project.services.remove("proxy");
    let request = Request::Up { project: Box::new(project.clone()), options: UpOptions::default() };
    let (answer, told) = rig.ask(request).await;
    answer.unwrap();
    let warned = told
        .iter()
        .any(|progress| matches!(progress, Progress::Note { text, .. } if text.contains("p-proxy-1")));
    let running = told.iter().any(|progress| {
        matches!(progress, Progress::Object { name, action: Action::Running, .. } if name == "p-web-1")
    });
    assert!(warned && running, "{told:?}");
    assert!(rig.status("proxy").await.orphan);
    rig.fake.take_log();
    let mut options = UpOptions::default();
    options.create.remove_orphans = true;
    rig.up_with(&project, options).await.unwrap();
    assert_eq!(rig.fake.take_log(), ["signal 15 p-proxy-1", "remove p-proxy-1"]);
}

#[tokio::test(start_paused = true)]
async fn run_starts_what_is_needed_and_gives_the_exit_code() {
    let rig = Rig::new().await;
    let project = chain();
    rig.fake.script("web", Script { exits: vec![(Duration::from_secs(1), 7)], ..Script::default() });
    let options = RunOptions { service: "web".into(), remove: true, ..RunOptions::default() };
    let request = Request::Run { project: Box::new(project.clone()), options: options.clone() };
    let (answer, _) = rig.ask(request).await;
    assert!(matches!(answer, Ok(Answer::Exit { code: 7 })), "{answer:?}");
    let log = rig.fake.take_log();
    assert_eq!(log[..3], ["network p_default", "create p-db-1", "start p-db-1"]);
    assert!(log[3].starts_with("create p-web-run-") && log[5].starts_with("remove p-web-run-"), "{log:?}");

    rig.fake.script("web", Script::default());
    let options = RunOptions { detach: true, name: Some("mine".into()), ..options };
    let (answer, _) = rig.ask(Request::Run { project: Box::new(project), options }).await;
    assert!(matches!(answer, Ok(Answer::Started { name, .. }) if name == "mine"));
    assert!(rig.status("web").await.one_off);
    // What somebody runs goes on without the services, on its network.
    let (answer, told) = rig.ask(Request::Down(DownOptions::default())).await;
    answer.unwrap();
    let stays = "containers of `run` that are at work stay, and what they use: mine; remove them with --remove-orphans";
    let is_told = |one: &Progress| matches!(one, Progress::Note { text, .. } if text == stays);
    assert!(told.iter().any(is_told), "{told:?}");
    assert_eq!(rig.status("web").await.name, "mine");
    assert_eq!(rig.desk.owner.now().containers.len(), 1);
    assert!(!rig.fake.take_log().iter().any(|words| words.starts_with("remove network")));
    rig.done(Request::Down(DownOptions { remove_orphans: true, ..DownOptions::default() })).await;
    assert!(rig.fake.is_empty());
}

#[tokio::test(start_paused = true)]
async fn down_removes_what_run_left_once_it_ended() {
    let rig = Rig::new().await;
    rig.fake.script("web", Script { exits: vec![(Duration::from_secs(1), 7)], ..Script::default() });
    let options = RunOptions { service: "web".into(), detach: true, ..RunOptions::default() };
    rig.done(Request::Run { project: Box::new(project(vec![service("web")])), options }).await;
    rig.until_one_off(State::Exited).await;
    rig.done(Request::Down(DownOptions::default())).await;
    assert!(rig.fake.is_empty());
}

#[tokio::test(start_paused = true)]
async fn run_waits_for_the_conditions_of_its_service() {
    use mesh_model::service::Condition::ServiceCompletedSuccessfully;
    for (code, want) in [(0, 0), (5, 1)] {
        let rig = Rig::new().await;
        let web = waiting(service("web"), &[("migrate", ServiceCompletedSuccessfully)]);
        let exits =
            |after, code| Script { exits: vec![(Duration::from_secs(after), code)], ..Script::default() };
        rig.fake.script("migrate", exits(3, code));
        rig.fake.script("web", exits(1, 0));
        let options = RunOptions { service: "web".into(), remove: true, ..RunOptions::default() };
        let project = Box::new(project(vec![service("migrate"), web]));
        let begun = Instant::now();
        let (answer, _) = rig.ask(Request::Run { project, options }).await;
        let ran = matches!(answer, Ok(Answer::Exit { code: 0 }));
        assert_eq!(i32::from(!ran), want, "{answer:?}");
        assert!(begun.elapsed() >= Duration::from_secs(3), "it did not wait");
        assert_eq!(rig.desk.owner.now().containers.len(), 1, "what was to be removed is gone");
    }
}

#[tokio::test(start_paused = true)]
async fn questions_are_answered_beside_commands() {
    let rig = Rig::new().await;
    rig.up(&chain(), false).await.unwrap();
    let _turn = rig.desk.turns.take(false, Asker { verb: "up", pid: None }).await.unwrap();
    for request in [
        Request::Ping,
        Request::Project,
        Request::Containers,
        Request::Stats { services: vec![] },
        Request::Top { services: vec!["db".into()] },
        Request::Volumes,
    ] {
        rig.done(request).await;
    }
    let unknown = Request::Stats { services: vec!["x".into()] };
    assert_eq!(rig.ask(unknown).await.0.unwrap_err().kind, ErrorKind::Request);
    let wait = rig.ask(Request::Wait { services: vec!["db".into()] });
    rig.fake.crash("db", 4);
    assert!(matches!(wait.await.0, Ok(Answer::Exit { code: 4 })));
}

#[tokio::test(start_paused = true)]
async fn frozen_containers_are_not_probed_and_can_be_stopped() {
    let rig = Rig::new().await;
    rig.fake.script("db", Script { healthy_after: Some(Duration::ZERO), ..Script::default() });
    rig.up(&project(vec![checked("db")]), true).await.unwrap();
    rig.done(Request::Pause { services: vec!["db".into()] }).await;
    assert_eq!(rig.status("db").await.state, State::Paused);
    let again = rig.ask(Request::Pause { services: vec!["db".into()] }).await.0;
    assert_eq!(again.unwrap_err().message, "container p-db-1 is already paused");
    rig.done(Request::Unpause { services: vec![] }).await;
    rig.done(Request::Pause { services: vec![] }).await;
    rig.done(stop(&[])).await;
    assert_eq!(rig.status("db").await.state, State::Exited);
    rig.done(Request::Remove { services: vec![], stop: false, volumes: false }).await;
    let ended = timeout(Duration::from_secs(1), rig.desk.owner.until(|view| view.containers.is_empty()));
    ended.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn run_and_down_at_the_same_time_remove_a_container_once() {
    let rig = Rig::new().await;
    let project = project(vec![service("web")]);
    let options = RunOptions { service: "web".into(), remove: true, ..RunOptions::default() };
    let run = rig.ask(Request::Run { project: Box::new(project), options });
    let down = async {
        rig.until_one_off(State::Running).await;
        rig.ask(Request::Down(DownOptions { remove_orphans: true, ..DownOptions::default() })).await.0
    };
    let ((run, _), down) = tokio::join!(run, down);
    down.unwrap();
    assert!(matches!(run, Ok(Answer::Exit { code: 143 })), "{run:?}");
    let removals = rig.fake.take_log().into_iter().filter(|words| words.starts_with("remove p-web-run-"));
    assert_eq!(removals.count(), 1);
    assert!(rig.fake.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_rehearsal_tells_and_does_nothing() {
    let rig = Rig::new().await;
    let mut project = chain();
    rig.up(&project, false).await.unwrap();
    rig.fake.take_log();
    project.services.get_mut("web").unwrap().environment.insert("A".into(), "b".into());
    project.services.insert("new".into(), service("new"));
    let mut options = UpOptions::default();
    options.create.dry_run = true;
    let (answer, told) = rig.ask(Request::Up { project: Box::new(project), options }).await;
    answer.unwrap();
    let words = |progress: &Progress| match progress {
        Progress::Object { name, action, .. } => Some(format!("{name} {action:?}")),
        _ => None,
    };
    let told: Vec<String> = told.iter().filter_map(words).collect();
    for want in
        ["p-new-1 Created", "p-new-1 Started", "p-web-1 Recreated", "p-web-1 Started", "p-db-1 Running"]
    {
        assert!(told.iter().any(|line| line == want), "no {want} in {told:?}");
    }
    assert_eq!(rig.fake.take_log(), Vec::<String>::new());
    assert_eq!(rig.desk.owner.now().containers.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_cannot_be_made_says_why() {
    let rig = Rig::new().await;
    rig.up(&project(vec![always("web")]), false).await.unwrap();
    rig.fake.script("web", Script { start_error: Some("no such file".into()), ..Script::default() });
    rig.fake.crash("web", 1);
    rig.until("web", |web| web.detail.is_some()).await;
    let web = rig.status("web").await;
    assert_eq!(web.state, State::Restarting);
    let want = "could not be started: could not execute server: no such file";
    assert_eq!(web.detail.as_deref(), Some(want));
}
