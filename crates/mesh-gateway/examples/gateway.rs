//! The gateway as a program of its own, for trying and measuring: `cargo run -p mesh-gateway --example gateway -- FLAGS`.

use std::process::ExitCode;
use tracing_subscriber::filter::LevelFilter;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    ExitCode::from(mesh_gateway::process::main(&arguments, &|log| {
        let level: LevelFilter = log.level.parse().unwrap_or(LevelFilter::ERROR);
        let subscriber = tracing_subscriber::fmt().with_max_level(level).with_ansi(false);
        subscriber.log_internal_errors(false).with_writer(log.writer.clone()).init();
    }))
}
