//! The stack's vault as whoever signs the authorities of gateways.
//!
//! A vault does where its container has, read-only, the login that `mesh vault bootstrap` made for the gateway's service,
//! with the mount that signs. It is asked as any client would ask: with that login, for an authority constrained to the gateway's
//! names. Absent on purpose: its keys, which nobody needs here; a vault that is sealed signs nothing.

use crate::{
    container::{Container, View},
    words,
};
use mesh_authority::{AuthorityError, Request, Signed};
use mesh_model::container::ContainerId;
use mesh_redact::Secret;
use mesh_runtime::{
    SharedRuntime,
    error::RuntimeError,
    question::{Question, Reply},
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};

/// Where a vault's container has the logins of services, each in a folder of its name.
const LOGINS: &str = "/vault/approles";
/// The file of a login that names the mount which signs; those that sign nothing have none.
const MOUNT: &str = "signs";
/// Largest file of a login, in bytes.
const LOGIN_BYTES_MAX: usize = 4 << 10;
/// What says where a vault listens.
const ADDRESS: &str = "VAULT_ADDR";
/// Where it listens otherwise.
const PORT: u16 = 8200;
/// Longest wait for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Most certificates of a chain that are looked at.
const CHAIN_MAX: usize = 16;
/// Most characters of what a vault says of a failure.
const SAID_CHARS_MAX: usize = 200;
/// A vault that is sealed answers so.
const SEALED: u16 = 503;

/// Why a vault did not sign.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VaultTrouble {
    /// It does not run.
    #[error("the stack's vault does not run")]
    Down,
    /// It has no login for the gateway.
    #[error("the stack's vault has no login of {service} that signs: `mesh vault bootstrap` makes it")]
    NoLogin {
        /// The gateway's service.
        service: String,
    },
    /// It is sealed.
    #[error("the stack's vault is sealed")]
    Sealed,
    /// It answered with an error.
    #[error("the stack's vault refused {attempt} ({status}): {said}")]
    Refused {
        /// What was asked.
        attempt: &'static str,
        /// Its status.
        status: u16,
        /// Its words.
        said: String,
    },
    /// Its answer is none.
    #[error("the stack's vault answered to {attempt} with something else")]
    Unexpected {
        /// What was asked.
        attempt: &'static str,
    },
    /// It did not answer.
    #[error("the stack's vault could not be asked")]
    Ask(#[from] RuntimeError),
    /// What it signed is no good, or there is no key to be signed.
    #[error("an authority could not be had of the stack's vault")]
    Authority(#[from] AuthorityError),
}

/// Whether a stack has one that may sign, running or not.
pub(super) fn is_in(view: &View) -> bool {
    view.containers.values().any(is_vault)
}

/// The server among the containers of a vault's image: whoever makes the logins may write them.
fn is_vault(found: &Container) -> bool {
    let has_logins = found.spec.service.mounts.iter().any(|mount| mount.target == LOGINS && mount.read_only);
    found.spec.image.source.is_vault() && !found.spec.one_off && has_logins
}

/// A vault that runs.
pub(super) struct Vault<'a> {
    runtime: &'a SharedRuntime,
    id: ContainerId,
    port: u16,
    tls: bool,
}

/// What a gateway's authority is asked for with.
pub(super) struct Login {
    role_id: Secret<String>,
    secret_id: Secret<String>,
    mount: String,
}

impl<'a> Vault<'a> {
    /// The one of a stack, if it runs.
    pub(super) fn of(view: &View, runtime: &'a SharedRuntime) -> Option<Self> {
        let found = view.containers.values().find(|found| is_vault(found) && found.goes_on_running())?;
        let (service, image) = (&found.spec.service.environment, &found.spec.image.config.environment);
        let address = service.get(ADDRESS).or_else(|| image.get(ADDRESS)).map_or("", String::as_str);
        let (port, tls) = listener(address);
        Some(Self { runtime, id: found.spec.id.clone(), port, tls })
    }

