//! `wait`.

use crate::{
    console,
    context::{Context, containers, unexpected},
    failure::CliError,
};
use clap::Args;
use mesh_api::{message::Answer, options::DownOptions, request::Request, status::ContainerStatus};

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
    let target = if arguments.down_project { context.own_target()? } else { context.shown_target()? };
    target.check_services(&arguments.services)?;
    let Some(client) = target.attend().await? else {
        return Err(CliError::said(format!("project `{}` has no containers to wait for", target.name)));
    };
    if context.settings.dry_run {
        return Err(CliError::said("waiting cannot be tried without doing it"));
    }
    let meant = |one: &ContainerStatus| !one.one_off && arguments.services.contains(&one.service);
    let known: Vec<ContainerStatus> = containers(&client).await?.into_iter().filter(meant).collect();
    if known.is_empty() {
        return Err(CliError::said(format!("no containers for project {:?}", target.name)));
    }
    let services = arguments.services.clone();
    let Answer::Exit { code } = context.ask(&client, Request::Wait { services }).await? else {
        return Err(unexpected());
    };
    let code = tell(&containers(&client).await?, &known).unwrap_or(code);
    if arguments.down_project {
        let options = DownOptions { remove_orphans: true, ..DownOptions::default() };
        context.ask(&client, Request::Down(options)).await?;
    }
    Ok(u8::try_from(code & 0xff).unwrap_or(1))
}

/// Tells how each container ended, in the order of their ends, and gives the code of the last. One that
/// was removed meanwhile is left out.
fn tell(now: &[ContainerStatus], known: &[ContainerStatus]) -> Option<i32> {
    let is_known = |one: &&ContainerStatus| known.iter().any(|known| known.id == one.id);
    let mut ended: Vec<&ContainerStatus> = now.iter().filter(is_known).collect();
    ended.retain(|one| one.exit_code.is_some());
    ended.sort_by_key(|one| one.finished_unix_ms);
    for one in &ended {
        let code = one.exit_code.unwrap_or_default();
        console::out_line(&format!("container {:?} exited with status code {code}", one.id));
    }
    ended.last().and_then(|one| one.exit_code)
}
