//! Which rule counts, and that `deny` is never outdone.

use super::{Acl, Asked, Policy, parse};
use crate::logical::{Object, Operation};
use proptest::prelude::*;
use std::time::Duration;

fn policy(text: &str) -> Policy {
    parse("p", text).unwrap()
}

fn allows(acl: &Acl, operation: Operation, path: &str) -> bool {
    acl.judge(&Asked { operation, path, data: &Object::new(), wrap_ttl: None }).allowed
}

fn check(text: &str, expected: &[(Operation, &str, bool)]) {
    let policy = policy(text);
    let acl = Acl::new([&policy]);
    for (operation, path, expected) in expected {
        assert_eq!(allows(&acl, *operation, path), *expected, "{operation:?} {path} of {text}");
    }
}

#[test]
fn the_most_exact_rule_counts_alone() {
    check(
        r#"
        path "secret/*" { capabilities = ["read", "list"] }
        path "secret/a/*" { capabilities = ["create"] }
        path "secret/a/b" { capabilities = ["deny"] }
        path "secret/+/c" { capabilities = ["delete"] }
        path "secret/a/+/d*" { capabilities = ["update"] }
        "#,
        &[
            (Operation::Read, "secret/x", true),
            (Operation::Read, "secret/a/x", false),
            (Operation::Create, "secret/a/x", true),
            (Operation::Create, "secret/a/b", false),
            (Operation::Delete, "secret/x/c", true),
            // "secret/a/*" has its wildcard further right than "secret/+/c".
            (Operation::Delete, "secret/a/c", false),
            (Operation::Create, "secret/a/c", true),
            // The same place of the wildcard; both are prefixes; fewer wildcards win.
            (Operation::Create, "secret/a/x/dd", true),
            (Operation::Update, "secret/a/x/dd", false),
            (Operation::Read, "other", false),
            (Operation::List, "secret/", true),
        ],
    );
}

#[test]
fn a_listing_is_asked_for_with_and_without_its_slash() {
    let text = r#"path "secret/a" { capabilities = ["list"] } path "kv/+" { capabilities = ["list"] }"#;
    check(
        text,
        &[
            (Operation::List, "secret/a/", true),
            (Operation::List, "secret/a", true),
            (Operation::List, "kv/x/", true),
            (Operation::Read, "secret/a", false),
        ],
    );
}

