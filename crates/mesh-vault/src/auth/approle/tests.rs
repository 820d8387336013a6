//! Roles, secret identifiers and logins as a client sees them.

use super::AppRole;
use crate::{
    engine::testing::Mount,
    logical::{
        Auth, Engine,
        Operation::{self, Delete, List, Read, Renew, Update},
        Refusal, Request, Turn,
    },
    storage::Transaction,
};
use serde_json::{Value, json};

const INVALID: &str = "invalid role or secret ID";

fn mount() -> Mount<AppRole> {
    Mount::new(AppRole::default(), "auth/approle/", &[])
}

/// Status and answer, or the text of a refusal. `null` is not looked at; of an object only what is named.
fn check(mount: &mut Mount<AppRole>, table: &[(Operation, &str, Value, u16, Value)]) {
    for (operation, path, data, status, expected) in table {
        let (got_status, got) = mount.check(*operation, path, data.clone());
        assert_eq!(got_status, *status, "{operation:?} {path} {data}: {got}");
        let named = expected.as_object().into_iter().flatten();
        for (field, value) in named {
            assert_eq!(&got[field], value, "{operation:?} {path} {data}: {field} of {got}");
        }
        assert!(expected.is_null() || expected.is_object() || got == *expected, "{path} {data}: {got}");
    }
}

/// A role with a secret identifier.
fn role(mount: &mut Mount<AppRole>, role: Value, secret: Value) -> (String, String) {
    mount.write("role/app", role);
    let role_id = mount.read("role/app/role-id")["role_id"].as_str().unwrap().to_owned();
    let secret_id = mount.write("role/app/secret-id", secret)["secret_id"].as_str().unwrap().to_owned();
    (role_id, secret_id)
}

fn login(mount: &mut Mount<AppRole>, role_id: &str, secret_id: &str) -> Result<Auth, String> {
    let credentials = json!({"role_id": role_id, "secret_id": secret_id});
    let answer = mount.ask(Update, "login", credentials).map_err(|refusal| refusal.to_string())?;
    Ok(answer.auth.unwrap())
}

