//! The command line of Vault: its verbs, output and exit codes, over its HTTP API.
//!
//! [`run`] is the whole: arguments as Go's `flag` package reads them, an environment of `VAULT_*`, three streams;
//! its result is the exit code. It knows no server but by HTTP: any Vault, OpenBao or our own will do.
//!
//! Invariants: a token is sent to the server and kept in `~/.vault-token` (0600), and is in no error; answers and
//! input are bounded; JSON, YAML and tables are those of Vault, byte for byte where a server says the same.
//! Deliberately absent: `server` and `agent` (another crate is the server), plugins, Raft, namespaces' own verbs,
//! replication, multi-factor logins, PGP.

pub mod api;
mod client;
mod command;
mod data;
mod duration;
mod environment;
mod flags;
mod help;
mod moment;
mod secret;
mod show;
mod table;
mod ui;
mod values;
mod verbs;

#[cfg(test)]
mod tests;

pub use ui::Streams;

use command::Call;
use environment::Environment;
use flags::Flags;
use std::io::{IsTerminal as _, Write as _};
use ui::{Format, Ui};

/// Exit code of a command line that names no command.
const CODE_UNKNOWN: u8 = 127;

/// Runs the command line of this process, behind the name it was called by.
#[must_use]
pub fn main(arguments: &[String]) -> u8 {
    let (mut input, mut output, mut errors) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let is_terminal = output.is_terminal()
        && std::env::var_os("NO_COLOR").is_none()
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    let streams = Streams { input: &mut input, output: &mut output, errors: &mut errors, is_terminal };
    let code = run(arguments, &|name| std::env::var(name).ok(), streams);
    let _ = std::io::stdout().flush();
    code
}

/// Runs a command line; gives its exit code.
pub fn run(arguments: &[String], get: &dyn Fn(&str) -> Option<String>, streams: Streams<'_>) -> u8 {
    let environment = Environment::new(get);
    let (name, detailed) = everywhere(arguments, &environment);
    let mut ui = Ui { streams, format: Format::Table, detailed, quiet: false };
    let Some(format) = Format::of(&name) else {
        ui.error(&format!("Invalid output format: {}", name.to_lowercase()));
        return 1;
    };
    ui.format = format;
    let version = matches!(arguments, [word] if ["-v", "-version", "--version"].contains(&word.as_str()));
    let version = [String::from("version")].into_iter().filter(|_| version);
    let arguments: Vec<String> = match version.collect::<Vec<_>>() {
        none if none.is_empty() => arguments.to_vec(),
        version => version,
    };
    let Some((command, rest)) = command::find(&arguments) else {
        return help::without_command(&mut ui, &arguments);
    };
    let known = [command.flags, command.common(), command::HTTP];
    let (flags, rest) = match Flags::parse(&known, rest) {
        Ok(found) => found,
        Err(text) if text == flags::HELP_WANTED => {
            ui.say(&help::of(command));
            return 0;
        }
        Err(text) => {
            ui.error(&text);
            return 1;
        }
    };
    warn_of_flags(&mut ui, &rest);
    if format == Format::Raw && command.words != ["read"] {
        ui.error("This command does not support the -format=raw option.");
        return 1;
    }
    ui.quiet = flags.is("non-interactive");
    let mut call = Call { ui, flags, arguments: rest, environment };
    match (command.run)(&mut call) {
        Ok(code) => code,
        Err(fault) if fault.as_curl => {
            call.ui.say(&fault.text);
            0
        }
        Err(fault) => {
            if !fault.text.is_empty() {
                call.ui.error(&fault.text);
            }
            fault.code
        }
    }
}

/// What is looked for among all arguments, wherever it stands: the format, and whether details are wanted.
fn everywhere(arguments: &[String], environment: &Environment) -> (String, bool) {
    let (mut format, mut detailed) = (None, None);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == "--" {
            break;
        }
        let Some(name) = argument.strip_prefix('-') else { continue };
        match name.strip_prefix('-').unwrap_or(name).split_once('=') {
            Some(("format", value)) => format = Some(value.to_owned()),
            Some(("detailed", value)) => detailed = Some(flags::truth(value).unwrap_or(false)),
            None if name.trim_start_matches('-') == "format" => format = rest.next().cloned(),
            None if name.trim_start_matches('-') == "detailed" => detailed = Some(true),
            _ => {}
        }
    }
    let format = format.filter(|text| !text.is_empty()).or_else(|| environment.text("VAULT_FORMAT"));
    let told = || environment.text("VAULT_DETAILED").and_then(|text| flags::truth(&text));
    (format.unwrap_or_default(), detailed.or_else(told).unwrap_or(false))
}

/// Flags behind an argument are none; whoever wrote them is told.
fn warn_of_flags(ui: &mut Ui<'_>, arguments: &[String]) {
    const GLOBAL: [&str; 4] = ["output-curl-string", "output-policy", "format", "detailed"];
    let late: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|text| text.len() > 1 && text.starts_with('-'))
        .filter(|text| !GLOBAL.contains(&text.trim_start_matches('-').split('=').next().unwrap_or_default()))
        .collect();
    if !late.is_empty() && ui.format == Format::Table {
        ui.warn(&format!(
            "Command flags must be provided before positional arguments. The following arguments will not be parsed \
             as flags: [{}]",
            late.join(",")
        ));
    }
}
