//! Roots: what stores and containers are told to trust.
//!
//! There is one for everything local, and one for each project whose gateway has names that are not. That one is for
//! the local names too, so that a project has one root: which, its names say.

use crate::{
    Adopted, AuthorityError, NAMES_MAX, Scope,
    certificate::{self, BACKDATED_SECONDS, DAY_SECONDS, Signer},
    file,
};
use mesh_redact::Secret;
use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// How long a root lives.
const LIFE_SECONDS: i64 = 3_650 * DAY_SECONDS;
/// A root that has no more than this left is replaced by another: what it signs lives for a month.
const LEFT_SECONDS_MIN: i64 = 60 * DAY_SECONDS;
/// After its making a root is not replaced for the sake of further names for so long.
const REST_SECONDS: i64 = 300;
/// A clock that is before this (2026) was never set: by it every root is of a time to come.
const CLOCK_SECONDS_MIN: i64 = 1_767_225_600;
/// Authorities below a root that may be between it and what is shown.
const PATH_LENGTH: u8 = 1;
/// How the names of files begin that hold a certificate for other programs.
const PUBLISHED: &str = "mesh-authority-";
/// Characters of a project's name in that of its root.
const PROJECT_CHARS_MAX: usize = 24;

/// Where roots are kept.
#[derive(Debug, Clone)]
pub struct Authorities {
    pub(crate) directory: PathBuf,
}

/// A root that can sign.
pub struct Root {
    pub(crate) signer: Signer,
    domains: BTreeSet<String>,
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Root").field("domains", &self.domains).finish_non_exhaustive()
    }
}

impl Authorities {
    /// Those in the data of a user.
    #[must_use]
    pub fn of(data: &Path) -> Self {
        Self { directory: data.join("authority") }
    }

    /// The root for these names of a project, made where there is none yet: the one for everything local if all names
    /// are, else the project's own. One whose names are not enough any more, that is about to expire or not valid yet is
    /// replaced by one that keeps its names. Whoever trusts a root is asked again for the next one, so for the sake of
    /// names none is replaced within five minutes of its making: until [`Root::rests_until_unix_seconds`] it may not be
    /// for all of them.
    ///
    /// # Errors
    /// A file that cannot be written, or that holds something else; a clock that was never set.
    pub fn root_for(&self, project: &str, names: &BTreeSet<String>) -> Result<Root, AuthorityError> {
        self.root_at(project, names, certificate::now())
    }

    fn root_at(&self, project: &str, names: &BTreeSet<String>, now: i64) -> Result<Root, AuthorityError> {
        let outside = Scope::outside(names);
        if outside.is_empty() {
            return self.obtain(&self.local_path(), "Mesh local authority", &Scope::local(), now);
        }
        let short: String = project.chars().take(PROJECT_CHARS_MAX).collect();
        let subject = format!("Mesh local authority of {short}");
        let path = self.project_path(project);
        // With the names that it had: a gateway that serves now these and now those has one root in the end.
        let before = Self::load(&path)?.map(|root| Scope::outside(&root.domains)).unwrap_or_default();
        let both: BTreeSet<String> = outside.union(&before).cloned().collect();
        let all = if both.len() > NAMES_MAX { outside } else { both };
        self.obtain(&path, &subject, &Scope::local_and(&all), now)
    }

    /// The root for everything local, made where there is none yet.
    ///
    /// # Errors
    /// Those of [`Authorities::root_for`].
    pub fn local(&self) -> Result<Root, AuthorityError> {
        self.root_for("", &BTreeSet::new())
    }

    /// The root of a project, where it has one of its own.
    ///
    /// # Errors
    /// A file that cannot be read, or that holds something else.
    pub fn of_project(&self, project: &str) -> Result<Option<Root>, AuthorityError> {
        Self::load(&self.project_path(project))
    }

