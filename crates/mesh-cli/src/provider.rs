//! `provider` services: a program of the user's brings them up in place of containers.
//!
//! The protocol is the public one of Docker Compose's extensions: `PROGRAM compose --project-name=NAME up
//! --OPTION=VALUE SERVICE` says what it does in JSON documents on its standard output, among them the
//! variables that services get which depend on it. `down` gives everything up again, and `stop` is asked
//! of those that say in `PROGRAM compose metadata` that they know it.
//!
//! What a program says is bounded. Its variables may be secrets: they go into the environment of
//! containers and nowhere else.

use crate::{
    context::{Context, Target},
    failure::CliError,
    progress::Reporter,
};
use mesh_api::message::{Action, Level, ObjectKind, Progress};
use mesh_model::{project::Project, provider::Provider, service::Service};
use mesh_plan::graph;
use serde_json::{Deserializer, Value};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Most that is read of what a program says, in bytes.
const SAID_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Most that is read of what a program says about itself, in bytes.
const METADATA_BYTES_MAX: u64 = 1024 * 1024;
/// Most variables of one provider.
const VARIABLES_MAX: usize = 10_000;

/// Where Docker's command line keeps its plugins, besides the user's own directory.
const PLUGIN_DIRECTORIES: [&str; 4] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];

/// What a program is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Up,
    Stop,
    Down,
}

impl Order {
    fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Stop => "stop",
            Self::Down => "down",
        }
    }

    /// As it is told that it failed.
    fn deed(self) -> &'static str {
        match self {
            Self::Up => "create",
            Self::Stop => "stop",
            Self::Down => "remove",
        }
    }

    fn actions(self) -> (Action, Action) {
        match self {
            Self::Up => (Action::Creating, Action::Created),
            Self::Stop => (Action::Stopping, Action::Stopped),
            Self::Down => (Action::Removing, Action::Removed),
        }
    }
}

/// Variables that a provider gave.
#[derive(Default)]
struct Variables {
    /// Under the service's name.
    prefixed: BTreeMap<String, String>,
    /// As they are.
    raw: BTreeMap<String, String>,
}

/// Brings up the providers among `services` (none: all) and what those need, and gives the project as the
/// supervisor is to have it: without them, and with their variables in the services that depend on them.
pub(crate) async fn up(
    context: &Context,
    target: &Target,
    services: &[String],
    no_deps: bool,
) -> Result<Box<Project>, CliError> {
    let mut project = target.required_project()?;
    if project.services.values().all(|service| service.provider.is_none()) {
        return Ok(project);
    }
    let chosen =
        graph::select(&project, services, no_deps).map_err(|error| CliError::said(error.to_string()))?;
    let order = graph::levels(&project, &chosen).map_err(|error| CliError::said(error.to_string()))?;
    for name in order.into_iter().flatten() {
        let Some(service) = project.services.get(&name).filter(|service| service.provider.is_some()) else {
            continue;
        };
        if context.settings.dry_run {
            say(&mut context.reporter(), &name, Action::Created, None);
            continue;
        }
        let variables = ask(context, target, service.clone(), Order::Up).await?;
        inject(&mut project, &name, &variables, context);
    }
    Ok(without(project))
}

/// Has the providers among `services` (none: all) stop what they brought up, dependents first.
pub(crate) async fn stop(context: &Context, target: &Target, services: &[String]) -> Result<(), CliError> {
    end(context, target, services, Order::Stop).await
}

/// Has the providers among `services` (none: all) give up what they brought up, dependents first.
pub(crate) async fn down(context: &Context, target: &Target, services: &[String]) -> Result<(), CliError> {
    end(context, target, services, Order::Down).await
}

async fn end(context: &Context, target: &Target, services: &[String], order: Order) -> Result<(), CliError> {
    let Some(project) = &target.project else { return Ok(()) };
    if project.services.values().all(|service| service.provider.is_none()) {
        return Ok(());
    }
    let all: BTreeSet<String> = project.services.keys().cloned().collect();
    let levels = graph::levels(project, &all).map_err(|error| CliError::said(error.to_string()))?;
    for name in levels.into_iter().rev().flatten() {
        let meant = services.is_empty() || services.contains(&name);
        let Some(service) = project.services.get(&name).filter(|one| meant && one.provider.is_some()) else {
            continue;
        };
        if context.settings.dry_run {
            say(&mut context.reporter(), &name, order.actions().1, None);
        } else {
            ask(context, target, service.clone(), order).await?;
        }
    }
    Ok(())
}

/// The services of `names` that have containers.
pub(crate) fn with_containers(project: &Project, names: &[String]) -> Vec<String> {
    let has = |name: &&String| project.services.get(*name).is_none_or(|service| service.provider.is_none());
    names.iter().filter(has).cloned().collect()
}

