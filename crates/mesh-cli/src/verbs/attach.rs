//! Staying with services after `up`: their output, their exits, and Ctrl+C.

use crate::{
    console,
    context::{Context, Target, containers},
    failure::CliError,
    journal::{Feed, Look, Printer, Selection},
    settings::ProgressMode,
    supervisor::Client,
};
use mesh_api::{
    message::{Event, Message},
    request::Request,
    status::{ContainerStatus, State},
};
use mesh_journal::Query;
use std::{collections::BTreeSet, pin::Pin, time::Duration};
use tokio::{
    signal::ctrl_c,
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

/// Time between two looks into the journals.
pub(super) const LOOK_MILLISECONDS: u64 = 50;
/// Looks into the journals between two looks for new ones.
pub(super) const LOOKS_PER_DISCOVERY: u32 = 10;
/// What is said at the first Ctrl+C.
const STOPPING: &str = "\nGracefully stopping... (press Ctrl+C again to force)";
/// Events that wait while lines are printed; more than these are noticed by asking.
const EVENTS_MAX: usize = 256;

/// What is shown, and what ends it.
#[derive(Debug)]
pub(super) struct Options {
    /// Services; empty: all.
    pub(super) services: Vec<String>,
    /// Services left out.
    pub(super) without: BTreeSet<String>,
    /// Whether an exit ends everything.
    pub(super) abort: Abort,
    /// Grace period when everything is stopped, in seconds.
    pub(super) timeout_seconds: Option<u32>,
    /// How lines look.
    pub(super) look: Look,
}

/// Whether an exit ends everything.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Abort {
    /// No.
    Never,
    /// Any exit does.
    OnExit,
    /// An exit with another code than 0 does.
    OnFailure,
    /// Any exit does, and this service's code is the command's.
    WithCodeOf(String),
}

/// Shows output until everything stopped, an exit ends it, or Ctrl+C does. Gives the exit code.
pub(super) async fn follow(
    context: &Context,
    target: &Target,
    client: &Client,
    options: Options,
    since_unix_ns: u64,
) -> Result<u8, CliError> {
    let mut screen = Screen::new(target, &options, since_unix_ns);
    let (sender, mut events) = mpsc::channel(EVENTS_MAX);
    let mut forward = |message| {
        if let Message::Event(event) = message {
            let _ = sender.try_send(event);
        }
    };
    let listening = client.call(Request::Events, &mut forward, None);
    tokio::pin!(listening);
    if matches!(context.settings.progress, ProgressMode::Live | ProgressMode::Plain) {
        say_who(client, &options).await?;
    }
    let mut looks = interval(Duration::from_millis(LOOK_MILLISECONDS));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut look = 0_u32;
    // What ends it, once something does: the exit code, or none yet.
    let code = loop {
        tokio::select! {
            _ = looks.tick() => {
                screen.refresh(look.is_multiple_of(LOOKS_PER_DISCOVERY))?;
                // Also once at the beginning: jobs may be over before anybody listened.
                if look.is_multiple_of(20 * LOOKS_PER_DISCOVERY) && all_stopped(client, &options).await? {
                    screen.refresh(true)?;
                    return Ok(0);
                }
                look = look.wrapping_add(1);
            }
            Some(event) = events.recv() => {
                let Some(code) = exit_of(&event, &options) else { continue };
                screen.refresh(true)?;
                say_exit(&event, &target.name, code);
                if aborts(&options.abort, code) {
                    console::err_line("Aborting on container exit...");
                    break Some(code);
                }
                if all_stopped(client, &options).await? {
                    screen.refresh(true)?;
                    return Ok(0);
                }
            }
            ended = &mut listening => {
                screen.refresh(true)?;
                ended?;
                return Ok(0);
            }
            _ = ctrl_c() => {
                console::err_line(STOPPING);
                break None;
            }
        }
    };
    let mut stopping: Pin<Box<dyn Future<Output = _>>> =
        Box::pin(context.ask_in_lines(client, stop_all(options.timeout_seconds)));
    let (mut listens, mut interrupts) = (true, 0);
    loop {
        tokio::select! {
            stopped = &mut stopping => {
                stopped?;
                break;
            }
            _ = looks.tick() => screen.refresh(true)?,
            Some(event) = events.recv() => {
                if let Some(code) = exit_of(&event, &options) {
                    screen.refresh(true)?;
                    say_exit(&event, &target.name, code);
                }
            }
            _ = &mut listening, if listens => listens = false,
            _ = ctrl_c() => {
                interrupts += 1;
                // The first one is what brought us here, unless an exit did.
                if interrupts > 1 {
                    return Ok(130);
                }
                stopping = Box::pin(context.ask_in_lines(client, kill_all()));
            }
        }
    }
    screen.refresh(true)?;
    match code {
        Some(code) if interrupts == 0 => final_code(client, &options.abort, code).await,
        _ => Ok(130),
    }
}

