//! What a container trusts beside its image's own authorities: those of the project's gateway. Blocking.
//!
//! The image's bundle with ours added is mounted over it, read-only, wherever the image has one; OpenSSL's directory
//! gets a file of the authority's hash; programs that look elsewhere are told by the usual variables, where neither
//! the image nor the service sets them. An image without a bundle gets one of our authorities alone, and only the
//! variables that take nothing away: whoever brings his own list, as Python's `certifi`, keeps it.
//!
//! Invariants: the image is not changed; nothing is mounted where the service has mounted something; what is mounted
//! is in the container's own directory, and an authority that comes later is added to it in place. A bundle that cannot
//! be read, or that the service mounts, is never replaced by ours alone. Absent on purpose: Java's own store, which is
//! no PEM.

mod layers;
#[cfg(test)]
mod tests;

use crate::{
    conversion::{PlannedMount, PlannedSource},
    ground::Ground,
    record,
    settings::system,
};
use layers::Found;
use mesh_model::container::ContainerSpec;
use mesh_runtime::{error::RuntimeError, trust::Trusted};
use mesh_sandbox::specification::{MountKind, MountSpecification};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    io::{Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
};

/// Where images have their authorities: Debian, Alpine and Arch; Red Hat, old and new; SUSE; Alpine and BSD.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// Where OpenSSL looks for an authority by its hash.
const HASHED: &str = "/etc/ssl/certs";
/// Our authorities alone, in every container.
const OWN: &str = "/run/mesh/authority.pem";
/// Largest bundle of an image, in bytes: that of Mozilla has 250 kB.
const BUNDLE_BYTES_MAX: u64 = 4 << 20;
/// What names a bundle that is taken in place of all others.
const REPLACING: [&str; 4] = ["AWS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "REQUESTS_CA_BUNDLE"];
/// What names authorities that are taken beside others.
const ADDING: &str = "NODE_EXTRA_CA_CERTS";
/// What OpenSSL, Go and many others take in place of the system's bundle.
const SYSTEM: &str = "SSL_CERT_FILE";
/// Where the files are, in the container's directory.
const DIRECTORY: &str = "trust";
/// Most containers that are told of an authority that comes later.
const CONTAINERS_MAX: usize = 10_000;
/// How a certificate begins.
const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----";
/// How one ends, and with it every file that is made here.
const PEM_END: &[u8] = b"-----END CERTIFICATE-----\n";
/// Most that authorities may take in a container's file beside its image's, in bytes: hundreds of roots.
const OWN_BYTES_MAX: u64 = 256 << 10;

/// What a start brings to a container that trusts.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    /// Mounts, to come after all others.
    pub(crate) mounts: Vec<MountSpecification>,
    /// Variables.
    pub(crate) variables: BTreeMap<String, String>,
}

