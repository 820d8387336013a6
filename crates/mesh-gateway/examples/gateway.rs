//! The gateway as a program of its own, for trying and measuring: `cargo run -p mesh-gateway --example gateway -- FLAGS`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    ExitCode::from(mesh_gateway::process::main(&arguments, &|log| {
        let subscriber = tracing_subscriber::fmt().with_env_filter(&log.level).with_ansi(false);
        subscriber.log_internal_errors(false).with_writer(log.writer.clone()).init();
    }))
}