/// Says whose output follows.
async fn say_who(client: &Client, options: &Options) -> Result<(), CliError> {
    let prefix = |container: &ContainerStatus| {
        let own = container.name.strip_prefix(&format!("{}-", container.project));
        own.unwrap_or(&container.name).to_owned()
    };
    let names: Vec<String> = containers(client)
        .await?
        .iter()
        .filter(|container| is_watched(container, options) && !options.without.contains(&container.service))
        .map(prefix)
        .collect();
    if !names.is_empty() {
        console::err_line(&format!("Attaching to {}", names.join(", ")));
    }
    Ok(())
}

fn say_exit(event: &Event, project: &str, code: i32) {
    let name = event.name.strip_prefix(&format!("{project}-")).unwrap_or(&event.name);
    console::out_line(&format!("{name} exited with code {code}"));
}

/// The feed and the printer together.
struct Screen {
    feed: Feed,
    printer: Printer,
}

impl Screen {
    fn new(target: &Target, options: &Options, since_unix_ns: u64) -> Self {
        let mut selection =
            Selection::of(&target.name, target.paths.journal.clone(), target.project.as_deref());
        selection.services.clone_from(&options.services);
        selection.without.clone_from(&options.without);
        let query = Query { since_unix_ns: Some(since_unix_ns), ..Query::default() };
        Self { feed: Feed::new(selection, query), printer: Printer::new(options.look) }
    }

    fn refresh(&mut self, discover: bool) -> Result<(), CliError> {
        let mut records = if discover { self.feed.discover()? } else { Vec::new() };
        self.printer.expect(self.feed.labels());
        records.extend(self.feed.poll()?);
        self.printer.print(records);
        Ok(())
    }
}

/// The exit code that an event tells of, if it is about a service that is watched.
fn exit_of(event: &Event, options: &Options) -> Option<i32> {
    if event.action != "die" || options.without.contains(&event.service) {
        return None;
    }
    let watched = options.services.is_empty() || options.services.contains(&event.service);
    let aborting = options.abort != Abort::Never;
    (watched || aborting)
        .then(|| event.attributes.get("exitCode").and_then(|code| code.parse().ok()).unwrap_or(0))
}

fn aborts(abort: &Abort, code: i32) -> bool {
    match abort {
        Abort::Never => false,
        Abort::OnExit | Abort::WithCodeOf(_) => true,
        Abort::OnFailure => code != 0,
    }
}

async fn final_code(client: &Client, abort: &Abort, first: i32) -> Result<u8, CliError> {
    let code = match abort {
        Abort::WithCodeOf(service) => containers(client)
            .await?
            .into_iter()
            .find(|container| container.service == *service)
            .and_then(|container| container.exit_code)
            .unwrap_or(first),
        _ => first,
    };
    Ok(u8::try_from(code & 0xff).unwrap_or(1))
}

async fn all_stopped(client: &Client, options: &Options) -> Result<bool, CliError> {
    let containers = containers(client).await?;
    Ok(containers
        .iter()
        .filter(|container| is_watched(container, options))
        .all(|container| is_over(container.state)))
}

fn is_watched(container: &ContainerStatus, options: &Options) -> bool {
    !container.one_off && (options.services.is_empty() || options.services.contains(&container.service))
}

/// Whether nothing more comes from a container by itself.
pub(super) fn is_over(state: State) -> bool {
    match state {
        State::Exited | State::Dead | State::Created => true,
        State::Waiting | State::Running | State::Paused | State::Restarting => false,
    }
}

fn stop_all(timeout_seconds: Option<u32>) -> Request {
    Request::Stop { services: Vec::new(), timeout_seconds }
}

fn kill_all() -> Request {
    Request::Kill { services: Vec::new(), signal: "SIGKILL".to_owned(), remove_orphans: false }
}

/// Stops everything in order before anything is shown; a second Ctrl+C kills. Exit code 130 either way.
pub(super) async fn stop_gracefully(
    context: &Context,
    client: &Client,
    timeout_seconds: Option<u32>,
) -> Result<u8, CliError> {
    console::err_line(STOPPING);
    tokio::select! {
        stopped = context.ask_in_lines(client, stop_all(timeout_seconds)) => drop(stopped?),
        _ = ctrl_c() => drop(context.ask_in_lines(client, kill_all()).await?),
    }
    Ok(130)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exits_end_what_they_shall() {
        for (abort, code, want) in [
            (Abort::Never, 1, false),
            (Abort::OnExit, 0, true),
            (Abort::OnFailure, 0, false),
            (Abort::OnFailure, 2, true),
            (Abort::WithCodeOf("x".to_owned()), 0, true),
        ] {
            assert_eq!(aborts(&abort, code), want, "{abort:?} {code}");
        }
    }
}
