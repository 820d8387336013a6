//! Why not. Each has the status and the text that Vault answers with.

use super::{FieldError, Response};
use crate::storage::StorageError;

/// An engine's "no".
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// 400: the request makes no sense as it is. The text is shown.
    #[error("{0}")]
    Invalid(String),
    /// 403.
    #[error("permission denied")]
    Denied,
    /// 404 with an empty list of errors: there is nothing at the path.
    #[error("nothing at this path")]
    NotFound,
    /// 404 with a body, as KV v2 answers for a deleted version.
    #[error("nothing at this path")]
    NotFoundWith(Box<Response>),
    /// 404: the engine has no such path.
    #[error("unsupported path")]
    UnsupportedPath,
    /// 405: the path has no such operation.
    #[error("unsupported operation")]
    UnsupportedOperation,
    /// 412 and the like: another status with a text.
    #[error("{text}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// What is said.
        text: String,
    },
    /// 500; 503 when sealed; 507 when the disk is full.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// 500: what cannot happen with sound input: a key that cannot be generated.
    #[error("{attempted}")]
    Internal {
        /// What was attempted.
        attempted: String,
        /// Why it failed.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

impl Refusal {
    /// 400 with a text.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }

    /// 500 with a text, in the form that Vault gives an engine's failure.
    pub fn failed(text: impl std::fmt::Display) -> Self {
        Self::Status { status: 500, text: format!("1 error occurred:\n\t* {text}\n\n") }
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Invalid(_) => 400,
            Self::Denied => 403,
            Self::NotFound | Self::NotFoundWith(_) | Self::UnsupportedPath => 404,
            Self::UnsupportedOperation => 405,
            Self::Status { status, .. } => *status,
            Self::Storage(StorageError::Sealed) => 503,
            Self::Storage(StorageError::TooLarge { .. }) => 413,
            Self::Storage(_) | Self::Internal { .. } => 500,
        }
    }
}

impl From<FieldError> for Refusal {
    fn from(error: FieldError) -> Self {
        Self::Invalid(format!("Field validation failed: {error}"))
    }
}
