//! The project and the sections beside its services.

use super::{entries, flag, items, text, texts};
use crate::{
    context::{At, Context},
    node::Node,
    value,
};
use mesh_model::{
    network::{IpamPool, Network, Subnet},
    project::{FileSource, Project, Substitute, Volume, WhenNoSource},
};
use mesh_redact::Secret;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

/// What the tree does not say.
pub(crate) struct Frame<'f> {
    pub(crate) name: String,
    pub(crate) directory: PathBuf,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) inactive: Vec<String>,
    pub(crate) environment: &'f BTreeMap<String, String>,
}

/// The project that `tree` describes.
pub(crate) fn project(tree: &Node, frame: Frame<'_>, cx: &mut Context) -> Project {
    let services: BTreeMap<_, _> = entries(tree.get("services"))
        .map(|(name, node)| {
            let mut service = super::service::service(name, node, frame.environment, cx);
            if let Some(probe) = super::outside::healthcheck(tree, node, frame.environment, cx) {
                service.healthcheck = probe;
            }
            (name.clone(), service)
        })
        .collect();
    let used = Used::by(tree);
    Project {
        networks: networks(tree, &used, &frame.name, cx),
        volumes: entries(tree.get("volumes"))
            .filter(|(key, _)| used.volumes.contains(key.as_str()))
            .map(|(key, node)| (key.clone(), volume(key, node)))
            .collect(),
        secrets: sources(tree, "secrets", &used.secrets, &frame, cx),
        configs: sources(tree, "configs", &used.configs, &frame, cx),
        substitute: substitute(tree),
        publishing: super::outside::publishing(tree),
        left_out: BTreeMap::new(),
        name: frame.name,
        directory: frame.directory,
        files: frame.files,
        inactive: frame.inactive,
        services,
    }
}

/// `x-mesh.substitute` of a project or a service.
pub(super) fn substitute(node: &Node) -> Option<Substitute> {
    match node.at_path(&["x-mesh", "substitute"])?.as_text()? {
        "never" => Some(Substitute::Never),
        "missing" => Some(Substitute::Missing),
        "always" => Some(Substitute::Always),
        _ => None,
    }
}

/// `x-mesh.when-no-source` of a service.
pub(super) fn when_no_source(node: &Node) -> WhenNoSource {
    match node.at_path(&["x-mesh", "when-no-source"]).and_then(Node::as_text) {
        Some("skip") => WhenNoSource::Skip,
        _ => WhenNoSource::Fail,
    }
}

/// Keys that active services use.
#[derive(Default)]
struct Used<'t> {
    /// With the services that join them.
    networks: BTreeMap<&'t str, Vec<&'t String>>,
    volumes: BTreeSet<String>,
    secrets: Users,
    configs: Users,
}

/// Keys, each with the services that use it.
type Users = BTreeMap<String, Vec<String>>;

impl<'t> Used<'t> {
    fn by(tree: &'t Node) -> Self {
        let mut used = Self::default();
        for (name, service) in entries(tree.get("services")) {
            if service.get("network_mode").and_then(Node::as_text).is_some_and(super::network::is_bridge) {
                used.networks.entry("default").or_default().push(name);
            }
            for (key, _) in entries(service.get("networks")) {
                used.networks.entry(key).or_default().push(name);
            }
            used.volumes.extend(items(service.get("volumes")).filter_map(|mount| text(mount, "source")));
            for (section, users) in [("secrets", &mut used.secrets), ("configs", &mut used.configs)] {
                for key in items(service.get(section)).filter_map(|mount| text(mount, "source")) {
                    users.entry(key).or_default().push(name.clone());
                }
            }
        }
        used
    }
}

/// Reports what of a network cannot be had, or has no effect; `members` are not started without it.
fn check_network(key: &str, node: &Node, members: &[&String], cx: &mut Context) {
    if let Some(driver) = node.get("driver")
        && !flag(node, "external")
    {
        let reason = match driver.as_text().unwrap_or_default() {
            "bridge" | "default" | "" => None,
            "overlay" => {
                let message = format!(
                    "`driver: overlay` of network `{key}` has no effect: there is one machine, and a bridge serves it"
                );
                cx.warn(driver.at, "no-effect", message);
                None
            }
            "macvlan" | "ipvlan" => {
                Some("networks live in the project, not on the machine's interfaces; publish ports instead")
            }
            "host" => Some("give the services `network_mode: host` instead"),
            "none" => Some("give the services `network_mode: none` instead"),
            _ => Some("there are bridges only; leave the driver out"),
        };
        if let Some(reason) = reason {
            for member in members {
                (*member).clone_into(&mut cx.service);
                super::unsupported(cx, driver, "driver", reason);
            }
        }
    }
    for pool in items(node.at_path(&["ipam", "config"])) {
        if let Some(subnet) = pool.get("subnet")
            && subnet.as_text().is_some_and(|text| text.contains(':'))
        {
            let message = format!("this subnet of network `{key}` has no effect: networks carry IPv4");
            cx.warn(subnet.at, "no-effect", message);
        }
    }
}

