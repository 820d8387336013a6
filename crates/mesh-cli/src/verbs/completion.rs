//! `completion` and `man`: from the same definitions as the command line itself.

use crate::{arguments::CommandLine, console, failure::CliError};
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use std::path::PathBuf;

/// Arguments of `completion`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub(crate) struct ManArguments {
    /// Directory
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
}

/// Prints the script.
pub(crate) fn run(arguments: &Arguments) -> Result<u8, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut CommandLine::command(), "mesh", &mut script);
    console::out(&String::from_utf8_lossy(&script));
    Ok(0)
}

/// Writes the pages.
pub(crate) fn write_pages(arguments: &ManArguments) -> Result<u8, CliError> {
    let attempt = || format!("write man pages into {}", arguments.directory.display());
    std::fs::create_dir_all(&arguments.directory).map_err(CliError::io(attempt()))?;
    clap_mangen::generate_to(CommandLine::command(), &arguments.directory)
        .map_err(CliError::io(attempt()))?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_written_for_every_verb() {
        let directory = tempfile::tempdir().unwrap();
        let arguments = ManArguments { directory: directory.path().join("man1") };
        assert_eq!(write_pages(&arguments).map_err(|error| error.to_string()), Ok(0));
        assert!(directory.path().join("man1/mesh-up.1").exists());
    }
}
