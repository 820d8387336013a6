//! Roots, intermediates and leaves of every kind of key.

use super::{Folder, mount, post, text, with_root};
use crate::{engine::testing::Mount, logical::Operation};
use serde_json::{Value, json};

/// An intermediate mount below a root.
fn intermediate(root: &mut Mount<super::Pki>, kind: &str, bits: u64) -> (Mount<super::Pki>, Value) {
    let mut below = mount();
    let asked = json!({"common_name": "Below", "key_type": kind, "key_bits": bits, "organization": "Mesh"});
    let request = below.write("intermediate/generate/internal", asked);
    let csr = request["data"]["csr"].clone();
    let signed =
        post(root, "root/sign-intermediate", json!({"csr": csr, "common_name": "Below", "ttl": "43800h"}));
    let signed = signed.unwrap();
    let chain = format!("{}\n{}", text(&signed["certificate"]), text(&signed["issuing_ca"]));
    let set = post(&mut below, "intermediate/set-signed", json!({"certificate": chain})).unwrap();
    assert_eq!(set["imported_issuers"].as_array().unwrap().len(), 2);
    (below, signed)
}

#[test]
fn root_intermediate_leaf_of_every_kind() {
    let folder = Folder::new();
    for (above, above_bits, below, below_bits, leaf, leaf_bits) in [
        ("rsa", 2_048, "rsa", 2_048, "rsa", 2_048),
        ("ec", 384, "ec", 256, "ec", 521),
        ("ed25519", 0, "rsa", 3_072, "ed25519", 0),
        ("ec", 521, "ed25519", 0, "ec", 256),
    ] {
        let (mut root, made) = with_root(above, above_bits);
        let (mut mount, signed) = intermediate(&mut root, below, below_bits);
        mount.write(
            "roles/r",
            json!({"allowed_domains": "example.com", "allow_subdomains": true, "key_type": leaf, "key_bits": leaf_bits}),
        );
        let issued = post(
            &mut mount,
            "issue/r",
            json!({"common_name": "a.example.com", "alt_names": "b.example.com", "ip_sans": "10.0.0.1,::1", "ttl": "1h"}),
        )
        .unwrap();
        folder.verify(text(&made["certificate"]), text(&signed["certificate"]), text(&issued["certificate"]));
        assert_eq!(issued["issuing_ca"], signed["certificate"]);
        assert_eq!(issued["private_key_type"], leaf);
        let chain = issued["ca_chain"].as_array().unwrap();
        assert_eq!(chain.len(), 2, "{above} {below}");
        assert_eq!(chain[1], made["certificate"]);
        let shown = folder.text(text(&issued["certificate"]));
        for expected in [
            "CN = a.example.com",
            "DNS:a.example.com, DNS:b.example.com, IP Address:10.0.0.1",
            "TLS Web Server",
        ] {
            assert!(shown.contains(expected), "{expected}: {shown}");
        }
        folder.put("key.pem", text(&issued["private_key"]));
        let public = folder.openssl(&["pkey", "-in", "key.pem", "-pubout"]);
        folder.put("leaf.pem", text(&issued["certificate"]));
        assert_eq!(folder.openssl(&["x509", "-in", "leaf.pem", "-noout", "-pubkey"]), public);
    }
}

#[test]
fn all_forms_of_an_answer() {
    let folder = Folder::new();
    let (mut mount, _) = with_root("rsa", 2_048);
    mount.write("roles/r", json!({"allow_any_name": true, "key_type": "ec"}));
    let mut ask = |fields: Value| {
        let mut asked = json!({"common_name": "a.test", "ttl": 600});
        asked.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        post(&mut mount, "issue/r", asked).unwrap()
    };
    let pem = ask(json!({}));
    assert!(text(&pem["private_key"]).starts_with("-----BEGIN EC PRIVATE KEY-----"));
    let pkcs8 = ask(json!({"private_key_format": "pkcs8"}));
    assert!(text(&pkcs8["private_key"]).starts_with("-----BEGIN PRIVATE KEY-----"));
    let bundle = ask(json!({"format": "pem_bundle"}));
    assert_eq!(text(&bundle["certificate"]).matches("-----BEGIN CERTIFICATE").count(), 2);
    assert!(text(&bundle["certificate"]).starts_with("-----BEGIN EC PRIVATE KEY"));
    let der = ask(json!({"format": "der"}));
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    folder.put("leaf.der", STANDARD.decode(text(&der["certificate"])).unwrap());
    folder.put("key.der", STANDARD.decode(text(&der["private_key"])).unwrap());
    folder.openssl(&["x509", "-inform", "der", "-in", "leaf.der", "-noout"]);
    folder.openssl(&["ec", "-inform", "der", "-in", "key.der", "-noout"]);
    let without_root = ask(json!({"remove_roots_from_chain": true}));
    assert!(without_root.get("ca_chain").is_none());
    let wrong = post(&mut mount, "issue/r", json!({"common_name": "a.test", "format": "xml"})).unwrap_err();
    assert_eq!(wrong, "the \"format\" path parameter must be \"pem\", \"der\", or \"pem_bundle\"");
}

