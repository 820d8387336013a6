//! What containers are told to trust, of images and services of all kinds.

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
            String::from_utf8_lossy(&fs::read(source).expect("there")).into_owned()
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
        ["/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/certs/hash-of-ours.0", "/run/mesh/authority.pem"]
    );
    assert_eq!(mounts["/etc/ssl/certs/ca-certificates.crt"], format!("{OF_IMAGE}{}", ours.pem));
    assert_eq!(mounts["/run/mesh/authority.pem"], ours.pem);
    let names: Vec<&str> = variables.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["AWS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE"]
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
    std::os::unix::fs::symlink("/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", link).expect("linked");
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
    let want = [(ADDING, OWN), (SYSTEM, BUNDLES[0])].map(|(name, value)| (name.to_owned(), value.to_owned()));
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
    // It brings a list of its own to an image without one.
    let mut bare = Bed::new(&["bin/program"]);
    let source = MountSource::Bind { path: "/somewhere".into(), create: false };
    let target = "/etc/ssl/cert.pem".to_owned();
    bare.spec.service.mounts.push(Mount { target, source, read_only: true });
    let (mounts, variables) = bare.prepare(&[root("ours")]);
    assert_eq!(mounts.keys().collect::<Vec<_>>(), [OWN]);
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

/// Every place in which an attempt can be cut off, by a disk that is full or a process that is killed.
#[test]
fn what_was_cut_off_is_repaired_by_the_next_attempt() {
    let bed = Bed::new(&["etc/ssl/certs/ca-certificates.crt"]);
    let (first, torn, second) = (root("first"), root("torn"), root("second"));
    bed.prepare(std::slice::from_ref(&first));
    let bundle = bed.container().join("trust/bundle-0.pem");
    let before = fs::read_to_string(&bundle).expect("there");
    for wanted in [&torn, &second] {
        for cut in 0..torn.pem.len() {
            fs::write(&bundle, format!("{before}{}", &torn.pem[..cut])).expect("written");
            add(&bed.container(), &[first.clone(), wanted.clone()]).expect("added");
            assert_eq!(fs::read_to_string(&bundle).expect("there"), format!("{before}{}", wanted.pem));
        }
    }
}

#[test]
fn one_that_fails_keeps_no_other_from_it_and_the_next_attempt_reaches_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let of = |name: &str| folder.path().join(name).join("trust/authority.pem");
    for name in ["a", "b", "c"] {
        fs::create_dir_all(of(name).parent().expect("a parent")).expect("made");
        fs::write(of(name), root("first").pem).expect("written");
    }
    // No file to write to.
    fs::remove_file(of("b")).expect("removed");
    fs::create_dir(of("b")).expect("made");
    let both = [root("first"), root("second")];
    let want = format!("{}{}", both[0].pem, both[1].pem);
    add_to_all(folder.path(), &both).expect_err("one fails");
    for name in ["a", "c"] {
        assert_eq!(fs::read_to_string(of(name)).expect("there"), want, "{name}");
    }
    fs::remove_dir(of("b")).expect("removed");
    fs::write(of("b"), root("first").pem).expect("written");
    add_to_all(folder.path(), &both).expect("all of them");
    assert_eq!(fs::read_to_string(of("b")).expect("there"), want);
}

#[test]
fn there_is_a_bound_to_what_is_added() {
    let bed = Bed::new(&["bin/program"]);
    bed.prepare(&[root("first")]);
    let long = |number: usize| root(&format!("{number}-{}", "x".repeat(10_000)));
    for number in 0..40 {
        add(&bed.container(), &[long(number)]).expect("added, or told");
    }
    let own = fs::metadata(bed.container().join("trust/authority.pem")).expect("there").len();
    assert!(own <= OWN_BYTES_MAX && own > OWN_BYTES_MAX - 20_000, "{own}");
}

#[test]
fn a_list_of_other_bytes_is_extended_and_one_that_cannot_be_read_stays() {
    let bed = Bed::new(&[]);
    let path = bed.spec.image.layers[0].join("etc/ssl/certs/ca-certificates.crt");
    fs::create_dir_all(path.parent().expect("a parent")).expect("made");
    let latin = [b"# Autorit\xe9\n".as_slice(), OF_IMAGE.as_bytes()].concat();
    fs::write(&path, &latin).expect("written");
    bed.prepare(&[root("ours")]);
    let made = fs::read(bed.container().join("trust/bundle-0.pem")).expect("there");
    assert_eq!(made, [latin.as_slice(), root("ours").pem.as_bytes()].concat());
    let large = "x".repeat(usize::try_from(BUNDLE_BYTES_MAX).expect("small") + 1);
    for text in [large.as_str(), "no certificate"] {
        fs::write(&path, text).expect("written");
        let (mounts, variables) = bed.prepare(&[root("ours")]);
        assert!(!mounts.contains_key(BUNDLES[0]) && variables.keys().eq([ADDING]), "{variables:?}");
    }
}

#[test]
fn programs_that_are_run_later_have_the_variables_too() {
    let mut spec = fixture::spec();
    spec.image.config.environment.insert("A".to_owned(), "image".to_owned());
    apply(&mut spec, &BTreeMap::from([("A", "x"), ("B", "y")].map(|(a, b)| (a.to_owned(), b.to_owned()))));
    assert_eq!(spec.image.config.environment["A"], "image");
    assert_eq!(spec.image.config.environment["B"], "y");
}
