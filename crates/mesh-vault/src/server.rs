//! `vault server`: from a configuration to a server that runs until it is told to end.

use crate::{
    barrier::BarrierError,
    config::{Arguments, Config, Development, Listener, Storage},
    core::{Call, Core, Method, Settings, VERSION},
    http::{Bound, Certificates, ListenerError, Site, stopped},
    rest::{self, Rest},
    seal::{SealConfig, SealError},
    storage::{Memory, Redb, StorageError, Store},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use mesh_redact::Secret;
use std::{fs, future::Future, io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinSet, time::MissedTickBehavior};

/// How often what is over is ended.
const TICK: Duration = Duration::from_secs(1);
/// How often the key in use is looked at.
const MAINTAIN: Duration = Duration::from_secs(60);

/// Why a server did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The store.
    #[error("error initializing storage of type {kind}")]
    Storage {
        /// As configured.
        kind: String,
        /// Why not.
        #[source]
        source: StorageError,
    },
    /// A listener.
    #[error(transparent)]
    Listener(#[from] ListenerError),
    /// Development's initialization.
    #[error("error initializing Dev mode")]
    Initialize(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Development's unsealing.
    #[error("error unsealing in Dev mode")]
    Unseal(#[from] SealError),
    /// Development's KV engine.
    #[error("error mounting secret/ in Dev mode: status {0}")]
    Mount(u16),
    /// The pid file.
    #[error("error storing PID in {}", path.display())]
    PidFile {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// What a server tells once it answers.
#[derive(Debug)]
pub struct Started {
    /// Where it listens, in the configuration's order.
    pub addresses: Vec<(SocketAddr, Listener)>,
    /// Development's keys.
    pub development: Option<DevelopmentKeys>,
}

/// What development mode made; it is printed.
#[derive(Debug)]
pub struct DevelopmentKeys {
    /// The only share, in base64.
    pub unseal_key: Secret<String>,
    /// The root token.
    pub root_token: Secret<String>,
}

/// A server that answers.
#[derive(Debug)]
pub struct Server {
    core: Arc<Core>,
    certificates: Certificates,
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
    pid_file: Option<PathBuf>,
}

impl Server {
    /// Opens the store, binds all listeners and serves.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub async fn start(
        config: Config,
        development: Option<&Development>,
    ) -> Result<(Self, Started), ServerError> {
        let mut certificates = Certificates::default();
        let mut bound = Vec::new();
        for listener in &config.listeners {
            bound.push(Bound::bind(listener.clone(), &mut certificates).await?);
        }
        let store = open_store(&config.storage)?;
        let core = Core::new(store, settings(&config, &bound));
        let keys = match development {
            Some(development) => Some(prepare(&core, development).await?),
            None => None,
        };
        if let Some(path) = &config.pid_file {
            let failed = |source| ServerError::PidFile { path: path.clone(), source };
            fs::write(path, format!("{}\n", std::process::id())).map_err(failed)?;
        }
        let addresses = bound.iter().map(|bound| (bound.address(), bound.options().clone())).collect();
        let (stop, stopped) = watch::channel(false);
        let site = Site::new(core.clone(), config.ui);
        let mut tasks = JoinSet::new();
        for bound in bound {
            tasks.spawn(bound.serve(site.clone(), stopped.clone()));
        }
        tasks.spawn(keep(core.clone(), stopped));
        let server = Self { core, certificates, tasks, stop, pid_file: config.pid_file };
        Ok((server, Started { addresses, development: keys }))
    }

    /// Reads certificates anew and opens audit files anew.
    pub async fn reload(&self) {
        self.certificates.reload();
        self.core.reopen_audit().await;
    }

    /// Lets requests under way finish, seals, and closes the store.
    pub async fn stop(mut self) {
        // Nobody is left to be told when all tasks have ended.
        let _ = self.stop.send(true);
        while let Some(ended) = self.tasks.join_next().await {
            if ended.is_err() {
                tracing::error!("a task of the server ended by a fault");
            }
        }
        self.core.shutdown().await;
        if let Some(path) = &self.pid_file {
            let _ = fs::remove_file(path);
        }
    }
}

/// Serves until `shutdown`; `ready` is called once it answers.
///
/// # Errors
/// See [`ServerError`].
pub async fn run(
    config: Config,
    arguments: &Arguments,
    shutdown: impl Future<Output = ()>,
    ready: impl FnOnce(&Started),
) -> Result<(), ServerError> {
    let (server, started) = Server::start(config, arguments.development.as_ref()).await?;
    ready(&started);
    shutdown.await;
    server.stop().await;
    Ok(())
}

fn open_store(storage: &Storage) -> Result<Arc<dyn Store>, ServerError> {
    match storage {
        Storage::Memory => Ok(Arc::new(Memory::default())),
        Storage::Directory { kind, path } => {
            let failed = |source| ServerError::Storage { kind: kind.clone(), source };
            Ok(Arc::new(Redb::open(path).map_err(failed)?))
        }
    }
}

fn settings(config: &Config, bound: &[Bound]) -> Settings {
    // A port 0 has become another by now.
    let own = bound
        .first()
        .map(|bound| Listener { address: bound.address().to_string(), ..bound.options().clone() });
    let chosen = config.listeners.first().map(Listener::url);
    let api_addr = match own {
        Some(own) if chosen.as_deref() == Some(&config.api_addr) => own.url(),
        _ => config.api_addr.clone(),
    };
    Settings {
        default_lease_ttl: config.default_lease_ttl,
        max_lease_ttl: config.max_lease_ttl,
        api_addr,
        cluster_addr: config.cluster_addr.clone(),
        cluster_name: config.cluster_name.clone(),
        storage_type: config.storage.kind().to_owned(),
        ui: config.ui,
        log_level: config.log_level.clone(),
        sanitized: config.sanitized.clone(),
        version: VERSION.to_owned(),
    }
}

/// Development's vault: one share, unsealed, with a KV engine.
async fn prepare(core: &Arc<Core>, development: &Development) -> Result<DevelopmentKeys, ServerError> {
    let single = SealConfig { shares: 1, threshold: 1 };
    let made = core.initialize(single, development.root_token.clone()).await;
    let made = made.map_err(|error| ServerError::Initialize(Box::new(error)))?;
    let share = made.shares.first().map(|share| BASE64_STANDARD.encode(share.as_slice())).unwrap_or_default();
    core.unseal(&share).await?;
    if let Some(version) = development.kv_version {
        let body = serde_json::json!({
            "type": "kv",
            "description": "key/value secret storage",
            "options": { "version": version.to_string() },
        });
        let answer = core.serve(own_call("sys/mounts/secret", &body, &made.root_token)).await;
        if answer.status >= 300 {
            return Err(ServerError::Mount(answer.status));
        }
    }
    Ok(DevelopmentKeys { unseal_key: Secret::new(share), root_token: made.root_token })
}

fn own_call(path: &str, body: &serde_json::Value, token: &Secret<String>) -> Call {
    Call {
        method: Method::Post,
        path: path.to_owned(),
        query: Vec::new(),
        body: body.to_string().into_bytes().into(),
        content_type: None,
        token: Some(token.clone()),
        wrap_ttl: None,
        namespace: None,
        remote: None,
        request_header: false,
    }
}

/// What has to be done now and then.
async fn keep(core: Arc<Core>, mut stop: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(TICK);
    let mut maintain = tokio::time::interval(MAINTAIN);
    let mut rest = Rest::new(core.sealed());
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    maintain.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => return,
            _ = maintain.tick() => maintain_barrier(&core).await,
            _ = tick.tick() => {
                core.tick().await;
                if rest.second(core.metrics.requests(), core.sealed()) {
                    rest::give_back();
                }
            }
        }
    }
}

async fn maintain_barrier(core: &Core) {
    match core.barrier.maintain().await {
        Ok(()) | Err(BarrierError::Storage(StorageError::Sealed)) => {}
        Err(error) => tracing::error!(%error, "the key ring could not be looked after"),
    }
}
