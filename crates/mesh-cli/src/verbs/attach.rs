//! `attach`: our own terminal or pipes at the streams of a container that runs.

use crate::{
    context::Context,
    failure::CliError,
    invocation::{become_command, beside_terminal, command_with, detach_argument},
    terminal,
};
use clap::{ArgAction, Args};
use mesh_api::request::Request;
use std::io::{self, IsTerminal};

/// Arguments of `attach`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Service
    #[arg(value_name = "SERVICE")]
    service: String,
    /// Keys that let go of the container's terminal (default: ctrl-p,ctrl-q)
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Number of the container of the service, from 1
    #[arg(long, value_name = "NUMBER")]
    index: Option<u32>,
    /// Do not pass standard input on
    #[arg(long)]
    no_stdin: bool,
    /// Pass signals on to a container without a terminal
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        default_value_t = true,
        action = ArgAction::Set
    )]
    sig_proxy: bool,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let target = context.own_target()?;
    target.check_services(std::slice::from_ref(&arguments.service))?;
    let keys = terminal::detach_keys(arguments.detach_keys.as_deref(), &context.environment)?;
    let not_running = || CliError::said(format!("service \"{}\" is not running", arguments.service));
    let request = Request::Attach {
        service: arguments.service.clone(),
        index: arguments.index.filter(|index| *index > 0),
    };
    let answer = target.ask_at_once(request, None).await?.ok_or_else(not_running)?;
    let mut own = vec![detach_argument(&keys)];
    own.extend(arguments.no_stdin.then(|| "no-stdin".to_owned()));
    own.extend((!arguments.sig_proxy).then(|| "no-sig-proxy".to_owned()));
    let command = command_with(answer, own)?;
    match io::stdin().is_terminal() {
        true => beside_terminal(command).await,
        false => become_command(command),
    }
}
