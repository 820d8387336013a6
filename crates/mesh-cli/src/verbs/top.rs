//! `top`.

use crate::{
    console,
    context::{Context, unexpected},
    failure::CliError,
    table, words,
};
use clap::Args;
use mesh_api::{
    message::{Answer, Message},
    request::Request,
    status::ProcessRow,
};
use std::{collections::HashMap, fs};

/// Where this machine names its users.
const USERS_FILE: &str = "/etc/passwd";
/// Longest name of a user that is shown whole, in letters.
const USER_LETTERS_MAX: usize = 8;
/// Least width of a column, and the spaces between two.
const COLUMNS: (usize, usize) = (4, 2);
/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 3600 * 1000;

/// Arguments of `top`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Services; none: all
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let target = context.shown_target()?;
    let Some(client) = target.attend().await? else { return Ok(0) };
    target.warn_of_unknown(&arguments.services, &crate::context::containers(&client).await?);
    let mut ignore = |_: Message| {};
    let request = Request::Top { services: Vec::new() };
    let Answer::Top(mut rows) = client.call(request, &mut ignore, None).await? else {
        return Err(unexpected());
    };
    rows.retain(|row| arguments.services.is_empty() || arguments.services.contains(&row.service));
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    let users = users(&fs::read_to_string(USERS_FILE).unwrap_or_default());
    console::out(&render(&rows, &users, words::now_unix_ms()));
    Ok(0)
}

fn render(rows: &[ProcessRow], users: &HashMap<u32, String>, now: u64) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let row = |process: &ProcessRow| {
        let number = process.name.rsplit_once('-').map_or("1", |(_, number)| number);
        let terminal = if process.terminal.is_empty() { "?" } else { &process.terminal };
        let lived_ms = now.saturating_sub(process.started_unix_ms).max(1);
        vec![
            process.service.clone(),
            number.to_owned(),
            user(process.uid, users),
            process.pid.to_string(),
            process.parent_pid.to_string(),
            (process.cpu_ms.saturating_mul(100) / lived_ms).min(99).to_string(),
            started(process.started_unix_ms, now),
            terminal.to_owned(),
            clock(process.cpu_ms),
            process.command.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
    let header = ["SERVICE", "#", "UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"];
    table::aligned(&header, &rows, COLUMNS.0, COLUMNS.1)
}

/// Names of users by their numbers.
fn users(text: &str) -> HashMap<u32, String> {
    let mut users = HashMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(uid)) = (fields.next(), fields.nth(1).and_then(|uid| uid.parse().ok())) {
            users.entry(uid).or_insert_with(|| name.to_owned());
        }
    }
    users
}

/// The name that this machine has for a user, cut as `ps` cuts it.
fn user(uid: u32, users: &HashMap<u32, String>) -> String {
    match users.get(&uid) {
        Some(name) if name.chars().count() > USER_LETTERS_MAX => {
            name.chars().take(USER_LETTERS_MAX - 1).chain(['+']).collect()
        }
        Some(name) => name.clone(),
        None => uid.to_string(),
    }
}

/// `14:53`, of another day `Nov21`, of another year `2025`.
fn started(at: u64, now: u64) -> String {
    let text = words::timestamp(at);
    let year = text.get(..4).unwrap_or_default();
    if now.saturating_sub(at) < DAY_MS {
        return text.get(11..16).unwrap_or_default().to_owned();
    }
    if words::timestamp(now).get(..4) != Some(year) {
        return year.to_owned();
    }
    let month: usize = text.get(5..7).and_then(|month| month.parse().ok()).unwrap_or(1);
    let names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let name = names.get(month.saturating_sub(1)).copied().unwrap_or_default();
    format!("{name}{}", text.get(8..10).unwrap_or_default())
}

/// `00:01:05`, with days in front where there are any.
fn clock(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    let time = format!("{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    match seconds / 86_400 {
        0 => time,
        days => format!("{days}-{time}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_listed_as_ps_does() {
        let row = ProcessRow {
            name: "hub-db-2".to_owned(),
            service: "db".to_owned(),
            uid: 70,
            pid: 1234,
            parent_pid: 1,
            started_unix_ms: 3_600_000,
            cpu_ms: 65_000,
            command: "postgres".to_owned(),
            terminal: String::new(),
        };
        let want = "SERVICE  #   UID  PID   PPID  C   STIME  TTY  TIME      CMD\n\
                    db       2   70   1234  1     65  01:00  ?    00:01:05  postgres\n";
        assert_eq!(render(&[row], &HashMap::new(), 3_700_000), want);
        assert_eq!(render(&[], &HashMap::new(), 0), "");
    }

    #[test]
    fn users_times_and_clocks_are_cut_as_ps_does() {
        let users = users("root:x:0:0::/:/bin/sh\nx\nsystemd-network:x:998:998::/:/x\nb:x:0:0\n");
        assert_eq!([user(0, &users), user(998, &users), user(5, &users)], ["root", "systemd+", "5"]);
        let year = 365 * DAY_MS;
        assert_eq!(
            [started(0, DAY_MS - 1), started(0, DAY_MS), started(0, year)],
            ["00:00", "Jan01", "1970"]
        );
        assert_eq!(clock(90_061_000), "1-01:01:01");
    }
}
