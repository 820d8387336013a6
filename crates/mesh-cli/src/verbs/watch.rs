//! `watch`: brings services up and keeps their containers as the files here are.

use crate::{
    console,
    context::Context,
    failure::CliError,
    watch::{self, Watcher},
};
use clap::{ArgAction, Args};
use mesh_api::{
    options::{CreateOptions, UpOptions},
    request::Request,
};
use mesh_store::lock::Lock;
use tokio::signal::{
    ctrl_c,
    unix::{SignalKind, signal},
};

/// Arguments of `watch`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Services; none: all
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Do not bring the services up before
    #[arg(long)]
    no_up: bool,
    /// Remove images that a rebuild leaves without a name
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        default_value_t = true,
        action = ArgAction::Set
    )]
    prune: bool,
    /// Show no output of building
    #[arg(long)]
    quiet: bool,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(CliError::io("watch for SIGTERM"))?;
    let target = context.load(&arguments.services).await?;
    let project = target.required_project()?;
    if !watch::any(&project) {
        return Err(CliError::said(
            "none of the selected services is configured for watch, consider setting a 'develop' section",
        ));
    }
    context.refuse_unsupported(&target, &arguments.services, false)?;
    let client = target.supervise().await?;
    let lock = target.paths.directory.join("watch.lock");
    let _lock = Lock::acquire(&lock).map_err(|error| {
        CliError::said(format!("cannot take exclusive lock for project \"{}\": {error}", target.name))
    })?;
    let working = async {
        if !arguments.no_up {
            let create = CreateOptions {
                services: arguments.services.clone(),
                substitute: context.settings.substitute,
                ..CreateOptions::default()
            };
            let options = UpOptions { create, ..UpOptions::default() };
            context.ask(&client, Request::Up { project, options }).await?;
        }
        Watcher::open(context, &target, &client, &arguments.services, console::out_line)?.run().await
    };
    tokio::select! {
        ended = working => ended.map(|()| 0),
        _ = ctrl_c() => {
            console::out_line("Watch disabled");
            Err(CliError::Interrupted)
        }
        _ = terminate.recv() => Err(CliError::Exit(143)),
    }
}
