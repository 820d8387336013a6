//! The project's authority: whom containers trust, what gateways are given, and when they are given another.

use super::Rig;
use crate::{
    fake::{project, service},
    owner::Command,
};
use mesh_api::{options::UpOptions, request::Request};
use mesh_authority::Issuer;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

/// Longest wait of a test, by the clock of the tests.
const LONG: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// A project with a gateway, and whoever looks after its authority.
async fn watching() -> (Rig, JoinHandle<()>) {
    let rig = Rig::new().await;
    let mut gateway = service("gateway");
    gateway.image = Some("embedded/gateway".into());
    rig.up(&project(vec![gateway, service("web")]), false).await.unwrap();
    assert_eq!(trusted(&rig), 1, "containers trust before they are started");
    let (authority, stop) = (Arc::clone(&rig.desk.authority), rig.desk.stop.clone());
    let task = tokio::spawn(async move { authority.run(&stop).await });
    (rig, task)
}

fn trusted(rig: &Rig) -> usize {
    let text = String::from_utf8(rig.fake.told("everybody", "trusts").unwrap_or_default()).unwrap();
    assert!(!text.contains("PRIVATE"));
    text.matches("BEGIN CERTIFICATE").count()
}

async fn names(rig: &Rig, names: &[&str]) {
    let view = rig.desk.owner.now();
    let id = view.of_service("gateway").next().unwrap().spec.id.clone();
    let names: BTreeSet<String> = names.iter().map(|&name| name.to_owned()).collect();
    rig.desk.owner.tell(Command::Names(id, Arc::new(names))).await;
}

/// Waits for an authority that is as wanted; gives its text.
async fn given(rig: &Rig, wanted: impl Fn(&Issuer, &[u8]) -> bool) -> Vec<u8> {
    let look = async {
        loop {
            if let Some(text) = rig.fake.told("gateway", "authority.pem")
                && wanted(&Issuer::read(&text).unwrap(), &text)
            {
                return text;
            }
            sleep(Duration::from_secs(1)).await;
        }
    };
    timeout(LONG, look).await.expect("an authority")
}

#[tokio::test(start_paused = true)]
async fn a_gateway_is_given_an_authority_for_its_names_and_another_in_time() {
    let (rig, task) = watching().await;
    let first = given(&rig, |issuer, _| issuer.permits("localhost") && !issuer.permits("shop.test")).await;
    names(&rig, &["shop.test"]).await;
    let second = given(&rig, |issuer, _| issuer.permits("shop.test") && !issuer.permits("other.test")).await;
    assert_ne!(first, second);
    sleep(14 * DAY).await;
    assert_eq!(rig.fake.told("gateway", "authority.pem").unwrap(), second, "it is good for a while");
    sleep(2 * DAY).await;
    given(&rig, |issuer, text| issuer.permits("shop.test") && text != second).await;
    assert_eq!(trusted(&rig), 1);
    assert!(rig.fake.told("web", "authority.pem").is_none());
    rig.desk.stop.cancel();
    timeout(LONG, task).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn names_of_the_world_bring_another_root_which_is_trusted_first() {
    let (rig, _task) = watching().await;
    names(&rig, &["shop.example", "shop.test"]).await;
    given(&rig, |issuer, _| issuer.permits("shop.example") && issuer.permits("shop.test")).await;
    assert_eq!(trusted(&rig), 2);
    rig.desk.stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_made_is_tried_again_and_holds_up_nothing() {
    let rig = Rig::new().await;
    let authority = rig.directory().join("authority");
    std::fs::create_dir_all(&authority).unwrap();
    std::fs::write(authority.join("local.pem"), "not an authority").unwrap();
    let mut gateway = service("gateway");
    gateway.image = Some("embedded/gateway".into());
    let up = Request::Up { project: Box::new(project(vec![gateway])), options: UpOptions::default() };
    let (answer, told) = rig.ask(up).await;
    assert!(
        answer.is_ok() && format!("{told:?}").contains("is not an authority of Mesh"),
        "{answer:?} {told:?}"
    );
    let (own, stop) = (Arc::clone(&rig.desk.authority), rig.desk.stop.clone());
    let task = tokio::spawn(async move { own.run(&stop).await });
    sleep(Duration::from_secs(60)).await;
    assert!(rig.fake.told("gateway", "authority.pem").is_none());
    std::fs::remove_file(authority.join("local.pem")).unwrap();
    given(&rig, |issuer, _| issuer.permits("localhost")).await;
    rig.desk.stop.cancel();
    timeout(LONG, task).await.unwrap().unwrap();
}
