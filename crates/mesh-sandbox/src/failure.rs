//! Why a sandbox could not be made, or a program not executed.

use crate::specification::Report;
use std::io;

/// A failure, in the words of the caller: what was attempted on what, and the cause.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The system refused.
    #[error("{step}")]
    System {
        /// What was attempted on what.
        step: String,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The specification asks for something that cannot be.
    #[error("{step}: {reason}")]
    Refused {
        /// What was attempted on what.
        step: String,
        /// Why not.
        reason: &'static str,
    },
    /// The program could not be executed.
    #[error("could not execute {program}: {reason}")]
    Execute {
        /// First argument.
        program: String,
        /// Cause.
        reason: String,
        /// 126 or 127.
        code: i32,
    },
}

impl Failure {
    pub(crate) fn refused(step: impl Into<String>, reason: &'static str) -> Self {
        Self::Refused { step: step.into(), reason }
    }

    /// What descriptor 4 hears of it.
    pub(crate) fn report(&self) -> Report {
        match self {
            Self::System { step, source } => {
                Report::SetupFailed { step: step.clone(), reason: source.to_string() }
            }
            Self::Refused { step, reason } => {
                Report::SetupFailed { step: step.clone(), reason: (*reason).to_owned() }
            }
            Self::Execute { program, reason, code } => {
                Report::ExecuteFailed { program: program.clone(), reason: reason.clone(), code: *code }
            }
        }
    }
}

/// Naming what was attempted when it failed.
pub(crate) trait Attempt<T> {
    /// `step` says what was attempted on what; it is asked only on failure.
    fn attempt<S: Into<String>>(self, step: impl FnOnce() -> S) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> Attempt<T> for Result<T, E> {
    fn attempt<S: Into<String>>(self, step: impl FnOnce() -> S) -> Result<T, Failure> {
        self.map_err(|error| Failure::System { step: step().into(), source: error.into() })
    }
}
