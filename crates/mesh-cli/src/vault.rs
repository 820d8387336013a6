//! The project's vault: which services are it, where it answers, and where its keys are.
//!
//! It is found by what the files say: a service has its keys at `/vault/keys`, or, where none has or what has them does
//! not publish it, publishes port 8200. Whose keys are not here was not opened by Mesh, and nothing of Mesh's is in it.

mod storage;

use crate::{
    console,
    context::{Context, Target},
    failure::CliError,
    restoring,
};
use mesh_api::status::ContainerStatus;
use mesh_bootstrap::{Answer, Directory, Keys, Method, Unsealed, Vault, VaultError};
use mesh_model::{
    mount::MountSource,
    project::Project,
    service::{NetworkMode, Service},
};
use mesh_redact::Secret;
use mesh_vault_cli::api::{Api, Fault, Question, Unusable};
use serde_json::Value;
use std::{
    cell::RefCell,
    collections::BTreeSet,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Where a vault's container has the keys that open it.
const KEYS_TARGET: &str = "/vault/keys";
/// Port of a vault.
const PORT: u16 = 8200;
/// Time between two looks whether the vault answers.
const LOOK: Duration = Duration::from_millis(50);
/// Longest wait for a vault whose container is healthy.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// The vault of a project, by its files.
pub(crate) struct ProjectVault {
    /// The services that are it, open it or fill it, and what they need.
    pub(crate) services: BTreeSet<String>,
    /// Where its keys are.
    pub(crate) keys: Directory,
}

/// A vault that is open, with its root token.
pub(crate) struct Open {
    pub(crate) server: Server,
    pub(crate) token: Secret<String>,
}

/// Why a project's vault cannot be asked.
#[derive(Debug)]
pub(crate) enum Shut {
    /// Nobody answers.
    Absent,
    /// It is sealed, or not initialised yet.
    Sealed,
    /// Something else.
    Failed(CliError),
}

impl From<CliError> for Shut {
    fn from(error: CliError) -> Self {
        Self::Failed(error)
    }
}

impl From<VaultError> for Shut {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Unreachable { .. } => Self::Absent,
            error => Self::Failed(error.into()),
        }
    }
}

impl ProjectVault {
    /// `None`: nothing in the files looks like one.
    pub(crate) fn of(project: &Project, data: &Path) -> Option<Self> {
        let names = |is_it: fn(&Service) -> bool| -> Vec<String> {
            project.services.values().filter(|it| is_it(it)).map(|it| it.name.clone()).collect()
        };
        let select = |own: &[String]| mesh_plan::graph::select(project, own, false).unwrap_or_default();
        let mut own = names(|service| service.mounts.iter().any(|mount| mount.target == KEYS_TARGET));
        let mut services = if own.is_empty() { BTreeSet::new() } else { select(&own) };
        // Port 8200 alone may be anybody's: it counts where nobody with the keys, or whom those need, has it.
        if !services.iter().filter_map(|name| project.services.get(name)).any(publishes) {
            own.extend(names(publishes));
            if own.is_empty() {
                return None;
            }
            services = select(&own);
        }
        let keys = Directory::private(directory(Some(project), data, KEYS_TARGET, "keys"));
        Some(Self { services, keys })
    }

    /// Its keys, if it was ever opened with keys that were kept.
    pub(crate) fn kept(&self) -> Result<Option<Keys>, CliError> {
        Ok(Keys::read(&self.keys)?)
    }

    /// It, where it runs and is open.
    pub(crate) fn open(&self, containers: &[ContainerStatus]) -> Result<Open, Shut> {
        let Some(keys) = self.kept()? else { return Err(Shut::Sealed) };
        let Some(address) = published(Some(self), containers) else { return Err(Shut::Absent) };
        let server = Server::at(&address)?;
        let status = server.ask(Method::Read, "sys/seal-status", None, None)?.data().unwrap_or_default();
        match status.get("sealed").and_then(Value::as_bool) {
            Some(false) => Ok(Open { server, token: keys.root_token }),
            _ => Err(Shut::Sealed),
        }
    }

