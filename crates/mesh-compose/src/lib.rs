//! Compose files to the model, one module a pass.
//!
//! [`load`] finds the files, reads them into untyped trees that keep every place, replaces variables,
//! carries out `extends`, merging and `include`, holds the result against the schema, brings it into
//! long forms, checks what refers to what, and decodes it. Every finding of a pass is collected; a pass
//! that needs a sound tree does not run on a broken one.
//!
//! Invariants: input never panics; sizes, depths and expansions are bounded; nothing but the files named
//! by the project is read; values of variables and of `.env` files appear in no finding. Deliberately
//! absent: images, the network, and anything of a ground.

mod canonical;
mod check;
mod context;
mod decode;
mod document;
mod dotenv;
mod load;
mod locate;
mod node;
mod relations;
mod resolve;
mod schema;
mod suggest;
mod template;
mod value;
mod yaml;

pub use document::Document;
pub use load::load;

use mesh_diag::Findings;
use mesh_model::project::Project;
use mesh_redact::Secret;
use std::{collections::BTreeMap, io, path::PathBuf};

/// What is loaded, and under which circumstances.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Files in order (`-f`); none: `COMPOSE_FILE`, or the default names, searched upwards.
    pub files: Vec<InputFile>,
    /// Directory that relative paths of the command line start from; absolute.
    pub working_directory: PathBuf,
    /// Directory that relative paths of the files start from (`--project-directory`).
    pub project_directory: Option<PathBuf>,
    /// Name of the project (`--project-name`).
    pub project_name: Option<String>,
    /// Files with variables (`--env-file`); none: `COMPOSE_ENV_FILES`, or the directory's `.env`.
    pub env_files: Vec<PathBuf>,
    /// Profiles to activate (`--profile`), beside those of `COMPOSE_PROFILES`.
    pub profiles: Vec<String>,
    /// Services named on the command line; they activate their profiles.
    pub services: Vec<String>,
    /// Variables of the shell.
    pub environment: BTreeMap<String, String>,
    /// Replace variables. Without it, [`Loaded::project`] has no services and the document is the merged
    /// tree as written.
    pub interpolate: bool,
}

/// One file to load.
#[derive(Debug, Clone)]
pub enum InputFile {
    /// A path, relative to the working directory or absolute.
    Path(PathBuf),
    /// A text read elsewhere, such as standard input.
    Text {
        /// How it is called in findings.
        name: String,
        /// Its content.
        text: String,
    },
}

/// What loading gives.
#[derive(Debug)]
pub struct Loaded {
    /// The project.
    pub project: Project,
    /// The same as a document.
    pub document: Document,
    /// Warnings.
    pub findings: Findings,
    /// Every variable the files use, by name.
    pub variables: Vec<VariableUse>,
}

/// A variable that a file uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariableUse {
    /// Its name.
    pub name: String,
    /// Whether a use fails without it (`${A:?}`).
    pub required: bool,
    /// Its default (`${A:-b}`), as written.
    pub default: Option<String>,
    /// What stands for it where it is set (`${A:+b}`), as written.
    pub alternate: Option<String>,
    /// Whether it has a value.
    pub set: bool,
    /// The value, from the environment or a file with variables.
    pub value: Option<Secret<String>>,
}

/// Why nothing was loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No file was named and none is there.
    #[error("no Compose file in {} or in a directory above it", searched.display())]
    NoFile {
        /// Where the search began.
        searched: PathBuf,
    },
    /// The files are not right.
    #[error("the Compose files have {}", counted(.0))]
    Findings(
        /// Errors and warnings.
        Findings,
    ),
    /// A file that was named could not be read.
    #[error("could not read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl LoadError {
    /// What was found in the files; `None` where they could not be read at all.
    #[must_use]
    pub fn findings(&self) -> Option<&Findings> {
        match self {
            Self::Findings(findings) => Some(findings),
            Self::NoFile { .. } | Self::Io { .. } => None,
        }
    }
}

fn counted(findings: &Findings) -> String {
    match findings.errors().count() {
        1 => "an error".to_owned(),
        count => format!("{count} errors"),
    }
}
