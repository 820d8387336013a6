//! Where ports are published, and whose a project is.

use super::Rig;
use crate::fake::{project, service};
use mesh_api::options::{CreateOptions, UpOptions};
use mesh_model::{
    network::{PortMapping, Protocol, Published},
    project::{Ports, Project},
};
use mesh_runtime::observed::PortTrial;
use std::net::Ipv4Addr;

/// A project whose one service publishes these: address and port.
fn publishing(ports: &[(Option<&str>, u16)]) -> Project {
    let mut web = service("web");
    let mapping = |(host, port): &(Option<&str>, u16)| PortMapping {
        host_ip: host.map(|text| text.parse().expect("an address")),
        published: Published::Port(*port),
        target: 80,
        protocol: Protocol::Tcp,
    };
    web.network.ports = ports.iter().map(mapping).collect();
    project(vec![web])
}

async fn up(rig: &Rig, project: &Project, ports: Option<Ports>) {
    let create = CreateOptions { ports, ..CreateOptions::default() };
    rig.up_with(project, UpOptions { create, ..UpOptions::default() }).await.expect("up");
}

/// What the containers were made from, and the project's own address.
fn settled(rig: &Rig) -> (Vec<String>, Option<Ipv4Addr>) {
    let view = rig.desk.owner.now();
    let container = view.of_service("web").min_by_key(|found| found.spec.index).expect("a container");
    let shown = |mapping: &PortMapping| match (mapping.host_ip, mapping.published) {
        (Some(ip), Published::Port(port)) => format!("{ip}:{port}"),
        (Some(ip), other) => format!("{ip} {other:?}"),
        (None, other) => format!("{other:?}"),
    };
    let ports = container.spec.service.network.ports.iter().map(shown).collect();
    (ports, view.project("p").publishing.address)
}

#[tokio::test(start_paused = true)]
async fn an_address_of_its_own_stays_with_the_project() {
    let rig = Rig::new().await;
    let file = publishing(&[(None, 8080), (Some("127.0.0.1"), 9090), (Some("10.0.0.1"), 7070)]);
    up(&rig, &file, None).await;
    assert_eq!(
        settled(&rig),
        (vec!["Port(8080)".into(), "127.0.0.1:9090".into(), "10.0.0.1:7070".into()], None)
    );
    up(&rig, &file, Some(Ports::Auto)).await;
    let (ports, address) = settled(&rig);
    let own = address.expect("an address");
    let want = vec![format!("{own}:8080"), format!("{own}:9090"), "10.0.0.1:7070".to_owned()];
    assert_eq!(ports, want);
    rig.fake.take_log();
    up(&rig, &file, None).await;
    assert_eq!(settled(&rig), (want.clone(), address));
    let rig = rig.succeed().await;
    up(&rig, &file, None).await;
    assert_eq!(settled(&rig), (want, address));
    assert!(!rig.fake.take_log().iter().any(|line| line.contains("create")), "nothing is made anew");
    up(&rig, &file, Some(Ports::File)).await;
    assert_eq!(settled(&rig).0[0], "Port(8080)");
}

#[tokio::test(start_paused = true)]
async fn free_ports_stand_in_and_stay() {
    let rig = Rig::new().await;
    let mut file = publishing(&[(None, 80), (Some("10.0.0.1"), 7070), (Some("127.0.0.9"), 80)]);
    file.publishing.in_file = Some(Ports::Auto);
    up(&rig, &publishing(&[]), Some(Ports::Auto)).await;
    let own = settled(&rig).1.expect("an address");
    rig.fake.port(&format!("{own}:80"), PortTrial::Forbidden);
    rig.fake.port("10.0.0.1:7070", PortTrial::Taken);
    rig.fake.port(&format!("{own}:0"), PortTrial::Free(41_000));
    up(&rig, &file, None).await;
    let (ports, _) = settled(&rig);
    assert_eq!(ports[..2], [format!("{own}:41000"), "10.0.0.1:40000".to_owned()]);
    rig.fake.port("10.0.0.1:7070", PortTrial::Free(7070));
    rig.fake.port(&format!("{own}:0"), PortTrial::Free(42_000));
    up(&rig, &file, None).await;
    assert_eq!(settled(&rig).0[..2], ports[..2], "they were given once");
    // Several containers cannot share a port: the first keeps those that it has, and is not made anew.
    rig.fake.take_log();
    file.services.get_mut("web").expect("web").scale = 2;
    up(&rig, &file, None).await;
    assert_eq!(settled(&rig).0[..2], ports[..2]);
    assert_eq!(rig.fake.take_log(), ["create p-web-2", "start p-web-2"]);
    let view = rig.desk.owner.now();
    let second = view.of_service("web").find(|found| found.spec.index == 2).expect("a second one");
    assert!(second.spec.service.network.ports.iter().all(|port| port.published == Published::Any));
    up(&rig, &file, None).await;
    assert!(rig.fake.take_log().is_empty(), "nothing changed");
}

