//! What the next supervisor makes of what it finds, and what is noticed although nobody told it.

use super::Rig;
use crate::fake::{Script, project, service};
use mesh_api::{message::ErrorKind, request::Request, status::State};
use mesh_model::{
    project::Project,
    service::{RestartPolicy, Service},
};
use std::time::Duration;
use tokio::time::Instant;

fn exits(after_ms: u64, code: i32) -> Script {
    Script { exits: vec![(Duration::from_millis(after_ms), code)], ..Script::default() }
}

#[tokio::test(start_paused = true)]
async fn an_exit_that_was_never_reported_is_found() {
    for (restart, want) in [(RestartPolicy::No, State::Exited), (RestartPolicy::Always, State::Running)] {
        let rig = Rig::new().await;
        rig.up(&project(vec![Service { restart, ..service("web") }]), false).await.unwrap();
        rig.fake.take_log();
        rig.fake.fall_silent();
        rig.fake.crash("web", 3);
        rig.until("web", |web| web.state != State::Running).await;
        rig.until("web", |web| web.state == want).await;
        assert_eq!(rig.fake.take_log().len(), usize::from(want == State::Running));
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_of_creation_outlives_the_supervisor() {
    let rig = Rig::new().await;
    rig.up(&project(vec![service("web")]), false).await.unwrap();
    let made = rig.status("web").await.created_unix_ms;
    let before = std::time::Instant::now();
    // The clock on the wall, on which creation is told, is not the one that jumps.
    while before.elapsed() < Duration::from_millis(3) {
        std::thread::yield_now();
    }
    let rig = rig.succeed().await;
    // The ground and the supervisor look at the clock one after the other.
    assert!(rig.status("web").await.created_unix_ms.abs_diff(made) < 3);
}

fn policies() -> Project {
    let with = |name, restart| Service { restart, ..service(name) };
    project(vec![
        with("always", RestartPolicy::Always),
        with("unless", RestartPolicy::UnlessStopped),
        with("failure", RestartPolicy::OnFailure { max_attempts: None }),
        with("no", RestartPolicy::No),
    ])
}

#[tokio::test(start_paused = true)]
async fn after_a_reboot_policies_decide_and_up_brings_back_the_rest() {
    let rig = Rig::new().await;
    rig.up(&policies(), false).await.unwrap();
    rig.desk.stop.cancel();
    rig.fake.reboot();
    let rig = rig.succeed().await;
    for name in ["always", "unless", "failure"] {
        rig.until(name, |found| found.state == State::Running).await;
    }
    assert_eq!(rig.status("no").await.state, State::Exited);
    rig.up(&policies(), true).await.unwrap();
    assert_eq!(rig.status("no").await.state, State::Running);
}

#[tokio::test(start_paused = true)]
async fn what_was_stopped_comes_back_with_the_machine_only_where_it_shall_always_run() {
    let rig = Rig::new().await;
    rig.up(&policies(), false).await.unwrap();
    rig.done(Request::Stop { services: vec![], timeout_seconds: None }).await;
    let rig = rig.succeed().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(rig.status("always").await.state, State::Exited, "another supervisor is no reboot");
    rig.desk.stop.cancel();
    rig.fake.reboot();
    let rig = rig.succeed().await;
    rig.until("always", |found| found.state == State::Running).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    for name in ["unless", "failure", "no"] {
        assert_eq!(rig.status(name).await.state, State::Exited, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_container_that_ends_right_after_its_start_was_not_ready() {
    let rig = Rig::new().await;
    rig.fake.script("web", exits(300, 4));
    let error = rig.up(&project(vec![service("web"), service("other")]), true).await.unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Service, "service web: exited with 4"));
    assert_eq!(rig.status("other").await.state, State::Running, "what runs is left");

    // One that ended well has done its work; one that lasts is ready after half a second, and at once
    // when it is looked at again.
    let rig = Rig::new().await;
    rig.fake.script("job", exits(300, 0));
    let project = project(vec![service("job"), service("web")]);
    for (least, most) in [(500, 600), (0, 50)] {
        let begun = Instant::now();
        rig.up(&project, true).await.unwrap();
        assert!((least..most).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_replacement_that_was_cut_off_is_finished() {
    let rig = Rig::new().await;
    let mut project = project(vec![service("web")]);
    rig.up(&project, false).await.unwrap();
    let old = rig.status("web").await.id;
    project.services.get_mut("web").unwrap().environment.insert("A".into(), "b".into());
    // The new one cannot be made: the old one stays and runs.
    rig.fake.script("web", Script { create_error: true, ..Script::default() });
    rig.up(&project, false).await.unwrap_err();
    assert_eq!((rig.status("web").await.id, rig.status("web").await.state), (old.clone(), State::Running));
    // The supervisor ends between the two: the old one still runs and the new one was never started.
    rig.fake.script("web", Script { deaf: true, ..Script::default() });
    let cut = tokio::time::timeout(Duration::from_secs(1), rig.up(&project, false)).await;
    assert!(cut.is_err(), "it waits for the old one to end");
    let rig = rig.succeed().await;
    rig.up(&project, true).await.unwrap();
    let web = rig.status("web").await;
    assert!(web.id != old && web.state == State::Running, "{web:?}");
    assert_eq!(rig.desk.owner.now().containers.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_written_refuses_an_up_and_not_a_stop() {
    let rig = Rig::new().await;
    let mut project = project(vec![service("web")]);
    rig.up(&project, false).await.unwrap();
    // Nothing can be renamed over a directory that is not empty.
    let record = rig.directory().join("project.json");
    std::fs::remove_file(&record).unwrap();
    std::fs::create_dir_all(record.join("in-the-way")).unwrap();
    project.services.get_mut("web").unwrap().environment.insert("A".into(), "b".into());
    let error = rig.up(&project, false).await.unwrap_err();
    assert!(error.message.starts_with("could not write the project's record"), "{error:?}");
    assert_eq!(rig.status("web").await.state, State::Running, "what runs is left");
    let stop = Request::Stop { services: vec![], timeout_seconds: None };
    let (answer, told) = rig.ask(stop).await;
    answer.unwrap();
    assert!(format!("{told:?}").contains("is not remembered"), "{told:?}");
    assert_eq!(rig.status("web").await.state, State::Exited);
    // It was not taken for saved: once there is room, the same command saves it.
    std::fs::remove_dir_all(&record).unwrap();
    rig.up(&project, false).await.unwrap();
    assert!(record.is_file());
}
