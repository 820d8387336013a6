//! Signing requests: by a role, as they are, and those that are not worth it.

use super::{Folder, post, text, with_role, with_root};
use crate::logical::Operation;
use serde_json::{Value, json};

fn request(folder: &Folder, key: &[&str], extra: &str) -> String {
    folder.openssl(key);
    folder.put(
        "req.cnf",
        format!("[req]\ndistinguished_name=dn\nreq_extensions=ext\nprompt=no\n[dn]\nO=Asked\nCN=a.example.com\n[ext]\n{extra}\n"),
    );
    folder.openssl(&["req", "-new", "-key", "key.pem", "-config", "req.cnf", "-out", "req.pem"]);
    String::from_utf8(folder.get("req.pem")).unwrap()
}

const EC: &[&str] = &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "key.pem"];

#[test]
fn a_role_takes_names_from_a_request_or_from_parameters() {
    let folder = Folder::new();
    let csr = request(&folder, EC, "subjectAltName=DNS:b.example.com,IP:10.0.0.9");
    let mut mount = with_role(json!({"allowed_domains": "example.com", "allow_subdomains": true}));
    let asked = json!({"csr": csr, "common_name": "c.example.com", "alt_names": "d.example.com"});
    let answer = mount.ask(Operation::Update, "sign/r", asked.clone()).unwrap();
    assert_eq!(answer.warnings.len(), 2, "{:?}", answer.warnings);
    let signed = Value::Object(answer.data.unwrap());
    assert!(signed.get("private_key").is_none());
    let shown = folder.text(text(&signed["certificate"]));
    assert!(shown.contains("CN = a.example.com") && !shown.contains("Asked"), "{shown}");
    assert!(shown.contains("DNS:b.example.com, DNS:a.example.com, IP Address:10.0.0.9"), "{shown}");
    mount.write(
        "roles/r",
        json!({
            "allowed_domains": "example.com", "allow_subdomains": true, "key_type": "any",
            "use_csr_common_name": false, "use_csr_sans": false,
        }),
    );
    let signed = post(&mut mount, "sign/r", asked).unwrap();
    let shown = folder.text(text(&signed["certificate"]));
    assert!(shown.contains("DNS:c.example.com, DNS:d.example.com") && !shown.contains("10.0.0.9"), "{shown}");
    folder.verify(text(&signed["issuing_ca"]), "", text(&signed["certificate"]));
}

#[test]
fn keys_have_to_fit_the_role() {
    let folder = Folder::new();
    let small = request(&folder, &["genrsa", "-out", "key.pem", "1024"], "");
    let rsa = request(&folder, &["genrsa", "-out", "key.pem", "2048"], "");
    let ec = request(&folder, EC, "");
    let ed = request(&folder, &["genpkey", "-algorithm", "ed25519", "-out", "key.pem"], "");
    let brainpool =
        request(&folder, &["ecparam", "-name", "secp224r1", "-genkey", "-noout", "-out", "key.pem"], "");
    for (kind, bits, csr, expected) in [
        ("rsa", 2_048, &rsa, ""),
        ("rsa", 3_072, &rsa, "role requires a minimum of a 3072-bit key, but CSR's key is 2048 bits"),
        ("rsa", 2_048, &ec, "role requires keys of type rsa"),
        ("rsa", 2_048, &small, "role requires a minimum of a 2048-bit key, but CSR's key is 1024 bits"),
        ("ec", 384, &ec, "role requires a minimum of a 384-bit key, but CSR's key is 256 bits"),
        ("ec", 256, &ec, ""),
        ("ed25519", 0, &ed, ""),
        ("ed25519", 0, &ec, "role requires keys of type ed25519"),
        ("any", 0, &ed, ""),
        ("any", 0, &rsa, ""),
        ("any", 0, &small, "RSA keys < 2048 bits are unsafe and not supported"),
        (
            "any",
            0,
            &brainpool,
            "Refusing to sign CSR with empty PublicKey. This usually means the SubjectPublicKeyInfo field has an OID \
             that is not supported.",
        ),
    ] {
        let mut mount = with_role(json!({"allow_any_name": true, "key_type": kind, "key_bits": bits}));
        let said = post(&mut mount, "sign/r", json!({"csr": csr})).err().unwrap_or_default();
        assert_eq!(said, expected, "{kind} {bits}");
    }
}

