//! The project's authority: what its gateways sign with, and whom its containers trust.
//!
//! Each gateway gets an authority of its own, for the names that it serves and no others, and a new one when these
//! change, when half of its life is over, and when it starts. Containers trust the root above it, from the moment that
//! a gateway is made. What goes wrong is tried again; a gateway without an authority shows certificates that nobody
//! vouches for, which is told. Absent on purpose: what is signed with it, and the stores of machines and browsers.

use crate::{certificates::Clock, container::View, owner::OwnerLink, words};
use mesh_authority::{Authorities, AuthorityError, Intermediate, Root, subject_hash};
use mesh_model::container::ContainerId;
use mesh_redact::Secret;
use mesh_runtime::{SharedRuntime, error::RuntimeError, exchange::Told, trust::Trusted};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::{task::spawn_blocking, time::sleep};
use tokio_util::sync::CancellationToken;

/// The file that a gateway is told its authority in.
const FILE: &str = "authority.pem";
/// Longest time between two looks at the clock: it may be set meanwhile.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Time after a failure until the next attempt.
const PAUSE: Duration = Duration::from_secs(10);

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthorityTrouble {
    /// It could not be made.
    #[error("the project's authority could not be made")]
    Make(#[from] AuthorityError),
    /// It could not be handed over.
    #[error("the project's authority could not be handed over")]
    Hand(#[from] RuntimeError),
    /// The work was given up.
    #[error("the project's authority was not looked after")]
    Lost(#[from] tokio::task::JoinError),
}

/// The authority of one project.
pub(crate) struct Authority {
    project: String,
    authorities: Authorities,
    runtime: SharedRuntime,
    owner: OwnerLink,
    clock: Clock,
}

/// What one life of a gateway's container was given.
#[derive(Debug, Default)]
struct Given {
    names: Arc<BTreeSet<String>>,
    /// When it is given another one, in seconds since 1970; 0: it has none.
    renew_from: i64,
    trouble: Option<String>,
    /// No attempt before, in seconds since 1970.
    rests_until: i64,
}

/// Which container, and which life of it.
type Key = (ContainerId, u64);

impl Authority {
    /// That of a project, with the authorities in the data of the user.
    pub(crate) fn new(
        project: String,
        data: &Path,
        runtime: SharedRuntime,
        owner: OwnerLink,
        clock: Clock,
    ) -> Self {
        Self { project, authorities: Authorities::of(data), runtime, owner, clock }
    }

    /// Has containers that start from now on trust the authority; for a project that has a gateway.
    ///
    /// # Errors
    /// When it cannot be made, or not handed over.
    pub(crate) async fn prepare(&self) -> Result<(), AuthorityTrouble> {
        let (authorities, project) = (self.authorities.clone(), self.project.clone());
        let roots = spawn_blocking(move || roots(&authorities, &project)).await??;
        Ok(self.runtime.trust(roots).await?)
    }

    /// Looks after the authorities of gateways until `stop`.
    pub(crate) async fn run(&self, stop: &CancellationToken) {
        let mut views = self.owner.view.clone();
        let mut all: BTreeMap<Key, Given> = BTreeMap::new();
        if !gateways(&views.borrow()).is_empty() {
            self.tell_of(self.prepare().await);
        }
        loop {
            let view = Arc::clone(&views.borrow_and_update());
            let gateways = gateways(&view);
            all.retain(|key, _| gateways.contains_key(key));
            let names: BTreeSet<String> = gateways.values().flat_map(|names| names.iter().cloned()).collect();
            for (key, own) in &gateways {
                let given = all.entry(key.clone()).or_default();
                self.attend(key, own, &names, given).await;
            }
            let wait = gateways.iter().filter_map(|(key, own)| Some(self.until(own, all.get(key)?))).min();
            tokio::select! { biased;
                () = stop.cancelled() => return,
                changed = views.changed() => if changed.is_err() { return },
                () = sleep(wait.unwrap_or_default()), if wait.is_some() => {}
            }
        }
    }

    /// Gives a gateway another authority where it needs one.
    async fn attend(
        &self,
        (id, _): &Key,
        own: &Arc<BTreeSet<String>>,
        names: &BTreeSet<String>,
        given: &mut Given,
    ) {
        let now = self.now();
        if now < due(own, given) {
            return;
        }
        match self.give(id, own, names, now).await {
            Ok(renew_from) => {
                tracing::info!(container = id.short(), names = own.len(), "a gateway has an authority");
                *given = Given { names: Arc::clone(own), renew_from, ..Given::default() };
            }
            Err(error) => {
                let trouble = Some(words::chain(&error));
                if given.trouble != trouble {
                    self.tell_of(Err(error));
                }
                let pause = i64::try_from(PAUSE.as_secs()).unwrap_or_default();
                (given.trouble, given.rests_until) = (trouble, now.saturating_add(pause));
            }
        }
    }

    /// Makes an authority for a gateway's names under the root for all of them; gives when the next one is due.
    async fn give(
        &self,
        id: &ContainerId,
        own: &Arc<BTreeSet<String>>,
        names: &BTreeSet<String>,
        now: i64,
    ) -> Result<i64, AuthorityTrouble> {
        let (authorities, project) = (self.authorities.clone(), self.project.clone());
        let (own, names) = (Arc::clone(own), names.clone());
        let made = spawn_blocking(move || {
            let root = authorities.root_for(&project, &names)?;
            let made = Intermediate::make(&root, &project, &own, now)?;
            Ok::<_, AuthorityError>((made, roots(&authorities, &project)?))
        });
        let (made, roots) = made.await??;
        let content = Secret::new(made.text.expose().clone().into_bytes());
        // Those who trust it must do so before it signs anything.
        self.runtime.trust(roots).await?;
        self.runtime.tell(id, &Told { name: FILE, content, secret: true }).await?;
        Ok(made.renew_from_unix_seconds)
    }

    /// Time until a gateway with these names has to be looked at.
    fn until(&self, own: &BTreeSet<String>, given: &Given) -> Duration {
        let next = due(own, given).saturating_sub(self.now());
        Duration::from_secs(u64::try_from(next).unwrap_or_default().max(1)).min(LOOK_EVERY)
    }

    fn tell_of(&self, outcome: Result<(), AuthorityTrouble>) {
        if let Err(error) = outcome {
            tracing::warn!(
                trouble = words::chain(&error),
                "the certificates of gateways are vouched for by nobody"
            );
        }
    }

    /// Seconds since 1970.
    fn now(&self) -> i64 {
        i64::try_from((self.clock)() / 1000).unwrap_or(i64::MAX)
    }
}

/// When a gateway with these names is to be given an authority, in seconds since 1970: what it has may be good for
/// long, but not for other names.
fn due(own: &BTreeSet<String>, given: &Given) -> i64 {
    let renewal = if *given.names == *own { given.renew_from } else { 0 };
    renewal.max(given.rests_until)
}

/// Every gateway that runs, with the names that it serves.
fn gateways(view: &View) -> BTreeMap<Key, Arc<BTreeSet<String>>> {
    let all = view.containers.values();
    let gateways = all.filter(|found| found.spec.image.source.is_gateway() && found.goes_on_running());
    gateways.map(|found| ((found.spec.id.clone(), found.life), Arc::clone(&found.facts.names))).collect()
}

/// Those whom containers of the project trust.
fn roots(authorities: &Authorities, project: &str) -> Result<Vec<Trusted>, AuthorityError> {
    let mut roots = vec![authorities.local()?];
    roots.extend(authorities.of_project(project)?);
    let trusted = |root: &Root| Ok(Trusted { pem: root.pem(), subject_hash: subject_hash(root.der())? });
    roots.iter().map(trusted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_names_wait_for_the_rest_after_a_failure_alone() {
        let names = |text: &str| BTreeSet::from([text.to_owned()]);
        let given = |renew_from, rests_until| Given {
            names: Arc::new(names("a.test")),
            renew_from,
            trouble: None,
            rests_until,
        };
        for (name, renew_from, rests_until, want) in [
            ("a.test", 1_000_000, 0, 1_000_000),
            ("a.test", 50, 60, 60),
            ("b.test", 1_000_000, 0, 0),
            ("b.test", 1_000_000, 60, 60),
        ] {
            assert_eq!(due(&names(name), &given(renew_from, rests_until)), want, "{name} {renew_from}");
        }
    }
}
