//! `shell`: a shell in a running container.

use crate::{context::Context, failure::CliError, verbs::exec};
use clap::Args;

/// The line by which a container's best shell is found: bash, or what every image with a shell has.
const ANY_SHELL: &str = "if command -v bash > /dev/null 2>&1; then exec bash; else exec sh; fi";

/// Arguments of `shell`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Service
    #[arg(value_name = "SERVICE")]
    service: String,
    /// The shell (default: bash, or sh where there is none)
    #[arg(short, long, value_name = "PROGRAM")]
    shell: Option<String>,
    /// User, as name or number
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    /// Number of the container of the service, from 1
    #[arg(long, value_name = "NUMBER")]
    index: Option<u32>,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let Arguments { service, shell, user, index } = arguments;
    exec::run(context, exec::Arguments::of_program(service, program(shell), user, index)).await
}

fn program(shell: Option<String>) -> Vec<String> {
    match shell {
        Some(shell) => vec![shell],
        None => ["sh", "-c", ANY_SHELL].map(str::to_owned).to_vec(),
    }
}
