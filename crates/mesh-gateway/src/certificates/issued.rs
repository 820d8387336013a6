//! Certificates that this gateway makes on the fly, by the authority that the engine gave it.
//!
//! Invariants: a name has one certificate at a time, whoever asks for it at once; of names there are at most
//! [`NAMES_MAX`]; one whose life is half over is replaced, and all of them are when the authority is another one. What
//! the authority is not for gets none, which is told once. Absent on purpose: who gives the authority, and its root.

use super::CertificateError;
use mesh_authority::{AuthorityError, Issuer, name};
use mesh_redact::Secret;
use rustls::sign::CertifiedKey;
use std::{
    collections::{BTreeSet, HashMap},
    fs, io,
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// How often a handshake looks whether the authority has changed, for names that it is for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Largest file of an authority, in bytes.
const FILE_BYTES_MAX: u64 = 256 << 10;
/// Most certificates that are kept.
const NAMES_MAX: usize = 1_000;
/// Most names of which it was told that there is no certificate for them.
const REFUSED_MAX: usize = 200;
/// What a client gets that names nobody: the machine itself.
const NOBODY: &str = "localhost";

/// Certificates by an authority in a file.
#[derive(Debug)]
pub(crate) struct Issued {
    path: PathBuf,
    clock: fn() -> i64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    looked: Option<Instant>,
    seen: Option<Seen>,
    issuer: Option<Issuer>,
    leaves: HashMap<String, Kept>,
    refused: BTreeSet<String>,
}

/// A certificate with the time from which on it is replaced, in seconds since 1970.
#[derive(Debug)]
struct Kept {
    certified: Arc<CertifiedKey>,
    renew_from: i64,
}

/// What tells one content of a file from another: its number, its size and its time.
type Seen = (u64, u64, i64, i64);

impl Issued {
    /// By the authority in this file, which may come later.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, clock: unix_seconds, state: Mutex::default() }
    }

    /// A certificate for this name; none, where the authority is not for it, or there is no authority.
    pub(crate) fn find(&self, asked: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let name = name(asked.unwrap_or(NOBODY))?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // A name that is new to the engine too is waited for by somebody.
        let is_new = state.issuer.as_ref().is_none_or(|issuer| !issuer.permits(&name));
        if is_new || state.looked.is_none_or(|looked| looked.elapsed() >= LOOK_EVERY) {
            state.look(&self.path);
        }
        let now = (self.clock)();
        if let Some(kept) = state.leaves.get(&name).filter(|kept| now < kept.renew_from) {
            return Some(kept.certified.clone());
        }
        let made = make(state.issuer.as_ref()?, &name, now);
        match made {
            Ok(kept) => {
                let certified = kept.certified.clone();
                state.keep(name, kept);
                Some(certified)
            }
            Err(error) => {
                state.refuse(&name, &error);
                None
            }
        }
    }
}

impl State {
    /// Reads the authority anew, if it is another one.
    fn look(&mut self, path: &Path) {
        self.looked = Some(Instant::now());
        let now =
            fs::metadata(path).ok().map(|file| (file.ino(), file.len(), file.mtime(), file.mtime_nsec()));
        if now == self.seen {
            return;
        }
        self.seen = now;
        match read(path) {
            Ok(Some(issuer)) => {
                self.issuer = Some(issuer);
                self.leaves.clear();
                self.refused.clear();
            }
            // The one before is good until it expires.
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(error = %crate::chain(&error), "the authority stays as it was");
            }
        }
    }

    fn keep(&mut self, name: String, kept: Kept) {
        if self.leaves.len() >= NAMES_MAX && !self.leaves.contains_key(&name) {
            let oldest =
                self.leaves.iter().min_by_key(|(_, kept)| kept.renew_from).map(|(name, _)| name.clone());
            oldest.and_then(|oldest| self.leaves.remove(&oldest));
        }
        self.leaves.insert(name, kept);
    }

    /// Tells once that there is no certificate for a name.
    fn refuse(&mut self, name: &str, error: &CertificateError) {
        if self.refused.len() < REFUSED_MAX && self.refused.insert(name.to_owned()) {
            let error = crate::chain(error);
            tracing::warn!(name, error, "clients are shown the default certificate for a name");
        }
    }
}

fn make(issuer: &Issuer, name: &str, now: i64) -> Result<Kept, CertificateError> {
    let leaf = issuer.leaf(name, now)?;
    let certified = super::certified(leaf.chain, leaf.key)?;
    Ok(Kept { certified, renew_from: leaf.renew_from_unix_seconds })
}

