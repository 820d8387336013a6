//! Networks for real, on a host of the test's own: no packet leaves its namespace.

#![allow(unreachable_pub, clippy::unwrap_used, clippy::print_stdout)]

mod ground;

use ground::*;
use mesh_model::{
    container::ContainerId,
    network::{Network, PortMapping, Protocol, Published},
};
use mesh_network::{AttachRequest, AttachmentRecord, Beginning, NetworkError, ProjectNetwork, Settings};
use std::{
    collections::BTreeMap,
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8000);

#[test]
fn containers_reach_their_own_networks_alone() {
    on_own_host(|| async {
        let space = namespace();
        let project = open(&space).await;
        let (front, back) =
            (network("front", "172.20.2.0/24", false), network("back", "172.20.4.0/24", true));
        project.create_network(&front).await.unwrap();
        project.create_network(&back).await.unwrap();
        project.create_network(&back).await.unwrap();
        assert_eq!(project.networks().await.unwrap(), ["test_back", "test_front"]);
        let a = attach(&project, "a", &[&front]).await;
        let b = attach(&project, "b", &[&back]).await;
        let both = attach(&project, "both", &[&front, &back]).await;
        for (container, banner) in [(&a, "a"), (&b, "b"), (&both, "both")] {
            serve(&container.namespace, ANY, banner).await;
        }
        let (in_front, in_back) = (both.record.networks[0].address, both.record.networks[1].address);
        assert_eq!(get(&a.namespace, (in_front, 8000)).await.as_deref(), Ok("both"));
        assert_eq!(get(&b.namespace, (in_back, 8000)).await.as_deref(), Ok("both"));
        assert_eq!(get(&both.namespace, (address(&a), 8000)).await.as_deref(), Ok("a"));
        assert_eq!(get(&both.namespace, (address(&b), 8000)).await.as_deref(), Ok("b"));
        for (from, to) in [
            (&a, address(&b)),
            (&a, in_back),
            (&b, address(&a)),
            (&a, Ipv4Addr::new(172, 20, 4, 1)),
            (&b, Ipv4Addr::new(172, 20, 2, 1)),
            (&a, Ipv4Addr::new(169, 254, 1, 2)),
        ] {
            assert!(get(&from.namespace, (to, 8000)).await.is_err(), "{to}");
        }

        // Names follow the networks.
        let noerror = |answers: &[Ipv4Addr]| {
            let mut answers: Vec<_> = answers.iter().map(ToString::to_string).collect();
            answers.sort();
            ("NoError".to_owned(), answers)
        };
        let nobody = ("NXDomain".to_owned(), Vec::new());
        assert_eq!(resolve(&a.namespace, "both.", "A").await, noerror(&[in_front]));
        assert_eq!(resolve(&a.namespace, "BOTH-alias.", "A").await, noerror(&[in_front]));
        assert_eq!(resolve(&a.namespace, "both.test_front.", "A").await, noerror(&[in_front]));
        assert_eq!(resolve(&a.namespace, "both.", "AAAA").await, noerror(&[]));
        assert_eq!(resolve(&b.namespace, "both.", "A").await, noerror(&[in_back]));
        assert_eq!(resolve(&b.namespace, "a.", "A").await, nobody);
        let asked = Instant::now();
        assert_eq!(resolve(&b.namespace, "example.org.", "A").await, nobody);
        assert!(asked.elapsed() < Duration::from_secs(1));
        let [w, x, y, z] = in_front.octets();
        let reversed = resolve(&a.namespace, &format!("{z}.{y}.{x}.{w}.in-addr.arpa."), "PTR").await;
        assert_eq!(reversed, ("NoError".to_owned(), vec!["test-both-1.test_front.".to_owned()]));
        // Nobody answers at the outer address: a failure, and soon.
        assert_eq!(resolve(&a.namespace, "example.org.", "A").await.0, "ServFail");

        let refused = project.remove_network("test_back").await.unwrap_err();
        assert!(matches!(refused, NetworkError::NetworkInUse { containers: 2, .. }), "{refused}");
        project.detach(&id("both")).await.unwrap();
        assert_eq!(resolve(&b.namespace, "both.", "A").await, nobody);
        project.detach(&id("b")).await.unwrap();
        project.remove_network("test_back").await.unwrap();
        project.remove_network("test_back").await.unwrap();
        project.close().await;
    });
}

