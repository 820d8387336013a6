//! `stats`.

use crate::{
    arguments::Format,
    console,
    context::{Context, unexpected},
    failure::CliError,
    supervisor::{self, Client},
    table, words,
};
use clap::Args;
use mesh_api::{
    message::{Answer, Message},
    request::Request,
    status::UsageRow,
};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    io::{self, IsTerminal},
    time::Duration,
};
use tokio::time::sleep;

/// Time between the two readings of `--no-stream`.
const ONCE_MILLISECONDS: u64 = 500;
/// Time between two readings of a stream.
const STREAM_MILLISECONDS: u64 = 1000;

/// Arguments of `stats`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Services; none: all
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Ignored: what does not run uses nothing
    #[arg(short, long, hide = true)]
    all: bool,
    /// Print one reading and return
    #[arg(long)]
    no_stream: bool,
    /// Cut nothing
    #[arg(long)]
    no_trunc: bool,
    /// Format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let target = context.target()?;
    target.check_services(&arguments.services)?;
    let Some(client) = target.attend().await? else {
        supervisor::say_nothing_there(&target.name);
        return Ok(0);
    };
    let mut before = read(&client, &arguments.services).await?;
    let pause = if arguments.no_stream { ONCE_MILLISECONDS } else { STREAM_MILLISECONDS };
    let clearing = !arguments.no_stream && arguments.format == Format::Table && io::stdout().is_terminal();
    loop {
        sleep(Duration::from_millis(pause)).await;
        let now = read(&client, &arguments.services).await?;
        let clear = if clearing { "\u{1b}[H\u{1b}[2J" } else { "" };
        console::out(&format!("{clear}{}", render(&before, &now, &arguments)));
        if arguments.no_stream {
            return Ok(0);
        }
        before = now;
    }
}

async fn read(client: &Client, services: &[String]) -> Result<Vec<UsageRow>, CliError> {
    let request = Request::Stats { services: services.to_vec() };
    let mut ignore = |_: Message| {};
    match client.call(request, &mut ignore, None).await? {
        Answer::Stats(rows) => Ok(rows),
        _ => Err(unexpected()),
    }
}

fn render(before: &[UsageRow], now: &[UsageRow], arguments: &Arguments) -> String {
    let earlier: HashMap<&str, &UsageRow> = before.iter().map(|row| (row.id.as_str(), row)).collect();
    let readings =
        now.iter().map(|row| Reading::of(earlier.get(row.id.as_str()).copied(), row, arguments.no_trunc));
    match arguments.format {
        Format::Json => readings.map(|reading| format!("{}\n", reading.document())).collect(),
        Format::Table => {
            let rows: Vec<Vec<String>> = readings.map(Reading::row).collect();
            let header = [
                "CONTAINER ID",
                "NAME",
                "CPU %",
                "MEM USAGE / LIMIT",
                "MEM %",
                "NET I/O",
                "BLOCK I/O",
                "PIDS",
            ];
            table::render(&header, &rows)
        }
    }
}

/// One container's usage in words.
struct Reading {
    id: String,
    name: String,
    cpu: String,
    memory: String,
    memory_share: String,
    network: String,
    block: String,
    pids: u64,
}

impl Reading {
    #[allow(clippy::cast_precision_loss, reason = "shown with two digits")]
    fn of(before: Option<&UsageRow>, now: &UsageRow, whole: bool) -> Self {
        let cpu = before.map_or(0.0, |before| {
            let milliseconds = now.at_unix_ms.saturating_sub(before.at_unix_ms).max(1);
            now.cpu_ns.saturating_sub(before.cpu_ns) as f64 / (milliseconds as f64 * 1e6) * 100.0
        });
        let share = match now.memory_limit_bytes {
            0 => 0.0,
            limit => now.memory_bytes as f64 / limit as f64 * 100.0,
        };
        let pair = |left, right| format!("{} / {}", words::decimal_bytes(left), words::decimal_bytes(right));
        Self {
            id: if whole { now.id.clone() } else { now.id.chars().take(12).collect() },
            name: now.name.clone(),
            cpu: format!("{cpu:.2}%"),
            memory: format!(
                "{} / {}",
                words::binary_bytes(now.memory_bytes),
                words::binary_bytes(now.memory_limit_bytes)
            ),
            memory_share: format!("{share:.2}%"),
            network: pair(now.network_received_bytes, now.network_sent_bytes),
            block: pair(now.block_read_bytes, now.block_written_bytes),
            pids: now.pids,
        }
    }

    fn row(self) -> Vec<String> {
        let pids = self.pids.to_string();
        vec![self.id, self.name, self.cpu, self.memory, self.memory_share, self.network, self.block, pids]
    }

    /// Docker's keys.
    fn document(&self) -> Value {
        json!({
            "BlockIO": self.block, "CPUPerc": self.cpu, "Container": self.id, "ID": self.id,
            "MemPerc": self.memory_share, "MemUsage": self.memory, "Name": self.name, "NetIO": self.network,
            "PIDs": self.pids.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_the_difference_of_two_readings() {
        let before = UsageRow {
            id: "a".repeat(64),
            name: "hub-db-1".to_owned(),
            service: "db".to_owned(),
            at_unix_ms: 1000,
            cpu_ns: 0,
            memory_bytes: 64 << 20,
            memory_limit_bytes: 128 << 20,
            pids: 3,
            network_received_bytes: 1000,
            network_sent_bytes: 0,
            block_read_bytes: 0,
            block_written_bytes: 2_500_000,
        };
        let now = UsageRow { at_unix_ms: 2000, cpu_ns: 250_000_000, ..before.clone() };
        let row = Reading::of(Some(&before), &now, false).row();
        let want = [
            "aaaaaaaaaaaa",
            "hub-db-1",
            "25.00%",
            "64.0MiB / 128MiB",
            "50.00%",
            "1.0kB / 0B",
            "0B / 2.5MB",
            "3",
        ];
        assert_eq!(row, want);
        assert_eq!(Reading::of(None, &now, false).cpu, "0.00%");
    }
}