#[test]
fn roots_are_as_asked_for() {
    let folder = Folder::new();
    let mut mount = mount();
    mount.write(
        "config/urls",
        json!({
            "issuing_certificates": "http://127.0.0.1:8200/v1/pki/ca",
            "crl_distribution_points": ["http://127.0.0.1:8200/v1/pki/crl"],
            "ocsp_servers": "http://127.0.0.1:8200/v1/pki/ocsp",
        }),
    );
    let asked = json!({
        "common_name": "Wurzel Ä", "organization": "A,B", "ou": "x", "country": "DE", "province": "BE",
        "locality": "B", "street_address": "S 1", "postal_code": "1", "serial_number": "77", "max_path_length": 1,
        "permitted_dns_domains": "example.com", "key_type": "ec", "alt_names": "a@b.example,c.example",
        "uri_sans": "spiffe://x/y", "other_sans": "1.3.6.1.4.1.311.20.2.3;utf8:u", "ttl": "24h", "issuer_name": "first",
        "key_name": "key-1", "key_usage": "DigitalSignature",
    });
    let root = post(&mut mount, "root/generate/exported", asked).unwrap();
    assert_eq!((text(&root["issuer_name"]), text(&root["key_name"])), ("first", "key-1"));
    let certificate = text(&root["certificate"]);
    folder.verify(certificate, "", certificate);
    let shown = folder.text(certificate);
    for expected in [
        "C = DE",
        "OU = x",
        "ST = BE",
        "street = S 1",
        "serialNumber = 77",
        "CA:TRUE, pathlen:1",
        "Permitted:",
        "email:a@b.example",
        "DNS:c.example",
        "URI:spiffe://x/y",
        "UPN",
        "Digital Signature, Certificate Sign, CRL Sign",
        "OCSP - URI:http://127.0.0.1:8200/v1/pki/ocsp",
        "CA Issuers - URI:http://127.0.0.1:8200/v1/pki/ca",
        "Full Name:",
        "ecdsa-with-SHA256",
        "Not After : Nov 15 22:13:20 2023",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    let issuer = mount.read("issuer/first");
    assert_eq!(issuer["usage"], "crl-signing,issuing-certificates,ocsp-signing,read-only");
    assert_eq!(issuer["revocation_signature_algorithm"], "ECDSAWithSHA256");
    assert_eq!(mount.read("key/key-1")["key_type"], "ec");
}

#[test]
fn rsa_signatures_of_every_length() {
    let folder = Folder::new();
    let (mut mount, _) = with_root("rsa", 2_048);
    for (bits, pss, expected) in [
        (0, false, "sha256WithRSAEncryption"),
        (384, false, "sha384WithRSAEncryption"),
        (512, false, "sha512WithRSAEncryption"),
        (384, true, "rsassaPss"),
    ] {
        let role =
            json!({"allow_any_name": true, "key_type": "ed25519", "signature_bits": bits, "use_pss": pss});
        mount.write("roles/r", role);
        let issued = post(&mut mount, "issue/r", json!({"common_name": "a.test", "ttl": 60})).unwrap();
        folder.verify(text(&issued["issuing_ca"]), "", text(&issued["certificate"]));
        let shown = folder.text(text(&issued["certificate"]));
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
}

#[test]
fn path_lengths_come_to_an_end() {
    let mut root = mount();
    root.write(
        "root/generate/internal",
        json!({"common_name": "R", "key_type": "ec", "max_path_length": 1, "ttl": "9h"}),
    );
    let (mut below, signed) = intermediate(&mut root, "ec", 256);
    let folder = Folder::new();
    assert!(folder.text(text(&signed["certificate"])).contains("pathlen:0"));
    let mut third = mount();
    let request =
        post(&mut third, "intermediate/generate/internal", json!({"common_name": "T", "key_type": "ec"}));
    let asked = json!({"csr": request.unwrap()["csr"]});
    assert_eq!(
        post(&mut below, "root/sign-intermediate", asked).unwrap_err(),
        "signing certificate has a max path length of zero, and cannot issue further CA certificates"
    );
}

#[test]
fn keys_that_openssl_made_are_taken_and_tied_to_their_certificates() {
    let folder = Folder::new();
    for (kind, arguments) in [
        ("rsa", &["genrsa", "-traditional", "-out", "key.pem", "2048"][..]),
        ("rsa", &["genrsa", "-out", "key.pem", "2048"]),
        ("ec", &["ecparam", "-name", "prime256v1", "-genkey", "-out", "key.pem"]),
        ("ec", &["ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", "key.pem"]),
        ("ed25519", &["genpkey", "-algorithm", "ed25519", "-out", "key.pem"]),
    ] {
        folder.openssl(arguments);
        folder.openssl(&[
            "req",
            "-x509",
            "-key",
            "key.pem",
            "-subj",
            "/CN=Imported",
            "-days",
            "3650",
            "-out",
            "ca.pem",
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign",
        ]);
        let bundle = [folder.get("key.pem"), folder.get("ca.pem")].concat();
        let mut mount = mount();
        mount.context.now = std::time::SystemTime::now();
        let taken =
            post(&mut mount, "config/ca", json!({"pem_bundle": String::from_utf8(bundle).unwrap()})).unwrap();
        assert_eq!(taken["imported_keys"].as_array().unwrap().len(), 1, "{kind}");
        assert!(!mount.read("config/issuers")["default"].as_str().unwrap().is_empty());
        mount.write("roles/r", json!({"allow_any_name": true, "key_type": "ec"}));
        let issued = post(&mut mount, "issue/r", json!({"common_name": "a.test", "ttl": 600})).unwrap();
        folder.put("leaf.pem", text(&issued["certificate"]));
        folder.openssl(&["verify", "-CAfile", "ca.pem", "leaf.pem"]);
        let again = json!({"pem_bundle": String::from_utf8(folder.get("ca.pem")).unwrap()});
        let again = post(&mut mount, "issuers/import/cert", again).unwrap();
        assert_eq!(again["existing_issuers"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn issuers_stand_beside_each_other() {
    let (mut mount, first) = with_root("ec", 256);
    let rotated =
        post(&mut mount, "root/rotate/internal", json!({"common_name": "Root 2", "key_type": "ec"})).unwrap();
    assert_eq!(rotated["issuer_name"], "next");
    assert_eq!(mount.read("config/issuers")["default"], first["issuer_id"]);
    mount.write("root/replace", json!({}));
    assert_eq!(mount.read("config/issuers")["default"], rotated["issuer_id"]);
    let listed = mount.succeed(Operation::List, "issuers/", Value::Null);
    assert_eq!(listed["keys"].as_array().unwrap().len(), 2);
    assert_eq!(listed["key_info"][text(&rotated["issuer_id"])]["is_default"], true);
    mount.write("roles/r", json!({"allow_any_name": true, "key_type": "ec"}));
    let path = format!("issuer/{}/issue/r", text(&first["issuer_id"]));
    let issued = post(&mut mount, &path, json!({"common_name": "a.test", "ttl": 60})).unwrap();
    assert_eq!(issued["issuing_ca"], first["certificate"]);
    let used = format!("key/{}", text(&first["key_id"]));
    let (status, said) = mount.check(Operation::Delete, &used, Value::Null);
    assert_eq!((status, said.as_str().unwrap().starts_with("Failed to Delete Key.")), (400, true), "{said}");
    mount.succeed(Operation::Delete, &format!("issuer/{}", text(&first["issuer_id"])), Value::Null);
    mount.succeed(Operation::Delete, &used, Value::Null);
    let (status, said) =
        mount.check(Operation::Read, &format!("issuer/{}", text(&first["issuer_id"])), Value::Null);
    assert_eq!(status, 500, "{said}");
    mount.succeed(Operation::Delete, "root", Value::Null);
    assert_eq!(mount.check(Operation::List, "issuers/", Value::Null).0, 404);
    assert_eq!(mount.check(Operation::List, "keys/", Value::Null).0, 404);
}

#[test]
fn cross_signing_gives_both_chains() {
    let (mut old, made) = with_root("ec", 256);
    let (mut new, _) = with_root("ec", 384);
    let own = text(&mount_root(&mut new)).to_owned();
    let crossed = post(&mut old, "root/sign-self-issued", json!({"certificate": own})).unwrap();
    assert_eq!(crossed["issuing_ca"], made["certificate"]);
    let request =
        post(&mut new, "intermediate/cross-sign", json!({"common_name": "Root", "key_ref": "default"}))
            .unwrap();
    let crossed =
        post(&mut old, "root/sign-intermediate", json!({"csr": request["csr"], "common_name": "Root"}))
            .unwrap();
    let bundle = format!("{}\n{}", text(&crossed["certificate"]), text(&made["certificate"]));
    post(&mut new, "issuers/import/cert", json!({"pem_bundle": bundle})).unwrap();
    new.write("roles/r", json!({"allow_any_name": true, "key_type": "ec"}));
    let issued = post(&mut new, "issue/r", json!({"common_name": "a.test", "ttl": 60})).unwrap();
    let folder = Folder::new();
    folder.verify(&own, "", text(&issued["certificate"]));
    folder.verify(text(&made["certificate"]), text(&crossed["certificate"]), text(&issued["certificate"]));
}

fn mount_root(mount: &mut Mount<super::Pki>) -> Value {
    mount.read("issuer/default")["certificate"].clone()
}
