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
mod explain;
pub mod generate;
pub mod line;
mod load;
mod locate;
mod node;
mod print;
mod refusals;
mod relations;
mod resolve;
mod schema;
mod stamp;
mod suggest;
mod template;
mod value;
mod yaml;

pub use document::{Document, Section};
pub use explain::{Explanation, Origin, ServiceVariable, Source, Usage};
pub use load::load;
pub use locate::{FILE_NAMES, settings_of_files};
pub use refusals::Refusals;
pub use stamp::Stamp;

use mesh_diag::Findings;
use mesh_model::project::Project;
use mesh_redact::Secret;
use std::{collections::BTreeMap, io, path::PathBuf, sync::Arc};

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
    /// Keep in the document what no service uses.
    pub all_resources: bool,
    /// Passes to leave out. With any of them [`Loaded::project`] has no services.
    pub skip: Skip,
    /// Who has the values that are generated; without one, [`generate::HIDDEN`] stands for each.
    pub keeper: Option<Arc<dyn generate::Keeper>>,
    /// A variable whose origin is asked for: [`Loaded::explanation`].
    pub explain: Option<String>,
}

/// Passes that are left out where only the document is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each pass is left out by itself")]
pub struct Skip {
    /// Relative paths stay as they are written.
    pub paths: bool,
    /// The contents of `env_file` stay in their files.
    pub env_files: bool,
    /// `label_file` stays beside the labels that came from it.
    pub label_files: bool,
    /// What follows from other keys is not filled in: the default network, names, implied dependencies.
    pub normalisation: bool,
    /// What services say of one another is not checked.
    pub consistency: bool,
}

impl Skip {
    /// Whether everything is done.
    #[must_use]
    pub fn nothing(&self) -> bool {
        *self == Self::default()
    }
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
    /// What keeps services from being started here; whoever starts one asks first.
    pub refusals: Refusals,
    /// Every variable the files use, by name.
    pub variables: Vec<VariableUse>,
    /// What the files want to be generated, by name.
    pub wishes: BTreeMap<String, generate::Wish>,
    /// What variables of the files are replaced from.
    pub environment: Secret<BTreeMap<String, String>>,
    /// Where the value of the variable comes from that was asked for.
    pub explanation: Option<Explanation>,
    /// Files that were read, and those of which it was asked whether they are there, each as it was just before. As
    /// long as these, the options and what the keeper has stay as they are, loading gives the same again.
    pub looked_at: BTreeMap<PathBuf, Stamp>,
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

/// Variables as the YAML of `docker compose config --variables`.
#[must_use]
pub fn variables_as_yaml(uses: &[VariableUse]) -> String {
    use print::{Format, View};
    fn text(text: Option<&String>) -> View<'_> {
        View::Text(text.map_or("", String::as_str).into())
    }
    let view = |variable| {
        let VariableUse { name, required, default, alternate, .. }: &VariableUse = variable;
        let parts = vec![
            ("name".into(), View::Text(name.as_str().into())),
            ("defaultvalue".into(), text(default.as_ref())),
            ("presencevalue".into(), text(alternate.as_ref())),
            ("required".into(), View::Bool(*required)),
        ];
        (name.as_str().into(), View::Map(parts))
    };
    print::to_yaml_indented(&View::sorted(uses.iter().map(view).collect(), Format::Yaml), 4)
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