    /// All roots there are. A file of a project that holds something else is told and left out: it is that project's
    /// trouble.
    ///
    /// # Errors
    /// A file that cannot be read; that of the root for everything local also where it holds something else.
    pub fn all(&self) -> Result<Vec<Root>, AuthorityError> {
        let mut paths = vec![self.local_path()];
        let entries = std::fs::read_dir(self.directory.join("projects")).into_iter().flatten().flatten();
        let mut projects: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        projects.retain(|path| path.extension().is_some_and(|extension| extension == "pem"));
        projects.sort();
        paths.extend(projects);
        let load = |(number, path): (usize, &PathBuf)| match Self::load(path) {
            Err(AuthorityError::Torn { path }) if number > 0 => {
                tracing::warn!(file = %path.display(), "a file is not an authority of Mesh and is left out");
                None
            }
            loaded => loaded.transpose(),
        };
        paths.iter().enumerate().filter_map(load).collect()
    }

    /// Writes the certificate of a root, without its key, into a file that other programs read; gives its path.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn publish(&self, root: &Root) -> Result<PathBuf, AuthorityError> {
        self.publish_text(&root.mark(), root.pem())
    }

    /// The same of the root of a vault.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn publish_adopted(&self, root: &Adopted) -> Result<PathBuf, AuthorityError> {
        self.publish_text(&root.mark(), root.pem())
    }

    fn publish_text(&self, mark: &str, pem: String) -> Result<PathBuf, AuthorityError> {
        let path = self.published().join(format!("{PUBLISHED}{mark}.crt"));
        file::replace(&path, &Secret::new(pem))?;
        Ok(path)
    }

    /// Every certificate that was published, also of roots that were replaced since: its file and its text.
    #[must_use]
    pub fn all_published(&self) -> Vec<(PathBuf, String)> {
        let entries = std::fs::read_dir(self.published()).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.retain(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with(PUBLISHED) && name.ends_with(".crt")
        });
        paths.sort();
        let text = |path: &PathBuf| String::from_utf8(file::read(path).ok()??.expose().clone()).ok();
        paths.iter().filter_map(|path| Some((path.clone(), text(path)?))).collect()
    }

    fn published(&self) -> PathBuf {
        self.directory.join("published")
    }

    fn local_path(&self) -> PathBuf {
        self.directory.join("local.pem")
    }

    fn project_path(&self, project: &str) -> PathBuf {
        // A name is valid by Compose's rule; what is not must still not lead elsewhere.
        self.directory.join("projects").join(format!("{}.pem", project.replace('/', "_")))
    }

    fn load(path: &Path) -> Result<Option<Root>, AuthorityError> {
        let Some(text) = file::read(path)? else { return Ok(None) };
        file::tighten(path)?;
        let torn = |_| AuthorityError::Torn { path: path.to_owned() };
        let (signer, _) = Signer::read(text.expose()).map_err(torn)?;
        let domains = signer.domains().map_err(torn)?;
        Ok(Some(Root { signer, domains }))
    }

    fn obtain(&self, path: &Path, subject: &str, scope: &Scope, now: i64) -> Result<Root, AuthorityError> {
        if let Some(root) = Self::load(path)?.filter(|root| root.serves(scope, now)) {
            return Ok(root);
        }
        if now < CLOCK_SECONDS_MIN {
            return Err(AuthorityError::NoClock);
        }
        // Of several at once one makes it, and the others find it: what is signed under a root that is replaced at once
        // is believed by nobody.
        let _turn = file::lock(&self.directory)?;
        let found = Self::load(path)?;
        let is_there = found.is_some();
        if let Some(root) = found.filter(|root| root.serves(scope, now) || root.rests(now)) {
            return Ok(root);
        }
        let content = make(subject, scope, now)?;
        if is_there {
            file::replace(path, &content)?;
        } else {
            file::make(path, &content)?;
        }
        let root = Self::load(path)?.filter(|root| root.serves(scope, now));
        let root = root.ok_or_else(|| AuthorityError::Torn { path: path.to_owned() })?;
        let name = root.name();
        tracing::warn!(
            root = name,
            "there is a new root: `mesh trust` has this machine and its browsers trust it"
        );
        Ok(root)
    }
}

