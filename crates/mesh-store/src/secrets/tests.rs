//! What is kept, what is moved, and what is never made twice.

use super::*;
use std::{fs, os::unix::fs::PermissionsExt as _, thread};

fn recipe(length: usize, characters: &str) -> Recipe {
    Recipe { length, characters: characters.to_owned() }
}

fn expose(kept: &Kept) -> &str {
    kept.value().unwrap().expose()
}

fn wanted(names: &[&str]) -> BTreeMap<String, Recipe> {
    names.iter().map(|name| ((*name).to_owned(), recipe(25, "abcdefgh"))).collect()
}

#[test]
fn a_secret_is_made_once_and_is_private() {
    let home = tempfile::tempdir().unwrap();
    let secrets = Secrets::of(home.path(), "shop");
    let first = secrets.ensure(&wanted(&["a"])).unwrap();
    let both = secrets.ensure(&wanted(&["a", "b"])).unwrap();
    assert_eq!(first["a"].at, both["a"].at);
    assert_ne!(both["a"].at, both["b"].at);
    assert_eq!(expose(&both["b"]).len(), 25);
    assert!(expose(&both["b"]).chars().all(|c| "abcdefgh".contains(c)));
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(secrets.path()), mode(secrets.path().parent().unwrap())), (0o600, 0o700));
    assert!(!format!("{both:?}").contains(expose(&both["a"])));
}

#[test]
fn every_character_is_as_likely() {
    let kept = make(&recipe(60_000, "abc")).unwrap();
    for character in "abc".chars() {
        let count = expose(&kept).matches(character).count();
        assert!((19_000..21_000).contains(&count), "{character}: {count}");
    }
}

#[test]
fn what_was_set_is_not_made_anew() {
    let home = tempfile::tempdir().unwrap();
    let secrets = Secrets::of(home.path(), "shop");
    secrets.set("a", Secret::new("mine".to_owned())).unwrap();
    assert_eq!(secrets.ensure(&wanted(&["a"])).unwrap()["a"].value().unwrap().expose(), "mine");
    assert!(matches!(secrets.rotate("a", None), Err(SecretsError::NoRecipe { .. })));
    secrets.rotate("a", Some(&recipe(8, "01"))).unwrap();
    assert_eq!(secrets.read().unwrap()["a"].value().unwrap().expose().len(), 8);
    secrets.remove("a").unwrap();
    assert!(matches!(secrets.remove("a"), Err(SecretsError::Unknown { .. })));
}

#[test]
fn a_file_that_is_broken_stays() {
    let home = tempfile::tempdir().unwrap();
    let secrets = Secrets::of(home.path(), "shop");
    fs::create_dir_all(secrets.path().parent().unwrap()).unwrap();
    fs::write(secrets.path(), "{\"version\": 1, \"secrets\": {\"a\": \"hunter2").unwrap();
    let error = secrets.ensure(&wanted(&["a"])).unwrap_err().to_string();
    assert!(error.contains("line 1") && !error.contains("hunter2"), "{error}");
    assert!(fs::read_to_string(secrets.path()).unwrap().contains("hunter2"));
}

#[test]
fn of_many_at_once_all_see_the_same() {
    let home = tempfile::tempdir().unwrap();
    let value = || {
        let made = Secrets::of(home.path(), "shop").ensure(&wanted(&["a", "b"])).unwrap();
        expose(&made["a"]).to_owned()
    };
    let values: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(value)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(values.iter().all(|value| *value == values[0]));
}

#[test]
fn what_a_vault_has_is_not_in_the_file_and_not_made_again() {
    let home = tempfile::tempdir().unwrap();
    let secrets = Secrets::of(home.path(), "shop");
    let text = || fs::read_to_string(secrets.path()).unwrap();
    let made = secrets.ensure(&wanted(&["a", "b"])).unwrap();
    let value = made["a"].value().unwrap().clone();
    assert!(text().contains("\"version\":1") && text().contains(value.expose()));

    // Another value than the one that was moved stays.
    assert!(!secrets.moved("a", made["b"].value().unwrap(), "secret/x").unwrap());
    assert!(text().contains(value.expose()));
    assert!(secrets.moved("a", &value, "secret/x").unwrap());
    assert!(secrets.moved("a", &value, "secret/x").unwrap(), "once more is the same");
    assert!(!text().contains(value.expose()) && text().contains("secret/x"), "{}", text());
    assert!(text().contains(expose(&made["b"])), "the other one stays");

    // It is there for all that; only whoever has the vault changes it.
    let there = secrets.ensure(&wanted(&["a", "b"])).unwrap();
    assert_eq!(there["a"].at, At::Vault("secret/x".to_owned()));
    assert_eq!(there["a"].recipe, made["a"].recipe);
    for refused in [secrets.set("a", value.clone()), secrets.rotate("a", None)] {
        assert!(matches!(refused, Err(SecretsError::InVault { .. })), "{refused:?}");
    }
    secrets.renewed("a", None).unwrap();
    assert_eq!(secrets.read().unwrap()["a"].recipe, None);

    // And back again.
    secrets.brought_back("a", value.clone()).unwrap();
    assert_eq!(secrets.read().unwrap()["a"].value(), Some(&value));
    secrets.brought_back("a", Secret::new("another".to_owned())).unwrap();
    assert_eq!(secrets.read().unwrap()["a"].value(), Some(&value), "what is here stays");
    secrets.found("a", "secret/y", None).unwrap();
    assert_eq!(secrets.read().unwrap()["a"].value(), Some(&value), "what is here stays");
    secrets.found("c", "secret/c", None).unwrap();
    assert_eq!(secrets.read().unwrap()["c"].at, At::Vault("secret/c".to_owned()));
}

#[test]
fn a_secret_in_two_places_or_none_is_no_secret() {
    let home = tempfile::tempdir().unwrap();
    let secrets = Secrets::of(home.path(), "shop");
    fs::create_dir_all(secrets.path().parent().unwrap()).unwrap();
    for places in ["", r#""value": "hunter2", "vault": "secret/a","#] {
        let text = format!(r#"{{"version": 2, "secrets": {{"a": {{{places} "made_unix_seconds": 1}}}}}}"#);
        fs::write(secrets.path(), text).unwrap();
        let error = secrets.read().unwrap_err().to_string();
        assert!(error.contains('a') && !error.contains("hunter2"), "{error}");
    }
}
