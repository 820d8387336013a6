//! Who holds a port of the machine: a container of some project of this user, else a process.
//!
//! The kernel is asked first: what a project has on record it does not listen on while no supervisor serves
//! it, and another may have the port by now. Best effort, for one line of an error text: a process of somebody
//! else stays unknown.

use crate::record;
use mesh_model::{
    container::{ContainerId, ContainerSpec},
    network::Protocol,
};
use mesh_runtime::observed::BoundPort;
use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

/// Most processes whose descriptors are looked through.
const PROCESSES_MAX: usize = 20_000;

/// Who has a socket on a port.
enum Holder {
    /// A supervisor of Mesh, for a container of this project.
    Supervisor { pid: u32, project: String },
    /// Some other process.
    Process { pid: u32, name: String },
    /// One whose descriptors are hidden from this user; the user's id.
    Hidden(u32),
}

/// Names what holds `address`. `projects` is the directory that holds the state of every project; `asking` is the
/// container that wants the port, and does not have it whatever is on record.
pub(crate) fn find(
    address: SocketAddr,
    protocol: Protocol,
    projects: &Path,
    asking: Option<&ContainerId>,
) -> Option<String> {
    let of = |project: &Path| container_of(project, address, protocol, asking);
    let known = || fs::read_dir(projects).ok()?.flatten().find_map(|project| of(&project.path()));
    match holder(address, protocol)? {
        // This process, whatever it is called, serves the ports of containers.
        Holder::Process { pid, name } => (pid == std::process::id())
            .then(known)
            .flatten()
            .or_else(|| Some(format!("{name} (process {pid})"))),
        Holder::Supervisor { pid, project } => {
            let own = pid == std::process::id();
            // Of our own name, and not us: the supervisor of another home.
            let elsewhere = !own && supervised(Path::new("/proc/self")).as_ref() == Some(&project);
            let of_it = of(&projects.join(&project)).filter(|_| !elsewhere);
            Some(of_it.unwrap_or_else(|| match own {
                true => "another port of this project".to_owned(),
                false => format!("project {project} of another Mesh home (process {pid})"),
            }))
        }
        // Without root a supervisor is in a user namespace of its own, and hidden from the others.
        Holder::Hidden(uid) => known().or_else(|| Some(owner(uid))),
    }
}

/// A running container of a project whose record says that it publishes the port.
fn container_of(
    project: &Path,
    address: SocketAddr,
    protocol: Protocol,
    asking: Option<&ContainerId>,
) -> Option<String> {
    for directory in fs::read_dir(project.join("containers")).ok()?.flatten() {
        let Some(run) = record::read_run(&directory.path()).whole() else { continue };
        let publishes = |port: &BoundPort| port.protocol == protocol && overlaps(port.host, address);
        if run.ports.iter().any(publishes) && run.shim.is_alive() {
            let spec = record::read_spec(&directory.path()).whole()?;
            if Some(&spec.id) != asking {
                return Some(whose(&spec));
            }
        }
    }
    None
}

/// Service, project, and where that project is, so that it can be found.
fn whose(spec: &ContainerSpec) -> String {
    let directory = spec.labels.get("com.docker.compose.project.working_dir");
    let place = directory.map(|directory| format!(" in {directory}")).unwrap_or_default();
    format!("service {} of project {}{place}", spec.service.name, spec.project)
}

/// The process with a socket on the port; `None`: there is none any more.
fn holder(address: SocketAddr, protocol: Protocol) -> Option<Holder> {
    let tables = ["", "6"]
        .map(|suffix| fs::read_to_string(format!("/proc/net/{protocol}{suffix}")).unwrap_or_default());
    let Held { inode, uid, .. } = tables
        .iter()
        .flat_map(|table| table.lines())
        .filter_map(|line| parse_line(line, protocol))
        .find(|held| overlaps(held.address, address))?;
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten().take(PROCESSES_MAX);
    for directory in processes {
        let Some(pid) = directory.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(descriptors) = fs::read_dir(directory.path().join("fd")) else { continue };
        for descriptor in descriptors.flatten() {
            if fs::read_link(descriptor.path()).is_ok_and(|target| target.as_os_str() == wanted.as_str()) {
                let name = fs::read_to_string(directory.path().join("comm")).unwrap_or_default();
                return Some(match supervised(&directory.path()) {
                    Some(project) => Holder::Supervisor { pid, project },
                    None => Holder::Process { pid, name: name.trim().to_owned() },
                });
            }
        }
    }
    // Its descriptors are hidden from this user; whose it is, is not.
    Some(Holder::Hidden(uid))
}

