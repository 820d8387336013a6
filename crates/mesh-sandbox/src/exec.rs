//! `mesh shim exec`: a program in a container that runs.
//!
//! The caller may be outside of the container's user namespace (a person's own command) or inside
//! (the supervisor); it joins what it is not in.

use crate::{
    birth::{self, Announcement},
    channel::{self, Ending, Notice, Progress, Reporter},
    detach::Detach,
    execute::Program,
    failure::{Attempt as _, Failure},
    rootfs::Root,
    run::container,
    settings::{self, Innermost},
    signals::Signals,
    specification::{ExecSpecification, Report, UserNamespace},
    terminal::{self, End, Limits, Passage},
    user::Users,
};
use mesh_linux::{
    descriptor::place_standard,
    namespace,
    process::{SingleThreaded, exit_now, fork, open_pidfd, signal_pidfd, wait_child, wait_pidfd},
};
use nix::{
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sched::{CloneFlags, setns},
    sys::{
        signal::{Signal, killpg},
        stat::{Mode, SFlag, fstat, makedev, umask},
    },
    unistd::{ForkResult, Pid, chdir, gethostname, setsid},
};
use std::{
    fs::{File, OpenOptions},
    io::{self, IsTerminal as _},
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    time::{Duration, Instant},
};

/// Code of an exec whose process could not be set up.
pub(crate) const SETUP_FAILED: i32 = 126;
/// Number of the null device.
const NULL_DEVICE: libc::dev_t = makedev(1, 3);
/// Code of an exec whose caller went away.
const HUNG_UP: i32 = 129;
/// Code of an exec that took too long.
const TIMED_OUT: i32 = 124;

/// A running container's namespaces, open.
pub(crate) struct Namespaces {
    /// That owns the others, where this process is outside of it.
    owner: Option<OwnedFd>,
    /// That of its first process, where it is yet another one.
    innermost: Option<OwnedFd>,
    pid: OwnedFd,
    others: Vec<(OwnedFd, CloneFlags)>,
}

impl Namespaces {
    /// Opens those of the container whose first process is `pid`.
    pub(crate) fn open(pid: u32) -> Result<Self, Failure> {
        let open = |name: &str| {
            let path = format!("/proc/{pid}/ns/{name}");
            File::open(&path)
                .map(OwnedFd::from)
                .attempt(|| format!("open {path} (is the container running?)"))
        };
        let mount = open("mnt")?;
        let own = File::open("/proc/self/ns/user").attempt(|| "open the own user namespace")?;
        let first = open("user")?;
        let owner = namespace::owner(&mount).attempt(|| "find the container's user namespace")?;
        let differs = |one: &OwnedFd, other: &dyn std::os::fd::AsFd| {
            namespace::same(one, other.as_fd()).map(|same| !same).attempt(|| "compare user namespaces")
        };
        let innermost = if differs(&first, &owner)? { Some(first) } else { None };
        let owner = if differs(&owner, &own)? { Some(owner) } else { None };
        let mut others = Vec::new();
        for (name, flag) in [
            ("cgroup", CloneFlags::CLONE_NEWCGROUP),
            ("ipc", CloneFlags::CLONE_NEWIPC),
            ("uts", CloneFlags::CLONE_NEWUTS),
            ("net", CloneFlags::CLONE_NEWNET),
        ] {
            others.push((open(name)?, flag));
        }
        others.push((mount, CloneFlags::CLONE_NEWNS));
        Ok(Self { owner, innermost, pid: open("pid")?, others })
    }

    /// Joins the user namespace that owns the others, where this process is outside of it.
    pub(crate) fn join_owner(&mut self) -> Result<(), Failure> {
        match self.owner.take() {
            Some(owner) => {
                setns(owner, CloneFlags::CLONE_NEWUSER).attempt(|| "join the container's user namespace")
            }
            None => Ok(()),
        }
    }

    /// Joins the others, and last the one that children are born into: what is in that one can be looked at by the
    /// container. The machine's files are out of sight after it. Gives the innermost user namespace.
    pub(crate) fn join(mut self) -> Result<Option<OwnedFd>, Failure> {
        self.join_all_but_pid()?;
        setns(&self.pid, CloneFlags::CLONE_NEWPID).attempt(|| "join the container's pid namespace")?;
        Ok(self.innermost)
    }

    /// The same, and its children stay out of the container's sight.
    pub(crate) fn join_all_but_pid(&mut self) -> Result<(), Failure> {
        self.others.drain(..).try_for_each(|(descriptor, flag)| match setns(descriptor, flag) {
            // A container that shares the machine's has nothing to be joined, and an ordinary user may not.
            Err(nix::errno::Errno::EPERM) if flag != CloneFlags::CLONE_NEWNS => Ok(()),
            result => result.attempt(|| format!("join the container's namespaces ({flag:?})")),
        })
    }
}

