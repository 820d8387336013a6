//! `rm`.

use super::rehearsal;
use crate::{
    console,
    context::{Context, containers},
    failure::CliError,
    terminal,
};
use clap::Args;
use mesh_api::{message::Action, request::Request, status::ContainerStatus};
use std::io::{self, BufRead, Read};

/// Longest answer read from the terminal in bytes.
const ANSWER_BYTES_MAX: u64 = 1024;

/// Arguments of `rm`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Services; none: all
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Stop them first
    #[arg(short, long)]
    stop: bool,
    /// Remove their anonymous volumes too
    #[arg(short, long)]
    volumes: bool,
    /// Ignored
    #[arg(short, long, hide = true)]
    all: bool,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let target = context.own_target()?;
    target.check_services(&arguments.services)?;
    let client = target.attend().await?;
    let there = match &client {
        Some(client) => containers(client).await?,
        None => Vec::new(),
    };
    let meant = |one: &&ContainerStatus| {
        let named = arguments.services.is_empty() || arguments.services.contains(&one.service);
        named && !one.one_off && (arguments.stop || !rehearsal::runs(one))
    };
    let meant: Vec<&ContainerStatus> = there.iter().filter(meant).collect();
    let (Some(client), false) = (client, meant.is_empty()) else {
        console::err_line("No stopped containers");
        return Ok(0);
    };
    let names: Vec<&str> = meant.iter().map(|one| one.name.as_str()).collect();
    let message = format!("Going to remove {}", names.join(", "));
    if context.settings.dry_run {
        let running = meant.iter().filter(|one| rehearsal::runs(one));
        let actions = &[Action::Stopping, Action::Stopped];
        rehearsal::tell(context, running.map(|one| rehearsal::Told::container(one, actions)));
        console::out_line(&message);
        let actions = &[Action::Removing, Action::Removed];
        rehearsal::tell(context, meant.into_iter().map(|one| rehearsal::Told::container(one, actions)));
        return Ok(0);
    }
    if arguments.force {
        console::out_line(&message);
    } else if !confirmed(&message)? {
        return Ok(0);
    }
    let request =
        Request::Remove { services: arguments.services, stop: arguments.stop, volumes: arguments.volumes };
    context.ask(&client, request).await?;
    Ok(0)
}

/// Asks on standard input, be it a terminal or a pipe. No answer is no.
fn confirmed(message: &str) -> Result<bool, CliError> {
    let asked = terminal::is_interactive();
    console::out(&if asked { format!("{message} [y/N] ") } else { message.to_owned() });
    let mut answer = String::new();
    io::stdin()
        .lock()
        .take(ANSWER_BYTES_MAX)
        .read_line(&mut answer)
        .map_err(CliError::io("read the answer"))?;
    let confirmed = matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes" | "1" | "t" | "true");
    if !asked {
        console::out_line("");
    }
    if !confirmed {
        console::err_line("note: nothing was removed; `--force` removes without asking");
    }
    Ok(confirmed)
}
