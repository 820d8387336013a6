//! Certificates of running services: watched, renewed before they expire, and told to their services.
//!
//! What is declared is read from the project as it is now, so that a change of it needs no new container. Each is
//! looked at when its container is up, when its turn comes, and once an hour. One is renewed at a time: of the nodes
//! of a cluster never two at once.
//!
//! Invariants: a renewal under way is brought to its end before the supervisor ends, as far as that goes within
//! [`END_MAX`]; one that was written and of which the service could not be told is only told again, as long as this
//! supervisor and this life of the container last, unless a command forces a new one. Absent on purpose: who issues
//! certificates, which the renewing command knows.

mod renewal;
mod requests;
mod schedule;

use self::{
    renewal::RenewalError,
    schedule::{Standing, Window, pause},
};
use crate::{
    container::Container,
    owner::{Command, OwnerLink},
    words,
};
use mesh_lifecycle::{health::Verdict, phase::Phase};
use mesh_model::{certificate::Certificate, container::ContainerId};
use mesh_runtime::SharedRuntime;
use mesh_tls::Facts;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Longest time between two looks at the clock: it may be set meanwhile.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Time after which a file is read again although nothing is due: somebody else may have changed it.
const READ_EVERY: Duration = Duration::from_secs(3600);
/// Shortest time between two renewals of one certificate, and two looks for one that is not there yet.
const REST: Duration = Duration::from_secs(5);
/// Time after a container's start in which a certificate that cannot be read is no trouble.
const ARRIVAL_MAX: Duration = Duration::from_secs(60);
/// Longest time that a renewal under way holds up the end of the supervisor.
const END_MAX: Duration = Duration::from_secs(15);

/// The wall's clock, in milliseconds since 1970; tests have one that they move.
pub(crate) type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The certificates of one project.
pub(crate) struct Certificates {
    name: String,
    runtime: SharedRuntime,
    owner: OwnerLink,
    clock: Clock,
    known: Mutex<BTreeMap<Key, Known>>,
    /// Held while one is renewed.
    turn: tokio::sync::Mutex<()>,
}

/// A certificate: whose, which life of that container's, and its file.
type Key = (ContainerId, u64, String);

/// What is known of a certificate.
#[derive(Debug, Default)]
struct Known {
    found: Option<Facts>,
    /// When it is looked at next, in milliseconds since 1970.
    next_ms: u64,
    failures: u32,
    trouble: Option<String>,
    /// It was written, and the service could not be told yet.
    untold: bool,
}

/// A certificate with what is needed to renew it.
#[derive(Debug, Clone)]
struct Subject {
    id: ContainerId,
    life: u64,
    container: String,
    service: String,
    started_ms: u64,
    certificate: Certificate,
}

/// What became of looking after one.
#[derive(Debug)]
enum Attended {
    /// Nothing had to be done.
    Good(Facts),
    /// It is another one, and the service knows.
    Renewed(Facts),
}

impl Subject {
    fn key(&self) -> Key {
        (self.id.clone(), self.life, self.certificate.file.clone())
    }

    /// What spreads its turn.
    fn whose(&self) -> String {
        format!("{} {}", self.id.0, self.certificate.file)
    }
}

