//! A project: services and what they share.

use crate::{
    network::{Network, Published},
    service::Service,
};
use mesh_redact::Secret;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::Ipv4Addr, path::PathBuf};

/// One project, as `mesh up` gets it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Project {
    /// Name, valid by Compose's rule: `[a-z0-9][a-z0-9_-]*`.
    pub name: String,
    /// Directory that relative paths start from; absolute.
    pub directory: PathBuf,
    /// The files it was read from, in order; absolute.
    pub files: Vec<PathBuf>,
    /// Services that are active under the chosen profiles, by name.
    pub services: BTreeMap<String, Service>,
    /// Services that no chosen profile activates, by name: known, so that they are not orphans.
    pub inactive: Vec<String>,
    /// Networks that an active service uses, by key. `default` is among them where it is used.
    pub networks: BTreeMap<String, Network>,
    /// Named volumes, by key.
    pub volumes: BTreeMap<String, Volume>,
    /// Secrets, by key.
    pub secrets: BTreeMap<String, FileSource>,
    /// Configs, by key.
    pub configs: BTreeMap<String, FileSource>,
    /// What the file asks of Mesh itself (`x-mesh` at the top).
    pub substitute: Option<Substitute>,
    /// How published ports are chosen.
    #[serde(default)]
    pub publishing: Publishing,
    /// Services that were left out of what was brought up, each with the reason. They are among the inactive ones.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<String, String>,
}

/// How published ports are chosen, and what was chosen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Publishing {
    /// What the file says (`x-mesh.ports` at its top).
    pub in_file: Option<Ports>,
    /// What a command said (`--ports`), over the file; it holds until the project is taken down.
    pub commanded: Option<Ports>,
    /// The project's own address of the loopback interface, once it has one.
    pub address: Option<Ipv4Addr>,
    /// Free ports that were taken in place of others, by what the file says of each.
    pub given: BTreeMap<String, u16>,
    /// Where the second container of a service and those after it publish its ports, one for each: the first has
    /// those of the service itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub further: BTreeMap<String, Vec<Published>>,
}

impl Publishing {
    /// What counts.
    #[must_use]
    pub fn ports(&self) -> Ports {
        self.commanded.or(self.in_file).unwrap_or_default()
    }
}

/// Which addresses and ports of the machine are published on (`--ports`, `x-mesh.ports`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ports {
    /// Those that the file names.
    #[default]
    File,
    /// An address of the loopback interface that is the project's own, and free ports where that does not do.
    Auto,
}

/// Whether a stand-in may serve for an image (`--substitute`, `x-mesh.substitute`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Substitute {
    /// Only the exact image.
    Never,
    /// The exact image if it is stored or can be pulled, else a stand-in.
    #[default]
    Missing,
    /// A stand-in wherever the catalog has one.
    Always,
}

/// What becomes of a service whose image nothing serves (`x-mesh.when-no-source`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenNoSource {
    /// What wants it fails.
    #[default]
    Fail,
    /// It is left out, and that is told, unless it was asked for by its name.
    Skip,
}

impl WhenNoSource {
    /// Whether the file says nothing of it.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A named volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Key in the file.
    pub key: String,
    /// Name on the ground: `<project>_<key>`, or the `name:` given.
    pub name: String,
    /// Not created by Mesh and never removed by it.
    pub external: bool,
    /// Driver; `local` when the file names none.
    pub driver: String,
    /// Options of the driver (`type`, `o`, `device`).
    pub driver_opts: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// Where the content of a secret or a config comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileSource {
    /// A file on this machine; absolute.
    File(PathBuf),
    /// Content that was resolved while loading: `content:`, or the value of `environment:`.
    Content(#[serde(with = "mesh_redact::exposed")] Secret<String>),
    /// Declared `external`: some store outside the file must hold it under this name.
    External(String),
}
