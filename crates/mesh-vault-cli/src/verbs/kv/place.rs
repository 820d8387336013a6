//! Where a secret is: which mount, which version of the engine, which path of the API.

use crate::{
    client::{ApiError, Ask, Client},
    command::{Call, Fault, failed},
    secret::Secret,
};
use serde_json::Value;

/// Where a secret is.
#[derive(Debug)]
pub(super) struct Place {
    /// The mount, with a slash at its end.
    mount: String,
    /// The path as the user gave it, mount included.
    path: String,
    /// Whether the engine keeps versions.
    pub(super) versioned: bool,
}

impl Place {
    /// Asks the server what is mounted where the argument, or `-mount`, leads.
    pub(super) fn find(call: &Call<'_>, client: &mut Client, argument: &str) -> Result<Self, Fault> {
        let told = call.flags.text("mount").map(|mount| mount.trim().trim_matches('/').to_owned());
        let asked = told.as_deref().unwrap_or(argument);
        let (wrap, as_curl) = (client.unwrapped(), client.really(false));
        let answer = client.ask(&Ask::get(&format!("sys/internal/ui/mounts/{asked}")));
        client.wrap_again(wrap);
        client.really(as_curl);
        let (mount, versioned) = match answer {
            Ok(answered) => read(&answered.body).map_err(failed)?,
            // A server that cannot be asked this has version 1 alone.
            Err(ApiError::Answered { status: 404, .. }) => (String::new(), false),
            Err(error) => return Err(failed(error.to_string())),
        };
        let path = match &told {
            None => argument.to_owned(),
            Some(told) if mount.is_empty() => joined(&[told, argument]),
            Some(_) => joined(&[&mount, argument]),
        };
        Ok(Self { mount, path, versioned })
    }

    /// The path of the API; of an engine with versions it has a word behind the mount.
    pub(super) fn path(&self, word: &str) -> String {
        if !self.versioned {
            return self.path.clone();
        }
        let mut mount = self.mount.as_str();
        if self.path == mount || self.path == mount.trim_end_matches('/') {
            return joined(&[mount, word]);
        }
        // What the server calls the mount may begin with a namespace that the path does not have.
        loop {
            if let Some(rest) = self.path.strip_prefix(mount) {
                return joined(&[mount, word, rest]);
            }
            match mount.split_once('/') {
                Some((_, rest)) if !rest.is_empty() => mount = rest,
                _ => return joined(&[mount, word, &self.path]),
            }
        }
    }
}

fn read(body: &[u8]) -> Result<(String, bool), String> {
    let secret = Secret::read(body)?.ok_or("nil response from pre-flight request")?;
    let mount = secret.get("path").and_then(Value::as_str).unwrap_or_default().to_owned();
    let version = secret.part("options").and_then(|options| options.get("version"));
    Ok((mount, version.and_then(Value::as_str) == Some("2")))
}

fn joined(parts: &[&str]) -> String {
    let parts: Vec<&str> =
        parts.iter().map(|part| part.trim_matches('/')).filter(|part| !part.is_empty()).collect();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_a_word_behind_the_mount() {
        let path = |mount: &str, path: &str, versioned| {
            Place { mount: mount.to_owned(), path: path.to_owned(), versioned }.path("data")
        };
        assert_eq!(path("secret/", "secret/foo", false), "secret/foo");
        assert_eq!(path("secret/", "secret/foo", true), "secret/data/foo");
        assert_eq!(path("secret/", "secret/a/b/", true), "secret/data/a/b");
        assert_eq!(path("secret/", "secret", true), "secret/data");
        assert_eq!(path("ns1/secret/", "secret/foo", true), "secret/data/foo");
    }

    #[test]
    fn the_server_says_which_version_it_is() {
        let of = |text: &str| read(text.as_bytes()).unwrap();
        assert_eq!(of(r#"{"data":{"path":"s/","options":{"version":"2"}}}"#), ("s/".to_owned(), true));
        assert_eq!(of(r#"{"data":{"path":"s/","options":null}}"#), ("s/".to_owned(), false));
        assert!(read(b"").is_err());
    }
}