/// Whom containers trust that start now.
pub(crate) fn trusted(ground: &Ground) -> Arc<Vec<Trusted>> {
    Arc::clone(&ground.trusted.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Has containers trust these: those that start from now on, and those that run and trust already.
///
/// # Errors
/// A file cannot be written.
pub(crate) fn trust(ground: &Ground, authorities: Vec<Trusted>) -> Result<(), RuntimeError> {
    let authorities = Arc::new(authorities);
    // Held to the end: of two at once each would add the same. All are looked at however often it is asked, since an
    // attempt before may have failed at some of them.
    let mut trusted = ground.trusted.lock().unwrap_or_else(PoisonError::into_inner);
    *trusted = Arc::clone(&authorities);
    add_to_all(&ground.settings.containers(), &authorities)
}

/// Adds authorities to the files of every container in a directory; one that is being started has its files too.
///
/// # Errors
/// The first file that cannot be written, after all others were.
fn add_to_all(containers: &Path, authorities: &[Trusted]) -> Result<(), RuntimeError> {
    let entries = fs::read_dir(containers).into_iter().flatten().flatten().take(CONTAINERS_MAX);
    let failed: Vec<_> = entries.filter_map(|entry| add(&entry.path(), authorities).err()).collect();
    // One after the other to the end: those behind one that fails must trust as well.
    failed.into_iter().next().map_or(Ok(()), Err)
}

/// Makes the files of a container and says what is mounted where. Nothing, where there is nobody to trust or the
/// service wants none of it.
///
/// # Errors
/// A file cannot be written.
pub(crate) fn prepare(
    spec: &ContainerSpec,
    container: &Path,
    planned: &[PlannedMount],
    trusted: &[Trusted],
) -> Result<Trust, RuntimeError> {
    let mut trust = Trust::default();
    if trusted.is_empty() || spec.service.security.distrusts_gateway {
        return Ok(trust);
    }
    let files = Files::make(container)?;
    let own: String = trusted.iter().map(|one| one.pem.as_str()).collect();
    let own_there = is_free(planned, OWN, true);
    if own_there {
        trust.mounts.push(files.mount("authority.pem", own.as_bytes(), OWN)?);
    }
    // What the container itself wrote lies over its image.
    let mut all = vec![container.join("upper")];
    all.extend(spec.image.layers.iter().rev().cloned());
    let places = places(spec, &all);
    let mut bundle = None;
    let mut taken = BTreeSet::new();
    for (number, (place, path, text)) in places.iter().filter_map(Place::bundle).enumerate() {
        if !is_free(planned, path, false) || !is_free(planned, place, false) || !taken.insert(path) {
            continue;
        }
        let text = [text.trim_ascii_end(), b"\n", own.as_bytes()].concat();
        trust.mounts.push(files.mount(&format!("bundle-{number}.pem"), &text, path)?);
        bundle.get_or_insert(place);
    }
    if let Found::Directory(directory) = layers::find(&all, HASHED) {
        for one in trusted {
            let path = format!("{directory}/{}.0", one.subject_hash);
            // An empty one is what an earlier start was mounted on.
            let is_empty = match layers::find(&all, &path) {
                Found::Nothing => true,
                Found::File(_, file) => {
                    layers::read(&file, BUNDLE_BYTES_MAX).is_ok_and(|text| text.is_empty())
                }
                Found::Directory(_) => false,
            };
            if is_empty && is_free(planned, &path, false) {
                let text = one.pem.as_bytes();
                trust.mounts.push(files.mount(&format!("{}.0", one.subject_hash), text, &path)?);
            }
        }
    }
    // Ours in the place of a list that only cannot be seen from here would take all others away.
    let is_bare = places
        .iter()
        .all(|place| matches!(place.what, What::Nothing) && is_free(planned, &place.place, false));
    if is_bare {
        trust.mounts.push(files.mount("bundle.pem", own.as_bytes(), BUNDLES[0])?);
    }
    trust.variables = variables(spec, own_there, bundle.map(String::as_str), is_bare);
    Ok(trust)
}

/// Adds authorities that came later to the files of a container that runs.
///
/// # Errors
/// The first file that cannot be written, after all others were.
fn add(container: &Path, trusted: &[Trusted]) -> Result<(), RuntimeError> {
    let directory = container.join(DIRECTORY);
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(system("read", &directory, error)),
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let failed: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "pem"))
        .filter_map(|path| {
            append(&path, trusted).map_err(|error| system("add an authority to", &path, error)).err()
        })
        .collect();
    failed.into_iter().next().map_or(Ok(()), Err)
}

