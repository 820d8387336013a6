//! Browsers' own stores: databases of NSS, as Chromium has one a user and Firefox one a profile.

use super::{
    Deed, Known, Step,
    programs::{self, TrustError},
};
use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

/// The program that keeps such databases, and the packages that bring it.
const CERTUTIL: &str = "certutil";
/// What to install where it is missing.
const PACKAGES: &str = "libnss3-tools on Debian, nss-tools on Fedora, nss on Arch";
/// Stores of Chromium and its relatives, below the home of a user; the first is made where such a browser is there.
const OF_CHROMIUM: [&str; 2] = [".pki/nssdb", "snap/chromium/current/.pki/nssdb"];
/// Browsers that read the first of them.
const CHROMIUMS: [&str; 7] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "brave-browser",
    "microsoft-edge",
    "vivaldi",
];
/// Folders of Firefox's profiles, below the home of a user.
const OF_FIREFOX: [&str; 3] = [
    ".mozilla/firefox",
    "snap/firefox/common/.mozilla/firefox",
    ".var/app/org.mozilla.firefox/.mozilla/firefox",
];
/// By which file a database is known.
const DATABASE: &str = "cert9.db";
/// Most profiles that are looked at.
const PROFILES_MAX: usize = 100;
/// How far such an authority is trusted: for servers alone.
const FOR_SERVERS: &str = "C,,";

/// The stores of one user's browsers.
#[derive(Debug)]
pub(super) struct Browsers {
    certutil: Option<PathBuf>,
    stores: Vec<PathBuf>,
}

impl Browsers {
    pub(super) fn find(home: Option<&Path>) -> Self {
        let chromium = CHROMIUMS.iter().any(|name| programs::find(name).is_some());
        let stores = home.map(|home| stores(home, chromium)).unwrap_or_default();
        Self { certutil: programs::find(CERTUTIL), stores }
    }

    /// What is to be done so that these are trusted, and those are not.
    pub(super) fn steps(&mut self, wanted: &[Known], unwanted: &[Known]) -> Vec<Step> {
        let has_one = |store: &PathBuf| store.join(DATABASE).exists();
        if wanted.is_empty() {
            self.stores.retain(has_one);
        }
        if self.certutil.is_none() && !self.stores.is_empty() {
            let stores: Vec<String> = self.stores.iter().map(|store| store.display().to_string()).collect();
            let told = format!("for browsers ({}), install {CERTUTIL} first: {PACKAGES}", stores.join(", "));
            return vec![Step { told, deed: Deed::Advice }];
        }
        let mut steps = Vec::new();
        for store in &self.stores {
            let names = self.names(store);
            for one in unwanted.iter().filter(|one| names.contains(&one.name)) {
                let told = format!("remove {} from {}", one.name, store.display());
                let deed = Deed::BrowserRemove { store: store.clone(), name: one.name.clone() };
                steps.push(Step { told, deed });
            }
            for one in wanted.iter().filter(|one| !names.contains(&one.name)) {
                let told = format!("put {} into {}", one.name, store.display());
                let deed = Deed::BrowserAdd { store: store.clone(), authority: one.clone() };
                steps.push(Step { told, deed });
            }
        }
        steps
    }

    /// Names of what a store has; none where it is not there or cannot be read.
    fn names(&self, store: &Path) -> Vec<String> {
        let listed = self.certutil(["-L"], store, []).unwrap_or_default();
        // Each line has a name, spaces, and how far it is trusted.
        let name = |line: &str| line.trim_end().rsplit_once(' ').map(|(name, _)| name.trim_end().to_owned());
        listed.lines().filter_map(name).collect()
    }

    pub(super) fn add(&self, store: &Path, authority: &Known) -> Result<(), TrustError> {
        if !store.join(DATABASE).exists() {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(store);
            made.map_err(|source| TrustError::File {
                attempted: "make directory",
                path: store.to_owned(),
                source,
            })?;
            self.certutil(["-N", "--empty-password"], store, [])?;
        }
        let file = authority.file.as_os_str().to_owned();
        let words =
            ["-t".into(), FOR_SERVERS.into(), "-n".into(), authority.name.clone().into(), "-i".into(), file];
        self.certutil(["-A"], store, words).map(drop)
    }

    pub(super) fn remove(&self, store: &Path, name: &str) -> Result<(), TrustError> {
        self.certutil(["-D"], store, ["-n".into(), name.into()]).map(drop)
    }

