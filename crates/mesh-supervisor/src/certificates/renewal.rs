//! One renewal: the command that writes a new certificate, a look whether it did, and telling the service.

use crate::{hooks::last_lines, words};
use mesh_model::{
    certificate::{Certificate, Reload},
    container::ContainerId,
    signal,
};
use mesh_runtime::{
    SharedRuntime,
    error::RuntimeError,
    exec::{ExecRequest, Executed},
};
use mesh_tls::{Facts, FactsError};
use std::{collections::BTreeMap, time::Duration};
use tokio::{sync::mpsc, time::timeout};

/// Longest time of the command that writes a certificate.
const RENEW_MAX: Duration = Duration::from_secs(120);
/// Longest time of telling the service.
const RELOAD_MAX: Duration = Duration::from_secs(60);
/// Largest file of a certificate, in bytes.
const FILE_BYTES_MAX: usize = 256 << 10;
/// Lines of a command's output that nobody took.
const LINES_MAX: usize = 16;

/// Why a certificate was not renewed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RenewalError {
    /// Its file.
    #[error("{file} cannot be read")]
    Read {
        file: String,
        #[source]
        source: RuntimeError,
    },
    /// What is in its file.
    #[error("{file} cannot be used")]
    Facts {
        file: String,
        #[source]
        source: FactsError,
    },
    /// A command could not be run.
    #[error("{what} of {file} could not be run")]
    Run {
        what: &'static str,
        file: String,
        #[source]
        source: RuntimeError,
    },
    /// A command ended badly.
    #[error("{what} of {file} {how}")]
    Ended { what: &'static str, file: String, how: String },
    /// There is none, and nothing says how it is made.
    #[error("nothing says how {file} is made: its `x-mesh.certificate` has no `renew`")]
    NoWay { file: String },
    /// Nothing new was written.
    #[error("renew of {file} ended well, and the certificate is the one from before")]
    Same { file: String },
}

impl RenewalError {
    /// Whether the container is gone, so that there is nothing to tell.
    pub(crate) fn is_over(&self) -> bool {
        let (Self::Read { source, .. } | Self::Run { source, .. }) = self else { return false };
        matches!(source, RuntimeError::NotRunning | RuntimeError::Missing { .. })
    }
}

/// What the file of a certificate says now.
pub(crate) async fn read(
    runtime: &SharedRuntime,
    id: &ContainerId,
    file: &str,
) -> Result<Facts, RenewalError> {
    let named = || file.to_owned();
    let content = runtime.read_file(id, file, FILE_BYTES_MAX).await;
    let content = content.map_err(|source| RenewalError::Read { file: named(), source })?;
    Facts::of_pem(&content).map_err(|source| RenewalError::Facts { file: named(), source })
}

/// Has a new certificate written in place of `before`; what it says. A command that wrote one and failed after that has
/// made one all the same.
pub(crate) async fn write(
    runtime: &SharedRuntime,
    id: &ContainerId,
    certificate: &Certificate,
    command: &[String],
    before: Option<&Facts>,
) -> Result<Facts, RenewalError> {
    let ran = run(runtime, id, certificate, ("renew", command), RENEW_MAX).await;
    let after = read(runtime, id, &certificate.file).await;
    let is_another = |after: &Facts| {
        before.is_none_or(|before| (&before.serial, &before.issuer) != (&after.serial, &after.issuer))
    };
    match (ran, after) {
        (Ok(()), Ok(after)) if is_another(&after) => Ok(after),
        (Ok(()), Ok(_)) => Err(RenewalError::Same { file: certificate.file.clone() }),
        (Err(error), Ok(after)) if is_another(&after) => {
            let trouble = words::chain(&error);
            tracing::warn!(
                file = certificate.file,
                trouble,
                "a certificate was written, and its command failed"
            );
            Ok(after)
        }
        (Err(error), _) | (Ok(()), Err(error)) => Err(error),
    }
}

/// Tells the service that its certificate is another one.
pub(crate) async fn reload(
    runtime: &SharedRuntime,
    id: &ContainerId,
    certificate: &Certificate,
) -> Result<(), RenewalError> {
    match &certificate.reload {
        None => Ok(()),
        Some(Reload::Command(words)) => run(runtime, id, certificate, ("reload", words), RELOAD_MAX).await,
        Some(Reload::Signal(number)) => {
            let sent = timeout(RELOAD_MAX, runtime.signal(id, *number)).await;
            let what = if signal::name(*number).is_some() { "the signal to reload" } else { "reload" };
            let failed = |source| RenewalError::Run { what, file: certificate.file.clone(), source };
            sent.unwrap_or_else(|_| Err(late())).map_err(failed)
        }
    }
}

async fn run(
    runtime: &SharedRuntime,
    id: &ContainerId,
    certificate: &Certificate,
    (what, words): (&'static str, &[String]),
    longest: Duration,
) -> Result<(), RenewalError> {
    let request = ExecRequest {
        command: words.to_vec(),
        environment: BTreeMap::new(),
        user: certificate.user.clone(),
        working_dir: None,
        tty: false,
        privileged: false,
        detach: false,
    };
    // What it says of a failure is told with that alone; lines for which there is no room are dropped.
    let (lines, _unread) = mpsc::channel(LINES_MAX);
    let file = || certificate.file.clone();
    let ended = runtime.execute(id, &request, longest, lines).await;
    match ended.map_err(|source| RenewalError::Run { what, file: file(), source })? {
        Executed { code: Some(0), .. } => Ok(()),
        ended => Err(RenewalError::Ended { what, file: file(), how: how(&ended, longest) }),
    }
}

/// What it wrote on standard error alone: the answer of an issuer, with the key, is on the other.
fn how(ended: &Executed, longest: Duration) -> String {
    let how = match ended.code {
        Some(code) => format!("exited with status {code}"),
        None => format!("did not end within {} s", longest.as_secs()),
    };
    let lines: Vec<&str> = last_lines(&ended.stderr).collect();
    if lines.is_empty() { how } else { format!("{how}: {}", lines.join(" | ")) }
}

fn late() -> RuntimeError {
    RuntimeError::System {
        attempted: "the container took no signal".to_owned(),
        source: std::io::ErrorKind::TimedOut.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_a_failure_holds_nothing_of_standard_output() {
        let told = |code, stderr: &str| {
            let ended = Executed { code, stdout: "PRIVATE KEY".into(), stderr: stderr.into() };
            how(&ended, Duration::from_secs(5))
        };
        assert_eq!(told(Some(3), "no\nlogin\n"), "exited with status 3: no | login");
        assert_eq!(told(Some(3), ""), "exited with status 3");
        assert_eq!(told(None, ""), "did not end within 5 s");
    }
}
