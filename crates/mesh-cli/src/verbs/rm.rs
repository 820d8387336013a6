//! `rm`.

use crate::{console, context::Context, failure::CliError, supervisor, terminal};
use clap::Args;
use mesh_api::request::Request;
use std::io::{self, BufRead, Read};

/// Longest answer read from the terminal in bytes.
const ANSWER_BYTES_MAX: u64 = 1024;

/// Arguments of `rm`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Services; none: all
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Stop them first
    #[arg(short, long)]
    stop: bool,
    /// Remove their anonymous volumes too
    #[arg(short, long)]
    volumes: bool,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let target = context.target()?;
    target.check_services(&arguments.services)?;
    if !arguments.force && !confirmed(&target.name)? {
        return Ok(1);
    }
    let Some(client) = target.attend().await? else {
        supervisor::say_nothing_there(&target.name);
        return Ok(0);
    };
    let request =
        Request::Remove { services: arguments.services, stop: arguments.stop, volumes: arguments.volumes };
    context.ask(&client, request).await?;
    Ok(0)
}

/// Asks on a terminal; without one, `--force` must be given.
fn confirmed(project: &str) -> Result<bool, CliError> {
    if !terminal::is_interactive() {
        return Err(
            CliError::said("there is no terminal to ask on").with_hint("`--force` removes without asking")
        );
    }
    console::out(&format!("Remove the stopped containers of `{project}`? [y/N] "));
    let mut answer = String::new();
    io::stdin()
        .lock()
        .take(ANSWER_BYTES_MAX)
        .read_line(&mut answer)
        .map_err(CliError::io("read the answer"))?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
