//! `version`.

use crate::{Hooks, console, failure::CliError};
use clap::{Args, ValueEnum};
use serde_json::json;

/// Arguments of `version`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only the number
    #[arg(long)]
    short: bool,
    /// Format
    #[arg(short, long, value_enum, default_value = "pretty")]
    format: VersionFormat,
}

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "clap shows each as it is")]
enum VersionFormat {
    Pretty,
    Json,
}

/// Does it.
pub(crate) fn run(arguments: &Arguments, hooks: Hooks) -> Result<u8, CliError> {
    console::out_line(&match (arguments.short, arguments.format) {
        (true, _) => hooks.version.to_owned(),
        (false, VersionFormat::Pretty) => format!("Mesh version {}", hooks.version),
        (false, VersionFormat::Json) => json!({ "version": hooks.version }).to_string(),
    });
    Ok(0)
}
