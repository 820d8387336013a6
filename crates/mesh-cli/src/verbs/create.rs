//! `create`.

use crate::{context::Context, failure::CliError};
use clap::Args;
use mesh_api::request::Request;

/// Arguments of `create`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    creation: super::creation::CreationArguments,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let target = context.load(&arguments.creation.services)?;
    let options = arguments.creation.resolve(&context.settings, &target)?;
    let client = target.supervise().await?;
    context.ask(&client, Request::Create { project: target.required_project()?, options }).await?;
    Ok(0)
}
