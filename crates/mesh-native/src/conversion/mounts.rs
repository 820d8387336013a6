//! Which mounts a container has and in which order. Pure: nothing here looks at a disk.
//!
//! Invariants: targets are absolute and free of `.` and `..`; no target occurs twice (what the service
//! says wins over what the image says and over Mesh's own files); a mount comes after every mount it
//! lies in.

use super::volume_options;
use mesh_model::{
    container::ContainerSpec,
    image::Source,
    mount::{FileMount, MountSource},
    project::FileSource,
};
use mesh_redact::Secret;
use mesh_runtime::{error::RuntimeError, exchange};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

/// Files of the container's own directory that every container sees.
const OWN_FILES: [(&str, OwnFile); 3] = [
    ("/etc/hosts", OwnFile::Hosts),
    ("/etc/hostname", OwnFile::Hostname),
    ("/etc/resolv.conf", OwnFile::Resolver),
];

/// One mount, before its source was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlannedMount {
    /// Path in the container.
    pub(crate) target: String,
    /// Read-only.
    pub(crate) read_only: bool,
    /// What.
    pub(crate) source: PlannedSource,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PlannedSource {
    /// A named volume, by its name on this ground.
    Volume { name: String, subpath: Option<String>, populate: bool },
    /// A volume without a name in the file; this is the one it has on this ground.
    Anonymous { name: String },
    /// A path of the machine.
    Bind { path: PathBuf, create: bool },
    /// Memory.
    Tmpfs { size_bytes: Option<u64>, mode: Option<u32>, uid: Option<u32>, gid: Option<u32>, exec: bool },
    /// A secret or a config that is a file of the machine.
    File { kind: &'static str, key: String, path: PathBuf, access: Access },
    /// A secret or a config whose content is known.
    Content { content: Secret<Vec<u8>>, access: Access },
    /// A file that Mesh writes.
    Own(OwnFile),
    /// Mesh's own binary, for a service that is inside of it.
    OwnBinary,
    /// A directory in which the engine and such a service give each other files.
    Exchange(Exchange),
}

/// Who writes in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exchange {
    /// The engine.
    Told,
    /// The service.
    Said,
}

impl Exchange {
    /// Its name in the container's directory.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Told => "told",
            Self::Said => "said",
        }
    }
}

/// A file that Mesh writes into the container's directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OwnFile {
    /// Names and addresses.
    Hosts,
    /// The container's name.
    Hostname,
    /// Where names are asked.
    Resolver,
}

impl OwnFile {
    /// Its name in the container's directory.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hosts => "hosts",
            Self::Hostname => "hostname",
            Self::Resolver => "resolv.conf",
        }
    }
}

/// Owner and mode of a secret or a config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Access {
    /// Owner, a number or a name of the container.
    pub(crate) uid: Option<String>,
    /// Group, a number or a name of the container.
    pub(crate) gid: Option<String>,
    /// Mode.
    pub(crate) mode: u32,
}

impl Access {
    /// Whether the file asks for nothing that a read-only bind does not give.
    pub(crate) fn is_plain(&self) -> bool {
        self.uid.is_none() && self.gid.is_none() && self.mode == 0o444
    }
}

/// Every mount of a container, outermost first.
///
/// # Errors
/// [`RuntimeError::Setup`] for a target that is not absolute, [`RuntimeError::Missing`] for a volume,
/// secret or config that is not among the container's resources, [`RuntimeError::Unsupported`] for a
/// driver.
pub(crate) fn plan(spec: &ContainerSpec) -> Result<Vec<PlannedMount>, RuntimeError> {
    let mut mounts = Vec::new();
    for mount in &spec.service.mounts {
        mounts.push(PlannedMount {
            target: normal(&mount.target)?,
            read_only: mount.read_only,
            source: planned(spec, &mount.source)?,
        });
    }
    for (kind, files, sources) in [
        ("secret", &spec.service.secrets, &spec.resources.secrets),
        ("config", &spec.service.configs, &spec.resources.configs),
    ] {
        for file in files {
            let source = sources.get(&file.source);
            mounts.push(PlannedMount {
                target: normal(&file.target)?,
                read_only: true,
                source: planned_file(kind, file, source)?,
            });
        }
    }
    let mut taken: BTreeSet<String> = mounts.iter().map(|mount| mount.target.clone()).collect();
    for volume in &spec.image.config.volumes {
        let target = normal(&volume.path)?;
        if taken.insert(target.clone()) {
            let source = PlannedSource::Anonymous { name: String::new() };
            mounts.push(PlannedMount { target, read_only: false, source });
        }
    }
    if let Source::Embedded { binary, .. } = &spec.image.source {
        let target = normal(binary)?;
        taken.insert(target.clone());
        mounts.push(PlannedMount { target, read_only: true, source: PlannedSource::OwnBinary });
    }
    if spec.image.source.is_gateway() {
        for (target, exchange) in [(exchange::TOLD, Exchange::Told), (exchange::SAID, Exchange::Said)] {
            let (target, read_only) = (target.to_owned(), exchange == Exchange::Told);
            taken.insert(target.clone());
            mounts.push(PlannedMount { target, read_only, source: PlannedSource::Exchange(exchange) });
        }
    }
    for (target, file) in OWN_FILES {
        if taken.insert(target.to_owned()) {
            let source = PlannedSource::Own(file);
            mounts.push(PlannedMount { target: target.to_owned(), read_only: false, source });
        }
    }
    mounts.sort_by(|a, b| (depth(&a.target), &a.target).cmp(&(depth(&b.target), &b.target)));
    name_anonymous(spec, &mut mounts)?;
    Ok(mounts)
}

