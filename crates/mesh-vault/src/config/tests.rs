//! Files and arguments, and what becomes of them.

use super::{Arguments, ArgumentsError, Config, ConfigError, MinimumTls, Storage};
use mesh_redact::Secret;
use std::{fs, time::Duration};

fn none(_: &str) -> Option<String> {
    None
}

fn arguments(words: &[&str]) -> Result<Arguments, ArgumentsError> {
    Arguments::parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>(), &none)
}

fn load(texts: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in texts {
        fs::write(directory.path().join(name), text).unwrap();
    }
    let loaded =
        Config::load(&Arguments { configs: vec![directory.path().into()], ..Arguments::default() }, &none);
    loaded.map_err(|ConfigError(mut findings)| {
        let folder = format!("{}/", directory.path().display());
        findings.iter_mut().for_each(|finding| finding.file = finding.file.replace(&folder, ""));
        ConfigError(findings)
    })
}

const DEVSTACK: &str = r#"
# As the stack's file has it.
storage "file" { path = "/vault/data" }
listener "tcp" {
  address     = "0.0.0.0:8200"
  tls_disable = 1
}
ui = true
disable_mlock = true
api_addr = "http://127.0.0.1:8200"
default_lease_ttl = "1h"
max_lease_ttl = 7200
"#;

#[test]
fn a_file_as_stacks_have_it() {
    let config = load(&[("vault.hcl", DEVSTACK)]).unwrap();
    assert_eq!(config.storage, Storage::Directory { kind: "file".to_owned(), path: "/vault/data".into() });
    assert_eq!(config.listeners[0].address, "0.0.0.0:8200");
    assert_eq!(config.listeners[0].tls, None);
    assert!(config.ui);
    assert_eq!(config.default_lease_ttl, Duration::from_secs(3_600));
    assert_eq!(config.max_lease_ttl, Duration::from_secs(7_200));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn later_files_win_and_listeners_add_up() {
    let second = r#"{"listener": [{"tcp": {"address": "127.0.0.1", "tls_cert_file": "/c", "tls_key_file": "/k",
        "tls_min_version": "tls13", "tls_client_ca_file": "/ca"}}], "ui": "false", "max_lease_ttl": "3h"}"#;
    let config = load(&[("a.hcl", DEVSTACK), ("b.json", second), ("c.txt", "not read {")]).unwrap();
    assert!(!config.ui);
    assert_eq!(config.max_lease_ttl, Duration::from_secs(10_800));
    assert_eq!(config.listeners.len(), 2);
    assert_eq!(config.listeners[1].address, "127.0.0.1:8200");
    let tls = config.listeners[1].tls.as_ref().unwrap();
    assert_eq!((tls.minimum, tls.client_required), (MinimumTls::V13, false));
    assert_eq!(tls.client_authorities.as_deref(), Some("/ca".as_ref()));
}

#[test]
fn everything_that_is_wrong_is_told_with_its_place() {
    let text = "storage \"consul\" {}\nseal \"awskms\" {}\nlistener \"unix\" { tls_disable = true }\n\
                listener \"tcp\" { address = \"::1:8200\" }\nui = \"perhaps\"\nmax_lease_ttl = \"soon\"\n\
                ha_storage \"x\" {}\nlog_level = \"loud\"\n";
    let ConfigError(findings) = load(&[("a.hcl", text)]).unwrap_err();
    let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
    for expected in [
        "a.hcl:1: storage \"consul\" is not supported",
        "a.hcl:2: seal \"awskms\" is not supported",
        "a.hcl:3: listener \"unix\" is not supported",
        "a.hcl:4: address must be host:port",
        "a.hcl:4: a listener needs 'tls_cert_file'",
        "a.hcl:5: ui must be true or false",
        "a.hcl:6: max_lease_ttl must be a duration",
        "a.hcl:7: ha_storage has no effect",
        "configuration: unknown log level: loud",
        "configuration: A storage backend must be specified",
    ] {
        assert!(told.iter().any(|told| told.starts_with(expected)), "{expected} is not in {told:#?}");
    }
    let ConfigError(findings) = load(&[("a.hcl", "a = \n")]).unwrap_err();
    assert_eq!((findings[0].line, findings[0].file.as_str()), (2, "a.hcl"));
}

#[test]
fn unknown_keys_are_warned_of() {
    let text = format!("{DEVSTACK}\nnot_a_key = 1\nservice_registration \"kubernetes\" {{}}\n");
    let warnings = load(&[("a.hcl", &text)]).unwrap().warnings;
    let told: Vec<String> =
        warnings.iter().map(|warning| format!("{}: {}", warning.line, warning.message)).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told.iter().any(|told| told.starts_with("14: unknown or unsupported field not_a_key")),
        "{told:?}"
    );
}

#[test]
fn the_image_s_entrypoint_and_development() {
    let words = ["-config=/vault/config", "-dev-root-token-id=", "-dev-listen-address=0.0.0.0:8200", "-dev"];
    let parsed = arguments(&words).unwrap();
    let development = parsed.development.unwrap();
    assert_eq!((development.root_token, development.listen.as_str()), (None, "0.0.0.0:8200"));
    let environment = |name: &str| match name {
        "VAULT_LOCAL_CONFIG" => Some(
            r#"{"storage": {"file": {"path": "/d"}}, "listener": {"tcp": {"tls_disable": true}}}"#.to_owned(),
        ),
        "VAULT_DEV_ROOT_TOKEN_ID" => Some("root".to_owned()),
        _ => None,
    };
    let parsed = Arguments::parse(&[], &environment).unwrap();
    let config = Config::load(&parsed, &environment).unwrap();
    assert_eq!(config.storage.kind(), "file");
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("local.json"), environment("VAULT_LOCAL_CONFIG").unwrap()).unwrap();
    let both = Arguments { configs: vec![directory.path().into()], ..Arguments::default() };
    assert_eq!(Config::load(&both, &environment).unwrap().listeners.len(), 1);
    let parsed = Arguments::parse(&["-dev".to_owned()], &environment).unwrap();
    assert_eq!(parsed.development.as_ref().unwrap().root_token, Some(Secret::new("root".to_owned())));
    let config = Config::load(&Arguments { configs: Vec::new(), ..parsed }, &none).unwrap();
    assert_eq!((config.storage, config.listeners.len()), (Storage::Memory, 1));
}

#[test]
fn arguments_that_make_no_sense() {
    for (words, expected) in [
        (&["-nope"][..], "flag provided but not defined: -nope"),
        (&["-config"], "flag needs an argument: -config"),
        (&["-dev=maybe"], "invalid boolean value \"maybe\" for -dev"),
        (&["-dev", "word", "more"], "Too many arguments (expected 0, got 2)"),
        (&[], "Must specify at least one config path using -config"),
    ] {
        assert_eq!(arguments(words).unwrap_err().to_string(), expected);
    }
    assert_eq!(arguments(&["-h"]), Err(ArgumentsError::Help));
}