impl Root {
    /// Its certificate as PEM: what is trusted.
    #[must_use]
    pub fn pem(&self) -> String {
        certificate::pem(&self.signer.certificate)
    }

    /// Its certificate.
    #[must_use]
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.signer.certificate
    }

    /// Its name, as other programs show it.
    #[must_use]
    pub fn name(&self) -> String {
        name_of(&self.signer.certificate).unwrap_or_default()
    }

    /// Those of its domains that are not local.
    #[must_use]
    pub fn domains_outside(&self) -> BTreeSet<String> {
        Scope::outside(&self.domains)
    }

    /// The domains that it is for.
    pub fn domains(&self) -> impl Iterator<Item = &str> {
        self.domains.iter().map(String::as_str)
    }

    /// A few hexadecimal digits by which it is told from others.
    #[must_use]
    pub fn mark(&self) -> String {
        certificate::mark(self.signer.issuer.key().public_key_raw())
    }

    /// Those of the names that it is for, and those for which there is no authority at all.
    #[must_use]
    pub fn permitted(&self, names: &BTreeSet<String>) -> BTreeSet<String> {
        let outside = Scope::outside(names);
        let permits = |name: &&String| {
            let own = crate::scope::domain(name).unwrap_or_default();
            !outside.contains(&own) || crate::scope::permits(self.domains(), &own)
        };
        names.iter().filter(permits).cloned().collect()
    }

    /// Until when it is not replaced for the sake of names, in seconds since 1970.
    #[must_use]
    pub fn rests_until_unix_seconds(&self) -> i64 {
        self.signer.from.saturating_add(BACKDATED_SECONDS + REST_SECONDS)
    }

    fn serves(&self, scope: &Scope, now: i64) -> bool {
        self.holds(now) && scope.domains().all(|domain| crate::scope::permits(self.domains(), domain))
    }

    fn holds(&self, now: i64) -> bool {
        // One from the future signs nothing: the clock was ahead when it was made.
        self.signer.from <= now && now.saturating_add(LEFT_SECONDS_MIN) < self.signer.until
    }

    /// Whether it was made just now, and is good but for names.
    fn rests(&self, now: i64) -> bool {
        self.holds(now) && now < self.rests_until_unix_seconds()
    }
}

/// The name of the authority in a PEM text.
#[must_use]
pub fn name_in(pem: &str) -> Option<String> {
    name_of(&CertificateDer::from_pem_slice(pem.as_bytes()).ok()?)
}

/// The common name of a certificate.
pub(crate) fn name_of(der: &[u8]) -> Option<String> {
    let (_, found) = X509Certificate::from_der(der).ok()?;
    let name = found.subject().iter_common_name().next()?.as_str().ok()?;
    Some(name.to_owned())
}

