//! Staying with services after `up`: their output, their exits, and Ctrl+C.

use crate::{
    console,
    context::{Context, Target, containers},
    failure::CliError,
    journal::{Feed, Look, Printer, Selection},
    menu::{Key, Menu},
    settings::ProgressMode,
    supervisor::Client,
    watch::Watcher,
    words,
};
use mesh_api::{
    message::{Event, Message},
    request::Request,
    status::{ContainerStatus, State},
};
use mesh_journal::Query;
use std::{collections::BTreeSet, pin::Pin, time::Duration};
use tokio::{
    signal::{
        ctrl_c,
        unix::{SignalKind, signal},
    },
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
    /// Services whose ends matter, and that are stopped at the end; empty: those that are shown, and all.
    pub(super) named: Vec<String>,
    /// Whether an exit ends everything.
    pub(super) abort: Abort,
    /// Service whose code is the command's.
    pub(super) code_of: Option<String>,
    /// Grace period when everything is stopped, in seconds.
    pub(super) timeout_seconds: Option<u32>,
    /// How lines look.
    pub(super) look: Look,
    /// Keys do something.
    pub(super) menu: bool,
    /// Files are watched from the beginning.
    pub(super) watch: bool,
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
}

/// Shows output until everything stopped, an exit ends it, or Ctrl+C does. Gives the exit code.
pub(super) async fn follow(
    context: &Context,
    target: &Target,
    client: &Client,
    options: Options,
    since_unix_ns: u64,
) -> Result<u8, CliError> {
    // From here on none is lost, whatever is being done when it comes.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(CliError::io("watch for SIGINT"))?;
    let mut screen = Screen::new(target, &options, since_unix_ns);
    let (sender, mut events) = mpsc::channel(EVENTS_MAX);
    let mut forward = |message| {
        if let Message::Event(event) = message {
            let _ = sender.try_send(event);
        }
    };
    // What ended while `up` itself went on is heard of too.
    let since_unix_ms = Some(since_unix_ns / 1_000_000);
    let listening = client.call(Request::Events { since_unix_ms, programs: false }, &mut forward, None);
    tokio::pin!(listening);
    let mut witness = Witness::new(client).await?;
    if matches!(context.settings.progress, ProgressMode::Live | ProgressMode::Plain) {
        say_who(client, &options).await?;
    }
    let mut looks = interval(Duration::from_millis(LOOK_MILLISECONDS));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut look = 0_u32;
    let mut aside = Aside::open(context, target, client, &options);
    // What ends it, once something does: the exit code, or none yet.
    let code = loop {
        tokio::select! {
            () = aside.detached() => {
                screen.refresh(true)?;
                return Ok(0);
            }
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
                let Some(code) = witness.exit_of(client, &event, &options).await? else { continue };
                screen.refresh(true)?;
                witness.say_exit(&event, &target.name, code);
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
            _ = interrupt.recv() => {
                console::err_line(STOPPING);
                break None;
            }
        }
    };
    drop(aside);
    let mut stopping: Pin<Box<dyn Future<Output = _>>> =
        Box::pin(context.ask_in_lines(client, stop_all(&options.named, options.timeout_seconds)));
    let (mut listens, mut interrupts) = (true, 0);
    loop {
        tokio::select! {
            stopped = &mut stopping => {
                stopped?;
                break;
            }
            _ = looks.tick() => screen.refresh(true)?,
            Some(event) = events.recv() => {
                if let Some(code) = witness.exit_of(client, &event, &options).await? {
                    screen.refresh(true)?;
                    witness.say_exit(&event, &target.name, code);
                }
            }
            _ = &mut listening, if listens => listens = false,
            _ = interrupt.recv() => {
                interrupts += 1;
                // The first one is what brought us here, unless an exit did.
                if interrupts > 1 {
                    return Ok(130);
                }
                stopping = Box::pin(context.ask_in_lines(client, kill_all(&options.named)));
            }
        }
    }
    screen.refresh(true)?;
    match code {
        Some(code) if interrupts == 0 => final_code(client, options.code_of.as_deref(), code).await,
        _ => Ok(130),
    }
}

/// The watching of files, which goes on until something fails.
type Watching<'a> = Pin<Box<dyn Future<Output = Result<(), CliError>> + 'a>>;

/// What goes on beside the output: keys, and the watching of files.
struct Aside<'a> {
    context: &'a Context,
    target: &'a Target,
    client: &'a Client,
    services: Vec<String>,
    menu: Option<Menu>,
    watching: Option<Watching<'a>>,
}

impl<'a> Aside<'a> {
    fn open(context: &'a Context, target: &'a Target, client: &'a Client, options: &Options) -> Self {
        let services = options.named.clone();
        let mut aside = Self { context, target, client, services, menu: None, watching: None };
        if options.menu {
            aside.menu = Menu::open(false);
        }
        if options.watch {
            aside.toggle_watch();
        }
        aside
    }

