//! Arguments and environment resolved into what every verb works from.

use crate::{
    arguments::{Ansi, Global, ProgressWay},
    environment::Environment,
    failure::CliError,
};
use clap::ValueEnum;
use mesh_model::project::{Ports, Substitute};
use std::path::PathBuf;

/// What the terminal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terminals {
    /// Standard output is one.
    pub(crate) stdout: bool,
    /// Standard error is one.
    pub(crate) stderr: bool,
}

/// How progress is shown, decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProgressMode {
    /// Live.
    Live,
    /// Plain lines.
    Plain,
    /// A JSON document a line.
    Json,
    /// Nothing.
    Quiet,
}

/// Everything a verb may want to know that is not its own.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Compose files as given; empty: the loader finds them.
    pub(crate) files: Vec<PathBuf>,
    /// Name of the project, if one was given.
    pub(crate) project_name: Option<String>,
    /// Files with variables.
    pub(crate) env_files: Vec<PathBuf>,
    /// Active profiles.
    pub(crate) profiles: Vec<String>,
    /// Directory that relative paths start from, if one was given.
    pub(crate) project_directory: Option<PathBuf>,
    /// Directory the command was called in.
    pub(crate) working_directory: PathBuf,
    /// Progress.
    pub(crate) progress: ProgressMode,
    /// Colours on standard output.
    pub(crate) colour: bool,
    /// Colours on standard error.
    pub(crate) error_colour: bool,
    /// `--substitute`.
    pub(crate) substitute: Option<Substitute>,
    /// `--ports`.
    pub(crate) ports: Option<Ports>,
    /// `--take-over`.
    pub(crate) take_over: bool,
    /// `COMPOSE_STATUS_STDOUT`: progress goes to standard output.
    pub(crate) status_stdout: bool,
    /// `--dry-run`.
    pub(crate) dry_run: bool,
    /// `--verbose`.
    pub(crate) verbose: bool,
    /// `--all-resources`: what no service uses is part of the project too.
    pub(crate) all_resources: bool,
}

impl Settings {
    /// Flags over the environment over defaults.
    pub(crate) fn resolve(
        global: Global,
        environment: &Environment,
        terminals: Terminals,
        working_directory: PathBuf,
    ) -> Result<Self, CliError> {
        check_parallel(environment)?;
        let ansi = match global.ansi {
            Some(ansi) => ansi,
            None => chosen(environment, "COMPOSE_ANSI")?.unwrap_or(Ansi::Auto),
        };
        let colour = |terminal: bool| match ansi {
            Ansi::Always => true,
            Ansi::Never => false,
            Ansi::Auto => terminal && environment.get("NO_COLOR").is_none(),
        };
        let way = match global.progress {
            Some(way) => way,
            None => chosen(environment, "COMPOSE_PROGRESS")?.unwrap_or(ProgressWay::Auto),
        };
        let live = terminals.stderr && ansi != Ansi::Never && environment.get("TERM") != Some("dumb");
        let substitute = match global.substitute {
            Some(when) => Some(when),
            None => chosen::<crate::arguments::SubstituteWhen>(environment, "MESH_SUBSTITUTE")?,
        };
        let ports = match global.ports {
            Some(ports) => Some(ports),
            None => chosen::<crate::arguments::PortsWhere>(environment, "MESH_PORTS")?,
        };
        Ok(Self {
            files: global.files,
            project_name: global
                .project_name
                .filter(|name| !name.is_empty())
                .or_else(|| environment.get("COMPOSE_PROJECT_NAME").map(str::to_owned)),
            env_files: global.env_files,
            profiles: global.profiles,
            all_resources: global.all_resources,
            project_directory: global.project_directory,
            working_directory,
            progress: match way {
                ProgressWay::Auto if live => ProgressMode::Live,
                ProgressWay::Auto | ProgressWay::Plain => ProgressMode::Plain,
                ProgressWay::Tty => ProgressMode::Live,
                ProgressWay::Json => ProgressMode::Json,
                ProgressWay::Quiet => ProgressMode::Quiet,
            },
            colour: colour(terminals.stdout),
            error_colour: colour(terminals.stderr),
            substitute: substitute.map(Substitute::from),
            ports: ports.map(Ports::from),
            take_over: global.take_over || environment.is_true("MESH_TAKE_OVER"),
            status_stdout: environment.is_true("COMPOSE_STATUS_STDOUT"),
            dry_run: global.dry_run,
            verbose: global.verbose,
        })
    }
}

