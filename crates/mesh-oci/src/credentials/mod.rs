//! Who we are to a registry: `config.json` of Docker, `auth.json` of podman and its like, and the helper programs
//! they name.
//!
//! A file is read anew at each look-up, so that a login counts at once. What is found is a secret from
//! here on; errors say where it was looked for and never what was there.

mod file;
mod helper;

use mesh_redact::Secret;
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

/// What a registry, or its token server, is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// Name and password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: Secret<String>,
    },
    /// A token that the token server gives access tokens for.
    Identity {
        /// The token.
        token: Secret<String>,
    },
    /// An access token as it is.
    Access {
        /// The token.
        token: Secret<String>,
    },
}

/// Why credentials could not be looked up.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The file could not be read.
    #[error("could not read credentials from {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file is not what it should be. Its text is not repeated: it may hold passwords.
    #[error("{} cannot be read as a file of credentials: line {line}, column {column}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault.
        column: usize,
    },
    /// The file is larger than any such file.
    #[error("{} has more than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is read.
        limit: u64,
    },
    /// An entry whose `auth` is not `user:password` in base64.
    #[error("the entry of {registry} in {} has an `auth` that is not user:password in base64", path.display())]
    Auth {
        /// The file.
        path: PathBuf,
        /// The entry's name.
        registry: String,
    },
    /// A helper with a name that no program of the kind has.
    #[error("{} names a credential helper {name:?}; letters, digits, dots and dashes are allowed", path.display())]
    HelperName {
        /// The file.
        path: PathBuf,
        /// The name, shortened.
        name: String,
    },
    /// A helper could not be run.
    #[error("could not run {program}, the credential helper of {registry}")]
    HelperStart {
        /// The program.
        program: String,
        /// For whom.
        registry: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A helper did not come to an end.
    #[error("{program}, the credential helper of {registry}, did not answer within {seconds} s")]
    HelperTime {
        /// The program.
        program: String,
        /// For whom.
        registry: String,
        /// How long was waited.
        seconds: u64,
    },
    /// A helper failed. What it wrote is not repeated.
    #[error("{program}, the credential helper of {registry}, failed ({status})")]
    HelperFailed {
        /// The program.
        program: String,
        /// For whom.
        registry: String,
        /// Its exit status.
        status: String,
    },
    /// A helper's answer is not what the protocol says. What it wrote is not repeated.
    #[error("{program}, the credential helper of {registry}, gave an answer that is no JSON of credentials")]
    HelperAnswer {
        /// The program.
        program: String,
        /// For whom.
        registry: String,
    },
}

/// How long a helper may take.
const HELPER_TIME_MAX: Duration = Duration::from_secs(30);

/// What a registry goes by in configuration files: Docker's own has an odd name there.
fn key_of(registry: &str) -> &str {
    match registry {
        "docker.io" | "registry-1.docker.io" | "index.docker.io" => DOCKER_KEY,
        other => other,
    }
}

const DOCKER_KEY: &str = "https://index.docker.io/v1/";