    fn certutil<const N: usize, const M: usize>(
        &self,
        verb: [&str; N],
        store: &Path,
        rest: [OsString; M],
    ) -> Result<String, TrustError> {
        let missing =
            || TrustError::Run { program: CERTUTIL.to_owned(), source: io::ErrorKind::NotFound.into() };
        let program = self.certutil.as_ref().ok_or_else(missing)?;
        let mut database = OsString::from("sql:");
        database.push(store);
        let words = verb.into_iter().map(OsString::from).chain(["-d".into(), database]).chain(rest);
        programs::run(program, words)
    }
}

fn stores(home: &Path, chromium: bool) -> Vec<PathBuf> {
    let mut stores = Vec::new();
    for (number, place) in OF_CHROMIUM.iter().enumerate() {
        let store = home.join(place);
        if store.join(DATABASE).exists() || (number == 0 && chromium) {
            stores.push(store);
        }
    }
    for place in OF_FIREFOX {
        let entries = fs::read_dir(home.join(place)).into_iter().flatten().flatten().take(PROFILES_MAX);
        let mut profiles: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        profiles.retain(|profile| profile.join(DATABASE).exists());
        profiles.sort();
        stores.extend(profiles);
    }
    stores
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(home: &Path, path: &str) {
        let path = home.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, "").expect("written");
    }

    #[test]
    fn stores_are_found_where_browsers_have_them() {
        let home = tempfile::tempdir().expect("a home");
        let found = |chromium| {
            let stores = stores(home.path(), chromium);
            let short = stores
                .iter()
                .map(|store| store.strip_prefix(home.path()).expect("below").display().to_string());
            short.collect::<Vec<_>>()
        };
        assert!(found(false).is_empty());
        assert_eq!(found(true), [".pki/nssdb"]);
        touch(home.path(), ".mozilla/firefox/b.default/cert9.db");
        touch(home.path(), ".mozilla/firefox/a.default/cert9.db");
        touch(home.path(), ".mozilla/firefox/crashes/x");
        touch(home.path(), "snap/chromium/current/.pki/nssdb/cert9.db");
        let firefox = [".mozilla/firefox/a.default", ".mozilla/firefox/b.default"];
        assert_eq!(found(false), [&["snap/chromium/current/.pki/nssdb"], &firefox[..]].concat());
    }

    #[test]
    fn without_its_program_it_is_said_what_to_install() {
        let mut browsers = Browsers { certutil: None, stores: vec!["/home/x/.pki/nssdb".into()] };
        let one = Known { name: "x".to_owned(), domains: String::new(), file: "/x".into() };
        let steps = browsers.steps(std::slice::from_ref(&one), &[]);
        assert!(steps.len() == 1 && steps[0].deed == Deed::Advice && steps[0].told.contains("libnss3-tools"));
        assert!(browsers.steps(&[], &[one]).is_empty(), "there is nothing to remove");
    }

    /// With the real program, where the machine has it.
    #[test]
    fn an_authority_comes_and_leaves() {
        let Some(certutil) = programs::find(CERTUTIL) else {
            eprintln!("skipped: {CERTUTIL} is not installed");
            return;
        };
        let home = tempfile::tempdir().expect("a home");
        let authorities = mesh_authority::Authorities::of(home.path());
        let root = authorities.local().expect("a root");
        let one = Known {
            name: root.name(),
            domains: String::new(),
            file: authorities.publish(&root).expect("published"),
        };
        let mut browsers = Browsers { certutil: Some(certutil), stores: vec![home.path().join("nssdb")] };
        for _ in 0..2 {
            for step in browsers.steps(std::slice::from_ref(&one), &[]) {
                let Deed::BrowserAdd { store, authority } = step.deed else { panic!("{step:?}") };
                browsers.add(&store, &authority).expect("added");
            }
            assert_eq!(
                browsers.names(&home.path().join("nssdb")).iter().filter(|name| **name == one.name).count(),
                1
            );
        }
        for step in browsers.steps(&[], std::slice::from_ref(&one)) {
            let Deed::BrowserRemove { store, name } = step.deed else { panic!("{step:?}") };
            browsers.remove(&store, &name).expect("removed");
        }
        assert!(browsers.steps(&[], &[one]).is_empty());
    }
}
