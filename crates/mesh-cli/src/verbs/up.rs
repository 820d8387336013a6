//! `up`.

use super::{
    creation::{CreationArguments, parse_grace, refuse},
    foreground as attach, rehearsal, summary,
};
use crate::{
    console,
    context::{Context, Target, containers},
    failure::CliError,
    generated, provider,
    supervisor::Client,
    words,
};
use clap::Args;
use mesh_api::{
    message::Answer,
    options::{Recreate, UpOptions},
    request::Request,
};
use mesh_model::project::Project;
use std::io::{self, IsTerminal as _};
use tokio::signal::ctrl_c;

/// What is said where Ctrl+C ends a detached `up`.
const INTERRUPTED: &str = "\ninterrupted: what was started goes on, the rest is not started\n\
    hint: `mesh up -d` goes on from here, `mesh down` removes it";

/// What is said where `up` would stay in the foreground.
const REHEARSED: &str = "end of 'compose up' output, interactive run is not supported in dry-run mode";

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
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    wait_timeout: Option<i64>,
    /// Create, but do not start
    #[arg(long)]
    no_start: bool,
    /// Leave the services that these depend on alone
    #[arg(long)]
    no_deps: bool,
    /// Replace the services that these depend on too
    #[arg(long)]
    always_recreate_deps: bool,
    /// Do not keep anonymous volumes of replaced containers
    #[arg(short = 'V', long)]
    renew_anon_volumes: bool,
    /// Grace period of containers that are stopped, in seconds
    #[arg(short, long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = parse_grace)]
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
    #[arg(long)]
    abort_on_container_exit: bool,
    /// Stop everything when a container exits with another code than 0
    #[arg(long)]
    abort_on_container_failure: bool,
    /// Exit with the code of this service; implies --abort-on-container-exit
    #[arg(long, value_name = "SERVICE")]
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
    /// Keep containers as the files here are, as these change
    #[arg(short, long)]
    watch: bool,
    /// Keys do something while output is shown: w watches files, d detaches (default: on a terminal)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    menu: Option<bool>,
}

impl Arguments {
    fn detached(&self) -> bool {
        self.detach || self.wait || self.no_start
    }

    /// Refuses flags that contradict each other.
    fn check(&self) -> Result<(), CliError> {
        let on_exit = self.abort_on_container_exit
            || (self.exit_code_from.is_some() && !self.abort_on_container_failure);
        let attaches = self.attach_dependencies || !self.attach.is_empty();
        let stays = attaches || on_exit || self.abort_on_container_failure || self.watch;
        refuse(&[
            (
                self.wait_timeout.is_some_and(|seconds| seconds < 0),
                "--wait-timeout must be a non-negative integer",
            ),
            (
                on_exit && self.abort_on_container_failure,
                "--abort-on-container-failure cannot be combined with --abort-on-container-exit",
            ),
            (
                self.wait && (attaches || on_exit),
                "--wait cannot be combined with --abort-on-container-exit, --attach or --attach-dependencies",
            ),
            (
                self.wait && stays,
                "--wait cannot be combined with --abort-on-container-exit, --abort-on-container-failure, --attach, --attach-dependencies or --watch",
            ),
            (
                self.detach && stays,
                "--detach cannot be combined with --abort-on-container-exit, --abort-on-container-failure, --attach, --attach-dependencies or --watch",
            ),
            (
                self.renew_anon_volumes && self.creation.no_recreate,
                "--no-recreate and --renew-anon-volumes are incompatible",
            ),
            (
                self.always_recreate_deps && self.creation.no_recreate,
                "--always-recreate-deps and --no-recreate are incompatible",
            ),
            (self.creation.no_build && self.watch, "--no-build and --watch are incompatible"),
            (
                !self.attach.is_empty() && self.attach_dependencies,
                "cannot combine --attach and --attach-dependencies",
            ),
        ])?;
        self.creation.check()
    }
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    arguments.check()?;
    let target = context.load(&arguments.creation.services).await?;
    if arguments.watch && !crate::watch::any(&*target.required_project()?) {
        return Err(CliError::said(
            "none of the selected services is configured for watch, consider setting a 'develop' section",
        ));
    }
    context.refuse_unsupported(&target, &arguments.creation.services, arguments.no_deps)?;
    let follow = follow_options(context, &arguments, &target)?;
    let (quiet_pull, detached) = (arguments.creation.quiet_pull, arguments.detached());
    let options = UpOptions {
        no_start: arguments.no_start,
        wait: arguments.wait,
        // 0 is no limit.
        wait_timeout_ms: arguments
            .wait_timeout
            .and_then(|seconds| u64::try_from(seconds).ok())
            .filter(|seconds| *seconds > 0)
            .map(|seconds| seconds.saturating_mul(1000)),
        timeout_seconds: arguments.timeout,
        create: {
            let mut create = arguments.creation.resolve(&context.settings, &target)?;
            create.no_deps = arguments.no_deps;
            create.always_recreate_deps = arguments.always_recreate_deps;
            create.renew_anonymous_volumes = arguments.renew_anon_volumes;
            if arguments.renew_anon_volumes {
                create.recreate = Recreate::Force;
            }
            // Whoever asks for the code of a service wants it to run.
            create.rerun = arguments.exit_code_from.iter().cloned().collect();
            create
        },
    };
    let project = provider::up(context, &target, &options.create.services, options.create.no_deps).await?;
    let options = options_for(options, &target);
    if context.settings.dry_run {
        rehearsal::up(context, &target, &project, options.create, !options.no_start).await?;
        if !detached {
            console::out_line(REHEARSED);
        }
        return Ok(0);
    }
    let client = target.supervise().await?;
    let since_unix_ns = words::now_unix_ns();
    let request = Request::Up { project, options };
    let reporter = context.reporter().without_images(quiet_pull);
    let call = context.ask_telling(reporter, &client, request);
    if detached {
        tokio::select! {
            answer = call => drop::<Answer>(answer?),
            _ = ctrl_c() => {
                console::err_line(INTERRUPTED);
                return Err(CliError::Interrupted);
            }
        }
        if !arguments.no_start {
            generated::move_in(context, &target).await;
        }
        return finish_detached(context, &client, arguments.no_start).await;
    }
    tokio::select! {
        answer = call => drop::<Answer>(answer?),
        _ = ctrl_c() => {
            return attach::stop_gracefully(context, &client, &follow.named, arguments.timeout).await;
        }
    }
    generated::move_in(context, &target).await;
    attach::follow(context, &target, &client, follow, since_unix_ns).await
}

