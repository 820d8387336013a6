//! Settings, and what is answered where there is nothing.

use super::{mount, post, text, with_root};
use crate::logical::Operation;
use serde_json::{Value, json};

#[test]
fn without_an_authority_raw_paths_are_empty_and_others_say_so() {
    let mut mount = mount();
    for path in ["ca", "ca/pem", "ca_chain", "crl", "crl/pem", "cert/ca/raw", "crl/delta", "cert/aa:bb/raw"] {
        assert_eq!(mount.check(Operation::Read, path, Value::Null), (204, Value::Null), "{path}");
    }
    mount.write("roles/r", json!({"allow_any_name": true, "key_type": "ec"}));
    for (operation, path, status, said) in [
        (Operation::Read, "cert/aa:bb", 404, "nothing at this path"),
        (Operation::Read, "cert/ca", 400, "no default issuer currently configured"),
        (
            Operation::Update,
            "issue/r",
            500,
            "1 error occurred:\n\t* could not fetch the CA certificate (was one set?): no default issuer currently \
             configured\n\n",
        ),
        (Operation::Update, "issue/none", 400, "unknown role: none"),
        (Operation::Read, "roles/none", 404, "nothing at this path"),
        (Operation::List, "certs/", 404, "nothing at this path"),
        (Operation::Read, "nonsense", 404, "unsupported path"),
        (Operation::Update, "nonsense/x", 404, "unsupported path"),
        (Operation::Read, "issue/r", 405, "unsupported operation"),
        (Operation::Update, "ca/pem", 405, "unsupported operation"),
        (Operation::List, "nonsense", 404, "unsupported path"),
        (Operation::Update, "crl/rotate", 405, "unsupported operation"),
        (Operation::Delete, "certs", 405, "unsupported operation"),
        (
            Operation::Read,
            "issuer/none",
            500,
            "1 error occurred:\n\t* unable to find PKI issuer for reference: none\n\n",
        ),
    ] {
        let (got, answer) = mount.check(operation, path, json!({"common_name": "a.b"}));
        assert_eq!((got, answer.as_str().unwrap()), (status, said), "{path}");
    }
}

#[test]
fn raw_answers_have_vaults_content_types() {
    let (mut mount, root) = with_root("ec", 256);
    for (path, expected) in [
        ("ca", "application/pkix-cert"),
        ("ca/pem", "application/pem-certificate-chain"),
        ("ca_chain", "application/pkix-cert"),
        ("crl", "application/pkix-crl"),
        ("crl/pem", "application/x-pem-file"),
        ("issuer/default/der", "application/pkix-cert"),
        ("issuer/default/pem", "application/pem-certificate-chain"),
        ("issuer/default/crl/der", "application/pkix-crl"),
        ("issuer/default/crl/pem", "application/x-pem-file"),
    ] {
        let raw = mount.ask(Operation::Read, path, Value::Null).unwrap().raw.unwrap();
        assert_eq!((raw.status, raw.content_type.as_str()), (200, expected), "{path}");
    }
    assert_eq!(mount.read("cert/ca")["certificate"], root["certificate"]);
    assert_eq!(mount.read("cert/ca_chain")["ca_chain"], root["certificate"]);
    assert_eq!(text(&mount.read("issuer/default/json")["certificate"]).trim(), text(&root["certificate"]));
}

