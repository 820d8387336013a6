//! How the data of a service is put into a backup, and taken out of one again (`x-mesh.backup`).

use serde::{Deserialize, Serialize};

/// How the data of one service is put into a backup: by programs that run in its container while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dump {
    /// Name of the file in the backup: one part of a path.
    pub file: String,
    /// The program whose standard output becomes the file, with its arguments.
    pub command: Vec<String>,
    /// The program that reads the file on its standard input.
    pub restore: Vec<String>,
    /// Who runs both; `None`: the user of the service.
    pub user: Option<String>,
}