    /// The login that it has for a gateway's service, if that signs.
    pub(super) async fn login(&self, service: &str) -> Option<Login> {
        let read = async |file: &str| {
            let path = format!("{LOGINS}/{service}/{file}");
            let content = self.runtime.read_file(&self.id, &path, LOGIN_BYTES_MAX).await;
            let content = content
                .inspect_err(|error| {
                    tracing::debug!(path, error = words::chain(error), "no login of a vault")
                })
                .ok()?;
            let text = String::from_utf8(content).ok()?;
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        let mount = read(MOUNT).await.filter(|mount| is_mount(mount))?;
        let (role_id, secret_id) = (read("role-id").await?, read("secret-id").await?);
        Some(Login { role_id: Secret::new(role_id), secret_id: Secret::new(secret_id), mount })
    }

    /// Has it sign an authority for a gateway's names at this moment, in seconds since 1970.
    pub(super) async fn sign(
        &self,
        login: &Login,
        project: &str,
        names: &BTreeSet<String>,
        now: i64,
    ) -> Result<Signed, VaultTrouble> {
        let request = Request::make(project, names)?;
        let (role_id, secret_id) = (login.role_id.expose(), login.secret_id.expose());
        let body = json!({"role_id": role_id, "secret_id": secret_id});
        let answer = self.post("a login", "auth/approle/login", None, &body).await?;
        let token = answer.pointer("/auth/client_token").and_then(Value::as_str);
        let token = Secret::new(token.ok_or(VaultTrouble::Unexpected { attempt: "a login" })?.to_owned());
        let signed = self.sign_by(&token, login, &request).await;
        // It ends by itself as well.
        let _ = self.post("the end of a login", "auth/token/revoke-self", Some(&token), &json!({})).await;
        Ok(request.signed(&signed?, now)?)
    }

    async fn sign_by(
        &self,
        token: &Secret<String>,
        login: &Login,
        request: &Request,
    ) -> Result<Vec<String>, VaultTrouble> {
        const ATTEMPT: &str = "an authority for a gateway";
        let body = json!({
            "csr": request.csr(),
            "common_name": request.subject(),
            "permitted_dns_domains": request.domains().collect::<Vec<_>>(),
            "max_path_length": 0,
            "ttl": format!("{}s", request.life_seconds()),
            "format": "pem",
        });
        let path = format!("{}/root/sign-intermediate", login.mount);
        let answer = self.post(ATTEMPT, &path, Some(token), &body).await?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let own = answer.pointer("/data/certificate").and_then(text);
        let above = answer.pointer("/data/ca_chain").and_then(Value::as_array);
        let all = own.into_iter().chain(above.into_iter().flatten().filter_map(text));
        let all: Vec<String> = all.take(CHAIN_MAX).collect();
        if all.is_empty() { Err(VaultTrouble::Unexpected { attempt: ATTEMPT }) } else { Ok(all) }
    }

    async fn post(
        &self,
        attempt: &'static str,
        path: &str,
        token: Option<&Secret<String>>,
        body: &Value,
    ) -> Result<Value, VaultTrouble> {
        let question = Question {
            port: self.port,
            tls: self.tls,
            path: format!("/v1/{path}"),
            headers: token.map(|token| ("X-Vault-Token", token.clone())).into_iter().collect(),
            body: Some(Secret::new(body.to_string().into_bytes())),
        };
        let reply = self.runtime.ask(&self.id, &question, ANSWER_MAX).await?;
        understood(attempt, &reply)
    }
}

/// The body of an answer that is none of a failure. Its own words are told; what was asked never.
fn understood(attempt: &'static str, Reply { status, body }: &Reply) -> Result<Value, VaultTrouble> {
    let parsed: Option<Value> = serde_json::from_slice(body.expose()).ok();
    match status {
        200 => parsed.ok_or(VaultTrouble::Unexpected { attempt }),
        204 => Ok(Value::Null),
        &SEALED => Err(VaultTrouble::Sealed),
        &status => {
            let errors = parsed.as_ref().and_then(|value| value.get("errors")).and_then(Value::as_array);
            let words: Vec<&str> = errors.into_iter().flatten().filter_map(Value::as_str).collect();
            let plain = |c: char| if c.is_control() { ' ' } else { c };
            let said = words.join("; ").chars().map(plain).take(SAID_CHARS_MAX).collect();
            Err(VaultTrouble::Refused { attempt, status, said })
        }
    }
}

/// Where a vault listens, by an address that its own command would use: the port, and whether with TLS.
fn listener(address: &str) -> (u16, bool) {
    let (tls, rest) = match address.split_once("://") {
        Some((scheme, rest)) => (scheme.eq_ignore_ascii_case("https"), rest),
        None => (false, address),
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let port = authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    (port.unwrap_or(PORT), tls)
}

/// Whether a text is a mount, and nothing that leads elsewhere.
fn is_mount(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'/');
    text.bytes().all(plain) && !text.starts_with('/') && !text.contains("//")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_vault_listens_is_in_its_address() {
        for (address, port, tls) in [
            ("", PORT, false),
            ("http://127.0.0.1:8200", 8200, false),
            ("https://vault.test:9200/", 9200, true),
            ("https://vault.test", PORT, true),
            ("http://[::1]:8201", 8201, false),
            ("nonsense", PORT, false),
        ] {
            assert_eq!(listener(address), (port, tls), "{address}");
        }
    }

    #[test]
    fn answers_are_told_by_their_status() {
        let understood = |status, body: &str| {
            let reply = Reply { status, body: Secret::new(body.as_bytes().to_vec()) };
            understood("x", &reply).map_err(|error| error.to_string())
        };
        assert_eq!(understood(200, "{\"a\":1}"), Ok(json!({"a": 1})));
        assert_eq!(understood(204, ""), Ok(Value::Null));
        for (status, body, want) in [
            (503, "{\"errors\":[\"Vault is sealed\"]}", "the stack's vault is sealed"),
            (403, "{\"errors\":[\"permission\\ndenied\"]}", "refused x (403): permission denied"),
            (500, "<html>", "refused x (500): "),
            (200, "<html>", "something else"),
        ] {
            assert!(understood(status, body).unwrap_err().contains(want), "{status} {body}");
        }
    }

    #[test]
    fn a_mount_leads_nowhere_else() {
        for (text, want) in [
            ("pki_int", true),
            ("team/pki-1", true),
            ("/x", false),
            ("a//b", false),
            ("../sys", false),
            ("a?b", false),
            ("a b", false),
        ] {
            assert_eq!(is_mount(text), want, "{text}");
        }
    }
}
