//! Starting: order, conditions, failures and their texts.

use super::{Rig, only};
use crate::fake::{Script, checked, project, service, waiting};
use mesh_api::{
    message::{Answer, ApiError, ErrorKind, Progress},
    options::UpOptions,
    request::Request,
    status::{Health, State},
};
use mesh_model::{
    project::WhenNoSource,
    service::Condition::{ServiceCompletedSuccessfully, ServiceHealthy, ServiceStarted},
};
use std::time::Duration;

fn healthy_after(milliseconds: u64) -> Script {
    Script { healthy_after: Some(Duration::from_millis(milliseconds)), ..Script::default() }
}

fn exits(codes: &[i32]) -> Script {
    let exits = codes.iter().map(|code| (Duration::from_millis(20), *code)).collect();
    Script { exits, ..Script::default() }
}

/// The one failure of an error.
fn failure(error: &ApiError) -> (String, String, String) {
    assert_eq!(error.failures.len(), 1, "{error:?}");
    let one = &error.failures[0];
    (one.service.clone(), one.reason.clone(), one.blocks.join(" "))
}

#[tokio::test(start_paused = true)]
async fn dependents_wait_for_their_conditions_and_branches_run_side_by_side() {
    let rig = Rig::new().await;
    let project = project(vec![
        checked("db"),
        waiting(service("migrate"), &[("db", ServiceHealthy)]),
        waiting(checked("web"), &[("db", ServiceHealthy), ("migrate", ServiceCompletedSuccessfully)]),
        waiting(service("proxy"), &[("web", ServiceStarted)]),
        checked("cache"),
    ]);
    rig.fake.script("db", healthy_after(900));
    rig.fake.script("migrate", exits(&[0]));
    rig.fake.script("web", healthy_after(300));
    rig.fake.script("cache", healthy_after(50));
    rig.up(&project, true).await.unwrap();
    let when = |words: &str| rig.fake.when(words);
    assert_eq!(when("start p-db-1"), when("start p-cache-1"));
    // Readiness is noticed within a tenth of a second of being true.
    assert!((900..1000).contains(&when("start p-migrate-1")), "{}", when("start p-migrate-1"));
    assert!(when("start p-web-1") >= when("start p-migrate-1") + 20);
    assert!(when("start p-proxy-1") >= when("start p-web-1"));
    assert!(rig.fake.violations().is_empty());
    let web = rig.status("web").await;
    assert_eq!((web.state, web.health), (State::Running, Some(Health::Healthy)));
    assert!((300..400).contains(&web.ready_after_ms.unwrap()), "{web:?}");
    assert_eq!(rig.status("migrate").await.exit_code, Some(0));

    // Nothing to do: nothing is made, and what completed does not run again.
    rig.fake.take_log();
    rig.up(&project, true).await.unwrap();
    assert_eq!(rig.fake.take_log(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn only_what_changed_is_replaced_and_it_is_ended_first() {
    let rig = Rig::new().await;
    let mut project = project(vec![service("db"), waiting(service("web"), &[("db", ServiceStarted)])]);
    rig.up(&project, false).await.unwrap();
    rig.fake.take_log();
    project.services.get_mut("web").unwrap().environment.insert("A".into(), "b".into());
    rig.up(&project, false).await.unwrap();
    let want = ["create p-web-1", "signal 15 p-web-1", "remove p-web-1", "start p-web-1"];
    assert_eq!(rig.fake.take_log(), want);
    // A dependent that asked for it is restarted along with what it needs.
    project.services.get_mut("web").unwrap().depends_on.get_mut("db").unwrap().restart = true;
    project.services.get_mut("db").unwrap().environment.insert("A".into(), "b".into());
    rig.up(&project, false).await.unwrap();
    let log = rig.fake.take_log();
    let want = [
        "create p-db-1",
        "signal 15 p-db-1",
        "remove p-db-1",
        "signal 15 p-web-1",
        "start p-db-1",
        "start p-web-1",
    ];
    assert_eq!(log, want);
}

#[tokio::test(start_paused = true)]
async fn numbers_go_up_and_down() {
    let rig = Rig::new().await;
    let project = project(vec![service("web")]);
    rig.up(&project, false).await.unwrap();
    rig.fake.take_log();
    rig.done(Request::Scale { scale: [("web".to_owned(), 3)].into(), no_deps: false }).await;
    let log = rig.fake.take_log();
    assert!(log.contains(&"start p-web-2".into()) && log.contains(&"start p-web-3".into()), "{log:?}");
    rig.up(&project, false).await.unwrap();
    let mut log = rig.fake.take_log();
    log.sort();
    assert_eq!(log, ["remove p-web-2", "remove p-web-3", "signal 15 p-web-2", "signal 15 p-web-3"]);
}

#[tokio::test(start_paused = true)]
async fn an_unhealthy_service_fails_its_dependents_with_the_reason() {
    let rig = Rig::new().await;
    let project = project(vec![
        checked("db"),
        waiting(service("web"), &[("db", ServiceHealthy)]),
        waiting(service("proxy"), &[("web", ServiceStarted)]),
    ]);
    let mut journal = mesh_journal::Writer::open(mesh_journal::Settings {
        directory: rig.directory().join("journal/p-db-1"),
        segment_bytes_max: 4096,
        segments_max: 1,
    })
    .unwrap();
    for number in 0..30 {
        let line = format!("line {number}");
        journal.write(mesh_journal::Stream::Stdout, line.as_bytes(), number, true).unwrap();
    }
    let error = rig.up(&project, false).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Service);
    assert_eq!(error.message, "service db: unhealthy after 3 failed probes");
    let want = ("db".into(), "unhealthy after 3 failed probes".into(), "proxy web".into());
    assert_eq!(failure(&error), want);
    assert_eq!(error.failures[0].probe_output.as_deref(), Some("no answer yet"));
    assert_eq!(error.failures[0].log_tail.len(), 20);
    assert_eq!(error.failures[0].log_tail[19], "line 29");
    let web = rig.status("web").await;
    assert_eq!((web.state, web.detail.as_deref()), (State::Waiting, Some("db is unhealthy")));
    assert!(rig.fake.violations().is_empty());
    assert!(!rig.fake.take_log().contains(&"start p-web-1".into()));
}

#[tokio::test(start_paused = true)]
async fn failures_say_what_happened() {
    let limited = || {
        let mut limited = service("web");
        limited.limits.memory_bytes = Some(64 << 20);
        limited
    };
    let killed = Script { out_of_memory: true, ..exits(&[137]) };
    let refused = Script { start_error: Some("no such file".into()), ..Script::default() };
    for (script, wait, kind, want) in [
        (exits(&[3]), true, ErrorKind::Service, "exited with 3"),
        (killed, true, ErrorKind::Service, "killed: out of memory (limit 64 MiB)"),
        (refused, false, ErrorKind::Ground, "could not execute server: no such file"),
    ] {
        let rig = Rig::new().await;
        let after = waiting(service("after"), &[("web", ServiceCompletedSuccessfully)]);
        let project = project(vec![limited(), after]);
        rig.fake.script("web", script);
        let error = rig.up(&project, wait).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error:?}");
        assert_eq!(failure(&error), ("web".into(), want.into(), "after".into()));
    }
}

#[tokio::test(start_paused = true)]
async fn an_image_without_a_source_and_an_unknown_service_are_told_before_anything_is_made() {
    let rig = Rig::new().await;
    let mut project = project(vec![service("web"), service("none")]);
    let error = rig.up(&project, false).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Image);
    assert_eq!(error.message, "service none: image none has no source: nobody knows it");
    let error = rig.up_with(&project, only(&["wbe"], false)).await.unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Request, "no such service: wbe"));
    project.services.get_mut("none").unwrap().image = None;
    let error = rig.up(&project, false).await.unwrap_err();
    assert_eq!(error.message, "service none has no image");
    assert_eq!(rig.fake.take_log(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_in_time_and_says_what_is_missing() {
    let rig = Rig::new().await;
    let project = project(vec![checked("db"), service("web")]);
    rig.fake.script("db", healthy_after(5_000));
    let options = UpOptions { wait: true, wait_timeout_ms: Some(1_000), ..UpOptions::default() };
    let error = rig.up_with(&project, options).await.unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Timeout, "not ready in time: db"));
    assert_eq!(failure(&error).1, "its health check has not passed yet");
    // What runs was left, and becomes healthy.
    rig.until("db", |db| db.health == Some(Health::Healthy)).await;
}