#[test]
fn nobody_sends_under_the_address_of_another() {
    on_own_host(|| async {
        let space = namespace();
        let project = open(&space).await;
        let front = network("front", "172.20.2.0/24", false);
        project.create_network(&front).await.unwrap();
        let a = attach(&project, "a", &[&front]).await;
        let b = attach(&project, "b", &[&front]).await;
        let free = AttachRequest { any_source: true, ..request("free", &[(&front, None)]) };
        let free = project.attach(free).await.unwrap();
        let to = address(&b);
        let listener =
            within(&b.namespace, || std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 9000)).unwrap()).await;
        listener.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        // One who may is heard under any address: what is not heard below is dropped, and not lost otherwise.
        for (from, source, heard) in [
            (&a, address(&a), true),
            (&a, Ipv4Addr::new(172, 20, 2, 1), false),
            (&a, Ipv4Addr::new(172, 20, 2, 99), false),
            (&free, address(&free), true),
            (&free, Ipv4Addr::new(172, 20, 2, 99), true),
        ] {
            within(&from.namespace, move || {
                use nix::sys::socket::{
                    AddressFamily, MsgFlags, SockFlag, SockType, SockaddrIn, bind, sendto, setsockopt,
                    socket, sockopt::IpTransparent,
                };
                use std::os::fd::AsRawFd as _;
                let socket =
                    socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).unwrap();
                setsockopt(&socket, IpTransparent, &true).unwrap();
                let [w, x, y, z] = source.octets();
                bind(socket.as_raw_fd(), &SockaddrIn::new(w, x, y, z, 0)).unwrap();
                let [w, x, y, z] = to.octets();
                sendto(
                    socket.as_raw_fd(),
                    source.to_string().as_bytes(),
                    &SockaddrIn::new(w, x, y, z, 9000),
                    MsgFlags::empty(),
                )
                .unwrap();
            })
            .await;
            let mut text = [0; 64];
            let got = listener.recv_from(&mut text);
            match heard {
                true => assert_eq!(got.unwrap().1.ip(), source),
                false => assert!(got.is_err(), "{source} was heard from {}", address(from)),
            }
        }
        project.close().await;
    });
}

#[test]
fn fixed_addresses_are_kept() {
    on_own_host(|| async {
        let space = namespace();
        let project = open(&space).await;
        let net = network("net", "172.20.1.0/24", false);
        project.create_network(&net).await.unwrap();
        project.reserve("test_net", &[Ipv4Addr::new(172, 20, 1, 254)]).unwrap();
        let free = attach(&project, "free", &[&net]).await;
        assert_eq!(address(&free), Ipv4Addr::new(172, 20, 1, 253));
        let fixed = project.attach(request("fixed", &[(&net, Some("172.20.1.254"))])).await.unwrap();
        assert_eq!(address(&fixed), Ipv4Addr::new(172, 20, 1, 254));
        serve(&fixed.namespace, ANY, "fixed").await;
        assert_eq!(get(&free.namespace, (address(&fixed), 8000)).await.as_deref(), Ok("fixed"));
        for wrong in ["172.20.1.254", "172.20.1.1", "172.20.9.9"] {
            let refused = project.attach(request("other", &[(&net, Some(wrong))])).await.unwrap_err();
            assert!(
                matches!(refused, NetworkError::AddressTaken { .. } | NetworkError::AddressOutside { .. }),
                "{refused}"
            );
        }
        let again = project.attach(request("fixed", &[(&net, None)])).await.unwrap_err();
        assert!(matches!(again, NetworkError::AlreadyAttached { .. }), "{again}");
        let overlapping = project.create_network(&network("x", "172.20.0.0/16", false)).await.unwrap_err();
        assert!(matches!(overlapping, NetworkError::SubnetTaken { .. }), "{overlapping}");
        let missing = project.attach(request("y", &[(&network("y", "", false), None)])).await.unwrap_err();
        assert!(matches!(missing, NetworkError::NoSuchNetwork { .. }), "{missing}");
        // The same container comes back with the same address.
        project.detach(&id("fixed")).await.unwrap();
        let fixed = project.attach(request("fixed", &[(&net, Some("172.20.1.254"))])).await.unwrap();
        serve(&fixed.namespace, ANY, "again").await;
        assert_eq!(get(&free.namespace, (address(&fixed), 8000)).await.as_deref(), Ok("again"));
        project.close().await;
    });
}