/// The networks that services join; the default one may be needed without being in the file.
fn networks(tree: &Node, used: &Used<'_>, project: &str, cx: &mut Context) -> BTreeMap<String, Network> {
    let mut networks: BTreeMap<String, Network> = entries(tree.get("networks"))
        .filter_map(|(key, node)| {
            let members = used.networks.get(key.as_str())?;
            Some((key.clone(), network(key, node, members, cx)))
        })
        .collect();
    if used.networks.contains_key("default") && !networks.contains_key("default") {
        let mut node = Node::map(At::default());
        node.set("name", Node::text(format!("{project}_default"), At::default()));
        networks.insert("default".to_owned(), network("default", &node, &[], cx));
    }
    networks
}

fn network(key: &str, node: &Node, members: &[&String], cx: &mut Context) -> Network {
    check_network(key, node, members, cx);
    let pools = items(node.at_path(&["ipam", "config"])).filter_map(|pool| {
        Some(IpamPool {
            subnet: Subnet::parse(&text(pool, "subnet")?)?,
            gateway: text(pool, "gateway").and_then(|text| value::address(&text)),
            ip_range: text(pool, "ip_range").and_then(|text| Subnet::parse(&text)),
        })
    });
    Network {
        key: key.to_owned(),
        name: text(node, "name").unwrap_or_else(|| key.to_owned()),
        internal: flag(node, "internal"),
        external: flag(node, "external"),
        ipam: pools.collect(),
        driver: text(node, "driver")
            .filter(|driver| !driver.is_empty())
            .unwrap_or_else(|| "bridge".to_owned()),
        driver_opts: texts(node.get("driver_opts")),
        labels: texts(node.get("labels")),
    }
}

fn volume(key: &str, node: &Node) -> Volume {
    Volume {
        key: key.to_owned(),
        name: text(node, "name").unwrap_or_else(|| key.to_owned()),
        external: flag(node, "external"),
        driver: text(node, "driver").unwrap_or_else(|| "local".to_owned()),
        driver_opts: texts(node.get("driver_opts")),
        labels: texts(node.get("labels")),
    }
}

fn sources(
    tree: &Node,
    section: &str,
    used: &Users,
    frame: &Frame<'_>,
    cx: &mut Context,
) -> BTreeMap<String, FileSource> {
    let mut sources = BTreeMap::new();
    for (key, node) in entries(tree.get(section)) {
        let Some(users) = used.get(key.as_str()) else { continue };
        if let Some(source) = source((section, key), node, users, frame.environment, cx) {
            sources.insert(key.clone(), source);
        }
    }
    sources
}

/// The content that was made for a secret.
fn generated(
    (section, key): (&str, &str),
    node: &Node,
    users: &[String],
    cx: &mut Context,
) -> Option<FileSource> {
    let value = cx.generated.get(key).cloned();
    for user in value.is_none().then_some(users).into_iter().flatten() {
        let message =
            format!("`{section}.{key}` is generated, which only a file of the project itself can ask for");
        let hint = "write its `x-mesh.generate` into the file that has the `include`".to_owned();
        cx.refuse(user, node.at, "generated", message, Some(hint));
    }
    value.map(FileSource::Content)
}

/// Where the content of one secret or config comes from. Where it cannot be had, `users` are not started.
pub(super) fn source(
    (section, key): (&str, &str),
    node: &Node,
    users: &[String],
    environment: &BTreeMap<String, String>,
    cx: &mut Context,
) -> Option<FileSource> {
    if node.at_path(&["x-mesh", "generate"]).is_some() {
        return generated((section, key), node, users, cx);
    }
    if flag(node, "external") {
        return Some(FileSource::External(text(node, "name").unwrap_or_else(|| key.to_owned())));
    }
    if let Some(path) = text(node, "file") {
        return Some(FileSource::File(PathBuf::from(path)));
    }
    if let Some(content) = text(node, "content") {
        return Some(FileSource::Content(Secret::new(content)));
    }
    let variable = node.get("environment")?;
    let name = variable.scalar().unwrap_or_default();
    let value = environment.get(&name).cloned();
    for user in value.is_none().then_some(users).into_iter().flatten() {
        let message = format!("`{section}.{key}` takes its content from {name}, which is not set");
        let hint = format!("set {name} in the environment or in a `.env` file");
        cx.refuse(user, variable.at, "variable-missing", message, Some(hint));
    }
    Some(FileSource::Content(Secret::new(value.unwrap_or_default())))
}