/// Adds what is missing in a file, in place: the container has this very file mounted, so that no other can take its
/// place. What an attempt before left half written is cut off first.
fn append(path: &Path, trusted: &[Trusted]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().read(true).write(true).open(path)?;
    let mut text = Vec::new();
    let bytes_max = BUNDLE_BYTES_MAX + OWN_BYTES_MAX;
    (&file).take(bytes_max + 1).read_to_end(&mut text)?;
    if text.len() as u64 > bytes_max {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    text.truncate(whole(&text));
    let missing = trusted.iter().filter(|one| !contains(&text, one.pem.trim_end().as_bytes()));
    let missing: String = missing.map(|one| one.pem.as_str()).collect();
    let (before, after) = (text.len() as u64, (text.len() + missing.len()) as u64);
    let own_alone = path.file_name().is_some_and(|name| name == "authority.pem");
    if !missing.is_empty() && after > if own_alone { OWN_BYTES_MAX } else { bytes_max } {
        tracing::warn!(
            file = %path.display(),
            "a container has so many authorities that no more are added: it trusts the newest once it is started again"
        );
        return Ok(());
    }
    if missing.is_empty() && file.metadata()?.len() == before {
        return Ok(());
    }
    let written = (|| {
        file.set_len(before)?;
        file.seek(io::SeekFrom::Start(before))?;
        file.write_all(missing.as_bytes())?;
        if file.metadata()?.len() != after {
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(())
    })();
    if written.is_err() {
        // Half a certificate makes programs refuse the whole list; the next attempt cuts it off if this does not.
        let _ = file.set_len(before);
    }
    written
}

/// How many bytes of a text end with a whole certificate; all of them where there is none.
fn whole(text: &[u8]) -> usize {
    let ends = text.windows(PEM_END.len()).rposition(|window| window == PEM_END);
    ends.map_or(text.len(), |at| at + PEM_END.len())
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len().max(1)).any(|window| window == part)
}

/// A container's own environment with what its start brought, for programs that are run in it later.
pub(crate) fn apply(spec: &mut ContainerSpec, variables: &BTreeMap<String, String>) {
    for (name, value) in variables {
        spec.image.config.environment.entry(name.clone()).or_insert_with(|| value.clone());
    }
}

/// A place where programs look for a bundle, and what the image has there.
struct Place {
    place: String,
    what: What,
}

enum What {
    /// A bundle: where it is without links, and what is in it.
    Bundle(String, Vec<u8>),
    /// Nothing, or what an earlier start was mounted on.
    Nothing,
    /// Something that is not ours to replace.
    Other,
}

impl Place {
    fn bundle(&self) -> Option<(&String, &String, &Vec<u8>)> {
        match &self.what {
            What::Bundle(path, text) => Some((&self.place, path, text)),
            What::Nothing | What::Other => None,
        }
    }
}

/// The places where the image's programs look for a bundle.
fn places(spec: &ContainerSpec, all: &[PathBuf]) -> Vec<Place> {
    let named = [SYSTEM].into_iter().chain(REPLACING);
    let named = named.filter_map(|name| spec.image.config.environment.get(name)).map(String::as_str);
    let places = BUNDLES.into_iter().chain(named.filter(|place| place.starts_with('/')));
    let look = |place: &str| match layers::find(all, place) {
        Found::Nothing => What::Nothing,
        Found::Directory(_) => What::Other,
        Found::File(path, file) => match layers::read(&file, BUNDLE_BYTES_MAX) {
            Ok(text) if text.is_empty() => What::Nothing,
            Ok(text) if contains(&text, PEM) => What::Bundle(path, text),
            Ok(_) => What::Other,
            Err(error) => {
                tracing::warn!(
                    service = spec.service.name,
                    place,
                    trouble = %error,
                    "a list of authorities in an image cannot be read and stays as it is: without the gateway's"
                );
                What::Other
            }
        },
    };
    places.map(|place| Place { place: place.to_owned(), what: look(place) }).collect()
}

/// Whether nothing of the service's is mounted at a path or above it; memory above it does where that is asked.
fn is_free(planned: &[PlannedMount], path: &str, in_memory: bool) -> bool {
    let covers = |mount: &&PlannedMount| {
        path.strip_prefix(mount.target.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    planned
        .iter()
        .filter(covers)
        .all(|mount| in_memory && mount.target != path && matches!(mount.source, PlannedSource::Tmpfs { .. }))
}

fn variables(
    spec: &ContainerSpec,
    own: bool,
    bundle: Option<&str>,
    is_bare: bool,
) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    if own {
        variables.insert(ADDING, OWN);
    }
    if let Some(bundle) = bundle {
        variables.extend(REPLACING.map(|name| (name, bundle)));
    }
    if is_bare {
        variables.insert(SYSTEM, BUNDLES[0]);
    }
    let is_unset = |name: &str| {
        !spec.image.config.environment.contains_key(name)
            && !spec.service.environment.contains_key(name)
            && !spec.service.environment_unset.contains(name)
    };
    let wanted = variables.into_iter().filter(|(name, _)| is_unset(name));
    wanted.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Files in the directory of a container.
struct Files {
    directory: PathBuf,
}

impl Files {
    fn make(container: &Path) -> Result<Self, RuntimeError> {
        let directory = container.join(DIRECTORY);
        match fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(system("remove", &directory, error));
            }
            _ => {}
        }
        record::make_private_directory(&directory)?;
        // The shim demands paths without links.
        let directory = directory.canonicalize().map_err(|error| system("look at", &directory, error))?;
        Ok(Self { directory })
    }

    fn mount(&self, name: &str, text: &[u8], target: &str) -> Result<MountSpecification, RuntimeError> {
        let path = self.directory.join(name);
        record::replace(&path, text, 0o644).map_err(|error| system("write", &path, error))?;
        let kind = MountKind::Bind { source: path, populate: false, owner: None };
        Ok(MountSpecification { target: target.to_owned(), kind, read_only: true })
    }
}
