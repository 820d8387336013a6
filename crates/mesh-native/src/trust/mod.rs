//! What a container trusts beside its image's own authorities: those of the project's gateway. Blocking.
//!
//! The image's bundle with ours added is mounted over it, read-only, wherever the image has one; OpenSSL's directory
//! gets a file of the authority's hash; programs that look elsewhere are told by the usual variables, where neither
//! the image nor the service sets them. An image without a bundle gets one of our authorities alone, and only the
//! variables that take nothing away: whoever brings his own list, as Python's `certifi`, keeps it.
//!
//! Invariants: the image is not changed; nothing is mounted where the service has mounted something; what is mounted
//! is in the container's own directory, and an authority that comes later is added to it in place. Absent on purpose:
//! Java's own store, which is no PEM.

mod layers;

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
    io::Write as _,
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
const PEM: &str = "-----BEGIN CERTIFICATE-----";

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
    let before = {
        let mut trusted = ground.trusted.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *trusted, Arc::clone(&authorities))
    };
    if before == authorities {
        return Ok(());
    }
    // One that is being started has its files too.
    let containers = ground.settings.containers();
    let entries = fs::read_dir(&containers).into_iter().flatten().flatten().take(CONTAINERS_MAX);
    entries.map(|entry| entry.path()).try_for_each(|container| add(&container, &authorities))
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
        trust.mounts.push(files.mount("authority.pem", &own, OWN)?);
    }
    // What the container itself wrote lies over its image.
    let mut all = vec![container.join("upper")];
    all.extend(spec.image.layers.iter().rev().cloned());
    let mut bundle = None;
    let mut taken = BTreeSet::new();
    for (number, (place, path, text)) in bundles(spec, &all).into_iter().enumerate() {
        if !is_free(planned, &path, false) || !is_free(planned, &place, false) || !taken.insert(path.clone())
        {
            continue;
        }
        let text = format!("{}\n{own}", text.trim_end());
        trust.mounts.push(files.mount(&format!("bundle-{number}.pem"), &text, &path)?);
        bundle.get_or_insert(place);
    }
    if let Found::Directory(directory) = layers::find(&all, HASHED) {
        for one in trusted {
            let path = format!("{directory}/{}.0", one.subject_hash);
            // An empty one is what an earlier start was mounted on.
            let is_empty = match layers::find(&all, &path) {
                Found::Nothing => true,
                Found::File(_, file) => {
                    layers::read(&file, BUNDLE_BYTES_MAX).is_some_and(|text| text.is_empty())
                }
                Found::Directory(_) => false,
            };
            if is_empty && is_free(planned, &path, false) {
                trust.mounts.push(files.mount(&format!("{}.0", one.subject_hash), &one.pem, &path)?);
            }
        }
    }
    let is_bare = bundle.is_none() && bundles(spec, &all).is_empty() && is_free(planned, BUNDLES[0], false);
    if is_bare {
        trust.mounts.push(files.mount("bundle.pem", &own, BUNDLES[0])?);
    }
    trust.variables = variables(spec, own_there, bundle.as_deref(), is_bare);
    Ok(trust)
}

/// Adds authorities that came later to the files of a container that runs.
///
/// # Errors
/// A file cannot be written.
pub(crate) fn add(container: &Path, trusted: &[Trusted]) -> Result<(), RuntimeError> {
    let directory = container.join(DIRECTORY);
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(system("read", &directory, error)),
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "pem") {
            continue;
        }
        let text = fs::read_to_string(&path).map_err(|error| system("read", &path, error))?;
        let missing = trusted.iter().filter(|one| !text.contains(one.pem.trim_end()));
        let missing: String = missing.map(|one| one.pem.as_str()).collect();
        if !missing.is_empty() {
            // In place, and at once: the container has this very file.
            let written = fs::OpenOptions::new()
                .append(true)
                .open(&path)
                .and_then(|mut file| file.write_all(missing.as_bytes()));
            written.map_err(|error| system("write", &path, error))?;
        }
    }
    Ok(())
}

/// A container's own environment with what its start brought, for programs that are run in it later.
pub(crate) fn apply(spec: &mut ContainerSpec, variables: &BTreeMap<String, String>) {
    for (name, value) in variables {
        spec.image.config.environment.entry(name.clone()).or_insert_with(|| value.clone());
    }
}

