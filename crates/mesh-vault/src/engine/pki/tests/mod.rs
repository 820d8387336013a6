//! Through the engine, as the core asks it. What it makes is judged by OpenSSL.

mod chains;
mod names;
mod requests;
mod revocation;
mod settings;

use super::{Pki, pem};
use crate::{engine::testing::Mount, logical::Operation};
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    process::{Command, Output},
};

/// When the tests' clock stands, and a little later.
const A_MOMENT_LATER: &str = "1700000010";

/// A mount named `pki/`, without anything in it.
fn mount() -> Mount<Pki> {
    Mount::new(Pki, "pki/", &[])
}

/// A mount with a root of a kind.
fn with_root(kind: &str, bits: u64) -> (Mount<Pki>, Value) {
    root_in(mount(), kind, bits)
}

/// A mount whose clock goes as that of OpenSSL, which takes no other time for OCSP.
fn with_root_today(kind: &str, bits: u64) -> (Mount<Pki>, Value) {
    let mut mount = mount();
    mount.context.now = std::time::SystemTime::now();
    root_in(mount, kind, bits)
}

fn root_in(mut mount: Mount<Pki>, kind: &str, bits: u64) -> (Mount<Pki>, Value) {
    let asked = json!({"common_name": "Root", "ttl": "87600h", "key_type": kind, "key_bits": bits});
    let root = mount.write("root/generate/internal", asked);
    (mount, root["data"].clone())
}

/// A mount with an ECDSA root and a role that lets through what `role` says besides the key's kind.
fn with_role(role: Value) -> Mount<Pki> {
    let (mut mount, _) = with_root("ec", 256);
    let mut fields = json!({"key_type": "ec", "ttl": "1h"});
    fields.as_object_mut().unwrap().extend(role.as_object().unwrap().clone());
    mount.write("roles/r", fields);
    mount
}

/// Asks for a certificate of the role `r`: the certificate, or what is said instead.
fn issue(mount: &mut Mount<Pki>, asked: Value) -> Result<Value, String> {
    post(mount, "issue/r", asked)
}

/// A write: the data, or what is said instead.
fn post(mount: &mut Mount<Pki>, path: &str, asked: Value) -> Result<Value, String> {
    let answer = mount.ask(Operation::Update, path, asked).map_err(|refusal| refusal.to_string())?;
    Ok(Value::Object(answer.data.unwrap_or_default()))
}

/// A folder with files for OpenSSL.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    fn get(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new("openssl").args(arguments).current_dir(self.0.path()).output().unwrap()
    }

    /// What OpenSSL prints, which has to be content.
    fn openssl(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments:?}: {errors}");
        format!("{}{errors}", String::from_utf8_lossy(&output.stdout))
    }

    /// Checks a certificate by all rules of RFC 5280, against a root, with others in between.
    fn verify(&self, root: &str, between: &str, leaf: &str) {
        self.put("root.pem", root);
        self.put("between.pem", between);
        self.put("leaf.pem", leaf);
        let mut arguments = vec!["verify", "-x509_strict", "-check_ss_sig", "-attime", A_MOMENT_LATER];
        arguments.extend(["-CAfile", "root.pem"]);
        if !between.is_empty() {
            arguments.extend(["-untrusted", "between.pem"]);
        }
        arguments.push("leaf.pem");
        self.openssl(&arguments);
    }

    /// A certificate as text.
    fn text(&self, certificate: &str) -> String {
        self.put("shown.pem", certificate);
        self.openssl(&["x509", "-in", "shown.pem", "-noout", "-text"])
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

fn der(certificate: &Value) -> Vec<u8> {
    pem::first(text(certificate)).unwrap().0.der
}
