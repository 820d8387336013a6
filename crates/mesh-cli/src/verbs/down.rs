//! `down`.

use crate::{console, context::Context, failure::CliError};
use clap::Args;
use mesh_api::{options::DownOptions, request::Request};

/// Arguments of `down`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Services; none: the whole project with its networks
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Remove named and anonymous volumes, and what is in them
    #[arg(short, long)]
    volumes: bool,
    /// Ignored: images are shared by all projects and stay
    #[arg(long, value_name = "WHICH")]
    rmi: Option<String>,
    /// Remove containers of services that the file no longer has
    #[arg(long)]
    remove_orphans: bool,
    /// Grace period in seconds, over the services' own
    #[arg(short, long, value_name = "SECONDS")]
    timeout: Option<u32>,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let target = context.target()?;
    target.check_services(&arguments.services)?;
    if arguments.rmi.is_some() {
        console::err_line("note: images are shared by all projects and stay");
    }
    // Volumes outlive containers: they may be there although nothing is up.
    let leftovers = arguments.volumes && target.paths.directory.exists();
    let client = match target.attend().await? {
        Some(client) => client,
        None if leftovers => target.supervise().await?,
        None => {
            console::err_line(&format!("warning: no resource found to remove for project `{}`", target.name));
            return Ok(0);
        }
    };
    let request = Request::Down(DownOptions {
        services: arguments.services,
        volumes: arguments.volumes,
        remove_orphans: arguments.remove_orphans || context.settings.remove_orphans,
        timeout_seconds: arguments.timeout,
    });
    context.ask(&client, request).await?;
    Ok(0)
}
