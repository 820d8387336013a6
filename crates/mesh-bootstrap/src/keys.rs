//! The keys that open a vault: kept in a file of mode 0600, used at each start.

use crate::{
    directory::Directory,
    pending::Pending,
    step::BootstrapError,
    vault::{Method, Vault, VaultError},
};
use mesh_redact::{Secret, exposed};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The file in its directory, in the shape of Vault's own answer to `operator init`.
const FILE: &str = "keys.json";
/// Rounds in which keys are given.
const ROUNDS_MAX: u32 = 2;
/// The root token by itself, for what takes one from a file.
const TOKEN_FILE: &str = "root-token";

/// What initialising gave.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Keys {
    /// Shares of the key, base64.
    #[serde(rename = "unseal_keys_b64", with = "exposed")]
    pub shares: Secret<Vec<String>>,
    /// How many of them open it.
    #[serde(rename = "unseal_threshold")]
    pub threshold: u32,
    /// The first token.
    #[serde(with = "exposed")]
    pub root_token: Secret<String>,
}

/// What had to be done to open it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsealed {
    /// It was made new, and its keys are in the file.
    Initialised,
    /// It was sealed.
    Opened,
    /// It was open.
    Already,
}

impl Keys {
    /// Files of a directory that open the vault, or lead to what does: nobody else is to read them.
    pub const FILES: [&str; 3] = [FILE, TOKEN_FILE, Pending::FILE];

    /// Those of a directory, if they are there.
    ///
    /// # Errors
    /// Where the file cannot be read or is not what was written.
    pub fn read(directory: &Directory) -> Result<Option<Self>, BootstrapError> {
        let Some(text) = directory.read(FILE)? else { return Ok(None) };
        // The text of the error may repeat what the file has.
        let wrong = |_| BootstrapError::Keys { path: directory.path().join(FILE) };
        serde_json::from_str(&text).map(Some).map_err(wrong)
    }

    pub(crate) fn write(&self, directory: &Directory) -> Result<(), BootstrapError> {
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        directory.write_secret(FILE, &format!("{text}\n"))?;
        directory.write_secret(TOKEN_FILE, self.root_token.expose())?;
        Ok(())
    }
}

/// What opening a vault takes.
enum Way {
    /// It is new: an initialization, with as many shares of which as many open it.
    Begin(u32, u32),
    /// An initialization was begun, and its answer is not here.
    GoOn(Pending),
    /// It is sealed, and these open it.
    Open(Keys),
    /// It is open.
    Nothing(Option<Keys>),
}

/// Opens a vault with the keys of a directory. One that nobody initialised is, if `shares` says into how many shares
/// the key is split and how many of them open it.
///
/// # Errors
/// See [`BootstrapError`]: what the vault or the disk refused, keys that are not there or of another vault.
pub fn unseal(
    vault: &dyn Vault,
    directory: &Directory,
    shares: Option<(u32, u32)>,
) -> Result<(Unsealed, Option<Keys>), BootstrapError> {
    match way(vault, directory, shares)? {
        Way::Begin(count, threshold) => {
            initialise_and_open(vault, directory, &Pending::begin(directory, count, threshold)?)
        }
        Way::GoOn(pending) => initialise_and_open(vault, directory, &pending),
        Way::Open(keys) => {
            forget_pending(directory)?;
            open(vault, &keys, directory)?;
            Ok((Unsealed::Opened, Some(keys)))
        }
        Way::Nothing(keys) => {
            if keys.is_some() {
                forget_pending(directory)?;
            }
            Ok((Unsealed::Already, keys))
        }
    }
}

/// What [`unseal`] would do, as far as that can be known without doing it.
///
/// # Errors
/// The same.
pub fn foresee(
    vault: &dyn Vault,
    directory: &Directory,
    shares: Option<(u32, u32)>,
) -> Result<Unsealed, BootstrapError> {
    Ok(match way(vault, directory, shares)? {
        Way::Begin(..) | Way::GoOn(_) => Unsealed::Initialised,
        Way::Open(_) => Unsealed::Opened,
        Way::Nothing(_) => Unsealed::Already,
    })
}

