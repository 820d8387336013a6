//! `start`.

use crate::{context::Context, failure::CliError};
use clap::Args;
use mesh_api::request::Request;

/// Arguments of `start`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Services; none: all
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Return once they are healthy
    #[arg(long)]
    wait: bool,
    /// Give up waiting after so many seconds
    #[arg(long, value_name = "SECONDS")]
    wait_timeout: Option<u32>,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let target = context.target()?;
    target.check_services(&arguments.services)?;
    let Some(client) = target.attend().await? else {
        return Err(CliError::said(format!("project `{}` has no containers to start", target.name))
            .with_hint("`mesh up` creates and starts them"));
    };
    let request = Request::Start {
        services: arguments.services,
        wait: arguments.wait,
        wait_timeout_ms: arguments.wait_timeout.map(|seconds| u64::from(seconds) * 1000),
    };
    context.ask(&client, request).await?;
    Ok(0)
}
