//! The whole of a vault but the network, as a client sees it.

use super::testing::{Client, Vault};
use crate::core::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn from_nothing_to_a_secret() {
    let vault = Vault::new().await;
    let root = vault.root();
    root.post("sys/mounts/secret", json!({ "type": "kv" })).await.ok();
    assert_eq!(root.post("secret/a", json!({ "k": "v" })).await.status, 204);
    let read = root.get("secret/a").await.ok();
    assert_eq!((&read["data"]["k"], &read["mount_type"]), (&json!("v"), &json!("kv")));
    assert_eq!(read["lease_duration"], 2_764_800);
    assert_eq!(root.list("secret").await.ok()["data"]["keys"], json!(["a"]));
    let nothing = root.get("secret/b").await;
    assert_eq!((nothing.status, nothing.body), (404, json!({ "errors": [] })));
}

#[tokio::test]
async fn without_a_token_or_a_right_there_is_nothing() {
    let vault = Vault::new().await;
    vault.root().post("sys/mounts/secret", json!({ "type": "kv" })).await.ok();
    for token in ["", "hvs.nonsense", "hvb.nonsense"] {
        let client = vault.client(token);
        client.get("secret/a").await.refused(403, "permission denied");
        client.get("nowhere/a").await.refused(403, "permission denied");
        client.post("sys/mounts/other", json!({ "type": "kv" })).await.refused(403, "permission denied");
    }
    let token = vault.token(json!({ "policies": ["none"] })).await;
    let client = vault.client(token["client_token"].as_str().unwrap());
    client.get("secret/a").await.refused(403, "1 error occurred");
    assert_eq!(
        client.get("auth/token/lookup-self").await.ok()["data"]["policies"],
        json!(["default", "none"])
    );
    vault.root().get("nowhere/a").await.refused(404, "no handler for route");
    vault.root().get("sys/nowhere").await.refused(404, "unsupported path");
    vault.root().call(Method::Delete, "sys/mounts", Value::Null).await.refused(405, "unsupported operation");
    vault
        .root()
        .post("secret/a/", json!({ "a": 1 }))
        .await
        .refused(400, "cannot write to a path ending in '/'");
    vault.root().get("secret/a/../b").await.refused(400, "relative paths not supported");
}

#[tokio::test]
async fn sealed_there_is_nothing_either() {
    let vault = Vault::new().await;
    let root = vault.root();
    assert_eq!(root.get("sys/health").await.status, 200);
    root.post("sys/seal", json!({})).await.ok();
    root.get("sys/mounts").await.refused(503, "Vault is sealed");
    assert_eq!(root.get("sys/health").await.status, 503);
    assert_eq!(root.get("sys/health?sealedcode=218").await.status, 218);
    assert_eq!(root.get("sys/health?sealedcode=x").await.status, 400);
    let status = root.post("sys/unseal", json!({ "key": vault.shares[1] })).await.ok();
    assert_eq!((&status["sealed"], &status["progress"], &status["t"]), (&json!(true), &json!(1), &json!(2)));
    let status = root.post("sys/unseal", json!({ "key": vault.shares[0] })).await.ok();
    assert_eq!(status["sealed"], false);
    root.get("sys/mounts").await.ok();
}