/// Looks what there is to do. Changes nothing.
fn way(vault: &dyn Vault, directory: &Directory, shares: Option<(u32, u32)>) -> Result<Way, BootstrapError> {
    let seal = SealStatus::read(vault)?;
    let path = || directory.path().join(FILE);
    let pending = Pending::read(directory)?;
    match (seal.initialised, Keys::read(directory)?) {
        // They may be all that opens a vault whose data is elsewhere now.
        (false, Some(_)) => Err(BootstrapError::KeysOfAnother { path: path() }),
        (false, None) => {
            let (count, threshold) = shares.ok_or(BootstrapError::NotInitialised)?;
            match pending {
                // Its request may still be under way: under another key, its answer would be nobody's.
                Some(pending) => pending.checked(directory, shares).map(Way::GoOn),
                None => Ok(Way::Begin(count, threshold)),
            }
        }
        (true, Some(keys)) if seal.sealed => Ok(Way::Open(keys)),
        (true, Some(keys)) => Ok(Way::Nothing(Some(keys))),
        // An initialization has the vault open for a moment, so one that is open may be ours as well.
        (true, None) => match pending {
            Some(pending) => pending.checked(directory, shares).map(Way::GoOn),
            None if seal.sealed => Err(BootstrapError::NoKeys { path: path() }),
            None => Ok(Way::Nothing(None)),
        },
    }
}

fn forget_pending(directory: &Directory) -> Result<(), BootstrapError> {
    // A disk that is read-only refuses to remove even what is not there.
    if Pending::path(directory).exists() { Pending::forget(directory) } else { Ok(()) }
}

/// Initialises it, or asks again for the answer to that, and opens it.
fn initialise_and_open(
    vault: &dyn Vault,
    directory: &Directory,
    pending: &Pending,
) -> Result<(Unsealed, Option<Keys>), BootstrapError> {
    let error = match initialise(vault, pending) {
        Err(error @ VaultError::Refused { status: 400, .. }) => error,
        answered => {
            let keys = answered?;
            Pending::end(directory, &keys)?;
            open(vault, &keys, directory)?;
            return Ok((Unsealed::Initialised, Some(keys)));
        }
    };
    // Somebody initialised it or opened it before us. That alone says nothing about where its keys are.
    let seal = SealStatus::read(vault)?;
    match Keys::read(directory)? {
        Some(keys) if seal.initialised && seal.sealed => {
            open(vault, &keys, directory)?;
            Ok((Unsealed::Opened, Some(keys)))
        }
        keys if seal.initialised && !seal.sealed => Ok((Unsealed::Already, keys)),
        None if seal.initialised => {
            Err(BootstrapError::NoAnswer { path: Pending::path(directory), begun: pending.begun() })
        }
        _ => Err(error.into()),
    }
}

/// What `sys/seal-status` says.
struct SealStatus {
    initialised: bool,
    sealed: bool,
}

impl SealStatus {
    fn read(vault: &dyn Vault) -> Result<Self, VaultError> {
        let missing =
            |missing| VaultError::Unexpected { attempt: "read sys/seal-status".to_owned(), missing };
        let answer = vault.ask(Method::Read, "sys/seal-status", None, None)?;
        let status = answer.data().ok_or_else(|| missing("body"))?;
        let flag =
            |name: &'static str| status.get(name).and_then(Value::as_bool).ok_or_else(|| missing(name));
        Ok(Self { initialised: flag("initialized")?, sealed: flag("sealed")? })
    }
}