#[test]
fn two_projects_share_subnets_without_meeting() {
    on_own_host(|| async {
        let (one, two) = (namespace(), namespace());
        let (one, two) = (open(&one).await, open(&two).await);
        let net = network("net", "172.20.1.0/24", false);
        let fixed = Some("172.20.1.10");
        let mut containers = Vec::new();
        for (project, banner) in [(&one, "one"), (&two, "two")] {
            project.create_network(&net).await.unwrap();
            let server = project.attach(request("server", &[(&net, fixed)])).await.unwrap();
            serve(&server.namespace, ANY, banner).await;
            let client = attach(project, "client", &[&net]).await;
            containers.push((server, client, banner));
        }
        for (server, client, banner) in &containers {
            assert_eq!(get(&client.namespace, (address(server), 8000)).await.as_deref(), Ok(*banner));
        }
        one.close().await;
        two.close().await;
    });
}

fn mapping(published: Published, protocol: Protocol) -> PortMapping {
    PortMapping { host_ip: None, published, target: 8000, protocol }
}

#[test]
fn ports_are_published_until_detached() {
    on_own_host(|| async {
        let space = namespace();
        let project = open(&space).await;
        let net = network("net", "172.20.1.0/24", true);
        project.create_network(&net).await.unwrap();
        let server = attach(&project, "server", &[&net]).await;
        serve(&server.namespace, ANY, "hello").await;
        serve_datagrams(&server.namespace, ANY).await;
        let ports = [
            mapping(Published::Any, Protocol::Tcp),
            mapping(Published::Port(9000), Protocol::Tcp),
            mapping(Published::OneOf(9000, 9005), Protocol::Tcp),
            mapping(Published::Port(9000), Protocol::Udp),
        ];
        let bound = project.publish(&id("server"), &ports, Beginning::Plain).await.unwrap();
        let tcp: Vec<_> = bound.iter().filter(|port| port.protocol == Protocol::Tcp).collect();
        assert!(tcp.iter().any(|port| port.host.port() == 9001));
        for port in tcp {
            let to: SocketAddr = match port.host {
                SocketAddr::V4(_) => (Ipv4Addr::LOCALHOST, port.host.port()).into(),
                SocketAddr::V6(_) => (std::net::Ipv6Addr::LOCALHOST, port.host.port()).into(),
            };
            let text = tokio::task::spawn_blocking(move || read_all(to)).await.unwrap();
            assert_eq!(text.unwrap(), "hello", "{to}");
        }
        let answer =
            tokio::task::spawn_blocking(|| ask_datagram("127.0.0.1:9000".parse().unwrap(), b"quiet"));
        assert_eq!(answer.await.unwrap().unwrap(), b"QUIET");

        attach(&project, "other", &[&net]).await;
        let taken =
            [mapping(Published::Port(9100), Protocol::Tcp), mapping(Published::Port(9000), Protocol::Tcp)];
        let refused = project.publish(&id("other"), &taken, Beginning::Plain).await.unwrap_err();
        assert_eq!(refused.to_string(), "port 0.0.0.0:9000/tcp is taken");
        project.detach(&id("server")).await.unwrap();
        project.publish(&id("other"), &taken, Beginning::Plain).await.unwrap();
        let gone = project.publish(&id("server"), &taken, Beginning::Plain).await.unwrap_err();
        assert!(matches!(gone, NetworkError::NotAttached { .. }), "{gone}");
        project.close().await;
    });
}