/// The project without its providers. Their names stay known.
pub(crate) fn without(mut project: Box<Project>) -> Box<Project> {
    let (gone, left): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut project.services)
        .into_iter()
        .partition(|(_, service)| service.provider.is_some());
    project.services = left;
    for service in project.services.values_mut() {
        service.depends_on.retain(|other, _| !gone.contains_key(other));
    }
    project.inactive.extend(gone.into_keys());
    project
}

fn inject(project: &mut Project, provider: &str, variables: &Variables, context: &Context) {
    let prefix = format!("{}_", provider.to_uppercase());
    for service in project.services.values_mut() {
        if !service.depends_on.contains_key(provider) {
            continue;
        }
        for (name, value) in &variables.prefixed {
            service.environment.insert(format!("{prefix}{name}"), value.clone());
        }
        for (name, value) in &variables.raw {
            let before = service.environment.insert(name.clone(), value.clone());
            if before.is_some_and(|before| before != *value) {
                let text = format!(
                    "provider {provider:?} overrides environment variable {name:?} in service {:?}",
                    service.name
                );
                context.reporter().tell(Progress::Note { level: Level::Warning, text });
            }
        }
    }
}

/// Runs a provider's program for one service, in a thread of its own: it reads a pipe.
async fn ask(
    context: &Context,
    target: &Target,
    service: Service,
    order: Order,
) -> Result<Variables, CliError> {
    let Some(provider) = service.provider.clone() else { return Ok(Variables::default()) };
    let path = program(&provider.kind, context)?;
    let project = target.name.clone();
    let environment = target.environment.clone();
    let mut reporter = context.reporter();
    let asked = tokio::task::spawn_blocking(move || {
        let command = |arguments: &[String]| {
            let mut command = Command::new(&path);
            command.arg("compose").args(arguments).envs(environment.expose()).stdin(Stdio::null());
            command
        };
        let metadata = Metadata::of(command(&["metadata".to_owned()]));
        let Some(arguments) = arguments(&project, &service.name, &provider, order, &metadata)? else {
            return Ok(Variables::default());
        };
        perform(command(&arguments), &service.name, order, &mut reporter)
    });
    tokio::select! {
        asked = asked => asked.map_err(|_panic| CliError::said("asking a provider failed"))?,
        // The program is in the terminal's group and hears of it as well.
        _ = tokio::signal::ctrl_c() => Err(CliError::Interrupted),
    }
}

fn perform(
    mut command: Command,
    service: &str,
    order: Order,
    reporter: &mut Reporter,
) -> Result<Variables, CliError> {
    let (begun, done) = order.actions();
    say(reporter, service, begun, None);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(CliError::io(format!("start the provider of service {service}")))?;
    let heard = hear(&mut child, service, begun, reporter);
    if heard.is_err() {
        // Nobody listens to it any more.
        let _ = child.kill();
    }
    let status = child.wait().map_err(CliError::io("wait for a provider"))?;
    let variables =
        heard.inspect_err(|error| say(reporter, service, Action::Failed, Some(error.to_string())))?;
    if !status.success() {
        let message = format!("failed to {} service provider: {status}", order.deed());
        say(reporter, service, Action::Failed, Some(message.clone()));
        return Err(CliError::said(format!("service {service}: {message}")));
    }
    say(reporter, service, done, None);
    Ok(variables)
}

fn hear(
    child: &mut Child,
    service: &str,
    begun: Action,
    reporter: &mut Reporter,
) -> Result<Variables, CliError> {
    let mut variables = Variables::default();
    let Some(stdout) = child.stdout.take() else { return Ok(variables) };
    let wrong =
        |what: &str| CliError::said(format!("service {service}: invalid response from plugin: {what}"));
    for document in Deserializer::from_reader(stdout.take(SAID_BYTES_MAX)).into_iter::<Value>() {
        let document = document.map_err(|_| wrong("it is no JSON"))?;
        let text = |key: &str| document.get(key).and_then(Value::as_str).unwrap_or_default();
        let message = text("message");
        match text("type") {
            "error" => return Err(CliError::said(format!("service {service}: {}", message.trim_end()))),
            "info" => say(reporter, service, begun, message.lines().next().map(str::to_owned)),
            kind @ ("setenv" | "rawsetenv") => {
                // The value may be a secret: it is not told.
                let (name, value) =
                    message.split_once('=').ok_or_else(|| wrong("a variable without a value"))?;
                let into = if kind == "setenv" { &mut variables.prefixed } else { &mut variables.raw };
                into.insert(name.to_owned(), value.to_owned());
                if into.len() > VARIABLES_MAX {
                    return Err(wrong("too many variables"));
                }
            }
            "debug" => {}
            other => return Err(wrong(other)),
        }
    }
    Ok(variables)
}

fn say(reporter: &mut Reporter, service: &str, action: Action, detail: Option<String>) {
    reporter.tell(Progress::Object {
        object: ObjectKind::Service,
        name: service.to_owned(),
        service: Some(service.to_owned()),
        action,
        detail,
        elapsed_ms: 0,
    });
}

