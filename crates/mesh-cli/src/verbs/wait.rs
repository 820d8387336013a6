//! `wait`.

use crate::{
    console,
    context::{Context, unexpected},
    failure::CliError,
};
use clap::Args;
use mesh_api::{message::Answer, options::DownOptions, request::Request};

/// Arguments of `wait`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Services
    #[arg(value_name = "SERVICE", required = true)]
    services: Vec<String>,
    /// Remove the project once the first of them stopped
    #[arg(long)]
    down_project: bool,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let target = context.target()?;
    target.check_services(&arguments.services)?;
    let Some(client) = target.attend().await? else {
        return Err(CliError::said(format!("project `{}` has no containers to wait for", target.name)));
    };
    let Answer::Exit { code } = context.ask(&client, Request::Wait { services: arguments.services }).await?
    else {
        return Err(unexpected());
    };
    console::out_line(&code.to_string());
    if arguments.down_project {
        context.ask(&client, Request::Down(DownOptions::default())).await?;
    }
    Ok(u8::try_from(code & 0xff).unwrap_or(1))
}