impl Certificates {
    pub(crate) fn new(name: String, runtime: SharedRuntime, owner: OwnerLink, clock: Clock) -> Self {
        Self { name, runtime, owner, clock, known: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// Looks after all of them until `stop`.
    pub(crate) async fn run(&self, stop: &CancellationToken) {
        let mut views = self.owner.view.clone();
        loop {
            views.borrow_and_update();
            let wait = {
                let round = self.round(stop);
                tokio::pin!(round);
                tokio::select! { biased;
                    wait = &mut round => wait,
                    () = stop.cancelled() => {
                        if timeout(END_MAX, round).await.is_err() {
                            tracing::warn!("a certificate was being renewed when the supervisor ended");
                        }
                        return;
                    }
                }
            };
            tokio::select! { biased;
                () = stop.cancelled() => return,
                changed = views.changed() => if changed.is_err() { return },
                () = sleep(wait.unwrap_or_default()), if wait.is_some() => {}
            }
        }
    }

    /// Looks after those whose time has come. Gives the time until the next look; none where nothing is declared.
    async fn round(&self, stop: &CancellationToken) -> Option<Duration> {
        // Of one that is frozen or ends nothing is forgotten: its service may still have to be told.
        let keys: Vec<Key> = self.subjects_where(&is_up).iter().map(Subject::key).collect();
        self.known().retain(|key, _| keys.contains(key));
        let subjects = self.subjects(true);
        for subject in &subjects {
            let next = self.known().get(&subject.key()).map_or(0, |known| known.next_ms);
            if next <= self.now_ms() && !stop.is_cancelled() {
                // What went wrong is kept, told by `ps`, and tried again.
                let _ = self.attend(subject, Asked::ByTime).await;
            }
        }
        let now = self.now_ms();
        let known = self.known();
        let turns = subjects.iter().filter_map(|subject| known.get(&subject.key()));
        let first = turns.map(|known| known.next_ms.saturating_sub(now)).min();
        first.map(|milliseconds| Duration::from_millis(milliseconds.max(100)).min(LOOK_EVERY))
    }

    /// What is declared and runs; with `settled` without those whose health is not known yet.
    fn subjects(&self, settled: bool) -> Vec<Subject> {
        self.subjects_where(&|found| {
            let runs = matches!(found.phase, Phase::Up { paused: false, leaving: None, .. });
            runs && !(settled && found.phase.verdict() == Some(Verdict::Starting))
        })
    }

    /// What containers of services declare that are as asked for.
    fn subjects_where(&self, admits: &dyn Fn(&Container) -> bool) -> Vec<Subject> {
        let view = self.owner.now();
        let project = view.project(&self.name);
        let mut subjects = Vec::new();
        for container in view.containers.values().filter(|found| !found.spec.one_off && admits(found)) {
            let service = project.services.get(container.service()).unwrap_or(&container.spec.service);
            subjects.extend(service.certificates.iter().map(|certificate| Subject {
                id: container.spec.id.clone(),
                life: container.life,
                container: container.spec.name.clone(),
                service: service.name.clone(),
                started_ms: container.facts.started_unix_ms.unwrap_or_default(),
                certificate: certificate.clone(),
            }));
        }
        subjects.sort_by(|one, other| one.container.cmp(&other.container));
        subjects
    }

    /// Looks after one, and keeps what came of it.
    async fn attend(&self, subject: &Subject, asked: Asked) -> Result<Attended, RenewalError> {
        let _turn = self.turn.lock().await;
        let attended = self.look(subject, asked).await;
        match &attended {
            Ok(Attended::Good(facts)) => self.note_good(subject, facts),
            Ok(Attended::Renewed(facts)) => {
                let (container, file) = (&subject.container, &subject.certificate.file);
                tracing::info!(container, file, serial = facts.serial, "a certificate was renewed");
                self.note_good(subject, facts);
                self.owner.tell(Command::Announce(subject.id.clone(), "certificate: renewed")).await;
            }
            Err(error) if error.is_over() => {}
            Err(error) => self.note_failure(subject, error).await,
        }
        attended
    }

    async fn look(&self, subject: &Subject, asked: Asked) -> Result<Attended, RenewalError> {
        let certificate = &subject.certificate;
        let read = renewal::read(&self.runtime, &subject.id, &certificate.file).await;
        let untold = self.known().get(&subject.key()).is_some_and(|known| known.untold);
        // Whoever forces a new one gets it although the service does not take the last one.
        if let (true, Ok(facts)) = (untold && asked != Asked::Forced, &read) {
            self.tell_service(subject).await?;
            return Ok(Attended::Renewed(facts.clone()));
        }
        let before = match read {
            Ok(facts) => Some(facts),
            // Whoever asks for a certificate gets one where there is none.
            Err(error) if asked != Asked::ByTime && !error.is_over() => None,
            Err(error) => return Err(error),
        };
        self.known().entry(subject.key()).or_default().found.clone_from(&before);
        let wanted = before.as_ref().is_none_or(|facts| {
            let window = Window::of(facts, certificate.before);
            asked.wants(window.turn(&subject.whose()), window, self.now())
        });
        let words = match (&certificate.renew, before.clone()) {
            (Some(words), _) if wanted => words,
            (_, Some(facts)) => return Ok(Attended::Good(facts)),
            (_, None) => return Err(RenewalError::NoWay { file: certificate.file.clone() }),
        };
        let (runtime, id) = (&self.runtime, &subject.id);
        let after = renewal::write(runtime, id, certificate, words, before.as_ref()).await?;
        self.known().entry(subject.key()).or_default().untold = true;
        self.tell_service(subject).await?;
        Ok(Attended::Renewed(after))
    }

    async fn tell_service(&self, subject: &Subject) -> Result<(), RenewalError> {
        renewal::reload(&self.runtime, &subject.id, &subject.certificate).await?;
        self.known().entry(subject.key()).or_default().untold = false;
        Ok(())
    }

    fn note_good(&self, subject: &Subject, facts: &Facts) {
        let (now, certificate) = (self.now_ms(), &subject.certificate);
        let window = Window::of(facts, certificate.before);
        // Of one that nobody renews it is told that its time has come.
        let (turn, trouble) = match (&certificate.renew, window.at(self.now())) {
            (Some(_), _) => (window.turn(&subject.whose()), None),
            (None, Standing::Good) => (window.opens, None),
            (None, Standing::Due) => (window.closes, Some(format!("{} expires soon", certificate.file))),
            (None, Standing::Expired) => (i64::MAX, Some(format!("{} has expired", certificate.file))),
        };
        let turn = u64::try_from(turn).unwrap_or_default().saturating_mul(1000);
        let next_ms = turn.clamp(now + milliseconds(REST), now + milliseconds(READ_EVERY));
        let known = Known { found: Some(facts.clone()), next_ms, trouble, ..Known::default() };
        self.known().insert(subject.key(), known);
    }

    async fn note_failure(&self, subject: &Subject, error: &RenewalError) {
        let now = self.now_ms();
        let unread = matches!(error, RenewalError::Read { .. } | RenewalError::Facts { .. });
        let arrives = unread && now.saturating_sub(subject.started_ms) < milliseconds(ARRIVAL_MAX);
        let trouble = words::chain(error);
        {
            let mut all = self.known();
            let known = all.entry(subject.key()).or_default();
            if arrives {
                known.next_ms = now + milliseconds(REST);
                return;
            }
            known.failures = known.failures.saturating_add(1);
            let until = known.found.as_ref().map_or(i64::MAX, |found| found.until_unix_seconds);
            let left = until.saturating_sub(self.now());
            known.next_ms = now + milliseconds(pause(known.failures, left));
            known.trouble = Some(trouble.clone());
        }
        let container = &subject.container;
        tracing::warn!(container, trouble, "a certificate could not be renewed");
        self.owner.tell(Command::Announce(subject.id.clone(), "certificate: not renewed")).await;
    }

    /// What is wrong with the certificates of a container, a sentence each.
    pub(crate) fn troubles(&self, id: &ContainerId) -> Vec<String> {
        let known = self.known();
        let of = known.iter().filter(|((owner, ..), _)| owner == id);
        of.filter_map(|(_, known)| known.trouble.clone()).collect()
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<Key, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        (self.clock)()
    }

    /// Seconds since 1970.
    fn now(&self) -> i64 {
        i64::try_from(self.now_ms() / 1000).unwrap_or(i64::MAX)
    }
}

/// Why a certificate is looked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// It is renewed when its turn comes.
    ByTime,
    /// A command renews it where its window is open.
    ByUser,
    /// A command renews it whatever its age.
    Forced,
}

impl Asked {
    fn wants(self, turn: i64, window: Window, now: i64) -> bool {
        match self {
            Self::ByTime => now >= turn,
            Self::ByUser => window.at(now) != Standing::Good,
            Self::Forced => true,
        }
    }
}

/// Whether it has a process that may be told of something, now or once it is thawed.
fn is_up(container: &Container) -> bool {
    matches!(container.phase, Phase::Up { .. })
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
