//! `hosts`: the gateway's names in this machine's hosts file.
//!
//! Names below `localhost` are left out unless asked for: browsers and many systems know them. The block of a project
//! is put there when it is asked for, and taken away by `--remove` and by `down`, each of them for this home alone.

mod block;
mod file;

pub(crate) use file::HostsError;

use super::stack::confirmed;
use crate::{
    console,
    context::{Context, Target},
    failure::CliError,
};
use block::Whose;
use clap::Args;
use mesh_api::status::ContainerStatus;
use mesh_store::home::Home;
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
};

/// The hosts file of a machine.
const HOSTS: &str = "/etc/hosts";
/// Most names in one line: some readers have bounds.
const NAMES_A_LINE: usize = 8;
/// The ports by which the gateway's address is known, first the likeliest.
const PORTS: [u16; 4] = [443, 80, 8443, 8080];

/// Hexadecimal digits by which one home is told from another.
const OWNER_DIGITS: usize = 12;

/// Arguments of `hosts`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Put the names into the hosts file, in a block of this project
    #[arg(long, conflicts_with = "remove")]
    write: bool,
    /// Take the block of this project away
    #[arg(long)]
    remove: bool,
    /// Names below `localhost` too: browsers and curl know them, other programs not on every machine
    #[arg(short, long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// The hosts file
    #[arg(long, value_name = "FILE", default_value = HOSTS)]
    hosts_file: PathBuf,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let path = arguments.hosts_file.as_path();
    if arguments.remove {
        let target = context.target()?;
        return remove(context, &whose(context, &target.name), path, arguments.yes);
    }
    let target = context.shown_target()?;
    let containers = target.containers().await?;
    let entries = entries(&containers, arguments.all);
    for domain in domains(&containers) {
        console::err_line(&format!(
            "note: a hosts file has no entry for all names beneath {domain}: add those that you need, or have a name \
             server answer for {domain}"
        ));
    }
    if entries.is_empty() {
        console::err_line(&nothing(&target));
        return Ok(0);
    }
    let whose = whose(context, &target.name);
    let text = block::text(&whose, &entries);
    if !arguments.write {
        console::out(&text);
        return Ok(0);
    }
    write(context, &whose, path, &entries, &arguments)
}

/// Whose block that of a project is: of the home that has it, whoever asks, so that root speaks for a user as well.
fn whose(context: &Context, project: &str) -> Whose {
    let data = &context.home.data;
    // Without a folder nothing was brought up, and whoever asks would be who makes it.
    let user =
        std::fs::metadata(data).map_or_else(|_| rustix::process::geteuid().as_raw(), |found| found.uid());
    let digest = Sha256::new().chain_update(user.to_be_bytes()).chain_update(data.as_os_str().as_bytes());
    let mut owner: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    owner.truncate(OWNER_DIGITS);
    Whose { project: project.to_owned(), owner }
}

fn nothing(target: &Target) -> String {
    format!(
        "no name of project {} needs an entry: its gateway serves none, does not run, or has names below \
         `localhost` alone, which browsers know (--all has them too)",
        target.name
    )
}

fn write(
    context: &Context,
    whose: &Whose,
    path: &Path,
    entries: &[(String, Vec<String>)],
    arguments: &Arguments,
) -> Result<u8, CliError> {
    let text = block::text(whose, entries);
    let before = file::read(path)?;
    if block::with(&before, whose, entries).is_ok_and(|after| after == before) {
        console::err_line(&format!("{} has these names already", path.display()));
        return Ok(0);
    }
    console::err(&format!("This puts these lines into {}:\n{text}", path.display()));
    if context.settings.dry_run {
        return Ok(0);
    }
    let refused =
        |error| told(error, path, &write_as_root(&context.home, whose, path, arguments.all, &before));
    file::writable(path).map_err(refused)?;
    if !arguments.yes && !confirmed("Go on?")? {
        return Err(CliError::said("nothing was written").with_hint("`--yes` writes without asking"));
    }
    file::change(path, |before| block::with(before, whose, entries).map(Some)).map_err(refused)?;
    console::err_line(&format!(" Hosts {}  Written", path.display()));
    Ok(0)
}

