//! `up`.

use super::{attach, creation::CreationArguments, summary};
use crate::{
    console,
    context::{Context, Target, containers},
    failure::CliError,
    supervisor::Client,
    words,
};
use clap::Args;
use mesh_api::{message::Answer, options::UpOptions, request::Request};
use tokio::signal::ctrl_c;

/// What is said where Ctrl+C ends a detached `up`.
const INTERRUPTED: &str = "\ninterrupted: what was started goes on, the rest is not started\n\
    hint: `mesh up -d` goes on from here, `mesh down` removes it";

/// Arguments of `up`.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct Arguments {
    #[command(flatten)]
    creation: CreationArguments,
    /// Return once everything is started
    #[arg(short, long)]
    detach: bool,
    /// Return once everything is healthy or complete; implies --detach
    #[arg(long)]
    wait: bool,
    /// Give up waiting after so many seconds
    #[arg(long, value_name = "SECONDS")]
    wait_timeout: Option<u32>,
    /// Create, but do not start
    #[arg(long)]
    no_start: bool,
    /// Leave the services that these depend on alone
    #[arg(long)]
    no_deps: bool,
    /// Replace the services that these depend on too
    #[arg(long, conflicts_with = "no_recreate")]
    always_recreate_deps: bool,
    /// Do not keep anonymous volumes of replaced containers
    #[arg(short = 'V', long)]
    renew_anon_volumes: bool,
    /// Grace period of containers that are stopped, in seconds
    #[arg(short, long, value_name = "SECONDS")]
    timeout: Option<u32>,
    /// Show only these services' output
    #[arg(long, value_name = "SERVICE")]
    attach: Vec<String>,
    /// Do not show these services' output
    #[arg(long, value_name = "SERVICE")]
    no_attach: Vec<String>,
    /// Show the output of dependencies too; with no --attach it is shown anyway
    #[arg(long)]
    attach_dependencies: bool,
    /// Stop everything when a container exits
    #[arg(long, conflicts_with = "detach")]
    abort_on_container_exit: bool,
    /// Stop everything when a container exits with another code than 0
    #[arg(long, conflicts_with = "detach")]
    abort_on_container_failure: bool,
    /// Exit with the code of this service; implies --abort-on-container-exit
    #[arg(long, value_name = "SERVICE", conflicts_with = "detach")]
    exit_code_from: Option<String>,
    /// Print times before lines
    #[arg(long)]
    timestamps: bool,
    /// Print no prefixes
    #[arg(long)]
    no_log_prefix: bool,
    /// Print no colours
    #[arg(long)]
    no_color: bool,
    /// Follow changes of files (not available yet)
    #[arg(short, long)]
    watch: bool,
    /// Ignored
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "true")]
    menu: Option<bool>,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    if arguments.watch {
        return Err(CliError::unavailable("`mesh up --watch`"));
    }
    let target = context.load(&arguments.creation.services)?;
    let follow = follow_options(context, &arguments, &target)?;
    let options = UpOptions {
        no_start: arguments.no_start,
        wait: arguments.wait,
        wait_timeout_ms: arguments.wait_timeout.map(|seconds| u64::from(seconds) * 1000),
        timeout_seconds: arguments.timeout,
        create: {
            let mut create = arguments.creation.resolve(&context.settings, &target)?;
            create.no_deps = arguments.no_deps;
            create.always_recreate_deps = arguments.always_recreate_deps;
            create.renew_anonymous_volumes = arguments.renew_anon_volumes;
            create
        },
    };
    let detached = arguments.detach || arguments.wait || arguments.no_start;
    let client = target.supervise().await?;
    let since_unix_ns = words::now_unix_ns();
    let request = Request::Up { project: target.required_project()?, options };
    let call = context.ask(&client, request);
    if detached {
        tokio::select! {
            answer = call => drop::<Answer>(answer?),
            _ = ctrl_c() => {
                console::err_line(INTERRUPTED);
                return Err(CliError::Interrupted);
            }
        }
        return finish_detached(&client, arguments.no_start).await;
    }
    tokio::select! {
        answer = call => drop::<Answer>(answer?),
        _ = ctrl_c() => return attach::stop_gracefully(context, &client, arguments.timeout).await,
    }
    attach::follow(context, &target, &client, follow, since_unix_ns).await
}

async fn finish_detached(client: &Client, no_start: bool) -> Result<u8, CliError> {
    if !no_start {
        console::out(&summary::render(&containers(client).await?));
    }
    Ok(0)
}

fn follow_options(
    context: &Context,
    arguments: &Arguments,
    target: &Target,
) -> Result<attach::Options, CliError> {
    for names in
        [&arguments.attach, &arguments.no_attach, &arguments.exit_code_from.iter().cloned().collect()]
    {
        target.check_services(names)?;
    }
    // Without --attach, those that were named are shown, as Compose has it.
    let attach = match (arguments.attach.is_empty(), arguments.attach_dependencies) {
        (false, _) => arguments.attach.clone(),
        (true, false) => arguments.creation.services.clone(),
        (true, true) => Vec::new(),
    };
    Ok(attach::Options {
        services: attach,
        without: arguments.no_attach.iter().cloned().collect(),
        abort: match (&arguments.exit_code_from, arguments.abort_on_container_failure) {
            (Some(service), _) => attach::Abort::WithCodeOf(service.clone()),
            (None, true) => attach::Abort::OnFailure,
            (None, false) if arguments.abort_on_container_exit => attach::Abort::OnExit,
            (None, false) => attach::Abort::Never,
        },
        timeout_seconds: arguments.timeout,
        look: crate::journal::Look {
            colour: context.settings.colour && !arguments.no_color,
            prefix: !arguments.no_log_prefix,
            timestamps: arguments.timestamps,
        },
    })
}
