//! The process that becomes the container.

use super::ContainerStreams;
use crate::{
    channel::Progress,
    execute::Program,
    failure::{Attempt as _, Failure},
    init, rootfs,
    settings::{self, Innermost},
    specification::RunSpecification,
    terminal::Passage,
};
use mesh_linux::{
    cgroup,
    descriptor::{close_on_exec_from, place_standard},
    netns,
    process::{SingleThreaded, die_with_parent},
    signal,
};
use nix::{
    sched::{CloneFlags, setns, unshare},
    sys::stat::{Mode, umask},
    unistd::{chdir, sethostname, setsid},
};
use std::{
    fs::File,
    path::{Path, PathBuf},
};

/// Becomes the container's program; comes back with a code where it could not, having said why.
pub(super) fn main(
    evidence: SingleThreaded,
    specification: &RunSpecification,
    streams: ContainerStreams,
    terminal: Option<Passage>,
    mut progress: Progress,
) -> i32 {
    match prepare(evidence, specification, streams, terminal, &progress) {
        Ok(program) => {
            progress.executing();
            progress.failed(&program.execute());
        }
        Err(failure) => progress.failed(&failure),
    }
    super::SETUP_FAILED
}

fn prepare(
    evidence: SingleThreaded,
    specification: &RunSpecification,
    streams: ContainerStreams,
    terminal: Option<Passage>,
    progress: &Progress,
) -> Result<Program, Failure> {
    let has_terminal = terminal.is_some();
    // Until the user changes, and again after.
    die_with_parent().attempt(|| "tie the container to its shim")?;
    setsid().attempt(|| "lead a session")?;
    umask(Mode::from_bits_truncate(0o022));
    join_groups(evidence, &specification.cgroups)?;
    join_namespaces(specification)?;
    let identity = rootfs::enter(specification)?;
    if let Some(passage) = terminal {
        passage.open()?;
    }
    for (stream, number) in [(streams.stdin, 0), (streams.stdout, 1), (streams.stderr, 2)] {
        if let Some(stream) = stream {
            place_standard(&stream, number).attempt(|| "place the standard streams")?;
        }
    }
    let process = &specification.process;
    let program = Program::new(process, &identity, &specification.hostname, has_terminal)?;
    if !process.working_dir.is_empty() {
        chdir(Path::new(&process.working_dir)).attempt(|| format!("enter {}", process.working_dir))?;
    }
    let innermost = Innermost::choose(specification.user_namespace, &identity, None);
    settings::adjust_oom_score(process, specification.user_namespace)?;
    settings::apply(process, &identity, specification.user_namespace, &innermost)?;
    if specification.init {
        die_with_parent().attempt(|| "tie the container to its shim")?;
        init::split(evidence)?;
    }
    finish(|| progress.listener_lives())?;
    Ok(program)
}

/// What is left between a process's settings and its program.
pub(crate) fn finish(parent_lives: impl FnOnce() -> bool) -> Result<(), Failure> {
    die_with_parent().attempt(|| "tie the program to its parent")?;
    if !parent_lives() {
        return Err(Failure::refused("start the program", "its shim is gone"));
    }
    signal::reset();
    close_on_exec_from(3).attempt(|| "close descriptors")
}

/// Joins control groups, this process alone.
pub(crate) fn join_groups(evidence: SingleThreaded, directories: &[PathBuf]) -> Result<(), Failure> {
    directories.iter().try_for_each(|directory| {
        cgroup::join(evidence, directory).attempt(|| format!("join control group {}", directory.display()))
    })
}

fn join_namespaces(specification: &RunSpecification) -> Result<(), Failure> {
    let mut flags = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS;
    flags.set(CloneFlags::CLONE_NEWIPC, !specification.host_ipc);
    let own_network = !specification.host_network && specification.network_namespace.is_none();
    flags.set(CloneFlags::CLONE_NEWNET, own_network);
    if let Some(path) = specification.network_namespace.as_ref().filter(|_| !specification.host_network) {
        let step = || format!("join network namespace {}", path.display());
        let namespace = File::open(path).attempt(step)?;
        setns(namespace, CloneFlags::CLONE_NEWNET).attempt(step)?;
    }
    unshare(flags).attempt(|| "make namespaces")?;
    // Its own view of control groups is a courtesy: the group itself limits it without.
    let _ = unshare(CloneFlags::CLONE_NEWCGROUP);
    if own_network {
        netns::loopback_up().attempt(|| "bring up the loopback interface")?;
    }
    sethostname(&specification.hostname)
        .attempt(|| format!("set the host name to {}", specification.hostname))?;
    if let Some(domain) = &specification.domainname {
        rustix::system::setdomainname(domain.as_bytes())
            .attempt(|| format!("set the domain name to {domain}"))?;
    }
    Ok(())
}
