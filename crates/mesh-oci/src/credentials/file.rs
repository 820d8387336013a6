//! Docker's `config.json` and containers' `auth.json`, as far as they are about credentials.

use super::{Credential, CredentialError, key_of};
use base64::{Engine as _, engine::general_purpose::STANDARD, engine::general_purpose::STANDARD_NO_PAD};
use mesh_redact::Secret;
use serde::Deserialize;
use std::{collections::BTreeMap, fs, io, io::Read as _, path::Path};

/// Largest file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The file.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct File {
    #[serde(default)]
    auths: Option<BTreeMap<String, Entry>>,
    #[serde(default)]
    creds_store: Option<String>,
    #[serde(default)]
    cred_helpers: Option<BTreeMap<String, String>>,
}

/// What it has for one registry.
#[derive(Deserialize, Default)]
struct Entry {
    #[serde(default)]
    auth: Option<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    identitytoken: Option<String>,
    #[serde(default)]
    registrytoken: Option<String>,
}

/// Reads the file; `None` where there is none.
pub(super) fn read(path: &Path) -> Result<Option<File>, CredentialError> {
    let failed = |source| CredentialError::Read { path: path.to_owned(), source };
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(CredentialError::TooLarge { path: path.to_owned(), limit: FILE_BYTES_MAX });
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    match serde_json::from_slice(&bytes) {
        Ok(file) => Ok(Some(file)),
        Err(error) => {
            Err(CredentialError::Form { path: path.to_owned(), line: error.line(), column: error.column() })
        }
    }
}

impl File {
    /// The helper for a registry, where one is named for it or for all.
    pub(super) fn helper(&self, registry: &str, key: &str) -> Option<&str> {
        let own = self.cred_helpers.as_ref().and_then(|helpers| {
            helpers.get(registry).or_else(|| helpers.get(key)).or_else(|| {
                helpers.iter().find(|(name, _)| bare(name) == bare(key)).map(|(_, helper)| helper)
            })
        });
        own.or(self.creds_store.as_ref()).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// The entry that names most of `registry/repository`.
    pub(super) fn credential(
        &self,
        path: &Path,
        registry: &str,
        repository: &str,
    ) -> Result<Option<Credential>, CredentialError> {
        let Some(auths) = &self.auths else { return Ok(None) };
        let key = bare(key_of(registry));
        // `quay.io/team` is more than `quay.io`; addresses with a scheme are Docker's old form of a host. Docker's
        // own registry goes by its short name too.
        let of_host = |name: &str, host: &str| match name {
            name if name.contains("://") => (bare(name) == host).then_some(1),
            name if name == host => Some(2),
            name => {
                let rest = name.strip_prefix(host)?.strip_prefix('/')?;
                let below = repository.strip_prefix(rest)?;
                (below.is_empty() || below.starts_with('/')).then_some(2 + rest.len())
            }
        };
        let rank = |name: &str| of_host(name, key).max(of_host(name, registry));
        let best = auths.iter().filter_map(|(name, entry)| Some((rank(name)?, name, entry)));
        let Some((_, name, entry)) = best.max_by_key(|(rank, ..)| *rank) else { return Ok(None) };
        entry
            .credential()
            .map_err(|()| CredentialError::Auth { path: path.to_owned(), registry: name.clone() })
    }
}

impl Entry {
    fn credential(&self) -> Result<Option<Credential>, ()> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(token) = given(&self.identitytoken) {
            return Ok(Some(Credential::Identity { token: Secret::new(token) }));
        }
        if let Some(token) = given(&self.registrytoken) {
            return Ok(Some(Credential::Access { token: Secret::new(token) }));
        }
        let (user, password) = match given(&self.auth) {
            Some(auth) => {
                let auth = auth.trim();
                let bytes = STANDARD.decode(auth).or_else(|_| STANDARD_NO_PAD.decode(auth)).map_err(drop)?;
                let text = String::from_utf8(bytes).map_err(drop)?;
                let (user, password) = text.split_once(':').ok_or(())?;
                (user.to_owned(), password.trim_matches('\0').to_owned())
            }
            None => match (given(&self.username), given(&self.password)) {
                (Some(user), Some(password)) => (user, password),
                _ => return Ok(None),
            },
        };
        Ok(Some(Credential::Password { user, password: Secret::new(password) }))
    }
}

/// An entry's host: without scheme and path.
fn bare(name: &str) -> &str {
    let rest = name.strip_prefix("https://").or_else(|| name.strip_prefix("http://"));
    match rest {
        Some(rest) => rest.split('/').next().unwrap_or(rest),
        None => name,
    }
}