#[test]
fn the_way_out_leads_to_the_world_and_the_host() {
    if !way_out() {
        return;
    }
    on_own_host(|| async {
        let host = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
        let outer = serve(&host, (OUTER, 0).into(), "world").await;
        let loopback = serve(&host, (Ipv4Addr::LOCALHOST, 0).into(), "host").await;
        let datagrams = serve_datagrams(&host, (OUTER, 0).into()).await;
        let space = namespace();
        let project = open(&space).await;
        let (open_net, closed) = (network("open", "", false), network("closed", "", true));
        project.create_network(&open_net).await.unwrap();
        project.create_network(&closed).await.unwrap();
        let a = attach(&project, "a", &[&open_net]).await;
        let b = attach(&project, "b", &[&closed]).await;
        let asking =
            AttachRequest { host_gateway: true, ..request("both", &[(&closed, None), (&open_net, None)]) };
        let both = project.attach(asking).await.unwrap();
        let through_gateway: SocketAddr = (project.host_gateway(), loopback.port()).into();
        for container in [&a, &both] {
            assert_eq!(get(&container.namespace, outer).await.as_deref(), Ok("world"));
            let answer = within(&container.namespace, move || ask_datagram(datagrams, b"far")).await;
            assert_eq!(answer.unwrap(), b"FAR");
        }
        // The host's own loopback is for those alone that ask for it, whatever the transport.
        assert_eq!(get(&both.namespace, through_gateway).await.as_deref(), Ok("host"));
        assert_eq!(get(&a.namespace, through_gateway).await, Err(ErrorKind::ConnectionRefused));
        let local = serve_datagrams(&host, (Ipv4Addr::LOCALHOST, 0).into()).await;
        let local: SocketAddr = (project.host_gateway(), local.port()).into();
        let asked = within(&both.namespace, move || ask_datagram(local, b"far")).await;
        assert_eq!(asked.unwrap(), b"FAR");
        assert!(within(&a.namespace, move || ask_datagram(local, b"far")).await.is_err());
        // The permission goes with the container, not with its address, and survives an adoption.
        let asks: AttachmentRecord =
            serde_json::from_str(&serde_json::to_string(&both.record).unwrap()).unwrap();
        project.detach(&id("both")).await.unwrap();
        let fixed = both.record.networks[1].address.to_string();
        let after = project.attach(request("after", &[(&open_net, Some(&fixed))])).await.unwrap();
        assert!(asks.host_gateway && !after.record.host_gateway);
        assert!(get(&after.namespace, through_gateway).await.is_err());
        // A closed port is refused at once, as it would be without us.
        let asked = Instant::now();
        let refused = get(&a.namespace, (OUTER, 9)).await;
        assert_eq!(refused, Err(ErrorKind::ConnectionRefused));
        assert!(asked.elapsed() < Duration::from_secs(1));
        assert!(get(&b.namespace, outer).await.is_err());
        assert!(get(&b.namespace, through_gateway).await.is_err());

        // Long transfers arrive whole, in both directions.
        let text = within(&a.namespace, move || {
            use std::io::{Read, Write};
            let mut stream = std::net::TcpStream::connect(outer).unwrap();
            let mut copy = stream.try_clone().unwrap();
            let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
            let expected = [&sent[..], b"world"].concat();
            let writer = std::thread::spawn(move || {
                copy.write_all(&sent).unwrap();
                copy.shutdown(std::net::Shutdown::Write).unwrap();
            });
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).unwrap();
            writer.join().unwrap();
            heard == expected
        });
        assert!(text.await);
        project.close().await;
    });
}

#[test]
fn another_process_adopts_what_runs() {
    on_own_host(|| async {
        let host = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
        let outer = serve(&host, (OUTER, 0).into(), "world").await;
        let space = namespace();
        let project = open(&space).await;
        let (net, inside) = (network("net", "", false), network("inside", "", true));
        project.create_network(&net).await.unwrap();
        project.create_network(&inside).await.unwrap();
        let a = attach(&project, "a", &[&net]).await;
        let b = attach(&project, "b", &[&net, &inside]).await;
        serve(&b.namespace, ANY, "b").await;
        let json = serde_json::to_string(&a.record).unwrap();
        project.close().await;
        drop(project);

        let project = open(&space).await;
        assert_eq!(project.networks().await.unwrap(), ["test_inside", "test_net"]);
        project.create_network(&net).await.unwrap();
        let record = serde_json::from_str(&json).unwrap();
        project.adopt(&id("a"), copy(&a.namespace), &record).await.unwrap();
        project.adopt(&id("b"), copy(&b.namespace), &b.record).await.unwrap();
        assert_eq!(resolve(&a.namespace, "b.", "A").await.1, [address(&b).to_string()]);
        assert_eq!(get(&a.namespace, (address(&b), 8000)).await.as_deref(), Ok("b"));
        if way_out() {
            assert_eq!(get(&a.namespace, outer).await.as_deref(), Ok("world"));
        }
        let c = attach(&project, "c", &[&net]).await;
        assert!(![address(&a), address(&b)].contains(&address(&c)));
        let bound = project
            .publish(&id("b"), &[mapping(Published::Any, Protocol::Tcp)], Beginning::Plain)
            .await
            .unwrap();
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, bound[0].host.port()));
        let text = tokio::task::spawn_blocking(move || read_all(to)).await.unwrap();
        assert_eq!(text.unwrap(), "b");
        project.close().await;
    });
}

