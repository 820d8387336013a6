//! Certificates: renewed in time, told to their services, and what comes of renewals that fail.

use super::Rig;
use crate::fake::{FAILS_LATE, Script, project, service};
use mesh_api::{
    message::{Answer, Progress},
    request::Request,
    status::{CertificateRow, CertificateStanding},
};
use mesh_model::{
    certificate::{Certificate, Reload},
    project::Project,
};
use rcgen::{CertificateParams, KeyPair};
use std::{sync::Arc, time::Duration};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

const FILE: &str = "/run/tls/server.crt";
/// A ninetieth of a certificate's life. Short, for between two looks at the clock lies a minute.
const DAY: u64 = 864;

/// A certificate that holds from one second since 1970 to another.
fn pem(serial: u64, from: u64, until: u64) -> String {
    let mut params = CertificateParams::new(vec!["web".to_owned()]).unwrap();
    params.serial_number = Some(serial.into());
    let moment = |seconds: u64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
    (params.not_before, params.not_after) = (moment(from), moment(until));
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

fn declared() -> Certificate {
    Certificate {
        file: FILE.into(),
        renew: Some(vec!["renew".into()]),
        reload: Some(Reload::Signal(1)),
        before: None,
        user: None,
    }
}

fn web(certificates: Vec<Certificate>) -> Project {
    let mut web = service("web");
    web.certificates = certificates;
    project(vec![web])
}

/// A supervisor that looks after certificates; the task ends with the rig's stop.
async fn watching(project: &Project) -> (Rig, JoinHandle<()>) {
    let rig = Rig::new().await;
    rig.fake.file("web", FILE, Some(&pem(1, 0, 90 * DAY)));
    rig.up(project, false).await.unwrap();
    rig.fake.take_log();
    let (certificates, stop) = (Arc::clone(&rig.desk.certificates), rig.desk.stop.clone());
    let task = tokio::spawn(async move { certificates.run(&stop).await });
    (rig, task)
}

async fn rows(rig: &Rig) -> Vec<CertificateRow> {
    let answer = rig.ask(Request::Certificates { services: vec![] }).await.0;
    let Ok(Answer::Certificates(rows)) = answer else { panic!("{answer:?}") };
    rows
}

async fn serial(rig: &Rig) -> String {
    rows(rig).await.remove(0).found.unwrap().serial
}

fn days(count: u64) -> Duration {
    Duration::from_secs(count * DAY)
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_renewed_in_the_last_third_of_its_life_and_the_service_is_told() {
    let (rig, task) = watching(&web(vec![declared()])).await;
    rig.fake.writes("renew", FILE, &pem(2, 60 * DAY, 150 * DAY));
    rig.fake.writes("renew", FILE, &pem(3, 120 * DAY, 210 * DAY));
    sleep(days(59)).await;
    assert_eq!(rig.fake.take_log(), [""; 0]);
    assert_eq!(serial(&rig).await, "01");
    sleep(days(5)).await;
    assert_eq!(rig.fake.take_log(), ["hook renew p-web-1", "signal 1 p-web-1"]);
    assert_eq!(serial(&rig).await, "02");
    let status = rig.status("web").await;
    assert!(status.certificate_troubles.is_empty() && status.restarts == 0, "{status:?}");
    sleep(days(60)).await;
    assert_eq!(rig.fake.take_log(), ["hook renew p-web-1", "signal 1 p-web-1"]);
    assert_eq!(serial(&rig).await, "03");
    rig.desk.stop.cancel();
    timeout(Duration::from_secs(60), task).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_put_ahead_is_noticed() {
    let (rig, _task) = watching(&web(vec![declared()])).await;
    rig.fake.writes("renew", FILE, &pem(2, 85 * DAY, 175 * DAY));
    sleep(Duration::from_secs(300)).await;
    rig.fake.put_ahead(days(85));
    sleep(Duration::from_secs(61)).await;
    assert_eq!(serial(&rig).await, "02");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_fails_is_told_and_tried_again() {
    let (rig, _task) = watching(&web(vec![declared()])).await;
    let ends = |code| Script {
        hooks: [("renew".to_owned(), (Duration::from_secs(1), code))].into(),
        ..Script::default()
    };
    rig.fake.script("web", ends(3));
    sleep(days(64)).await;
    let attempts = rig.fake.take_log();
    assert!((4..20).contains(&attempts.len()), "{}", attempts.len());
    assert!(attempts.iter().all(|words| words == "hook renew p-web-1"), "the service was told of nothing");
    let told = rig.status("web").await.certificate_troubles;
    assert_eq!(told, [format!("renew of {FILE} exited with status 3")]);
    assert_eq!(rows(&rig).await[0].standing, CertificateStanding::Due);

    // A command that ends well and writes nothing is no renewal.
    rig.fake.script("web", ends(0));
    sleep(Duration::from_secs(2 * 3600)).await;
    let told = rig.status("web").await.certificate_troubles;
    assert!(told[0].contains("is the one from before"), "{told:?}");

    rig.fake.writes("renew", FILE, &pem(2, 64 * DAY, 154 * DAY));
    sleep(Duration::from_secs(2 * 3600)).await;
    assert_eq!(serial(&rig).await, "02");
    assert_eq!(rig.status("web").await.certificate_troubles, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_could_not_be_told_is_only_told_again() {
    let reload = Some(Reload::Command(vec!["reload".into()]));
    let (rig, _task) = watching(&web(vec![Certificate { reload, ..declared() }])).await;
    let reloads =
        |code| Script { hooks: [("reload".to_owned(), (Duration::ZERO, code))].into(), ..Script::default() };
    rig.fake.script("web", reloads(1));
    rig.fake.writes("renew", FILE, &pem(2, 60 * DAY, 150 * DAY));
    sleep(days(64)).await;
    let log = rig.fake.take_log();
    assert_eq!(log.iter().filter(|words| *words == "hook renew p-web-1").count(), 1, "{log:?}");
    assert!(log.iter().filter(|words| *words == "hook reload p-web-1").count() > 3, "{log:?}");
    let told = rig.status("web").await.certificate_troubles;
    assert_eq!(told, [format!("reload of {FILE} exited with status 1")]);
    // That it was frozen meanwhile is no reason to forget it.
    rig.done(Request::Pause { services: vec!["web".into()] }).await;
    sleep(Duration::from_secs(2 * 3600)).await;
    rig.fake.script("web", reloads(0));
    rig.fake.take_log();
    rig.done(Request::Unpause { services: vec!["web".into()] }).await;
    sleep(Duration::from_secs(2 * 3600)).await;
    let log = rig.fake.take_log();
    assert_eq!(
        log.iter().filter(|words| words.starts_with("hook")).collect::<Vec<_>>(),
        ["hook reload p-web-1"]
    );
    assert_eq!(rig.status("web").await.certificate_troubles, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn one_that_the_service_does_not_take_is_made_anew_where_that_is_forced() {
    let reload = Some(Reload::Command(vec!["reload".into()]));
    let (rig, _task) = watching(&web(vec![Certificate { reload, ..declared() }])).await;
    let hooks = [("reload".to_owned(), (Duration::ZERO, 1))].into();
    rig.fake.script("web", Script { hooks, ..Script::default() });
    for serial in 2..4 {
        rig.fake.writes("renew", FILE, &pem(serial, 0, 90 * DAY));
        let force = Request::RenewCertificates { services: vec![], force: true };
        rig.ask(force).await.0.unwrap_err();
        assert_eq!(rig.fake.take_log(), ["hook renew p-web-1", "hook reload p-web-1"]);
    }
    assert_eq!(serial(&rig).await, "03");
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_loaded_although_its_command_failed_after_it_was_written() {
    let renew = Some(vec!["renew".into(), FAILS_LATE.into()]);
    // An exit code, and one that does not end.
    for end in [(Duration::from_secs(1), 3), (Duration::from_secs(600), 0)] {
        let (rig, _task) = watching(&web(vec![Certificate { renew: renew.clone(), ..declared() }])).await;
        let hooks = [("renew".to_owned(), end)].into();
        rig.fake.script("web", Script { hooks, ..Script::default() });
        rig.fake.writes("renew", FILE, &pem(2, 60 * DAY, 150 * DAY));
        sleep(days(64)).await;
        assert_eq!(rig.fake.take_log(), ["hook renew late p-web-1", "signal 1 p-web-1"], "{end:?}");
        assert_eq!(serial(&rig).await, "02");
        assert_eq!(rig.status("web").await.certificate_troubles, [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_there_yet_is_no_trouble_and_one_that_is_gone_is() {
    let (rig, _task) = watching(&web(vec![declared()])).await;
    rig.fake.file("web", FILE, None);
    rig.done(Request::Restart { services: vec!["web".into()], timeout_seconds: None, no_deps: true }).await;
    sleep(Duration::from_secs(30)).await;
    assert_eq!(rig.status("web").await.certificate_troubles, [""; 0]);
    assert_eq!(rows(&rig).await[0].standing, CertificateStanding::Unreadable);
    sleep(Duration::from_secs(90)).await;
    let told = rig.status("web").await.certificate_troubles;
    assert!(told.len() == 1 && told[0].contains("cannot be read"), "{told:?}");
    rig.fake.file("web", FILE, Some(&pem(4, 0, 90 * DAY)));
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(rig.status("web").await.certificate_troubles, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_command_renews_what_is_due_or_all() {
    let (rig, _task) = watching(&web(vec![declared()])).await;
    let renew = |force| Request::RenewCertificates { services: vec!["web".into()], force };
    let (answer, told) = rig.ask(renew(false)).await;
    answer.unwrap();
    let said = |told: &[Progress], words: &str| {
        told.iter().any(|one| matches!(one, Progress::Note { text, .. } if text.contains(words)))
    };
    assert!(said(&told, "is good, and left as it is"), "{told:?}");
    assert_eq!(rig.fake.take_log(), [""; 0]);
    rig.fake.writes("renew", FILE, &pem(2, 0, 90 * DAY));
    let (answer, told) = rig.ask(renew(true)).await;
    answer.unwrap();
    assert!(said(&told, "was renewed; its serial is 02"), "{told:?}");
    assert_eq!(rig.fake.take_log(), ["hook renew p-web-1", "signal 1 p-web-1"]);
    // One that is not there is made.
    rig.fake.file("web", FILE, None);
    rig.fake.writes("renew", FILE, &pem(3, 0, 90 * DAY));
    rig.ask(renew(false)).await.0.unwrap();
    assert_eq!(serial(&rig).await, "03");
    let error = rig.ask(renew(true)).await.0.unwrap_err();
    assert!(error.message.contains("of p-web-1 were not renewed"), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_declared_later_holds_without_a_new_container() {
    let (rig, _task) = watching(&web(vec![])).await;
    assert!(rows(&rig).await.is_empty());
    let error = rig.ask(Request::RenewCertificates { services: vec![], force: true }).await.0.unwrap_err();
    assert!(error.message.contains("no certificate") && error.hint.is_some(), "{error:?}");
    rig.up(&web(vec![Certificate { renew: None, reload: None, ..declared() }]), false).await.unwrap();
    assert_eq!(rig.fake.take_log(), [""; 0]);
    assert_eq!(rows(&rig).await[0].standing, CertificateStanding::Good);
    // Nobody renews it: its end is told.
    sleep(days(61)).await;
    assert_eq!(rig.status("web").await.certificate_troubles, [format!("{FILE} expires soon")]);
    sleep(days(30)).await;
    assert_eq!(rig.status("web").await.certificate_troubles, [format!("{FILE} has expired")]);
    assert_eq!(rows(&rig).await[0].standing, CertificateStanding::Expired);
}