/// The options without the names of services that have no containers.
fn options_for(options: UpOptions, target: &Target) -> UpOptions {
    let mut options = options;
    if let Some(project) = &target.project {
        options.create.services = provider::with_containers(project, &options.create.services);
    }
    options
}

/// Tells what runs. Standard output is a person's or stays empty: scripts take what Docker Compose prints there for
/// their own, which is nothing.
async fn finish_detached(context: &Context, client: &Client, no_start: bool) -> Result<u8, CliError> {
    if !no_start {
        let table = summary::render(&containers(client).await?);
        if io::stdout().is_terminal() || context.settings.status_stdout {
            console::out(&table);
        } else {
            console::err_line(table.trim_end());
        }
    }
    Ok(0)
}

/// Those whose file says `attach: false`.
pub(super) fn unattached_services(project: &Project) -> impl Iterator<Item = String> {
    project.services.values().filter(|service| service.logging.unattached).map(|service| service.name.clone())
}

fn follow_options(
    context: &Context,
    arguments: &Arguments,
    target: &Target,
) -> Result<attach::Options, CliError> {
    let in_project =
        |name: &&String| target.project.as_ref().is_none_or(|found| found.services.contains_key(*name));
    let outside: Vec<&str> =
        arguments.attach.iter().filter(|name| !in_project(name)).map(String::as_str).collect();
    if !outside.is_empty() {
        let message = format!("cannot attach to services not included in up: {}", outside.join(", "));
        return Err(CliError::said(message));
    }
    for names in [&arguments.no_attach, &arguments.exit_code_from.iter().cloned().collect()] {
        target.check_services(names)?;
    }
    // Whoever names a service with --attach wants it, whatever its file says.
    let unattached = target.project.as_deref().filter(|_| arguments.attach.is_empty());
    let unattached = unattached.into_iter().flat_map(unattached_services);
    // Without --attach, those that were named are shown, as Compose has it.
    let attach = match (arguments.attach.is_empty(), arguments.attach_dependencies) {
        (false, _) => arguments.attach.clone(),
        (true, false) => arguments.creation.services.clone(),
        (true, true) => Vec::new(),
    };
    Ok(attach::Options {
        services: attach,
        without: arguments.no_attach.iter().cloned().chain(unattached).collect(),
        named: arguments.creation.services.clone(),
        abort: match (&arguments.exit_code_from, arguments.abort_on_container_failure) {
            (_, true) => attach::Abort::OnFailure,
            (Some(_), false) => attach::Abort::OnExit,
            (None, false) if arguments.abort_on_container_exit => attach::Abort::OnExit,
            (None, false) => attach::Abort::Never,
        },
        code_of: arguments.exit_code_from.clone(),
        timeout_seconds: arguments.timeout,
        look: crate::journal::Look {
            colour: context.settings.colour && !arguments.no_color,
            prefix: !arguments.no_log_prefix,
            timestamps: arguments.timestamps,
            split: true,
        },
        menu: context.settings.progress == crate::settings::ProgressMode::Live
            && arguments.menu.unwrap_or_else(|| {
                context.environment.get("COMPOSE_MENU").is_none()
                    || context.environment.is_true("COMPOSE_MENU")
            }),
        watch: arguments.watch,
    })
}
