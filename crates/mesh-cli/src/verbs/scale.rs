//! `scale`.

use crate::{context::Context, failure::CliError};
use clap::Args;
use mesh_api::request::Request;

/// Arguments of `scale`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Number of containers of a service
    #[arg(value_name = "SERVICE=NUMBER", required = true, value_parser = super::creation::parse_scale)]
    scale: Vec<(String, u32)>,
    /// Leave dependencies alone
    #[arg(long)]
    no_deps: bool,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let target = context.target()?;
    let names: Vec<String> = arguments.scale.iter().map(|(service, _)| service.clone()).collect();
    target.check_services(&names)?;
    let Some(client) = target.attend().await? else {
        return Err(CliError::said(format!("project `{}` was not brought up", target.name))
            .with_hint("`mesh up --scale` brings it up with these numbers"));
    };
    let request = Request::Scale { scale: arguments.scale.into_iter().collect(), no_deps: arguments.no_deps };
    context.ask(&client, request).await?;
    Ok(0)
}