#[test]
fn roles() {
    let none = Value::Null;
    check(
        &mut mount(),
        &[
            (List, "role", none.clone(), 404, none.clone()),
            (Read, "role/app", none.clone(), 404, none.clone()),
            (
                Update,
                "role/App",
                json!({"token_policies": "a,b", "token_ttl": "1h", "secret_id_ttl": 60}),
                204,
                none.clone(),
            ),
            (
                Read,
                "role/app",
                none.clone(),
                200,
                json!({
                    "bind_secret_id": true, "local_secret_ids": false, "secret_id_bound_cidrs": none,
                    "secret_id_num_uses": 0, "secret_id_ttl": 60, "token_bound_cidrs": [], "token_explicit_max_ttl": 0,
                    "token_max_ttl": 0, "token_no_default_policy": false, "token_num_uses": 0, "token_period": 0,
                    "token_policies": ["a", "b"], "token_ttl": 3600, "token_type": "default",
                }),
            ),
            (List, "role/", none.clone(), 200, json!({"keys": ["app"]})),
            (Update, "role/app", json!({"policies": ["B", "a", "a"], "period": "90"}), 204, none.clone()),
            (
                Read,
                "role/app",
                none.clone(),
                200,
                json!({"policies": ["a", "b"], "period": 90, "token_period": 90, "token_ttl": 3600}),
            ),
            (Update, "role/app", json!({"token_policies": ["c"]}), 204, none.clone()),
            (Read, "role/app", none.clone(), 200, json!({"policies": none, "token_policies": ["c"]})),
            (
                Update,
                "role/app",
                json!({"role_id": ""}),
                400,
                json!("invalid role_id supplied, or failed to generate a role_id"),
            ),
            (Update, "role/app", json!({"role_id": "mine"}), 204, none.clone()),
            (
                Update,
                "role/other",
                json!({"role_id": "mine"}),
                500,
                json!("1 error occurred:\n\t* role_id already in use\n\n"),
            ),
            (
                Update,
                "role/app",
                json!({"bind_secret_id": false}),
                500,
                json!("1 error occurred:\n\t* at least one constraint should be enabled on the role\n\n"),
            ),
            (
                Update,
                "role/app",
                json!({"bind_secret_id": false, "secret_id_bound_cidrs": "127.0.0.0/8"}),
                204,
                none.clone(),
            ),
            (
                Update,
                "role/app",
                json!({"secret_id_bound_cidrs": "127.0.0.1"}),
                500,
                json!(
                    "1 error occurred:\n\t* failed to validate CIDR blocks: invalid CIDR address: 127.0.0.1\n\n"
                ),
            ),
            (
                Update,
                "role/app",
                json!({"token_type": "default-batch", "token_period": 0}),
                200,
                json!({"warnings": ["default-batch has no useful meaning; adjusting to batch"]}),
            ),
            (Update, "role/app", json!({"token_num_uses": 3}), 400, none.clone()),
            (
                Update,
                "role/app",
                json!({"token_type": "other"}),
                400,
                json!("invalid 'token_type' value \"other\""),
            ),
            (
                Update,
                "role/app",
                json!({"secret_id_num_uses": -1}),
                400,
                json!("secret_id_num_uses cannot be negative"),
            ),
            (
                Update,
                "role/app",
                json!({"local_secret_ids": true}),
                400,
                json!("local_secret_ids can only be modified during role creation"),
            ),
            (
                Update,
                "role/app",
                json!({"token_ttl": "2h", "token_max_ttl": "1h"}),
                400,
                json!("'token_ttl' cannot be greater than 'token_max_ttl'"),
            ),
            (Update, "role/app", json!({"token_max_ttl": 9_999_999}), 200, none.clone()),
            (Update, "role/-x", json!({}), 404, none.clone()),
            (Delete, "role/app", none.clone(), 204, none.clone()),
            (Delete, "role/app", none.clone(), 204, none.clone()),
            (Read, "role/app/role-id", none.clone(), 404, none.clone()),
        ],
    );
}

#[test]
fn settings_have_paths_of_their_own() {
    let none = Value::Null;
    let mut mount = mount();
    mount.write("role/app", json!({}));
    for (path, given, shown, after) in [
        (
            "policies",
            json!({"token_policies": "B,a"}),
            json!({"token_policies": ["a", "b"]}),
            json!({"token_policies": []}),
        ),
        (
            "secret-id-bound-cidrs",
            json!({"secret_id_bound_cidrs": "10.0.0.0/8"}),
            json!({"secret_id_bound_cidrs": ["10.0.0.0/8"]}),
            json!({"secret_id_bound_cidrs": none}),
        ),
        (
            "token-bound-cidrs",
            json!({"token_bound_cidrs": ["127.0.0.1/32", "10.0.0.0/8"]}),
            json!({"token_bound_cidrs": ["127.0.0.1", "10.0.0.0/8"]}),
            json!({"token_bound_cidrs": none}),
        ),
        (
            "secret-id-num-uses",
            json!({"secret_id_num_uses": "5"}),
            json!({"secret_id_num_uses": 5}),
            json!({"secret_id_num_uses": 0}),
        ),
        (
            "secret-id-ttl",
            json!({"secret_id_ttl": "1h"}),
            json!({"secret_id_ttl": 3600}),
            json!({"secret_id_ttl": 0}),
        ),
        (
            "period",
            json!({"period": 60}),
            json!({"period": 60, "token_period": 60}),
            json!({"token_period": 0}),
        ),
        (
            "token-num-uses",
            json!({"token_num_uses": 5}),
            json!({"token_num_uses": 5}),
            json!({"token_num_uses": 0}),
        ),
        (
            "token-max-ttl",
            json!({"token_max_ttl": 900}),
            json!({"token_max_ttl": 900}),
            json!({"token_max_ttl": 0}),
        ),
        ("token-ttl", json!({"token_ttl": 600}), json!({"token_ttl": 600}), json!({"token_ttl": 0})),
        (
            "bind-secret-id",
            json!({"bind_secret_id": "true"}),
            json!({"bind_secret_id": true}),
            json!({"bind_secret_id": true}),
        ),
    ] {
        let whole = format!("role/app/{path}");
        assert_eq!(mount.write(&whole, given), none, "{path}");
        assert_eq!(mount.read(&whole), shown, "{path}");
        assert_eq!(mount.succeed(Delete, &whole, none.clone()), none, "{path}");
        assert_eq!(mount.read(&whole), after, "{path}");
        if !matches!(path, "token-bound-cidrs") {
            assert_eq!(
                mount.check(Update, &whole, json!({})).0 / 100,
                if path == "secret-id-bound-cidrs" { 2 } else { 4 },
                "{path}"
            );
        }
        assert_eq!(mount.check(Update, &format!("role/none/{path}"), json!({})).0, 404, "{path}");
        assert_eq!(mount.check(Read, &format!("role/none/{path}"), none.clone()).0, 404, "{path}");
    }
    check(
        &mut mount,
        &[
            (Read, "role/app/local-secret-ids", none.clone(), 200, json!({"local_secret_ids": false})),
            (Update, "role/app/local-secret-ids", json!({}), 405, none.clone()),
            (Update, "role/app/role-id", json!({"role_id": "x"}), 204, none.clone()),
            (Read, "role/app/role-id", none.clone(), 200, json!({"role_id": "x"})),
            (Update, "role/app/role-id", json!({}), 400, json!("missing role_id")),
            (Read, "role/app/nothing", none.clone(), 404, none.clone()),
            (List, "role/app/role-id", none.clone(), 404, none.clone()),
        ],
    );
}

