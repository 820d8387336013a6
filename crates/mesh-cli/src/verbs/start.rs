//! `start`.

use super::rehearsal;
use crate::{context::Context, failure::CliError};
use clap::Args;
use mesh_api::{message::Action, request::Request};

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
    let target = context.own_target()?;
    target.check_services(&arguments.services)?;
    context.refuse_unsupported(&target, &arguments.services, true)?;
    if context.settings.dry_run {
        let mut there = rehearsal::present(&target, &arguments.services).await?;
        there.reverse();
        let resting = there.iter().filter(|one| !rehearsal::runs(one));
        let actions = &[Action::Starting, Action::Started];
        rehearsal::tell(context, resting.map(|one| rehearsal::Told::container(one, actions)));
        return Ok(0);
    }
    let Some(client) = target.attend().await? else {
        return Err(CliError::said(format!("project `{}` has no containers to start", target.name))
            .with_hint("`mesh up` creates and starts them"));
    };
    let request = Request::Start {
        services: arguments.services,
        wait: arguments.wait,
        // 0 is no limit.
        wait_timeout_ms: arguments
            .wait_timeout
            .filter(|seconds| *seconds > 0)
            .map(|seconds| u64::from(seconds) * 1000),
    };
    context.ask(&client, request).await?;
    Ok(0)
}