#[test]
fn policies_are_united_and_deny_wins() {
    let (one, two) = (
        policy(r#"path "a" { capabilities = ["read"] } path "b/*" { capabilities = ["deny"] }"#),
        policy(r#"path "a" { capabilities = ["update"] } path "b/*" { capabilities = ["read", "sudo"] }"#),
    );
    for acl in [Acl::new([&one, &two]), Acl::new([&two, &one])] {
        assert!(allows(&acl, Operation::Read, "a") && allows(&acl, Operation::Update, "a"));
        assert!(!allows(&acl, Operation::Read, "b/x"));
        assert_eq!(acl.capabilities("b/x"), ["deny"]);
        assert_eq!(acl.capabilities("a"), ["read", "update"]);
    }
}

#[test]
fn the_old_words_and_json() {
    check(
        r#"path "a" { policy = "write" }"#,
        &[(Operation::Delete, "a", true), (Operation::Patch, "a", false)],
    );
    check(r#"path "a" { policy = "deny" }"#, &[(Operation::Read, "a", false)]);
    check(r#"{"path": {"a/*": {"capabilities": ["read"]}}}"#, &[(Operation::Read, "a/b", true)]);
    for bad in [
        r#"path "a" { capabilities = ["fly"] }"#,
        r#"path "a" { capabilites = ["read"] }"#,
        r#"paths "a" { capabilities = ["read"] }"#,
        r#"path "a/+*" { capabilities = ["read"] }"#,
        r#"path "a" { policy = "own" }"#,
        r#"path "a/{{x" { capabilities = ["read"] }"#,
        r#"path "a" { max_wrapping_ttl = "1m" min_wrapping_ttl = "1h" }"#,
        r#"path "a" {"#,
    ] {
        assert!(parse("p", bad).is_err(), "{bad}");
    }
    // No identity, so nobody reaches it; and it hides nothing either.
    let text = r#"path "a/{{identity.entity.id}}" { capabilities = ["deny"] } path "a/*" { capabilities = ["read"] }"#;
    check(text, &[(Operation::Read, "a/b", true), (Operation::Read, "b", false)]);
}

#[test]
fn fields_and_wrapping_are_bounded() {
    let text = r#"path "a" {
        capabilities = ["update"]
        required_parameters = ["r"]
        allowed_parameters = { "r" = [], "s" = ["x*", 5], "t" = [] }
        denied_parameters = { "t" = ["bad"] }
    }
    path "w" { capabilities = ["read"] min_wrapping_ttl = "1m" max_wrapping_ttl = "1h" }"#;
    let policy = policy(text);
    let acl = Acl::new([&policy]);
    let judge = |data: serde_json::Value| {
        let data = data.as_object().cloned().unwrap_or_default();
        acl.judge(&Asked { operation: Operation::Update, path: "a", data: &data, wrap_ttl: None }).allowed
    };
    for (data, expected) in [
        (serde_json::json!({ "r": 1 }), true),
        (serde_json::json!({}), false),
        (serde_json::json!({ "s": "x" }), false),
        (serde_json::json!({ "R": 1, "s": "xyz" }), true),
        (serde_json::json!({ "r": 1, "s": 5 }), true),
        (serde_json::json!({ "r": 1, "s": "y" }), false),
        (serde_json::json!({ "r": 1, "t": "good" }), true),
        (serde_json::json!({ "r": 1, "t": "bad" }), false),
        (serde_json::json!({ "r": 1, "other": 1 }), false),
    ] {
        assert_eq!(judge(data.clone()), expected, "{data}");
    }
    for (ttl, expected) in
        [(None, false), (Some(30), false), (Some(60), true), (Some(3600), true), (Some(3601), false)]
    {
        let asked = Asked {
            operation: Operation::Read,
            path: "w",
            data: &Object::new(),
            wrap_ttl: ttl.map(Duration::from_secs),
        };
        assert_eq!(acl.judge(&asked).allowed, expected, "{ttl:?}");
    }
}

const OPERATIONS: [Operation; 6] = [
    Operation::Create,
    Operation::Read,
    Operation::Update,
    Operation::Patch,
    Operation::Delete,
    Operation::List,
];

fn pattern() -> impl Strategy<Value = String> {
    let part = prop_oneof![Just("a"), Just("b"), Just("+"), Just("ab")];
    (prop::collection::vec(part, 1..4), any::<bool>()).prop_filter_map("forbidden", |(parts, glob)| {
        let path = parts.join("/");
        let path = if glob { format!("{path}*") } else { path };
        (!path.contains("+*")).then_some(path)
    })
}

fn rules() -> impl Strategy<Value = Vec<(String, Vec<&'static str>)>> {
    let word =
        prop_oneof![Just("create"), Just("read"), Just("update"), Just("delete"), Just("list"), Just("sudo")];
    prop::collection::vec((pattern(), prop::collection::vec(word, 0..4)), 0..6)
}

fn text(rules: &[(String, Vec<&str>)]) -> String {
    rules.iter().map(|(path, words)| format!("path {path:?} {{ capabilities = {words:?} }}\n")).collect()
}

fn path() -> impl Strategy<Value = String> {
    let part = prop_oneof![Just("a"), Just("b"), Just("ab"), Just("c")];
    prop::collection::vec(part, 1..5).prop_map(|parts| parts.join("/"))
}

proptest! {
    /// Whatever is granted for a pattern that denies, and in whatever order, it denies.
    #[test]
    fn deny_is_never_outdone(mut rules in rules(), denied in pattern(), path in path(), at in 0_usize..8) {
        rules.retain(|(known, _)| *known != denied);
        let granted: Vec<&str> = vec!["create", "read", "update", "delete", "list", "sudo"];
        let deny = policy(&text(&[(denied.clone(), vec!["deny"])]));
        let without = policy(&text(&rules));
        let alone = Acl::new([&without, &deny]);
        let at = at.min(rules.len());
        rules.insert(at, (denied, granted));
        let with = policy(&text(&rules));
        for acl in [Acl::new([&with, &deny]), Acl::new([&deny, &with])] {
            for operation in OPERATIONS {
                prop_assert_eq!(allows(&acl, operation, &path), allows(&alone, operation, &path));
            }
            prop_assert_eq!(acl.capabilities(&path), alone.capabilities(&path));
        }
    }

    /// The order of rules and of policies says nothing.
    #[test]
    fn order_does_not_matter(one in rules(), two in rules(), path in path()) {
        let (first, second) = (policy(&text(&one)), policy(&text(&two)));
        let whole = policy(&text(&[two, one].concat()));
        let (ab, ba, both) = (Acl::new([&first, &second]), Acl::new([&second, &first]), Acl::new([&whole]));
        for operation in OPERATIONS {
            let expected = allows(&ab, operation, &path);
            prop_assert_eq!(allows(&ba, operation, &path), expected);
            prop_assert_eq!(allows(&both, operation, &path), expected);
        }
    }

    /// What decides without an index: of all patterns that match, the exact one, or the most exact.
    #[test]
    fn the_index_finds_what_a_search_finds(rules in rules(), path in path()) {
        let policy = policy(&text(&rules));
        let found = Acl::new([&policy]).capabilities(&path);
        prop_assert_eq!(found, searched(&rules, &path));
    }

    /// Nothing makes the reader panic.
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}") {
        let _ = parse("p", &text);
    }
}

/// Vault's rules of precedence as they are documented, over a list.
fn searched(rules: &[(String, Vec<&str>)], path: &str) -> Vec<&'static str> {
    let matches = |pattern: &str| {
        let (bare, glob) = pattern.strip_suffix('*').map_or((pattern, false), |bare| (bare, true));
        let (wanted, given): (Vec<&str>, Vec<&str>) = (bare.split('/').collect(), path.split('/').collect());
        let last = wanted.len() - 1;
        if !bare.contains('+') {
            return if glob { path.starts_with(bare) } else { path == bare };
        }
        given.len() >= wanted.len()
            && (glob || given.len() == wanted.len())
            && wanted.iter().enumerate().all(|(at, part)| {
                *part == "+" || *part == given[at] || (glob && at == last && given[at].starts_with(part))
            })
    };
    let rank = |pattern: &str| {
        let bare = pattern.strip_suffix('*').unwrap_or(pattern);
        let exact = !pattern.contains('+') && !pattern.ends_with('*');
        let first = pattern.find('+').unwrap_or(bare.len());
        let wildcards = bare.split('/').filter(|part| *part == "+").count();
        (exact, first, !pattern.ends_with('*'), usize::MAX - wildcards, bare.len(), bare.to_owned())
    };
    let best =
        rules.iter().map(|(pattern, _)| pattern).filter(|pattern| matches(pattern)).max_by_key(|p| rank(p));
    let Some(best) = best else { return vec!["deny"] };
    let words: Vec<&str> =
        rules.iter().filter(|(pattern, _)| pattern == best).flat_map(|(_, w)| w.clone()).collect();
    let known = ["create", "delete", "list", "patch", "read", "sudo", "update"];
    let found: Vec<&str> = known.into_iter().filter(|word| words.contains(word)).collect();
    if found.is_empty() { vec!["deny"] } else { found }
}