fn initialise(vault: &dyn Vault, pending: &Pending) -> Result<Keys, VaultError> {
    let body = json!({
        "secret_shares": pending.shares,
        "secret_threshold": pending.threshold,
        // Mesh's own vault answers the same key the same way until it is first opened. Others ignore it.
        "idempotency_key": pending.idempotency_key.expose(),
    });
    let answer = vault.ask(Method::Write, "sys/init", Some(&body), None)?.data().unwrap_or_default();
    let missing = |missing| VaultError::Unexpected { attempt: "write sys/init".to_owned(), missing };
    let shares = answer.get("keys_base64").and_then(Value::as_array).ok_or_else(|| missing("keys_base64"))?;
    let shares = shares.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let token = answer.get("root_token").and_then(Value::as_str).ok_or_else(|| missing("root_token"))?;
    let root_token = Secret::new(token.to_owned());
    Ok(Keys { shares: Secret::new(shares), threshold: pending.threshold, root_token })
}

fn open(vault: &dyn Vault, keys: &Keys, directory: &Directory) -> Result<(), BootstrapError> {
    let path = || directory.path().join(FILE);
    let shares = keys.shares.expose();
    if shares.len() < usize::try_from(keys.threshold).unwrap_or(usize::MAX) {
        return Err(BootstrapError::FewKeys { path: path(), found: shares.len(), threshold: keys.threshold });
    }
    // Keys that somebody else gave before spoil the first round; the vault forgets them with it.
    for _ in 0..ROUNDS_MAX {
        match give(vault, shares) {
            Ok(true) => return Ok(()),
            Ok(false) | Err(VaultError::Refused { status: 400, .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(BootstrapError::WrongKeys { path: path() })
}

/// Gives keys until they open it.
fn give(vault: &dyn Vault, shares: &[String]) -> Result<bool, VaultError> {
    for share in shares {
        let answer = vault.ask(Method::Write, "sys/unseal", Some(&json!({"key": share})), None)?;
        if answer.data().and_then(|data| data.get("sealed")?.as_bool()) == Some(false) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::Answer;
    use std::{cell::RefCell, fs, os::unix::fs::PermissionsExt as _};

    /// A vault as far as opening goes.
    #[derive(Default)]
    struct Fake {
        /// It answers an initialization again to who brings the same key.
        repeats: bool,
        /// It says that it is open until it has answered one.
        opens: bool,
        state: RefCell<State>,
    }

    #[derive(Default)]
    struct State {
        /// The next answer to an initialization gets lost.
        loses: bool,
        initialised_for: Option<String>,
        answered: bool,
        opened: bool,
        given: Vec<String>,
    }

    impl Vault for Fake {
        fn ask(
            &self,
            _: Method,
            path: &str,
            body: Option<&Value>,
            _: Option<&Secret<String>>,
        ) -> Result<Answer, VaultError> {
            let mut state = self.state.borrow_mut();
            let refused =
                || VaultError::Refused { attempt: path.to_owned(), status: 400, reason: "no".to_owned() };
            let text =
                |name: &str| body.and_then(|body| body.get(name)?.as_str()).unwrap_or_default().to_owned();
            let body = match path {
                "sys/seal-status" => {
                    let opened = state.opened || (self.opens && !state.answered);
                    json!({"initialized": state.initialised_for.is_some(), "sealed": !opened})
                }
                "sys/init" => {
                    let key = text("idempotency_key");
                    let again = self.repeats && state.initialised_for.as_ref() == Some(&key) && !state.opened;
                    if state.initialised_for.is_some() && !again {
                        return Err(refused());
                    }
                    state.initialised_for = Some(key);
                    if std::mem::take(&mut state.loses) {
                        return Err(VaultError::Unreachable {
                            address: "x".to_owned(),
                            reason: "reset".to_owned(),
                        });
                    }
                    state.answered = true;
                    json!({"keys_base64": ["a", "b", "c"], "root_token": "t"})
                }
                _ => {
                    state.given.push(text("key"));
                    if state.given.len() == 2 {
                        let given = std::mem::take(&mut state.given);
                        if given != ["a", "b"] {
                            return Err(refused());
                        }
                        state.opened = true;
                    }
                    json!({"sealed": !state.opened})
                }
            };
            Ok(Answer::Body(body))
        }
    }

    fn home() -> (tempfile::TempDir, Directory) {
        let home = tempfile::tempdir().unwrap();
        let directory = Directory::private(home.path().join("keys"));
        (home, directory)
    }

    const SHARES: Option<(u32, u32)> = Some((3, 2));

    #[test]
    fn keys_are_on_disk_before_the_vault_is_opened_and_nothing_is_pending_then() {
        let (_home, directory) = home();
        let vault = Fake::default();
        assert!(matches!(unseal(&vault, &directory, None), Err(BootstrapError::NotInitialised)));
        assert!(!directory.path().exists());
        let (done, keys) = unseal(&vault, &directory, SHARES).unwrap();
        assert_eq!((done, keys.unwrap().threshold), (Unsealed::Initialised, 2));
        let names: Vec<_> =
            fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(names.iter().all(|path| path.metadata().unwrap().permissions().mode() & 0o777 == 0o600));
        assert_eq!(unseal(&vault, &directory, SHARES).unwrap().0, Unsealed::Already);
        vault.state.borrow_mut().opened = false;
        assert_eq!(unseal(&vault, &directory, None).unwrap().0, Unsealed::Opened);
    }

    #[test]
    fn an_answer_that_got_lost_is_asked_for_again() {
        let (_home, directory) = home();
        let vault = Fake { repeats: true, ..Fake::default() };
        vault.state.borrow_mut().loses = true;
        assert!(unseal(&vault, &directory, SHARES).is_err());
        assert!(Pending::path(&directory).exists() && Keys::read(&directory).unwrap().is_none());
        let mode = Pending::path(&directory).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let (done, keys) = unseal(&vault, &directory, SHARES).unwrap();
        assert!(done == Unsealed::Initialised && keys.is_some());
        assert!(!Pending::path(&directory).exists());
    }

    #[test]
    fn a_vault_that_does_not_repeat_itself_may_have_its_keys_elsewhere() {
        let (_home, directory) = home();
        let vault = Fake::default();
        vault.state.borrow_mut().loses = true;
        assert!(unseal(&vault, &directory, SHARES).is_err());
        assert_eq!(foresee(&vault, &directory, SHARES).unwrap(), Unsealed::Initialised);
        let error = unseal(&vault, &directory, SHARES).unwrap_err();
        assert!(matches!(error, BootstrapError::NoAnswer { .. }), "{error}");
        assert!(error.to_string().contains("somebody else initialised it"), "{error}");
        // One that somebody opened is well, whoever has its keys.
        vault.state.borrow_mut().opened = true;
        let (done, keys) = unseal(&vault, &directory, SHARES).unwrap();
        assert!(done == Unsealed::Already && keys.is_none() && Pending::path(&directory).exists());
        vault.state.borrow_mut().opened = false;
        // One of somebody else is not taken for ours.
        Pending::forget(&directory).unwrap();
        assert!(matches!(unseal(&vault, &directory, SHARES), Err(BootstrapError::NoKeys { .. })));
    }

    #[test]
    fn keys_that_arrived_meanwhile_are_used() {
        let (_home, directory) = home();
        let vault = Fake::default();
        let pending = Pending::begin(&directory, 3, 2).unwrap();
        let keys = initialise(&vault, &pending).unwrap();
        keys.write(&directory).unwrap();
        let (done, keys) = initialise_and_open(&vault, &directory, &pending).unwrap();
        assert!(done == Unsealed::Opened && keys.is_some());
        let (done, _) = initialise_and_open(&vault, &directory, &pending).unwrap();
        assert_eq!(done, Unsealed::Already);
    }

    #[test]
    fn the_answer_is_asked_for_while_an_initialization_has_the_vault_open() {
        let (_home, directory) = home();
        let vault = Fake { repeats: true, opens: true, ..Fake::default() };
        vault.state.borrow_mut().loses = true;
        assert!(unseal(&vault, &directory, SHARES).is_err());
        let (done, keys) = unseal(&vault, &directory, SHARES).unwrap();
        assert!(done == Unsealed::Initialised && keys.is_some());
    }

    #[test]
    fn other_shares_than_were_begun_are_refused_and_not_ignored() {
        let (_home, directory) = home();
        let vault = Fake { repeats: true, ..Fake::default() };
        let pending = Pending::begin(&directory, 3, 2).unwrap();
        for initialised in [false, true] {
            let error = unseal(&vault, &directory, Some((5, 3))).unwrap_err();
            assert!(matches!(error, BootstrapError::OtherShares { .. }), "{error}");
            let said = error.to_string();
            assert!(said.contains("2 of 3 shares") && said.contains("3 of 5"), "{said}");
            assert!(foresee(&vault, &directory, Some((5, 3))).is_err());
            if !initialised {
                initialise(&vault, &pending).unwrap();
            }
        }
        assert_eq!(unseal(&vault, &directory, None).unwrap().0, Unsealed::Initialised);
    }

    #[test]
    fn what_would_be_done_is_foreseen_and_nothing_is_written() {
        let (_home, directory) = home();
        let vault = Fake::default();
        let foreseen = |shares| foresee(&vault, &directory, shares);
        assert!(matches!(foreseen(None), Err(BootstrapError::NotInitialised)));
        assert_eq!(foreseen(SHARES).unwrap(), Unsealed::Initialised);
        assert!(!directory.path().exists());
        unseal(&vault, &directory, SHARES).unwrap();
        assert_eq!(foreseen(None).unwrap(), Unsealed::Already);
        vault.state.borrow_mut().opened = false;
        assert_eq!(foreseen(None).unwrap(), Unsealed::Opened);
        fs::remove_file(directory.path().join(FILE)).unwrap();
        assert!(matches!(foreseen(SHARES), Err(BootstrapError::NoKeys { .. })));
        assert!(!vault.state.borrow().opened);
    }

    #[test]
    fn a_vault_that_was_never_reached_is_initialised_with_the_key_that_was_kept() {
        let (_home, directory) = home();
        let pending = Pending::begin(&directory, 3, 2).unwrap();
        let vault = Fake::default();
        unseal(&vault, &directory, SHARES).unwrap();
        let used = vault.state.borrow().initialised_for.clone().unwrap();
        assert_eq!((used.len(), &used), (43, pending.idempotency_key.expose()));
    }

    #[test]
    fn keys_that_do_not_fit_are_told_and_what_others_gave_spoils_nothing() {
        let (_home, directory) = home();
        let vault = Fake::default();
        unseal(&vault, &directory, SHARES).unwrap();
        vault.state.borrow_mut().opened = false;
        vault.state.borrow_mut().given = vec!["of another".to_owned()];
        assert_eq!(unseal(&vault, &directory, None).unwrap().0, Unsealed::Opened);
        vault.state.borrow_mut().opened = false;
        let kept = |shares: &[&str]| Keys {
            shares: Secret::new(shares.iter().map(|share| (*share).to_owned()).collect()),
            threshold: 2,
            root_token: Secret::new("t".to_owned()),
        };
        kept(&["x", "y", "z"]).write(&directory).unwrap();
        assert!(matches!(unseal(&vault, &directory, None), Err(BootstrapError::WrongKeys { .. })));
        kept(&["a"]).write(&directory).unwrap();
        let error = unseal(&vault, &directory, None).unwrap_err().to_string();
        assert!(error.contains("has 1 keys, and 2 open the vault"), "{error}");
        // A new vault is not initialised over the keys of another one.
        let other = Fake::default();
        assert!(matches!(unseal(&other, &directory, SHARES), Err(BootstrapError::KeysOfAnother { .. })));
    }
}