/// Callers start these from tasks that move between threads.
#[expect(dead_code, reason = "it only has to compile")]
fn futures_move_between_threads(
    project: &ProjectNetwork,
    settings: Settings,
    net: &Network,
    id: &ContainerId,
    record: &AttachmentRecord,
    request: AttachRequest,
) {
    fn check(_: impl Send) {}
    check(ProjectNetwork::open(settings));
    check(project.create_network(net));
    check(project.remove_network("net"));
    check(project.attach(request));
    check(project.adopt(id, namespace(), record));
    check(project.detach(id));
    check(project.publish(id, &[], Beginning::Plain));
    check(project.close());
}

/// Descriptors of this process by what they lead to, and threads that belong to networks, each with its number.
/// Sockets, pipes and namespaces have names of their own, so that a new one is not taken for one that went.
fn held() -> BTreeMap<String, usize> {
    let mut held = BTreeMap::new();
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let leads = descriptors.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = threads.map(|task| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default());
    let names = names.filter(|name| matches!(name.trim(), "network" | "namespace"));
    for what in leads.map(|path| path.display().to_string()).chain(names) {
        *held.entry(what).or_insert(0) += 1;
    }
    held
}

/// What is held beyond what was.
fn left(before: &BTreeMap<String, usize>) -> BTreeMap<String, usize> {
    let more = |(what, count): &(String, usize)| before.get(what).is_none_or(|was| count > was);
    held().into_iter().filter(more).collect()
}

#[test]
fn nothing_is_left_of_a_detached_container() {
    // Counts are of the whole process: it runs alone, in a process of its own.
    if std::env::var_os("MESH_NETWORK_ALONE").is_none() {
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "nothing_is_left_of_a_detached_container", "--nocapture"])
            .env("MESH_NETWORK_ALONE", "1")
            .status();
        assert!(status.unwrap().success());
        return;
    }
    on_own_host(|| async {
        let space = namespace();
        let before_open = held();
        let project = open(&space).await;
        let net = network("net", "172.20.1.0/24", false);
        project.create_network(&net).await.unwrap();
        let one = async |name: String| {
            let attached = attach(&project, &name, &[&net]).await;
            project
                .publish(&id(&name), &[mapping(Published::Any, Protocol::Tcp)], Beginning::Plain)
                .await
                .unwrap();
            assert_eq!(resolve(&attached.namespace, &format!("{name}."), "A").await.0, "NoError");
            project.detach(&id(&name)).await.unwrap();
        };
        one("warm".into()).await;
        settled("warm-up", || threads() == 1, &before_open).await;
        let before = held();
        for round in 0..50 {
            one(format!("c{round}")).await;
        }
        settled("detached containers", || left(&before).is_empty(), &before).await;
        project.remove_network("test_net").await.unwrap();
        project.close().await;
        drop(project);
        settled("closed networks", || left(&before_open).is_empty(), &before_open).await;
    });
}

/// Threads that belong to networks.
fn threads() -> usize {
    held()
        .iter()
        .filter(|(what, _)| matches!(what.trim(), "network" | "namespace"))
        .map(|(_, count)| count)
        .sum()
}

async fn settled(what: &str, done: impl Fn() -> bool, before: &BTreeMap<String, usize>) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "{what} left something: {:?}", left(before));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn twenty_containers_attach_at_once() {
    on_own_host(|| async {
        let space = namespace();
        let project = open(&space).await;
        let net = network("net", "172.20.1.0/24", false);
        project.create_network(&net).await.unwrap();
        let mut times = Vec::new();
        for round in 0..10 {
            let start = Instant::now();
            let one = attach(&project, &format!("one{round}"), &[&net]).await;
            times.push(start.elapsed());
            drop(one);
        }
        times.sort();
        println!("one attach: median {:?}, slowest {:?}", times[5], times[9]);
        let start = Instant::now();
        let on = [&net];
        let names: Vec<String> = (0..20).map(|n| format!("c{n}")).collect();
        let all = names.iter().map(|name| attach(&project, name, &on));
        let all = futures_util::future::join_all(all).await;
        println!("20 attaches at once: {:?}", start.elapsed());
        serve(&all[0].namespace, ANY, "first").await;
        assert_eq!(get(&all[19].namespace, (address(&all[0]), 8000)).await.as_deref(), Ok("first"));
        let (_, answers) = resolve(&all[3].namespace, "c0.", "A").await;
        assert_eq!(answers, [address(&all[0]).to_string()]);
        project.close().await;
    });
}

