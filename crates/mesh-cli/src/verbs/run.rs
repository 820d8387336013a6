//! `run`: a one-off container of a service, with our own standard streams.

use super::{
    creation::refuse,
    exec::{check_directory, variables},
    own, rehearsal,
};
use crate::{
    console,
    context::{Context, Target, containers, unexpected},
    failure::CliError,
    loading, provider,
    supervisor::Client,
    terminal::{self, KeptMode},
};
use clap::Args;
use mesh_api::{
    client::CallError,
    message::{Action, Answer, Message, ObjectKind, Progress},
    options::{CreateOptions, RunOptions},
    request::Request,
};
use mesh_model::{
    mount::{Mount, MountSource},
    network::{PortMapping, Protocol, Published},
    project::Project,
    service::{RestartPolicy, Service},
};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
    os::fd::AsFd,
    path::{Path, PathBuf},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
};

/// Most bytes of a file of variables that are read.
const VARIABLES_BYTES_MAX: u64 = 16 << 20;
/// Longest name of a container, in letters.
const NAME_LETTERS_MAX: usize = 128;

/// Arguments of `run`.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct Arguments {
    /// Service
    #[arg(value_name = "SERVICE")]
    service: String,
    /// Program and its arguments, in place of the service's command
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
    /// Remove the container when it ends
    #[arg(long)]
    rm: bool,
    /// Leave it running and print its id
    #[arg(short, long)]
    detach: bool,
    /// Variable for the program: NAME=VALUE, or NAME to pass on one's own
    #[arg(short, long, value_name = "VARIABLE")]
    env: Vec<String>,
    /// File with variables for the program
    #[arg(long, value_name = "FILE")]
    env_from_file: Vec<PathBuf>,
    /// Allocate no terminal
    #[arg(short = 'T', long = "no-tty", alias = "no-TTY")]
    no_tty: bool,
    /// Pass standard input on
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", value_name = "BOOL")]
    interactive: bool,
    /// Allocate a terminal
    #[arg(short, long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    tty: Option<bool>,
    /// User, as name or number
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    /// Working directory in the container
    #[arg(short, long, value_name = "DIRECTORY")]
    workdir: Option<String>,
    /// Bind or volume: SOURCE:TARGET[:ro]
    #[arg(short, long, value_name = "VOLUME", alias = "volumes")]
    volume: Vec<String>,
    /// Port to publish: [[ADDRESS:]PORT:]PORT[/udp]
    #[arg(short, long, value_name = "PORT")]
    publish: Vec<String>,
    /// Publish the service's own ports
    #[arg(short = 'P', long)]
    service_ports: bool,
    /// Name of the container
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Entrypoint, in place of the image's
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// Leave the services that it depends on alone
    #[arg(long)]
    no_deps: bool,
    /// Build the image before (not available yet)
    #[arg(long)]
    build: bool,
    /// When the image is fetched
    #[arg(long, value_enum, value_name = "WHEN")]
    pull: Option<super::creation::Pull>,
    /// Capability to add
    #[arg(long, value_name = "NAME")]
    cap_add: Vec<String>,
    /// Capability to drop
    #[arg(long, value_name = "NAME")]
    cap_drop: Vec<String>,
    /// Label: NAME=VALUE
    #[arg(short, long, value_name = "LABEL", alias = "labels")]
    label: Vec<String>,
    /// Join networks under the service's own names
    #[arg(long)]
    use_aliases: bool,
    /// Remove containers of services that the file no longer has
    #[arg(long)]
    remove_orphans: bool,
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
    /// Show no progress of building
    #[arg(long, hide = true)]
    quiet_build: bool,
    /// Show no progress of fetching
    #[arg(long)]
    quiet_pull: bool,
}