/// The authority in a file; none where there is no file.
fn read(path: &Path) -> Result<Option<Issuer>, CertificateError> {
    let failed = |source| {
        CertificateError::Authority(AuthorityError::File { attempted: "read", path: path.to_owned(), source })
    };
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut text).map_err(failed)?;
    let text = Secret::new(text);
    Ok(Some(Issuer::read(text.expose())?))
}

pub(super) fn unix_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_authority::{Authorities, Intermediate};
    use rustls::{client::verify_server_name, pki_types::ServerName, server::ParsedCertificate};
    use std::sync::Barrier;

    const DAY: i64 = 86_400;

    fn give(folder: &Path, names: &[&str], now: i64) {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        let root = Authorities::of(folder).root_for("shop", &names).expect("a root");
        let made = Intermediate::make(&root, "shop", &names, now).expect("an authority");
        let path = folder.join("authority.new");
        fs::write(&path, made.text.expose()).expect("written");
        fs::rename(&path, folder.join("authority.pem")).expect("put there");
    }

    fn is_for(certified: &CertifiedKey, name: &str) -> bool {
        let leaf = ParsedCertificate::try_from(&certified.cert[0]).expect("a certificate");
        verify_server_name(&leaf, &ServerName::try_from(name).expect("a name")).is_ok()
    }

    /// Looks at the file at the next handshake, whenever that is.
    fn look_again(issued: &Issued) {
        issued.state.lock().expect("whole").looked = None;
    }

    #[test]
    fn a_name_has_a_certificate_as_long_as_its_authority_is_for_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let issued = Issued::new(folder.path().join("authority.pem"));
        assert!(issued.find(Some("shop.test")).is_none(), "there is no authority yet");
        give(folder.path(), &["shop.test"], unix_seconds());
        let first = issued.find(Some("Shop.TEST")).expect("a certificate");
        assert!(is_for(&first, "shop.test") && first.cert.len() == 2);
        assert!(Arc::ptr_eq(&first, &issued.find(Some("shop.test")).expect("the same")));
        assert!(is_for(&issued.find(None).expect("the machine's"), "localhost"));
        for name in ["other.test", "", "*.test", "127.0.0.1", "a\u{0}b"] {
            assert!(issued.find(Some(name)).is_none(), "{name:?}");
            assert!(issued.find(Some(name)).is_none(), "{name:?}");
        }
        // Another authority: other names, other certificates. What is broken or gone changes nothing.
        give(folder.path(), &["shop.test", "other.test"], unix_seconds());
        look_again(&issued);
        let second = issued.find(Some("shop.test")).expect("a certificate");
        assert!(!Arc::ptr_eq(&first, &second) && issued.find(Some("other.test")).is_some());
        fs::write(folder.path().join("authority.pem"), "hunter2").expect("written");
        look_again(&issued);
        assert!(issued.find(Some("other.test")).is_some());
        fs::remove_file(folder.path().join("authority.pem")).expect("removed");
        look_again(&issued);
        assert!(issued.find(Some("other.test")).is_some());
    }

    #[test]
    fn a_certificate_is_replaced_before_it_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        give(folder.path(), &["shop.test"], unix_seconds());
        let mut issued = Issued::new(folder.path().join("authority.pem"));
        let first = issued.find(Some("shop.test")).expect("a certificate");
        issued.clock = || unix_seconds() + 3 * DAY;
        assert!(Arc::ptr_eq(&first, &issued.find(Some("shop.test")).expect("the same")));
        issued.clock = || unix_seconds() + 4 * DAY;
        assert!(!Arc::ptr_eq(&first, &issued.find(Some("shop.test")).expect("another")));
        issued.clock = || unix_seconds() + 31 * DAY;
        assert!(issued.find(Some("shop.test")).is_none(), "the authority has expired");
    }

    #[test]
    fn one_is_made_at_a_time_and_so_many_are_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        give(folder.path(), &["x.test"], unix_seconds());
        let issued = Issued::new(folder.path().join("authority.pem"));
        let barrier = Barrier::new(8);
        let found: Vec<_> = std::thread::scope(|scope| {
            let one = || {
                barrier.wait();
                issued.find(Some("a.x.test")).expect("a certificate")
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
            threads.into_iter().map(|thread| thread.join().expect("ended")).collect()
        });
        assert!(found.iter().all(|one| Arc::ptr_eq(one, &found[0])));
        for number in 0..NAMES_MAX + 10 {
            issued.find(Some(&format!("a{number}.x.test"))).expect("a certificate");
            issued.find(Some(&format!("a{number}.example")));
        }
        let state = issued.state.lock().expect("whole");
        assert_eq!((state.leaves.len(), state.refused.len()), (NAMES_MAX, REFUSED_MAX));
    }
}
