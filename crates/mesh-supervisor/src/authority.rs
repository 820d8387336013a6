//! The project's authority: what its gateways sign with, and whom its containers trust.
//!
//! Each gateway gets an authority of its own, for the names that it serves and no others, and a new one when these
//! change, when half of its life is over, when it starts, and when there is another root. It is signed by the stack's
//! vault, where that has a login for it, else under a root of this user's. Containers trust the root above it before
//! anything is signed under it, and this user's from the moment that a gateway is made.
//!
//! What goes wrong is tried again. While a vault that signs is sealed or down, a gateway goes on with the authority that
//! it has; one that has none is given one of this user's meanwhile. Absent on purpose: what is signed with it, and the
//! stores of machines and browsers.

mod vault;

use self::vault::{Vault, VaultTrouble};
use crate::{certificates::Clock, container::View, owner::OwnerLink, words};
use mesh_authority::{Authorities, AuthorityError, Intermediate, Issuer, subject_hash};
use mesh_model::container::ContainerId;
use mesh_redact::Secret;
use mesh_runtime::{
    SharedRuntime,
    error::RuntimeError,
    exchange::{TOLD, Told},
    trust::Trusted,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{task::spawn_blocking, time::sleep};
use tokio_util::sync::CancellationToken;

/// The file that a gateway is told its authority in.
const FILE: &str = "authority.pem";
/// Largest file of one, in bytes.
const FILE_BYTES_MAX: usize = 256 << 10;
/// Longest time between two looks at the clock, which may be set meanwhile, and at what a gateway's authority rests on.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Time until the first of these looks; each further one waits twice as long.
const LOOK_FIRST: Duration = Duration::from_secs(2);
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
    /// The stack's vault does not sign it.
    #[error(transparent)]
    Vault(#[from] VaultTrouble),
}

/// The authority of one project.
pub(crate) struct Authority {
    project: String,
    authorities: Authorities,
    runtime: SharedRuntime,
    owner: OwnerLink,
    clock: Clock,
    /// What is wrong with the authorities of gateways that run.
    troubles: Mutex<BTreeMap<Key, String>>,
}

/// A gateway that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Gateway {
    service: String,
    names: Arc<BTreeSet<String>>,
}

/// What one life of a gateway's container was given.
#[derive(Debug, Default)]
struct Given {
    names: Arc<BTreeSet<String>>,
    by: By,
    /// When it is given another one, in seconds since 1970; 0: it has none.
    renew_from: i64,
    /// No attempt before, in seconds since 1970.
    rests_until: i64,
    /// When it is looked at next what its authority rests on, in seconds since 1970.
    look_from: i64,
    /// How often that was done.
    looks: u32,
}

/// Who signed an authority.
#[derive(Debug, Default, PartialEq, Eq)]
enum By {
    #[default]
    Nobody,
    /// A root of this user's, as PEM.
    Root(String),
    Vault,
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
        let authorities = Authorities::of(data);
        Self { project, authorities, runtime, owner, clock, troubles: Mutex::default() }
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

    /// What is wrong with the authority of a gateway, in a sentence.
    pub(crate) fn troubles(&self, id: &ContainerId) -> Vec<String> {
        let troubles = self.known_troubles();
        troubles.iter().filter(|((owner, _), _)| owner == id).map(|(_, told)| told.clone()).collect()
    }