#[test]
fn a_secret_id_lives() {
    let none = Value::Null;
    let mut mount = mount();
    let wish =
        json!({"metadata": "{\"team\":\"x\"}", "num_uses": 2, "ttl": "1h", "cidr_list": "127.0.0.0/8"});
    let (role_id, secret_id) = role(&mut mount, json!({"token_policies": "p", "token_ttl": 60}), wish);
    let facts = mount.write("role/app/secret-id/lookup", json!({"secret_id": secret_id}));
    let accessor = facts["secret_id_accessor"].clone();
    assert_eq!(facts["metadata"], json!({"team": "x"}));
    assert_eq!((&facts["secret_id_num_uses"], &facts["secret_id_ttl"]), (&json!(2), &json!(3600)));
    assert_eq!(facts["expiration_time"], "2023-11-14T23:13:20Z");
    assert_eq!(mount.succeed(List, "role/app/secret-id", none.clone())["keys"], json!([accessor]));
    let by_accessor =
        mount.write("role/app/secret-id-accessor/lookup", json!({"secret_id_accessor": accessor}));
    assert_eq!(by_accessor, facts);

    let auth = login(&mut mount, &role_id, &secret_id).unwrap();
    assert_eq!(
        (auth.policies, auth.ttl.as_secs(), auth.display_name),
        (vec!["p".to_owned()], 60, "approle".to_owned())
    );
    assert_eq!(json!(auth.metadata), json!({"team": "x", "role_name": "app"}));
    login(&mut mount, &role_id, &secret_id).unwrap();
    assert_eq!(login(&mut mount, &role_id, &secret_id).unwrap_err(), INVALID, "its uses are over");
    assert_eq!(mount.check(List, "role/app/secret-id", none.clone()).0, 404);
    let missing =
        mount.check(Update, "role/app/secret-id-accessor/lookup", json!({"secret_id_accessor": accessor}));
    assert_eq!(missing.0, 404);

    let renewed = mount.ask(Renew, "login", json!({"role_name": "app"})).unwrap().auth.unwrap();
    assert_eq!(renewed.ttl.as_secs(), 60);
    mount.succeed(Delete, "role/app", none);
    assert!(mount.ask(Renew, "login", json!({"role_name": "app"})).is_err());
}