fn remove(context: &Context, whose: &Whose, path: &Path, yes: bool) -> Result<u8, CliError> {
    let project = whose.project.as_str();
    let before = file::read(path)?;
    if matches!(block::without(&before, whose), Ok(None)) {
        console::err_line(&format!("{} has no names of project {project}", path.display()));
        return Ok(0);
    }
    if context.settings.dry_run {
        console::err_line(&format!("the names of project {project} would be taken from {}", path.display()));
        return Ok(0);
    }
    let refused = |error| told(error, path, &remove_as_root(&context.home, project, path));
    file::writable(path).map_err(refused)?;
    if !yes && !confirmed(&format!("Take the names of project {project} from {}?", path.display()))? {
        return Err(CliError::said("nothing was removed").with_hint("`--yes` removes without asking"));
    }
    file::change(path, |before| block::without(before, whose)).map_err(refused)?;
    console::err_line(&format!(" Hosts {}  Removed", path.display()));
    Ok(0)
}

/// Takes the block of a project that ended away, if this home has one for it; what stands in the way is only told.
pub(super) fn forget(context: &Context, project: &str) {
    let path = Path::new(HOSTS);
    let whose = whose(context, project);
    let has_one = |content: Vec<u8>| !matches!(block::without(&content, &whose), Ok(None));
    if !file::read(path).is_ok_and(has_one) {
        return;
    }
    match file::change(path, |before| block::without(before, &whose)) {
        Ok(_) => console::err_line(&format!(" Hosts {HOSTS}  Removed")),
        Err(error) if error.is_forbidden() => console::err_line(&format!(
            "warning: the names of project {project} are still in {HOSTS}: {}",
            remove_as_root(&context.home, project, path)
        )),
        Err(error) => console::err_line(&format!("warning: {}", CliError::from(error).render(false))),
    }
}

/// The command by which root takes the names of a project of this home away. It needs nothing that runs.
fn remove_as_root(home: &Home, project: &str, path: &Path) -> String {
    let file =
        if path == Path::new(HOSTS) { String::new() } else { format!(" --hosts-file {}", quoted(path)) };
    format!("sudo env {} mesh -p {project} hosts --remove --yes{file}", places(home))
}

/// The commands by which they come there: which names there are is told to the project's own user alone, so that root
/// gets only the lines.
fn write_as_root(home: &Home, whose: &Whose, path: &Path, all: bool, before: &[u8]) -> String {
    let project = whose.project.as_str();
    let known = !matches!(block::without(before, whose), Ok(None));
    let first = if known { remove_as_root(home, project, path) + " && " } else { String::new() };
    let all = if all { " --all" } else { "" };
    let lines = format!("mesh -p {project} hosts{all}");
    // A last line without an end would go on with the first of them.
    let lines =
        if before.last().is_none_or(|byte| *byte == b'\n') { lines } else { format!("(echo; {lines})") };
    let file = if path == Path::new(HOSTS) { HOSTS.to_owned() } else { quoted(path) };
    format!("{first}{lines} | sudo tee -a {file} >/dev/null")
}

