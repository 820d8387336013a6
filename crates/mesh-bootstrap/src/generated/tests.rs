//! Moving, with a vault that breaks off at any request.

use super::*;
use crate::vault::{Answer, Method, Vault};
use serde_json::{Value, json};
use std::cell::RefCell;

/// A KV engine of version 2, as far as it is asked here.
#[derive(Default)]
struct Fake {
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    /// The versions of each path; `None`: deleted.
    values: BTreeMap<String, Vec<Option<String>>>,
    /// Requests until it breaks off, and whether it then still does what it was asked.
    breaks: Option<(u32, bool)>,
    unmounted: bool,
}

impl Fake {
    fn versions(&self, name: &str) -> Vec<Option<String>> {
        self.state.borrow().values.get(&format!("mesh/shop/{name}")).cloned().unwrap_or_default()
    }

    fn put(&self, name: &str, value: Option<&str>) {
        let path = format!("mesh/shop/{name}");
        self.state.borrow_mut().values.entry(path).or_default().push(value.map(str::to_owned));
    }
}

impl State {
    fn answer(&mut self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, VaultError> {
        let refused = |reason: &str| {
            Err(VaultError::Refused { attempt: path.to_owned(), status: 400, reason: reason.to_owned() })
        };
        if path == "sys/mounts" {
            let mounts = if self.unmounted {
                json!({})
            } else {
                json!({"secret/": {"type": "kv", "options": {"version": "2"}}})
            };
            return Ok(Answer::Body(json!({"data": mounts})));
        }
        let (kind, path) =
            path.strip_prefix("secret/").and_then(|path| path.split_once('/')).expect("a path");
        let versions = self.values.get(path).map_or(0, Vec::len);
        match (kind, method) {
            ("data", Method::Write) => {
                let body = body.expect("a body");
                if body.pointer("/options/cas") != Some(&json!(versions)) {
                    return refused("check-and-set parameter did not match the current version");
                }
                let value = body.pointer("/data/value").and_then(Value::as_str).map(str::to_owned);
                self.values.entry(path.to_owned()).or_default().push(value);
                Ok(Answer::Body(json!({"data": {"version": versions + 1}})))
            }
            ("data", _) => Ok(match self.values.get(path).and_then(|versions| versions.last()) {
                Some(Some(value)) => Answer::Body(
                    json!({"data": {"data": {"value": value}, "metadata": {"version": versions}}}),
                ),
                _ => Answer::Nothing,
            }),
            ("metadata", Method::Delete) => {
                self.values.remove(path);
                Ok(Answer::Body(Value::Null))
            }
            _ if versions == 0 => Ok(Answer::Nothing),
            _ => Ok(Answer::Body(json!({"data": {"current_version": versions}}))),
        }
    }
}

impl Vault for Fake {
    fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        _: Option<&Secret<String>>,
    ) -> Result<Answer, VaultError> {
        let mut state = self.state.borrow_mut();
        let broken = || VaultError::Unreachable { address: "x".to_owned(), reason: "reset".to_owned() };
        match &mut state.breaks {
            Some((0, does)) => {
                if *does {
                    let _ = state.answer(method, path, body);
                }
                return Err(broken());
            }
            Some((left, _)) => *left -= 1,
            None => {}
        }
        state.answer(method, path, body)
    }
}

struct Bench {
    _home: tempfile::TempDir,
    secrets: Secrets,
    vault: Fake,
    token: Secret<String>,
}

impl Bench {
    fn new(names: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let secrets = Secrets::of(home.path(), "shop");
        let recipe = Recipe { length: 20, characters: "abcdef".to_owned() };
        secrets.ensure(&names.iter().map(|name| ((*name).to_owned(), recipe.clone())).collect()).unwrap();
        Self { _home: home, secrets, vault: Fake::default(), token: Secret::new("t".to_owned()) }
    }

    fn shelf(&self) -> Shelf<'_> {
        Shelf { vault: &self.vault, token: &self.token, project: "shop" }
    }

    fn in_file(&self, name: &str) -> Option<String> {
        self.secrets.read().unwrap().get(name)?.value().map(|value| value.expose().clone())
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.secrets.path()).unwrap()
    }
}

const NONE: BTreeSet<String> = BTreeSet::new();

fn names(names: &[&str]) -> BTreeMap<String, Option<Recipe>> {
    names.iter().map(|name| ((*name).to_owned(), None)).collect()
}