#[tokio::test]
async fn policies_are_asked_for_each_operation() {
    let vault = Vault::new().await;
    let root = vault.root();
    root.post("sys/mounts/secret", json!({ "type": "kv" })).await.ok();
    let policy = r#"
        path "secret/app/*" { capabilities = ["create", "read"] }
        path "secret/app/closed" { capabilities = ["deny"] }
    "#;
    root.post("sys/policies/acl/app", json!({ "policy": policy })).await.ok();
    let token = vault.token(json!({ "policies": "app" })).await;
    let client = vault.client(token["client_token"].as_str().unwrap());
    client.post("secret/app/a", json!({ "k": 1 })).await.ok();
    client.post("secret/app/a", json!({ "k": 2 })).await.refused(403, "permission denied");
    assert_eq!(client.get("secret/app/a").await.ok()["data"]["k"], 1);
    client.delete("secret/app/a").await.refused(403, "permission denied");
    client.get("secret/app/closed").await.refused(403, "permission denied");
    let found =
        client.post("sys/capabilities-self", json!({ "paths": ["secret/app/x", "secret/app/closed"] })).await;
    let found = found.ok();
    assert_eq!(found["secret/app/x"], json!(["create", "read"]));
    assert_eq!(found["data"]["secret/app/closed"], json!(["deny"]));
    // A changed policy holds at once.
    root.post("sys/policy/app", json!({ "policy": "path \"secret/*\" { policy = \"write\" }" })).await.ok();
    client.post("secret/app/a", json!({ "k": 2 })).await.ok();
    root.delete("sys/policy/app").await.ok();
    client.get("secret/app/a").await.refused(403, "permission denied");
    root.post("sys/policy/app", json!({ "policy": "path \"a\" { capabilities = [\"x\"] }" }))
        .await
        .refused(400, "invalid capability");
    root.post("sys/policy/root", json!({ "policy": "path \"a\" {}" }))
        .await
        .refused(400, "cannot update \"root\" policy");
    root.delete("sys/policy/default").await.refused(400, "cannot delete default policy");
}

#[tokio::test]
async fn a_token_goes_with_its_parent() {
    let vault = Vault::new().await;
    let parent = vault.token(json!({ "policies": ["root"], "ttl": "1h" })).await;
    let client = vault.client(parent["client_token"].as_str().unwrap());
    let child = client.post("auth/token/create", json!({ "ttl": "10m" })).await.ok()["auth"].clone();
    let orphan = client.post("auth/token/create-orphan", json!({ "ttl": "10m" })).await.ok()["auth"].clone();
    let grandchild = vault
        .client(child["client_token"].as_str().unwrap())
        .post("auth/token/create", json!({ "ttl": "5m" }))
        .await
        .ok();
    let accessors = vault.root().list("auth/token/accessors").await.ok()["data"]["keys"].clone();
    assert_eq!(accessors.as_array().unwrap().len(), 5);
    vault.root().post("auth/token/revoke-accessor", json!({ "accessor": parent["accessor"] })).await.ok();
    for gone in [&parent, &child, &grandchild["auth"]] {
        vault
            .client(gone["client_token"].as_str().unwrap())
            .get("auth/token/lookup-self")
            .await
            .refused(403, "denied");
        let accessor = json!({ "accessor": gone["accessor"] });
        vault.root().post("auth/token/lookup-accessor", accessor).await.refused(400, "invalid accessor");
    }
    let left =
        vault.client(orphan["client_token"].as_str().unwrap()).get("auth/token/lookup-self").await.ok();
    assert_eq!(
        (&left["data"]["orphan"], &left["data"]["path"]),
        (&json!(true), &json!("auth/token/create-orphan"))
    );
    assert_eq!(
        vault.root().list("auth/token/accessors").await.ok()["data"]["keys"].as_array().unwrap().len(),
        2
    );
}

#[tokio::test]
async fn uses_are_counted_and_the_last_is_the_last() {
    let vault = Vault::new().await;
    let token = vault.token(json!({ "policies": ["default"], "num_uses": 2 })).await;
    let client = vault.client(token["client_token"].as_str().unwrap());
    assert_eq!(client.get("auth/token/lookup-self").await.ok()["data"]["num_uses"], 1);
    client.get("sys/mounts").await.refused(403, "permission denied");
    client.get("auth/token/lookup-self").await.refused(403, "permission denied");
    let token = vault.token(json!({ "policies": ["default"], "num_uses": 1 })).await;
    let client = vault.client(token["client_token"].as_str().unwrap());
    client.post("auth/token/create", json!({})).await.refused(403, "denied");
}

#[tokio::test]
async fn one_use_among_many_at_once() {
    let vault = Vault::new().await;
    let token = vault.token(json!({ "policies": ["default"], "num_uses": 3 })).await;
    let client = vault.client(token["client_token"].as_str().unwrap());
    let asked: Vec<_> = (0..20)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.get("auth/token/lookup-self").await.status })
        })
        .collect();
    let mut good = 0;
    for one in asked {
        good += usize::from(one.await.unwrap() == 200);
    }
    assert_eq!(good, 3);
}

