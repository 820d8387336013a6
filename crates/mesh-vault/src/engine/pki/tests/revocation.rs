//! Revoking, lists, OCSP and tidying.

use super::{A_MOMENT_LATER, Folder, issue, post, text, with_role, with_root, with_root_today};
use crate::{
    engine::pki::Pki,
    engine::testing::Mount,
    logical::{Operation, Raw},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

fn raw(mount: &mut Mount<Pki>, path: &str) -> Raw {
    mount.ask(Operation::Read, path, Value::Null).unwrap().raw.unwrap()
}

fn issued(mount: &mut Mount<Pki>) -> Value {
    issue(mount, json!({"common_name": "a.test"})).unwrap()
}

#[test]
fn a_revoked_certificate_is_on_the_list() {
    let folder = Folder::new();
    for kind in ["rsa", "ec", "ed25519"] {
        let (mut mount, root) = with_root(kind, 0);
        mount.write("roles/r", json!({"allow_any_name": true, "key_type": "ec", "ttl": "1h"}));
        let (good, bad) = (issued(&mut mount), issued(&mut mount));
        let revoked = post(&mut mount, "revoke", json!({"serial_number": bad["serial_number"]})).unwrap();
        assert_eq!(revoked["revocation_time"], 1_700_000_000);
        assert_eq!(revoked["revocation_time_rfc3339"], "2023-11-14T22:13:20Z");
        let again = post(&mut mount, "revoke", json!({"serial_number": bad["serial_number"]})).unwrap();
        assert_eq!(again, revoked);
        folder.put("root.pem", text(&root["certificate"]));
        folder.put("list.der", raw(&mut mount, "crl").body);
        let shown = folder
            .openssl(&["crl", "-inform", "der", "-in", "list.der", "-CAfile", "root.pem", "-noout", "-text"]);
        assert!(shown.contains("verify OK"), "{shown}");
        assert!(shown.contains(&text(&bad["serial_number"]).to_uppercase().replace(':', "")), "{shown}");
        folder.put("list.pem", raw(&mut mount, "crl/pem").body);
        for (certificate, holds) in [(&good, true), (&bad, false)] {
            folder.put("leaf.pem", text(&certificate["certificate"]));
            let output = folder.run(&[
                "verify",
                "-x509_strict",
                "-crl_check",
                "-attime",
                A_MOMENT_LATER,
                "-CAfile",
                "root.pem",
                "-CRLfile",
                "list.pem",
                "leaf.pem",
            ]);
            assert_eq!(output.status.success(), holds, "{}", String::from_utf8_lossy(&output.stderr));
        }
        let read = mount.read(&format!("cert/{}", text(&bad["serial_number"])));
        assert_eq!(read["revocation_time"], 1_700_000_000);
        assert_eq!(read["issuer_id"], root["issuer_id"]);
        let dashed = text(&good["serial_number"]).replace(':', "-");
        assert_eq!(mount.read(&format!("cert/{dashed}"))["revocation_time"], 0);
        let listed = mount.succeed(Operation::List, "certs/revoked/", Value::Null);
        assert_eq!(listed["keys"], json!([bad["serial_number"]]));
    }
}

#[test]
fn ocsp_tells_good_from_revoked_from_unknown() {
    let folder = Folder::new();
    for kind in ["rsa", "ec"] {
        let (mut mount, root) = with_root_today(kind, 0);
        let (mut other, _) = with_root_today("ec", 256);
        other.write("roles/r", json!({"allow_any_name": true, "key_type": "ec", "ttl": "1h"}));
        mount.write("roles/r", json!({"allow_any_name": true, "key_type": "ec", "ttl": "1h"}));
        let (good, bad, strange) = (issued(&mut mount), issued(&mut mount), issued(&mut other));
        post(&mut mount, "revoke", json!({"serial_number": bad["serial_number"]})).unwrap();
        folder.put("root.pem", text(&root["certificate"]));
        folder.put("other.pem", text(&strange["issuing_ca"]));
        for (certificate, issuer, expected) in [
            (&good, "root.pem", ": good"),
            (&bad, "root.pem", ": revoked"),
            (&strange, "other.pem", ": unknown"),
        ] {
            folder.put("leaf.pem", text(&certificate["certificate"]));
            for hash in ["-sha1", "-sha256"] {
                let asked =
                    ["ocsp", hash, "-issuer", issuer, "-cert", "leaf.pem", "-no_nonce", "-reqout", "req.der"];
                folder.openssl(&asked);
                let encoded = STANDARD.encode(folder.get("req.der"));
                let posted =
                    mount.ask(Operation::Update, "ocsp", json!({"request": encoded})).unwrap().raw.unwrap();
                let got = raw(&mut mount, &format!("ocsp/{encoded}"));
                assert_eq!((posted.status, posted.content_type.as_str()), (200, "application/ocsp-response"));
                for answer in [posted, got] {
                    folder.put("answer.der", answer.body);
                    let shown = folder.openssl(&[
                        "ocsp",
                        hash,
                        "-respin",
                        "answer.der",
                        "-issuer",
                        issuer,
                        "-cert",
                        "leaf.pem",
                        "-CAfile",
                        "root.pem",
                        "-VAfile",
                        "root.pem",
                        "-no_nonce",
                    ]);
                    assert!(shown.contains(expected), "{kind} {expected}: {shown}");
                    assert!(shown.contains("Response verify OK"), "{shown}");
                }
            }
        }
        mount.write("config/crl", json!({"ocsp_disable": true}));
        assert_eq!(raw(&mut mount, "ocsp/AAAA").status, 401);
    }
}

#[test]
fn what_is_no_question_is_answered_without_a_signature() {
    let (mut mount, _) = with_root("ec", 256);
    for path in ["ocsp/AAAA", "ocsp/%", "ocsp/MAA=", &format!("ocsp/{}", "A".repeat(10_000))] {
        let answer = raw(&mut mount, path);
        assert_eq!((answer.status, answer.body), (400, vec![0x30, 3, 0x0a, 1, 1]), "{path}");
    }
    let answer = mount.ask(Operation::Update, "ocsp", json!({})).unwrap().raw.unwrap();
    assert_eq!(answer.status, 400);
}

#[test]
fn whoever_has_the_key_may_revoke() {
    let mut mount = with_role(json!({"allow_any_name": true}));
    let (one, two) = (issued(&mut mount), issued(&mut mount));
    let asked = |key: &Value| json!({"serial_number": one["serial_number"], "private_key": key});
    let said = post(&mut mount, "revoke-with-key", asked(&two["private_key"])).unwrap_err();
    assert!(said.contains("provided private key does not match certificate's public key"), "{said}");
    let without = json!({"serial_number": one["serial_number"]});
    let said = post(&mut mount, "revoke-with-key", without).unwrap_err();
    assert_eq!(said, "Must have private key to revoke via the /revoke-with-key path.");
    post(&mut mount, "revoke-with-key", asked(&one["private_key"])).unwrap();
    // Shown instead of named; one that is not ours is not taken.
    let strange = issued(&mut with_role(json!({"allow_any_name": true})));
    post(&mut mount, "revoke", json!({"certificate": two["certificate"]})).unwrap();
    let said = post(&mut mount, "revoke", json!({"certificate": strange["certificate"]})).unwrap_err();
    assert!(said.contains("unable to verify signature on presented cert"), "{said}");
    for (asked, expected) in [
        (json!({}), "The serial number or certificate to revoke must be provided."),
        (json!({"serial_number": "aa:bb"}), "certificate with serial aa:bb not found."),
        (json!({"serial_number": "../../x"}), "certificate with serial ../../x not found."),
        (
            json!({"serial_number": "a", "certificate": "b"}),
            "Must provide either the certificate or the serial to revoke; not both.",
        ),
    ] {
        assert_eq!(post(&mut mount, "revoke", asked).unwrap_err(), expected);
    }
    let serial = mount.read("issuer/default")["certificate"].clone();
    let said = post(&mut mount, "revoke", json!({"certificate": serial})).unwrap_err();
    assert!(said.starts_with("adding issuer (id: "), "{said}");
}

#[test]
fn the_end_of_a_lease_revokes() {
    let mut mount = with_role(json!({"allow_any_name": true, "generate_lease": true}));
    let answer =
        mount.ask(Operation::Update, "issue/r", json!({"common_name": "a.test", "ttl": "10m"})).unwrap();
    let lease = answer.lease.unwrap();
    assert_eq!((lease.ttl.as_secs(), lease.renewable), (600, false));
    let mut transaction = crate::storage::Transaction::new(&mount.store, "logical/1/");
    let request = crate::logical::Request {
        operation: Operation::Revoke,
        path: "issue/r".to_owned(),
        data: Default::default(),
        token: None,
        remote: None,
        internal: lease.internal,
    };
    use crate::{logical::Engine as _, storage::Store as _};
    mount.engine.handle(&request, &mount.context, &mut transaction).unwrap();
    drop(mount.store.commit(transaction.into_batch()));
    assert_eq!(
        mount.succeed(Operation::List, "certs/revoked/", Value::Null)["keys"].as_array().unwrap().len(),
        1
    );
}

#[test]
fn issuers_with_one_key_and_name_share_a_list() {
    let (mut mount, root) = with_root("ec", 256);
    let again = json!({"common_name": "Root", "key_ref": root["key_id"], "ttl": "87600h"});
    let second = post(&mut mount, "root/generate/existing", again).unwrap();
    assert_eq!(second["key_id"], root["key_id"]);
    let of = |issuer: &Value| format!("issuer/{}/crl/der", text(&issuer["issuer_id"]));
    assert_eq!(raw(&mut mount, &of(&root)).body, raw(&mut mount, &of(&second)).body);
    let third =
        post(&mut mount, "root/generate/internal", json!({"common_name": "Root", "key_type": "ec"})).unwrap();
    assert_ne!(raw(&mut mount, &of(&root)).body, raw(&mut mount, &of(&third)).body);
    let shown = mount.read(&format!("issuer/{}/crl", text(&third["issuer_id"])));
    assert!(text(&shown["crl"]).starts_with("-----BEGIN X509 CRL-----"));
}

#[test]
fn a_revoked_issuer_is_on_its_issuers_list_and_signs_nothing() {
    let folder = Folder::new();
    let (mut mount, root) = with_root("ec", 256);
    let request =
        post(&mut mount, "intermediate/generate/internal", json!({"common_name": "Below", "key_type": "ec"}));
    let asked = json!({"csr": request.unwrap()["csr"], "common_name": "Below"});
    let signed = post(&mut mount, "root/sign-intermediate", asked).unwrap();
    let set =
        post(&mut mount, "intermediate/set-signed", json!({"certificate": signed["certificate"]})).unwrap();
    let id = text(&set["imported_issuers"][0]).to_owned();
    mount.write("roles/r", json!({"allow_any_name": true, "key_type": "ec"}));
    let issue = format!("issuer/{id}/issue/r");
    post(&mut mount, &issue, json!({"common_name": "a.test", "ttl": 60})).unwrap();
    let revoked = post(&mut mount, &format!("issuer/{id}/revoke"), json!({})).unwrap();
    assert_eq!(
        (revoked["revoked"].clone(), revoked["revocation_time"].clone()),
        (true.into(), 1_700_000_000.into())
    );
    let said = post(&mut mount, &issue, json!({"common_name": "a.test"})).unwrap_err();
    assert!(said.contains("requested usage issuing-certificates for issuer"), "{said}");
    let all = json!({"usage": "read-only,issuing-certificates"});
    assert!(
        post(&mut mount, &format!("issuer/{id}"), all).unwrap_err().starts_with("This issuer was revoked;")
    );
    let body = raw(&mut mount, &format!("issuer/{}/crl/der", text(&root["issuer_id"]))).body;
    folder.put("list.der", body);
    let shown = folder.openssl(&["crl", "-inform", "der", "-in", "list.der", "-noout", "-text"]);
    assert!(shown.contains(&text(&signed["serial_number"]).to_uppercase().replace(':', "")), "{shown}");
}

#[test]
fn lists_are_made_when_they_are_wanted() {
    let (mut mount, _) = with_root("ec", 256);
    mount.write("roles/r", json!({"allow_any_name": true, "key_type": "ec", "ttl": "1h"}));
    mount.write("config/crl", json!({"auto_rebuild": true, "expiry": "24h"}));
    let before = raw(&mut mount, "crl").body;
    let certificate = issued(&mut mount);
    post(&mut mount, "revoke", json!({"serial_number": certificate["serial_number"]})).unwrap();
    assert_eq!(raw(&mut mount, "crl").body, before);
    mount.tick();
    assert_eq!(raw(&mut mount, "crl").body, before);
    mount.pass(72 * 3_600);
    mount.tick();
    assert_ne!(raw(&mut mount, "crl").body, before);
    assert_eq!(mount.read("crl/rotate")["success"], true);
    for (asked, expected) in [
        (json!({"expiry": "x"}), "given expiry could not be decoded: time: invalid duration \"x\""),
        (json!({"enable_delta": true}), "enable_delta is not supported by this server"),
        (
            json!({"auto_rebuild_grace_period": "24h"}),
            "CRL auto-rebuilding grace period (24h) must be strictly shorter than CRL expiry (24h) value when \
             auto-rebuilding of CRLs is enabled",
        ),
    ] {
        assert_eq!(post(&mut mount, "config/crl", asked).unwrap_err(), expected);
    }
    mount.write("config/crl", json!({"disable": true}));
    let size = raw(&mut mount, "crl").body.len();
    assert!(size < before.len() + 64, "{size}");
    assert_eq!(raw(&mut mount, "crl/delta").status, 204);
}

#[test]
fn tidying_forgets_what_is_over() {
    let mut mount = with_role(json!({"allow_any_name": true}));
    let (one, _two) = (issued(&mut mount), issued(&mut mount));
    post(&mut mount, "revoke", json!({"serial_number": one["serial_number"]})).unwrap();
    assert_eq!(mount.read("tidy-status")["state"], "Inactive");
    let count = |mount: &mut Mount<Pki>| {
        mount.succeed(Operation::List, "certs/", Value::Null)["keys"].as_array().unwrap().len()
    };
    let asked = json!({"tidy_cert_store": true, "tidy_revoked_certs": true, "safety_buffer": "1h"});
    assert_eq!(mount.check(Operation::Update, "tidy", asked.clone()).0, 202);
    assert_eq!(count(&mut mount), 3);
    mount.pass(3 * 3_600);
    assert_eq!(mount.check(Operation::Update, "tidy", asked).0, 202);
    assert_eq!(count(&mut mount), 1);
    let status = mount.read("tidy-status");
    assert_eq!(
        (status["state"].as_str(), status["cert_store_deleted_count"].as_u64()),
        (Some("Finished"), Some(2))
    );
    assert_eq!(mount.check(Operation::List, "certs/revoked/", Value::Null).0, 404);
    assert!(
        post(&mut mount, "config/auto-tidy", json!({"enabled": true}))
            .unwrap_err()
            .starts_with("Auto-tidy enabled but")
    );
    mount.write("config/auto-tidy", json!({"enabled": true, "tidy_cert_store": true, "safety_buffer": 1}));
    mount.write("issuer/default", json!({"leaf_not_after_behavior": "permit"}));
    issued(&mut mount);
    mount.pass(13 * 3_600);
    mount.tick();
    assert_eq!(count(&mut mount), 1);
}
