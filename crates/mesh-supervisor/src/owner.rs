//! The one task that owns every container's phase.
//!
//! Commands, results of work and events of the ground come in through one bounded inbox; each changes
//! phases by [`mesh_lifecycle::phase::step`] and nothing else. Work that takes time is spawned and its
//! result comes back as an input. After each input the gates of held containers are judged, and the
//! view that everybody reads is published. Nothing slow is awaited here.

use crate::{
    bulletin::{Bulletin, Readers},
    container::{Container, Gates, StartError, View},
    events,
    gate::{Gate, gate},
    hooks::Row,
    programs::{self, Crier, Program, Step},
    said::{SAID_LINES_MAX, Speaker},
    transition::{Transition, is_news, lifecycle_exit, note_start, note_transition},
    work::{Outcome, Worker},
};
use mesh_lifecycle::{
    health::Verdict,
    phase::{Effect, Event, Exit, Phase, step},
};
use mesh_model::{
    container::{ContainerId, ContainerSpec},
    project::Project,
    service::RestartPolicy,
};
use mesh_runtime::{
    SharedRuntime,
    error::RuntimeError,
    events::RuntimeEvent,
    exec::{RunStreams, Verdict as ProbeVerdict},
    observed::{BoundPort, LostPort, Observed, ObservedState},
};
use mesh_store::record::ProjectRecord;
use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::OwnedFd,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{
    sync::{broadcast, mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior, interval_at, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// Most inputs that wait for the owner.
pub(crate) const INBOX_MAX: usize = 1024;
/// Time between two looks after processes whose end may have been missed.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// Containers that are removed and whose end is still known.
const DEPARTED_MAX: usize = 64;

/// What the owner is told.
pub(crate) enum Input {
    /// A command; answered once its effect can be read in the view.
    Command(Command, oneshot::Sender<()>),
    /// Work ended that belongs to the given life of a container.
    Outcome { id: ContainerId, life: u64, outcome: Outcome },
    /// A program runs in a container beside its own, or ended.
    Program { container: ContainerId, program: Arc<Program>, step: Step },
}

/// What a command asks of the owner.
pub(crate) enum Command {
    /// The project as it is now.
    Project(Option<Arc<Project>>),
    /// Containers that were made.
    Insert(Vec<Arc<ContainerSpec>>),
    /// Start these once their conditions hold.
    Hold(Vec<(ContainerId, Arc<Gates>)>),
    /// The next start of this one gets these descriptors.
    Streams(ContainerId, RunStreams),
    /// Start this one once more by its own interval, unless a command ended it meanwhile.
    Repeat(ContainerId, Arc<Gates>),
    /// Start these only once that one ended with 0.
    After(Vec<ContainerId>, ContainerId),
    /// Do not start these any more, if they still wait.
    Release(Vec<ContainerId>),
    /// End these, with a signal and grace period over their own.
    Stop { ids: Vec<ContainerId>, signal: Option<i32>, grace: Option<Duration> },
    /// This one was frozen or thawed.
    Frozen(ContainerId, bool),
    /// This one was removed.
    Forget(ContainerId),
    /// Tell those who listen to events.
    Announce(ContainerId, &'static str),
    /// Hear from there how a program of somebody else ended, and tell them.
    Follow(Crier, OwnedFd),
    /// This gateway serves these names.
    Names(ContainerId, Arc<BTreeSet<String>>),
    /// Tell them that a signal was sent, which changes nothing else.
    Signalled(ContainerId, i32),
}

/// What an earlier supervisor left word of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Past {
    /// Names of containers that a command had stopped.
    pub(crate) stopped: BTreeSet<String>,
    /// The machine was restarted since.
    pub(crate) rebooted: bool,
}

impl Past {
    /// What the record says, under the boot that is now.
    pub(crate) fn of(record: Option<&ProjectRecord>, boot: &str) -> Self {
        let Some(record) = record else { return Self::default() };
        Self { stopped: record.stopped.clone(), rebooted: !record.boot.is_empty() && record.boot != boot }
    }
}

/// The state of one project.
pub(crate) struct Owner {
    containers: BTreeMap<ContainerId, Container>,
    project: Option<Arc<Project>>,
    streams: BTreeMap<ContainerId, RunStreams>,
    departed: Arc<Vec<(ContainerId, Exit)>>,
    worker: Worker,
    inbox: mpsc::Receiver<Input>,
    ground: mpsc::Receiver<RuntimeEvent>,
    view: watch::Sender<Arc<View>>,
    bulletin: Bulletin,
    changed: bool,
}

/// What the owner's users hold.
#[derive(Clone)]
pub(crate) struct OwnerLink {
    pub(crate) inbox: mpsc::Sender<Input>,
    pub(crate) view: watch::Receiver<Arc<View>>,
    /// Where it is heard what happens.
    pub(crate) events: Readers,
    /// Where lines of hooks are heard.
    pub(crate) speaker: Speaker,
}

impl OwnerLink {
    /// Has a command carried out; afterwards the view shows it.
    pub(crate) async fn tell(&self, command: Command) {
        let (done, told) = oneshot::channel();
        if self.inbox.send(Input::Command(command, done)).await.is_ok() {
            // An error means that the supervisor ends; then there is nothing to wait for.
            let _ = told.await;
        }
    }

    /// Hands a command over, and does not wait until it is carried out: those that are handed over later come after it.
    pub(crate) async fn hand(&self, command: Command) {
        let (done, _nobody) = oneshot::channel();
        let _ = self.inbox.send(Input::Command(command, done)).await;
    }

    /// What is there now.
    pub(crate) fn now(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }

    /// Waits until `enough` of the view, or the supervisor ends.
    pub(crate) async fn until(&self, mut enough: impl FnMut(&View) -> bool) {
        let _ = self.view.clone().wait_for(|view| enough(view)).await;
    }
}

impl Owner {
    /// An owner of what was observed.
    pub(crate) fn adopt(
        runtime: SharedRuntime,
        project: Option<Arc<Project>>,
        observed: Vec<Observed>,
        past: &Past,
    ) -> (Self, OwnerLink) {
        let (inbox, receiver) = mpsc::channel(INBOX_MAX);
        let (view, view_receiver) = watch::channel(Arc::default());
        let (bulletin, events) = Bulletin::new();
        let (speaker, _) = broadcast::channel(SAID_LINES_MAX);
        let link = OwnerLink { inbox: inbox.clone(), speaker: speaker.clone(), view: view_receiver, events };
        let ground = runtime.events();
        let mut owner = Self {
            containers: BTreeMap::new(),
            project,
            streams: BTreeMap::new(),
            departed: Arc::default(),
            worker: Worker::new(runtime, inbox, speaker),
            inbox: receiver,
            ground,
            view,
            bulletin,
            changed: true,
        };
        for found in observed {
            owner.adopt_one(found, past);
        }
        owner.publish();
        (owner, link)
    }

    fn adopt_one(&mut self, found: Observed, past: &Past) {
        let id = found.spec.id.clone();
        let stopped = past.stopped.contains(&found.spec.name);
        let mut container = Container::new(Arc::new(found.spec), found.created_unix_ms);
        // `always` outlives a restart of the machine even where a command had stopped it; that is all
        // that sets it apart from `unless-stopped`.
        let was_stopped = stopped && !(past.rebooted && container.policy.restart == RestartPolicy::Always);
        let event = match found.state {
            ObservedState::Created => None,
            ObservedState::Running { pid, since_unix_ms, paused } => {
                container.facts.pid = Some(pid);
                container.facts.started_unix_ms = Some(since_unix_ms);
                container.facts.addresses = Arc::new(found.addresses);
                container.facts.ports = Arc::new(found.ports);
                container.facts.lost = Arc::new(found.lost);
                let age = Duration::from_millis(crate::container::unix_ms().saturating_sub(since_unix_ms));
                let now = Instant::now().into_std();
                Some(Event::Adopted { since: now.checked_sub(age).unwrap_or(now), paused })
            }
            ObservedState::Exited(exit) => {
                let exit = lifecycle_exit(exit);
                container.facts.exit = Some(exit);
                Some(Event::AdoptedExited { exit, stopped: was_stopped })
            }
        };
        self.containers.insert(id.clone(), container);
        if let Some(event) = event {
            self.apply(&id, event);
        }
    }

    /// Runs until `stop`; containers stay as they are.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut ground_open = true;
        let mut sweep = interval_at(Instant::now() + SWEEP_EVERY, SWEEP_EVERY);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let deadline = self.deadline();
            let mut told = None;
            tokio::select! { biased;
                () = stop.cancelled() => break,
                event = self.ground.recv(), if ground_open => match event {
                    Some(RuntimeEvent::Exited { id, exit }) => self.exited(&id, lifecycle_exit(exit)),
                    Some(RuntimeEvent::Ports { id, ports, lost }) => self.note_ports(&id, ports, lost),
                    None => ground_open = false,
                },
                Some(input) = self.inbox.recv() => match input {
                    Input::Command(command, done) => {
                        self.obey(command);
                        told = Some(done);
                    }
                    Input::Outcome { id, life, outcome } => self.absorb(&id, life, outcome),
                    Input::Program { container, program, step } => self.tell_of(&container, &program, step),
                },
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => self.tick(),
                _ = sweep.tick() => self.sweep(),
            }
            self.judge_gates();
            self.publish();
            if let Some(told) = told {
                let _ = told.send(());
            }
        }
        self.worker.end().await;
    }

    /// Asks the ground after every process that is thought to run, so that no end is missed for good.
    fn sweep(&self) {
        for container in self.containers.values().filter(|found| awaits_exit(&found.phase)) {
            self.worker.look(&container.spec.id, container.life);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.containers.values().filter_map(|found| found.phase.deadline()).min().map(Instant::from_std)
    }

    fn tick(&mut self) {
        let now = Instant::now().into_std();
        let is_due = |found: &&Container| found.phase.deadline().is_some_and(|deadline| deadline <= now);
        let due: Vec<ContainerId> =
            self.containers.values().filter(is_due).map(|found| found.spec.id.clone()).collect();
        for id in due {
            self.apply(&id, Event::Tick);
        }
    }

    fn obey(&mut self, command: Command) {
        self.changed = true;
        match command {
            Command::Project(project) => self.project = project,
            Command::Insert(specs) => {
                for spec in specs {
                    let container = Container::new(spec, crate::container::unix_ms());
                    self.announce(&container, "create");
                    self.containers.insert(container.spec.id.clone(), container);
                }
            }
            Command::Hold(held) => {
                for (id, gates) in held {
                    self.hold(&id, gates);
                }
            }
            Command::Repeat(id, gates) => {
                let due = |found: &Container| {
                    !found.is_dismissed() && !matches!(found.phase, Phase::Exited { commanded: true, .. })
                };
                if self.containers.get(&id).is_some_and(due) {
                    self.hold(&id, gates);
                }
            }
            Command::After(ids, before) => {
                for id in ids {
                    if let Some(container) = self.containers.get_mut(&id) {
                        container.after = Some(before.clone());
                    }
                }
            }
            Command::Streams(id, streams) => drop(self.streams.insert(id, streams)),
            Command::Release(ids) => ids.iter().for_each(|id| self.apply(id, Event::Release)),
            Command::Stop { ids, signal, grace } => {
                for id in ids {
                    let Some(container) = self.containers.get_mut(&id) else { continue };
                    container.dismissed = true;
                    let order = container.stop_order(signal, grace);
                    self.changed = true;
                    self.apply(&id, Event::Stop(order));
                }
            }
            Command::Frozen(id, frozen) => {
                self.apply(&id, if frozen { Event::Paused } else { Event::Unpaused });
                self.announce_id(&id, if frozen { "pause" } else { "unpause" });
            }
            Command::Forget(id) => {
                self.streams.remove(&id);
                if let Some(container) = self.containers.remove(&id) {
                    self.note_departed(&container);
                    self.announce(&container, "destroy");
                }
            }
            Command::Announce(id, action) => self.announce_id(&id, action),
            Command::Follow(crier, told) => self.worker.follow(crier, told),
            Command::Names(id, names) => {
                if let Some(container) = self.containers.get_mut(&id) {
                    container.facts.names = names;
                }
            }
            Command::Signalled(id, signal) => {
                if let Some(container) = self.containers.get(&id) {
                    self.bulletin.tell(events::killed(container, signal));
                }
            }
        }
    }

    /// Keeps in mind how a container ended that is removed: who waits for its end may not have looked yet.
    fn note_departed(&mut self, container: &Container) {
        let Some(exit) = container.facts.exit else { return };
        let mut departed = Vec::clone(&self.departed);
        let surplus = (departed.len() + 1).saturating_sub(DEPARTED_MAX);
        departed.drain(..surplus);
        departed.push((container.spec.id.clone(), exit));
        self.departed = Arc::new(departed);
    }

    fn absorb(&mut self, id: &ContainerId, life: u64, outcome: Outcome) {
        let Some(container) = self.containers.get_mut(id).filter(|found| found.life == life) else { return };
        match outcome {
            Outcome::Started(Ok(started)) => {
                note_start(&mut container.facts, started);
                self.changed = true;
                self.apply(id, Event::Started);
                self.announce_id(id, "start");
            }
            Outcome::Started(Err(error)) => {
                let reason = crate::words::chain(&error);
                let hint = crate::words::hint(&error);
                tracing::warn!(container = %container.spec.name, reason, "a container could not be started");
                container.facts.start_error = Some(StartError { reason: reason.clone(), hint });
                self.apply(id, Event::StartFailed(reason));
            }
            Outcome::Greeted(result) => {
                if let Err(reason) = &result {
                    tracing::warn!(container = %container.spec.name, reason, "a post_start hook failed");
                }
                self.changed = true;
                self.apply(id, Event::Greeted(result));
            }
            Outcome::TakenLeave(result) => {
                if let Err(reason) = &result {
                    tracing::warn!(container = %container.spec.name, reason, "a pre_stop hook failed");
                }
                container.facts.stop_error = result.clone().err();
                self.changed = true;
                self.apply(id, Event::TakenLeave(result));
            }
            Outcome::Probed(outcome) => {
                let passed = outcome.verdict == ProbeVerdict::Passed;
                let took = outcome.took;
                self.changed |= is_news(container.facts.probe.as_deref(), &outcome);
                container.facts.probe = Some(Arc::new(outcome));
                container.facts.probed_unix_ms.store(crate::container::unix_ms(), Ordering::Relaxed);
                self.apply(id, Event::Probed { passed, took });
            }
            Outcome::Signalled(Err(RuntimeError::NotRunning | RuntimeError::Missing { .. })) => {
                self.worker.expect_exit(id, life);
            }
            Outcome::Signalled(Err(error)) => {
                tracing::warn!(container = %container.spec.name, error = %error, "a signal was not delivered");
            }
            Outcome::Signalled(Ok(())) => {}
            Outcome::Found(exit) if awaits_exit(&container.phase) => self.exited(id, exit),
            Outcome::Found(_) => {}
            Outcome::Vanished if matches!(container.phase, Phase::Stopping { .. }) => {
                let at_unix_ms = crate::container::unix_ms();
                self.exited(id, Exit { code: 137, out_of_memory: false, at_unix_ms });
            }
            Outcome::Vanished => {}
        }
    }

    fn exited(&mut self, id: &ContainerId, exit: Exit) {
        let Some(container) = self.containers.get_mut(id) else { return };
        container.facts.exit = Some(exit);
        self.changed = true;
        self.apply(id, Event::Exited(exit));
        if exit.out_of_memory {
            self.announce_id(id, "oom");
        }
        self.announce_id(id, "die");
    }

    fn note_ports(&mut self, id: &ContainerId, ports: Vec<BoundPort>, lost: Vec<LostPort>) {
        if let Some(container) = self.containers.get_mut(id) {
            container.facts.ports = Arc::new(ports);
            container.facts.lost = Arc::new(lost);
            self.changed = true;
        }
    }

    /// Starts one once its conditions hold.
    fn hold(&mut self, id: &ContainerId, gates: Arc<Gates>) {
        if let Some(container) = self.containers.get_mut(id) {
            container.gates = gates;
            container.dismissed = false;
        }
        self.apply(id, Event::Hold);
    }

    /// Changes a phase, notes what that means, and starts the work it asks for.
    fn apply(&mut self, id: &ContainerId, event: Event) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let now = Instant::now().into_std();
        let before = container.phase.clone();
        let (after, effects) = step(before.clone(), event, now, &container.policy);
        container.phase = after;
        let transition = Transition::of(&before, &container.phase);
        self.changed |= transition != Transition::None;
        note_transition(container, &before, now);
        if effects.contains(&Effect::Start) {
            container.life += 1;
        }
        let snapshot = container.clone();
        match transition {
            Transition::Health(Verdict::Healthy) => self.announce(&snapshot, "health_status: healthy"),
            Transition::Health(Verdict::Unhealthy) => self.announce(&snapshot, "health_status: unhealthy"),
            _ => {}
        }
        self.perform(&snapshot, &effects);
    }

    fn perform(&mut self, container: &Container, effects: &[Effect]) {
        let id = &container.spec.id;
        match effects {
            [] => {}
            [Effect::Start] => {
                let streams = self.streams.remove(id);
                self.worker.start(id, container.life, streams);
            }
            [Effect::Probe] => {
                if let Some(probe) = &container.policy.probe {
                    self.worker.probe(id, container.life, probe.clone());
                }
            }
            [Effect::Greet] => {
                self.worker.greet(container.life, row(container, "post_start"));
            }
            [Effect::TakeLeave] | [Effect::Thaw, Effect::TakeLeave] => {
                self.worker.take_leave(container.life, row(container, "pre_stop"), effects.len() > 1);
            }
            signals => {
                for effect in signals {
                    match effect {
                        Effect::Signal(number) => self.bulletin.tell(events::killed(container, *number)),
                        Effect::Kill => self.bulletin.tell(events::killed(container, crate::words::SIGKILL)),
                        _ => {}
                    }
                }
                self.worker.signal(id, container.life, signals.to_vec());
            }
        }
    }

    /// Starts what waits and may, and blocks what never will, until nothing changes any more.
    fn judge_gates(&mut self) {
        loop {
            let held = self.containers.values().filter(|found| found.phase == Phase::Held);
            let judged: Vec<(ContainerId, Gate)> =
                held.map(|found| (found.spec.id.clone(), gate(found, &self.containers))).collect();
            let mut moved = false;
            for (id, gate) in judged {
                match gate {
                    Gate::Open => self.apply(&id, Event::Clear),
                    Gate::Shut(reason) => self.apply(&id, Event::Block(reason)),
                    Gate::Waits(words) => {
                        self.wait_words(&id, words);
                        continue;
                    }
                }
                moved = true;
            }
            if !moved {
                return;
            }
        }
    }

    fn wait_words(&mut self, id: &ContainerId, words: String) {
        if let Some(container) = self.containers.get_mut(id)
            && container.facts.detail.as_ref() != Some(&words)
        {
            container.facts.detail = Some(words);
            self.changed = true;
        }
    }

    fn publish(&mut self) {
        if std::mem::take(&mut self.changed) {
            let view = View {
                project: self.project.clone(),
                containers: self.containers.clone(),
                departed: Arc::clone(&self.departed),
            };
            self.view.send_replace(Arc::new(view));
        }
    }

    fn announce_id(&mut self, id: &ContainerId, action: &str) {
        if let Some(container) = self.containers.get(id) {
            self.bulletin.tell(events::of(container, action));
        }
    }

    fn announce(&mut self, container: &Container, action: &str) {
        self.bulletin.tell(events::of(container, action));
    }

    fn tell_of(&mut self, id: &ContainerId, program: &Program, step: Step) {
        let Some(container) = self.containers.get(id) else { return };
        for event in programs::told(container, program, step) {
            self.bulletin.tell_of_program(event);
        }
    }
}

/// The hooks of a container at one turn of its life.
fn row(container: &Container, turn: &'static str) -> Row {
    let hooks = &container.spec.service.hooks;
    let hooks = if turn == "pre_stop" { hooks.pre_stop.clone() } else { hooks.post_start.clone() };
    Row { id: container.spec.id.clone(), service: container.service().to_owned(), turn, hooks }
}

/// Whether the ground will report the end of a process.
fn awaits_exit(phase: &Phase) -> bool {
    matches!(phase, Phase::Up { .. } | Phase::Stopping { unborn: None, .. })
}