#[tokio::test]
async fn renewal_has_bounds() {
    let vault = Vault::new().await;
    let token = vault.token(json!({ "policies": ["default"], "ttl": "1m", "explicit_max_ttl": "2m" })).await;
    assert_eq!((&token["lease_duration"], &token["renewable"]), (&json!(60), &json!(true)));
    let client = vault.client(token["client_token"].as_str().unwrap());
    let renewed = client.post("auth/token/renew-self", json!({ "increment": "1h" })).await.ok();
    assert_eq!(renewed["auth"]["lease_duration"], 120);
    assert!(renewed["warnings"][0].as_str().unwrap().contains("exceeded the effective max_ttl of \"2m\""));
    let batch = vault.token(json!({ "type": "batch", "policies": ["default"], "ttl": "1m" })).await;
    let text = batch["client_token"].as_str().unwrap();
    assert!(text.starts_with("hvb."));
    let client = vault.client(text);
    assert_eq!(client.get("auth/token/lookup-self").await.ok()["data"]["type"], "batch");
    client.post("auth/token/renew-self", json!({})).await.refused(400, "batch tokens cannot be renewed");
    client.post("auth/token/revoke-self", json!({})).await.refused(400, "batch tokens cannot be revoked");
    client.post("cubbyhole/a", json!({ "k": 1 })).await.refused(400, "only supported by");
    let fixed = vault.token(json!({ "renewable": false, "policies": ["default"], "ttl": "1m" })).await;
    let client = vault.client(fixed["client_token"].as_str().unwrap());
    client.post("auth/token/renew-self", json!({})).await.refused(400, "lease is not renewable");
}

#[tokio::test]
async fn nobody_makes_a_token_that_may_more() {
    let vault = Vault::new().await;
    let policy = "path \"auth/token/*\" { capabilities = [\"create\", \"update\"] }";
    vault.root().post("sys/policy/maker", json!({ "policy": policy })).await.ok();
    let token = vault.token(json!({ "policies": ["maker"] })).await;
    let maker = vault.client(token["client_token"].as_str().unwrap());
    let asked = |body| maker.post("auth/token/create", body);
    asked(json!({ "policies": ["other"] })).await.refused(400, "child policies must be subset of parent");
    asked(json!({ "policies": ["root"] })).await.refused(400, "child policies must be subset of parent");
    asked(json!({ "id": "mine" })).await.refused(400, "root or sudo privileges required to specify token id");
    asked(json!({ "no_parent": true })).await.refused(400, "required to create orphan token");
    asked(json!({ "period": "1h" })).await.refused(400, "required to create periodic token");
    asked(json!({ "policies": ["response-wrapping"] })).await.refused(400, "");
    maker.post("auth/token/revoke-orphan", json!({ "token": "x" })).await.refused(400, "privileges required");
    let child = asked(json!({})).await.ok();
    assert_eq!(child["auth"]["policies"], json!(["default", "maker"]));
    let root = vault.root();
    root.post("auth/token/create", json!({ "id": "chosen" })).await.ok();
    root.post("auth/token/create", json!({ "id": "chosen" })).await.refused(400, "duplicate ID");
    root.post("auth/token/create", json!({ "id": "hvs.x" }))
        .await
        .refused(400, "cannot have the 'hvs.' prefix");
    root.post("auth/token/create", json!({ "policies": ["root"], "type": "batch" }))
        .await
        .refused(400, "batch tokens cannot be root");
    vault.client("chosen").get("auth/token/lookup-self").await.ok();
}