    /// Resolves once the key was typed that leaves everything to itself.
    async fn detached(&mut self) {
        loop {
            let Self { menu, watching, .. } = self;
            let typed = async {
                match menu {
                    Some(menu) => menu.key().await,
                    None => std::future::pending().await,
                }
            };
            let watched = async {
                match watching {
                    Some(watching) => watching.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                key = typed => match key {
                    Key::Detach => return self.menu = None,
                    Key::Watch => self.toggle_watch(),
                },
                ended = watched => {
                    self.watching = None;
                    if let Err(error) = ended {
                        console::err_line(&error.render(self.context.settings.error_colour));
                    }
                    self.show_menu();
                }
            }
        }
    }

    fn toggle_watch(&mut self) {
        if self.watching.take().is_some() {
            say_watching("Watch disabled");
        } else {
            let (context, target, client) = (self.context, self.target, self.client);
            let services = self.services.clone();
            self.watching = Some(Box::pin(async move {
                Watcher::open(context, target, client, &services, say_watching)?.run().await
            }));
        }
        self.show_menu();
    }

    fn show_menu(&self) {
        if let Some(menu) = &self.menu {
            menu.show(self.watching.is_some());
        }
    }
}

/// A line of the watching of files, among those of services.
fn say_watching(line: &str) {
    console::out_line(&format!("  \u{29bf} {line}"));
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

/// What is known of containers beyond their events.
struct Witness {
    /// From when on events are news.
    begun_unix_ms: u64,
    /// The containers that were there then.
    known: BTreeSet<String>,
    /// Those that ran out of memory, whose end follows.
    out_of_memory: BTreeSet<String>,
}

impl Witness {
    async fn new(client: &Client) -> Result<Self, CliError> {
        let begun_unix_ms = words::now_unix_ms();
        let known = containers(client).await?.into_iter().map(|container| container.id).collect();
        Ok(Self { begun_unix_ms, known, out_of_memory: BTreeSet::new() })
    }

    /// The exit code that an event tells of, if it is about a container that matters.
    async fn exit_of(
        &mut self,
        client: &Client,
        event: &Event,
        options: &Options,
    ) -> Result<Option<i32>, CliError> {
        if event.action == "oom" {
            self.out_of_memory.insert(event.id.clone());
        }
        let replaced = event.at_unix_ms < self.begun_unix_ms && !self.known.contains(&event.id);
        let code = exit_of(event, options).filter(|_| !replaced);
        if code.is_some() {
            let all = containers(client).await?;
            if all.iter().any(|container| container.id == event.id && container.one_off) {
                return Ok(None);
            }
        }
        Ok(code)
    }

    fn say_exit(&self, event: &Event, project: &str, code: i32) {
        let name = event.name.strip_prefix(&format!("{project}-")).unwrap_or(&event.name);
        let why = if self.out_of_memory.contains(&event.id) { " (out of memory)" } else { "" };
        console::out_line(&format!("{name} exited with code {code}{why}"));
    }
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
    matters(&event.service, options)
        .then(|| event.attributes.get("exitCode").and_then(|code| code.parse().ok()).unwrap_or(0))
}

fn aborts(abort: &Abort, code: i32) -> bool {
    match abort {
        Abort::Never => false,
        Abort::OnExit => true,
        Abort::OnFailure => code != 0,
    }
}

async fn final_code(client: &Client, code_of: Option<&str>, first: i32) -> Result<u8, CliError> {
    let code = match code_of {
        Some(service) => containers(client)
            .await?
            .into_iter()
            .find(|container| container.service == service && !container.one_off)
            .and_then(|container| container.exit_code)
            .unwrap_or(first),
        None => first,
    };
    Ok(u8::try_from(code & 0xff).unwrap_or(1))
}

async fn all_stopped(client: &Client, options: &Options) -> Result<bool, CliError> {
    let containers = containers(client).await?;
    Ok(containers
        .iter()
        .filter(|container| !container.one_off && matters(&container.service, options))
        .all(|container| is_over(container.state)))
}

fn is_watched(container: &ContainerStatus, options: &Options) -> bool {
    !container.one_off && (options.services.is_empty() || options.services.contains(&container.service))
}

/// Whether the ends of a service's containers matter.
fn matters(service: &String, options: &Options) -> bool {
    let meant = if options.named.is_empty() { &options.services } else { &options.named };
    meant.is_empty() || meant.contains(service)
}

/// Whether nothing more comes from a container by itself.
pub(super) fn is_over(state: State) -> bool {
    match state {
        State::Exited | State::Dead | State::Created => true,
        State::Waiting | State::Starting | State::Running | State::Paused | State::Restarting => false,
    }
}

fn stop_all(services: &[String], timeout_seconds: Option<u32>) -> Request {
    Request::Stop { services: services.to_vec(), timeout_seconds }
}

fn kill_all(services: &[String]) -> Request {
    Request::Kill { services: services.to_vec(), signal: "SIGKILL".to_owned(), remove_orphans: false }
}

/// Stops everything in order before anything is shown; a second Ctrl+C kills. Exit code 130 either way.
pub(super) async fn stop_gracefully(
    context: &Context,
    client: &Client,
    services: &[String],
    timeout_seconds: Option<u32>,
) -> Result<u8, CliError> {
    console::err_line(STOPPING);
    tokio::select! {
        stopped = context.ask_in_lines(client, stop_all(services, timeout_seconds)) => drop(stopped?),
        _ = ctrl_c() => drop(context.ask_in_lines(client, kill_all(services)).await?),
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
        ] {
            assert_eq!(aborts(&abort, code), want, "{abort:?} {code}");
        }
    }
}
