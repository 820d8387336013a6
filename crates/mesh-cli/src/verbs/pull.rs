//! `pull`.

use super::creation::Pull;
use crate::{console, context::Context, failure::CliError, supervisor::Client};
use clap::Args;
use mesh_api::request::Request;
use mesh_model::project::Project;
use std::collections::BTreeSet;

/// Arguments of `pull`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Services; none: all active ones
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Which images are fetched: those that are missing, or all again
    #[arg(long, value_enum, value_name = "WHEN")]
    policy: Option<Pull>,
    /// Also images of the services that these depend on
    #[arg(long)]
    include_deps: bool,
    /// Leave out services that have a build section
    #[arg(long)]
    ignore_buildable: bool,
    /// Go on where an image cannot be had
    #[arg(long)]
    ignore_pull_failures: bool,
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let target = context.load(&arguments.services)?;
    let project = target.required_project()?;
    let services = chosen(&project, &arguments);
    let client = target.supervise().await?;
    let refresh = !matches!(arguments.policy, Some(Pull::Missing | Pull::Never));
    let substitute = context.settings.substitute;
    if !arguments.ignore_pull_failures {
        let request = Request::Pull { project, services, refresh, substitute };
        perform(context, &client, request, arguments.quiet).await?;
        return Ok(0);
    }
    for service in services {
        let (project, services) = (project.clone(), vec![service]);
        let request = Request::Pull { project, services, refresh, substitute };
        if let Err(error) = perform(context, &client, request, arguments.quiet).await {
            console::err_line(&error.render(context.settings.error_colour));
        }
    }
    Ok(0)
}

async fn perform(context: &Context, client: &Client, request: Request, quiet: bool) -> Result<(), CliError> {
    if quiet {
        client.call(request, &mut |_| {}, None).await?;
    } else {
        context.ask(client, request).await?;
    }
    Ok(())
}

/// The services whose images are meant, by name: never an empty list unless there are none.
fn chosen(project: &Project, arguments: &Arguments) -> Vec<String> {
    let mut chosen: BTreeSet<String> = match arguments.services.as_slice() {
        [] => project.services.keys().cloned().collect(),
        named => named.iter().cloned().collect(),
    };
    if arguments.include_deps {
        let mut open: Vec<String> = chosen.iter().cloned().collect();
        while let Some(service) = open.pop().and_then(|name| project.services.get(&name)) {
            open.extend(service.depends_on.keys().filter(|name| chosen.insert((*name).clone())).cloned());
        }
    }
    chosen
        .into_iter()
        .filter(|name| !(arguments.ignore_buildable && project.services.get(name).is_some_and(|s| s.build)))
        .collect()
}