#[tokio::test]
async fn roles_bound_what_is_made() {
    let vault = Vault::new().await;
    let root = vault.root();
    let role = json!({ "allowed_policies": "a,b", "orphan": true, "token_period": "1h", "path_suffix": "one", "token_bound_cidrs": "10.0.0.0/8" });
    root.post("auth/token/roles/app", role).await.ok();
    let read = root.get("auth/token/roles/app").await.ok();
    assert_eq!((&read["data"]["token_period"], &read["data"]["renewable"]), (&json!(3600), &json!(true)));
    assert_eq!(root.list("auth/token/roles").await.ok()["data"]["keys"], json!(["app"]));
    root.post("auth/token/create/app", json!({ "policies": ["c"] }))
        .await
        .refused(400, "must be subset of the role's allowed policies");
    let made = root.post("auth/token/create/app", json!({ "policies": ["a"] })).await.ok()["auth"].clone();
    assert_eq!(
        (&made["policies"], &made["orphan"], &made["lease_duration"]),
        (&json!(["a", "default"]), &json!(true), &json!(3600))
    );
    let client = vault.client(made["client_token"].as_str().unwrap());
    client.get("auth/token/lookup-self").await.refused(403, "permission denied");
    let seen = client.from("10.2.3.4").get("auth/token/lookup-self").await.ok();
    assert_eq!(
        (&seen["data"]["path"], &seen["data"]["role"]),
        (&json!("auth/token/create/app/one"), &json!("app"))
    );
    root.post("auth/token/create/none", json!({})).await.refused(400, "unknown role none");
    root.delete("auth/token/roles/app").await.ok();
    client
        .from("10.2.3.4")
        .post("auth/token/renew-self", json!({}))
        .await
        .refused(400, "could not be found, not renewing");
}

#[tokio::test]
async fn what_is_wrapped_is_opened_once() {
    let vault = Vault::new().await;
    let root = vault.root();
    root.post("sys/mounts/secret", json!({ "type": "kv" })).await.ok();
    root.post("secret/a", json!({ "k": "v" })).await.ok();
    let wrapped = root.wrapping("60s").get("secret/a").await.ok();
    let info = wrapped["wrap_info"].clone();
    assert_eq!((&info["ttl"], &info["creation_path"]), (&json!(60), &json!("secret/a")));
    assert!(wrapped["data"].is_null());
    let token = info["token"].as_str().unwrap();
    let nobody = vault.client("");
    let looked = nobody.post("sys/wrapping/lookup", json!({ "token": token })).await.ok();
    assert_eq!(looked["data"]["creation_path"], "secret/a");
    let rewrapped = vault.client(token).post("sys/wrapping/rewrap", json!({})).await;
    rewrapped.refused(403, "permission denied");
    let wrapped = root.wrapping("60s").get("secret/a").await.ok();
    let token = wrapped["wrap_info"]["token"].as_str().unwrap();
    let opened = vault.client(token).post("sys/wrapping/unwrap", json!({})).await.ok();
    assert_eq!(opened["data"]["k"], "v");
    vault
        .client(token)
        .post("sys/wrapping/unwrap", json!({}))
        .await
        .refused(400, "wrapping token is not valid or does not exist");
    let wrapped = root.wrapping("60s").post("sys/wrapping/wrap", json!({ "x": 1 })).await.ok();
    let again =
        root.post("sys/wrapping/rewrap", json!({ "token": wrapped["wrap_info"]["token"] })).await.ok();
    root.post("sys/wrapping/unwrap", json!({ "token": wrapped["wrap_info"]["token"] }))
        .await
        .refused(400, "not valid");
    assert_eq!(again["wrap_info"]["creation_path"], "sys/wrapping/wrap");
    let opened = root.post("sys/wrapping/unwrap", json!({ "token": again["wrap_info"]["token"] })).await.ok();
    assert_eq!(opened["data"], json!({ "x": 1 }));
    root.post("sys/wrapping/unwrap", json!({})).await.refused(400, "not valid");
    let token = root.wrapping("5m").post("auth/token/create", json!({ "policies": ["default"] })).await.ok();
    assert!(token["auth"].is_null() && token["wrap_info"]["wrapped_accessor"].is_string());
}

