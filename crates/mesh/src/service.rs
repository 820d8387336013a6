//! `mesh service NAME -- ARGUMENTS`: an embedded service as a process of its own.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};
use tracing_subscriber::EnvFilter;

/// What names a service and hands it the rest.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["vault", "--", "server", ..] => vault(&arguments[3..]),
        ["vault", "server", ..] => vault(&arguments[2..]),
        ["vault", ..] => fail("mesh service vault -- server [options]: nothing else is run as a service"),
        [name, ..] => fail(&format!("there is no embedded service {name:?}: there is \"vault\"")),
        [] => fail("mesh service NAME -- ARGUMENTS: there is \"vault\""),
    }
}

/// `vault server` with what follows it.
pub(crate) fn vault(arguments: &[String]) -> ExitCode {
    let logs = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("info"))
        .with_writer(io::stderr)
        .with_ansi(false)
        .log_internal_errors(false)
        .with_filter_reloading();
    let level = logs.reload_handle();
    logs.init();
    let set_level = |word: &str| {
        // Libraries say at debug and trace what nobody asked a vault.
        let filter =
            EnvFilter::new(format!("{},mesh_vault={word}", if word == "error" { "error" } else { "warn" }));
        if level.reload(filter).is_err() {
            tracing::warn!("the log level could not be changed");
        }
    };
    ExitCode::from(mesh_vault::process::main(arguments, &set_level))
}

fn fail(message: &str) -> ExitCode {
    // Without a reader there is nobody to tell.
    let _ = writeln!(io::stderr().lock(), "{message}");
    ExitCode::from(1)
}
