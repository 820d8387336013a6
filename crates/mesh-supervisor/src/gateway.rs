//! The embedded gateway and the engine: which containers there are, and which names it serves.
//!
//! Every gateway of the project is told of all its containers, each time that something about them changes; it says
//! which host names it routes, and other containers find it by these. Names once said stay until its process ends: a
//! service that is down for a while is unreachable, not unknown. What a gateway says is doubted: only host names count,
//! and so many. Absent on purpose: what labels mean, which the gateway knows.

mod list;

use self::list::Listed;
use crate::{
    container::View,
    owner::{Command, OwnerLink},
    words,
};
use mesh_authority::Scope;
use mesh_model::{container::ContainerId, network::Protocol, service::NetworkMode};
use mesh_redact::Secret;
use mesh_runtime::{SharedRuntime, error::RuntimeError, exchange::Told};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// The file that says which containers there are.
const CONTAINERS: &str = "containers.json";
/// The file that says by which ports of the machine the gateway's own are reached.
const PORTS: &str = "ports.json";
/// The file in which the gateway says its names: a list of strings.
const NAMES: &str = "names.json";
/// Largest file of names, in bytes.
const NAMES_BYTES_MAX: usize = 1 << 20;
/// Most names of one gateway.
const NAMES_MAX: usize = 4096;
/// Longest host name, in bytes (RFC 1035, section 2.3.4).
const NAME_BYTES_MAX: usize = 253;
/// Longest part of one, in bytes.
const LABEL_BYTES_MAX: usize = 63;
/// What engines name the machine by.
const OWN_DOMAINS: [&str; 2] = [".docker.internal", ".containers.internal"];
/// How often gateways are asked for their names.
const LISTEN_EVERY: Duration = Duration::from_millis(500);

/// The gateways of one project.
pub(crate) struct Gateways {
    runtime: SharedRuntime,
    owner: OwnerLink,
}

/// What was told and heard of one life of a container.
#[derive(Debug, Default)]
struct Known {
    told: Option<Arc<Vec<u8>>>,
    ports: Option<BTreeMap<u16, u16>>,
    names: Arc<BTreeSet<String>>,
    trouble: Option<String>,
}

type Key = (ContainerId, u64);

impl Gateways {
    pub(crate) fn new(runtime: SharedRuntime, owner: OwnerLink) -> Self {
        Self { runtime, owner }
    }

    /// Tells and listens until `stop`.
    pub(crate) async fn run(&self, stop: &CancellationToken) {
        let mut views = self.owner.view.clone();
        let mut all: BTreeMap<Key, Known> = BTreeMap::new();
        loop {
            let view = Arc::clone(&views.borrow_and_update());
            let gateways = gateways(&view);
            all.retain(|key, _| gateways.contains_key(key));
            if !gateways.is_empty() {
                let list = Arc::new(encode(&view));
                for (key, running) in &gateways {
                    let known = all.entry(key.clone()).or_default();
                    let ports = ports(&view, &key.0);
                    let trouble = self.attend(key, *running, &list, ports, known).await.err();
                    if let Some(trouble) =
                        trouble.as_ref().filter(|told| known.trouble.as_ref() != Some(*told))
                    {
                        tracing::warn!(container = key.0.short(), trouble, "a gateway is not heard");
                    }
                    known.trouble = trouble;
                }
            }
            let listens = gateways.values().any(|running| *running);
            tokio::select! { biased;
                () = stop.cancelled() => return,
                changed = views.changed() => if changed.is_err() { return },
                () = sleep(LISTEN_EVERY), if listens => {}
            }
        }
    }

    async fn attend(
        &self,
        (id, _): &Key,
        running: bool,
        list: &Arc<Vec<u8>>,
        ports: BTreeMap<u16, u16>,
        known: &mut Known,
    ) -> Result<(), String> {
        if known.ports.as_ref() != Some(&ports) {
            let content = Secret::new(serde_json::to_vec(&ports).unwrap_or_default());
            match self.runtime.tell(id, &Told { name: PORTS, content, secret: false }).await {
                Err(RuntimeError::Missing { .. }) => return Ok(()),
                told => told.map_err(|error| words::chain(&error))?,
            }
            known.ports = Some(ports);
        }
        if known.told.as_ref() != Some(list) {
            let file = Told { name: CONTAINERS, content: Secret::new(list.to_vec()), secret: false };
            match self.runtime.tell(id, &file).await {
                // It was removed just now.
                Err(RuntimeError::Missing { .. }) => return Ok(()),
                told => told.map_err(|error| words::chain(&error))?,
            }
            known.told = Some(Arc::clone(list));
        }
        if !running {
            return Ok(());
        }
        let heard = self.runtime.heard(id, NAMES, NAMES_BYTES_MAX).await;
        let Some(heard) = heard.map_err(|error| words::chain(&error))? else { return Ok(()) };
        let mut names = decode(&heard, &known.names)?;
        let taken = taken(&self.owner.now());
        names.retain(|name| !taken.contains(name));
        if names != *known.names {
            self.runtime.lend_names(id, lent(&names));
            known.names = Arc::new(names);
            self.owner.tell(Command::Names(id.clone(), Arc::clone(&known.names))).await;
        }
        Ok(())
    }
}

