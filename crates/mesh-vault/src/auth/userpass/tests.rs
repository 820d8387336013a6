//! Users and logins as a client sees them.

use super::UserPass;
use crate::{
    engine::testing::Mount,
    logical::{
        Auth, Engine,
        Operation::{self, Delete, List, Read, Renew, Update},
        Refusal, Request, Weight,
    },
    storage::Read as _,
};
use serde_json::{Value, json};

const INVALID: &str = "invalid username or password";

fn mount() -> Mount<UserPass> {
    Mount::new(UserPass::default(), "auth/userpass/", &[])
}

fn check(mount: &mut Mount<UserPass>, table: &[(Operation, &str, Value, u16, Value)]) {
    for (operation, path, data, status, expected) in table {
        let (got_status, got) = mount.check(*operation, path, data.clone());
        assert_eq!(got_status, *status, "{operation:?} {path} {data}: {got}");
        for (field, value) in expected.as_object().into_iter().flatten() {
            assert_eq!(&got[field], value, "{operation:?} {path} {data}: {field} of {got}");
        }
        assert!(expected.is_null() || expected.is_object() || got == *expected, "{path} {data}: {got}");
    }
}

fn login(mount: &mut Mount<UserPass>, name: &str, password: &str) -> Result<Auth, String> {
    let answer = mount.ask(Update, &format!("login/{name}"), json!({"password": password}));
    Ok(answer.map_err(|refusal| refusal.to_string())?.auth.unwrap())
}

#[test]
fn users() {
    let none = Value::Null;
    check(
        &mut mount(),
        &[
            (List, "users", none.clone(), 404, none.clone()),
            (Update, "users/bob", json!({"token_policies": "a"}), 400, json!("missing password")),
            (
                Update,
                "users/Bob",
                json!({"password": "p", "token_policies": "a,b", "token_ttl": "1h"}),
                204,
                none.clone(),
            ),
            (
                Read,
                "users/bob",
                none.clone(),
                200,
                json!({"token_policies": ["a", "b"], "token_ttl": 3600, "password": none, "password_hash": none}),
            ),
            (List, "users/", none.clone(), 200, json!({"keys": ["bob"]})),
            (
                Update,
                "users/bob",
                json!({"policies": ["X"], "ttl": 60, "max_ttl": "2m", "bound_cidrs": "10.0.0.0/8"}),
                204,
                none.clone(),
            ),
            (
                Read,
                "users/bob",
                none.clone(),
                200,
                json!({"policies": ["x"], "ttl": 60, "max_ttl": 120, "token_ttl": 60, "bound_cidrs": ["10.0.0.0/8"], "token_bound_cidrs": ["10.0.0.0/8"]}),
            ),
            (Update, "users/bob/policies", json!({"token_policies": "c"}), 204, none.clone()),
            (Read, "users/bob", none.clone(), 200, json!({"token_policies": ["c"], "policies": none})),
            (Update, "users/bob/password", json!({}), 400, none.clone()),
            (Update, "users/bob/password", json!({"password": "new"}), 204, none.clone()),
            (
                Update,
                "users/none/password",
                json!({"password": "new"}),
                500,
                json!("1 error occurred:\n\t* username does not exist\n\n"),
            ),
            (Update, "users/bob", json!({"token_type": "batch", "token_num_uses": 1}), 400, none.clone()),
            (Update, "users/b b", json!({"password": "p"}), 404, none.clone()),
            (Read, "login/bob", none.clone(), 405, none.clone()),
            (Update, "login/bob", json!({}), 500, json!("missing password")),
            (Delete, "users/bob", none.clone(), 204, none.clone()),
            (Read, "users/bob", none.clone(), 404, none.clone()),
        ],
    );
}

#[test]
fn a_login() {
    let mut mount = mount();
    mount.write("users/bob", json!({"password": "right", "token_policies": "p"}));
    for (name, password, expected) in [
        ("bob", "wrong", Err(INVALID)),
        ("eve", "right", Err(INVALID)),
        ("bob", "right", Ok(())),
        ("BOB", "right", Ok(())),
    ] {
        let got = login(&mut mount, name, password);
        assert_eq!(got.as_ref().map(drop).map_err(String::as_str), expected, "{name} {password}");
    }
    let auth = login(&mut mount, "bob", "right").unwrap();
    assert_eq!((auth.display_name.as_str(), auth.alias.as_str()), ("userpass-bob", "bob"));
    assert_eq!(json!(auth.metadata), json!({"username": "bob"}));

    let internal = Value::Object(auth.internal);
    mount.ask(Renew, "login/bob", internal.clone()).unwrap();
    mount.write("users/bob/policies", json!({"token_policies": "q"}));
    assert!(mount.ask(Renew, "login/bob", internal.clone()).is_err(), "policies have changed");
    mount.succeed(Delete, "users/bob", Value::Null);
    assert!(mount.ask(Renew, "login/bob", internal).is_err(), "the user is gone");
}

