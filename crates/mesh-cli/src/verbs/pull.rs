//! `pull`.
//!
//! Fetches again what a registry may have newer, unless `--policy missing`. Services whose file says never
//! to pull, or to build, are left out and said so, as long as `--policy` does not overrule it.

use crate::{console, context::Context, failure::CliError, supervisor::Client};
use clap::{Args, ValueEnum};
use mesh_api::{
    message::{Level, Progress},
    request::Request,
};
use mesh_model::{
    project::Project,
    service::{PullPolicy, Service},
};
use std::collections::BTreeSet;
use tokio::signal::ctrl_c;

/// Arguments of `pull`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Services; none: all active ones
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Which images are fetched, whatever the file says
    #[arg(long, value_enum, value_name = "WHEN")]
    policy: Option<Policy>,
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

/// `--policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Policy {
    /// Those that are not stored
    Missing,
    /// All, again
    Always,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let target = context.load_as_it_is(&arguments.services)?;
    let project = target.required_project()?;
    let services = wanted(context, &project, &arguments);
    if services.is_empty() {
        return Ok(0);
    }
    let client = target.supervise().await?;
    tokio::select! {
        pulled = pull(context, &client, &arguments, project, services) => pulled.map(|()| 0),
        _ = ctrl_c() => {
            console::err_line("cancelled");
            Err(CliError::Interrupted)
        }
    }
}

/// Fetches the images of services.
async fn pull(
    context: &Context,
    client: &Client,
    arguments: &Arguments,
    project: Box<Project>,
    services: Vec<String>,
) -> Result<(), CliError> {
    let substitute = context.settings.substitute;
    // Of all services, those may be left out that nothing serves and whose file lets them.
    let named = Some(arguments.services.clone());
    let (again, missing): (Vec<String>, Vec<String>) = services.into_iter().partition(|name| {
        let policy = project.services.get(name).map(|service| service.pull_policy);
        arguments.policy.map_or(policy != Some(PullPolicy::Missing), |policy| policy == Policy::Always)
    });
    if !arguments.ignore_pull_failures {
        for (services, refresh) in [(again, true), (missing, false)] {
            if !services.is_empty() {
                let (project, named) = (project.clone(), named.clone());
                let request = Request::Pull { project, services, refresh, substitute, named };
                perform(context, client, request, arguments.quiet).await?;
            }
        }
        return Ok(());
    }
    let each =
        again.into_iter().map(|name| (name, true)).chain(missing.into_iter().map(|name| (name, false)));
    for (service, refresh) in each {
        let (project, services, named) = (project.clone(), vec![service], named.clone());
        let request = Request::Pull { project, services, refresh, substitute, named };
        if let Err(error) = perform(context, client, request, arguments.quiet).await {
            console::err_line(&error.render(context.settings.error_colour));
        }
    }
    Ok(())
}

async fn perform(context: &Context, client: &Client, request: Request, quiet: bool) -> Result<(), CliError> {
    if quiet {
        client.call(request, &mut |_| {}, None).await?;
    } else {
        context.ask(client, request).await?;
    }
    Ok(())
}

/// The services whose images are fetched, by name; of each that is left out it is said why.
fn wanted(context: &Context, project: &Project, arguments: &Arguments) -> Vec<String> {
    let mut reporter = context.reporter();
    let mut wanted = Vec::new();
    for name in chosen(project, arguments) {
        let reason = match project.services.get(&name) {
            Some(service) => left_out(service, arguments),
            None => None,
        };
        match reason {
            None => wanted.push(name),
            Some(_) if arguments.quiet => {}
            Some(reason) => {
                let text = format!("{name} is skipped: {reason}");
                reporter.tell(Progress::Note { level: Level::Info, text });
            }
        }
    }
    reporter.finish();
    wanted
}

/// Why a service's image is not fetched.
fn left_out(service: &Service, arguments: &Arguments) -> Option<&'static str> {
    if service.image.is_none() {
        return Some("no image to be pulled");
    }
    if service.build && arguments.ignore_buildable {
        return Some("its image can be built");
    }
    match service.pull_policy {
        _ if arguments.policy.is_some() => None,
        PullPolicy::Never => Some("its pull policy is never"),
        PullPolicy::Build => Some("its pull policy is build"),
        _ => None,
    }
}

/// The services that are meant, by name.
fn chosen(project: &Project, arguments: &Arguments) -> BTreeSet<String> {
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
}
