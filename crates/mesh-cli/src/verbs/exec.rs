//! `exec`: the program runs from our own process, so that terminal, pipes and signals are ours.

pub(crate) mod line;

use crate::{
    RunThroughDoor, ThroughDoor,
    context::{Context, Target},
    environment::Environment,
    failure::CliError,
    invocation::{become_command, command_told, through_door, with_terminal},
    reading::Circumstances,
    supervisor, terminal,
};
use clap::{ArgAction, Args};
use mesh_api::{message::Answer, options::ExecOptions, request::Request};
use std::{
    collections::BTreeMap,
    io::{self, PipeWriter},
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    process::Stdio,
    time::Instant,
};

/// Arguments of `exec`.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct Arguments {
    /// Service
    #[arg(value_name = "SERVICE")]
    pub(crate) service: String,
    /// Program and its arguments
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
    /// Leave it running and return
    #[arg(short, long)]
    detach: bool,
    /// Variable for the program: NAME=VALUE, or NAME to pass on one's own
    #[arg(short, long, value_name = "VARIABLE")]
    env: Vec<String>,
    /// Allocate no terminal
    #[arg(short = 'T', long, alias = "no-TTY", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false, action = ArgAction::Set)]
    pub(crate) no_tty: bool,
    /// Pass standard input on
    #[arg(short, long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = true, action = ArgAction::Set)]
    interactive: bool,
    /// Ignored: a terminal is allocated where there is one
    #[arg(short, long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = true, action = ArgAction::Set)]
    tty: bool,
    /// User, as name or number
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    /// Working directory in the container
    #[arg(short, long, value_name = "DIRECTORY")]
    workdir: Option<String>,
    /// Number of the container of the service, from 1
    #[arg(long, value_name = "NUMBER")]
    pub(crate) index: Option<u32>,
    /// Keep all capabilities
    #[arg(long)]
    privileged: bool,
}

impl Arguments {
    /// Whether the program gets a terminal.
    fn has_terminal(&self) -> bool {
        self.interactive && self.tty && !self.no_tty && !self.detach && terminal::is_interactive()
    }

    /// Those of a program alone, at a terminal where there is one.
    pub(super) fn of_program(
        service: String,
        command: Vec<String>,
        user: Option<String>,
        index: Option<u32>,
    ) -> Self {
        Self {
            service,
            command,
            detach: false,
            env: Vec::new(),
            no_tty: false,
            interactive: true,
            tty: true,
            user,
            workdir: None,
            index,
            privileged: false,
        }
    }
}

/// What became of a program that was to be run at once.
pub(crate) enum AtOnce {
    /// It ran, and ended by this code.
    Ran(u8),
    /// Nobody was asked, and nothing was read.
    Unasked,
    /// Nobody had an answer to this at once.
    Unanswered(Box<Asked>),
}

/// Whom to ask, and for what.
pub(crate) struct Asked {
    target: Target,
    request: Request,
}

/// Does it where the files of the project are known and the supervisor has an answer at once; the code. In every other
/// case nothing was begun.
pub(crate) fn run_as_known(
    run: RunThroughDoor,
    arguments: &Arguments,
    environment: &Environment,
    circumstances: &Circumstances,
) -> Result<Option<u8>, CliError> {
    if arguments.has_terminal() {
        return Ok(None);
    }
    let Some(reading) = circumstances.recall().filter(|reading| reading.has(&arguments.service)) else {
        return Ok(None);
    };
    let request = request(arguments, environment)?;
    let (ended, ending) = io::pipe().map_err(CliError::io("make a pipe"))?;
    let paths = circumstances.paths(&reading);
    let asked = Instant::now();
    let Some(answer) = supervisor::answer_at_once(&paths, request, Some([ended.as_fd(); 3])) else {
        // Somebody who hangs is not asked again.
        return match asked.elapsed() < supervisor::ANSWER_MAX {
            true => Ok(None),
            false => Err(CliError::said(format!(
                "the project's supervisor takes longer than {} s to answer; its log is {}",
                supervisor::ANSWER_MAX.as_secs(),
                paths.log.display()
            ))),
        };
    };
    drop(ended);
    without_terminal(run, arguments, answer, ending).map(Some)
}

