//! Networks and volumes: kept, made anew, missing.

use super::{Rig, only};
use crate::fake::{project, service, waiting};
use mesh_api::{
    message::Progress,
    options::{DownOptions, UpOptions},
    request::Request,
    status::State,
};
use mesh_model::{
    mount::{Mount, MountSource},
    network::{IpamPool, Subnet},
    project::{Project, Volume},
    service::{Condition::ServiceStarted, Service},
};
use std::collections::BTreeMap;

fn with_anonymous(name: &str) -> Service {
    let mount = Mount { source: MountSource::Anonymous, target: "/data".into(), read_only: false };
    Service { mounts: vec![mount], ..service(name) }
}

fn changed(project: &Project, value: &str) -> Project {
    let mut project = project.clone();
    for service in project.services.values_mut() {
        service.environment.insert("A".into(), value.into());
    }
    project
}

fn volume(name: &str, external: bool, options: &[(&str, &str)]) -> Volume {
    Volume {
        key: name.into(),
        name: name.into(),
        external,
        driver: "local".into(),
        driver_opts: options.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
        labels: BTreeMap::new(),
    }
}

fn mounts(name: &str, volume: Volume) -> Project {
    let source = MountSource::Volume { key: volume.key.clone(), subpath: None, nocopy: false };
    let mount = Mount { source, target: "/data".into(), read_only: false };
    let mut project = project(vec![Service { mounts: vec![mount], ..service(name) }]);
    project.volumes.insert(volume.key.clone(), volume);
    project
}

#[tokio::test(start_paused = true)]
async fn anonymous_volumes_outlive_a_replacement_unless_they_are_to_be_renewed() {
    let rig = Rig::new().await;
    let project = project(vec![with_anonymous("db")]);
    rig.up(&project, false).await.unwrap();
    let first = rig.fake.volumes();
    assert_eq!(first.len(), 1);
    rig.up(&changed(&project, "1"), false).await.unwrap();
    assert_eq!(rig.fake.volumes(), first);
    // Neither a new supervisor nor another change loses it.
    let rig = rig.succeed().await;
    rig.up(&changed(&project, "2"), false).await.unwrap();
    assert_eq!(rig.fake.volumes(), first);
    let mut options = UpOptions::default();
    options.create.renew_anonymous_volumes = true;
    rig.up_with(&changed(&project, "3"), options).await.unwrap();
    let both = rig.fake.volumes();
    assert!(both.len() == 2 && both.contains(&first[0]), "{both:?}");
    rig.done(Request::Remove { services: vec![], stop: true, volumes: true }).await;
    assert_eq!(rig.fake.volumes(), first, "rm -v takes those of the containers");
    rig.done(Request::Down(DownOptions { volumes: true, ..DownOptions::default() })).await;
    assert!(rig.fake.volumes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_external_must_be_there_before_anything_is_made() {
    let rig = Rig::new().await;
    let mut one = project(vec![service("web")]);
    one.networks.get_mut("default").unwrap().external = true;
    let error = rig.up(&one, false).await.unwrap_err();
    assert_eq!(error.message, "network p_default declared as external, but could not be found");
    let error = rig.up(&mounts("web", volume("data", true, &[])), false).await.unwrap_err();
    assert_eq!(error.message, "volume data declared as external, but could not be found");
    assert_eq!(rig.fake.take_log(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_network_with_another_subnet_is_made_anew_with_everybody_on_it() {
    let rig = Rig::new().await;
    let mut project = project(vec![service("db"), waiting(service("web"), &[("db", ServiceStarted)])]);
    rig.up(&project, false).await.unwrap();
    rig.fake.take_log();
    let subnet = Subnet::parse("10.9.0.0/24").unwrap();
    let pool = IpamPool { subnet, gateway: None, ip_range: None };
    project.networks.get_mut("default").unwrap().ipam.push(pool);
    rig.up_with(&project, only(&["db"], false)).await.unwrap();
    let log = rig.fake.take_log();
    let at = |words: &str| {
        log.iter().position(|known| known == words).unwrap_or_else(|| panic!("{words}: {log:?}"))
    };
    assert!(at("remove network p_default") > at("remove p-db-1"));
    assert!(at("remove network p_default") > at("signal 15 p-web-1"));
    assert!(at("network p_default") > at("remove network p_default"));
    assert!(at("start p-db-1") > at("network p_default"));
    assert!(at("start p-web-1") > at("start p-db-1"));
    assert_eq!(rig.status("web").await.state, State::Running);
    rig.up(&project, false).await.unwrap();
    let log = rig.fake.take_log();
    assert!(!log.contains(&"remove network p_default".to_owned()), "{log:?}");
    assert!(log.contains(&"create p-web-1".to_owned()), "its addresses are of the file now: {log:?}");
}

#[tokio::test(start_paused = true)]
async fn a_volume_with_other_options_is_kept_and_told() {
    let rig = Rig::new().await;
    rig.up(&mounts("db", volume("data", false, &[])), false).await.unwrap();
    let project = Box::new(mounts("db", volume("data", false, &[("type", "tmpfs")])));
    let (answer, told) = rig.ask(Request::Up { project, options: UpOptions::default() }).await;
    answer.unwrap();
    let warned = |progress: &Progress| matches!(progress, Progress::Note { text, .. } if text.contains("volume data was made with other driver options"));
    assert!(told.iter().any(warned), "{told:?}");
    assert_eq!(rig.fake.volumes(), ["data"]);
}
