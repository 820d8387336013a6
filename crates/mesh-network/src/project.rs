//! The networks of one project: what others call.

use crate::{
    announce::Beginning,
    book::Book,
    container::{self, DnsSockets},
    dns::Server,
    error::NetworkError,
    link::{Bridge, Links, Veth, hardware_address, veth_name},
    names::Directory,
    outbound::{HOST_GATEWAY, WayOut},
    publish,
    record::{AttachRequest, Attached, AttachmentRecord, BoundPort, NetworkRecord, PresentNetwork},
    source,
    task::{Scope, Worker},
};
use mesh_linux::tun;
use mesh_model::{
    container::ContainerId,
    network::{Attachment, Network, PortMapping, Subnet},
};
use std::{
    collections::{BTreeSet, HashMap},
    io,
    net::{Ipv4Addr, SocketAddr},
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::{net::TcpStream, runtime::Handle};

/// What the networks of a project are made from.
#[derive(Debug)]
pub struct Settings {
    /// Name of the project.
    pub project: String,
    /// The project's network namespace.
    pub namespace: OwnedFd,
    /// Whether containers may reach the world.
    pub outbound: bool,
}

/// The networks of one project. Clones are the same networks; the last one gone ends what this
/// process serves.
#[derive(Clone)]
pub struct ProjectNetwork {
    inner: Arc<Inner>,
}

struct Inner {
    worker: Worker,
    links: Links,
    way_out: Option<WayOut>,
    missing: Vec<String>,
    book: Arc<Mutex<Book>>,
    directory: Arc<Mutex<Directory>>,
    bridges: Mutex<HashMap<String, Bridge>>,
    /// What each container has served for it.
    served: Mutex<HashMap<ContainerId, Arc<Scope>>>,
    /// Networks are made and removed one at a time.
    making: tokio::sync::Mutex<()>,
    /// That sources of frames cannot be checked was told.
    sources_told: AtomicBool,
    scope: Scope,
}

impl ProjectNetwork {
    /// Opens the networks in the project's namespace, and finds again what an earlier process left.
    ///
    /// # Errors
    /// The namespace cannot be entered or changed.
    pub async fn open(settings: Settings) -> Result<Self, NetworkError> {
        let entering = format!("enter the network namespace of project {}", settings.project);
        let worker =
            Worker::start(settings.namespace).await.map_err(NetworkError::system(entering.clone()))?;
        let runtime = Handle::current();
        let opened = worker.run(move || {
            mesh_linux::netns::loopback_up()?;
            for (name, value) in [
                ("ipv4/conf/all/rp_filter", "0"),
                ("ipv4/conf/default/rp_filter", "0"),
                ("ipv4/conf/all/send_redirects", "0"),
                ("ipv4/conf/default/send_redirects", "0"),
                ("ipv4/ip_forward", "1"),
            ] {
                container::set(name, value)?;
            }
            // A kernel without IPv6 has nothing to turn off.
            for name in ["all", "default"] {
                container::set(&format!("ipv6/conf/{name}/disable_ipv6"), "1").unwrap_or_default();
            }
            let _in_runtime = runtime.enter();
            container::netlink()
        });
        let (links, connection) = opened.await.map_err(NetworkError::system(entering))?;
        let scope = Scope::new();
        scope.spawner().spawn(connection);
        links.prepare().await?;
        let (mut book, mut bridges) = (Book::default(), HashMap::new());
        for found in links.found().await? {
            let subnet = Subnet::parse(&format!("{}/{}", found.gateway, found.prefix));
            let Some(subnet) = subnet else { continue };
            bridges.insert(found.network.clone(), found.bridge);
            book.found(found.network, subnet, found.gateway, found.internal);
        }
        let book = Arc::new(Mutex::new(book));
        let (way_out, missing) = if settings.outbound {
            match WayOut::open(&worker, &links, book.clone(), &scope.spawner()).await {
                Ok(way_out) => (Some(way_out), Vec::new()),
                Err(error) => (None, vec![no_way_out(&error)]),
            }
        } else {
            (None, Vec::new())
        };
        let network = Self {
            inner: Arc::new(Inner {
                worker,
                links,
                way_out,
                missing,
                book,
                directory: Arc::default(),
                bridges: Mutex::new(bridges),
                served: Mutex::default(),
                making: tokio::sync::Mutex::default(),
                sources_told: AtomicBool::new(false),
                scope,
            }),
        };
        network.reopen_way_out().await?;
        Ok(network)
    }

    /// What cannot be had on this machine, a sentence each with the remedy.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        self.inner.missing.clone()
    }

    /// What `host-gateway` in `extra_hosts` means: an address that leads to the host's 127.0.0.1, for
    /// the containers whose [`AttachRequest`] asks for it.
    #[must_use]
    pub fn host_gateway(&self) -> Ipv4Addr {
        HOST_GATEWAY
    }

    /// Makes a network if it is not there.
    ///
    /// # Errors
    /// Its subnet overlaps another one's or cannot serve, it is there with another subnet, or the
    /// kernel refuses.
    pub async fn create_network(&self, network: &Network) -> Result<(), NetworkError> {
        let inner = &self.inner;
        let _one_at_a_time = inner.making.lock().await;
        let Some(entry) = lock(&inner.book).plan(network)? else { return Ok(()) };
        let made = async {
            let (gateway, prefix) = (entry.gateway, entry.subnet.prefix);
            let bridge = inner.links.make_bridge(&network.name, network.internal, gateway, prefix).await?;
            if let (Some(way_out), false) = (&inner.way_out, network.internal) {
                inner.links.open_way_out(bridge, way_out.device_index).await?;
            }
            Ok(bridge)
        };
        match made.await {
            Ok(bridge) => {
                lock(&inner.bridges).insert(network.name.clone(), bridge);
                Ok(())
            }
            Err(error) => {
                lock(&inner.book).remove(&network.name)?;
                Err(error)
            }
        }
    }

    /// Keeps fixed addresses of containers that have not come yet from being given to others.
    ///
    /// # Errors
    /// There is no such network.
    pub fn reserve(&self, network: &str, addresses: &[Ipv4Addr]) -> Result<(), NetworkError> {
        lock(&self.inner.book).reserve(network, addresses)
    }

    /// Removes a network by name, if it is there.
    ///
    /// # Errors
    /// Containers are attached to it, or the kernel refuses.
    pub async fn remove_network(&self, name: &str) -> Result<(), NetworkError> {
        let _one_at_a_time = self.inner.making.lock().await;
        lock(&self.inner.book).remove(name)?;
        lock(&self.inner.bridges).remove(name);
        self.inner.links.remove_bridge(name).await
    }

    /// The networks that are there, as they are.
    #[must_use]
    pub fn present(&self) -> Vec<PresentNetwork> {
        lock(&self.inner.book).present()
    }

    /// Names of the networks that are there.
    ///
    /// # Errors
    /// None today.
    pub async fn networks(&self) -> Result<Vec<String>, NetworkError> {
        Ok(lock(&self.inner.book).names())
    }

    /// Makes the namespace of a container and joins it to its networks.
    ///
    /// # Errors
    /// A network is not there, an address is taken or outside of it, or the kernel refuses. Nothing
    /// is left then.
    pub async fn attach(&self, request: AttachRequest) -> Result<Attached, NetworkError> {
        let AttachRequest { id, names, networks, upstream_dns, host_gateway, any_source } = request;
        let scope = self.claim(&id)?;
        let attached = async {
            let networks = self.take_addresses(&id, &networks)?;
            let made = container::make().await?;
            self.join(&id, &networks, &made.namespace, &made.links, made.connection).await?;
            if !any_source {
                self.hold_sources(&id, &networks).await;
            }
            let record = AttachmentRecord {
                names,
                networks: networks.into_iter().map(|joining| joining.record).collect(),
                upstream_dns,
                host_gateway,
            };
            self.serve_names(&id, &scope, &record, made.sockets)?;
            Ok(Attached { namespace: made.namespace, record })
        };
        let attached = attached.await;
        if attached.is_err() {
            self.let_go(&id).await;
        }
        attached
    }

    /// Serves a container again that an earlier process attached.
    ///
    /// # Errors
    /// A network of it is gone, an address is taken, or its namespace cannot be entered.
    pub async fn adopt(
        &self,
        id: &ContainerId,
        namespace: OwnedFd,
        record: &AttachmentRecord,
    ) -> Result<(), NetworkError> {
        let scope = self.claim(id)?;
        let adopted = async {
            for network in &record.networks {
                lock(&self.inner.book).take(&network.name, id, Some(network.address))?;
            }
            let sockets = container::enter(namespace).await?;
            self.serve_names(id, &scope, record, sockets)
        };
        let adopted = adopted.await;
        if adopted.is_err() {
            self.let_go(id).await;
        }
        adopted
    }

    /// Has a container that is attached found by further names, where nobody on a shared network has such a name
    /// of his own. They take the place of those lent before, and go when it is detached.
    pub fn lend_names(&self, id: &ContainerId, names: BTreeSet<String>) {
        lock(&self.inner.directory).lend(id, names);
    }

    /// Takes a container from its networks: names, ports and connections end. Its namespace lives as
    /// long as somebody holds it.
    ///
    /// # Errors
    /// The kernel refuses to remove its links.
    pub async fn detach(&self, id: &ContainerId) -> Result<(), NetworkError> {
        let joined = self.let_go(id).await.map_or(0, |record| record.networks.len());
        for position in 0..joined {
            let failed = NetworkError::netlink(format!("remove the links of container {}", id.short()));
            self.inner.links.delete(&veth_name(&id.0, position)).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Listens on the host for a container that is attached. All ports are held before any is served;
    /// [`detach`](Self::detach) gives them back.
    ///
    /// # Errors
    /// A port is taken or may not be bound; then none is held.
    pub async fn publish(
        &self,
        id: &ContainerId,
        ports: &[PortMapping],
        beginning: Beginning,
    ) -> Result<Vec<BoundPort>, NetworkError> {
        if ports.is_empty() {
            return Ok(Vec::new());
        }
        let not_attached = || NetworkError::NotAttached { id: id.short().into() };
        let address = self.address(id)?;
        let scope = lock(&self.inner.served).get(id).cloned().ok_or_else(not_attached)?;
        let bound = publish::bind_all(ports)?;
        let list = bound.iter().map(|bound| bound.port).collect();
        publish::serve(bound, address, beginning, &self.inner.worker, &scope.spawner())
            .map_err(NetworkError::system(format!("serve the ports of container {}", id.short())))?;
        Ok(list)
    }

    /// The address that a container is reached at from outside of it: that on its first network.
    ///
    /// # Errors
    /// It is not attached.
    pub fn address(&self, id: &ContainerId) -> Result<Ipv4Addr, NetworkError> {
        lock(&self.inner.directory)
            .get(id)
            .and_then(|record| record.networks.first())
            .map(|network| network.address)
            .ok_or_else(|| NetworkError::NotAttached { id: id.short().into() })
    }

    /// Connects to a container as its network's gateway does.
    ///
    /// # Errors
    /// Those of connecting.
    pub async fn connect(&self, target: SocketAddr) -> io::Result<TcpStream> {
        publish::connect(&self.inner.worker, target).await
    }

    /// Ends everything this process serves. Bridges and containers' links stay.
    pub async fn close(&self) {
        let scopes: Vec<_> = lock(&self.inner.served).drain().map(|(_, scope)| scope).collect();
        for scope in scopes {
            scope.close().await;
        }
        self.inner.scope.close().await;
    }

    /// Leads the bridges that were found to the new device: the old one ended with its process.
    async fn reopen_way_out(&self) -> Result<(), NetworkError> {
        let inner = &self.inner;
        let Some(way_out) = &inner.way_out else { return Ok(()) };
        let bridges: Vec<_> = {
            let (bridges, book) = (lock(&inner.bridges), lock(&inner.book));
            let open = bridges.iter().filter(|(name, _)| book.get(name).is_ok_and(|entry| !entry.internal));
            open.map(|(_, bridge)| *bridge).collect()
        };
        for bridge in bridges {
            inner.links.open_way_out(bridge, way_out.device_index).await?;
        }
        Ok(())
    }

    /// Makes a container's place; two attachments of one container exclude each other.
    fn claim(&self, id: &ContainerId) -> Result<Arc<Scope>, NetworkError> {
        let mut served = lock(&self.inner.served);
        if served.contains_key(id) {
            return Err(NetworkError::AlreadyAttached { id: id.short().into() });
        }
        let scope = Arc::new(Scope::new());
        served.insert(id.clone(), scope.clone());
        Ok(scope)
    }

    /// Ends what is served for a container, and takes its addresses back.
    async fn let_go(&self, id: &ContainerId) -> Option<AttachmentRecord> {
        let inner = &self.inner;
        let record = lock(&inner.directory).remove(id);
        let scope = lock(&inner.served).remove(id);
        if let Some(scope) = scope {
            scope.close().await;
        }
        if let (Some(record), Some(way_out)) = (&record, &inner.way_out) {
            record.networks.iter().for_each(|network| way_out.forget(network.address));
        }
        lock(&inner.book).release(id);
        record
    }

    fn take_addresses(
        &self,
        id: &ContainerId,
        networks: &[(Network, Attachment)],
    ) -> Result<Vec<Joining>, NetworkError> {
        let mut book = lock(&self.inner.book);
        let bridges = lock(&self.inner.bridges);
        let interfaces = interfaces(networks)?;
        let take = |((network, attachment), interface): (&(Network, Attachment), String)| {
            let name = &network.name;
            let address = book.take(name, id, attachment.ipv4_address)?;
            let entry = book.get(name)?;
            let bridge = bridges.get(name).copied();
            let hardware = match &attachment.mac_address {
                Some(text) => parse_hardware_address(text)?,
                None => hardware_address(address),
            };
            Ok(Joining {
                record: NetworkRecord {
                    key: network.key.clone(),
                    name: name.clone(),
                    address,
                    internal: entry.internal,
                    aliases: attachment.aliases.clone(),
                },
                bridge: bridge.ok_or_else(|| NetworkError::NoSuchNetwork { name: name.clone() })?,
                gateway: entry.gateway,
                prefix: entry.subnet.prefix,
                hardware,
                interface,
            })
        };
        networks.iter().zip(interfaces).map(take).collect()
    }

    async fn join(
        &self,
        id: &ContainerId,
        networks: &[Joining],
        namespace: &OwnedFd,
        inside: &Links,
        connection: container::Connection,
    ) -> Result<(), NetworkError> {
        let work = async {
            for (position, joining) in networks.iter().enumerate() {
                let name = &joining.record.name;
                let failed =
                    || NetworkError::netlink(format!("join container {} to network {name}", id.short()));
                let interface = joining.interface.clone();
                let veth = Veth {
                    name: &veth_name(&id.0, position),
                    bridge: joining.bridge,
                    namespace: namespace.as_fd(),
                    interface: &interface,
                    hardware: joining.hardware,
                };
                self.inner.links.make_veth(&veth).await.map_err(failed())?;
                let (address, prefix) = (joining.record.address, joining.prefix);
                inside.raise(&interface, address, prefix).await.map_err(failed())?;
            }
            let open = networks.iter().find(|joining| !joining.record.internal);
            if let Some(joining) = open {
                let failed = NetworkError::netlink(format!("route container {}", id.short()));
                inside.add_default_route(joining.gateway).await.map_err(failed)?;
            }
            Ok(())
        };
        tokio::select! { biased;
            result = work => result,
            () = connection => Err(NetworkError::Closed),
        }
    }

    /// Keeps a container from sending under another address than its own. A kernel that cannot do that is no reason
    /// not to start: it is told once.
    async fn hold_sources(&self, id: &ContainerId, networks: &[Joining]) {
        let links = &self.inner.links;
        let addresses: Vec<Ipv4Addr> = networks.iter().map(|joining| joining.record.address).collect();
        for (position, joining) in networks.iter().enumerate() {
            let held = async {
                let index = links.index(&veth_name(&id.0, position)).await?;
                source::hold(links, index, joining.hardware, &addresses).await
            };
            if let Err(error) = held.await
                && !self.inner.sources_told.swap(true, Ordering::Relaxed)
            {
                let error = error.to_string();
                tracing::warn!(
                    error,
                    "containers with NET_RAW can send under the addresses of their neighbours"
                );
            }
        }
    }

    fn serve_names(
        &self,
        id: &ContainerId,
        scope: &Scope,
        record: &AttachmentRecord,
        sockets: DnsSockets,
    ) -> Result<(), NetworkError> {
        let directory = self.inner.directory.clone();
        let server = Server::new(id.clone(), directory.clone(), record.upstream_dns.clone());
        server
            .start(sockets, &scope.spawner())
            .map_err(NetworkError::system(format!("serve names to container {}", id.short())))?;
        if record.host_gateway {
            lock(&self.inner.book).allow_host(id);
        }
        lock(&directory).insert(id.clone(), record.clone());
        Ok(())
    }
}

/// Longest name of an interface, in bytes.
const INTERFACE_BYTES_MAX: usize = 15;

/// One network that a container is about to join.
struct Joining {
    record: NetworkRecord,
    bridge: Bridge,
    gateway: Ipv4Addr,
    prefix: u8,
    hardware: [u8; 6],
    interface: String,
}

/// Names of a container's interfaces: those that the file gives, and of `eth0`, `eth1` and so on the next that is free.
fn interfaces(networks: &[(Network, Attachment)]) -> Result<Vec<String>, NetworkError> {
    let given =
        |name: &String| networks.iter().filter(|(_, it)| it.interface_name.as_ref() == Some(name)).count();
    let mut numbers = 0..;
    let mut next =
        || numbers.find_map(|number: u32| Some(format!("eth{number}")).filter(|name| given(name) == 0));
    let name = |(_, attachment): &(Network, Attachment)| match &attachment.interface_name {
        Some(name) if !is_interface_name(name) || given(name) > 1 => {
            Err(NetworkError::InterfaceName { text: name.clone() })
        }
        Some(name) => Ok(name.clone()),
        None => Ok(next().unwrap_or_default()),
    };
    networks.iter().map(name).collect()
}

/// What the kernel takes for a name of an interface; `lo` is there already.
fn is_interface_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':' | b'%');
    (1..=INTERFACE_BYTES_MAX).contains(&name.len())
        && name.bytes().all(plain)
        && !matches!(name, "." | ".." | "lo" | "all" | "default")
}

