//! A host of the test's own: a network namespace with loopback, one outer address, and no way further.

use futures_util::TryStreamExt;
use mesh_linux::netns;
use mesh_model::{
    container::ContainerId,
    network::{Attachment, IpamPool, Network, Subnet},
};
use mesh_network::{AttachRequest, Attached, ProjectNetwork, Settings};
use rtnetlink::{LinkBridge, LinkUnspec};
use std::{
    collections::BTreeMap,
    future::Future,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsFd, OwnedFd},
    thread,
    time::Duration,
};

pub const OUTER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const WAIT: Duration = Duration::from_secs(3);

/// Runs `test` on a host of its own. Skipped, and said so, without root.
pub fn on_own_host<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: needs root, or a user namespace");
        return;
    }
    let host = thread::spawn(|| {
        netns::create().expect("namespace of the host");
        netns::loopback_up().expect("loopback");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("runtime");
        runtime.block_on(async {
            let (connection, handle, _) = rtnetlink::new_connection().expect("netlink");
            let connection = tokio::spawn(connection);
            handle.link().add(LinkBridge::new("outer").build()).execute().await.expect("outer device");
            handle.link().set(LinkUnspec::new_with_name("outer").up().build()).execute().await.expect("up");
            let link = handle.link().get().match_name("outer").execute().try_next().await.expect("get");
            let index = link.expect("link").header.index;
            handle.address().add(index, OUTER.into(), 24).execute().await.expect("address");
            drop(handle);
            connection.abort();
            test().await;
        });
    });
    if let Err(panic) = host.join() {
        std::panic::resume_unwind(panic);
    }
}

/// A namespace that nobody lives in.
pub fn namespace() -> OwnedFd {
    thread::spawn(|| netns::create().expect("namespace")).join().expect("thread")
}

pub fn copy(namespace: &OwnedFd) -> OwnedFd {
    namespace.try_clone().expect("descriptor")
}

/// Whether this user may have a way out here.
pub fn way_out() -> bool {
    let device = std::fs::OpenOptions::new().read(true).write(true).open(mesh_linux::tun::DEVICE);
    if device.is_err() {
        println!("skipped, what concerns the way out: {} is not accessible", mesh_linux::tun::DEVICE);
    }
    device.is_ok()
}

pub async fn open(namespace: &OwnedFd) -> ProjectNetwork {
    let settings = Settings { project: "test".into(), namespace: copy(namespace), outbound: true };
    let network = ProjectNetwork::open(settings).await.expect("open");
    assert_eq!(network.missing().is_empty(), way_out(), "{:?}", network.missing());
    network
}

pub fn network(key: &str, subnet: &str, internal: bool) -> Network {
    let subnet = Subnet::parse(subnet);
    let pool = |subnet| IpamPool { subnet, gateway: None, ip_range: None };
    Network {
        key: key.into(),
        name: format!("test_{key}"),
        internal,
        external: false,
        ipam: subnet.map(pool).into_iter().collect(),
        driver: "bridge".into(),
        driver_opts: BTreeMap::new(),
        labels: BTreeMap::new(),
    }
}

pub fn id(name: &str) -> ContainerId {
    ContainerId(format!("{name:0>64}"))
}

pub fn request(name: &str, networks: &[(&Network, Option<&str>)]) -> AttachRequest {
    let attachment = |address: Option<&str>| Attachment {
        ipv4_address: address.map(|text| text.parse().expect("address")),
        aliases: vec![format!("{name}-alias")],
        ..Attachment::default()
    };
    AttachRequest {
        id: id(name),
        names: vec![name.into(), format!("test-{name}-1")],
        networks: networks.iter().map(|(network, fixed)| ((*network).clone(), attachment(*fixed))).collect(),
        upstream_dns: vec![OUTER.into()],
        host_gateway: false,
        any_source: false,
    }
}

pub async fn attach(project: &ProjectNetwork, name: &str, networks: &[&Network]) -> Attached {
    let networks: Vec<_> = networks.iter().map(|network| (*network, None)).collect();
    project.attach(request(name, &networks)).await.expect("attach")
}

pub fn address(attached: &Attached) -> Ipv4Addr {
    attached.record.networks[0].address
}

/// Runs `job` inside a namespace.
pub async fn within<T: Send + 'static>(namespace: impl AsFd, job: impl FnOnce() -> T + Send + 'static) -> T {
    let namespace = namespace.as_fd().try_clone_to_owned().expect("descriptor");
    let (done, result) = tokio::sync::oneshot::channel();
    thread::spawn(move || {
        netns::enter(&namespace).expect("enter");
        drop(done.send(job()));
    });
    result.await.expect("job")
}

/// What a server says to a client that says nothing: first its banner, then the end.
pub async fn get(namespace: impl AsFd, to: impl Into<SocketAddr>) -> Result<String, std::io::ErrorKind> {
    let to = to.into();
    within(namespace, move || read_all(to).map_err(|error| error.kind())).await
}

pub fn read_all(to: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&to, WAIT)?;
    stream.set_read_timeout(Some(WAIT))?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// Serves `banner` to everybody until the client has ended its side, on a thread that ends with the
/// test's process.
pub async fn serve(namespace: impl AsFd, at: SocketAddr, banner: &'static str) -> SocketAddr {
    let (listener, at) = within(namespace, move || {
        let listener = TcpListener::bind(at).expect("listen");
        let at = listener.local_addr().expect("address");
        (listener, at)
    })
    .await;
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || {
                let mut stream = stream.expect("accept");
                // Half-closed connections must still carry the answer.
                let mut heard = Vec::new();
                stream.read_to_end(&mut heard).unwrap_or_default();
                stream.write_all(&heard).unwrap_or_default();
                stream.write_all(banner.as_bytes()).unwrap_or_default();
            });
        }
    });
    at
}

/// Sends each datagram back in capitals.
pub async fn serve_datagrams(namespace: impl AsFd, at: SocketAddr) -> SocketAddr {
    let (socket, at) = within(namespace, move || {
        let socket = UdpSocket::bind(at).expect("bind");
        let at = socket.local_addr().expect("address");
        (socket, at)
    })
    .await;
    thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok((length, client)) = socket.recv_from(&mut buffer) {
            buffer[..length].make_ascii_uppercase();
            socket.send_to(&buffer[..length], client).unwrap_or_default();
        }
    });
    at
}

pub fn ask_datagram(to: SocketAddr, content: &[u8]) -> std::io::Result<Vec<u8>> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(WAIT))?;
    socket.connect(to)?;
    socket.send(content)?;
    let mut buffer = vec![0; 65_536];
    let length = socket.recv(&mut buffer)?;
    buffer.truncate(length);
    Ok(buffer)
}

/// Code and sorted answers of the container's name server.
pub async fn resolve(namespace: impl AsFd, name: &str, kind: &str) -> (String, Vec<String>) {
    use hickory_proto::{
        op::{Message, Query},
        rr::Name,
    };
    let mut question = Message::query();
    let query = Query::query(name.parse::<Name>().expect("name"), kind.parse().expect("type"));
    question.add_query(query);
    question.metadata.recursion_desired = true;
    let bytes = question.to_vec().expect("question");
    let answer = within(namespace, move || ask_datagram(mesh_network::DNS_ADDRESS, &bytes)).await;
    let answer = Message::from_vec(&answer.expect("answer")).expect("message");
    assert_eq!(answer.metadata.id, question.metadata.id);
    let mut answers: Vec<String> = answer.answers.iter().map(|record| record.data.to_string()).collect();
    answers.sort();
    (format!("{:?}", answer.metadata.response_code), answers)
}