#[test]
fn without_the_world_there_is_no_way_out() {
    on_own_host(|| async {
        let host = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
        let outer = serve(&host, (OUTER, 0).into(), "world").await;
        let settings = Settings { project: "test".into(), namespace: namespace(), outbound: false };
        let project = ProjectNetwork::open(settings).await.unwrap();
        let net = network("net", "", false);
        project.create_network(&net).await.unwrap();
        let a = attach(&project, "a", &[&net]).await;
        assert!(get(&a.namespace, outer).await.is_err());
        project.close().await;
    });
}

#[test]
fn all_of_it_works_in_a_user_namespace() {
    if std::env::var_os("MESH_NETWORK_INNER").is_some() || std::env::var_os("MESH_NETWORK_ALONE").is_some() {
        return;
    }
    let allowed = std::process::Command::new("unshare").args(["-Urn", "true"]).status();
    if !allowed.is_ok_and(|status| status.success()) {
        println!("skipped: user namespaces are not allowed here");
        return;
    }
    let status = std::process::Command::new("unshare")
        .args(["-Urn", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--test-threads=2"])
        .env("MESH_NETWORK_INNER", "1")
        .status();
    assert!(status.unwrap().success());
}

/// Figures, printed: `cargo test --release -p mesh-network --test network -- --ignored --nocapture`.
#[test]
#[ignore = "measures, and decides nothing"]
fn figures() {
    on_own_host(|| async {
        const BYTES: usize = 256 << 20;
        let host = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
        let space = namespace();
        let project = open(&space).await;
        let net = network("net", "", false);
        project.create_network(&net).await.unwrap();
        let a = attach(&project, "a", &[&net]).await;
        let b = attach(&project, "b", &[&net]).await;
        serve(&a.namespace, ANY, "").await;
        let bound = project
            .publish(&id("a"), &[mapping(Published::Any, Protocol::Tcp)], Beginning::Plain)
            .await
            .unwrap();
        let direct = SocketAddr::from((address(&a), 8000));
        let median = move |to: SocketAddr| {
            let mut times: Vec<Duration> = (0..200)
                .map(|_| {
                    let start = Instant::now();
                    read_all(to).unwrap();
                    start.elapsed()
                })
                .collect();
            times.sort();
            times[100]
        };
        println!("a connection between containers: {:?}", within(&b.namespace, move || median(direct)).await);
        let published = SocketAddr::from((Ipv4Addr::LOCALHOST, bound[0].host.port()));
        println!("a published one: {:?}", within(&host, move || median(published)).await);
        let outer = serve(&host, (OUTER, 0).into(), "").await;
        println!("one through the way out: {:?}", within(&a.namespace, move || median(outer)).await);

        let sink = within(&host, || std::net::TcpListener::bind((OUTER, 0)).unwrap()).await;
        let to = sink.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in sink.incoming() {
                use std::io::{Read, Write};
                let (mut stream, mut buffer, mut total) = (stream.unwrap(), vec![0; 1 << 20], 0);
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    total += length;
                }
                assert_eq!(total, BYTES);
                for _ in 0..BYTES >> 20 {
                    stream.write_all(&buffer).unwrap();
                }
            }
        });
        let (up, down) = within(&a.namespace, move || {
            use std::io::{Read, Write};
            let (mut stream, mut buffer) = (std::net::TcpStream::connect(to).unwrap(), vec![0; 1 << 20]);
            let start = Instant::now();
            for _ in 0..BYTES >> 20 {
                stream.write_all(&buffer).unwrap();
            }
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            stream.read_exact(&mut buffer[..1]).unwrap();
            let up = start.elapsed();
            while let Ok(1..) = stream.read(&mut buffer) {}
            (up, start.elapsed() - up)
        })
        .await;
        let rate = |time: Duration| BYTES as f64 / 1e6 / time.as_secs_f64();
        println!("the way out: {:.0} MB/s to the world, {:.0} MB/s from it", rate(up), rate(down));
        project.close().await;
    });
}