#[test]
fn what_is_no_request_is_refused() {
    let folder = Folder::new();
    let csr = request(&folder, EC, "subjectAltName=DNS:b.example.com");
    let mut mount = with_role(json!({"allow_any_name": true}));
    // A bit of the signature turned over.
    let mut bad = crate::engine::pki::pem::first(&csr).unwrap().0.der;
    let last = bad.len() - 1;
    bad[last] ^= 1;
    let bad = crate::engine::pki::pem::encode("CERTIFICATE REQUEST", &bad);
    for (csr, expected) in [
        (String::new(), "\"csr\" is empty"),
        ("x".to_owned(), "csr contains no data"),
        (
            "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----".to_owned(),
            "certificate request could not be parsed: malformed DER",
        ),
        (bad, "request signature invalid"),
    ] {
        assert_eq!(post(&mut mount, "sign/r", json!({"csr": csr})).unwrap_err(), expected);
    }
    assert_eq!(post(&mut mount, "sign/none", json!({"csr": "x"})).unwrap_err(), "unknown role: none");
}

#[test]
fn as_it_is_means_all_but_being_an_authority() {
    let folder = Folder::new();
    let csr = request(
        &folder,
        EC,
        "subjectAltName=DNS:b.test,RID:1.2.3\nbasicConstraints=critical,CA:TRUE\nkeyUsage=digitalSignature\n\
         1.2.3.4=ASN1:UTF8String:hello\nextendedKeyUsage=codeSigning",
    );
    let (mut mount, root) = with_root("rsa", 2_048);
    let answer = mount.ask(Operation::Update, "sign-verbatim", json!({"csr": csr, "ttl": "1h"})).unwrap();
    assert_eq!(
        answer.warnings,
        ["specified CSR contained a Basic Constraints extension that was ignored during issuance"]
    );
    let signed = Value::Object(answer.data.unwrap());
    folder.verify(text(&root["certificate"]), "", text(&signed["certificate"]));
    let shown = folder.text(text(&signed["certificate"]));
    for expected in [
        "O = Asked, CN = a.example.com",
        "Registered ID:1.2.3",
        "1.2.3.4:",
        "Code Signing",
        "Digital Signature",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    assert!(!shown.contains("CA:TRUE"), "{shown}");
    mount.write("roles/r", json!({"no_store": true, "ttl": "2h", "allow_any_name": true}));
    let before = mount.succeed(Operation::List, "certs/", Value::Null)["keys"].as_array().unwrap().len();
    let signed = post(&mut mount, "sign-verbatim/r", json!({"csr": csr})).unwrap();
    assert_eq!(signed["expiration"], 1_700_000_000 + 7_200);
    assert_eq!(
        mount.succeed(Operation::List, "certs/", Value::Null)["keys"].as_array().unwrap().len(),
        before
    );
    let path = format!("issuer/{}/sign-verbatim", text(&root["issuer_id"]));
    post(&mut mount, &path, json!({"csr": csr})).unwrap();
}

#[test]
fn an_intermediate_may_bring_its_own_words() {
    let folder = Folder::new();
    let csr = request(
        &folder,
        EC,
        "subjectAltName=DNS:b.test\nbasicConstraints=critical,CA:FALSE\nkeyUsage=digitalSignature",
    );
    let (mut mount, root) = with_root("ec", 256);
    let asked = json!({"csr": csr, "use_csr_values": true, "max_path_length": 0});
    let signed = post(&mut mount, "root/sign-intermediate", asked).unwrap();
    let shown = folder.text(text(&signed["certificate"]));
    for expected in ["O = Asked", "CA:TRUE, pathlen:0", "Certificate Sign, CRL Sign", "DNS:b.test"] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    folder.verify(text(&root["certificate"]), "", text(&signed["certificate"]));
}

#[test]
fn a_role_for_any_key_needs_to_be_told_which() {
    let mut mount = with_role(json!({"allow_any_name": true, "key_type": "any"}));
    assert!(
        post(&mut mount, "issue/r", json!({"common_name": "a.b"}))
            .unwrap_err()
            .starts_with("role key type \"any\"")
    );
    let issued = post(&mut mount, "issue/r", json!({"common_name": "a.b", "key_type": "ed25519"})).unwrap();
    assert_eq!(issued["private_key_type"], "ed25519");
    mount.write("roles/r", json!({"allow_any_name": true, "key_type": "ec"}));
    let answer =
        mount.ask(Operation::Update, "issue/r", json!({"common_name": "a.b", "key_bits": 384})).unwrap();
    assert_eq!(answer.warnings, ["parameters key_type and key_bits ignored as role had specific values"]);
}