#[tokio::test]
async fn mounts_come_and_go_with_what_is_in_them() {
    let vault = Vault::new().await;
    let root = vault.root();
    root.post("sys/mounts/a/b", json!({ "type": "kv", "options": { "version": "1" } })).await.ok();
    root.post("sys/mounts/a/b", json!({ "type": "kv" })).await.refused(400, "path is already in use at a/b/");
    root.post("sys/mounts/a", json!({ "type": "kv" })).await.refused(400, "existing mount at a/b/");
    root.post("sys/mounts/sys", json!({ "type": "kv" })).await.refused(400, "cannot mount");
    root.post("sys/mounts/x", json!({ "type": "transmogrifier" }))
        .await
        .refused(400, "plugin not found in the catalog");
    root.post("sys/mounts/x", json!({})).await.refused(400, "backend type must be specified");
    root.post("a/b/k", json!({ "v": 1 })).await.ok();
    root.post("sys/mounts/a/b/tune", json!({ "default_lease_ttl": "1h", "description": "d" })).await.ok();
    let tuned = root.get("sys/mounts/a/b/tune").await.ok();
    assert_eq!((&tuned["data"]["default_lease_ttl"], &tuned["description"]), (&json!(3600), &json!("d")));
    root.post("sys/remount", json!({ "from": "a/b", "to": "c" })).await.ok();
    assert_eq!(root.get("c/k").await.ok()["data"]["v"], 1);
    root.get("a/b/k").await.refused(404, "no handler for route");
    root.delete("sys/mounts/c").await.ok();
    root.post("sys/mounts/c", json!({ "type": "kv" })).await.ok();
    assert_eq!(root.get("c/k").await.status, 404);
    assert_eq!(root.delete("sys/mounts/never").await.status, 204);
    root.delete("sys/mounts/cubbyhole").await.refused(400, "cannot unmount");
    let mounts = root.get("sys/mounts").await.ok();
    assert_eq!(mounts["c/"], mounts["data"]["c/"]);
    assert!(mounts["sys/"].is_object() && mounts["cubbyhole/"].is_object());
}