#[test]
fn refused_wishes() {
    let none = Value::Null;
    let mut mount = mount();
    mount.write(
        "role/app",
        json!({"secret_id_num_uses": 5, "secret_id_ttl": 60, "secret_id_bound_cidrs": "10.0.0.0/8"}),
    );
    check(
        &mut mount,
        &[
            (
                Update,
                "role/app/secret-id",
                json!({"num_uses": 6}),
                400,
                json!("num_uses cannot be higher than the role's secret_id_num_uses"),
            ),
            (
                Update,
                "role/app/secret-id",
                json!({"num_uses": 0}),
                400,
                json!("num_uses cannot be higher than the role's secret_id_num_uses"),
            ),
            (
                Update,
                "role/app/secret-id",
                json!({"num_uses": -1}),
                400,
                json!("num_uses cannot be negative"),
            ),
            (
                Update,
                "role/app/secret-id",
                json!({"ttl": 61}),
                400,
                json!("ttl cannot be longer than the role's secret_id_ttl"),
            ),
            (Update, "role/app/secret-id", json!({"cidr_list": "x"}), 500, Value::Null),
            (Update, "role/app/secret-id", json!({"cidr_list": "11.0.0.0/8"}), 500, none.clone()),
            (Update, "role/app/secret-id", json!({"metadata": "no"}), 400, none.clone()),
            (
                Update,
                "role/app/secret-id",
                json!({"metadata": "{\"k\":\"\"}"}),
                400,
                json!("failed to parse metadata: invalid value for key \"k\""),
            ),
            (
                Update,
                "role/app/secret-id",
                json!({"metadata": "a=1, b=2", "cidr_list": "10.1.0.0/16"}),
                200,
                json!({"secret_id_num_uses": 5, "secret_id_ttl": 60}),
            ),
            (Update, "role/none/secret-id", json!({}), 404, json!("role \"none\" does not exist")),
            (Update, "role/app/custom-secret-id", json!({}), 400, json!("missing secret_id")),
            (
                Update,
                "role/app/custom-secret-id",
                json!({"secret_id": "mine"}),
                200,
                json!({"secret_id": "mine"}),
            ),
            (Update, "role/app/custom-secret-id", json!({"secret_id": "mine"}), 500, none.clone()),
            (Update, "role/app/secret-id/lookup", json!({}), 400, json!("missing secret_id")),
            (Update, "role/app/secret-id/lookup", json!({"secret_id": "other"}), 204, none.clone()),
            (Update, "role/app/secret-id/destroy", json!({"secret_id": "mine"}), 204, none.clone()),
            (Update, "role/app/secret-id/destroy", json!({"secret_id": "mine"}), 204, none.clone()),
            (Update, "role/app/secret-id/lookup", json!({"secret_id": "mine"}), 204, none.clone()),
            (
                Update,
                "role/app/secret-id-accessor/destroy",
                json!({"secret_id_accessor": "x"}),
                500,
                none.clone(),
            ),
            (Read, "role/app/secret-id/lookup", none.clone(), 405, none.clone()),
            (Update, "login", json!({}), 500, json!("missing role_id")),
            (Update, "login", json!({"role_id": "x"}), 400, json!(INVALID)),
            (Read, "login", none.clone(), 405, none.clone()),
        ],
    );
}

#[test]
fn time_ends_it() {
    let mut mount = mount();
    let (role_id, secret_id) = role(&mut mount, json!({}), json!({"ttl": 60}));
    mount.pass(59);
    login(&mut mount, &role_id, &secret_id).unwrap();
    mount.pass(1);
    assert_eq!(login(&mut mount, &role_id, &secret_id).unwrap_err(), INVALID);
    assert_eq!(mount.check(List, "role/app/secret-id", Value::Null).0, 404);
    mount.pass(3_600);
    mount.tick();
    let transaction = Transaction::new(&mount.store, "logical/1/");
    assert_eq!(transaction.list("").unwrap(), ["role/", "role_id/", "salt"], "nothing is left of it");
}

