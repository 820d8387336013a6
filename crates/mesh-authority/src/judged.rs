//! What OpenSSL and rustls say of the certificates made here: they are the judges, not our own reading.

use crate::{Authorities, AuthorityError, Intermediate, Issuer, Leaf, certificate, subject_hash};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    pki_types::{ServerName, UnixTime},
};
use std::{collections::BTreeSet, path::PathBuf, process::Command, sync::Arc, time::Duration};

const DAY: i64 = certificate::DAY_SECONDS;

struct Made {
    directory: tempfile::TempDir,
    root: crate::Root,
    intermediate: Intermediate,
    issuer: Issuer,
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn made(of: &[&str]) -> Made {
    let directory = tempfile::tempdir().unwrap();
    let root = Authorities::of(directory.path()).root_for("shop", &names(of)).unwrap();
    let intermediate = Intermediate::make(&root, "shop", &names(of), certificate::now()).unwrap();
    let issuer = Issuer::read(intermediate.text.expose().as_bytes()).unwrap();
    Made { directory, root, intermediate, issuer }
}

impl Made {
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// `openssl verify` of a leaf for a name; its words where it does not agree.
    fn openssl(&self, leaf: &Leaf, name: &str) -> Result<(), String> {
        let root = self.write("root.crt", &self.root.pem());
        let between = self.write("between.crt", &certificate::pem(&leaf.chain[1]));
        let shown = self.write("leaf.crt", &certificate::pem(&leaf.chain[0]));
        let mut command = Command::new("openssl");
        command.args([
            "verify",
            "-x509_strict",
            "-purpose",
            "sslserver",
            "-verify_hostname",
            name,
            "-CAfile",
        ]);
        let output = command.arg(root).arg("-untrusted").arg(between).arg(shown).output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        if output.status.success() { Ok(()) } else { Err(said) }
    }

    fn rustls(&self, leaf: &Leaf, name: &str) -> Result<(), String> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(certificate::now().try_into().unwrap()));
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let outcome = verifier.verify_server_cert(&leaf.chain[0], &leaf.chain[1..], &name, &[], now);
        outcome.map(|_| ()).map_err(|error| error.to_string())
    }
}

#[test]
fn what_a_gateway_shows_is_believed() {
    let made = made(&["shop.localhost", "api.shop.test", "shop.example"]);
    for name in ["shop.localhost", "api.shop.test", "shop.example", "a.shop.example", "localhost"] {
        let leaf = made.issuer.leaf(name, certificate::now()).unwrap();
        made.openssl(&leaf, name).unwrap();
        made.rustls(&leaf, name).unwrap();
    }
    let leaf = made.issuer.leaf("localhost", certificate::now()).unwrap();
    made.rustls(&leaf, "127.0.0.1").unwrap();
    made.rustls(&leaf, "::1").unwrap();
}

/// An authority signs nothing outside of its scope; one that did, by another program, would not be believed.
#[test]
fn what_is_outside_of_a_scope_is_neither_signed_nor_believed() {
    let made = made(&["shop.localhost"]);
    let now = certificate::now();
    for name in ["shop.example", "other.test", "test"] {
        assert!(matches!(made.issuer.leaf(name, now), Err(AuthorityError::NotAllowed { .. })), "{name}");
    }
    let outside = Intermediate::make(&made.root, "shop", &names(&["shop.example"]), now);
    assert!(matches!(outside, Err(AuthorityError::NotAllowed { .. })));
    // The same keys without our own look at the scope.
    for name in ["shop.example", "other.test"] {
        let mut free = Issuer::read(made.intermediate.text.expose().as_bytes()).unwrap();
        free.allow(name);
        let leaf = free.leaf(name, now).unwrap();
        let said = made.openssl(&leaf, name).unwrap_err();
        assert!(said.contains("permitted subtree violation"), "{said}");
        made.rustls(&leaf, name).unwrap_err();
    }
}

/// The gateway's key cannot make further authorities.
#[test]
fn below_a_project_there_is_no_further_authority() {
    let made = made(&["shop.localhost"]);
    let below = made.issuer.authority_below("shop.localhost");
    let leaf = below.leaf("shop.localhost", certificate::now()).unwrap();
    let root = made.write("root.crt", &made.root.pem());
    let between: String = leaf.chain[1..].iter().map(certificate::pem).collect();
    let (between, shown) =
        (made.write("between.crt", &between), made.write("leaf.crt", &certificate::pem(&leaf.chain[0])));
    let mut command = Command::new("openssl");
    let output =
        command.args(["verify", "-CAfile"]).arg(root).arg("-untrusted").arg(between).arg(shown).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("path length constraint exceeded"), "{said}");
    made.rustls(&leaf, "shop.localhost").unwrap_err();
}

