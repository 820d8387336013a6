//! Credential helpers: `docker-credential-NAME get`, the server on its standard input, JSON on its output.

use super::{Credential, CredentialError};
use crate::manifest::shortened;
use mesh_redact::Secret;
use serde::Deserialize;
use std::{collections::BTreeMap, path::Path, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::Command,
    time::timeout,
};

/// Most that is read of a helper's answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 10;
/// What helpers write when they have nothing for a server; they exit with 1 then.
const NOT_FOUND: &str = "credentials not found";
/// The name with which a helper hands out an identity token.
const TOKEN_USER: &str = "<token>";

/// A helper.
pub(super) struct Helper<'a> {
    program: String,
    /// What it is run with; `None`: what this process has.
    environment: Option<&'a BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Given {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

impl<'a> Helper<'a> {
    /// The helper that a file names.
    pub(super) fn new(path: &Path, name: &str) -> Result<Self, CredentialError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty() || !name.chars().all(plain) {
            return Err(CredentialError::HelperName { path: path.to_owned(), name: shortened(name) });
        }
        Ok(Self::at(format!("docker-credential-{name}")))
    }

    /// The helper with this program.
    pub(super) fn at(program: String) -> Self {
        Self { program, environment: None }
    }

    /// The same, run with this environment and nothing else; it is looked for in its PATH.
    pub(super) fn with(self, environment: Option<&'a BTreeMap<String, String>>) -> Self {
        Self { environment, ..self }
    }

    /// What it has for a server; `None` where it has nothing.
    pub(super) async fn get(
        &self,
        server: &str,
        within: Duration,
    ) -> Result<Option<Credential>, CredentialError> {
        let (program, registry) = (self.program.clone(), server.to_owned());
        match timeout(within, self.ask(server)).await {
            Ok(answer) => answer,
            // Dropping the future killed it, and what it had started.
            Err(_) => Err(CredentialError::HelperTime { program, registry, seconds: within.as_secs() }),
        }
    }

    async fn ask(&self, server: &str) -> Result<Option<Credential>, CredentialError> {
        let (program, registry) = (self.program.clone(), server.to_owned());
        let failed = |source| CredentialError::HelperStart {
            program: program.clone(),
            registry: registry.clone(),
            source,
        };
        let mut command = Command::new(&self.program);
        if let Some(environment) = self.environment {
            command.env_clear().envs(environment);
        }
        let mut child = command
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let mut group = Group(child.id());
        if let Some(mut input) = child.stdin.take() {
            // A helper that does not read what it is asked says so by its answer.
            let _ = input.write_all(format!("{server}\n").as_bytes()).await;
        }
        let mut answer = Vec::new();
        if let Some(output) = child.stdout.take() {
            output.take(ANSWER_BYTES_MAX + 1).read_to_end(&mut answer).await.map_err(failed)?;
        }
        if answer.len() as u64 > ANSWER_BYTES_MAX {
            return Err(CredentialError::HelperAnswer { program, registry });
        }
        let status = child.wait().await.map_err(failed)?;
        group.0 = None;
        if !status.success() {
            if String::from_utf8_lossy(&answer).to_ascii_lowercase().contains(NOT_FOUND) {
                return Ok(None);
            }
            return Err(CredentialError::HelperFailed { program, registry, status: status.to_string() });
        }
        let given: Given = serde_json::from_slice(&answer).map_err(|_| CredentialError::HelperAnswer {
            program: program.clone(),
            registry: registry.clone(),
        })?;
        let secret = Secret::new(given.secret);
        Ok(match given.username.as_str() {
            "" => None,
            TOKEN_USER => Some(Credential::Identity { token: secret }),
            user => Some(Credential::Password { user: user.to_owned(), password: secret }),
        })
    }
}

/// The processes of a helper that was not waited for; they end with this value.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        let id = self.0.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(id) = id {
            // It may be gone already.
            let _ = rustix::process::kill_process_group(id, rustix::process::Signal::KILL);
        }
    }
}
