//! Version 2 as a client sees it, and its rules against a model.

use super::key::{Key, VERSIONS_KEPT};
use crate::{
    engine::{kv::Kv, testing::Mount},
    logical::Operation::{self, Delete, List, Patch, Read, Update},
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn mount() -> Mount<Kv> {
    Mount::new(Kv::default(), "secret/", &[("version", "2")])
}

/// Plays requests on one mount, each with the status and the answer it has to have. An answer in a table is a part
/// of the whole one; `null` is not looked at.
fn check(mount: &mut Mount<Kv>, table: &[(Operation, &str, Value, u16, Value)]) {
    for (operation, path, data, status, expected) in table {
        let (got_status, got) = mount.check(*operation, path, data.clone());
        assert_eq!(got_status, *status, "{operation:?} {path} {data}: {got}");
        assert!(covers(&got, expected), "{operation:?} {path} {data}: {got} is not {expected}");
    }
}

fn covers(got: &Value, expected: &Value) -> bool {
    match (got, expected) {
        (_, Value::Null) => true,
        (Value::Object(got), Value::Object(expected)) => expected.iter().all(|(key, value)| {
            got.get(key).is_some_and(|got| if value.is_null() { got.is_null() } else { covers(got, value) })
        }),
        _ => got == expected,
    }
}

#[test]
fn a_secret_lives() {
    let none = Value::Null;
    let gone = json!({"data": none, "metadata": {"version": 2, "destroyed": false, "deletion_time": "2023-11-14T22:13:20Z"}});
    let destroyed = json!({"data": none, "metadata": {"version": 2, "destroyed": true}});
    check(
        &mut mount(),
        &[
            (Read, "data/a/b", none.clone(), 404, none.clone()),
            (
                Update,
                "data/a/b",
                json!({"data": {"k": "1"}}),
                200,
                json!({"version": 1, "created_time": "2023-11-14T22:13:20Z", "deletion_time": "", "destroyed": false, "custom_metadata": none}),
            ),
            (Read, "data/a/b", none.clone(), 200, json!({"data": {"k": "1"}, "metadata": {"version": 1}})),
            (
                Update,
                "data/a/b",
                json!({"data": {"k": "2", "n": {"x": 1, "y": 2}}}),
                200,
                json!({"version": 2}),
            ),
            (Read, "data/a/b", json!({"version": "1"}), 200, json!({"data": {"k": "1"}})),
            (Read, "data/a/b", json!({"version": "3"}), 404, none.clone()),
            (
                Read,
                "subkeys/a/b",
                none.clone(),
                200,
                json!({"subkeys": {"k": none, "n": {"x": none, "y": none}}, "metadata": {"version": 2}}),
            ),
            (Read, "subkeys/a/b", json!({"depth": "1"}), 200, json!({"subkeys": {"k": none, "n": none}})),
            (Delete, "data/a/b", none.clone(), 204, none.clone()),
            (Read, "data/a/b", none.clone(), 404, gone.clone()),
            (Read, "subkeys/a/b", none.clone(), 404, json!({"subkeys": none, "metadata": {"version": 2}})),
            (Patch, "data/a/b", json!({"data": {"k": "3"}}), 404, json!({"version": 2})),
            (Update, "undelete/a/b", json!({"versions": [2]}), 204, none.clone()),
            (Read, "data/a/b", none.clone(), 200, json!({"data": {"k": "2"}})),
            (
                Patch,
                "data/a/b",
                json!({"data": {"k": none, "n": {"x": none, "z": 3}}}),
                200,
                json!({"version": 3}),
            ),
            (Read, "data/a/b", none.clone(), 200, json!({"data": {"n": {"y": 2, "z": 3}}})),
            (Update, "destroy/a/b", json!({"versions": "2,3"}), 204, none.clone()),
            (Read, "data/a/b", json!({"version": 2}), 404, destroyed),
            (Update, "undelete/a/b", json!({"versions": [2]}), 204, none.clone()),
            (Read, "data/a/b", json!({"version": 2}), 404, none.clone()),
            (
                Read,
                "metadata/a/b",
                none.clone(),
                200,
                json!({"current_version": 3, "oldest_version": 0, "versions": {"1": {"destroyed": false}, "3": {"destroyed": true}}}),
            ),
            (List, "metadata/", none.clone(), 200, json!({"keys": ["a/"]})),
            (List, "metadata/a", none.clone(), 200, json!({"keys": ["b"]})),
            (Delete, "metadata/a/b", none.clone(), 204, none.clone()),
            (Read, "data/a/b", none.clone(), 404, none.clone()),
            (List, "metadata/", none.clone(), 404, none.clone()),
        ],
    );
}

#[test]
fn nothing_is_left_of_a_secret_whose_metadata_was_deleted() {
    let mut mount = mount();
    for _ in 0..12 {
        mount.write("data/a", json!({"data": {"k": "1"}}));
    }
    mount.succeed(Delete, "metadata/a", Value::Null);
    let transaction = crate::storage::Transaction::new(&mount.store, "");
    assert_eq!(transaction.list("").unwrap(), Vec::<String>::new());
}

#[test]
fn check_and_set() {
    let (none, data) = (Value::Null, json!({"k": "1"}));
    let mismatch = json!("check-and-set parameter did not match the current version");
    let required = json!("check-and-set parameter required for this call");
    check(
        &mut mount(),
        &[
            (Update, "data/a", json!({"data": data, "options": {"cas": 1}}), 400, mismatch.clone()),
            (Update, "data/a", json!({"data": data, "options": {"cas": 0}}), 200, json!({"version": 1})),
            (Update, "data/a", json!({"data": data, "options": {"cas": 0}}), 400, mismatch.clone()),
            (Update, "data/a", json!({"data": data, "options": {"cas": none}}), 400, mismatch.clone()),
            (Update, "data/a", json!({"data": data, "options": {"cas": "1"}}), 200, json!({"version": 2})),
            (Update, "data/a", json!({"data": data, "options": {"cas": -1}}), 400, mismatch),
            (
                Update,
                "data/a",
                json!({"data": data, "options": {"cas": "x"}}),
                400,
                json!("error parsing check-and-set parameter"),
            ),
            (Update, "metadata/a", json!({"cas_required": true}), 204, none.clone()),
            (Update, "data/a", json!({"data": data}), 400, required.clone()),
            (Patch, "data/a", json!({"data": data}), 400, required.clone()),
            (Patch, "data/a", json!({"data": data, "options": {"cas": 2}}), 200, json!({"version": 3})),
            (Update, "config", json!({"cas_required": true}), 204, none.clone()),
            (Update, "data/b", json!({"data": data}), 400, required),
            (
                Update,
                "metadata/b",
                json!({"cas_required": false}),
                200,
                json!({"warnings": ["\"cas_required\" set to false, but is mandated by backend config. This value will be ignored."]}),
            ),
        ],
    );
}

#[test]
fn settings() {
    let none = Value::Null;
    check(
        &mut mount(),
        &[
            (
                Read,
                "config",
                none.clone(),
                200,
                json!({"max_versions": 0, "cas_required": false, "delete_version_after": "0s"}),
            ),
            (
                Update,
                "config",
                json!({"max_versions": 2, "delete_version_after": "3h25m19s"}),
                204,
                none.clone(),
            ),
            (
                Read,
                "config",
                none.clone(),
                200,
                json!({"max_versions": 2, "delete_version_after": "3h25m19s"}),
            ),
            (Update, "config", json!({"delete_version_after": "-1s"}), 204, none.clone()),
            (Read, "config", none.clone(), 200, json!({"delete_version_after": "-1s"})),
            (Update, "config", json!({"delete_version_after": 0}), 204, none.clone()),
            (Update, "config", json!({"max_versions": "many"}), 400, none.clone()),
            (Delete, "config", none.clone(), 405, none.clone()),
            (Update, "metadata/a", json!({}), 204, none.clone()),
            (Read, "metadata/a", none.clone(), 404, none.clone()),
            (
                Update,
                "metadata/a",
                json!({"max_versions": 5, "custom_metadata": {"owner": "x", "n": 1}}),
                204,
                none.clone(),
            ),
            (
                Read,
                "metadata/a",
                none.clone(),
                200,
                json!({"max_versions": 5, "current_version": 0, "custom_metadata": {"owner": "x", "n": "1"}, "versions": {}}),
            ),
            (Read, "data/a", none.clone(), 404, none.clone()),
            (
                Patch,
                "metadata/a",
                json!({"custom_metadata": {"owner": none, "team": "y"}, "max_versions": none}),
                204,
                none.clone(),
            ),
            (
                Read,
                "metadata/a",
                none.clone(),
                200,
                json!({"max_versions": 0, "custom_metadata": {"n": "1", "team": "y"}}),
            ),
            (Patch, "metadata/missing", json!({"max_versions": 1}), 404, none.clone()),
            (Update, "metadata/a", json!({"custom_metadata": {}}), 204, none.clone()),
            (Read, "metadata/a", none.clone(), 200, json!({"custom_metadata": none})),
            (
                Update,
                "metadata/a",
                json!({"custom_metadata": {"k": ""}}),
                400,
                json!(
                    "1 error occurred:\n\t* custom_metadata validation failed: length of value for key \"k\" is 0 but must be 0 < len(value) <= 512\n\n"
                ),
            ),
            (
                Update,
                "metadata/a",
                json!({"custom_metadata": {"k": "a\u{7}"}}),
                400,
                json!(
                    "1 error occurred:\n\t* custom_metadata validation failed: value for key \"k\" contains unprintable characters\n\n"
                ),
            ),
            (Update, "metadata/a", json!({"custom_metadata": {"k": {"n": 1}}}), 400, none.clone()),
            (Update, "metadata/a", json!({"custom_metadata": "x"}), 400, none.clone()),
            (
                Update,
                "metadata/a",
                json!({"metadata_cas": 9, "max_versions": 1}),
                400,
                json!("metadata check-and-set parameter does not match the current version"),
            ),
        ],
    );
    let many: BTreeMap<String, &str> = (0..65).map(|number| (format!("k{number}"), "v")).collect();
    check(
        &mut mount(),
        &[(
            Update,
            "metadata/a",
            json!({"custom_metadata": many}),
            400,
            json!(
                "1 error occurred:\n\t* custom_metadata validation failed: payload must contain at most 64 keys, provided 65\n\n"
            ),
        )],
    );
}

#[test]
fn versions_are_deleted_by_age() {
    let mut mount = mount();
    mount.write("config", json!({"delete_version_after": "1h"}));
    mount.write("metadata/a", json!({"delete_version_after": "30m"}));
    let written = mount.write("data/a", json!({"data": {"k": "1"}}));
    assert_eq!(written["deletion_time"], "2023-11-14T22:43:20Z");
    mount.pass(1_799);
    mount.read("data/a");
    mount.pass(1);
    assert_eq!(mount.check(Read, "data/a", Value::Null).0, 404);
    mount.write("undelete/a", json!({"versions": [1]}));
    mount.read("data/a");
    mount.write("config", json!({"delete_version_after": "-1s"}));
    assert_eq!(mount.write("data/a", json!({"data": {}}))["deletion_time"], "");
}

#[test]
fn misuse_is_told() {
    let none = Value::Null;
    let root =
        json!({"warnings": ["Non-listing operations on the root of a K/V v2 mount are not supported."]});
    let hint = |verb: &str| {
        json!({"warnings": [format!("Invalid path for a versioned K/V secrets engine. See the API docs for the \
            appropriate API endpoints to use. If using the Vault CLI, use 'vault kv {verb}' for this operation.")]})
    };
    check(
        &mut mount(),
        &[
            (Read, "app/db", none.clone(), 404, hint("get")),
            (Update, "app", json!({"k": 1}), 404, hint("put")),
            (List, "", none.clone(), 404, hint("list")),
            (Delete, "app", none.clone(), 404, hint("delete")),
            (Patch, "app", none.clone(), 404, hint("patch")),
            (Read, "data", none.clone(), 404, root.clone()),
            (Update, "metadata", none.clone(), 404, root),
            (List, "data/a", none.clone(), 405, none.clone()),
            (Update, "data/a", json!({"k": 1}), 400, json!("no data provided")),
            (Update, "data/a", json!({"data": "text"}), 400, none.clone()),
            (Update, "data/a", json!({"data": {}, "options": "x"}), 400, none.clone()),
            (Update, "data/", json!({"data": {}}), 400, json!("missing path")),
            (Update, "delete/a", json!({}), 400, json!("No version number provided")),
            (Update, "undelete/a", json!({"versions": []}), 400, json!("No version number provided")),
            (Update, "destroy/a", json!({"versions": ["x"]}), 400, none.clone()),
            (Update, "destroy/a", json!({}), 400, json!("no version number provided")),
            (Update, "destroy/a", json!({"versions": [1]}), 204, none.clone()),
            (Patch, "data/a", json!({"data": {}}), 404, none.clone()),
            (Update, "data/a", json!({"data": {}}), 200, none.clone()),
            (Read, "data/a", json!({"version": "x"}), 400, none.clone()),
            (Read, "subkeys/a", json!({"depth": "x"}), 400, none.clone()),
        ],
    );
}

#[test]
fn upgraded_entries_are_first_versions() {
    let mut mount = Mount::new(Kv::default(), "secret/", &[]);
    mount.write("a/b", json!({"k": "1", "ttl": "1h"}));
    mount.write("c", json!({"k": "2"}));
    mount.context.options.insert("version".to_owned(), "2".to_owned());
    mount.remount();
    assert_eq!(mount.read("data/a/b")["data"], json!({"k": "1", "ttl": "1h"}));
    assert_eq!(mount.read("data/c")["metadata"]["version"], 1);
    assert_eq!(mount.succeed(List, "metadata", Value::Null)["keys"], json!(["a/", "c"]));
    mount.tick();
    assert_eq!(mount.write("data/c", json!({"data": {}}))["version"], 2);
}

#[test]
fn version_one_gives_back_what_it_was_given() {
    let mut mount = Mount::new(Kv::default(), "kv/", &[("version", "1")]);
    let none = Value::Null;
    check(
        &mut mount,
        &[
            (Read, "a", none.clone(), 404, none.clone()),
            (Update, "a", json!({"k": [1, {"n": 1.5}], "ttl": "1h"}), 204, none.clone()),
            (Read, "a", none.clone(), 200, json!({"k": [1, {"n": 1.5}], "ttl": "1h"})),
            (Update, "a", json!({}), 400, json!("missing data fields")),
            (Update, "data/metadata", json!({"k": 1}), 204, none.clone()),
            (List, "", none.clone(), 200, json!({"keys": ["a", "data/"]})),
            (List, "data", none.clone(), 200, json!({"keys": ["metadata"]})),
            (List, "x/", none.clone(), 404, none.clone()),
            (Patch, "a", json!({"k": 2}), 405, none.clone()),
            (Delete, "a", none.clone(), 204, none.clone()),
            (Read, "a", none.clone(), 404, none.clone()),
        ],
    );
    mount.write("a", json!({"lease": 90}));
    let advised = mount.ask(Read, "a", none.clone()).unwrap().advised_ttl;
    assert_eq!(advised.unwrap().as_secs(), 90);
    mount.write("a", json!({"ttl": "soon"}));
    assert_eq!(mount.ask(Read, "a", none).unwrap().advised_ttl, Some(mount.context.default_ttl));
}

proptest! {
    /// Whatever limits are set in between: the newest versions are kept, at least one and at most as many as allowed,
    /// and what goes was there.
    #[test]
    fn the_newest_versions_are_kept(steps in prop::collection::vec((0u32..5, 0u32..5), 1..60)) {
        let mut key = Key::default();
        let mut kept: Vec<u64> = Vec::new();
        for (number, (own, mount)) in (1u64..).zip(steps) {
            key.max_versions = own;
            let allowed = match own.max(mount) { 0 => VERSIONS_KEPT, max => max };
            kept.push(number);
            let gone = key.add(number, None, mount);
            let past = kept.len().saturating_sub(allowed as usize);
            let expected: Vec<u64> = kept.drain(..past).collect();
            prop_assert_eq!(gone, expected);
            prop_assert_eq!(key.versions.keys().copied().collect::<Vec<_>>(), kept.clone());
            prop_assert_eq!(key.current, number);
        }
    }

    /// A model of one secret: a version is present, deleted or destroyed, and a check-and-set write happens exactly
    /// if the number is the current one.
    #[test]
    fn a_secret_follows_its_model(steps in prop::collection::vec((0u8..6, 0u64..8), 1..40)) {
        let mut mount = mount();
        let mut model: BTreeMap<u64, (bool, bool, u64)> = BTreeMap::new();
        let mut current = 0;
        for (action, number) in steps {
            let path = ["data/a", "data/a", "delete/a", "undelete/a", "destroy/a", "data/a"][usize::from(action)];
            match action {
                0 | 1 => {
                    let options = if action == 0 { json!({"cas": number}) } else { json!({}) };
                    let (status, _) = mount.check(Update, path, json!({"data": {"n": current + 1}, "options": options}));
                    let expected = action == 1 || number == current;
                    prop_assert_eq!(status == 200, expected);
                    if expected {
                        current += 1;
                        model.insert(current, (false, false, current));
                        if model.len() > 10 { model.pop_first(); }
                    }
                }
                5 => {
                    mount.succeed(Delete, path, Value::Null);
                    if let Some(version) = model.get_mut(&current) { version.0 |= !version.1; }
                }
                _ => {
                    mount.write(path, json!({"versions": [number]}));
                    if let Some(version) = model.get_mut(&number) {
                        match action {
                            2 => version.0 |= !version.1,
                            3 => version.0 &= version.1,
                            _ => version.1 = true,
                        }
                    }
                }
            }
            for asked in 1..=current {
                let (status, answer) = mount.check(Read, "data/a", json!({"version": asked.to_string()}));
                match model.get(&asked) {
                    Some((false, false, n)) => {
                        prop_assert_eq!(status, 200);
                        prop_assert_eq!(&answer["data"]["n"], n);
                    }
                    Some((_, destroyed, _)) => {
                        prop_assert_eq!(status, 404);
                        prop_assert_eq!(&answer["metadata"]["destroyed"], destroyed);
                    }
                    None => prop_assert_eq!(status, 404),
                }
            }
        }
    }
}