#[test]
fn lives_end_with_that_of_who_signs() {
    let made = made(&["shop.localhost"]);
    let now = certificate::now();
    let until = made.intermediate.until_unix_seconds;
    assert!((until - now - 30 * DAY).abs() < 60);
    assert!(made.intermediate.renew_from_unix_seconds - now < 20 * DAY, "before two thirds have passed");
    let week = made.issuer.leaf("shop.localhost", now).unwrap();
    assert!((week.until_unix_seconds - now - 7 * DAY).abs() < 60);
    let late = made.issuer.leaf("shop.localhost", until - DAY).unwrap();
    assert_eq!(late.until_unix_seconds, until);
    assert!(matches!(made.issuer.leaf("shop.localhost", until), Err(AuthorityError::Expired)));
    let after = now + 3_700 * DAY;
    let late = Intermediate::make(&made.root, "shop", &names(&["shop.localhost"]), after);
    assert!(matches!(late, Err(AuthorityError::Expired)));
}

#[test]
fn a_hash_is_that_of_openssl() {
    for of in [&["shop.localhost"][..], &["shop.example"]] {
        let made = made(of);
        let path = made.write("root.crt", &made.root.pem());
        let output = Command::new("openssl")
            .args(["x509", "-noout", "-subject_hash", "-in"])
            .arg(path)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said.trim(), subject_hash(made.root.der()).unwrap());
    }
    assert!(subject_hash(b"hunter2").is_err());
}

/// As OpenSSL and Vault write them: a key of another form, several certificates, an authority made elsewhere.
#[test]
fn an_authority_of_somebody_else_signs_too() {
    let made = made(&["shop.test"]);
    let root = made.write(
        "root.key",
        &std::fs::read_to_string(made.directory.path().join("authority/local.pem")).unwrap(),
    );
    let script = r#"
        openssl ecparam -name prime256v1 -genkey -noout -out key.pem
        openssl req -new -key key.pem -subj /O=Elsewhere/CN=Between -out request.pem
        printf 'basicConstraints=critical,CA:true,pathlen:0\nkeyUsage=critical,keyCertSign\nnameConstraints=critical,permitted;DNS:shop.test\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid' > extensions
        openssl x509 -req -in request.pem -CA root.key -CAkey root.key -CAcreateserial -days 20 -extfile extensions -out certificate.pem
        cat key.pem certificate.pem > authority.pem"#;
    let done = Command::new("sh").args(["-ec", script]).current_dir(root.parent().unwrap()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = std::fs::read_to_string(made.directory.path().join("authority.pem")).unwrap();
    assert!(text.contains("EC PRIVATE KEY"));
    let issuer = Issuer::read(text.as_bytes()).unwrap();
    let leaf = issuer.leaf("a.shop.test", certificate::now()).unwrap();
    made.openssl(&leaf, "a.shop.test").unwrap();
    made.rustls(&leaf, "a.shop.test").unwrap();
    assert!(!issuer.permits("other.test"));
}

#[test]
fn what_is_no_authority_signs_nothing() {
    let made = made(&["shop.localhost"]);
    let text = made.intermediate.text.expose();
    let leaf = made.issuer.leaf("shop.localhost", certificate::now()).unwrap();
    let of_leaf = format!("{}{text}", certificate::pem(&leaf.chain[0]));
    let free = {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = certificate::params("free", 0, DAY).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        format!("{}{}", key.serialize_pem(), params.self_signed(&key).unwrap().pem())
    };
    for text in ["", "hunter2", &text[..text.len() / 2], &of_leaf, &free, &made.root.pem()] {
        let error = Issuer::read(text.as_bytes()).unwrap_err();
        assert!(matches!(error, AuthorityError::NotAnAuthority), "{error:?}");
    }
}

/// A root is for servers, and for nobody's mail.
#[test]
fn a_root_says_what_it_is_for() {
    let made = made(&["shop.example"]);
    let root = made.write("root.crt", &made.root.pem());
    let output = Command::new("openssl").args(["x509", "-noout", "-text", "-in"]).arg(root).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("TLS Web Server Authentication") && said.contains("email:invalid"), "{said}");
}