pub(crate) fn main(arguments: &[&str]) -> i32 {
    let (reporter, notice, ending) = (Reporter::take(), Notice::take(), Ending::take());
    let detach = if notice.is_some() { Detach::among(arguments) } else { Detach::default() };
    let _ = nix::sys::prctl::set_dumpable(false);
    let specification = match channel::read_specification::<ExecSpecification>() {
        Ok(specification) => specification,
        Err(failure) => {
            reporter.send(&failure.report());
            return SETUP_FAILED;
        }
    };
    match start(&specification, reporter, notice, detach) {
        Ok(Done::Ended(code)) => {
            if let Some(ending) = ending {
                ending.send(code);
            }
            code
        }
        Ok(Done::Left(code)) => code,
        Err((failure, reporter)) => {
            reporter.send(&failure.report());
            SETUP_FAILED
        }
    }
}

/// What came of a program: how it ended, or the code where it did not begin or goes on without this process.
enum Done {
    Ended(i32),
    Left(i32),
}

fn start(
    specification: &ExecSpecification,
    reporter: Reporter,
    notice: Option<Notice>,
    detach: Detach,
) -> Result<Done, (Failure, Reporter)> {
    let deadline = specification.timeout_ms.map(|timeout| Instant::now() + Duration::from_millis(timeout));
    let (evidence, signals, passage, mut namespaces) = match prepare(specification) {
        Ok(prepared) => prepared,
        Err(failure) => return Err((failure, reporter)),
    };
    let forked = channel::progress().and_then(|pipe| {
        namespaces.join_owner()?;
        let register = birth::register().attempt(|| "make a pipe")?;
        fork(evidence).attempt(|| "fork the program").map(|forked| (pipe, register, forked))
    });
    let ((progress, progress_reader), (announcement, mut register), forked) = match forked {
        Ok(forked) => forked,
        Err(failure) => return Err((failure, reporter)),
    };
    let helper = match forked {
        ForkResult::Child => {
            drop((progress_reader, reporter, register));
            exit_now(become_program(evidence, specification, namespaces, passage, (progress, announcement)))
        }
        ForkResult::Parent { child } => child,
    };
    drop((progress, announcement, namespaces));
    let _ = wait_child(helper);
    let Some(number) = register.number() else {
        reporter.send(&progress_reader.wait(0));
        return Ok(Done::Left(SETUP_FAILED));
    };
    let child = Pid::from_raw(number);
    let pid = number.cast_unsigned();
    let pidfd = match open_pidfd(pid).attempt(|| "open a handle on the program") {
        Ok(pidfd) => pidfd,
        Err(failure) => return Err((failure, reporter)),
    };
    let report = progress_reader.wait(pid);
    let failed = match &report {
        Report::Started { .. } => None,
        Report::SetupFailed { .. } => Some(SETUP_FAILED),
        Report::ExecuteFailed { code, .. } => Some(*code),
    };
    reporter.send(&report);
    if let Some(code) = failed {
        let _ = wait_pidfd(&pidfd, true);
        return Ok(Done::Left(code));
    }
    if specification.detach {
        let _ = wait_pidfd(&pidfd, true);
        return Ok(Done::Left(0));
    }
    let end = match passage.and_then(Passage::receive) {
        Some(master) => match terminal::relay(&master, &pidfd, &signals, limits(deadline, detach)) {
            End::Detached => End::Code(stay(notice, &master, &pidfd, &signals)),
            end => end,
        },
        None => wait(&pidfd, &signals, deadline),
    };
    Ok(Done::Ended(match end {
        End::Code(code) => code,
        End::HungUp | End::Detached => HUNG_UP,
        End::Deadline => {
            kill_session(child);
            let _ = signal_pidfd(&pidfd, libc::SIGKILL);
            let _ = wait_pidfd(&pidfd, true);
            TIMED_OUT
        }
    }))
}

/// What ends the relay of a program's terminal.
fn limits(deadline: Option<Instant>, detach: Detach) -> Limits {
    let ends_on_hang_up = io::stdin().is_terminal();
    if ends_on_hang_up {
        // A caller that is killed leaves its terminal to a shell, which is not to share it with us.
        let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGHUP);
    }
    Limits { deadline, detach, ends_on_hang_up }
}

/// Lets the caller go and stays for the program, out of reach of the caller's terminal; its code.
fn stay(notice: Option<Notice>, master: &OwnedFd, pidfd: &OwnedFd, signals: &Signals) -> i32 {
    let _ = nix::sys::prctl::set_pdeathsig(None);
    let _ = setsid();
    let _ = channel::close_streams();
    if let Some(notice) = notice {
        notice.send();
    }
    terminal::outlive(master, pidfd, signals)
}

type Prepared = (SingleThreaded, Signals, Option<Passage>, Namespaces);

fn prepare(specification: &ExecSpecification) -> Result<Prepared, Failure> {
    let evidence = SingleThreaded::prove()
        .ok_or_else(|| Failure::refused("fork the program", "this process has threads"))?;
    let signals = Signals::block(false)?;
    let passage = if specification.terminal { Some(Passage::new()?) } else { None };
    Ok((evidence, signals, passage, Namespaces::open(specification.pid)?))
}