/// Does it.
pub(crate) async fn run(context: &Context, mut arguments: Arguments) -> Result<u8, CliError> {
    arguments.name = arguments.name.filter(|name| !name.is_empty());
    check(&arguments)?;
    let target = context.load(std::slice::from_ref(&arguments.service)).await?;
    context.refuse_unsupported(&target, std::slice::from_ref(&arguments.service), arguments.no_deps)?;
    let mut project = with_needs(context, &target, &arguments).await?;
    let asked = !arguments.no_tty && arguments.tty != Some(false);
    let tty = asked && !arguments.detach && arguments.interactive && terminal::is_interactive();
    override_service(&mut project, &arguments, context, tty)?;
    if context.settings.dry_run {
        return rehearse(context, &target, &project, &arguments).await;
    }
    let client = target.supervise().await?;
    refuse_taken_name(&client, arguments.name.as_deref()).await?;
    if own::is_one(context, &arguments.service)
        && let Some(service) = project.services.get_mut(&arguments.service)
    {
        for (name, address) in own::addresses(&containers(&client).await?) {
            service.environment.entry(name).or_insert(address);
        }
    }
    let options = options(context, &target, &arguments, tty)?;
    match call(context, &client, &arguments, project, options).await? {
        None => Ok(0),
        Some(Answer::Exit { code }) => Ok(u8::try_from(code & 0xff).unwrap_or(1)),
        Some(Answer::Started { name, id }) => {
            console::out_line(if id.is_empty() { &name } else { &id });
            Ok(0)
        }
        Some(_) => Err(unexpected()),
    }
}

/// What is wrong with the command line, whatever the project is.
fn check(arguments: &Arguments) -> Result<(), CliError> {
    check_name(arguments.name.as_deref())?;
    check_directory(arguments.workdir.as_deref())?;
    refuse(&[
        (
            !arguments.publish.is_empty() && arguments.service_ports,
            "--service-ports and --publish are incompatible",
        ),
        (arguments.tty.is_some() && arguments.no_tty, "--tty and --no-tty can't be used together"),
    ])
}

/// The project that the container is run in: providers that the service depends on have brought up theirs.
async fn with_needs(
    context: &Context,
    target: &Target,
    arguments: &Arguments,
) -> Result<Box<Project>, CliError> {
    let project = target.required_project()?;
    let needs: Vec<String> = match project.services.get(&arguments.service) {
        Some(service) if service.provider.is_some() => {
            let message = format!("service {} is a provider's and has no container", arguments.service);
            return Err(CliError::said(message));
        }
        Some(service) if !arguments.no_deps => service.depends_on.keys().cloned().collect(),
        _ => Vec::new(),
    };
    match needs.is_empty() {
        true => Ok(provider::without(project)),
        false => provider::up(context, target, &needs, false).await,
    }
}

async fn refuse_taken_name(client: &Client, name: Option<&str>) -> Result<(), CliError> {
    let Some(name) = name else { return Ok(()) };
    if !containers(client).await?.iter().any(|container| container.name == name) {
        return Ok(());
    }
    Err(CliError::said(format!("there is a container `{name}` already"))
        .with_hint("choose another --name, or remove it with `mesh rm`"))
}

/// What the supervisor is asked for.
fn options(
    context: &Context,
    target: &Target,
    arguments: &Arguments,
    tty: bool,
) -> Result<RunOptions, CliError> {
    Ok(RunOptions {
        service: arguments.service.clone(),
        name: arguments.name.clone(),
        remove: arguments.rm,
        detach: arguments.detach,
        no_deps: arguments.no_deps,
        // Ports given on the command line are in the service by now, and it alone has them.
        service_ports: arguments.service_ports || !arguments.publish.is_empty(),
        use_aliases: arguments.use_aliases,
        tty,
        substitute: context.settings.substitute,
        ports: context.settings.ports,
        take_over: context.settings.take_over,
        remove_orphans: arguments.remove_orphans,
        ignore_orphans: target.orphans.ignore,
        detach_keys: if tty { terminal::detach_keys(None, &context.environment)? } else { Vec::new() },
    })
}

/// Has the container run with our own standard streams, and tells how it gets there. `None`: it was let go of.
async fn call(
    context: &Context,
    client: &Client,
    arguments: &Arguments,
    project: Box<Project>,
    options: RunOptions,
) -> Result<Option<Answer>, CliError> {
    let tty = options.tty;
    let one_off =
        options.name.clone().unwrap_or_else(|| format!("{}-{}-run-", project.name, options.service));
    let mut reporter = context.reporter().without_images(arguments.quiet_pull);
    let mut silent = arguments.quiet;
    let let_go = Notify::new();
    let mut tell = |message| {
        let progress = match message {
            Message::Progress(progress) => progress,
            Message::Event(event) if event.action == "detach" => return let_go.notify_one(),
            _ => return,
        };
        if silent {
            return;
        }
        // From here on the screen is the program's.
        silent = is_own_start(&progress, &one_off);
        reporter.tell(progress);
        if silent {
            reporter.finish();
        }
    };
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    let nothing = File::open("/dev/null").map_err(CliError::io("open /dev/null"))?;
    let stdin = if arguments.interactive { stdin.as_fd() } else { nothing.as_fd() };
    let descriptors = (!arguments.detach).then(|| [stdin, stdout.as_fd(), stderr.as_fd()]);
    let call = client.call(Request::Run { project, options }, &mut tell, descriptors);
    attended(call, &let_go, tty).await.map_err(|error| match inexecutable(&error) {
        // Its text is told here, and the code is all that is left to tell.
        Some(code) => {
            console::err_line(&error.render(context.settings.error_colour));
            CliError::Exit(code)
        }
        None => error,
    })
}