/// The variables by which another user finds a home.
fn places(home: &Home) -> String {
    let Home { data, state, runtime } = home;
    let above = |path: &Path, name: &str| path.parent().filter(|_| path.ends_with(name)).map(Path::to_owned);
    if let Some(root) = above(data, "data")
        && above(state, "state").as_ref() == Some(&root)
        && above(runtime, "run") == Some(root.clone())
    {
        return format!("MESH_HOME={}", quoted(&root));
    }
    let all = [("XDG_DATA_HOME", data), ("XDG_STATE_HOME", state), ("XDG_RUNTIME_DIR", runtime)];
    let set = |(name, path): (&str, &PathBuf)| Some(format!("{name}={}", quoted(&above(path, "mesh")?)));
    all.into_iter().filter_map(set).collect::<Vec<_>>().join(" ")
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

fn told(error: HostsError, path: &Path, command: &str) -> CliError {
    let shown = path.display();
    if error.is_read_only() {
        return CliError::said(format!("{error}: its file system is read-only")).with_hint(
            "`mesh hosts` prints the lines: put them where this machine keeps its names, or have a name server answer",
        );
    }
    match (error.is_forbidden(), rustix::process::geteuid().is_root()) {
        (true, false) => CliError::said(format!("could not write {shown}: it is another user's"))
            .with_hint(format!("run `{command}`")),
        (true, true) => CliError::said(format!("{error}, as root too"))
            .with_hint(format!("`lsattr {shown}` says whether it is immutable")),
        (false, _) => error.into(),
    }
}

/// Addresses with their names, of all gateways; so many names a line.
fn entries(containers: &[ContainerStatus], all: bool) -> Vec<(String, Vec<String>)> {
    let mut by_address: BTreeMap<IpAddr, BTreeSet<&str>> = BTreeMap::new();
    for container in containers.iter().filter(|container| !container.hosts.is_empty()) {
        let Some(address) = address(container) else { continue };
        let names = container.hosts.iter().map(String::as_str).filter(|name| needs_entry(name, all));
        by_address.entry(address).or_default().extend(names);
    }
    let mut entries = Vec::new();
    for (address, names) in by_address {
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        entries.extend(names.chunks(NAMES_A_LINE).map(|names| (address.to_string(), names.to_vec())));
    }
    entries
}

/// Domains of gateways whose names no file can list; those beneath `localhost` need none.
fn domains(containers: &[ContainerStatus]) -> BTreeSet<&str> {
    let hosts = containers.iter().flat_map(|container| &container.hosts);
    let domains = hosts.filter_map(|name| name.strip_prefix("*."));
    domains.filter(|domain| needs_entry(domain, false) && *domain != "localhost").collect()
}

/// Where a gateway is reached from this machine.
fn address(container: &ContainerStatus) -> Option<IpAddr> {
    let place = |target: u16| PORTS.iter().position(|port| *port == target).unwrap_or(PORTS.len());
    let port = container.ports.iter().min_by_key(|port| (place(port.target), port.host.is_ipv6()))?;
    Some(match port.host.ip() {
        ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    })
}

/// A name of a hosts file: what is not one must not get into it, whoever said it. One without a dot would take the place
/// of the machine's own words for its neighbours.
fn needs_entry(name: &str, all: bool) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.');
    name.contains('.') && name.bytes().all(plain) && (all || !name.ends_with(".localhost"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::summary::sample;
    use mesh_api::status::{PortStatus, State};
    use mesh_model::network::Protocol;

    fn gateway(ports: &[(&str, u16)], hosts: &[&str]) -> ContainerStatus {
        let port = |&(host, target): &(&str, u16)| PortStatus {
            host: host.parse().expect("an address"),
            target,
            protocol: Protocol::Tcp,
        };
        ContainerStatus {
            ports: ports.iter().map(port).collect(),
            hosts: hosts.iter().map(|&name| name.to_owned()).collect(),
            ..sample("gateway", State::Running)
        }
    }

    #[test]
    fn names_stand_with_the_address_where_their_gateway_is() {
        let hosts = [
            "b.test",
            "a.test",
            "a.localhost",
            "localhost",
            "whoami",
            "x\n0.0.0.0 bank.example",
            "",
            "UPPER.test",
            "*.docs.test",
            "*.x.localhost",
        ];
        let one = gateway(&[("127.0.5.1:9000", 8080), ("0.0.0.0:443", 443), ("[::]:443", 443)], &hosts);
        let other = gateway(&[("127.0.5.1:8443", 8443)], &["c.test"]);
        let unpublished = gateway(&[], &["d.test"]);
        let all = [one, other, unpublished];
        assert_eq!(domains(&all), BTreeSet::from(["docs.test"]));
        let found = entries(&all, false);
        let want = [("127.0.0.1", vec!["a.test", "b.test"]), ("127.0.5.1", vec!["c.test"])];
        let want =
            want.map(|(at, names)| (at.to_owned(), names.into_iter().map(str::to_owned).collect::<Vec<_>>()));
        assert_eq!(found, want);
        let many: Vec<String> = (10..30).map(|number| format!("a{number}.test")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let lines = entries(&[gateway(&[("127.0.0.1:443", 443)], &many)], false);
        assert_eq!(lines.iter().map(|(_, names)| names.len()).collect::<Vec<_>>(), [8, 8, 4]);
        let local = [gateway(&[("127.0.0.1:443", 443)], &["a.localhost", "localhost"])];
        assert!(entries(&local, false).is_empty());
        assert_eq!(entries(&local, true), [("127.0.0.1".to_owned(), vec!["a.localhost".to_owned()])]);
    }

    #[test]
    fn who_may_not_write_is_told_what_does() {
        let home = Home { data: "/d/data".into(), state: "/d/state".into(), runtime: "/d/run".into() };
        let whose = Whose { project: "shop".to_owned(), owner: "0123456789ab".to_owned() };
        let entries = [("127.0.0.1".to_owned(), vec!["a.test".to_owned()])];
        let known = block::with(b"127.0.0.1 localhost\n", &whose, &entries).expect("put in");
        let (hosts, other) = (Path::new(HOSTS), Path::new("/x y"));
        let remove = "sudo env MESH_HOME='/d' mesh -p shop hosts --remove --yes";
        assert_eq!(remove_as_root(&home, "shop", hosts), remove);
        let again = format!("{remove} && mesh -p shop hosts | sudo tee -a /etc/hosts >/dev/null");
        for (path, all, before, want) in [
            (hosts, false, &b""[..], "mesh -p shop hosts | sudo tee -a /etc/hosts >/dev/null"),
            (hosts, true, b"x\n", "mesh -p shop hosts --all | sudo tee -a /etc/hosts >/dev/null"),
            (other, false, b"x", "(echo; mesh -p shop hosts) | sudo tee -a '/x y' >/dev/null"),
            (hosts, false, &known, again.as_str()),
        ] {
            assert_eq!(write_as_root(&home, &whose, path, all, before), want);
        }
        let refused = |kind: std::io::ErrorKind| {
            let source = std::io::Error::from(kind);
            let error = HostsError::File { attempted: "open", path: HOSTS.into(), source };
            told(error, hosts, "do it").render(false)
        };
        let read_only = refused(std::io::ErrorKind::ReadOnlyFilesystem);
        assert!(read_only.contains("read-only") && !read_only.contains("sudo"), "{read_only}");
        let root = rustix::process::geteuid().is_root();
        let forbidden = refused(std::io::ErrorKind::PermissionDenied);
        assert!(forbidden.contains(if root { "lsattr /etc/hosts" } else { "run `do it`" }), "{forbidden}");
    }

    #[test]
    fn root_is_told_where_a_home_is() {
        let home = |data: &str, state: &str, runtime: &str| Home {
            data: data.into(),
            state: state.into(),
            runtime: runtime.into(),
        };
        for (home, want) in [
            (home("/d e/data", "/d e/state", "/d e/run"), "MESH_HOME='/d e'"),
            (
                home("/h/.local/share/mesh", "/h/.local/state/mesh", "/run/user/7/mesh"),
                "XDG_DATA_HOME='/h/.local/share' XDG_STATE_HOME='/h/.local/state' XDG_RUNTIME_DIR='/run/user/7'",
            ),
            (home("/h'x/mesh", "/s/mesh", "/s/mesh/run"), r"XDG_DATA_HOME='/h'\''x' XDG_STATE_HOME='/s'"),
        ] {
            assert_eq!(places(&home), want);
        }
    }
}