#[test]
fn roles_are_shown_as_they_were_written() {
    let (mut mount, _) = with_root("ec", 256);
    let role = mount.write(
        "roles/r",
        json!({"allowed_domains": "a,b", "ttl": "1h", "max_ttl": 7_200, "key_usage": [], "policy_identifiers": "1.2.3"}),
    );
    assert_eq!(role["allowed_domains"], json!(["a", "b"]));
    assert_eq!((role["ttl"].clone(), role["max_ttl"].clone()), (3_600.into(), 7_200.into()));
    assert_eq!((role["key_bits"].clone(), role["signature_bits"].clone()), (2_048.into(), 256.into()));
    assert_eq!(mount.read("roles/r"), role);
    let patched = mount.succeed(Operation::Patch, "roles/r", json!({"ttl": "30m"}));
    assert_eq!((patched["ttl"].clone(), patched["max_ttl"].clone()), (1_800.into(), 7_200.into()));
    for (asked, expected) in [
        (json!({"ttl": "2h", "max_ttl": "1h"}), "\"ttl\" value must be less than \"max_ttl\" value"),
        (json!({"key_type": "dsa"}), "unknown key type dsa"),
        (json!({"key_bits": 1_024}), "RSA keys < 2048 bits are unsafe and not supported: got 1024"),
        (json!({"key_bits": 2_049}), "unsupported bit length for RSA key: 2049"),
        (json!({"key_type": "ec", "key_bits": 224}), "unsupported bit length for EC key: 224"),
        (json!({"signature_bits": 1}), "unsupported hash signature algorithm: 1"),
        (
            json!({"ext_key_usage_oids": "x"}),
            "\"x\" could not be parsed as a valid oid for an extended key usage",
        ),
        (
            json!({"allowed_other_sans": "x"}),
            "error parsing allowed_other_sans: expected a semicolon in other SAN \"x\"",
        ),
        (json!({"allowed_ip_sans_cidr": "x"}), "error parsing allowed_ip_sans_cidr: invalid CIDR address: x"),
    ] {
        assert_eq!(post(&mut mount, "roles/r", asked).unwrap_err(), expected);
    }
    let answer = mount
        .ask(Operation::Update, "roles/r", json!({"issuer_ref": "none", "generate_lease": true}))
        .unwrap();
    assert_eq!(answer.warnings.len(), 2);
    mount.succeed(Operation::Delete, "roles/r", Value::Null);
    assert_eq!(mount.check(Operation::Read, "roles/r", Value::Null).0, 404);
}

#[test]
fn urls_are_checked_and_filled_in() {
    let (mut mount, root) = with_root("ec", 256);
    assert_eq!(
        post(&mut mount, "config/urls", json!({"ocsp_servers": "nothing"})).unwrap_err(),
        "invalid URL found in Authority Information Access (AIA) parameter ocsp_servers: nothing"
    );
    let asked = json!({"issuing_certificates": "{{cluster_path}}/issuer/{{issuer_id}}/der", "enable_templating": true});
    let answer = mount.ask(Operation::Update, "config/urls", asked).unwrap();
    assert!(answer.warnings[0].starts_with("issuance may fail: "), "{:?}", answer.warnings);
    mount.write("config/cluster", json!({"path": "http://127.0.0.1:8200/v1/pki"}));
    mount.write("roles/r", json!({"allow_any_name": true, "key_type": "ec"}));
    let issued = post(&mut mount, "issue/r", json!({"common_name": "a.b", "ttl": 60})).unwrap();
    let shown = super::Folder::new().text(text(&issued["certificate"]));
    let expected = format!("http://127.0.0.1:8200/v1/pki/issuer/{}/der", text(&root["issuer_id"]));
    assert!(shown.contains(&expected), "{shown}");
}

#[test]
fn keys_are_made_named_and_kept_to_oneself() {
    let (mut mount, _) = with_root("ec", 256);
    let made =
        post(&mut mount, "keys/generate/internal", json!({"key_type": "ec", "key_name": "k"})).unwrap();
    assert!(made.get("private_key").is_none());
    let exported = post(&mut mount, "keys/generate/exported", json!({"key_type": "ed25519"})).unwrap();
    assert!(text(&exported["private_key"]).starts_with("-----BEGIN PRIVATE KEY-----"));
    assert_eq!(
        post(&mut mount, "keys/generate/internal", json!({"key_name": "k"})).unwrap_err(),
        "key name already in use"
    );
    let said = post(&mut mount, "keys/generate/kms", json!({})).unwrap_err();
    assert_eq!(said, "keys of a key management service are not supported by this server");
    let answer =
        mount.ask(Operation::Update, "keys/import", json!({"pem_bundle": exported["private_key"]})).unwrap();
    assert_eq!(answer.warnings, ["Key already imported, use key/ endpoint to update name."]);
    assert!(
        post(&mut mount, "keys/import", json!({"pem_bundle": "/etc/key.pem"}))
            .unwrap_err()
            .contains("too short")
    );
    mount.write("config/keys", json!({"default": "k"}));
    assert_eq!(mount.read("config/keys")["default"], made["key_id"]);
    assert_eq!(mount.read("key/k")["key_id"], made["key_id"]);
    mount.write("key/k", json!({"key_name": "l"}));
    assert_eq!(mount.read("key/l")["key_name"], "l");
    let listed = mount.succeed(Operation::List, "keys/", Value::Null);
    assert_eq!(listed["key_info"][text(&made["key_id"])]["is_default"], true);
    let transaction = crate::storage::Transaction::new(&mount.store, "logical/1/");
    let shown = format!("{:?}", crate::engine::pki::store::keys(&transaction).unwrap());
    assert!(shown.contains("private: ***"), "{shown}");
}