/// The code that a shell gives where the program itself could not be executed. The wire has words alone.
fn inexecutable(error: &CliError) -> Option<u8> {
    let CliError::Call(CallError::Refused(refused)) = error else { return None };
    let reason = refused.message.split_once("could not execute ")?.1;
    let absent = reason.ends_with("not found in PATH") || reason.ends_with("no such file");
    Some(if absent { 127 } else { 126 })
}

/// Waits for the end, and gives the terminal back as it was on every way out, where there is one. A signal
/// hangs up, upon which the supervisor ends the container. `None`: the keys were typed that let go of it,
/// and it goes on.
async fn attended(
    call: impl Future<Output = Result<Answer, CliError>>,
    let_go: &Notify,
    tty: bool,
) -> Result<Option<Answer>, CliError> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(CliError::io("watch for SIGINT"))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(CliError::io("watch for SIGTERM"))?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(CliError::io("watch for SIGHUP"))?;
    // The container's shim makes it raw once the program has it.
    let _kept = if tty { KeptMode::keep().ok() } else { None };
    tokio::select! {
        answer = call => answer.map(Some),
        () = let_go.notified() => Ok(None),
        _ = interrupt.recv() => Err(CliError::Interrupted),
        _ = terminate.recv() => Err(CliError::Exit(143)),
        _ = hang_up.recv() => Err(CliError::Exit(129)),
    }
}

/// What would be done: what it needs is brought up, and its own container made and started.
async fn rehearse(
    context: &Context,
    target: &Target,
    project: &Project,
    arguments: &Arguments,
) -> Result<u8, CliError> {
    let needs = match (arguments.no_deps, project.services.get(&arguments.service)) {
        (false, Some(service)) => mesh_plan::graph::dependencies(service).into_keys().collect(),
        _ => Vec::new(),
    };
    if !needs.is_empty() {
        let create = CreateOptions { services: needs, dry_run: true, ..CreateOptions::default() };
        rehearsal::up(context, target, project, create, true).await?;
    }
    let name = arguments.name.clone();
    let name = name.unwrap_or_else(|| format!("{}-{}-run", target.name, arguments.service));
    let actions = &[Action::Creating, Action::Created, Action::Starting, Action::Started];
    rehearsal::tell(context, [rehearsal::Told::object(ObjectKind::Container, &name, actions)]);
    Ok(0)
}

/// Whether progress tells that the one-off container itself starts.
fn is_own_start(progress: &Progress, name: &str) -> bool {
    matches!(progress, Progress::Object { name: object, action: Action::Starting, .. } if object.starts_with(name))
}

