//! Health tests that are made from outside of a container, over its network (`x-mesh.probe`).

use crate::project::FileSource;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is asked of a container, and at which port of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutsideTest {
    /// Port in the container.
    pub port: u16,
    /// What has to be answered there.
    pub question: Question,
}

/// What has to be answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// A connection is accepted.
    Tcp,
    /// A request is answered.
    Http(HttpQuestion),
    /// `grpc.health.v1.Health/Check` says `SERVING`.
    Grpc {
        /// Name of the service that is asked after; empty: the server as a whole.
        service: String,
    },
    /// PostgreSQL, or a pooler before it, takes sessions.
    Postgres {
        /// User of the session.
        user: String,
        /// Database of the session.
        database: String,
        /// Where the password is; `None`: a server that asks for one passes.
        #[serde(default)]
        password: Option<FileSource>,
    },
    /// `PING` is answered.
    Redis {
        /// User; `None`: the default one.
        user: Option<String>,
        /// Where the password is.
        password: Option<FileSource>,
    },
}

/// An HTTP request, and what its answer has to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpQuestion {
    /// Over TLS; whose certificate it is, is not looked at.
    pub tls: bool,
    /// Method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Further headers.
    pub headers: BTreeMap<String, String>,
    /// Least status that passes.
    pub status_min: u16,
    /// Greatest status that passes.
    pub status_max: u16,
    /// What the body has to contain.
    pub contains: Option<String>,
}