/// Names are those that the specification gives; where it gives none they follow the sorted targets, so
/// that the same specification always finds the same volumes.
fn name_anonymous(spec: &ContainerSpec, mounts: &mut [PlannedMount]) -> Result<(), RuntimeError> {
    let mut given = BTreeMap::new();
    for (path, name) in &spec.anonymous_volumes {
        given.insert(normal(path)?, name.clone());
    }
    let mut next = 0;
    for mount in mounts {
        if let PlannedSource::Anonymous { name } = &mut mount.source {
            *name = given.remove(&mount.target).unwrap_or_else(|| format!("{}-{next}", spec.id));
            next += 1;
        }
    }
    Ok(())
}

fn planned(spec: &ContainerSpec, source: &MountSource) -> Result<PlannedSource, RuntimeError> {
    Ok(match source {
        MountSource::Volume { key, subpath, nocopy } => {
            let volume = spec
                .resources
                .volumes
                .get(key)
                .ok_or_else(|| RuntimeError::Missing { kind: "volume", name: key.clone() })?;
            match volume_options::backing(volume)? {
                volume_options::Backing::Directory => PlannedSource::Volume {
                    name: volume.name.clone(),
                    subpath: subpath.clone(),
                    populate: !nocopy && subpath.is_none(),
                },
                volume_options::Backing::Mounted(source) => source,
            }
        }
        MountSource::Anonymous => PlannedSource::Anonymous { name: String::new() },
        MountSource::Bind { path, create } => PlannedSource::Bind { path: path.clone(), create: *create },
        MountSource::Tmpfs { size_bytes, mode, uid, gid, exec } => {
            PlannedSource::Tmpfs { size_bytes: *size_bytes, mode: *mode, uid: *uid, gid: *gid, exec: *exec }
        }
    })
}

fn planned_file(
    kind: &'static str,
    file: &FileMount,
    source: Option<&FileSource>,
) -> Result<PlannedSource, RuntimeError> {
    let access = Access { uid: file.uid.clone(), gid: file.gid.clone(), mode: file.mode };
    match source {
        Some(FileSource::File(path)) => {
            Ok(PlannedSource::File { kind, key: file.source.clone(), path: path.clone(), access })
        }
        Some(FileSource::Content(content)) => {
            let content = Secret::new(content.expose().clone().into_bytes());
            Ok(PlannedSource::Content { content, access })
        }
        Some(FileSource::External(name)) => Err(RuntimeError::Missing { kind, name: name.clone() }),
        None => Err(RuntimeError::Missing { kind, name: file.source.clone() }),
    }
}

fn depth(target: &str) -> usize {
    target.split('/').filter(|part| !part.is_empty()).count()
}

/// `target` without `.`, `..` and doubled slashes, as a path in the container.
fn normal(target: &str) -> Result<String, RuntimeError> {
    let refused =
        |reason: &str| RuntimeError::Setup { step: format!("mount on {target}"), reason: reason.to_owned() };
    if !target.starts_with('/') {
        return Err(refused("the path is not absolute"));
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    if parts.is_empty() {
        return Err(refused("the root itself cannot be mounted over"));
    }
    Ok(format!("/{}", parts.join("/")))
}
