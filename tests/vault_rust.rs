//! The embedded vault, driven by vaultrs: the client that programs in Rust have for it.

#[path = "harness/vault.rs"]
mod vault;

use std::collections::HashMap;
use vault::Vault;
use vaultrs::{
    api::{
        auth::approle::requests::{GenerateNewSecretIDRequest, SetAppRoleRequest},
        kv2::requests::SetSecretRequestOptions,
        pki::requests::{GenerateCertificateRequest, GenerateRootRequest, SetRoleRequest},
        sys::requests::EnableEngineRequest,
        token::requests::CreateTokenRequest,
    },
    auth::approle,
    client::{VaultClient, VaultClientSettingsBuilder},
    error::ClientError,
    kv2, pki, sys, token,
};

/// An unsealed server with a KV engine of version 2 at `secret/`.
fn server() -> Vault {
    Vault::start().open()
}

fn client(vault: &Vault, token: &str) -> VaultClient {
    // The client wants one, although no TLS is spoken. An error says that there is one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let settings = VaultClientSettingsBuilder::default()
        .address(format!("http://{}", vault.address))
        .token(token)
        .build();
    VaultClient::new(settings.expect("settings")).expect("a client")
}

#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T, ClientError>, expected: u16) {
    // Some have the status one level deeper: a deleted version is answered with its facts instead of errors.
    let told = format!("{:?}", outcome.expect_err("a refusal"));
    assert!(told.contains(&format!("code: {expected}")), "{told} instead of {expected}");
}

fn pair(key: &str, value: &str) -> HashMap<String, String> {
    HashMap::from([(key.to_owned(), value.to_owned())])
}

#[tokio::test]
async fn from_initialization_to_the_seal() {
    let vault = Vault::start();
    let nobody = client(&vault, "");
    let made = sys::start_initialization(&nobody, 3, 2, None).await.expect("keys");
    assert_eq!(made.keys.len(), 3);
    let unseal = |key: &str| sys::unseal(&nobody, Some(key.to_owned()), None, None);
    assert!(unseal(&made.keys[2]).await.expect("one key").sealed);
    assert!(!unseal(&made.keys[0]).await.expect("two keys").sealed);
    assert!(!sys::health(&nobody).await.expect("health").sealed);
    let root = client(&vault, &made.root_token);
    sys::seal(&root).await.expect("sealed");
    refused(sys::mount::list(&root).await, 503);
}

#[tokio::test]
async fn mounts_methods_and_policies() {
    let vault = server();
    let root = client(&vault, &vault.root);
    let mut options = EnableEngineRequest::builder();
    options.options(pair("version", "2"));
    sys::mount::enable(&root, "more", "kv", Some(&mut options)).await.expect("mounted");
    let mounts = sys::mount::list(&root).await.expect("mounts");
    assert_eq!((mounts["more/"].mount_type.as_str(), mounts["cubbyhole/"].local), ("kv", true));
    sys::mount::disable(&root, "more").await.expect("unmounted");
    assert!(!sys::mount::list(&root).await.expect("mounts").contains_key("more/"));
    sys::auth::enable(&root, "roles", "approle", None).await.expect("enabled");
    assert_eq!(sys::auth::list(&root).await.expect("methods")["roles/"].mount_type, "approle");
    let text = "path \"secret/data/app\" { capabilities = [\"read\"] }";
    sys::policy::set(&root, "app", text).await.expect("written");
    assert_eq!(sys::policy::read(&root, "app").await.expect("a policy").rules, text);
    assert!(sys::policy::list(&root).await.expect("names").policies.contains(&"app".to_owned()));
    sys::policy::delete(&root, "app").await.expect("deleted");
    refused(sys::policy::read(&root, "app").await, 404);
}

#[tokio::test]
async fn secrets_have_versions() {
    let vault = server();
    let root = client(&vault, &vault.root);
    for value in ["one", "two"] {
        kv2::set(&root, "secret", "app/db", &pair("password", value)).await.expect("written");
    }
    let read = async |version: Option<u64>| -> Result<HashMap<String, String>, ClientError> {
        match version {
            Some(version) => kv2::read_version(&root, "secret", "app/db", version).await,
            None => kv2::read(&root, "secret", "app/db").await,
        }
    };
    assert_eq!(read(None).await.expect("the last")["password"], "two");
    assert_eq!(read(Some(1)).await.expect("the first")["password"], "one");
    let stale = SetSecretRequestOptions { cas: 1 };
    refused(kv2::set_with_options(&root, "secret", "app/db", &pair("a", "b"), stale).await, 400);
    assert_eq!(kv2::list(&root, "secret", "app").await.expect("names"), ["db"]);
    kv2::delete_latest(&root, "secret", "app/db").await.expect("deleted");
    refused(read(None).await, 404);
    kv2::undelete_versions(&root, "secret", "app/db", vec![2]).await.expect("brought back");
    assert_eq!(read(None).await.expect("the last")["password"], "two");
    kv2::destroy_versions(&root, "secret", "app/db", vec![1]).await.expect("destroyed");
    refused(read(Some(1)).await, 404);
    let metadata = kv2::read_metadata(&root, "secret", "app/db").await.expect("metadata");
    assert_eq!((metadata.current_version, metadata.versions["1"].destroyed), (2, true));
    kv2::delete_metadata(&root, "secret", "app/db").await.expect("deleted");
    refused(kv2::list(&root, "secret", "app").await, 404);
}