/// The arguments after `compose`; `None`: the program does not know this order.
fn arguments(
    project: &str,
    service: &str,
    provider: &Provider,
    order: Order,
    metadata: &Metadata,
) -> Result<Option<Vec<String>>, CliError> {
    let parameters = match (order, metadata.0.get(order.word())) {
        (Order::Stop, None | Some(Value::Null)) => return Ok(None),
        (_, block) => block.and_then(|block| block.get("parameters")).and_then(Value::as_array),
    };
    let parameters = parameters.map(Vec::as_slice).unwrap_or_default();
    let named = |one: &Value| one.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let known: BTreeSet<String> = parameters.iter().map(named).collect();
    let is_required = |one: &&Value| one.get("required").and_then(Value::as_bool) == Some(true);
    let required = parameters.iter().filter(is_required).map(named);
    if let Some(missing) = required.into_iter().find(|name| !provider.options.contains_key(name)) {
        return Err(CliError::said(format!(
            "required parameter {missing:?} is missing from provider {:?} definition",
            provider.kind
        )));
    }
    let mut arguments = vec![format!("--project-name={project}"), order.word().to_owned()];
    for (name, values) in &provider.options {
        if metadata.is_empty() || known.contains(name) {
            arguments.extend(values.iter().map(|value| format!("--{name}={value}")));
        }
    }
    arguments.push(service.to_owned());
    Ok(Some(arguments))
}

/// What a program says about itself.
struct Metadata(Value);

impl Metadata {
    /// What cannot be had or understood is nothing.
    fn of(mut command: Command) -> Self {
        let mut read = || -> Option<Value> {
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
            let mut text = Vec::new();
            let read = child.stdout.take()?.take(METADATA_BYTES_MAX).read_to_end(&mut text);
            let status = child.wait().ok()?;
            read.ok().filter(|_| status.success())?;
            serde_json::from_slice(&text).ok()
        };
        Self(read().unwrap_or(Value::Null))
    }

    fn is_empty(&self) -> bool {
        let described =
            self.0.get("description").and_then(Value::as_str).is_some_and(|text| !text.is_empty());
        let has = |order: &str| {
            self.0.get(order).and_then(|block| block.get("parameters")).is_some_and(Value::is_array)
        };
        !described && !has("up") && !has("down")
    }
}

/// The program of a provider: a plugin of Docker's command line, or one in `PATH`.
fn program(kind: &str, context: &Context) -> Result<PathBuf, CliError> {
    if kind == "compose" {
        return Err(CliError::said("'compose' is not a valid provider type"));
    }
    if kind.is_empty() || kind.contains('/') {
        return Err(CliError::said(format!("provider type {kind:?} is no name of a program")));
    }
    let variables = context.environment.all();
    let home = variables.get("HOME").map(|home| Path::new(home).join(".docker/cli-plugins"));
    let plugins = home.into_iter().chain(PLUGIN_DIRECTORIES.map(PathBuf::from));
    let path = variables.get("PATH").map(String::as_str).unwrap_or_default();
    let programs = path.split(':').filter(|directory| !directory.is_empty()).map(PathBuf::from);
    plugins
        .map(|directory| directory.join(format!("docker-{kind}")))
        .chain(programs.map(|directory| directory.join(kind)))
        .find(|path| is_executable(path))
        .ok_or_else(|| {
            CliError::said(format!("exec: {kind:?}: executable file not found in $PATH"))
                .with_hint("a `provider` names a program that brings the service up")
        })
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(options: &[(&str, &str)]) -> Provider {
        let options = options.iter().map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()]));
        Provider { kind: "cloud".to_owned(), options: options.collect() }
    }

    #[track_caller]
    fn check(order: Order, metadata: &str, options: &[(&str, &str)], want: Result<Option<&str>, &str>) {
        let metadata = Metadata(serde_json::from_str(metadata).unwrap());
        let found = arguments("p", "db", &provider(options), order, &metadata);
        let found = found.map(|words| words.map(|words| words.join(" "))).map_err(|error| error.to_string());
        assert_eq!(found, want.map(|words| words.map(str::to_owned)).map_err(str::to_owned));
    }

    #[test]
    fn arguments_follow_what_the_program_says_of_itself() {
        let options = [("size", "256"), ("type", "mysql")];
        check(Order::Up, "null", &options, Ok(Some("--project-name=p up --size=256 --type=mysql db")));
        check(Order::Down, "null", &[], Ok(Some("--project-name=p down db")));
        check(Order::Stop, "null", &options, Ok(None));
        let metadata =
            r#"{"description": "d", "stop": {}, "up": {"parameters": [{"name": "type", "required": true}]}}"#;
        check(Order::Up, metadata, &options, Ok(Some("--project-name=p up --type=mysql db")));
        check(Order::Stop, metadata, &options, Ok(Some("--project-name=p stop db")));
        let missing = "required parameter \"type\" is missing from provider \"cloud\" definition";
        check(Order::Up, metadata, &[], Err(missing));
    }
}
