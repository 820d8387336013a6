//! Hooks: when they run, and what comes of one that fails or hangs.

use super::Rig;
use crate::{
    fake::{Script, project, service, waiting},
    hooks::HOOK_MAX,
};
use mesh_api::{
    message::{ErrorKind, Progress},
    options::{DownOptions, UpOptions},
    request::Request,
    status::State,
};
use mesh_model::{
    hook::{Hook, InitContainer},
    service::{Condition::ServiceStarted, RestartPolicy, Service},
};
use std::time::Duration;
use tokio::time::Instant;

fn hook(word: &str) -> Hook {
    Hook { command: vec![word.to_owned()], ..Hook::default() }
}

fn hooked(name: &str, post_start: &[&str], pre_stop: &[&str]) -> Service {
    let mut service = service(name);
    service.hooks.post_start = post_start.iter().map(|word| hook(word)).collect();
    service.hooks.pre_stop = pre_stop.iter().map(|word| hook(word)).collect();
    service
}

fn ends(word: &str, after: Duration, code: i32) -> Script {
    Script { hooks: [(word.to_owned(), (after, code))].into(), ..Script::default() }
}

fn stop() -> Request {
    Request::Stop { services: vec![], timeout_seconds: None }
}

#[tokio::test(start_paused = true)]
async fn hooks_run_in_order_after_the_start_and_before_the_stop() {
    let rig = Rig::new().await;
    let project = project(vec![
        hooked("db", &["one", "two"], &["bye"]),
        waiting(service("web"), &[("db", ServiceStarted)]),
    ]);
    rig.fake.script("db", ends("two", Duration::from_secs(3), 0));
    let request = Request::Up { project: Box::new(project.clone()), options: UpOptions::default() };
    let (answer, told) = rig.ask(request).await;
    answer.unwrap();
    // What waits for the start waits for the hooks.
    assert!(rig.fake.when("start p-web-1") >= rig.fake.when("start p-db-1") + 3_000);
    let said = |progress: &&Progress| matches!(progress, Progress::Said { source, line } if source == "db-1 ->" && line == "done");
    assert_eq!(told.iter().filter(said).count(), 2, "{told:?}");
    let log = rig.fake.take_log();
    assert_eq!(log[3..], ["start p-db-1", "hook one p-db-1", "hook two p-db-1", "start p-web-1"]);
    rig.up(&project, true).await.unwrap();
    assert!(rig.fake.take_log().is_empty(), "what runs is not greeted again");
    rig.done(Request::Restart { services: vec!["db".into()], timeout_seconds: None, no_deps: true }).await;
    let want = ["hook bye p-db-1", "signal 15 p-db-1", "start p-db-1", "hook one p-db-1", "hook two p-db-1"];
    assert_eq!(rig.fake.take_log(), want);
    rig.done(Request::Down(DownOptions::default())).await;
    let log = rig.fake.take_log();
    assert_eq!(log[2..5], ["hook bye p-db-1", "signal 15 p-db-1", "remove p-db-1"], "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_starts_a_container_again_does_not_greet_it() {
    let rig = Rig::new().await;
    let always = Service { restart: RestartPolicy::Always, ..hooked("db", &["hello"], &["bye"]) };
    rig.up(&project(vec![always]), false).await.unwrap();
    rig.fake.take_log();
    rig.fake.crash("db", 1);
    rig.until("db", |db| db.restarts == 1 && db.state == State::Running).await;
    assert_eq!(rig.fake.take_log(), ["start p-db-1"]);
    rig.done(Request::Kill { services: vec![], signal: "KILL".into(), remove_orphans: false }).await;
    assert_eq!(rig.fake.take_log(), ["signal 9 p-db-1"], "kill runs no hook");
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_fails_fails_up_and_is_tried_by_the_next() {
    let rig = Rig::new().await;
    let project =
        project(vec![hooked("db", &["hello"], &[]), waiting(service("web"), &[("db", ServiceStarted)])]);
    rig.fake.script("db", ends("hello", Duration::ZERO, 127));
    for wait in [false, true] {
        let error = rig.up(&project, wait).await.unwrap_err();
        assert_eq!(error.message, "service db: post_start[0]: db hook exited with status 127: done");
    }
    let db = rig.status("db").await;
    assert_eq!(db.state, State::Running, "it goes on running");
    assert_eq!(db.detail.as_deref(), Some("post_start[0]: db hook exited with status 127: done"));
    assert_eq!(rig.status("web").await.state, State::Waiting);
    rig.fake.script("db", Script::default());
    rig.up(&project, true).await.unwrap();
    assert_eq!(rig.status("db").await.detail, None);
    assert_eq!(rig.status("web").await.state, State::Running);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_fails_keeps_a_container_from_being_stopped_and_kill_does_not_ask_it() {
    let rig = Rig::new().await;
    let project = project(vec![hooked("db", &[], &["bye"]), service("web")]);
    rig.fake.script("db", ends("bye", Duration::ZERO, 3));
    rig.up(&project, false).await.unwrap();
    for request in [stop(), Request::Down(DownOptions::default())] {
        let error = rig.ask(request).await.0.unwrap_err();
        assert_eq!(
            (error.kind, error.message.as_str()),
            (ErrorKind::Service, "service db: pre_stop[0]: db hook exited with status 3: done")
        );
        assert_eq!(rig.status("db").await.state, State::Running);
        assert_ne!(rig.status("web").await.state, State::Running, "the others are stopped");
    }
    rig.done(Request::Kill { services: vec![], signal: "KILL".into(), remove_orphans: false }).await;
    rig.done(Request::Down(DownOptions::default())).await;
    assert!(rig.fake.is_empty());
}

#[tokio::test(start_paused = true)]
async fn hooks_that_hang_are_bounded_and_hold_up_no_kill() {
    let rig = Rig::new().await;
    let project = project(vec![hooked("db", &["hang"], &["hang"])]);
    rig.fake.script("db", ends("hang", HOOK_MAX * 2, 0));
    let begun = Instant::now();
    let error = rig.up(&project, false).await.unwrap_err();
    assert_eq!(error.message, "service db: post_start[0]: db hook did not end within 600 s: done");
    assert!(begun.elapsed() >= HOOK_MAX);
    let kill = async {
        rig.until("db", |db| db.detail.as_deref() == Some("its pre_stop hooks run")).await;
        rig.done(Request::Kill { services: vec![], signal: "KILL".into(), remove_orphans: false }).await;
    };
    let begun = Instant::now();
    let (stopped, ()) = tokio::join!(rig.ask(stop()), kill);
    stopped.0.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(rig.status("db").await.exit_code, Some(137));
}

fn prepared(steps: usize) -> Service {
    let mut db = service("db");
    db.hooks.pre_start = vec![InitContainer::default(); steps];
    db
}

fn exits(after_ms: u64, code: i32) -> Script {
    Script { exits: vec![(Duration::from_millis(after_ms), code)], ..Script::default() }
}

/// The log without the random ends of names.
fn log(rig: &Rig) -> Vec<String> {
    let short = |words: String| match words.split_once("-pre_start-") {
        Some((begin, end)) => format!("{begin}-pre_start-{}", &end[..1]),
        None => words,
    };
    rig.fake.take_log().into_iter().map(short).collect()
}

#[tokio::test(start_paused = true)]
async fn steps_before_the_start_run_in_order_and_once() {
    let rig = Rig::new().await;
    rig.fake.script("db pre_start[0]", exits(1_000, 0));
    rig.fake.script("db pre_start[1]", exits(500, 0));
    let project = project(vec![prepared(2), waiting(service("web"), &[("db", ServiceStarted)])]);
    let mut options = UpOptions { wait: true, ..UpOptions::default() };
    options.create.scale.insert("db".into(), 2);
    rig.up_with(&project, options.clone()).await.unwrap();
    assert!(rig.fake.when("start p-db-1") >= 1_500);
    let first = log(&rig);
    let at =
        |words: &str| first.iter().position(|known| known == words).unwrap_or_else(|| panic!("{first:?}"));
    assert!(at("start p-db-pre_start-0") < at("start p-db-pre_start-1"));
    assert!(at("start p-db-pre_start-1") < at("start p-db-1").min(at("start p-db-2")));
    assert!(at("start p-db-1") < at("start p-web-1"));
    assert_eq!(rig.desk.owner.now().containers.len(), 3, "steps that ended well are gone");
    // Not again while one runs, and again once none does.
    options.create.scale.insert("db".into(), 3);
    rig.up_with(&project, options.clone()).await.unwrap();
    assert_eq!(log(&rig), ["create p-db-3", "start p-db-3"]);
    rig.done(stop()).await;
    log(&rig);
    rig.done(Request::Start { services: vec!["db".into()], wait: false, wait_timeout_ms: None }).await;
    let steps = |rig: &Rig| log(rig).iter().filter(|words| words.starts_with("start p-db-pre_start")).count();
    assert_eq!(steps(&rig), 2);
    rig.done(Request::Restart { services: vec!["db".into()], timeout_seconds: None, no_deps: false }).await;
    assert_eq!(steps(&rig), 0, "a restart prepares nothing");
}

#[tokio::test(start_paused = true)]
async fn steps_that_are_cut_off_are_ended() {
    let rig = Rig::new().await;
    let project = project(vec![prepared(2)]);
    let up = rig.up(&project, false);
    let down = async {
        rig.until_one_off(State::Running).await;
        rig.ask(Request::Stop { services: vec![], timeout_seconds: None }).await.0
    };
    let (up, stop) = tokio::join!(up, down);
    assert_eq!(up.unwrap_err().kind, ErrorKind::Busy);
    stop.unwrap();
    assert_eq!(rig.desk.owner.now().containers.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_fails_keeps_its_service_from_starting_and_stays() {
    let rig = Rig::new().await;
    rig.fake.script("db pre_start[0]", exits(0, 0));
    rig.fake.script("db pre_start[1]", exits(0, 17));
    let project = project(vec![prepared(3), waiting(service("web"), &[("db", ServiceStarted)])]);
    for wait in [false, true] {
        let error = rig.up(&project, wait).await.unwrap_err();
        let want = "service db: pre_start[1] exited with code 17";
        assert!(error.message.starts_with(want), "{}", error.message);
        let log = log(&rig);
        assert!(!log.contains(&"start p-db-1".to_owned()) && !log.contains(&"start p-web-1".to_owned()));
        assert_eq!(rig.desk.owner.now().containers.len(), 3, "db, web, and the step that failed");
    }
    rig.done(Request::Down(DownOptions::default())).await;
    assert!(rig.fake.is_empty());
}