/// Puts the command line's wishes over the service's.
fn override_service(
    project: &mut Project,
    arguments: &Arguments,
    context: &Context,
    tty: bool,
) -> Result<(), CliError> {
    let volumes = project.volumes.keys().cloned().collect::<Vec<_>>();
    let Some(service) = project.services.get_mut(&arguments.service) else {
        return Err(CliError::said(format!("no such service: {}", arguments.service)));
    };
    if arguments.build && service.build {
        return Err(CliError::unavailable("building an image"));
    }
    if let Some(entrypoint) = &arguments.entrypoint {
        let words = mesh_compose::line::words(entrypoint)
            .ok_or_else(|| CliError::said(format!("--entrypoint `{entrypoint}` has an open quote")))?;
        service.process.entrypoint = Some(words);
        service.process.command = None;
    }
    if !arguments.command.is_empty() {
        service.process.command = Some(arguments.command.clone());
    }
    service.process.user = arguments.user.clone().or(service.process.user.take());
    service.process.working_dir = arguments.workdir.clone().or(service.process.working_dir.take());
    service.process.tty = tty;
    service.process.stdin_open = true;
    // One without a name is passed over, as Docker Compose does here; `exec` refuses it.
    let named: Vec<String> = arguments.env.iter().filter(|text| !text.is_empty()).cloned().collect();
    let own = variables(&named, &context.environment)?;
    for file in &arguments.env_from_file {
        service.environment.extend(variables_of(file, &own, context)?);
    }
    service.environment.extend(own);
    service.labels.extend(labels(&arguments.label)?);
    give_capabilities(service, arguments);
    service.restart = RestartPolicy::No;
    if let Some(policy) = arguments.pull.and_then(super::creation::Pull::policy) {
        service.pull_policy = policy;
    }
    for text in &arguments.volume {
        add_mount(service, text, &volumes, &context.settings.working_directory)?;
    }
    if !arguments.service_ports {
        service.network.ports.clear();
    }
    for text in &arguments.publish {
        let port = parse_port(text).ok_or_else(|| {
            CliError::said(format!("--publish `{text}` is no port"))
                .with_hint("write [[ADDRESS:]PORT:]PORT[/udp]")
        })?;
        service.network.ports.push(port);
    }
    Ok(())
}

/// A name that a container can have, which its directory and its journal have too.
fn check_name(name: Option<&str>) -> Result<(), CliError> {
    let Some(name) = name else { return Ok(()) };
    let fits = (2..=NAME_LETTERS_MAX).contains(&name.len())
        && name.starts_with(|letter: char| letter.is_ascii_alphanumeric())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "_.-".contains(letter));
    if fits {
        return Ok(());
    }
    Err(CliError::said(format!(
        "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
    ))
    .with_hint(format!("a name has 2 to {NAME_LETTERS_MAX} letters")))
}

/// The variables of a file; names that stand alone and variables in values are looked up among those that
/// are given on the command line.
fn variables_of(
    file: &Path,
    own: &BTreeMap<String, String>,
    context: &Context,
) -> Result<BTreeMap<String, String>, CliError> {
    let path = context.settings.working_directory.join(file);
    let mut text = String::new();
    File::open(&path)
        .and_then(|opened| opened.take(VARIABLES_BYTES_MAX).read_to_string(&mut text))
        .map_err(CliError::io(format!("read the variables of {}", file.display())))?;
    mesh_compose::line::variables(&file.display().to_string(), &text, &|name| own.get(name).cloned())
        .map_err(|findings| CliError::Load { report: loading::render(&findings, &context.settings) })
}

/// A capability that is added is not dropped by the file, and the other way round.
fn give_capabilities(service: &mut Service, arguments: &Arguments) {
    let plain = |name: &String| name.to_ascii_uppercase().trim_start_matches("CAP_").to_owned();
    let add: Vec<String> = arguments.cap_add.iter().map(plain).collect();
    let drop: Vec<String> = arguments.cap_drop.iter().map(plain).collect();
    service.security.cap_drop.retain(|name| !add.contains(&plain(name)));
    service.security.cap_add.retain(|name| !drop.contains(&plain(name)));
    service.security.cap_add.extend(add);
    service.security.cap_drop.extend(drop);
}

fn labels(given: &[String]) -> Result<BTreeMap<String, String>, CliError> {
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(CliError::said("label must be set as KEY=VALUE")),
    };
    given.iter().map(pair).collect()
}

fn add_mount(service: &mut Service, text: &str, volumes: &[String], base: &Path) -> Result<(), CliError> {
    let mount = parse_mount(text, volumes, base).ok_or_else(|| {
        CliError::said(format!("--volume `{text}` is not understood"))
            .with_hint("write SOURCE:TARGET[:ro], where SOURCE is a path or a volume of the project")
    })?;
    service.mounts.retain(|other| other.target != mount.target);
    service.mounts.push(mount);
    Ok(())
}

