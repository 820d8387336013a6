//! `kill`.

use crate::{context::Context, failure::CliError, supervisor};
use clap::Args;
use mesh_api::request::Request;

/// Arguments of `kill`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Services; none: all
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Signal, by name or number
    #[arg(short, long, value_name = "SIGNAL", default_value = "SIGKILL")]
    signal: String,
    /// Also containers of services that the file no longer has
    #[arg(long)]
    remove_orphans: bool,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let target = context.target()?;
    target.check_services(&arguments.services)?;
    let Some(client) = target.attend().await? else {
        supervisor::say_nothing_there(&target.name);
        return Ok(0);
    };
    let request = Request::Kill {
        services: arguments.services,
        signal: arguments.signal,
        remove_orphans: arguments.remove_orphans,
    };
    context.ask(&client, request).await?;
    Ok(0)
}
