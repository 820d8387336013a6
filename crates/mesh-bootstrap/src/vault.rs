//! Requests of Vault's HTTP API, as far as bootstrapping goes.

use mesh_redact::Secret;
use serde_json::Value;

/// What to do at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Read,
    /// PUT.
    Write,
    /// LIST.
    List,
    /// DELETE.
    Delete,
}

/// An answer that is no failure.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// There is nothing at the path: 404.
    Nothing,
    /// The body; `null` for 204.
    Body(Value),
}

impl Answer {
    /// The body's `data`, or the body where it has none.
    #[must_use]
    pub fn data(self) -> Option<Value> {
        match self {
            Self::Nothing => None,
            Self::Body(Value::Object(mut body)) => {
                let data = body.remove("data").filter(|data| !data.is_null());
                Some(data.unwrap_or(Value::Object(body)))
            }
            Self::Body(body) => Some(body),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// Nobody answers.
    #[error("the vault at {address} does not answer: {reason}")]
    Unreachable {
        /// Where it was asked.
        address: String,
        /// Why.
        reason: String,
    },
    /// It answered with an error.
    #[error("the vault refused {attempt} ({status}): {reason}")]
    Refused {
        /// `write sys/mounts/pki`; never a body.
        attempt: String,
        /// The HTTP status.
        status: u16,
        /// Its words.
        reason: String,
    },
    /// It answered with something else than was to be expected.
    #[error("the vault's answer to {attempt} has no {missing}")]
    Unexpected {
        /// What was asked.
        attempt: String,
        /// What it lacks.
        missing: &'static str,
    },
}

/// Whatever answers.
pub trait Vault {
    /// Asks with a token, or without one where the path needs none.
    ///
    /// # Errors
    /// See [`VaultError`].
    fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        token: Option<&Secret<String>>,
    ) -> Result<Answer, VaultError>;
}