/// Does it where it needs no terminal and the supervisor has an answer at once, which is nearly always so: without a
/// runtime, which takes longer to make than the answer. What was read is kept for the next time.
pub(crate) fn run_at_once(
    context: &Context,
    arguments: &Arguments,
    circumstances: Option<&Circumstances>,
) -> Result<AtOnce, CliError> {
    if arguments.has_terminal() {
        return Ok(AtOnce::Unasked);
    }
    let asked = asked(context, arguments)?;
    let (ended, ending) = io::pipe().map_err(CliError::io("make a pipe"))?;
    let Some(answer) = asked.target.answer_at_once(&asked.request, Some(ended.as_fd())) else {
        return Ok(AtOnce::Unanswered(Box::new(asked)));
    };
    drop(ended);
    // Before the program runs: its end is waited for, and what changes meanwhile is not what was read.
    if let Some(circumstances) = circumstances {
        circumstances.keep(&asked.target);
    }
    let run = context.hooks.run_through_door;
    without_terminal(run, arguments, answer, ending).map(AtOnce::Ran)
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let Asked { target, request } = asked(context, &arguments)?;
    let tty = arguments.has_terminal();
    let keys = if tty { terminal::detach_keys(None, &context.environment)? } else { Vec::new() };
    // The supervisor tells those who listen to events how the program ends; it does not see that itself.
    let (ended, ending) = io::pipe().map_err(CliError::io("make a pipe"))?;
    let answer = target.ask_at_once(request, Some(ended.as_fd())).await?;
    let answer = answer.ok_or_else(|| not_running(&arguments))?;
    drop(ended);
    if tty {
        return with_terminal(answer, &keys, Some(ending)).await;
    }
    without_terminal(context.hooks.run_through_door, &arguments, answer, ending)
}

/// Does it where nobody had an answer at once.
pub(crate) async fn run_unanswered(
    context: &Context,
    arguments: Arguments,
    asked: Box<Asked>,
) -> Result<u8, CliError> {
    let Asked { target, request } = *asked;
    let (ended, ending) = io::pipe().map_err(CliError::io("make a pipe"))?;
    let answer = target.ask_after_a_look(request, Some(ended.as_fd())).await?;
    let answer = answer.ok_or_else(|| not_running(&arguments))?;
    drop(ended);
    without_terminal(context.hooks.run_through_door, &arguments, answer, ending)
}

fn not_running(arguments: &Arguments) -> CliError {
    CliError::said(format!("service `{}` is not running", arguments.service))
}

fn asked(context: &Context, arguments: &Arguments) -> Result<Asked, CliError> {
    let target = context.own_target()?;
    target.check_services(std::slice::from_ref(&arguments.service))?;
    let request = request(arguments, &context.environment)?;
    Ok(Asked { target, request })
}

fn request(arguments: &Arguments, environment: &Environment) -> Result<Request, CliError> {
    let environment = variables(&arguments.env, environment)?;
    check_directory(arguments.workdir.as_deref())?;
    Ok(Request::Exec(ExecOptions {
        service: arguments.service.clone(),
        index: arguments.index.filter(|index| *index > 0),
        command: arguments.command.clone(),
        environment,
        user: arguments.user.clone(),
        working_dir: arguments.workdir.clone(),
        tty: arguments.has_terminal(),
        privileged: arguments.privileged,
        detach: arguments.detach,
    }))
}

/// Has the program run on our streams as they are.
fn without_terminal(
    run: impl Fn(&Path, &[u8], [BorrowedFd<'_>; 3]) -> Option<ThroughDoor>,
    arguments: &Arguments,
    answer: Answer,
    ending: PipeWriter,
) -> Result<u8, CliError> {
    if let Some(code) = through_door(run, &answer, arguments.interactive, &ending) {
        return Ok(code);
    }
    let mut command = command_told(answer, ending)?;
    if !arguments.interactive {
        command.stdin(Stdio::null());
    }
    become_command(command)
}

/// `NAME=VALUE` as it is; `NAME` with our own value, or left out where there is none.
pub(super) fn variables(
    given: &[String],
    environment: &Environment,
) -> Result<BTreeMap<String, String>, CliError> {
    if let Some(nameless) = given.iter().find(|text| text.is_empty() || text.starts_with('=')) {
        return Err(CliError::said(format!("invalid environment variable: {nameless}")));
    }
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => environment.all().get(text).map(|value| (text.clone(), value.clone())),
    };
    Ok(given.iter().filter_map(pair).collect())
}

/// A directory of a container is named from its root.
pub(super) fn check_directory(directory: Option<&str>) -> Result<(), CliError> {
    match directory.filter(|directory| !directory.starts_with('/') && !directory.is_empty()) {
        None => Ok(()),
        Some(directory) => Err(CliError::said(format!(
            "the working directory '{directory}' is invalid, it needs to be an absolute path"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_given_or_passed_on() {
        let environment = Environment::of(&[("B", "own")]);
        let given = ["A=1=2".to_owned(), "B".to_owned(), "C".to_owned(), "D=".to_owned()];
        let want = [("A", "1=2"), ("B", "own"), ("D", "")];
        let want = want.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(variables(&given, &environment).unwrap(), BTreeMap::from(want));
        for nameless in ["", "=", "=x"] {
            assert!(variables(&[nameless.to_owned()], &environment).is_err(), "{nameless:?}");
        }
    }
}