#[tokio::test]
async fn a_service_logs_in_and_reads_what_is_its_own() {
    let vault = server();
    let root = client(&vault, &vault.root);
    for name in ["app", "other"] {
        kv2::set(&root, "secret", name, &pair("password", name)).await.expect("written");
    }
    let text = "path \"secret/data/app\" { capabilities = [\"read\"] }";
    sys::policy::set(&root, "app", text).await.expect("written");
    sys::auth::enable(&root, "approle", "approle", None).await.expect("enabled");
    let mut role = SetAppRoleRequest::builder();
    role.token_policies(vec!["app".to_owned()]).token_ttl("10m").secret_id_num_uses(2_u64);
    approle::role::set(&root, "approle", "app", Some(&mut role)).await.expect("written");
    let role_id = approle::role::read_id(&root, "approle", "app").await.expect("an identifier").role_id;
    let mut wish = GenerateNewSecretIDRequest::builder();
    let made = approle::role::secret::generate(&root, "approle", "app", Some(&mut wish)).await.expect("made");
    let nobody = client(&vault, "");
    let login = || approle::login(&nobody, "approle", &role_id, &made.secret_id);
    let auth = login().await.expect("a token");
    assert_eq!(
        (auth.policies.as_slice(), auth.lease_duration),
        (&["app".to_owned(), "default".to_owned()][..], 600)
    );
    let service = client(&vault, &auth.client_token);
    let secret: HashMap<String, String> = kv2::read(&service, "secret", "app").await.expect("its own");
    assert_eq!(secret["password"], "app");
    refused(kv2::read::<HashMap<String, String>>(&service, "secret", "other").await, 403);
    let left =
        approle::role::secret::read(&root, "approle", "app", &made.secret_id).await.expect("it is left");
    assert_eq!(left.secret_id_num_uses, 1);
    login().await.expect("the second use");
    refused(login().await, 400);
}

#[tokio::test]
async fn tokens_live_and_end() {
    let vault = server();
    let root = client(&vault, &vault.root);
    let mut wish = CreateTokenRequest::builder();
    wish.policies(vec!["default".to_owned()]).ttl("10m").renewable(true);
    let made = token::new(&root, Some(&mut wish)).await.expect("a token");
    let own = client(&vault, &made.client_token);
    let seen = token::lookup_self(&own).await.expect("itself");
    assert!((590..=600).contains(&seen.ttl) && !seen.orphan, "{seen:?}");
    let renewed = token::renew_self(&own, Some("20m")).await.expect("renewed");
    assert_eq!((renewed.lease_duration, renewed.renewable), (1_200, true));
    assert_eq!(token::lookup_accessor(&root, &made.accessor).await.expect("by accessor").id, "");
    refused(token::new(&own, None).await, 403);
    token::revoke_accessor(&root, &made.accessor).await.expect("revoked");
    refused(token::lookup_self(&own).await, 403);
}

#[tokio::test]
async fn certificates_are_issued_and_revoked() {
    let vault = server();
    let root = client(&vault, &vault.root);
    sys::mount::enable(&root, "pki", "pki", None).await.expect("mounted");
    let mut wish = GenerateRootRequest::builder();
    wish.common_name("Root").key_type("ec").key_bits(256_u64).ttl("8760h");
    let authority =
        pki::cert::ca::generate(&root, "pki", "internal", Some(&mut wish)).await.expect("an authority");
    assert!(authority.expect("a certificate").certificate.starts_with("-----BEGIN CERTIFICATE-----"));
    let mut role = SetRoleRequest::builder();
    role.allowed_domains(vec!["example.com".to_owned()])
        .allow_subdomains(true)
        .key_type("ec")
        .key_bits(256_u64);
    pki::role::set(&root, "pki", "web", Some(&mut role)).await.expect("written");
    assert_eq!(pki::role::read(&root, "pki", "web").await.expect("a role").key_type, "ec");
    let issue = async |name: &str| {
        let mut wish = GenerateCertificateRequest::builder();
        wish.common_name(name).ttl("1h");
        pki::cert::generate(&root, "pki", "web", Some(&mut wish)).await
    };
    let issued = issue("a.example.com").await.expect("a certificate");
    assert_eq!(issued.private_key_type, "ec");
    refused(issue("example.org").await, 400);
    let read = pki::cert::read(&root, "pki", &issued.serial_number).await.expect("it is kept");
    assert_eq!(read.certificate.trim(), issued.certificate.trim());
    assert!(
        pki::cert::revoke(&root, "pki", &issued.serial_number).await.expect("revoked").revocation_time > 0
    );
    let read = pki::cert::read(&root, "pki", &issued.serial_number).await.expect("it is kept");
    assert!(read.revocation_time > 0);
    assert_eq!(pki::issuer::list(&root, "pki").await.expect("issuers").keys.len(), 1);
}