/// Bundles of the image: where it is looked for, where it is, and what is in it.
fn bundles(spec: &ContainerSpec, all: &[PathBuf]) -> Vec<(String, String, String)> {
    let named = [SYSTEM].into_iter().chain(REPLACING);
    let named = named.filter_map(|name| spec.image.config.environment.get(name)).map(String::as_str);
    let places = BUNDLES.into_iter().chain(named.filter(|place| place.starts_with('/')));
    let found = places.filter_map(|place| {
        let Found::File(path, file) = layers::find(all, place) else { return None };
        let text = layers::read(&file, BUNDLE_BYTES_MAX).filter(|text| text.contains(PEM))?;
        Some((place.to_owned(), path, text))
    });
    found.collect()
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

    fn mount(&self, name: &str, text: &str, target: &str) -> Result<MountSpecification, RuntimeError> {
        let path = self.directory.join(name);
        record::replace(&path, text.as_bytes(), 0o644).map_err(|error| system("write", &path, error))?;
        let kind = MountKind::Bind { source: path, populate: false, owner: None };
        Ok(MountSpecification { target: target.to_owned(), kind, read_only: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    const OF_IMAGE: &str = "-----BEGIN CERTIFICATE-----\nimage\n-----END CERTIFICATE-----\n";

    fn root(name: &str) -> Trusted {
        let pem = format!("-----BEGIN CERTIFICATE-----\n{name}\n-----END CERTIFICATE-----\n");
        Trusted { pem, subject_hash: format!("hash-of-{name}") }
    }

    struct Bed {
        folder: tempfile::TempDir,
        spec: ContainerSpec,
    }

    impl Bed {
        fn new(files: &[&str]) -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let layer = folder.path().join("layer");
            for file in files {
                let path = layer.join(file);
                fs::create_dir_all(path.parent().expect("a parent")).expect("made");
                fs::write(path, OF_IMAGE).expect("written");
            }
            fs::create_dir_all(folder.path().join("container/upper")).expect("made");
            let mut spec = fixture::spec();
            spec.image.layers = vec![layer];
            Self { folder, spec }
        }

        fn container(&self) -> PathBuf {
            self.folder.path().join("container")
        }

        fn prepare(&self, trusted: &[Trusted]) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
            let planned = crate::conversion::plan_mounts(&self.spec).expect("planned");
            let trust = prepare(&self.spec, &self.container(), &planned, trusted).expect("prepared");
            let text = |mount: &MountSpecification| {
                let MountKind::Bind { source, .. } = &mount.kind else { panic!("another kind") };
                assert!(mount.read_only);
                fs::read_to_string(source).expect("there")
            };
            let mounts = trust.mounts.iter().map(|mount| (mount.target.clone(), text(mount))).collect();
            (mounts, trust.variables)
        }
    }

    #[test]
    fn a_bundle_of_the_image_is_extended_where_it_is() {
        let bed = Bed::new(&["etc/ssl/certs/ca-certificates.crt"]);
        let ours = root("ours");
        let (mounts, variables) = bed.prepare(std::slice::from_ref(&ours));
        let targets: Vec<&str> = mounts.keys().map(String::as_str).collect();
        assert_eq!(
            targets,
            [
                "/etc/ssl/certs/ca-certificates.crt",
                "/etc/ssl/certs/hash-of-ours.0",
                "/run/mesh/authority.pem"
            ]
        );
        assert_eq!(mounts["/etc/ssl/certs/ca-certificates.crt"], format!("{OF_IMAGE}{}", ours.pem));
        assert_eq!(mounts["/run/mesh/authority.pem"], ours.pem);
        let names: Vec<&str> = variables.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "AWS_CA_BUNDLE",
                "CURL_CA_BUNDLE",
                "GIT_SSL_CAINFO",
                "NODE_EXTRA_CA_CERTS",
                "REQUESTS_CA_BUNDLE"
            ]
        );
        assert_eq!(variables["CURL_CA_BUNDLE"], "/etc/ssl/certs/ca-certificates.crt");
    }

    /// A container that is started again has empty files where things were mounted.
    #[test]
    fn a_second_start_is_as_the_first() {
        for files in [&["etc/ssl/certs/ca-certificates.crt"][..], &["bin/program"]] {
            let bed = Bed::new(files);
            let first = bed.prepare(&[root("ours")]);
            for target in first.0.keys() {
                let path = bed.container().join("upper").join(target.trim_start_matches('/'));
                fs::create_dir_all(path.parent().expect("a parent")).expect("made");
                if !files.contains(&target.trim_start_matches('/')) {
                    fs::write(path, "").expect("written");
                }
            }
            let hash = "/etc/ssl/certs/hash-of-ours.0";
            let mut second = bed.prepare(&[root("ours")]);
            if !first.0.contains_key(hash) {
                // The folder is there by now.
                second.0.remove(hash);
            }
            assert_eq!(first, second);
        }
    }

    #[test]
    fn every_place_of_a_bundle_is_one_file() {
        let bed = Bed::new(&["etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "nix/ca-bundle.crt"]);
        let link = bed.spec.image.layers[0].join("etc/pki/tls/certs/ca-bundle.crt");
        fs::create_dir_all(link.parent().expect("a parent")).expect("made");
        std::os::unix::fs::symlink("/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", link)
            .expect("linked");
        let mut bed = bed;
        bed.spec.image.config.environment.insert(SYSTEM.to_owned(), "/nix/ca-bundle.crt".to_owned());
        let (mounts, variables) = bed.prepare(&[root("ours")]);
        let targets: Vec<&str> = mounts.keys().map(String::as_str).collect();
        let system = "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem";
        assert_eq!(targets, [system, "/nix/ca-bundle.crt", OWN]);
        assert_eq!(variables["CURL_CA_BUNDLE"], "/etc/pki/tls/certs/ca-bundle.crt");
        assert!(!variables.contains_key(SYSTEM));
    }

    #[test]
    fn an_image_without_a_bundle_keeps_what_its_programs_bring() {
        let bed = Bed::new(&["bin/program"]);
        let (mounts, variables) = bed.prepare(&[root("ours")]);
        assert_eq!(mounts[BUNDLES[0]], root("ours").pem);
        let want =
            [(ADDING, OWN), (SYSTEM, BUNDLES[0])].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(variables, BTreeMap::from(want));
    }

    #[test]
    fn what_the_service_says_stands() {
        use mesh_model::mount::{Mount, MountSource};
        let mut bed = Bed::new(&["etc/ssl/certs/ca-certificates.crt"]);
        assert!(bed.prepare(&[]).0.is_empty(), "there is nobody to trust");
        bed.spec.service.environment.insert("CURL_CA_BUNDLE".to_owned(), "/own.pem".to_owned());
        bed.spec.service.environment_unset.insert("AWS_CA_BUNDLE".to_owned());
        let (_, variables) = bed.prepare(&[root("ours")]);
        assert!(!variables.contains_key("CURL_CA_BUNDLE") && !variables.contains_key("AWS_CA_BUNDLE"));
        let source = MountSource::Bind { path: "/somewhere".into(), create: false };
        bed.spec.service.mounts.push(Mount { target: "/etc/ssl/certs".to_owned(), source, read_only: true });
        let (mounts, variables) = bed.prepare(&[root("ours")]);
        assert_eq!(mounts.keys().collect::<Vec<_>>(), [OWN], "its own directory stays as it is");
        assert_eq!(variables.keys().collect::<Vec<_>>(), [ADDING]);
        bed.spec.service.security.distrusts_gateway = true;
        assert!(bed.prepare(&[root("ours")]).0.is_empty());
    }

    #[test]
    fn an_authority_that_comes_later_is_added_in_place() {
        let bed = Bed::new(&["etc/ssl/certs/ca-certificates.crt"]);
        let (first, second) = (root("first"), root("second"));
        bed.prepare(std::slice::from_ref(&first));
        let bundle = bed.container().join("trust/bundle-0.pem");
        let opened = fs::File::open(&bundle).expect("there");
        for _ in 0..2 {
            add(&bed.container(), &[first.clone(), second.clone()]).expect("added");
        }
        let text = io::read_to_string(opened).expect("the same file");
        assert_eq!(text, format!("{OF_IMAGE}{}{}", first.pem, second.pem));
        add(&bed.folder.path().join("none"), &[second]).expect("nothing to add to");
    }

    #[test]
    fn programs_that_are_run_later_have_the_variables_too() {
        let mut spec = fixture::spec();
        spec.image.config.environment.insert("A".to_owned(), "image".to_owned());
        apply(
            &mut spec,
            &BTreeMap::from([("A", "x"), ("B", "y")].map(|(a, b)| (a.to_owned(), b.to_owned()))),
        );
        assert_eq!(spec.image.config.environment["A"], "image");
        assert_eq!(spec.image.config.environment["B"], "y");
    }
}
