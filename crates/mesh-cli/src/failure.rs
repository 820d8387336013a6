//! Everything that ends a command, and how it is told.

use crate::console::{Style, inert, styled};
use mesh_api::{
    client::CallError,
    message::{ApiError, Failure},
};
use mesh_bootstrap::{BootstrapError, VaultError, generated::GeneratedError};
use mesh_store::aside::AsideError;
use std::{io, path::PathBuf};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The text is the whole story.
    #[error("{message}")]
    Said {
        /// What happened.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The Compose file could not be loaded; the text is the report of its findings.
    #[error("{report}")]
    Load {
        /// The report, rendered.
        report: String,
    },
    /// The supervisor did not do it.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The supervisor did not start.
    #[error("the supervisor of project `{project}` did not start: {reason}")]
    NoSupervisor {
        /// The project.
        project: String,
        /// What it said.
        reason: String,
        /// Where it says more.
        log: PathBuf,
    },
    /// A project's state has no place.
    #[error("could not keep the project's state in {}", directory.display())]
    NoPlace {
        /// Where it was to be.
        directory: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A journal could not be read.
    #[error(transparent)]
    Journal(#[from] mesh_journal::JournalError),
    /// There is nowhere to keep state.
    #[error(transparent)]
    Home(#[from] mesh_store::home::HomeError),
    /// State could not be read.
    #[error(transparent)]
    Store(#[from] mesh_store::home::StoreError),
    /// The record of a project could not be read.
    #[error(transparent)]
    Record(#[from] mesh_store::record::RecordError),
    /// The vault could not be opened, or what it shall hold not made.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// The vault did not answer, or said no.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// Generated secrets could not be had from the vault, or not be kept there.
    #[error(transparent)]
    Generated(#[from] GeneratedError),
    /// Files of the vault could not be read, written or locked.
    #[error(transparent)]
    File(#[from] mesh_bootstrap::FileError),
    /// Secrets could not be read or kept.
    #[error(transparent)]
    Secrets(#[from] mesh_store::secrets::SecretsError),
    /// Volumes could not be put aside or back.
    #[error(transparent)]
    Aside(#[from] AsideError),
    /// The local authority.
    #[error(transparent)]
    Authority(#[from] mesh_authority::AuthorityError),
    /// A store of authorities.
    #[error(transparent)]
    Trust(#[from] crate::verbs::trust::TrustError),
    /// The machine's hosts file.
    #[error(transparent)]
    Hosts(#[from] crate::verbs::hosts::HostsError),
    /// Something of this machine failed.
    #[error("could not {attempt}")]
    Io {
        /// What was attempted on what.
        attempt: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A signal ended it.
    #[error("interrupted")]
    Interrupted,
    /// The code is the whole story.
    #[error("exit code {0}")]
    Exit(u8),
}

impl CliError {
    /// An error that is told by its text alone.
    pub(crate) fn said(message: impl Into<String>) -> Self {
        Self::Said { message: message.into(), hint: None }
    }

    /// The same with a hint.
    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        match self {
            Self::Said { message, .. } => Self::Said { message, hint: Some(hint.into()) },
            other => other,
        }
    }

    /// What is known but does nothing yet.
    pub(crate) fn unavailable(what: &str) -> Self {
        Self::said(format!("{what} is not available yet"))
    }

    /// For `map_err`: something of this machine failed.
    pub(crate) fn io(attempt: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let attempt = attempt.into();
        move |source| Self::Io { attempt, source }
    }

    /// The process's exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Exit(code) => *code,
            Self::Interrupted => 130,
            _ => 1,
        }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Said { hint, .. } => hint.clone(),
            Self::Call(CallError::Refused(ApiError { hint, .. })) => hint.clone(),
            Self::Call(CallError::Ended) => {
                Some("what runs goes on; the next command starts a new supervisor".to_owned())
            }
            Self::Call(CallError::Connect { source, .. })
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                Some(
                    "the project belongs to another user; MESH_HOME chooses a directory of your own"
                        .to_owned(),
                )
            }
            Self::NoPlace { .. } => {
                Some("MESH_HOME chooses another directory; `mesh --help` lists the variables".to_owned())
            }
            Self::Bootstrap(error) => bootstrap_hint(error),
            Self::Vault(error) | Self::Generated(GeneratedError::Vault(error)) => vault_hint(error),
            Self::Generated(GeneratedError::Lost { name, .. }) => Some(format!(
                "`vault kv undelete` brings back what was deleted there, `mesh secrets rm {name}` forgets it for good"
            )),
            Self::Aside(error) => aside_hint(error),
            Self::NoSupervisor { log, .. } => Some(format!("its log is {}", log.display())),
            _ => None,
        }
    }

    /// The text for standard error; empty where everything was said.
    pub(crate) fn render(&self, colour: bool) -> String {
        match self {
            Self::Exit(_) | Self::Interrupted => return String::new(),
            Self::Load { report } => return report.trim_end().to_owned(),
            _ => {}
        }
        // Of several errors that came together each has a line.
        let error = styled("error:", Style::Error, colour);
        let said = inert(&self.to_string());
        let mut text = match self {
            Self::Call(CallError::Refused(_)) => {
                said.lines().map(|line| format!("{error} {line}")).collect::<Vec<_>>().join("\n")
            }
            _ => format!("{error} {said}"),
        };
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text.push_str(&inert(&format!(": {cause}")));
            source = cause.source();
        }
        if let Self::Call(CallError::Refused(ApiError { failures, message, .. })) = self {
            for failure in failures.iter().filter(|failure| !is_told_by(failure, message)) {
                text.push_str(&inert(&render_failure(failure)));
            }
        }
        if let Some(hint) = self.hint() {
            text.push_str(&format!("\n{} {hint}", styled("hint:", Style::Hint, colour)));
        }
        text
    }
}

/// What to do about volumes that were not put aside or back.
fn aside_hint(error: &AsideError) -> Option<String> {
    let text = match error {
        AsideError::Busy => "wait until that `mesh restore` has ended; nothing was changed".to_owned(),
        AsideError::Unfinished => "`mesh ps` puts the data of before back; nothing was changed".to_owned(),
        AsideError::Corrupt { .. } => {
            "where a volume has a `_data.old` beside its `_data`, that is its data of before; \
                                       once those are in their places, remove the journal"
                .to_owned()
        }
        AsideError::Disk { .. } => return None,
    };
    Some(text)
}

/// What to do about a vault that was not opened.
fn bootstrap_hint(error: &BootstrapError) -> Option<String> {
    let text = match error {
        BootstrapError::Vault(error) => return vault_hint(error),
        BootstrapError::NotInitialised => "`mesh vault init` initialises it, and keeps its keys".to_owned(),
        BootstrapError::NoKeys { .. } => {
            "`--keys DIRECTORY` says where they are; without them nobody can open it".to_owned()
        }
        BootstrapError::NoAnswer { path, .. } => format!(
            "whoever initialised or opened it has its keys: `--keys DIRECTORY` says where they are; {} is what was \
             begun here",
            path.display()
        ),
        BootstrapError::OtherShares { begun: (shares, threshold), .. } => {
            format!("`--shares {shares} --threshold {threshold}` goes on with it")
        }
        BootstrapError::KeysOfAnother { .. } => {
            "is its storage elsewhere now? If nothing needs these keys, move them away".to_owned()
        }
        BootstrapError::WrongKeys { .. } | BootstrapError::FewKeys { .. } => {
            "`--keys DIRECTORY` says where others are".to_owned()
        }
        _ => return None,
    };
    Some(text)
}

/// What to do about a vault that refused or is silent.
fn vault_hint(error: &VaultError) -> Option<String> {
    let text = match error {
        VaultError::Refused { status: 503, reason, .. } if reason.contains("sealed") => {
            "`mesh vault unseal` opens it with the keys that are kept"
        }
        VaultError::Refused { status: 403, .. } => {
            "is it the vault that these keys are of? `mesh vault status` says which one is asked"
        }
        VaultError::Unreachable { reason, .. } if reason.contains("HTTP response to HTTPS client") => {
            "it speaks plain HTTP: write its address with http://"
        }
        VaultError::Unreachable { reason, .. } if reason.contains("HTTP request to an HTTPS server") => {
            "it speaks TLS: write its address with https://"
        }
        VaultError::Unreachable { .. } => {
            "does it run? `mesh ps` says so, `--wait SECONDS` waits for it, `--address URL` says where it is"
        }
        _ => return None,
    };
    Some(text.to_owned())
}

/// Whether the error's own sentence says all that is known of a failure.
fn is_told_by(failure: &Failure, message: &str) -> bool {
    let probe = failure.probe_output.as_deref().map(str::trim).unwrap_or_default();
    let nothing_more = probe.is_empty() && failure.log_tail.is_empty() && failure.blocks.is_empty();
    nothing_more && message.contains(&failure.reason) && message.contains(&failure.service)
}

/// What is known of one service that failed, indented below the error.
fn render_failure(failure: &Failure) -> String {
    let mut text = format!("\n  {} ({}): {}", failure.service, failure.container, failure.reason);
    let probe = failure.probe_output.as_deref().map(str::trim).unwrap_or_default();
    if !probe.is_empty() {
        text.push_str("\n    last health test said:");
        for line in probe.lines() {
            text.push_str(&format!("\n      | {line}"));
        }
    }
    if !failure.log_tail.is_empty() {
        text.push_str("\n    last log lines:");
        for line in &failure.log_tail {
            text.push_str(&format!("\n      | {line}"));
        }
    }
    if !failure.blocks.is_empty() {
        text.push_str(&format!("\n    holds up: {}", failure.blocks.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_api::message::ErrorKind;

    #[test]
    fn a_failure_says_everything_once() {
        let error = CliError::Call(CallError::Refused(ApiError {
            kind: ErrorKind::Service,
            message: "service db did not become healthy".to_owned(),
            hint: Some("see `mesh logs db`".to_owned()),
            failures: vec![Failure {
                service: "db".to_owned(),
                container: "hub-db-1".to_owned(),
                reason: "unhealthy after 3 probes".to_owned(),
                probe_output: Some("no response\n".to_owned()),
                log_tail: vec!["FATAL:\tno".to_owned(), "\u{1b}]0;bye\u{7}\u{9b}2J".to_owned()],
                blocks: vec!["app".to_owned(), "web".to_owned()],
            }],
        }));
        let want = "error: service db did not become healthy\n  \
                    db (hub-db-1): unhealthy after 3 probes\n    \
                    last health test said:\n      | no response\n    \
                    last log lines:\n      | FATAL:\tno\n      | \\u{1b}]0;bye\\u{7}\\u{9b}2J\n    \
                    holds up: app, web\n\
                    hint: see `mesh logs db`";
        assert_eq!(error.render(false), want);
        assert_eq!(error.exit_code(), 1);
    }

    #[test]
    fn what_the_sentence_says_is_not_said_again() {
        let failure = Failure {
            service: "db".to_owned(),
            container: "hub-db-1".to_owned(),
            reason: "could not execute x".to_owned(),
            ..Failure::default()
        };
        assert!(is_told_by(&failure, "service db: could not execute x"));
        assert!(!is_told_by(&failure, "service db failed"));
        let more = Failure { log_tail: vec!["bye".to_owned()], ..failure };
        assert!(!is_told_by(&more, "service db: could not execute x"));
    }

    #[test]
    fn whoever_is_too_early_is_told_to_wait() {
        let text = CliError::from(AsideError::Busy).render(false);
        assert!(text.contains("hint: wait until"), "{text}");
        assert!(CliError::from(AsideError::Unfinished).hint().is_some());
    }

    #[test]
    fn causes_follow_and_codes_differ() {
        let error = CliError::io("read /x")(io::Error::from(io::ErrorKind::NotFound));
        assert_eq!(error.render(false), "error: could not read /x: entity not found");
        assert_eq!(error.render(true), "\u{1b}[1;31merror:\u{1b}[0m could not read /x: entity not found");
        assert_eq!((CliError::Exit(127).exit_code(), CliError::Interrupted.exit_code()), (127, 130));
        assert_eq!(CliError::Exit(3).render(true), "");
    }
}