fn make(subject: &str, scope: &Scope, now: i64) -> Result<Secret<String>, AuthorityError> {
    let key = KeyPair::generate().map_err(AuthorityError::Make)?;
    let subject = format!("{subject} {}", certificate::mark(key.public_key_raw()));
    let mut params = certificate::params(&subject, now - BACKDATED_SECONDS, now + LIFE_SECONDS)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(PATH_LENGTH));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.name_constraints = Some(scope.constraints());
    let made = params.self_signed(&key).map_err(AuthorityError::Make)?;
    let key = certificate::key_pem(&key);
    Ok(Secret::new(format!("{}{}", key.expose(), certificate::pem(made.der()))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt as _, sync::Barrier};

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_root_is_made_once_and_kept_from_others() {
        let directory = tempfile::tempdir().unwrap();
        let authorities = Authorities::of(directory.path());
        assert!(authorities.all().unwrap().is_empty());
        let at_once = 8;
        let barrier = Barrier::new(at_once);
        let made: Vec<String> = std::thread::scope(|scope| {
            let one = || {
                barrier.wait();
                authorities.local().unwrap().pem()
            };
            let threads: Vec<_> = (0..at_once).map(|_| scope.spawn(one)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(made.iter().all(|pem| *pem == made[0]), "eight at once have one root");
        let folder = directory.path().join("authority");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join("local.pem"))), (0o700, 0o600));
        let left: Vec<_> = fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.file_name()).collect();
        let left: BTreeSet<_> = left.iter().filter_map(|name| name.to_str()).collect();
        assert_eq!(left, BTreeSet::from([".lock", "local.pem"]), "nothing is left beside it");
        let root = authorities.local().unwrap();
        assert!(!root.pem().contains("PRIVATE") && !format!("{root:?}").contains("PRIVATE"));
    }

    #[test]
    fn a_project_with_names_of_the_world_has_a_root_for_them() {
        let directory = tempfile::tempdir().unwrap();
        let authorities = Authorities::of(directory.path());
        let local = authorities.root_for("shop", &names(&["shop.localhost", "api.test"])).unwrap();
        assert_eq!(local.pem(), authorities.local().unwrap().pem());
        assert!(authorities.of_project("shop").unwrap().is_none());
        let both = names(&["shop.localhost", "shop.example"]);
        let own = authorities.root_for("shop", &both).unwrap();
        assert_ne!(own.pem(), local.pem());
        assert!(own.domains().any(|domain| domain == "shop.example"));
        assert!(!own.domains().any(|domain| domain == "example"));
        // Fewer names change nothing, more of them do.
        let outside = names(&["shop.example"]);
        assert_eq!(authorities.root_for("shop", &outside).unwrap().pem(), own.pem());
        // A while later, lest there be a new root to trust with each name.
        let names_now = names(&["shop.example", "*.other.example", "api.test"]);
        let resting = authorities.root_for("shop", &names_now).unwrap();
        assert_eq!(resting.pem(), own.pem());
        assert_eq!(resting.permitted(&names_now), names(&["shop.example", "api.test"]));
        let later = resting.rests_until_unix_seconds();
        assert!((1..=REST_SECONDS).contains(&(later - certificate::now())), "{later}");
        let more = authorities.root_at("shop", &names_now, later).unwrap();
        assert_ne!(more.pem(), own.pem());
        assert_eq!(more.permitted(&names_now), names_now);
        // Another name instead brings one for all of them, and going back to those before none.
        let later = more.rests_until_unix_seconds();
        let other = authorities.root_at("shop", &names(&["third.example"]), later).unwrap();
        let all = ["shop.example", "other.example", "third.example"];
        assert_eq!(other.domains_outside(), names(&all));
        assert_eq!(authorities.root_at("shop", &names(&all[..2]), later).unwrap().pem(), other.pem());
        assert_eq!(authorities.all().unwrap().len(), 2);
    }

    #[test]
    fn a_clock_that_was_never_set_makes_no_root_and_replaces_none() {
        let directory = tempfile::tempdir().unwrap();
        let authorities = Authorities::of(directory.path());
        let at_1970 = || authorities.root_at("", &BTreeSet::new(), 100);
        assert!(matches!(at_1970(), Err(AuthorityError::NoClock)));
        assert!(authorities.all().unwrap().is_empty());
        let root = authorities.local().unwrap();
        assert!(matches!(at_1970(), Err(AuthorityError::NoClock)));
        assert_eq!(authorities.local().unwrap().pem(), root.pem());
    }

    /// All of them sign under the one that stays.
    #[test]
    fn of_several_that_replace_a_root_at_once_one_does() {
        let directory = tempfile::tempdir().unwrap();
        let authorities = Authorities::of(directory.path());
        let long_ago = certificate::now() - LIFE_SECONDS + LEFT_SECONDS_MIN - 10;
        let old = make("old", &Scope::local(), long_ago).unwrap();
        file::replace(&directory.path().join("authority/local.pem"), &old).unwrap();
        let at_once = 8;
        let barrier = Barrier::new(at_once);
        let found: Vec<String> = std::thread::scope(|scope| {
            let one = || {
                barrier.wait();
                authorities.local().unwrap().pem()
            };
            let threads: Vec<_> = (0..at_once).map(|_| scope.spawn(one)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(found.iter().all(|pem| *pem == found[0] && !old.expose().contains(pem)));
    }

    #[test]
    fn what_is_published_has_no_key_and_stays() {
        let directory = tempfile::tempdir().unwrap();
        let authorities = Authorities::of(directory.path());
        let root = authorities.local().unwrap();
        let path = authorities.publish(&root).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), root.pem());
        assert_eq!(authorities.all_published(), [(path, root.pem())]);
        assert_eq!(root.name(), format!("Mesh local authority {}", root.mark()));
    }

    #[test]
    fn what_is_no_root_is_told_and_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let authorities = Authorities::of(directory.path());
        let whole = make("x", &Scope::local(), certificate::now()).unwrap();
        let other = make("y", &Scope::local(), certificate::now()).unwrap();
        let half = whole.expose().split_at(300).0.to_owned();
        let key = whole.expose().split("-----BEGIN CERT").next().unwrap().to_owned();
        let mixed =
            format!("{key}-----BEGIN CERT{}", other.expose().split("-----BEGIN CERT").nth(1).unwrap());
        let path = directory.path().join("authority/local.pem");
        file::make_directory(path.parent().unwrap()).unwrap();
        for text in ["", "hunter2", half.as_str(), key.as_str(), mixed.as_str()] {
            fs::write(&path, text).unwrap();
            let error = authorities.local().unwrap_err();
            assert!(matches!(error, AuthorityError::Torn { .. }), "{error:?}");
            assert!(!format!("{error:?}").contains("hunter2"));
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn a_torn_file_of_another_project_is_left_out_and_a_loose_one_is_tightened() {
        let directory = tempfile::tempdir().unwrap();
        let authorities = Authorities::of(directory.path());
        authorities.local().unwrap();
        authorities.root_for("shop", &names(&["shop.example"])).unwrap();
        let folder = directory.path().join("authority");
        fs::write(folder.join("projects/torn.pem"), "x").unwrap();
        let local = folder.join("local.pem");
        fs::set_permissions(&local, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(authorities.all().unwrap().len(), 2);
        assert_eq!(fs::metadata(&local).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(authorities.of_project("torn"), Err(AuthorityError::Torn { .. })));
        fs::write(&local, "x").unwrap();
        assert!(matches!(authorities.all(), Err(AuthorityError::Torn { .. })));
    }

    #[test]
    fn a_root_of_a_time_to_come_signs_nothing_and_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let authorities = Authorities::of(directory.path());
        let now = certificate::now();
        let early = make("early", &Scope::local(), now + 2 * DAY_SECONDS).unwrap();
        let path = directory.path().join("authority/local.pem");
        file::replace(&path, &early).unwrap();
        let root = Authorities::load(&path).unwrap().unwrap();
        let made = crate::Intermediate::make(&root, "shop", &names(&["shop.test"]), now);
        assert!(matches!(made, Err(AuthorityError::NotYet)), "{made:?}");
        assert!(!early.expose().contains(&authorities.local().unwrap().pem()));
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_a_root_near_its_end_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let authorities = Authorities::of(directory.path());
        let folder = directory.path().join("authority");
        file::make_directory(&folder).unwrap();
        let left = folder.join(".project.pem.mesh-new-1-0");
        fs::write(&left, "half of a key").unwrap();
        let long_ago = certificate::now() - LIFE_SECONDS + LEFT_SECONDS_MIN - 10;
        let old = make("old", &Scope::local(), long_ago).unwrap();
        assert!(file::make(&folder.join("local.pem"), &old).unwrap());
        assert!(!file::make(&folder.join("local.pem"), &old).unwrap(), "it is there");
        assert!(!left.exists());
        let new = authorities.local().unwrap().pem();
        assert!(!old.expose().contains(&new));
        assert_eq!(authorities.local().unwrap().pem(), new);
    }
}