#[tokio::test]
async fn logins_make_tokens_that_end() {
    let vault = Vault::new().await;
    let root = vault.root();
    root.post("sys/auth/userpass", json!({ "type": "userpass" })).await.ok();
    let user = json!({ "password": "pw", "token_policies": "p", "token_ttl": "1s", "token_max_ttl": "2s" });
    root.post("auth/userpass/users/bob", user).await.ok();
    let nobody = vault.client("");
    let login =
        nobody.post("auth/userpass/login/bob", json!({ "password": "pw" })).await.ok()["auth"].clone();
    assert_eq!(
        (&login["policies"], &login["orphan"], &login["metadata"]["username"]),
        (&json!(["default", "p"]), &json!(true), &json!("bob"))
    );
    let leases = root.list("sys/leases/lookup/auth/userpass/login/bob").await.ok();
    assert_eq!(leases["data"]["keys"].as_array().unwrap().len(), 1);
    nobody.post("auth/userpass/login/bob", json!({ "password": "no" })).await.refused(400, "");
    let client = vault.client(login["client_token"].as_str().unwrap());
    client.get("auth/token/lookup-self").await.ok();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while client.get("auth/token/lookup-self").await.status != 403 {
        assert!(std::time::Instant::now() < end);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    while !root.list("sys/leases/lookup/auth/userpass/login/bob").await.body["data"].is_null() {
        assert!(std::time::Instant::now() < end);
        vault.core.tick().await;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    // With the method go its tokens.
    root.post("auth/userpass/users/eve", json!({ "password": "pw" })).await.ok();
    let login =
        nobody.post("auth/userpass/login/eve", json!({ "password": "pw" })).await.ok()["auth"].clone();
    root.delete("sys/auth/userpass").await.ok();
    vault
        .client(login["client_token"].as_str().unwrap())
        .get("auth/token/lookup-self")
        .await
        .refused(403, "denied");
    nobody.post("auth/userpass/login/eve", json!({ "password": "pw" })).await.refused(403, "denied");
}

#[tokio::test]
async fn requests_are_recorded_without_their_secrets() {
    let vault = Vault::new().await;
    let root = vault.root();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    root.post("sys/mounts/secret", json!({ "type": "kv" })).await.ok();
    root.post("sys/audit/file", json!({ "type": "file", "options": {} }))
        .await
        .refused(400, "file_path is required");
    root.post("sys/audit/file", json!({ "type": "file", "options": { "file_path": path } })).await.ok();
    root.post("secret/a", json!({ "k": "a-well-known-value" })).await.ok();
    root.get("secret/a").await.ok();
    vault.client("hvs.bad").get("secret/a").await.refused(403, "denied");
    let hash =
        root.post("sys/audit-hash/file", json!({ "input": "a-well-known-value" })).await.ok()["hash"].clone();
    let log = std::fs::read_to_string(&path).unwrap();
    assert!(!log.contains("a-well-known-value") && !log.contains(&vault.root) && !log.contains("hvs.bad"));
    assert!(log.contains(hash.as_str().unwrap()));
    let records: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let denied = records.iter().find(|record| record["error"].is_string()).unwrap();
    assert_eq!(denied["request"]["path"], "secret/a");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert!(root.get("sys/audit").await.ok()["file/"].is_object());
    root.delete("sys/audit/file").await.ok();
    root.get("secret/a").await.ok();
    assert_eq!(
        std::fs::read_to_string(&path).unwrap().lines().filter(|line| line.contains("\"read\"")).count(),
        6
    );
}

#[tokio::test]
async fn what_is_asked_of_the_seal_without_a_token_is_not_recorded() {
    let vault = Vault::new().await;
    let (root, nobody) = (vault.root(), vault.client(""));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    root.post("sys/audit/file", json!({ "type": "file", "options": { "file_path": path } })).await.ok();
    nobody.post("sys/generate-root/attempt", json!({})).await.ok();
    nobody.post("sys/rekey/init", json!({ "secret_shares": 1, "secret_threshold": 1 })).await.ok();
    nobody.get("sys/health").await.ok();
    nobody.get("sys/seal-status").await.ok();
    root.get("sys/key-status").await.ok();
    root.get("sys/health?help=1").await.ok();
    let log = std::fs::read_to_string(&path).unwrap();
    let paths: Vec<(String, String)> = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["request"].clone())
        .map(|request| ["path", "operation"].map(|key| request[key].as_str().unwrap().to_owned()).into())
        .filter(|(path, _)| path != "sys/audit/file")
        .collect();
    let seen = |path: &str, operation: &str| (path.to_owned(), operation.to_owned());
    let (status, help) = (seen("sys/key-status", "read"), seen("sys/health", "help"));
    assert_eq!(paths, [status.clone(), status, help.clone(), help], "with their answers");
}

#[tokio::test]
async fn without_a_record_there_is_no_answer() {
    let vault = Vault::new().await;
    let root = vault.root();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("full");
    root.post("sys/audit/full", json!({ "type": "file", "options": { "file_path": path } })).await.ok();
    root.get("sys/mounts").await.ok();
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    vault.core.reopen_audit().await;
    root.get("sys/mounts").await.refused(500, "internal error");
    root.post("sys/policy/a", json!({ "policy": "path \"a\" {}" })).await.refused(500, "internal error");
    std::fs::remove_dir(&path).unwrap();
    assert_eq!(root.get("sys/policy/a").await.status, 404);
}

#[tokio::test]
async fn another_root_token_for_the_threshold() {
    use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
    let vault = Vault::new().await;
    let nobody: Client = vault.client("");
    let begun = nobody.post("sys/generate-root/attempt", json!({})).await.ok();
    let (pad, nonce) = (begun["otp"].as_str().unwrap().to_owned(), begun["nonce"].clone());
    let update = |share: usize| {
        nobody.post("sys/generate-root/update", json!({ "key": vault.shares[share], "nonce": nonce }))
    };
    assert_eq!(update(0).await.ok()["progress"], 1);
    let done = update(1).await.ok();
    let encoded = BASE64_STANDARD_NO_PAD.decode(done["encoded_token"].as_str().unwrap()).unwrap();
    let token: Vec<u8> = encoded.iter().zip(pad.bytes()).map(|(one, other)| one ^ other).collect();
    let token = String::from_utf8(token).unwrap();
    assert_eq!(
        vault.client(&token).get("auth/token/lookup-self").await.ok()["data"]["policies"],
        json!(["root"])
    );
    nobody
        .post("sys/generate-root/update", json!({ "key": vault.shares[0], "nonce": "x" }))
        .await
        .refused(400, "no root generation");
}

#[tokio::test]
async fn users_of_the_vault_find_their_mounts() {
    let vault = Vault::new().await;
    let root = vault.root();
    root.post("sys/mounts/open", json!({ "type": "kv", "config": { "listing_visibility": "unauth" } }))
        .await
        .ok();
    root.post("sys/mounts/closed", json!({ "type": "kv" })).await.ok();
    let seen = vault.client("").get("sys/internal/ui/mounts").await.ok();
    assert_eq!(seen["data"]["secret"].as_object().unwrap().keys().collect::<Vec<_>>(), ["open/"]);
    root.post("sys/policy/p", json!({ "policy": "path \"closed/+/x\" { capabilities = [\"read\"] }" }))
        .await
        .ok();
    let token = vault.token(json!({ "policies": ["p"] })).await;
    let client = vault.client(token["client_token"].as_str().unwrap());
    assert_eq!(client.get("sys/internal/ui/mounts/closed/a").await.ok()["data"]["path"], "closed/");
    client
        .get("sys/internal/ui/mounts/nowhere")
        .await
        .refused(403, "preflight capability check returned 403");
    assert_eq!(client.get("sys/internal/ui/resultant-acl").await.ok()["data"]["root"], false);
}

#[tokio::test]
async fn what_a_path_is_for_is_told_to_whoever_has_a_token() {
    let vault = Vault::new().await;
    let root = vault.root();
    root.post("sys/mounts/secret", json!({ "type": "kv", "options": { "version": "2" } })).await.ok();
    let token = vault.token(json!({ "policies": ["none"] })).await;
    let client = vault.client(token["client_token"].as_str().unwrap());
    let help = client.get("secret/data/app?help=1").await.ok();
    assert!(help["help"].as_str().unwrap().contains("Matching Route: data/<path...>"), "{help}");
    assert_eq!(help["see_also"], Value::Null);
    for path in ["secret", "secret/", "sys/health", "auth/token", "cubbyhole/a", "auth/token/create"] {
        let help = client.get(&format!("{path}?help=1")).await.ok();
        assert!(help["help"].is_string(), "{path}: {help}");
    }
    client.get("secret/nowhere?help=1").await.refused(404, "unsupported path");
    client.get("nowhere?help=1").await.refused(404, "no handler for route");
    vault.client("").get("secret/data/app?help=1").await.refused(403, "permission denied");
    assert_eq!(client.call(Method::Help, "sys/seal-status", Value::Null).await.status, 200);
    root.post("sys/seal", json!({})).await.ok();
    client.get("secret/data/app?help=1").await.refused(503, "Vault is sealed");
}

#[tokio::test]
async fn mounts_that_are_there_from_the_start_look_as_vaults() {
    let vault = Vault::new().await;
    let root = vault.root();
    let methods = root.get("sys/auth").await.ok();
    let accessor = |mounts: &Value, path: &str| mounts["data"][path]["accessor"].as_str().unwrap().to_owned();
    assert!(accessor(&methods, "token/").starts_with("auth_token_"), "{methods}");
    root.post("sys/auth/approle", json!({ "type": "approle" })).await.ok();
    assert!(accessor(&root.get("sys/auth").await.ok(), "approle/").starts_with("auth_approle_"));
    let mounts = root.get("sys/mounts").await.ok();
    for (path, local) in [("cubbyhole/", true), ("sys/", false), ("identity/", false)] {
        assert_eq!(mounts["data"][path]["local"], local, "{path}");
        assert!(
            accessor(&mounts, path).starts_with(mounts["data"][path]["type"].as_str().unwrap()),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_root_token_that_was_chosen_is_shown_as_one_that_was_made() {
    use crate::{
        core::{Core, Settings},
        seal::SealConfig,
        storage::Memory,
    };
    let core = Core::new(std::sync::Arc::new(Memory::default()), Settings::default());
    let chosen = mesh_redact::Secret::new("mine".to_owned());
    let made = core.initialize(SealConfig::new(1, 1).unwrap(), Some(chosen)).await.unwrap();
    core.unseal(&super::random::hex(&made.shares[0])).await.unwrap();
    let vault = Vault { core, root: "mine".to_owned(), shares: Vec::new() };
    let shown = vault.root().get("auth/token/lookup-self").await.ok()["data"].clone();
    assert_eq!((&shown["display_name"], &shown["path"]), (&json!("token"), &json!("auth/token/create")));
    let shown = Vault::new().await.root().get("auth/token/lookup-self").await.ok()["data"].clone();
    assert_eq!((&shown["display_name"], &shown["path"]), (&json!("root"), &json!("auth/token/root")));
}
