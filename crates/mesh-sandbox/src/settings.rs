//! What a process is allowed: limits, user, capabilities, system calls. The last steps before execve,
//! the same for `run` and `exec`.
//!
//! Order matters. Limits and ownership come first, while this is still root; the filter of system calls
//! is installed while installing needs no other promise; the user changes; capabilities go; and the
//! signal of the parent's death last, because a change of user clears it.

use crate::{
    failure::{Attempt as _, Failure},
    specification::{ProcessSpecification, UserNamespace},
    user::Identity,
};
use mesh_linux::{
    capability::{self, Capabilities},
    namespace::map_single_id,
    process, seccomp,
};
use nix::{
    errno::Errno,
    sched::{CloneFlags, setns, unshare},
    sys::{
        prctl,
        stat::{SFlag, fstat},
    },
    unistd::{Gid, Uid, fchown, setgroups, setresgid, setresuid},
};
use std::{
    fs, io,
    os::fd::{AsFd, OwnedFd},
    sync::OnceLock,
};

/// The user namespace that a process gets where there is one id only and it is not root.
#[derive(Debug)]
pub(crate) enum Innermost {
    /// The one it is in serves.
    Stay,
    /// A new one in which the one id is its own.
    New,
    /// That of the container's first process.
    Join(OwnedFd),
}

impl Innermost {
    /// What a process of that user needs, if `container` is the namespace it may join.
    pub(crate) fn choose(namespace: UserNamespace, identity: &Identity, container: Option<OwnedFd>) -> Self {
        match (namespace, identity.uid, container) {
            (UserNamespace::Sole, 1.., Some(container)) => Self::Join(container),
            (UserNamespace::Sole, 1.., None) => Self::New,
            _ => Self::Stay,
        }
    }
}

/// Makes this process what `process` and `identity` say. After it, only execve is left.
pub(crate) fn apply(
    process: &ProcessSpecification,
    identity: &Identity,
    namespace: UserNamespace,
    innermost: &Innermost,
) -> Result<(), Failure> {
    let rootless = namespace != UserNamespace::None;
    let keep = kept(process)?;
    limit(process, rootless)?;
    own_streams(identity)?;
    match innermost {
        Innermost::Stay => {}
        Innermost::New => {
            unshare(CloneFlags::CLONE_NEWUSER).attempt(|| "make a user namespace for the one id")?;
            map_single_id(0, identity.uid, 0, identity.gid)
                .attempt(|| format!("be {}:{} in it", identity.uid, identity.gid))?;
        }
        Innermost::Join(container) => {
            setns(container, CloneFlags::CLONE_NEWUSER).attempt(|| "join the container's user namespace")?
        }
    }
    capability::limit_bounding_set(keep).attempt(|| "limit capabilities")?;
    if process.seccomp {
        install_filter(keep)?;
    }
    if namespace != UserNamespace::Sole {
        become_user(identity)?;
    }
    // A change of user undoes it where the machine says so (`fs.suid_dumpable`); execve sets it anew.
    prctl::set_dumpable(false).attempt(|| "keep others from looking into the process")?;
    let left = if identity.uid == 0 { keep } else { Capabilities::NONE };
    capability::retain(left).attempt(|| "drop capabilities")?;
    if process.no_new_privileges {
        prctl::set_no_new_privs().attempt(|| "set no-new-privileges")?;
    }
    Ok(())
}

/// The filter that a shim compiled for whatever it forks from then on: most programs of a container keep the same
/// capabilities.
static AHEAD: OnceLock<(Capabilities, seccomp::Filter)> = OnceLock::new();

/// The capabilities that decide about the filter of a process; `None` where it gets no filter.
pub(crate) fn filtered(process: &ProcessSpecification) -> Option<Capabilities> {
    kept(process).ok().filter(|_| process.seccomp)
}

/// Compiles the filter of processes that keep these capabilities; once in a process. Where that fails, each of them
/// tries itself and says why.
pub(crate) fn compile_ahead(keep: Capabilities) {
    if let Ok(filter) = seccomp::Filter::default_for(keep) {
        let _ = AHEAD.set((keep, filter));
    }
}

