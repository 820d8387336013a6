//! The Compose file of a command: found, loaded, and its findings told.

use crate::{arguments::Global, console, environment::Environment, failure::CliError, settings::Settings};
use mesh_compose::{InputFile, LoadError, LoadOptions, Loaded, Skip, generate::Keeper};
use std::{
    collections::BTreeMap,
    io::Read,
    path::Path,
    sync::{Arc, OnceLock},
};

/// Largest Compose file on standard input in bytes.
const STDIN_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How a file is loaded, beyond the settings.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// Services named on the command line: active whatever their profiles are.
    pub(crate) services: Vec<String>,
    /// Leave variables as they are written.
    pub(crate) no_interpolate: bool,
    /// Say nothing of warnings.
    pub(crate) quiet: bool,
    /// Passes to leave out.
    pub(crate) skip: Skip,
    /// A variable whose origin is asked for.
    pub(crate) explain: Option<String>,
    /// Who has the project's generated secrets; nobody: they are not shown.
    pub(crate) keeper: Option<Arc<dyn Keeper>>,
}

/// What came of loading.
pub(crate) enum Outcome {
    /// A project.
    Loaded(Box<Loaded>),
    /// There is no file, and none was asked for by name.
    NoFile(CliError),
}

/// Loads the project; an absent file is told apart for verbs that can do without.
pub(crate) fn try_load(
    settings: &Settings,
    environment: &Environment,
    wanted: &Wanted,
) -> Result<Outcome, CliError> {
    let options = LoadOptions {
        files: settings.files.iter().map(|path| input(path)).collect::<Result<_, _>>()?,
        working_directory: settings.working_directory.clone(),
        project_directory: settings.project_directory.clone(),
        project_name: settings.project_name.clone(),
        env_files: settings.env_files.clone(),
        profiles: settings.profiles.clone(),
        services: wanted.services.clone(),
        environment: variables(settings, environment),
        interpolate: !wanted.no_interpolate,
        all_resources: settings.all_resources,
        skip: wanted.skip,
        explain: wanted.explain.clone(),
        keeper: wanted.keeper.clone(),
    };
    match mesh_compose::load(&options) {
        Ok(loaded) => {
            if !wanted.quiet && !loaded.findings.is_empty() {
                console::err_line(&render(&loaded.findings, settings));
            }
            Ok(Outcome::Loaded(Box::new(loaded)))
        }
        Err(error @ LoadError::NoFile { .. }) => Ok(Outcome::NoFile(
            CliError::said(error.to_string())
                .with_hint("name one with `-f`, or a project that is up with `-p`"),
        )),
        Err(LoadError::Findings(findings)) => Err(CliError::Load { report: render(&findings, settings) }),
        Err(LoadError::Io { path, source }) => Err(CliError::io(format!("read {}", path.display()))(source)),
    }
}

/// Loads the project.
pub(crate) fn load(
    settings: &Settings,
    environment: &Environment,
    wanted: &Wanted,
) -> Result<Box<Loaded>, CliError> {
    match try_load(settings, environment, wanted)? {
        Outcome::Loaded(loaded) => Ok(loaded),
        Outcome::NoFile(error) => Err(error),
    }
}

/// What files may use: the environment, in which the working directory has its name even where no shell gave it.
fn variables(settings: &Settings, environment: &Environment) -> BTreeMap<String, String> {
    let mut variables = environment.all().clone();
    let directory = || settings.working_directory.display().to_string();
    variables.entry("PWD".to_owned()).or_insert_with(directory);
    variables
}

/// `environment` over the settings that the project's `.env` has: `COMPOSE_REMOVE_ORPHANS` and the like.
pub(crate) fn with_settings_of_files(
    global: &Global,
    environment: Environment,
    directory: &Path,
) -> Environment {
    let named = global.files.iter().filter(|path| path.as_path() != Path::new("-"));
    let options = LoadOptions {
        files: named.cloned().map(InputFile::Path).collect(),
        working_directory: directory.to_owned(),
        project_directory: global.project_directory.clone(),
        env_files: global.env_files.clone(),
        environment: environment.all().clone(),
        ..LoadOptions::default()
    };
    environment.over(mesh_compose::settings_of_files(&options))
}

/// What standard input had: it can be read once, and files may be loaded twice.
static STDIN: OnceLock<String> = OnceLock::new();

fn input(path: &Path) -> Result<InputFile, CliError> {
    if path != Path::new("-") {
        return Ok(InputFile::Path(path.to_owned()));
    }
    if let Some(text) = STDIN.get() {
        return Ok(InputFile::Text { name: "<stdin>".to_owned(), text: text.clone() });
    }
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .take(STDIN_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(CliError::io("read the Compose file from standard input"))?;
    let text = STDIN.get_or_init(|| text).clone();
    Ok(InputFile::Text { name: "<stdin>".to_owned(), text })
}

/// Findings as they are shown.
pub(crate) fn render(findings: &mesh_diag::Findings, settings: &Settings) -> String {
    let text = mesh_diag::render(findings, mesh_diag::Style { colour: settings.error_colour });
    text.trim_end().to_owned()
}