/// `TARGET`, `SOURCE:TARGET`, `SOURCE:TARGET:ro`.
fn parse_mount(text: &str, volumes: &[String], base: &Path) -> Option<Mount> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, mode) = match parts.as_slice() {
        [target] => {
            return absolute(target).map(|target| Mount {
                source: MountSource::Anonymous,
                target,
                read_only: false,
            });
        }
        [source, target] => (*source, *target, "rw"),
        [source, target, mode] => (*source, *target, *mode),
        _ => return None,
    };
    let options: Vec<&str> = mode.split(',').collect();
    if options.iter().any(|option| !matches!(*option, "ro" | "rw" | "z" | "Z")) {
        return None;
    }
    let source = if source.starts_with(['/', '.', '~']) {
        MountSource::Bind { path: base.join(source), create: true }
    } else if volumes.iter().any(|key| key == source) {
        MountSource::Volume { key: source.to_owned(), subpath: None, nocopy: false }
    } else {
        return None;
    };
    Some(Mount { source, target: absolute(target)?, read_only: options.contains(&"ro") })
}

fn absolute(target: &str) -> Option<String> {
    target.starts_with('/').then(|| target.to_owned())
}

/// `80`, `8080:80`, `127.0.0.1:8080:80`, each with `/udp` or `/tcp`.
fn parse_port(text: &str) -> Option<PortMapping> {
    let (ports, protocol) = match text.rsplit_once('/') {
        Some((ports, "udp")) => (ports, Protocol::Udp),
        Some((ports, "tcp")) => (ports, Protocol::Tcp),
        Some(_) => return None,
        None => (text, Protocol::Tcp),
    };
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let Some((host, target)) = ports.rsplit_once(':') else {
        return Some(PortMapping {
            host_ip: None,
            published: Published::Any,
            target: number(ports)?,
            protocol,
        });
    };
    let (host_ip, published) = match host.rsplit_once(':') {
        Some((ip, port)) => (Some(ip.trim_matches(['[', ']']).parse().ok()?), port),
        None => (None, host),
    };
    let published =
        if matches!(published, "" | "0") { Published::Any } else { Published::Port(number(published)?) };
    Some(PortMapping { host_ip, published, target: number(target)?, protocol })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read() {
        let port = |host_ip: Option<&str>, published, target, protocol| PortMapping {
            host_ip: host_ip.map(|ip| ip.parse().unwrap()),
            published,
            target,
            protocol,
        };
        for (text, want) in [
            ("80", Some(port(None, Published::Any, 80, Protocol::Tcp))),
            ("8080:80/udp", Some(port(None, Published::Port(8080), 80, Protocol::Udp))),
            ("127.0.0.1:1:2", Some(port(Some("127.0.0.1"), Published::Port(1), 2, Protocol::Tcp))),
            ("[::1]::2", Some(port(Some("::1"), Published::Any, 2, Protocol::Tcp))),
            ("0:2", Some(port(None, Published::Any, 2, Protocol::Tcp))),
            ("0", None),
            ("web:80", None),
            ("1:2/sctp", None),
            ("70000", None),
        ] {
            assert_eq!(parse_port(text), want, "{text}");
        }
    }

    #[test]
    fn programs_that_cannot_be_executed_have_a_shell_s_codes() {
        for (message, want) in [
            ("service a: could not execute x: not found in PATH", Some(127)),
            ("service a: could not execute /x: no such file", Some(127)),
            ("service a: could not execute /x: it may not be executed by this user", Some(126)),
            ("service a: could not set up the container", None),
        ] {
            let error = mesh_api::message::ApiError {
                kind: mesh_api::message::ErrorKind::Service,
                message: message.to_owned(),
                hint: None,
                failures: Vec::new(),
            };
            assert_eq!(inexecutable(&CliError::Call(CallError::Refused(error))), want, "{message}");
        }
    }

    #[test]
    fn mounts_are_read() {
        let volumes = ["data".to_owned()];
        let parse = |text| parse_mount(text, &volumes, Path::new("/base"));
        let bind = |path: &str, read_only| Mount {
            source: MountSource::Bind { path: path.into(), create: true },
            target: "/t".to_owned(),
            read_only,
        };
        assert_eq!(parse("/a:/t:ro"), Some(bind("/a", true)));
        assert_eq!(parse("./a:/t"), Some(bind("/base/./a", false)));
        let volume = MountSource::Volume { key: "data".to_owned(), subpath: None, nocopy: false };
        assert_eq!(parse("data:/t").map(|mount| mount.source), Some(volume));
        assert_eq!(parse("/t").map(|mount| mount.source), Some(MountSource::Anonymous));
        for wrong in ["other:/t", "t", "/a:t", "/a:/t:maybe", "a:b:c:d"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