fn install_filter(keep: Capabilities) -> Result<(), Failure> {
    let installed = match AHEAD.get() {
        Some((ahead, filter)) if *ahead == keep => filter.install(),
        _ => seccomp::Filter::default_for(keep)
            .map_err(io::Error::other)
            .attempt(|| "make the filter of system calls")?
            .install(),
    };
    installed.attempt(|| "install the filter of system calls")
}

/// What can be taken from a process before it is born into the container, where the rest has to follow in it.
pub(crate) fn limit_early(process: &ProcessSpecification) -> Result<(), Failure> {
    capability::limit_bounding_set(kept(process)?).attempt(|| "limit capabilities")?;
    if process.no_new_privileges {
        prctl::set_no_new_privs().attempt(|| "set no-new-privileges")?;
    }
    Ok(())
}

fn kept(process: &ProcessSpecification) -> Result<Capabilities, Failure> {
    Capabilities::parse(process.capabilities.iter().map(String::as_str))
        .map_err(|name| Failure::refused(format!("keep capability {name}"), "there is none of that name"))
}

fn become_user(identity: &Identity) -> Result<(), Failure> {
    let groups: Vec<Gid> = identity.groups.iter().copied().map(Gid::from_raw).collect();
    setgroups(&groups).attempt(|| "set supplementary groups")?;
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    became(setresgid(gid, gid, gid), || format!("become group {gid}"))?;
    became(setresuid(uid, uid, uid), || format!("become user {uid}"))
}

/// An id that the user namespace has not is refused as an invalid argument, which tells nobody anything.
fn became(result: nix::Result<()>, step: impl FnOnce() -> String) -> Result<(), Failure> {
    match result {
        Err(Errno::EINVAL) => Err(Failure::refused(
            step(),
            "the user namespace has no such id; a longer range in /etc/subuid and /etc/subgid gives it more",
        )),
        other => other.attempt(step),
    }
}

/// Sets resource limits. An ordinary user cannot go above what it has: then that is what it gets.
fn limit(process: &ProcessSpecification, rootless: bool) -> Result<(), Failure> {
    for (name, (soft, hard)) in &process.ulimits {
        let value = |number: i64| u64::try_from(number).ok();
        let result = process::set_limit(name, value(*soft), value(*hard));
        match (result, process::limit(name)) {
            (Err(error), Some((_, most))) if rootless && error.kind() == io::ErrorKind::PermissionDenied => {
                let soft = value(*soft).unwrap_or(most).min(most);
                process::set_limit(name, Some(soft), Some(most))
            }
            (result, _) => result,
        }
        .attempt(|| format!("set ulimit {name}"))?;
    }
    Ok(())
}

/// Apart from [`apply`]: this process must find itself in `/proc`. A lower score than it has is not for an ordinary
/// user to set; it keeps what it has then.
pub(crate) fn adjust_oom_score(
    process: &ProcessSpecification,
    namespace: UserNamespace,
) -> Result<(), Failure> {
    let Some(score) = process.oom_score_adj else { return Ok(()) };
    match fs::write("/proc/self/oom_score_adj", score.to_string()) {
        Err(error) if namespace == UserNamespace::None => {
            Err(error).attempt(|| format!("set oom_score_adj to {score}"))
        }
        _ => Ok(()),
    }
}

/// Gives the pipes of standard input and output to the user: opening `/dev/stdout` asks for it. A
/// directory among them is refused: it is of the machine, and a way from it up to all others.
fn own_streams(identity: &Identity) -> Result<(), Failure> {
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    let streams: [(&dyn AsFd, &str); 3] =
        [(&stdin, "standard input"), (&stdout, "standard output"), (&stderr, "standard error")];
    for (stream, name) in streams {
        let Ok(status) = fstat(stream.as_fd()) else { continue };
        let kind = SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT;
        if kind == SFlag::S_IFDIR {
            return Err(Failure::refused(format!("hand over {name}"), "it is a directory"));
        }
        if kind == SFlag::S_IFIFO {
            let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
            // Where it is not allowed, only opening by name suffers.
            let _ = fchown(stream.as_fd(), Some(uid), Some(gid));
        }
    }
    Ok(())
}
