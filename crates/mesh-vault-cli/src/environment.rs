//! What the environment says: `VAULT_ADDR` and its like, and the file that keeps the token.

use mesh_redact::Secret;
use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
};

/// Where the token is kept, in the home directory.
const TOKEN_FILE: &str = ".vault-token";
/// Longest token that is read, in bytes.
const TOKEN_BYTES_MAX: u64 = 64 << 10;

/// Variables that are asked for.
const VARIABLES: [&str; 16] = [
    "HOME",
    "VAULT_ADDR",
    "VAULT_AGENT_ADDR",
    "VAULT_CACERT",
    "VAULT_CAPATH",
    "VAULT_CLIENT_CERT",
    "VAULT_CLIENT_KEY",
    "VAULT_CLIENT_TIMEOUT",
    "VAULT_DETAILED",
    "VAULT_DISABLE_REDIRECTS",
    "VAULT_FORMAT",
    "VAULT_NAMESPACE",
    "VAULT_SKIP_VERIFY",
    "VAULT_TLS_SERVER_NAME",
    "VAULT_TOKEN",
    "VAULT_WRAP_TTL",
];

/// The environment, as far as it is asked for.
pub(crate) struct Environment {
    values: BTreeMap<&'static str, String>,
}

impl Environment {
    pub(crate) fn new(get: &dyn Fn(&str) -> Option<String>) -> Self {
        let set = |name: &'static str| Some((name, get(name).filter(|value| !value.is_empty())?));
        Self { values: VARIABLES.into_iter().filter_map(set).collect() }
    }

    /// A variable that is set to something.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.values.get(name).cloned()
    }

    fn token_file(&self) -> Result<PathBuf, String> {
        let home = self.text("HOME").ok_or("$HOME is not defined")?;
        Ok(PathBuf::from(home).join(TOKEN_FILE))
    }

    /// The token: of the environment, else the one that is kept.
    pub(crate) fn token(&self) -> Result<Option<Secret<String>>, String> {
        if let Some(token) = self.text("VAULT_TOKEN") {
            return Ok(Some(Secret::new(token)));
        }
        let Ok(path) = self.token_file() else { return Ok(None) };
        let failed =
            |error: io::Error| format!("failed to get token from token helper: {}: {error}", path.display());
        let file = match fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut text = String::new();
        file.take(TOKEN_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
        let token = text.trim().to_owned();
        Ok((!token.is_empty()).then(|| Secret::new(token)))
    }

    /// Keeps a token, readable by this user alone. It is written beside and renamed.
    pub(crate) fn keep_token(&self, token: &Secret<String>) -> Result<(), String> {
        let path = self.token_file()?;
        let write = || -> io::Result<()> {
            let folder = path.parent().unwrap_or(&path);
            let mut file = tempfile::NamedTempFile::with_prefix_in(".vault-token-", folder)?;
            file.as_file().set_permissions(fs::Permissions::from_mode(0o600))?;
            file.write_all(token.expose().as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(|error| format!("could not write {}: {error}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_kept_for_its_owner_alone() {
        let home = tempfile::tempdir().unwrap();
        let get = |name: &str| (name == "HOME").then(|| home.path().display().to_string());
        let environment = Environment::new(&get);
        assert_eq!(environment.token().unwrap(), None);
        environment.keep_token(&Secret::new("s.abc".to_owned())).unwrap();
        assert_eq!(environment.token().unwrap().unwrap().expose(), "s.abc");
        let mode = fs::metadata(home.path().join(TOKEN_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let get = |name: &str| match name {
            "VAULT_TOKEN" => Some("other".to_owned()),
            name => get(name),
        };
        assert_eq!(Environment::new(&get).token().unwrap().unwrap().expose(), "other");
    }
}