    /// Looks after the authorities of gateways until `stop`.
    pub(crate) async fn run(&self, stop: &CancellationToken) {
        let mut views = self.owner.view.clone();
        let mut all: BTreeMap<Key, Given> = BTreeMap::new();
        if !gateways(&views.borrow()).is_empty()
            && let Err(error) = self.prepare().await
        {
            tell_of(&error);
        }
        loop {
            let view = Arc::clone(&views.borrow_and_update());
            let gateways = gateways(&view);
            all.retain(|key, _| gateways.contains_key(key));
            self.known_troubles().retain(|key, _| gateways.contains_key(key));
            let names: BTreeSet<String> =
                gateways.values().flat_map(|gateway| gateway.names.iter().cloned()).collect();
            for (key, gateway) in &gateways {
                let given = all.entry(key.clone()).or_default();
                self.attend(&view, key, gateway, &names, given).await;
            }
            let wait = gateways.iter().filter_map(|(key, own)| Some(self.until(&own.names, all.get(key)?)));
            let wait = wait.min();
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
        view: &View,
        key: &Key,
        gateway: &Gateway,
        names: &BTreeSet<String>,
        given: &mut Given,
    ) {
        let now = self.now();
        if now < given.rests_until {
            return;
        }
        if now < due(&gateway.names, given) {
            if now < given.look_from {
                return;
            }
            let pause = LOOK_FIRST.saturating_mul(1 << given.looks.min(8)).min(LOOK_EVERY);
            (given.look_from, given.looks) =
                (now.saturating_add(seconds(pause)), given.looks.saturating_add(1));
            if self.rests_on(view, gateway, names, &given.by).await {
                return;
            }
        }
        let outcome = match self.by_vault(view, key, gateway, given, now).await {
            Ok(true) => Ok(()),
            Ok(false) => self.by_root(view, key, gateway, names, given, now).await,
            Err(error) => {
                let holds = self.holds(&key.0, &gateway.names, now).await;
                let stood_in =
                    if holds { Ok(()) } else { self.by_root(view, key, gateway, names, given, now).await };
                // Where nothing can be done the vault is what somebody has to look at.
                if let Err(other) = stood_in {
                    tell_of(&other);
                }
                Err(error)
            }
        };
        if let Err(error) = outcome {
            let rests_until = now.saturating_add(seconds(PAUSE));
            (given.renew_from, given.rests_until) = (0, rests_until);
            let told = words::chain(&error);
            if self.known_troubles().insert(key.clone(), told.clone()).as_ref() != Some(&told) {
                tell_of(&error);
            }
        } else {
            self.known_troubles().remove(key);
        }
    }

    /// Whether what an authority rests on is still there: its root, and no vault that has come to sign.
    async fn rests_on(&self, view: &View, gateway: &Gateway, names: &BTreeSet<String>, by: &By) -> bool {
        let By::Root(pem) = by else { return true };
        if let Some(vault) = Vault::of(view, &self.runtime)
            && vault.login(&gateway.service).await.is_some()
        {
            return false;
        }
        let (authorities, project, names) = (self.authorities.clone(), self.project.clone(), names.clone());
        let root =
            spawn_blocking(move || authorities.root_for(&project, &names).map(|root| root.pem())).await;
        // What cannot be looked at is told when it is needed.
        root.ok().and_then(Result::ok).is_none_or(|root| root == *pem)
    }

    /// Gives a gateway an authority that the stack's vault signed; `false`: none signs for it.
    async fn by_vault(
        &self,
        view: &View,
        (id, _): &Key,
        gateway: &Gateway,
        given: &mut Given,
        now: i64,
    ) -> Result<bool, AuthorityTrouble> {
        if !vault::is_in(view) {
            return Ok(false);
        }
        let (authorities, project) = (self.authorities.clone(), self.project.clone());
        let signed_before = spawn_blocking(move || authorities.adopted(&project)).await??.is_some();
        let vault = match Vault::of(view, &self.runtime) {
            Some(vault) => vault,
            None if signed_before => return Err(VaultTrouble::Down.into()),
            None => return Ok(false),
        };
        let login = match vault.login(&gateway.service).await {
            Some(login) => login,
            None if signed_before => {
                return Err(VaultTrouble::NoLogin { service: gateway.service.clone() }.into());
            }
            None => return Ok(false),
        };
        let signed = vault.sign(&login, &self.project, &gateway.names, now).await?;
        let (authorities, project) = (self.authorities.clone(), self.project.clone());
        let adopted = spawn_blocking(move || {
            let is_new = authorities.adopt(&project, &signed.root_pem)?;
            let (roots, made) = (roots(&authorities, &project)?, signed.intermediate);
            Ok::<_, AuthorityError>((is_new, roots, made))
        });
        let (is_new, roots, made) = adopted.await??;
        self.hand(id, roots, &made).await?;
        if is_new {
            tracing::warn!(
                project = self.project,
                "the vault's root vouches for the gateway: `mesh trust` has this machine and its browsers trust it"
            );
        }
        tracing::info!(
            container = id.short(),
            names = gateway.names.len(),
            "a gateway has an authority of the vault"
        );
        let renew_from = made.renew_from_unix_seconds;
        *given = Given { names: Arc::clone(&gateway.names), by: By::Vault, renew_from, ..Given::default() };
        Ok(true)
    }

    /// Gives a gateway an authority for its names under a root of this user's for all of them.
    async fn by_root(
        &self,
        view: &View,
        (id, _): &Key,
        gateway: &Gateway,
        names: &BTreeSet<String>,
        given: &mut Given,
        now: i64,
    ) -> Result<(), AuthorityTrouble> {
        let (authorities, project) = (self.authorities.clone(), self.project.clone());
        let (own, names) = (Arc::clone(&gateway.names), names.clone());
        let has_vault = vault::is_in(view);
        let made = spawn_blocking(move || {
            if !has_vault {
                authorities.forget(&project)?;
            }
            let root = authorities.root_for(&project, &names)?;
            let permitted = root.permitted(&own);
            let mut made = Intermediate::make(&root, &project, &permitted, now)?;
            if permitted.len() < own.len() {
                // Its root is too young to be replaced for the sake of further names.
                let rests_until = root.rests_until_unix_seconds();
                made.renew_from_unix_seconds = made.renew_from_unix_seconds.min(rests_until.max(now + 1));
            }
            Ok::<_, AuthorityError>((made, root.pem(), roots(&authorities, &project)?))
        });
        let (made, root, roots) = made.await??;
        self.hand(id, roots, &made).await?;
        tracing::info!(container = id.short(), names = gateway.names.len(), "a gateway has an authority");
        let (by, renew_from) = (By::Root(root), made.renew_from_unix_seconds);
        let look_from = now.saturating_add(seconds(LOOK_FIRST));
        *given = Given { names: Arc::clone(&gateway.names), by, renew_from, look_from, ..Given::default() };
        Ok(())
    }

    /// Hands an authority over.
    async fn hand(
        &self,
        id: &ContainerId,
        roots: Vec<Trusted>,
        made: &Intermediate,
    ) -> Result<(), RuntimeError> {
        let content = Secret::new(made.text.expose().clone().into_bytes());
        // Those who trust it must do so before it signs anything.
        self.runtime.trust(roots).await?;
        self.runtime.tell(id, &Told { name: FILE, content, secret: true }).await
    }

    /// Whether a gateway has an authority that is good for one of its names at least.
    async fn holds(&self, id: &ContainerId, names: &BTreeSet<String>, now: i64) -> bool {
        let path = format!("{TOLD}/{FILE}");
        let Ok(text) = self.runtime.read_file(id, &path, FILE_BYTES_MAX).await else { return false };
        let text = Secret::new(text);
        Issuer::read(text.expose()).is_ok_and(|issuer| {
            let serves = names.is_empty() || names.iter().any(|name| issuer.permits(name));
            serves && now.saturating_add(seconds(LOOK_EVERY)) < issuer.until_unix_seconds()
        })
    }

    /// Time until a gateway with these names has to be looked at.
    fn until(&self, own: &BTreeSet<String>, given: &Given) -> Duration {
        let next = due(own, given).min(given.look_from.max(given.rests_until));
        let next = next.saturating_sub(self.now());
        Duration::from_secs(u64::try_from(next).unwrap_or_default().max(1)).min(LOOK_EVERY)
    }

    fn known_troubles(&self) -> MutexGuard<'_, BTreeMap<Key, String>> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seconds since 1970.
    fn now(&self) -> i64 {
        i64::try_from((self.clock)() / 1000).unwrap_or(i64::MAX)
    }
}

fn tell_of(error: &AuthorityTrouble) {
    let trouble = words::chain(error);
    match error {
        AuthorityTrouble::Vault(_) => {
            tracing::warn!(trouble, "a gateway goes on with the authority that it has");
        }
        _ => tracing::warn!(trouble, "the certificates of gateways are vouched for by nobody"),
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// When a gateway with these names is to be given an authority, in seconds since 1970: what it has may be good for
/// long, but not for other names.
fn due(own: &BTreeSet<String>, given: &Given) -> i64 {
    let renewal = if *given.names == *own { given.renew_from } else { 0 };
    renewal.max(given.rests_until)
}

/// Every gateway that runs, with the names that it serves.
fn gateways(view: &View) -> BTreeMap<Key, Gateway> {
    let all = view.containers.values();
    let gateways = all.filter(|found| found.spec.image.source.is_gateway() && found.goes_on_running());
    let gateway = |found: &crate::container::Container| Gateway {
        service: found.service().to_owned(),
        names: Arc::clone(&found.facts.names),
    };
    gateways.map(|found| ((found.spec.id.clone(), found.life), gateway(found))).collect()
}

/// Those whom containers of the project trust.
fn roots(authorities: &Authorities, project: &str) -> Result<Vec<Trusted>, AuthorityError> {
    let local = authorities.local()?;
    let mut all = vec![(local.pem(), subject_hash(local.der())?)];
    if let Some(own) = authorities.of_project(project)? {
        all.push((own.pem(), subject_hash(own.der())?));
    }
    if let Some(vault) = authorities.adopted(project)? {
        all.push((vault.pem(), subject_hash(vault.der())?));
    }
    Ok(all.into_iter().map(|(pem, subject_hash)| Trusted { pem, subject_hash }).collect())
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
            rests_until,
            ..Given::default()
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