#[tokio::test(start_paused = true)]
async fn dependencies_are_left_alone_when_asked() {
    let rig = Rig::new().await;
    let project = project(vec![checked("db"), waiting(service("web"), &[("db", ServiceHealthy)])]);
    rig.up_with(&project, only(&["web"], true)).await.unwrap();
    assert_eq!(rig.fake.take_log(), ["network p_default", "create p-web-1", "start p-web-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_creation_is_told_and_mended_by_the_next_up() {
    let rig = Rig::new().await;
    let project = project(vec![service("db"), service("web")]);
    rig.fake.script("web", Script { create_error: true, ..Script::default() });
    let error = rig.up(&project, false).await.unwrap_err();
    assert_eq!(error.message, "service web: could not set up the container: overlay: scripted");
    rig.fake.script("web", Script::default());
    rig.up(&project, true).await.unwrap();
    assert_eq!(rig.status("web").await.state, State::Running);
}

#[tokio::test(start_paused = true)]
async fn images_are_held_until_their_containers_are_there_and_no_longer() {
    let rig = Rig::new().await;
    // The ground refuses to make a container of an image that is not held.
    rig.up(&project(vec![service("db"), service("web")]), false).await.unwrap();
    assert_eq!(rig.fake.held(), 0);
    rig.fake.script("late", Script { create_error: true, ..Script::default() });
    rig.up(&project(vec![service("late")]), false).await.unwrap_err();
    assert_eq!(rig.fake.held(), 0, "what failed holds nothing");
    let options = mesh_api::options::RunOptions { service: "web".into(), detach: true, ..Default::default() };
    rig.done(Request::Run { project: Box::new(project(vec![service("web")])), options }).await;
    assert_eq!(rig.fake.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn every_one_of_several_failed_starts_is_told() {
    let rig = Rig::new().await;
    let failing = |delay, error: &str| Script {
        start_delay: Duration::from_millis(delay),
        start_error: Some(error.into()),
        ..Script::default()
    };
    rig.fake.script("a", failing(0, "no such file"));
    rig.fake.script("b", failing(900, "permission denied"));
    rig.fake.script("c", failing(300, "not a program"));
    rig.fake.script("d", Script { start_delay: Duration::from_millis(100), ..Script::default() });
    let names = ["a", "b", "c", "d"];
    for wait in [false, true] {
        let error = rig.up(&project(names.map(service).into()), wait).await.unwrap_err();
        let told: Vec<&str> = error.failures.iter().map(|failure| failure.reason.as_str()).collect();
        let want = ["no such file", "permission denied", "not a program"];
        assert!(
            told.len() == 3 && want.iter().all(|why| told.iter().any(|one| one.ends_with(why))),
            "{error:?}"
        );
        assert!(error.message.ends_with("no such file (and 2 more)"), "{error:?}");
    }
    assert_eq!(rig.status("d").await.state, State::Running);
    // While one is being started nothing of it runs.
    rig.fake.script("slow", Script { start_delay: Duration::from_secs(5), ..Script::default() });
    let project = project(vec![service("slow")]);
    let look = async {
        rig.until("slow", |slow| slow.state == State::Starting && slow.pid.is_none()).await;
    };
    let (up, ()) = tokio::join!(rig.up(&project, false), look);
    up.unwrap();
    assert_eq!(rig.status("slow").await.state, State::Running);
}

#[tokio::test(start_paused = true)]
async fn what_nothing_serves_is_left_out_and_told_where_the_file_lets_it() {
    let rig = Rig::new().await;
    let skipped = |name: &str| {
        let mut service = service(name);
        service.when_no_source = WhenNoSource::Skip;
        service.image = Some("none".to_owned());
        service
    };
    let mut shown = waiting(service("shown"), &[("graphs", ServiceStarted)]);
    shown.when_no_source = WhenNoSource::Skip;
    let stack = project(vec![service("db"), skipped("graphs"), shown]);
    let up = |services: &[&str]| {
        let services = services.iter().map(|name| (*name).to_owned()).collect();
        let create = mesh_api::options::CreateOptions { services, ..Default::default() };
        let options = UpOptions { create, wait: true, ..UpOptions::default() };
        rig.ask(Request::Up { project: Box::new(stack.clone()), options })
    };
    let (answer, progress) = up(&[]).await;
    answer.unwrap();
    let told = |progress: &Progress| matches!(progress, Progress::Note { text, .. } if text.contains("graphs (none)"));
    assert!(progress.iter().any(told), "{progress:?}");
    assert_eq!(rig.status("db").await.state, State::Running);
    let (answer, _) = rig.ask(Request::Project).await;
    let Ok(Answer::Project(Some(known))) = answer else { panic!("{answer:?}") };
    assert_eq!(Vec::from_iter(known.left_out.values().cloned())[1], "it needs graphs");
    assert_eq!(Vec::from_iter(known.services.into_keys()), ["db"]);
    let pull = |named: Option<&[&str]>| {
        let services = ["db", "graphs"].map(str::to_owned).to_vec();
        let named = named.map(|named| named.iter().map(|name| (*name).to_owned()).collect());
        let project = Box::new(stack.clone());
        rig.ask(Request::Pull { project, services, refresh: true, substitute: None, named })
    };
    let (answer, progress) = pull(Some(&[])).await;
    answer.unwrap();
    assert!(progress.iter().any(told), "{progress:?}");
    for named in [Some(&["graphs"][..]), None] {
        assert!(pull(named).await.0.is_err(), "{named:?}");
    }
    // Whoever asks for it by name wants it, and whoever needs it and may not go cannot start.
    for services in [&["graphs"][..], &["shown"]] {
        assert!(up(services).await.0.is_err(), "{services:?}");
    }
}
