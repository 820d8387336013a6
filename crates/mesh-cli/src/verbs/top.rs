//! `top`.

use crate::{
    console,
    context::{Context, unexpected},
    failure::CliError,
    supervisor, table, words,
};
use clap::Args;
use mesh_api::{
    message::{Answer, Message},
    request::Request,
    status::ProcessRow,
};

/// Arguments of `top`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Services; none: all
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let target = context.target()?;
    target.check_services(&arguments.services)?;
    let Some(client) = target.attend().await? else {
        supervisor::say_nothing_there(&target.name);
        return Ok(0);
    };
    let mut ignore = |_: Message| {};
    let request = Request::Top { services: arguments.services };
    let Answer::Top(rows) = client.call(request, &mut ignore, None).await? else { return Err(unexpected()) };
    console::out(&render(&rows));
    Ok(0)
}

fn render(rows: &[ProcessRow]) -> String {
    let row = |process: &ProcessRow| {
        let number = process.name.rsplit_once('-').map_or("1", |(_, number)| number);
        vec![
            process.service.clone(),
            number.to_owned(),
            process.uid.to_string(),
            process.pid.to_string(),
            process.parent_pid.to_string(),
            words::timestamp(process.started_unix_ms).get(11..19).unwrap_or_default().to_owned(),
            clock(process.cpu_ms),
            process.command.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
    table::render(&["SERVICE", "#", "UID", "PID", "PPID", "STIME", "TIME", "CMD"], &rows)
}

/// `00:01:05`.
fn clock(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_listed() {
        let row = ProcessRow {
            name: "hub-db-2".to_owned(),
            service: "db".to_owned(),
            uid: 70,
            pid: 1234,
            parent_pid: 1,
            started_unix_ms: 3_600_000,
            cpu_ms: 65_000,
            command: "postgres".to_owned(),
        };
        let want = "SERVICE   #   UID   PID    PPID   STIME      TIME       CMD\n\
                    db        2   70    1234   1      01:00:00   00:01:05   postgres\n";
        assert_eq!(render(&[row]), want);
    }
}
