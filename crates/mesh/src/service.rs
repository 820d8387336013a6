//! `mesh service NAME -- ARGUMENTS`: an embedded service as a process of its own.

use crate::json_lines::JsonLines;
use std::{
    io::{self, Write as _},
    process::ExitCode,
};
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt as _,
    registry, reload,
    util::SubscriberInitExt as _,
};

/// The services that are inside of the binary.
const THERE: &str = "\"gateway\", \"vault\" and \"whoami\"";

/// What names a service and hands it the rest.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["vault", "--", "server", ..] => vault(&arguments[3..]),
        ["vault", "server", ..] => vault(&arguments[2..]),
        ["vault", ..] => fail("mesh service vault -- server [options]: nothing else is run as a service"),
        ["gateway", "--", ..] => gateway(&arguments[2..]),
        ["gateway", ..] => gateway(&arguments[1..]),
        ["whoami", "--", ..] => whoami(&arguments[2..]),
        ["whoami", ..] => whoami(&arguments[1..]),
        [name, ..] => fail(&format!("there is no embedded service {name:?}: there are {THERE}")),
        [] => fail(&format!("mesh service NAME -- ARGUMENTS: there are {THERE}")),
    }
}

/// `traefik` with what follows it.
pub(crate) fn gateway(arguments: &[String]) -> ExitCode {
    ExitCode::from(mesh_gateway::process::main(arguments, &|log| {
        let told = registry().with(filter(&log.level, "mesh_gateway"));
        let lines = fmt::layer().with_writer(log.writer.clone()).with_ansi(false).log_internal_errors(false);
        if log.json {
            told.with(lines.event_format(JsonLines)).init();
        } else {
            told.with(lines).init();
        }
    }))
}

/// `whoami` with what follows it.
pub(crate) fn whoami(arguments: &[String]) -> ExitCode {
    ExitCode::from(mesh_whoami::main(arguments))
}

/// `vault server` with what follows it.
pub(crate) fn vault(arguments: &[String]) -> ExitCode {
    let set_level = leveled("mesh_vault");
    ExitCode::from(mesh_vault::process::main(arguments, &set_level))
}

/// Starts the log of a service, on standard error; the result sets how much of it is told.
fn leveled(own: &'static str) -> impl Fn(&str) {
    let (told, level) = reload::Layer::new(Targets::new().with_default(LevelFilter::INFO));
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(false).log_internal_errors(false);
    registry().with(told).with(lines).init();
    move |word: &str| {
        if level.reload(filter(word, own)).is_err() {
            tracing::warn!("the log level could not be changed");
        }
    }
}

/// What a service tells at a level. Libraries say at debug and trace what nobody asked a service, and that of HTTP/2 warns
/// of what any client may send as often as it likes.
fn filter(level: &str, own: &str) -> Targets {
    let others = if level == "error" { LevelFilter::ERROR } else { LevelFilter::WARN };
    let told = Targets::new().with_default(others).with_target("h2", LevelFilter::ERROR);
    match level.parse::<LevelFilter>() {
        Ok(level) => told.with_target(own, level),
        Err(_) => told,
    }
}

fn fail(message: &str) -> ExitCode {
    // Without a reader there is nobody to tell.
    let _ = writeln!(io::stderr().lock(), "{message}");
    ExitCode::from(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn libraries_tell_less_than_the_service() {
        for (level, module, at, expected) in [
            ("debug", "mesh_vault::core", Level::DEBUG, true),
            ("debug", "hyper", Level::INFO, false),
            ("info", "h2::proto", Level::WARN, false),
            ("error", "rustls", Level::WARN, false),
            ("none of them", "mesh_vault", Level::WARN, true),
        ] {
            let told = filter(level, "mesh_vault").would_enable(module, &at);
            assert_eq!(told, expected, "{level} {module} {at}");
        }
    }
}