fn parse_hardware_address(text: &str) -> Result<[u8; 6], NetworkError> {
    let wrong = || NetworkError::HardwareAddress { text: text.into() };
    let mut bytes = [0; 6];
    let mut parts = text.split([':', '-']);
    for byte in &mut bytes {
        let part = parts.next().filter(|part| part.len() == 2).ok_or_else(wrong)?;
        *byte = u8::from_str_radix(part, 16).map_err(|_| wrong())?;
    }
    // The first bit marks a group, which no interface is.
    if parts.next().is_some() || bytes[0] & 1 != 0 { Err(wrong()) } else { Ok(bytes) }
}

fn no_way_out(error: &io::Error) -> String {
    format!(
        "containers have no way out of their networks ({}: {error}); load the kernel's module `tun` and \
         let this user read and write that file",
        tun::DEVICE
    )
}

/// Every lock is held for a few lines without a wait; what a panic left is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn interfaces_have_the_names_that_are_given_and_the_next_free_numbers() {
        let network = Network {
            key: String::new(),
            name: String::new(),
            internal: false,
            external: false,
            ipam: Vec::new(),
            driver: String::new(),
            driver_opts: BTreeMap::new(),
            labels: BTreeMap::new(),
        };
        let of = |names: &[Option<&str>]| {
            let attachment = |name: &Option<&str>| Attachment {
                interface_name: name.map(str::to_owned),
                ..Attachment::default()
            };
            let joined: Vec<_> = names.iter().map(|name| (network.clone(), attachment(name))).collect();
            interfaces(&joined).ok()
        };
        assert_eq!(of(&[None, Some("eth0"), None]).expect("names"), ["eth1", "eth0", "eth2"]);
        assert_eq!(of(&[Some("front"), None]).expect("names"), ["front", "eth0"]);
        for bad in [
            &[Some("a/b")][..],
            &[Some("")],
            &[Some("sixteen-letters-")],
            &[Some("x"), Some("x")],
            &[Some("lo")],
        ] {
            assert_eq!(of(bad), None, "{bad:?}");
        }
    }
}
