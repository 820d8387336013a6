//! Starting a container. Whatever fails on the way, what was done before it is undone.

use crate::{
    announced,
    conversion::{self, OwnFile, PlannedMount, PlannedSource, Surroundings},
    fault,
    ground::{Ground, blocking},
    phase::{Claim, Claimed, Running, granted},
    port_holder,
    record::{self, Kept, RunRecord},
    settings::{journal_directory, system},
    shim,
    sources::Sources,
    trust, watch,
};
use mesh_linux::cgroup::Group;
use mesh_model::{
    container::{ContainerId, ContainerSpec},
    network::{Attachment, Network},
    service::NetworkMode,
};
use mesh_network::{AttachRequest, AttachmentRecord, NetworkError};
use mesh_runtime::{
    error::RuntimeError,
    exec::RunStreams,
    observed::{BoundPort, Started},
};
use mesh_sandbox::specification::{MountSpecification, Output};
use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr},
    os::fd::{AsRawFd as _, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::sync::OwnedSemaphorePermit;

/// Starts a container that was made. The start goes on to its end even if the caller goes away, so
/// that nothing is left half done.
pub(crate) async fn start(
    ground: &Arc<Ground>,
    id: &ContainerId,
    streams: Option<RunStreams>,
) -> Result<Started, RuntimeError> {
    let claimed = match ground.phases.claim(id) {
        Claim::Running(running) => return Ok(started(&running)),
        other => granted(other, "start container")?,
    };
    let task = ground.tasks.spawn(run(Arc::clone(ground), claimed, id.clone(), streams));
    task.await.unwrap_or_else(|error| {
        Err(RuntimeError::System {
            attempted: "could not start the container".to_owned(),
            source: error.into(),
        })
    })
}

/// What [`Started`] says of a container that runs.
pub(crate) fn started(running: &Running) -> Started {
    let record = &running.record;
    Started {
        pid: record.process.pid,
        at_unix_ms: record.started_at_unix_ms,
        addresses: record.attachment.as_ref().map(AttachmentRecord::addresses).unwrap_or_default(),
        ports: running.published().ports,
    }
}

async fn run(
    ground: Arc<Ground>,
    claimed: Claimed,
    id: ContainerId,
    streams: Option<RunStreams>,
) -> Result<Started, RuntimeError> {
    let prepared = {
        let (ground, id) = (Arc::clone(&ground), id.clone());
        blocking("prepare the container", move || prepare(&ground, &id)).await?
    };
    let groups = prepared.groups.clone();
    let result = join_and_spawn(&ground, prepared, streams).await;
    match result {
        Ok(running) => {
            let running = Arc::new(running);
            let started = started(&running);
            let pidfd = watch::open(&running.record.shim);
            claimed.run(Arc::clone(&running));
            watch::spawn(&ground, running, pidfd);
            Ok(started)
        }
        Err(error) => {
            undo(&ground, &id, groups).await;
            Err(error)
        }
    }
}

/// Takes back what a failed start did. A failure here is told and changes nothing about the first.
async fn undo(ground: &Arc<Ground>, id: &ContainerId, groups: Group) {
    if let Err(error) = ground.network.detach(id).await {
        tracing::debug!(container = id.short(), error = fault::chain(&error), "nothing to detach");
    }
    let ground = Arc::clone(ground);
    let removed = blocking("remove control groups", move || {
        ground.groups.remove(&groups);
        Ok(())
    });
    if let Err(error) = removed.await {
        tracing::warn!(container = id.short(), error = fault::chain(&error), "could not undo a start");
    }
}

/// What stands before the network is joined.
struct Prepared {
    spec: ContainerSpec,
    directory: PathBuf,
    mounts: Vec<MountSpecification>,
    /// What it trusts brought these variables.
    variables: BTreeMap<String, String>,
    /// A volume is empty and is filled by this start.
    populates: bool,
    groups: Group,
}

fn prepare(ground: &Ground, id: &ContainerId) -> Result<Prepared, RuntimeError> {
    let directory = ground.settings.container(id);
    let mut spec = match record::read_spec(&directory) {
        Kept::Whole(spec) => spec,
        Kept::Absent => return Err(RuntimeError::Missing { kind: "container", name: id.short().to_owned() }),
        Kept::Torn(reason) => {
            return Err(RuntimeError::Setup { step: "read the container's record".to_owned(), reason });
        }
    };
    let planned = conversion::plan_mounts(&spec)?;
    write_own_files(ground, &spec, &directory)?;
    let sources = Sources { directory: &directory, volumes: &ground.volumes };
    let mut mounts = planned.iter().map(|mount| sources.prepare(mount)).collect::<Result<Vec<_>, _>>()?;
    let populates = planned.iter().zip(&mounts).any(|(planned, mount)| fills(planned, mount));
    let trust = trust::prepare(&spec, &directory, &planned, &trust::trusted(ground))?;
    mounts.extend(trust.mounts);
    trust::apply(&mut spec, &trust.variables);
    record::forget_run(&directory)?;
    let groups = ground.groups.place(&spec)?;
    Ok(Prepared { spec, directory, mounts, variables: trust.variables, populates, groups })
}

/// Hostname and resolver, which are known before the addresses are; the hosts file is made empty, so
/// that it is there to be bound.
fn write_own_files(ground: &Ground, spec: &ContainerSpec, directory: &Path) -> Result<(), RuntimeError> {
    let hostname = conversion::hostname(spec, &ground.machine);
    let host = match spec.service.network.mode {
        NetworkMode::Host => fs::read_to_string("/etc/resolv.conf").unwrap_or_default(),
        _ => String::new(),
    };
    let resolver = conversion::names::resolver(&spec.service.network, &host);
    write_own(directory, OwnFile::Hostname, &format!("{hostname}\n"))?;
    write_own(directory, OwnFile::Resolver, &resolver)
}

fn write_own(directory: &Path, file: OwnFile, text: &str) -> Result<(), RuntimeError> {
    let path = directory.join(file.name());
    record::replace(&path, text.as_bytes(), 0o644).map_err(|error| system("write", &path, error))
}

/// Whether this mount fills a volume: it is asked to, and nothing is in it yet.
fn fills(planned: &PlannedMount, mount: &MountSpecification) -> bool {
    use mesh_sandbox::specification::MountKind;
    let MountKind::Bind { source, populate: true, .. } = &mount.kind else { return false };
    matches!(planned.source, PlannedSource::Volume { .. })
        && fs::read_dir(source).is_ok_and(|mut entries| entries.next().is_none())
}

/// How a container is connected.
struct Joined {
    namespace: Option<OwnedFd>,
    attachment: Option<AttachmentRecord>,
    ports: Vec<BoundPort>,
}

async fn join_and_spawn(
    ground: &Arc<Ground>,
    prepared: Prepared,
    streams: Option<RunStreams>,
) -> Result<Running, RuntimeError> {
    let joined = join(ground, &prepared.spec).await?;
    let permit = match prepared.populates {
        true => Arc::clone(&ground.populating).acquire_owned().await.ok(),
        false => None,
    };
    let ground = Arc::clone(ground);
    blocking("start the shim", move || spawn(&ground, prepared, joined, streams, permit)).await
}

/// Joins networks and publishes ports, or finds the namespace that is shared.
async fn join(ground: &Arc<Ground>, spec: &ContainerSpec) -> Result<Joined, RuntimeError> {
    let none = Joined { namespace: None, attachment: None, ports: Vec::new() };
    let attachments = match &spec.service.network.mode {
        NetworkMode::Host | NetworkMode::None => return Ok(none),
        NetworkMode::Service(service) => {
            return Ok(Joined { namespace: Some(namespace_of_service(ground, service)?), ..none });
        }
        NetworkMode::Networks(attachments) => attachments,
    };
    let mut networks = Vec::with_capacity(attachments.len());
    for (key, attachment) in attachments {
        let network = spec
            .resources
            .networks
            .get(key)
            .ok_or_else(|| RuntimeError::Missing { kind: "network", name: key.clone() })?;
        networks.push((network.clone(), attachment.clone()));
    }
    networks.sort_by_key(|(_, attachment): &(Network, Attachment)| std::cmp::Reverse(attachment.priority));
    let request = AttachRequest {
        id: spec.id.clone(),
        names: names(spec, &ground.machine),
        networks,
        upstream_dns: spec.service.network.dns.clone(),
        host_gateway: conversion::names::asks_for_host(&spec.service.network),
        any_source: conversion::sends_for_others(spec),
    };
    let projects = ground.settings.projects();
    let attached = ground
        .network
        .attach(request)
        .await
        .map_err(|error| fault::network("join the networks", error, &projects))?;
    announced::tell(ground, spec, &attached.record).await?;
    let ports = match spec.service.network.ports.as_slice() {
        [] => Vec::new(),
        ports => publish(ground, spec, ports).await?,
    };
    Ok(Joined { namespace: Some(attached.namespace), attachment: Some(attached.record), ports })
}

/// Publishes ports; a failure names who holds one.
pub(crate) async fn publish(
    ground: &Arc<Ground>,
    spec: &ContainerSpec,
    ports: &[mesh_model::network::PortMapping],
) -> Result<Vec<BoundPort>, RuntimeError> {
    let beginning = announced::beginning(ground, spec).await?;
    match ground.network.publish(&spec.id, ports, beginning).await {
        Ok(bound) => Ok(bound
            .into_iter()
            .map(|port| BoundPort { host: port.host, target: port.target, protocol: port.protocol })
            .collect()),
        Err(error) => {
            let (projects, id) = (ground.settings.projects(), spec.id.clone());
            // The processes of the machine are looked through: not on the reactor.
            blocking("find the holder of a port", move || {
                Err(match error {
                    NetworkError::PortTaken { address, protocol } => RuntimeError::PortTaken {
                        address,
                        protocol: protocol.to_string(),
                        holder: port_holder::find(address, protocol, &projects, Some(&id)),
                    },
                    other => fault::network("publish the ports", other, &projects),
                })
            })
            .await
        }
    }
}

/// Names a container is known by on its networks, each once.
fn names(spec: &ContainerSpec, machine: &str) -> Vec<String> {
    let mut names = Vec::new();
    let hostname = conversion::hostname(spec, machine);
    // A one-off answers to its own names only: a service's name means what `up` made of it.
    let service = (!spec.one_off).then(|| spec.service.name.clone());
    for name in service.into_iter().chain([spec.name.clone(), spec.id.short().to_owned(), hostname]) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn namespace_of_service(ground: &Ground, service: &str) -> Result<OwnedFd, RuntimeError> {
    let running = ground.phases.running_of_service(service).ok_or_else(|| RuntimeError::Setup {
        step: format!("join the network of service {service}"),
        reason: "it has no running container".to_owned(),
    })?;
    network_namespace(running.record.process.pid)
}

/// The network namespace of a process.
pub(crate) fn network_namespace(pid: u32) -> Result<OwnedFd, RuntimeError> {
    let path = PathBuf::from(format!("/proc/{pid}/ns/net"));
    Ok(fs::File::open(&path).map_err(|error| system("open", &path, error))?.into())
}

fn spawn(
    ground: &Ground,
    prepared: Prepared,
    joined: Joined,
    streams: Option<RunStreams>,
    permit: Option<OwnedSemaphorePermit>,
) -> Result<Running, RuntimeError> {
    let Prepared { spec, directory, mounts, variables, groups, .. } = prepared;
    write_hosts(ground, &spec, &directory, joined.attachment.as_ref())?;
    let namespace = joined.namespace.map(shim::inheritable).transpose()?;
    let around = Surroundings {
        directory: directory.clone(),
        mounts,
        cgroups: groups.paths(),
        network_namespace: namespace.as_ref().map(|fd| format!("/proc/self/fd/{}", fd.as_raw_fd()).into()),
        user_namespace: ground.entered.user_namespace,
        machine: ground.machine.clone(),
        output: output(ground, &spec, streams.as_ref()),
    };
    let specification = conversion::run(&spec, around)?;
    let stdio = streams.map(|streams| [streams.stdin, streams.stdout, streams.stderr]);
    let spawned = shim::run(&ground.settings.binary, &specification, namespace.into_iter().collect(), stdio)?;
    drop(permit);
    let record = RunRecord {
        shim: spawned.shim.clone(),
        process: spawned.process.clone(),
        started_at_unix_ms: now_unix_ms(),
        attachment: joined.attachment,
        ports: joined.ports,
        lost: Vec::new(),
        variables,
        paused: false,
    };
    if let Err(error) = record::write_run(&directory, &record) {
        // A container that the next supervisor could not find must not run.
        shim::kill(&record);
        return Err(error);
    }
    if let Err(error) = spawned.kept() {
        // It ended just now: the watching will say so.
        tracing::debug!(container = spec.id.short(), error = %error, "a shim does not listen");
    }
    Ok(Running::new(spec, record, groups))
}

fn write_hosts(
    ground: &Ground,
    spec: &ContainerSpec,
    directory: &Path,
    attachment: Option<&AttachmentRecord>,
) -> Result<(), RuntimeError> {
    let addresses: Vec<IpAddr> =
        attachment.into_iter().flat_map(|record| record.addresses().into_values()).collect();
    let gateway = match spec.service.network.mode {
        NetworkMode::Networks(_) | NetworkMode::Service(_) => ground.network.host_gateway(),
        NetworkMode::Host | NetworkMode::None => Ipv4Addr::LOCALHOST,
    };
    let hostname = conversion::hostname(spec, &ground.machine);
    let text = conversion::names::hosts(&spec.service.network, &hostname, &addresses, gateway.into());
    write_own(directory, OwnFile::Hosts, &text)
}

fn output(ground: &Ground, spec: &ContainerSpec, streams: Option<&RunStreams>) -> Output {
    let process = &spec.service.process;
    match (streams, process.tty) {
        (Some(streams), true) => Output::Terminal { detach_keys: streams.detach_keys.clone() },
        (Some(_), false) => Output::Inherit,
        (None, terminal) => Output::Journal {
            directory: journal_directory(&ground.settings.state, spec),
            segment_bytes_max: spec.service.logging.segment_bytes_max,
            segments_max: spec.service.logging.segments_max,
            disabled: spec.service.logging.disabled,
            terminal,
            stdin: process.stdin_open,
        },
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