    /// The same, opening it with its keys where it is sealed, for a vault whose containers were just started.
    pub(crate) fn unseal(&self, containers: &[ContainerStatus]) -> Result<Open, Shut> {
        let Some(address) = published(Some(self), containers) else { return Err(Shut::Absent) };
        let server = Server::at(&address)?;
        server.wait(ANSWER_MAX)?;
        let _lock = self.keys.lock_if_there().map_err(CliError::from)?;
        let (done, keys) = mesh_bootstrap::unseal(&server, &self.keys, None).map_err(CliError::from)?;
        if done != Unsealed::Already {
            console::err_line("note: the vault was opened with the keys that are kept");
        }
        let keys = match keys {
            Some(keys) => keys,
            None => self.kept()?.ok_or(Shut::Sealed)?,
        };
        Ok(Open { server, token: keys.root_token })
    }

    /// Whether what it is given outlives its containers, as far as the files say.
    pub(crate) fn lasts(&self, project: &Project) -> bool {
        let services = self.services.iter().filter_map(|name| project.services.get(name));
        let servers: Vec<&Service> = services.filter(|service| publishes(service)).collect();
        !servers.is_empty() && servers.iter().all(|server| storage::lasts(project, server))
    }

    /// What was brought up before, with the vault as the files have it now: the record of it stays whole while the vault
    /// is started before the rest is known.
    pub(crate) fn over(&self, recorded: &Project, project: &Project) -> Project {
        let (mut whole, alone) = (recorded.clone(), self.alone(project));
        whole.inactive.retain(|name| !alone.services.contains_key(name));
        whole.services.extend(alone.services);
        whole.networks.extend(alone.networks);
        whole.volumes.extend(alone.volumes);
        whole.secrets.extend(alone.secrets);
        whole.configs.extend(alone.configs);
        whole
    }

    /// The project with nothing in it but what the vault needs, so that it can be started before the rest is known.
    pub(crate) fn alone(&self, project: &Project) -> Project {
        let mut alone = project.clone();
        let others = project.services.keys().filter(|name| !self.services.contains(*name)).cloned();
        alone.inactive.extend(others);
        alone.services.retain(|name, _| self.services.contains(name));
        // Of values that are not known yet nothing goes into the record.
        let mounts = |of: fn(&Service) -> &Vec<mesh_model::mount::FileMount>| -> BTreeSet<String> {
            let all = alone.services.values().flat_map(|service| of(service).iter());
            all.map(|mount| mount.source.clone()).collect()
        };
        let (secrets, configs) = (mounts(|service| &service.secrets), mounts(|service| &service.configs));
        alone.secrets.retain(|key, _| secrets.contains(key));
        alone.configs.retain(|key, _| configs.contains(key));
        let networks = |service: &Service| match &service.network.mode {
            NetworkMode::Networks(attached) => attached.keys().cloned().collect(),
            _ => Vec::new(),
        };
        let networks: BTreeSet<String> = alone.services.values().flat_map(networks).collect();
        alone.networks.retain(|key, _| networks.contains(key));
        alone
    }

    /// All that its services are started with, as text.
    pub(crate) fn start(&self, project: &Project) -> Start {
        let alone = self.alone(project);
        let parts = [
            serde_json::to_string(&alone.services),
            serde_json::to_string(&alone.secrets),
            serde_json::to_string(&alone.configs),
            serde_json::to_string(&alone.networks),
        ];
        Start(Secret::new(parts.into_iter().flatten().collect()))
    }
}

/// What the vault's services are started with.
pub(crate) struct Start(Secret<String>);

impl Start {
    /// Whether a value is in it, so that the vault does not start without.
    pub(crate) fn needs(&self, value: &Secret<String>) -> bool {
        let quoted = serde_json::to_string(value.expose()).unwrap_or_default();
        self.0.expose().contains(quoted.trim_matches('"'))
    }
}

/// Runs what asks a vault: its client has a runtime of its own, which cannot be entered from within another one.
pub(crate) fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        scope.spawn(work).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The directory on this machine that containers have at `target`; `name` of the user's own where none has it.
pub(crate) fn directory(project: Option<&Project>, data: &Path, target: &str, name: &str) -> PathBuf {
    let of = project.map_or("default", |project| project.name.as_str());
    let own = || data.join("vault").join(of).join(name);
    project.and_then(|project| mounted_at(project, &data.join("volumes"), target)).unwrap_or_else(own)
}

/// The keys' directory of a project, or of no project.
pub(crate) fn keys_directory(project: Option<&Project>, data: &Path) -> PathBuf {
    directory(project, data, KEYS_TARGET, "keys")
}

