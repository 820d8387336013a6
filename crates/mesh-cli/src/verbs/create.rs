//! `create`.

use super::rehearsal;
use crate::{context::Context, failure::CliError, provider};
use clap::Args;
use mesh_api::{options::CreateOptions, request::Request};

/// Arguments of `create`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    creation: super::creation::CreationArguments,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    arguments.creation.check()?;
    let target = context.load(&arguments.creation.services).await?;
    context.refuse_unsupported(&target, &arguments.creation.services, false)?;
    let quiet_pull = arguments.creation.quiet_pull;
    let options = arguments.creation.resolve(&context.settings, &target)?;
    let project = provider::up(context, &target, &options.services, options.no_deps).await?;
    let services = provider::with_containers(&*target.required_project()?, &options.services);
    let options = CreateOptions { services, ..options };
    if context.settings.dry_run {
        rehearsal::up(context, &target, &project, options, false).await?;
        return Ok(0);
    }
    let client = target.supervise().await?;
    let reporter = context.reporter().without_images(quiet_pull);
    let request = Request::Create { project, options };
    context.ask_telling(reporter, &client, request).await?;
    Ok(0)
}