/// Looks up who we are to a registry (`docker.io`, `localhost:5000`), for a repository there: in files, of which
/// the first that has something serves.
///
/// # Errors
/// When a file is there and cannot be used, or the helper it names fails.
pub async fn look_up(
    files: &[PathBuf],
    helpers: Option<&BTreeMap<String, String>>,
    registry: &str,
    repository: &str,
) -> Result<Option<Credential>, CredentialError> {
    for path in files {
        if let Some(found) = look_into(path, helpers, registry, repository).await? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

async fn look_into(
    path: &Path,
    helpers: Option<&BTreeMap<String, String>>,
    registry: &str,
    repository: &str,
) -> Result<Option<Credential>, CredentialError> {
    let Some(file) = file::read(path)? else { return Ok(None) };
    let key = key_of(registry);
    if let Some(name) = file.helper(registry, key) {
        let helper = helper::Helper::new(path, name)?.with(helpers);
        return helper.get(key, HELPER_TIME_MAX).await;
    }
    file.credential(path, registry, repository)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt as _};

    async fn check(json: &str, registry: &str, expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        fs::write(&path, json).unwrap();
        let told = match look_up(&[path], None, registry, "team/app").await {
            Ok(None) => "none".to_owned(),
            Ok(Some(Credential::Password { user, password })) => format!("{user}:{}", password.expose()),
            Ok(Some(Credential::Identity { token })) => format!("identity {}", token.expose()),
            Ok(Some(Credential::Access { token })) => format!("access {}", token.expose()),
            Err(error) => {
                let text = format!("{error} {error:?}");
                assert!(!text.contains("hunter2") && !text.contains("aHVudGVyMg"), "{text}");
                error.to_string()
            }
        };
        assert!(told.contains(expected), "{json} {registry}: {told}");
    }

    #[tokio::test]
    async fn entries_of_the_file_are_found() {
        // me:hunter2
        let json = r#"{"auths":{
            "https://index.docker.io/v1/":{"auth":"bWU6aHVudGVyMg=="},
            "https://r.example/v2/":{"username":"u","password":"p:w"},
            "quay.io":{"auth":"bWU6aHVudGVyMg==","identitytoken":"idt"},
            "quay.io/team":{"auth":"dGVhbTp4"},
            "t.example":{"registrytoken":"rt"},
            "empty.example":{},
            "bad.example":{"auth":"hunter2!"}},
            "credsStore":null,"HttpHeaders":{"X":"y"}}"#;
        check(json, "docker.io", "me:hunter2").await;
        check(json, "r.example", "u:p:w").await;
        check(json, "quay.io", "team:x").await;
        check(json, "t.example", "access rt").await;
        check(json, "empty.example", "none").await;
        check(json, "other.example", "none").await;
        check(json, "bad.example", "`auth` that is not").await;
        check(r#"{"auths":{"q":{"identitytoken":"idt"}}}"#, "q", "identity idt").await;
        check(r#"{"auths":{"q":{"auth":"hunter2"#, "q", "line 1").await;
        check("{}", "q", "none").await;
        check("", "q", "none").await;
        assert_eq!(look_up(&[], None, "q", "x").await.unwrap(), None);
        assert_eq!(look_up(&["/nowhere/config.json".into()], None, "q", "x").await.unwrap(), None);
    }

    #[tokio::test]
    async fn names_of_containers_tools_are_understood() {
        // `podman login` writes names without a scheme, and Docker's registry by its short name.
        let json = r#"{"auths":{"docker.io":{"auth":"bWU6aHVudGVyMg=="},
            "docker.io/team":{"auth":"dGVhbTp4"},
            "localhost:5000":{"auth":"dGVhbTp4"}}}"#;
        check(json, "localhost:5000", "team:x").await;
        check(json, "docker.io", "team:x").await;
        check(&json.replace("docker.io/team", "docker.io/other"), "docker.io", "me:hunter2").await;
        check(r#"{"credHelpers":{"docker.io":"mesh-none-such"}}"#, "docker.io", "could not run").await;
    }

    #[tokio::test]
    async fn the_first_file_that_has_a_registry_serves() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, json: &str| {
            let path = folder.path().join(name);
            fs::write(&path, json).unwrap();
            path
        };
        let files = [
            folder.path().join("none.json"),
            file("a.json", r#"{"auths":{"a":{"username":"a","password":"1"}}}"#),
            file(
                "b.json",
                r#"{"auths":{"a":{"username":"x","password":"2"},"b":{"username":"b","password":"3"}}}"#,
            ),
        ];
        for (registry, expected) in [("a", Some("a")), ("b", Some("b")), ("c", None)] {
            let user = match look_up(&files, None, registry, "x").await.unwrap() {
                Some(Credential::Password { user, .. }) => Some(user),
                _ => None,
            };
            assert_eq!(user.as_deref(), expected);
        }
    }

    /// A helper in a folder of its own, called by its path through the private constructor.
    async fn ask_helper(script: &str, time: Duration) -> Result<Option<Credential>, CredentialError> {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("docker-credential-test");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
        helper::Helper::at(program.display().to_string()).get("r.example", time).await
    }

    #[tokio::test]
    async fn helpers_are_asked_and_bounded() {
        let long = Duration::from_secs(20);
        let answer = r#"read server; echo "{\"ServerURL\":\"$server\",\"Username\":\"u-$server-$1\",\"Secret\":\"hunter2\"}""#;
        let expected =
            Credential::Password { user: "u-r.example-get".into(), password: Secret::new("hunter2".into()) };
        assert_eq!(ask_helper(answer, long).await.unwrap(), Some(expected));
        let identity = r#"echo '{"Username":"<token>","Secret":"t"}'"#;
        let expected = Credential::Identity { token: Secret::new("t".into()) };
        assert_eq!(ask_helper(identity, long).await.unwrap(), Some(expected));
        let none = "echo 'credentials not found in native keychain'; exit 1";
        assert_eq!(ask_helper(none, long).await.unwrap(), None);
        for (script, time, told) in [
            ("echo hunter2; echo hunter2 >&2; exit 3", long, "failed (exit status: 3)"),
            ("echo hunter2", long, "no JSON of credentials"),
            ("yes hunter2", long, "no JSON of credentials"),
            ("sleep 100", Duration::from_millis(200), "did not answer within"),
        ] {
            let error = ask_helper(script, time).await.unwrap_err();
            assert!(error.to_string().contains(told), "{script}: {error}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[tokio::test]
    async fn a_helper_has_the_environment_of_whoever_asks() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("docker-credential-mesh-own");
        let script =
            "#!/bin/sh\necho \"{\\\"Username\\\":\\\"$OWN-$CARGO_PKG_NAME\\\",\\\"Secret\\\":\\\"x\\\"}\"\n";
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
        let file = folder.path().join("config.json");
        fs::write(&file, r#"{"credsStore":"mesh-own"}"#).unwrap();
        let own = [("PATH", folder.path().to_str().unwrap()), ("OWN", "mine")];
        let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let own = BTreeMap::from(own);
        // Found in the PATH that was given, and with nothing of this process.
        match look_up(std::slice::from_ref(&file), Some(&own), "q", "x").await.unwrap() {
            Some(Credential::Password { user, .. }) => assert_eq!(user, "mine-"),
            other => panic!("{other:?}"),
        }
        assert!(look_up(&[file], None, "q", "x").await.is_err());
    }

    #[tokio::test]
    async fn a_helper_is_a_name_and_no_path() {
        check(r#"{"credsStore":"../../bin/sh"}"#, "q", "names a credential helper").await;
        check(r#"{"credHelpers":{"q":"mesh-none-such"}}"#, "q", "could not run").await;
        check(r#"{"credHelpers":{"other":"mesh-none-such"}}"#, "q", "none").await;
    }
}