#[test]
fn failures_lock_a_user_for_a_while() {
    let mut mount = mount();
    mount.write("users/bob", json!({"password": "right"}));
    for round in 0..2 {
        for _ in 0..4 {
            assert_eq!(login(&mut mount, "bob", "wrong").unwrap_err(), INVALID);
        }
        login(&mut mount, "bob", "right").unwrap_or_else(|error| panic!("round {round}: {error}"));
    }
    for _ in 0..5 {
        assert_eq!(login(&mut mount, "bob", "wrong").unwrap_err(), INVALID);
    }
    assert_eq!(login(&mut mount, "bob", "right").unwrap_err(), Refusal::Denied.to_string());
    mount.pass(899);
    assert!(login(&mut mount, "bob", "right").is_err());
    mount.pass(1);
    login(&mut mount, "bob", "right").unwrap();
    for _ in 0..20 {
        assert_eq!(
            login(&mut mount, "nobody", "wrong").unwrap_err(),
            INVALID,
            "who is not there is not counted"
        );
    }
}

#[test]
fn a_restart_does_not_unlock_a_user() {
    let mut mount = mount();
    mount.write("users/bob", json!({"password": "right"}));
    for _ in 0..5 {
        assert_eq!(login(&mut mount, "bob", "wrong").unwrap_err(), INVALID);
    }
    mount.engine = UserPass::default();
    assert_eq!(login(&mut mount, "bob", "right").unwrap_err(), Refusal::Denied.to_string());
    mount.tick();
    assert_eq!(login(&mut mount, "bob", "right").unwrap_err(), Refusal::Denied.to_string());
    mount.pass(900);
    login(&mut mount, "bob", "right").unwrap();
    mount.engine = UserPass::default();
    login(&mut mount, "bob", "right").unwrap();
    // A lock that is over goes by itself too.
    for _ in 0..5 {
        assert_eq!(login(&mut mount, "bob", "wrong").unwrap_err(), INVALID);
    }
    let locks = |mount: &Mount<UserPass>| mount.store.list("logical/1/lockout/").unwrap().len();
    assert_eq!(locks(&mount), 1);
    mount.pass(900);
    mount.tick();
    assert_eq!(locks(&mount), 0);
}

#[test]
fn a_lock_of_a_clock_that_was_ahead_ends() {
    const YEAR: u64 = 365 * 86_400;
    let mut mount = mount();
    mount.write("users/bob", json!({"password": "right"}));
    let lock_ahead = |mount: &mut Mount<UserPass>| {
        mount.pass(YEAR);
        for _ in 0..5 {
            assert_eq!(login(mount, "bob", "wrong").unwrap_err(), INVALID);
        }
        mount.context.now -= std::time::Duration::from_secs(YEAR);
    };
    let locks = |mount: &Mount<UserPass>| mount.store.list("logical/1/lockout/").unwrap().len();
    lock_ahead(&mut mount);
    mount.engine = UserPass::default();
    assert!(login(&mut mount, "bob", "right").is_err());
    // The while has begun; no restart begins it anew.
    mount.pass(899);
    mount.engine = UserPass::default();
    assert!(login(&mut mount, "bob", "right").is_err());
    mount.pass(1);
    login(&mut mount, "bob", "right").unwrap();
    assert_eq!(locks(&mount), 0);
    // Tidying does the same: to what is stored, and to what is in memory.
    lock_ahead(&mut mount);
    mount.tick();
    mount.pass(899);
    assert!(login(&mut mount, "bob", "right").is_err());
    mount.pass(1);
    mount.tick();
    assert_eq!(locks(&mount), 0);
    login(&mut mount, "bob", "right").unwrap();
}

#[test]
fn networks_are_looked_at() {
    let mut mount = mount();
    mount.write("users/bob", json!({"password": "right", "token_bound_cidrs": "10.0.0.0/8"}));
    assert_eq!(login(&mut mount, "bob", "right").unwrap_err(), Refusal::Denied.to_string());
    mount.remote = Some([10, 0, 0, 1].into());
    login(&mut mount, "bob", "right").unwrap();
}

#[test]
fn hashing_is_heavy() {
    let engine = UserPass::default();
    for (operation, path, weight) in [
        (Update, "login/bob", Weight::Heavy),
        (Update, "users/bob", Weight::Heavy),
        (Update, "users/bob/password", Weight::Heavy),
        (Update, "users/bob/policies", Weight::Light),
        (Read, "users/bob", Weight::Light),
    ] {
        let request = Request {
            operation,
            path: path.to_owned(),
            data: serde_json::Map::new(),
            token: None,
            remote: None,
            internal: serde_json::Map::new(),
        };
        assert_eq!(engine.weight(&request), weight, "{path}");
    }
}