#[test]
fn tidying_leaves_what_lives() {
    let mut mount = mount();
    let (role_id, living) = role(&mut mount, json!({}), json!({"ttl": 4_000}));
    let forever = mount.write("role/app/secret-id", json!({}))["secret_id"].as_str().unwrap().to_owned();
    mount.write("role/app/secret-id", json!({"ttl": 10}));
    mount.pass(3_700);
    let (status, answer) = mount.check(Update, "tidy/secret-id", json!({}));
    assert_eq!((status, answer["warnings"].as_array().unwrap().len()), (202, 1));
    let left = mount.succeed(List, "role/app/secret-id", Value::Null)["keys"].as_array().unwrap().len();
    assert_eq!(left, 2);
    login(&mut mount, &role_id, &living).unwrap();
    login(&mut mount, &role_id, &forever).unwrap();
}

#[test]
fn networks_are_looked_at() {
    let mut mount = mount();
    let (role_id, secret_id) = role(
        &mut mount,
        json!({"secret_id_bound_cidrs": "127.0.0.0/8"}),
        json!({"cidr_list": "127.0.0.1/32", "token_bound_cidrs": "127.0.0.0/8", "num_uses": 1}),
    );
    mount.remote = Some([10, 0, 0, 1].into());
    let refused = login(&mut mount, &role_id, &secret_id).unwrap_err();
    assert_eq!(
        refused,
        "source address \"10.0.0.1\" unauthorized through CIDR restrictions on the secret ID"
    );
    mount.remote = None;
    assert!(login(&mut mount, &role_id, &secret_id).is_err());
    mount.remote = Some([127, 0, 0, 1].into());
    let auth = login(&mut mount, &role_id, &secret_id).expect("a refused login burns no use");
    assert_eq!(auth.bound_cidrs, ["127.0.0.0/8"]);
}

#[test]
fn failures_lock_a_role_for_a_while() {
    let mut mount = mount();
    let (role_id, secret_id) = role(&mut mount, json!({}), json!({}));
    for _ in 0..5 {
        assert_eq!(login(&mut mount, &role_id, "guess").unwrap_err(), INVALID);
    }
    assert_eq!(login(&mut mount, &role_id, &secret_id).unwrap_err(), Refusal::Denied.to_string());
    mount.engine = AppRole::default();
    assert_eq!(
        login(&mut mount, &role_id, &secret_id).unwrap_err(),
        Refusal::Denied.to_string(),
        "after a restart"
    );
    mount.pass(900);
    login(&mut mount, &role_id, &secret_id).unwrap();
}

#[test]
fn logins_that_burn_a_use_wait_for_each_other() {
    let mut mount = mount();
    let (role_id, limited) = role(&mut mount, json!({}), json!({"num_uses": 3}));
    let free = mount.write("role/app/secret-id", json!({}))["secret_id"].as_str().unwrap().to_owned();
    for (secret_id, turn) in [
        (limited, Turn::Key("app".to_owned())),
        (free, Turn::Free),
        ("x".to_owned(), Turn::Key("app".to_owned())),
    ] {
        let data = json!({"role_id": role_id, "secret_id": secret_id});
        let request = Request {
            operation: Update,
            path: "login".to_owned(),
            data: data.as_object().unwrap().clone(),
            token: None,
            remote: None,
            internal: serde_json::Map::new(),
        };
        let transaction = Transaction::new(&mount.store, "logical/1/");
        assert_eq!(mount.engine.turn_in(&request, &mount.context, &transaction).unwrap(), turn);
    }
}

#[test]
fn nothing_stored_is_a_credential() {
    let mut mount = mount();
    let (_, secret_id) = role(&mut mount, json!({}), json!({"ttl": 60, "num_uses": 3}));
    let mut folders = vec![String::new()];
    let transaction = Transaction::new(&mount.store, "");
    while let Some(folder) = folders.pop() {
        for child in transaction.list(&folder).unwrap() {
            let key = format!("{folder}{child}");
            assert!(!key.contains(&secret_id));
            match transaction.get(&key).unwrap() {
                Some(value) => assert!(!String::from_utf8_lossy(&value).contains(&secret_id), "{key}"),
                None => folders.push(key),
            }
        }
    }
}