/// The project that a process supervises, if it is Mesh.
fn supervised(process: &Path) -> Option<String> {
    let line = fs::read(process.join("cmdline")).ok()?;
    let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
    let [_, b"supervisor", b"--project", project, ..] = words.as_slice() else { return None };
    Some(String::from_utf8_lossy(project).into_owned())
}

/// Whose a process is. In a user namespace of one's own, all others are one and the same.
fn owner(uid: u32) -> String {
    const OVERFLOW: u32 = 65534;
    if uid == nix::unistd::geteuid().as_raw() {
        return "another process of this user".to_owned();
    }
    match nix::unistd::User::from_uid(uid.into()).ok().flatten() {
        Some(user) if uid != OVERFLOW => format!("a process of user {}", user.name),
        _ => "a process of another user".to_owned(),
    }
}

/// Whether two sockets cannot be bound side by side.
fn overlaps(bound: SocketAddr, asked: SocketAddr) -> bool {
    let (a, b) = (canonical(bound.ip()), canonical(asked.ip()));
    bound.port() == asked.port() && (a == b || a.is_unspecified() || b.is_unspecified())
}

fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// A socket that listens.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    address: SocketAddr,
    inode: u64,
    uid: u32,
}

/// The local address, the inode and the owner of a line of `/proc/net/{tcp,udp}{,6}`, where the socket listens.
fn parse_line(line: &str, protocol: Protocol) -> Option<Held> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let listening = match protocol {
        Protocol::Tcp => "0A",
        Protocol::Udp => "07",
    };
    if *fields.get(3)? != listening {
        return None;
    }
    let (address, port) = fields.get(1)?.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    // The kernel prints each 32-bit word in the machine's byte order.
    let word = |index: usize| {
        let text = address.get(index * 8..index * 8 + 8)?;
        Some(u32::from_str_radix(text, 16).ok()?.to_ne_bytes())
    };
    let ip = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for index in 0..4 {
                bytes[index * 4..index * 4 + 4].copy_from_slice(&word(index)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(Held {
        address: SocketAddr::new(ip, port),
        inode: fields.get(9)?.parse().ok()?,
        uid: fields.get(7)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel_are_read() {
        let line = "0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711 1";
        let held = parse_line(line, Protocol::Tcp).expect("listens");
        assert_eq!((held.address.to_string(), held.inode), ("127.0.0.1:8080".to_owned(), 4711));
        let line = line.replace("0100007F", "00000000000000000000000001000000");
        let held = parse_line(&line, Protocol::Tcp).expect("listens");
        assert_eq!(held.address.to_string(), "[::1]:8080");
        for bad in ["", "sl local_address", &line.replace("0A", "01"), &line.replace("1F90", "XX")] {
            assert_eq!(parse_line(bad, Protocol::Tcp), None, "{bad}");
        }
    }

    #[test]
    fn sockets_overlap_by_port_and_address() {
        for (bound, asked, want) in [
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("[::]:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80", true),
        ] {
            let (bound, asked) = (bound.parse().expect("valid"), asked.parse().expect("valid"));
            assert_eq!(overlaps(bound, asked), want, "{bound} {asked}");
        }
    }

    #[test]
    fn a_process_of_our_own_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = listener.local_addr().expect("bound");
        let empty = tempfile::tempdir().expect("temporary directory");
        let holder = find(address, Protocol::Tcp, empty.path(), None).expect("found");
        assert!(holder.contains(&format!("(process {})", std::process::id())), "{holder}");
    }
}