/// Keys that others can read are told of: whoever has them has all of the vault.
pub(crate) fn warn_of_readers(keys: &Directory) {
    for path in Keys::FILES.map(|file| keys.path().join(file)) {
        if let Ok(data) = path.metadata()
            && data.mode() & 0o077 != 0
        {
            let (mode, path) = (data.mode() & 0o777, path.display());
            console::err_line(&format!(
                "warning: {path} has mode {mode:04o}, so others may read what opens the vault; `chmod 600` it"
            ));
        }
    }
}

/// The directory that a container of the project has at a path.
fn mounted_at(project: &Project, volumes: &Path, target: &str) -> Option<PathBuf> {
    let mounts = project.services.values().flat_map(|service| &service.mounts);
    mounts.filter(|mount| mount.target == target).find_map(|mount| match &mount.source {
        MountSource::Volume { key, .. } => {
            let volume = project.volumes.get(key)?;
            Some(volumes.join(&volume.name).join("_data"))
        }
        MountSource::Bind { path, .. } => Some(path.clone()),
        _ => None,
    })
}

fn publishes(service: &Service) -> bool {
    service.network.ports.iter().any(|port| port.target == PORT)
}

/// The address on which the port 8200 of a vault's container is published; of any container where the files have none.
pub(crate) fn published(vault: Option<&ProjectVault>, containers: &[ContainerStatus]) -> Option<String> {
    let is_its = |container: &&ContainerStatus| {
        vault.is_none_or(|vault| !container.one_off && vault.services.contains(&container.service))
    };
    let ports = containers.iter().filter(is_its).flat_map(|container| &container.ports);
    let host = ports.filter(|port| port.target == PORT).map(|port| port.host).next();
    host.map(|host| match host.ip() {
        ip if ip.is_unspecified() => format!("http://127.0.0.1:{}", host.port()),
        ip => format!("http://{ip}:{}", host.port()),
    })
}

/// A vault over HTTP.
pub(crate) struct Server {
    pub(crate) address: String,
    api: RefCell<Api>,
}

impl Server {
    pub(crate) fn at(address: &str) -> Result<Self, CliError> {
        let get = |name: &str| std::env::var(name).ok();
        let api = Api::new(address, &get).map_err(|unusable| match unusable {
            Unusable::Address(reason) => {
                CliError::said(reason.trim_start_matches("failed to create client: "))
                    .with_hint("an address is such as http://127.0.0.1:8200")
            }
            Unusable::Variable(reason) => CliError::said(reason),
        })?;
        Ok(Self { address: address.to_owned(), api: RefCell::new(api) })
    }

    /// Waits until it answers.
    pub(crate) fn wait(&self, longest: Duration) -> Result<(), VaultError> {
        let until = Instant::now() + longest;
        loop {
            match self.ask(Method::Read, "sys/seal-status", None, None) {
                Err(VaultError::Unreachable { .. }) if Instant::now() < until => std::thread::sleep(LOOK),
                Err(error @ VaultError::Unreachable { .. }) => return Err(error),
                _ => return Ok(()),
            }
        }
    }
}

impl Vault for Server {
    fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        token: Option<&Secret<String>>,
    ) -> Result<Answer, VaultError> {
        let nothing = Value::Null;
        let (verb, question) = match method {
            Method::Read => ("read", Question::Get(path)),
            Method::List => ("read", Question::List(path)),
            Method::Write => ("write", Question::Put(path, body.unwrap_or(&nothing))),
            Method::Delete => ("delete", Question::Delete(path)),
        };
        match self.api.borrow_mut().ask(question, token) {
            Ok(answer) if answer.status == 404 => Ok(Answer::Nothing),
            Ok(answer) => Ok(Answer::Body(answer.body)),
            Err(Fault::Silent(reason)) => {
                Err(VaultError::Unreachable { address: self.address.clone(), reason })
            }
            Err(Fault::Answered(status, reason)) => {
                Err(VaultError::Refused { attempt: format!("{verb} {path}"), status, reason })
            }
        }
    }
}

/// The vault of the project that a verb is about, with its containers.
pub(crate) async fn of_target(
    context: &Context,
    target: &Target,
) -> Result<Option<(ProjectVault, Vec<ContainerStatus>)>, CliError> {
    restoring::settle(target).await?;
    let Some(project) = target.project.as_deref() else { return Ok(None) };
    match ProjectVault::of(project, &context.home.data) {
        Some(vault) if vault.kept()?.is_some() => Ok(Some((vault, target.containers().await?))),
        _ => Ok(None),
    }
}