/// Waits for the program's end or the deadline, passing signals on.
fn wait(pidfd: &OwnedFd, signals: &Signals, deadline: Option<Instant>) -> End {
    loop {
        if let Ok(Some(code)) = wait_pidfd(pidfd, false) {
            return End::Code(code);
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return End::Deadline;
        }
        // Rounded up: a wait that is a moment too short would come round at once.
        let timeout = left.map_or(PollTimeout::NONE, |left| {
            PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
        });
        let mut descriptors =
            [PollFd::new(signals.as_fd(), PollFlags::POLLIN), PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut descriptors, timeout);
        while let Some(number) = signals.next() {
            let _ = signal_pidfd(pidfd, number);
        }
    }
}

/// Kills the program and those it started, as far as they stayed in its group.
fn kill_session(leader: Pid) {
    let _ = killpg(leader, Signal::SIGKILL);
}

fn become_program(
    evidence: SingleThreaded,
    specification: &ExecSpecification,
    namespaces: Namespaces,
    passage: Option<Passage>,
    (mut progress, announcement): (Progress, Announcement),
) -> i32 {
    match enter(evidence, specification, namespaces, passage, (&progress, announcement)) {
        Ok(Some(program)) => {
            progress.executing();
            progress.failed(&program.execute());
        }
        Ok(None) => return 0,
        Err(failure) => progress.failed(&failure),
    }
    SETUP_FAILED
}

/// The way to the program; `None` in a process that is not to become it.
fn enter(
    evidence: SingleThreaded,
    specification: &ExecSpecification,
    namespaces: Namespaces,
    passage: Option<Passage>,
    (progress, mut announcement): (&Progress, Announcement),
) -> Result<Option<Program>, Failure> {
    let has_terminal = passage.is_some();
    let namespace = specification.user_namespace;
    lead()?;
    join_own_groups(container::join_groups(evidence, &specification.cgroups), namespace)?;
    settings::adjust_oom_score(&specification.process, namespace)?;
    let innermost = namespaces.join()?;
    if specification.detach {
        let null = OpenOptions::new().read(true).write(true).open("/dev/null");
        let null = OwnedFd::from(null.attempt(|| "open /dev/null")?);
        for number in 0..=2 {
            place_standard(&null, number).attempt(|| "place the standard streams")?;
        }
    }
    let ready = birth::ready(specification, innermost, passage)?;
    if !birth::be_born(evidence, &mut announcement)? {
        return Ok(None);
    }
    if specification.detach {
        // An orphan goes to the first process of its parent's pid namespace: with a parent inside,
        // that is the container's, which ends only when all its orphans were reaped.
        if let ForkResult::Parent { .. } = fork(evidence).attempt(|| "fork the program")? {
            return Ok(None);
        }
    }
    let program = birth::settle(specification, ready, has_terminal)?;
    if specification.detach {
        mesh_linux::signal::reset();
        mesh_linux::descriptor::close_on_exec_from(3).attempt(|| "close descriptors")?;
    } else {
        container::finish(|| progress.listener_lives())?;
    }
    Ok(Some(program))
}

/// Leads a session of its own.
pub(crate) fn lead() -> Result<(), Failure> {
    setsid().attempt(|| "lead a session")?;
    umask(Mode::from_bits_truncate(0o022));
    Ok(())
}

/// What joining the container's control groups came to. An ordinary user is not always allowed to move a process;
/// limits are then not for it.
pub(crate) fn join_own_groups(joined: Result<(), Failure>, namespace: UserNamespace) -> Result<(), Failure> {
    if namespace == UserNamespace::None { joined } else { Ok(()) }
}

/// Replaces a standard stream that is the machine's null device by the container's own: whoever may change the mode or
/// owner of it through the stream would change the machine's.
pub(crate) fn own_null_device() -> Result<(), Failure> {
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    let streams = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
    for (number, stream) in (0..).zip(streams) {
        let is_null = fstat(stream).is_ok_and(|status| {
            let kind = SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT;
            kind == SFlag::S_IFCHR && status.st_rdev == NULL_DEVICE
        });
        if is_null {
            let step = || "open the container's /dev/null";
            let null = OpenOptions::new().read(true).write(true).open("/dev/null").attempt(step)?;
            place_standard(&null.into(), number).attempt(step)?;
        }
    }
    Ok(())
}

/// Takes the place of a program in the container that this process is in by now. After it, only execve is left.
pub(crate) fn settle(
    specification: &ExecSpecification,
    innermost: Option<OwnedFd>,
    has_terminal: bool,
) -> Result<Program, Failure> {
    let root = Root::open(Path::new("/"))?;
    let users = Users::read(&root);
    let process = &specification.process;
    let identity = users.identity(&process.user, &process.groups)?;
    let working_dir = if process.working_dir.is_empty() { "/" } else { process.working_dir.as_str() };
    chdir(Path::new(working_dir)).attempt(|| format!("enter {working_dir}"))?;
    let hostname = gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
    let program = Program::new(process, &identity, &hostname, has_terminal)?;
    let same_user = users.user_id(&specification.container_user).is_ok_and(|uid| uid == identity.uid);
    let joined = innermost.filter(|_| same_user);
    let innermost = Innermost::choose(specification.user_namespace, &identity, joined);
    settings::apply(process, &identity, specification.user_namespace, &innermost)?;
    Ok(program)
}
