//! A gateway that runs: entry points, and configurations that come anew.
//!
//! Providers are read on a thread of their own, and only when something about them has changed; a new snapshot takes
//! the place of the old one whole. What cannot be read changes nothing: the last sound configuration stays.

use crate::{
    api::Api,
    certificates::{CertificateError, Certificates, Issued, Shown},
    config::{
        Warning, containers,
        files::{self, FilesError},
        model::{Configuration, TlsConfiguration},
        statics::{Statics, not_yet},
    },
    names::{self, Names},
    observe::{ObserveError, Observer},
    proxy::{BindError, Entry, Relays, RelaysError, Site, UdpEntry},
    published::Published,
    snapshot::{self, Snapshot, State},
    watch::{Hints, directory_of},
};
use mesh_linux::process::release_free_memory;
use std::{
    collections::BTreeSet,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::watch, task::JoinSet, time::MissedTickBehavior};

/// How often providers are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Largest file of containers, in bytes.
const CONTAINERS_BYTES_MAX: u64 = 16 << 20;
/// How long connections may go on at the end, where nothing is configured.
const GRACE: Duration = Duration::from_secs(10);

/// Files that the engine and the gateway give each other; none, where nobody stands around it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Exchange {
    /// Where the engine says which containers there are.
    pub(crate) containers: Option<PathBuf>,
    /// Where the engine is told which names are routed here.
    pub(crate) names: Option<PathBuf>,
    /// The authority by which certificates are made.
    pub(crate) authority: Option<PathBuf>,
    /// Where the engine says by which ports of the machine the gateway is reached.
    pub(crate) ports: Option<PathBuf>,
    /// Where the engine says from which addresses it relays published ports.
    pub(crate) relays: Option<PathBuf>,
}

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
#[error("could not start the gateway")]
pub struct ServerError(#[source] Box<Cause>);

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("could not tell where an entry point listens")]
    Address(#[source] io::Error),
    #[error(transparent)]
    Relays(RelaysError),
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    #[error(transparent)]
    Observe(#[from] ObserveError),
}

/// Why a provider gave nothing.
#[derive(Debug, thiserror::Error)]
enum ProviderError {
    #[error(transparent)]
    Files(#[from] FilesError),
    #[error("could not read containers from {}", path.display())]
    Containers {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is not a list of containers", path.display())]
    Form {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
}

/// A gateway that answers.
#[derive(Debug)]
pub struct Gateway {
    site: Arc<Site>,
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
    addresses: Vec<(String, SocketAddr)>,
    grace: Duration,
    /// How long new requests are taken after the end has begun.
    accepts: Option<Duration>,
}

mod seen;
#[cfg(test)]
mod tests;

use seen::{Look, Seen};

/// What routes are learnt from, and what they were when last looked at.
#[derive(Debug)]
struct Providers {
    statics: Statics,
    /// Where the engine writes which containers there are.
    containers: Option<PathBuf>,
    /// Where it writes the ports of the machine.
    ports: Option<PathBuf>,
    seen: Option<Vec<Seen>>,
    files: Configuration,
    labels: Configuration,
    told: Vec<Warning>,
    /// What is not as it was asked for: its kind, its name and why.
    faults: BTreeSet<(&'static str, String, String)>,
    /// Hosts of all containers' rules, also of those that do not serve.
    hosts: Vec<String>,
    names: Option<Names>,
}

/// What was found when something had changed.
struct Found {
    snapshot: Snapshot,
    tls: TlsConfiguration,
    /// None where certificates stay.
    shown: Option<Shown>,
}

impl Found {
    fn empty(statics: &Statics) -> Self {
        let snapshot = snapshot::build(&[], statics);
        Self { snapshot, tls: TlsConfiguration::default(), shown: None }
    }
}

impl Gateway {
    /// Binds all entry points and serves.
    ///
    /// # Errors
    /// If an entry point cannot listen.
    pub(crate) async fn start(statics: Statics, exchange: Exchange) -> Result<Self, ServerError> {
        Self::begin(statics, exchange).await.map_err(|cause| ServerError(Box::new(cause)))
    }

    async fn begin(statics: Statics, exchange: Exchange) -> Result<Self, Cause> {
        if let Some(warning) = not_yet(&statics) {
            tracing::warn!(place = %warning.place, "{}", warning.message);
        }
        let host_name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let grace =
            statics.entry_points.values().filter_map(|entry| entry.transport.life_cycle.grace_time_out.get());
        let grace = grace.max().unwrap_or(GRACE);
        let relays = Arc::new(Relays::read(exchange.relays.as_deref()).map_err(Cause::Relays)?);
        let issued = exchange.authority.clone().map(Issued::new);
        let mut providers = Providers::new(statics.clone(), exchange);
        let found = providers.look()?.unwrap_or_else(|| Found::empty(&statics));
        let shown = match found.shown {
            Some(shown) => shown,
            None => Shown::read(&found.tls, &[], &mut Vec::new())?,
        };
        let certificates = Certificates::new(shown, &found.tls, issued)?;
        let api = Api::new(Arc::new(statics.clone()));
        let mut warnings = Vec::new();
        let observer = Observer::new(&statics, &mut warnings)?;
        for warning in warnings {
            tracing::warn!(place = %warning.place, "{}", warning.message);
        }
        if let Some(metrics) = observer.metrics() {
            metrics.reloaded(&found.snapshot);
        }
        let site = Site::new(found.snapshot, certificates.clone(), api, observer);
        let (stop, stopped) = watch::channel(false);
        let (mut entries, mut datagrams) = (Vec::new(), Vec::new());
        let mut addresses = Vec::new();
        for (name, options) in &statics.entry_points {
            if options.is_udp() {
                let entry = UdpEntry::bind(name, options, site.clone()).await?;
                addresses.push((name.clone(), entry.address().map_err(Cause::Address)?));
                datagrams.push(entry);
                continue;
            }
            let entry = Entry::bind(name, options, site.clone(), &host_name, relays.clone()).await?;
            addresses.push((name.clone(), entry.address().map_err(Cause::Address)?));
            entries.push(entry);
        }
        let mut tasks = JoinSet::new();
        for entry in entries {
            tasks.spawn(entry.serve(stopped.clone()));
        }
        for entry in datagrams {
            tasks.spawn(entry.serve(stopped.clone()));
        }
        tasks.spawn(watch_providers(providers, site.clone(), certificates, stopped));
        let accepts = statics.entry_points.values();
        let accepts =
            accepts.filter_map(|entry| entry.transport.life_cycle.request_accept_grace_timeout.get());
        Ok(Self { site, tasks, stop, addresses, grace, accepts: accepts.max() })
    }

    /// Where it listens, by the names of its entry points.
    #[must_use]
    pub fn addresses(&self) -> &[(String, SocketAddr)] {
        &self.addresses
    }

    /// Opens the log of requests anew, after somebody has moved its file away.
    pub(crate) fn reopen(&self) {
        self.site.observer.reopen();
    }

    /// What it serves by, for tests.
    #[cfg(test)]
    pub(crate) fn site(&self) -> Arc<Site> {
        self.site.clone()
    }

    /// What is routed, for tests.
    #[cfg(test)]
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.site.snapshot()
    }

    /// Lets requests under way finish, for as long as is configured.
    pub async fn stop(mut self) {
        self.site.end();
        if let Some(accepts) = self.accepts {
            tokio::time::sleep(accepts).await;
        }
        // Nobody is left to be told when all tasks have ended.
        let _ = self.stop.send(true);
        while let Some(ended) = self.tasks.join_next().await {
            if ended.is_err() {
                tracing::error!("a task of the gateway ended by a fault");
            }
        }
        self.site.finish(self.grace).await;
        self.site.observer.close().await;
    }
}

async fn watch_providers(
    mut providers: Providers,
    site: Arc<Site>,
    certificates: Arc<Certificates>,
    mut stop: watch::Receiver<bool>,
) {
    let mut hints = Hints::of(&providers.directories());
    let mut tick = tokio::time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            () = hints.next() => {}
            _ = tick.tick() => {}
        }
        let looked = tokio::task::spawn_blocking(move || {
            let found = providers.look();
            (providers, found)
        });
        // The task ends only by a fault of its own, or with the runtime.
        let Ok((back, found)) = looked.await else { return };
        providers = back;
        match found {
            Ok(None) => {}
            Ok(Some(found)) => {
                take(found, &site, &certificates);
                // What was read, and what was in force before, is not needed any more. Done or not, nothing depends on it.
                drop(tokio::task::spawn_blocking(release_free_memory));
            }
            Err(error) => tracing::error!(error = %crate::chain(&error), "the configuration stays as it was"),
        }
    }
}

/// Puts what was found in force.
fn take(found: Found, site: &Site, certificates: &Arc<Certificates>) {
    if let Some(shown) = found.shown
        && let Err(error) = certificates.replace(shown, &found.tls)
    {
        tracing::error!(error = %crate::chain(&error), "the certificates stay as they were");
    }
    let (routers, services) = (found.snapshot.routers.len(), found.snapshot.services.len());
    if let Some(metrics) = site.observer.metrics() {
        metrics.reloaded(&found.snapshot);
    }
    site.replace(found.snapshot);
    tracing::info!(routers, services, "the configuration was read anew");
}

impl Providers {
    fn new(statics: Statics, Exchange { containers, names, ports, .. }: Exchange) -> Self {
        Self {
            statics,
            containers,
            ports,
            seen: None,
            files: Configuration::default(),
            labels: Configuration::default(),
            told: Vec::new(),
            faults: BTreeSet::new(),
            hosts: Vec::new(),
            names: names.map(Names::new),
        }
    }

    /// What requests are routed by, if anything has changed since it was last looked at.
    fn look(&mut self) -> Result<Option<Found>, CertificateError> {
        let now = self.watched();
        if self.seen.as_ref() == Some(&now) {
            self.seen = Some(seen::settled(now));
            return Ok(None);
        }
        let contained = |seen: &&Seen| Some(&seen.path) != self.containers.as_ref();
        let others = |seen: &[Seen]| -> Vec<Seen> { seen.iter().filter(contained).cloned().collect() };
        let only_containers = self.seen.as_ref().is_some_and(|seen| others(seen) == others(&now));
        let first = self.seen.replace(now).is_none();
        let mut warnings = Vec::new();
        let watched = self.statics.providers.file.as_ref().is_some_and(|provider| provider.watch);
        match self.read_files(&mut warnings) {
            // Without watching, files are what they were at the start.
            Ok(files) if first || watched => self.files = files,
            Ok(_) => {}
            Err(error) => tracing::error!(error = %crate::chain(&error), "the files stay as they were"),
        }
        match self.read_containers(&mut warnings) {
            // Most of what happens to containers changes nothing about what they ask for.
            Ok((labels, hosts)) if only_containers && labels == self.labels && hosts == self.hosts => {
                return Ok(None);
            }
            Ok((labels, hosts)) => (self.labels, self.hosts) = (labels, hosts),
            Err(error) => tracing::error!(error = %crate::chain(&error), "the containers stay as they were"),
        }
        let parts = [("docker", &self.labels), ("file", &self.files)];
        let mut snapshot = snapshot::build(&parts, &self.statics);
        snapshot.published = Arc::new(self.ports.as_deref().map(Published::read).unwrap_or_default());
        warnings.extend(snapshot.warnings.iter().cloned());
        let mut tls = self.files.tls.clone();
        for (name, store) in &self.labels.tls.stores {
            tls.stores.get_or_insert_with(name, || store.clone());
        }
        let shown = Shown::read(&tls, &snapshot.hosts, &mut warnings)?;
        if let Some(names) = &mut self.names {
            names.tell(snapshot.hosts.iter().chain(&self.hosts).cloned().collect());
        }
        self.tell(warnings, &snapshot);
        Ok(Some(Found { snapshot, tls, shown: Some(shown) }))
    }

    fn read_files(&self, warnings: &mut Vec<Warning>) -> Result<Configuration, ProviderError> {
        match &self.statics.providers.file {
            Some(provider) => Ok(files::configuration(provider, warnings)?),
            None => Ok(Configuration::default()),
        }
    }

    /// What containers ask for, and the host names of all of them.
    fn read_containers(
        &self,
        warnings: &mut Vec<Warning>,
    ) -> Result<(Configuration, Vec<String>), ProviderError> {
        let (Some(options), Some(path)) = (&self.statics.providers.docker, &self.containers) else {
            return Ok(Default::default());
        };
        let failed = |source| ProviderError::Containers { path: path.clone(), source };
        if fs::metadata(path).map_err(failed)?.len() > CONTAINERS_BYTES_MAX {
            return Err(failed(io::Error::from(io::ErrorKind::FileTooLarge)));
        }
        let text = fs::read_to_string(path).map_err(failed)?;
        let found =
            containers::read(&text).map_err(|source| ProviderError::Form { path: path.clone(), source })?;
        Ok((containers::configuration(&found, options, warnings), names::of_containers(&found, options)))
    }

    /// Tells each thing once, until it is gone and comes again.
    fn tell(&mut self, warnings: Vec<Warning>, snapshot: &Snapshot) {
        for warning in warnings.iter().filter(|warning| !self.told.contains(warning)) {
            tracing::warn!(place = %warning.place, "{}", warning.message);
        }
        self.told = warnings;
        let kinds = [
            ("router", &snapshot.routers),
            ("service", &snapshot.services),
            ("middleware", &snapshot.middlewares),
            ("TCP router", &snapshot.tcp_routers),
            ("UDP router", &snapshot.udp_routers),
        ];
        let mut faults = BTreeSet::new();
        for (kind, statuses) in kinds {
            for (name, status) in statuses.iter().filter(|(_, status)| status.state != State::Enabled) {
                faults.insert((kind, name.clone(), status.errors.join("; ")));
            }
        }
        for (kind, name, errors) in faults.difference(&self.faults) {
            tracing::error!(kind, name, errors, "not as it was asked for");
        }
        self.faults = faults;
    }

    /// Where changes are to be expected.
    fn directories(&self) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = self.containers.as_deref().map(directory_of).into_iter().collect();
        if let Some(provider) = self.statics.providers.file.as_ref().filter(|provider| provider.watch) {
            found
                .extend([&provider.directory].into_iter().filter(|path| !path.is_empty()).map(PathBuf::from));
            let file = Some(&provider.filename).filter(|path| !path.is_empty());
            found.extend(file.map(|path| directory_of(Path::new(path))));
        }
        found
    }

    /// Everything that is read, as it is now.
    fn watched(&self) -> Vec<Seen> {
        let mut look = Look::after(self.seen.as_deref().unwrap_or_default());
        if let Some(provider) = &self.statics.providers.file {
            for path in [&provider.directory, &provider.filename] {
                if !path.is_empty() && provider.watch {
                    look.note(Path::new(path));
                }
            }
        }
        for path in [&self.containers, &self.ports].into_iter().flatten() {
            look.note(path);
        }
        let tls = &self.files.tls;
        let stored = tls.certificates.iter().map(|one| (&one.cert_file, &one.key_file));
        let defaults = tls.stores.values().filter_map(|store| store.default_certificate.as_ref());
        for (file, key) in stored.chain(defaults.map(|one| (&one.cert_file, &one.key_file))) {
            look.note(Path::new(file));
            look.note(Path::new(key.expose()));
        }
        look.found()
    }
}
