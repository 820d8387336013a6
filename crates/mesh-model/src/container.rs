//! Containers by identity.

use crate::{image::Image, project::Project, service::Service};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// Identity of a container: 64 hexadecimal digits, as Docker's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContainerId(pub String);

impl ContainerId {
    /// The first twelve digits.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A container to be made, with everything it needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Identity.
    pub id: ContainerId,
    /// Name (`<project>-<service>-1`, or the `container_name` given).
    pub name: String,
    /// Name of the project.
    pub project: String,
    /// The service, resolved. For a one-off, with the overrides of the command line applied.
    pub service: Service,
    /// Number among the service's containers, from 1.
    pub index: u32,
    /// Made by `run`, not by `up`.
    pub one_off: bool,
    /// The image that serves it.
    pub image: Image,
    /// Hash of the configuration it was made from.
    pub config_hash: String,
    /// Networks, volumes, secrets and configs that the service refers to, resolved.
    pub resources: Resources,
    /// Labels as they stand on the container: the service's and Compose's own.
    pub labels: BTreeMap<String, String>,
    /// Names of its anonymous volumes, by their paths in the container ([`anonymous_paths`]).
    #[serde(default)]
    pub anonymous_volumes: BTreeMap<String, String>,
}

/// The parts of the project that one container refers to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Resources {
    /// Networks it joins, by key.
    pub networks: BTreeMap<String, crate::network::Network>,
    /// Volumes it mounts, by key.
    pub volumes: BTreeMap<String, crate::project::Volume>,
    /// Secrets it reads, by key.
    pub secrets: BTreeMap<String, crate::project::FileSource>,
    /// Configs it reads, by key.
    pub configs: BTreeMap<String, crate::project::FileSource>,
}

impl Resources {
    /// What `service` refers to in `project`.
    #[must_use]
    pub fn of(service: &Service, project: &Project) -> Self {
        use crate::{mount::MountSource, service::NetworkMode};
        let mut found = Self::default();
        if let NetworkMode::Networks(attached) = &service.network.mode {
            for key in attached.keys() {
                if let Some(network) = project.networks.get(key) {
                    found.networks.insert(key.clone(), network.clone());
                }
            }
        }
        for mount in &service.mounts {
            if let MountSource::Volume { key, .. } = &mount.source
                && let Some(volume) = project.volumes.get(key)
            {
                found.volumes.insert(key.clone(), volume.clone());
            }
        }
        for (mounts, from, into) in [
            (&service.secrets, &project.secrets, &mut found.secrets),
            (&service.configs, &project.configs, &mut found.configs),
        ] {
            for mount in mounts {
                if let Some(source) = from.get(&mount.source) {
                    into.insert(mount.source.clone(), source.clone());
                }
            }
        }
        found
    }
}

/// Paths in the container at which it has a volume without a name: those of the service, and those of
/// the image that nothing of the service's is mounted on.
#[must_use]
pub fn anonymous_paths(service: &Service, image: &Image) -> BTreeSet<String> {
    use crate::mount::MountSource;
    let own = service.mounts.iter().filter(|mount| mount.source == MountSource::Anonymous);
    let mut paths: BTreeSet<String> = own.map(|mount| mount.target.clone()).collect();
    let free = |path: &&String| service.mounts.iter().all(|mount| mount.target != **path);
    paths.extend(image.config.volumes.iter().map(|volume| &volume.path).filter(free).cloned());
    paths
}

/// The command line of a container: the service's words over the image's, by Docker's rules: an entrypoint
/// of one's own clears the image's command, one without words only the image's entrypoint, and a command
/// without words says nothing.
#[must_use]
pub fn arguments(service: &Service, image: &Image) -> Vec<String> {
    let own = &service.process;
    let mut arguments = own.entrypoint.clone().unwrap_or_else(|| image.config.entrypoint.clone());
    let has_own = own.entrypoint.as_ref().is_some_and(|words| !words.is_empty());
    match own.command.as_ref().filter(|words| !words.is_empty()) {
        Some(command) => arguments.extend(command.iter().cloned()),
        None if has_own => {}
        None => arguments.extend(image.config.command.iter().cloned()),
    }
    arguments
}
