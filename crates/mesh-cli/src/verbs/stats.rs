//! `stats`.

use crate::{
    console,
    context::{Context, containers, unexpected},
    failure::CliError,
    layout::{Layout, TABLE},
    supervisor::Client,
    template::Subject,
    words,
};
use clap::Args;
use mesh_api::{
    message::{Answer, Message},
    request::Request,
    status::UsageRow,
};
use std::{
    collections::HashMap,
    io::{self, IsTerminal},
    time::Duration,
};
use tokio::time::sleep;

/// Time between two readings.
const INTERVAL_MILLISECONDS: u64 = 500;
/// Digits of a short id.
const SHORT_ID_DIGITS: usize = 12;
/// Moves a terminal's cursor to the top left.
const TO_THE_TOP: &str = "\u{1b}[H";
/// Clears a terminal from the cursor to the end of the line.
const CLEAR_LINE: &str = "\u{1b}[K";
/// Clears a terminal from the cursor on.
const CLEAR_REST: &str = "\u{1b}[J";

/// What `stats` can show.
const LAYOUT: Layout<'_> = Layout {
    table: "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}",
    raw: None,
    headers: &[
        ("Container", "CONTAINER"),
        ("Name", "NAME"),
        ("ID", "CONTAINER ID"),
        ("CPUPerc", "CPU %"),
        ("MemUsage", "MEM USAGE / LIMIT"),
        ("MemPerc", "MEM %"),
        ("NetIO", "NET I/O"),
        ("BlockIO", "BLOCK I/O"),
        ("PIDs", "PIDS"),
    ],
};

/// Arguments of `stats`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Services; none: all
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Also containers that do not run
    #[arg(short, long)]
    all: bool,
    /// Print one reading and return
    #[arg(long)]
    no_stream: bool,
    /// Cut nothing
    #[arg(long)]
    no_trunc: bool,
    /// `table`, `json`, `table TEMPLATE` or a Go template, such as '{{.Name}} {{.CPUPerc}}'
    #[arg(long, default_value = TABLE)]
    format: String,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let target = context.shown_target()?;
    // A wrong format is told before anything is waited for.
    LAYOUT.render(&arguments.format, Vec::new())?;
    let Some(client) = target.attend().await? else { return Ok(0) };
    target.warn_of_unknown(&arguments.services, &containers(&client).await?);
    let clearing = !arguments.no_stream && io::stdout().is_terminal();
    let mut before = read(&client, &arguments).await?;
    loop {
        if before.is_empty() && !arguments.all {
            return Ok(0);
        }
        sleep(Duration::from_millis(INTERVAL_MILLISECONDS)).await;
        let now = read(&client, &arguments).await?;
        let text = render(&before, &now, &arguments)?;
        console::out(&if clearing { frame(&text) } else { text });
        if arguments.no_stream {
            return Ok(0);
        }
        before = now;
    }
}

/// A text over what stands on the terminal, without a moment in which nothing does.
fn frame(text: &str) -> String {
    let lines: String = text.lines().map(|line| format!("{line}{CLEAR_LINE}\n")).collect();
    format!("{TO_THE_TOP}{lines}{CLEAR_REST}")
}

/// Usage of the containers asked for, by name.
async fn read(client: &Client, arguments: &Arguments) -> Result<Vec<UsageRow>, CliError> {
    let request = Request::Stats { services: Vec::new() };
    let mut ignore = |_: Message| {};
    let Answer::Stats(mut rows) = client.call(request, &mut ignore, None).await? else {
        return Err(unexpected());
    };
    if arguments.all {
        let known: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
        let resting =
            containers(client).await?.into_iter().filter(|container| !known.contains(&container.id));
        rows.extend(resting.map(|container| UsageRow {
            id: container.id,
            name: container.name,
            service: container.service,
            at_unix_ms: 0,
            cpu_ns: 0,
            memory_bytes: 0,
            memory_limit_bytes: 0,
            pids: 0,
            network_received_bytes: 0,
            network_sent_bytes: 0,
            block_read_bytes: 0,
            block_written_bytes: 0,
        }));
    }
    rows.retain(|row| arguments.services.is_empty() || arguments.services.contains(&row.service));
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(rows)
}

fn render(before: &[UsageRow], now: &[UsageRow], arguments: &Arguments) -> Result<String, CliError> {
    let earlier: HashMap<&str, &UsageRow> = before.iter().map(|row| (row.id.as_str(), row)).collect();
    let subject = |row: &UsageRow| subject(earlier.get(row.id.as_str()).copied(), row, arguments.no_trunc);
    LAYOUT.render(&arguments.format, now.iter().map(subject).collect())
}

/// One container's usage, with Docker's fields.
#[allow(clippy::cast_precision_loss, reason = "shown with two digits")]
fn subject(before: Option<&UsageRow>, now: &UsageRow, whole: bool) -> Subject {
    let cpu = before.map_or(0.0, |before| {
        let milliseconds = now.at_unix_ms.saturating_sub(before.at_unix_ms).max(1);
        now.cpu_ns.saturating_sub(before.cpu_ns) as f64 / (milliseconds as f64 * 1e6) * 100.0
    });
    let share = match now.memory_limit_bytes {
        0 => 0.0,
        limit => now.memory_bytes as f64 / limit as f64 * 100.0,
    };
    let pair = |left, right| format!("{} / {}", words::decimal_bytes(left), words::decimal_bytes(right));
    let memory = format!(
        "{} / {}",
        words::binary_bytes(now.memory_bytes),
        words::binary_bytes(now.memory_limit_bytes)
    );
    let id = if whole { now.id.clone() } else { now.id.chars().take(SHORT_ID_DIGITS).collect() };
    let fields = [
        ("BlockIO", pair(now.block_read_bytes, now.block_written_bytes).into()),
        ("CPUPerc", format!("{cpu:.2}%").into()),
        ("Container", now.id.clone().into()),
        ("ID", id.into()),
        ("MemPerc", format!("{share:.2}%").into()),
        ("MemUsage", memory.into()),
        ("Name", now.name.clone().into()),
        ("NetIO", pair(now.network_received_bytes, now.network_sent_bytes).into()),
        ("PIDs", now.pids.to_string().into()),
    ];
    Subject { kind: "*container.statsContext", fields: fields.into(), labels: None }
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
        let table = LAYOUT.render("", vec![subject(Some(&before), &now, false)]).unwrap();
        let want = "CONTAINER ID   NAME       CPU %     MEM USAGE / LIMIT   MEM %     NET I/O    BLOCK I/O    PIDS\n\
                    aaaaaaaaaaaa   hub-db-1   25.00%    64MiB / 128MiB      50.00%    1kB / 0B   0B / 2.5MB   3\n";
        assert_eq!(table, want);
        assert_eq!(subject(None, &now, false).fields["CPUPerc"], "0.00%".into());
        assert_eq!(frame("a\nb\n"), "\u{1b}[Ha\u{1b}[K\nb\u{1b}[K\n\u{1b}[J");
    }
}