/// Every container of a gateway that was made, and whether it runs.
fn gateways(view: &View) -> BTreeMap<Key, bool> {
    let gateways = view.containers.values().filter(|found| found.spec.image.source.is_gateway());
    gateways.map(|found| ((found.spec.id.clone(), found.life), found.goes_on_running())).collect()
}

/// By which TCP ports of the machine those of a container are reached; of several the first.
fn ports(view: &View, id: &ContainerId) -> BTreeMap<u16, u16> {
    let bound = view.containers.get(id).map(|found| Arc::clone(&found.facts.ports)).unwrap_or_default();
    let mut ports = BTreeMap::new();
    for port in bound.iter().filter(|port| port.protocol == Protocol::Tcp) {
        ports.entry(port.target).or_insert(port.host.port());
    }
    ports
}

/// Names that are somebody's in the project, whether or not he runs: they are never a gateway's.
fn taken(view: &View) -> BTreeSet<String> {
    let project = view.project.iter();
    let services = project.clone().flat_map(|project| project.services.keys().chain(&project.inactive));
    let aliases = project.flat_map(|project| project.services.values()).flat_map(|service| {
        let joined = match &service.network.mode {
            NetworkMode::Networks(joined) => Some(joined.values()),
            _ => None,
        };
        joined.into_iter().flatten().flat_map(|attachment| &attachment.aliases)
    });
    let containers = view.containers.values().map(|found| &found.spec.name);
    services.chain(aliases).chain(containers).map(|name| name.to_ascii_lowercase()).collect()
}

fn encode(view: &View) -> Vec<u8> {
    let listed: Vec<Listed> = view
        .containers
        .values()
        .filter(|found| !found.spec.one_off)
        .map(|found| list::of(found, view))
        .collect();
    serde_json::to_vec(&listed).unwrap_or_else(|_| b"[]".to_vec())
}

/// The names that are one, with those that were before.
fn decode(heard: &[u8], before: &BTreeSet<String>) -> Result<BTreeSet<String>, String> {
    let said: Vec<String> =
        serde_json::from_slice(heard).map_err(|error| format!("{NAMES} is no list of names: {error}"))?;
    let named = said.into_iter().filter(|name| is_host_name(name));
    Ok(before.iter().cloned().chain(named).take(NAMES_MAX).collect())
}

/// Those by which containers find the gateway: beneath a domain of the world there are others, and a rule for some names
/// there takes none of these away.
fn lent(names: &BTreeSet<String>) -> BTreeSet<String> {
    let outside = Scope::outside(names);
    let mut lent = names.clone();
    lent.retain(|name| name.strip_prefix("*.").is_none_or(|domain| !outside.contains(domain)));
    lent
}

/// Whether a text is a host name in small letters that may be a gateway's, or a domain beneath which it has names
/// (`*.shop.test`): no address, nothing without a dot, which is a
/// service's, and nothing that engines give a meaning of their own.
fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let name = name.strip_prefix("*.").unwrap_or(name);
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= NAME_BYTES_MAX
        && name.contains('.')
        && name.split('.').all(is_label)
        && !last.bytes().all(|byte| byte.is_ascii_digit())
        && !OWN_DOMAINS.iter().any(|domain| name.ends_with(domain) || *name == domain[1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_host_names_are_taken_from_a_gateway() {
        for (name, is) in [
            ("iam.mesh.athyper.local", true),
            ("a.localhost", true),
            ("x_y.test", true),
            ("a", false),
            ("localhost", false),
            ("host.docker.internal", false),
            ("127.0.0.1", false),
            ("IAM.test", false),
            ("a..b", false),
            ("", false),
            ("*.test", false),
            ("*.shop.test", true),
            ("*.*.shop.test", false),
            ("a.*.test", false),
            ("*.docker.internal", false),
            ("-a.test", false),
            ("a b", false),
        ] {
            assert_eq!(is_host_name(name), is, "{name}");
        }
        assert!(!is_host_name(&vec!["a"; 128].join(".")), "too long");
        let before = BTreeSet::from(["old.test".to_owned()]);
        let names = decode(br#"["new.test", "1.2.3.4"]"#, &before).expect("names");
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["new.test", "old.test"]);
        assert!(decode(b"{}", &before).is_err());
        let names = ["*.shop.test", "*.shop.example", "a.example", "*.x.localhost"];
        let lent = lent(&names.map(str::to_owned).into());
        assert_eq!(lent.into_iter().collect::<Vec<_>>(), ["*.shop.test", "*.x.localhost", "a.example"]);
    }
}