/// How much is done side by side is not limited by it; what is no number is told all the same.
fn check_parallel(environment: &Environment) -> Result<(), CliError> {
    const NAME: &str = "COMPOSE_PARALLEL_LIMIT";
    match environment.get(NAME) {
        Some(text) if text.parse::<i32>().is_err() => {
            Err(CliError::said(format!("{NAME} must be an integer (found: {text:?})")))
        }
        _ => Ok(()),
    }
}

/// The value of a variable that takes one of a flag's values.
fn chosen<T: ValueEnum>(environment: &Environment, name: &'static str) -> Result<Option<T>, CliError> {
    let Some(text) = environment.get(name) else { return Ok(None) };
    T::from_str(text, true).map(Some).map_err(|_| {
        let values = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        let names: Vec<String> = values.map(|value| value.get_name().to_owned()).collect();
        CliError::said(format!("{name} is `{text}`")).with_hint(format!("it is one of {}", names.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::CommandLine;
    use clap::Parser;

    fn resolve(line: &str, variables: &[(&str, &str)], terminal: bool) -> Result<Settings, CliError> {
        let line = CommandLine::try_parse_from(line.split_whitespace()).unwrap();
        let terminals = Terminals { stdout: terminal, stderr: terminal };
        Settings::resolve(line.global, &Environment::of(variables), terminals, PathBuf::from("/work"))
    }

    #[test]
    fn flags_win_over_variables() {
        let variables = [("COMPOSE_PROJECT_NAME", "x"), ("MESH_SUBSTITUTE", "always")];
        let from_variables = resolve("mesh ps", &variables, false).unwrap();
        assert_eq!(from_variables.project_name.as_deref(), Some("x"));
        assert_eq!(from_variables.substitute, Some(Substitute::Always));
        let from_flags = resolve("mesh -p y --substitute never --profile r ps", &variables, false).unwrap();
        assert_eq!(from_flags.project_name.as_deref(), Some("y"));
        assert_eq!(
            (from_flags.profiles, from_flags.substitute),
            (vec!["r".to_owned()], Some(Substitute::Never))
        );
    }

    #[test]
    fn progress_and_colour_follow_the_terminal() {
        for (line, variables, terminal, progress, colour) in [
            ("mesh ps", &[][..], true, ProgressMode::Live, true),
            ("mesh ps", &[][..], false, ProgressMode::Plain, false),
            ("mesh ps", &[("NO_COLOR", "1")][..], true, ProgressMode::Live, false),
            ("mesh ps", &[("TERM", "dumb")][..], true, ProgressMode::Plain, true),
            ("mesh --ansi always ps", &[("NO_COLOR", "1")][..], false, ProgressMode::Plain, true),
            ("mesh --ansi never ps", &[][..], true, ProgressMode::Plain, false),
            ("mesh ps", &[("COMPOSE_PROGRESS", "json")][..], true, ProgressMode::Json, true),
            (
                "mesh --progress quiet ps",
                &[("COMPOSE_PROGRESS", "json")][..],
                true,
                ProgressMode::Quiet,
                true,
            ),
        ] {
            let settings = resolve(line, variables, terminal).unwrap();
            assert_eq!((settings.progress, settings.colour), (progress, colour), "{line} {variables:?}");
        }
    }

    #[test]
    fn a_wrong_variable_is_told_with_its_values() {
        let error = resolve("mesh ps", &[("MESH_SUBSTITUTE", "sometimes")], false).unwrap_err();
        assert_eq!(error.to_string(), "MESH_SUBSTITUTE is `sometimes`");
        assert_eq!(error.hint().as_deref(), Some("it is one of never, missing, always"));
    }
}
