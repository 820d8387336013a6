//! The project's authority: whom containers trust, what gateways are given, and when they are given another.

use super::Rig;
use crate::{
    fake::{
        project, service,
        vault::{FakeVault, SECRET_ID},
    },
    owner::Command,
};
use mesh_api::{options::UpOptions, request::Request};
use mesh_authority::Issuer;
use mesh_model::mount::{Mount, MountSource};
use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
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

/// A project with a vault that signs for its gateway.
async fn with_vault(signs: bool) -> (Rig, JoinHandle<()>, Arc<FakeVault>) {
    let rig = Rig::new().await;
    let (mut gateway, mut vault) = (service("gateway"), service("vault"));
    gateway.image = Some("embedded/gateway".into());
    vault.image = Some("embedded/vault".into());
    let source = MountSource::Anonymous;
    vault.mounts.push(Mount { source, target: "/vault/approles".into(), read_only: true });
    let answering = FakeVault::new();
    rig.fake.answers(Some(Arc::clone(&answering)));
    if signs {
        log_in(&rig);
    }
    rig.up(&project(vec![gateway, vault, service("web")]), false).await.unwrap();
    let (authority, stop) = (Arc::clone(&rig.desk.authority), rig.desk.stop.clone());
    let task = tokio::spawn(async move { authority.run(&stop).await });
    (rig, task, answering)
}

fn log_in(rig: &Rig) {
    for (file, text) in [("role-id", "gateway"), ("secret-id", SECRET_ID), ("signs", "pki_int")] {
        rig.fake.file("vault", &format!("/vault/approles/gateway/{file}"), Some(text));
    }
}

/// Whether the vault signed: its authorities come with the one between them and the root.
fn by_vault(text: &[u8]) -> bool {
    String::from_utf8_lossy(text).matches("BEGIN CERTIFICATE").count() == 2
}

fn troubles(rig: &Rig) -> Vec<String> {
    let id = rig.desk.owner.now().of_service("gateway").next().unwrap().spec.id.clone();
    rig.desk.authority.troubles(&id)
}

#[tokio::test(start_paused = true)]
async fn a_vault_signs_and_containers_trust_its_root() {
    let (rig, task, vault) = with_vault(true).await;
    names(&rig, &["shop.example"]).await;
    let first = given(&rig, |issuer, text| issuer.permits("shop.example") && by_vault(text)).await;
    assert_eq!(trusted(&rig), 2, "its root, and the one for everything local");
    let text = String::from_utf8(rig.fake.told("everybody", "trusts").unwrap()).unwrap();
    let line = vault.root_pem.lines().nth(1).unwrap();
    assert!(text.contains(line) && !String::from_utf8_lossy(&first).contains(line));
    // Sealed, it is renewed as soon as it is open again; until then the gateway has what it had.
    vault.sealed.store(true, Ordering::Relaxed);
    sleep(16 * DAY).await;
    assert_eq!(rig.fake.told("gateway", "authority.pem").unwrap(), first);
    assert!(troubles(&rig).iter().any(|told| told.ends_with("vault is sealed")), "{:?}", troubles(&rig));
    vault.sealed.store(false, Ordering::Relaxed);
    given(&rig, |_, text| by_vault(text) && text != first).await;
    assert_eq!(troubles(&rig), Vec::<String>::new());
    // A new name while nobody answers: what there is stays.
    rig.fake.answers(None);
    names(&rig, &["shop.example", "api.example"]).await;
    sleep(DAY).await;
    assert!(by_vault(&rig.fake.told("gateway", "authority.pem").unwrap()) && !troubles(&rig).is_empty());
    rig.fake.answers(Some(vault));
    given(&rig, |issuer, _| issuer.permits("api.example")).await;
    rig.desk.stop.cancel();
    timeout(LONG, task).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_vault_that_comes_to_sign_takes_over_and_one_that_never_did_is_not_waited_for() {
    let (rig, _task, vault) = with_vault(false).await;
    names(&rig, &["shop.test"]).await;
    given(&rig, |issuer, text| issuer.permits("shop.test") && !by_vault(text)).await;
    assert!(troubles(&rig).is_empty() && trusted(&rig) == 1);
    log_in(&rig);
    given(&rig, |issuer, text| issuer.permits("shop.test") && by_vault(text)).await;
    assert_eq!(trusted(&rig), 2);
    // What another vault's root signs is vouched for by that.
    let other = FakeVault::new();
    rig.fake.answers(Some(Arc::clone(&other)));
    names(&rig, &["shop.test", "api.test"]).await;
    given(&rig, |issuer, _| issuer.permits("api.test")).await;
    let text = String::from_utf8(rig.fake.told("everybody", "trusts").unwrap()).unwrap();
    let has = |vault: &FakeVault| text.contains(vault.root_pem.lines().nth(1).unwrap());
    assert!(has(&other) && !has(&vault));
    rig.desk.stop.cancel();
}

/// A gateway is not left with nothing where its vault is sealed from the beginning.
#[tokio::test(start_paused = true)]
async fn an_authority_of_ours_stands_in_for_one_that_cannot_be_had() {
    let (rig, _task, vault) = with_vault(true).await;
    vault.sealed.store(true, Ordering::Relaxed);
    rig.fake.file("gateway", "authority.pem", None);
    names(&rig, &["shop.test"]).await;
    let stand_in = given(&rig, |issuer, text| issuer.permits("shop.test") && !by_vault(text)).await;
    sleep(DAY).await;
    assert_eq!(
        rig.fake.told("gateway", "authority.pem").unwrap(),
        stand_in,
        "it is not made again and again"
    );
    assert!(!troubles(&rig).is_empty());
    vault.sealed.store(false, Ordering::Relaxed);
    given(&rig, |issuer, text| issuer.permits("shop.test") && by_vault(text)).await;
    rig.desk.stop.cancel();
}

/// A root that is removed while gateways sign under it is made anew once, and they are given authorities under that.
#[tokio::test(start_paused = true)]
async fn another_root_is_noticed() {
    let (rig, _task) = watching().await;
    names(&rig, &["shop.test"]).await;
    let first = given(&rig, |issuer, _| issuer.permits("shop.test")).await;
    let trusts = || rig.fake.told("everybody", "trusts").unwrap();
    let before = trusts();
    std::fs::remove_file(rig.directory().join("authority/local.pem")).unwrap();
    given(&rig, |issuer, text| issuer.permits("shop.test") && text != first).await;
    let after = trusts();
    assert_ne!(before, after);
    let second = rig.fake.told("gateway", "authority.pem").unwrap();
    sleep(DAY).await;
    assert_eq!((trusts(), rig.fake.told("gateway", "authority.pem").unwrap()), (after, second));
    rig.desk.stop.cancel();
}