#[test]
fn what_is_moved_is_in_the_vault_alone_and_comes_from_there() {
    let bench = Bench::new(&["a", "b", ".."]);
    let (a, b) = (bench.in_file("a").unwrap(), bench.in_file("b").unwrap());
    let done = move_in(&bench.shelf(), &bench.secrets, &BTreeSet::from(["b".to_owned()])).unwrap();
    assert_eq!(done, Moved { moved: vec!["a".to_owned()], differing: Vec::new() });
    assert!(!bench.text().contains(&a) && bench.text().contains("secret/mesh/shop/a"), "{}", bench.text());
    // Whatever the vault does not start without stays, and so does what has no path there.
    assert_eq!(bench.in_file("b"), Some(b));
    assert!(bench.in_file("..").is_some());
    let values = fetch(&bench.shelf(), &bench.secrets, &names(&["a", "b", "c"])).unwrap();
    assert_eq!(
        values.iter().map(|(name, value)| (name.as_str(), value.expose())).collect::<Vec<_>>(),
        [("a", &a)]
    );
    assert_eq!(bring_back(&bench.shelf(), &bench.secrets).unwrap(), ["a"]);
    assert_eq!(bench.in_file("a"), Some(a.clone()));
    // Moved once more, it is the same one still.
    move_in(&bench.shelf(), &bench.secrets, &NONE).unwrap();
    assert_eq!(bench.vault.versions("a"), [Some(a)]);
}

#[test]
fn whoever_is_cut_off_at_any_request_has_lost_nothing_and_made_nothing_twice() {
    for does in [false, true] {
        for requests in 0..8 {
            let bench = Bench::new(&["a", "b"]);
            let before = [bench.in_file("a"), bench.in_file("b")];
            bench.vault.state.borrow_mut().breaks = Some((requests, does));
            let cut = move_in(&bench.shelf(), &bench.secrets, &NONE);
            bench.vault.state.borrow_mut().breaks = None;
            let has = |name: &str| {
                bench.in_file(name).or_else(|| bench.vault.versions(name).last().cloned().flatten())
            };
            assert_eq!([has("a"), has("b")], before, "{requests} {does} {cut:?}");
            move_in(&bench.shelf(), &bench.secrets, &NONE).unwrap();
            for (name, value) in ["a", "b"].iter().zip(&before) {
                assert_eq!(bench.in_file(name), None);
                assert_eq!(bench.vault.versions(name), std::slice::from_ref(value), "{requests} {does}");
            }
        }
    }
}

#[test]
fn a_value_that_differs_stays_on_both_sides() {
    let bench = Bench::new(&["a"]);
    let before = bench.in_file("a");
    bench.vault.put("a", Some("another"));
    let done = move_in(&bench.shelf(), &bench.secrets, &NONE).unwrap();
    assert_eq!(done, Moved { moved: Vec::new(), differing: vec!["a".to_owned()] });
    assert_eq!((bench.in_file("a"), bench.vault.versions("a").len()), (before, 1));
}

#[test]
fn what_the_vault_has_and_the_file_forgot_is_not_made_anew() {
    let bench = Bench::new(&[]);
    bench.vault.put("a", Some("old"));
    let values = fetch(&bench.shelf(), &bench.secrets, &names(&["a", "b"])).unwrap();
    assert_eq!((values.len(), values["a"].expose().as_str()), (1, "old"));
    assert_eq!(bench.secrets.read().unwrap()["a"].at, At::Vault("secret/mesh/shop/a".to_owned()));
    // And what it lost is told, with its path.
    bench.vault.put("a", None);
    let error = fetch(&bench.shelf(), &bench.secrets, &names(&["a"])).unwrap_err();
    assert!(error.to_string().contains("secret/mesh/shop/a"), "{error}");
    assert!(bring_back(&bench.shelf(), &bench.secrets).unwrap().is_empty());
}

#[test]
fn values_are_renewed_and_removed_where_they_are() {
    let bench = Bench::new(&["a"]);
    move_in(&bench.shelf(), &bench.secrets, &NONE).unwrap();
    let given = Secret::new("given".to_owned());
    renew(&bench.shelf(), &bench.secrets, "a", Renewed::Given(&given)).unwrap();
    assert_eq!(bench.secrets.read().unwrap()["a"].recipe, None);
    let recipe = Recipe { length: 9, characters: "01".to_owned() };
    renew(&bench.shelf(), &bench.secrets, "a", Renewed::Made(&recipe)).unwrap();
    let versions = bench.vault.versions("a");
    assert_eq!((versions.len(), versions[1].as_deref()), (3, Some("given")));
    assert_eq!(versions[2].as_ref().unwrap().len(), 9);
    assert!(!bench.text().contains(versions[2].as_ref().unwrap()));
    remove(&bench.shelf(), &bench.secrets, "a").unwrap();
    assert!(bench.vault.versions("a").is_empty() && bench.secrets.read().unwrap().is_empty());
}

#[test]
fn a_value_is_put_over_one_that_was_deleted() {
    let bench = Bench::new(&["a"]);
    bench.vault.put("a", Some("old"));
    bench.vault.put("a", None);
    assert_eq!(move_in(&bench.shelf(), &bench.secrets, &NONE).unwrap().moved, ["a"]);
    assert!(bench.shelf().is_there().unwrap());
    bench.vault.state.borrow_mut().unmounted = true;
    assert!(!bench.shelf().is_there().unwrap());
}