#[tokio::test(start_paused = true)]
async fn ranges_give_way_to_what_is_fixed() {
    let rig = Rig::new().await;
    let mut file = publishing(&[(None, 0), (None, 0), (Some("127.0.0.2"), 8000), (Some("127.0.0.3"), 8000)]);
    let ports = &mut file.services.get_mut("web").expect("web").network.ports;
    ports[0].published = Published::OneOf(8000, 8001);
    ports[1].published = Published::OneOf(8000, 8001);
    for _ in 0..2 {
        up(&rig, &file, Some(Ports::Auto)).await;
        let (ports, own) = settled(&rig);
        let own = own.expect("an address");
        let want = [8001, 40_000, 8000, 40_000].map(|port| format!("{own}:{port}"));
        // The ground of the imagination knows one free port only, so that the first of both has it.
        assert_eq!((&ports[0], &ports[2], &ports[3]), (&want[0], &want[2], &want[3]));
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_address_is_taken_where_the_first_is_in_use() {
    let rig = Rig::new().await;
    let file = publishing(&[(None, 8080)]);
    up(&rig, &file, Some(Ports::Auto)).await;
    let first = settled(&rig).1.expect("an address");
    let rig = Rig::new().await;
    rig.fake.port(&format!("{first}:8080"), PortTrial::Taken);
    up(&rig, &file, Some(Ports::Auto)).await;
    let (ports, second) = settled(&rig);
    let second = second.expect("an address");
    assert!(second != first && ports == [format!("{second}:8080")], "{ports:?}");
}

#[tokio::test(start_paused = true)]
async fn another_directory_is_refused_as_long_as_containers_are_there() {
    let rig = Rig::new().await;
    let (a, b) = (tempfile::tempdir().expect("a"), tempfile::tempdir().expect("b"));
    let mut file = project(vec![service("web")]);
    file.directory = a.path().to_owned();
    rig.up(&file, false).await.expect("up");
    let before = rig.status("web").await.id;
    file.directory = b.path().to_owned();
    let error = rig.up(&file, false).await.expect_err("another checkout");
    assert!(error.message.contains(&a.path().display().to_string()), "{error:?}");
    assert_eq!(rig.status("web").await.id, before);
    drop(a);
    rig.up(&file, false).await.expect("it was moved");
}

/// Only where this user may not have them, and nobody asked for the file's own by name.
#[tokio::test(start_paused = true)]
async fn ports_of_the_web_that_may_not_be_had_have_stand_ins() {
    let rig = Rig::new().await;
    let file = publishing(&[(None, 80), (Some("127.0.0.1"), 443), (None, 22)]);
    for address in ["0.0.0.0:80", "127.0.0.1:443", "0.0.0.0:22"] {
        rig.fake.port(address, PortTrial::Forbidden);
    }
    rig.fake.port("0.0.0.0:8080", PortTrial::Taken);
    for _ in 0..2 {
        up(&rig, &file, None).await;
        assert_eq!(settled(&rig).0, ["Port(8081)", "127.0.0.1:8443", "Port(22)"]);
        // What was given stays, also once the first of them is free.
        rig.fake.port("0.0.0.0:8080", PortTrial::Free(8080));
    }
    up(&rig, &file, Some(Ports::File)).await;
    assert_eq!(settled(&rig).0[0], "Port(80)");
    rig.fake.port("0.0.0.0:80", PortTrial::Free(80));
    let rig = Rig::new().await;
    up(&rig, &file, None).await;
    assert_eq!(settled(&rig).0[0], "Port(80)");
}
