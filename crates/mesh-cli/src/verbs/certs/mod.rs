//! `certs`: which certificates the running services hold, how long they last, and new ones.

mod check;
mod shown;

use crate::{
    console,
    context::{Context, Target, unexpected},
    failure::CliError,
    table, words,
};
use clap::{Args, Subcommand, ValueEnum};
use mesh_api::{
    message::Answer,
    request::Request,
    status::{CertificateRow, CertificateStanding},
};
use std::time::Duration;

/// Arguments of `certs`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the certificates that running services hold, as their files declare them with x-mesh.certificate
    #[command(visible_alias = "list")]
    Ls {
        /// Services; none: all
        #[arg(value_name = "SERVICE")]
        services: Vec<String>,
        /// As a table or a JSON document a line
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Say whether all of them last; exits with 0 yes, 1 one is to be renewed, 2 one has expired, 3 not known
    Check {
        /// Services; none: all
        #[arg(value_name = "SERVICE")]
        services: Vec<String>,
        /// A time before its end at which a certificate is told, in place of its own, such as 30d
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        within: Option<Duration>,
        /// As one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Make those anew that are about to expire, and have their services load them without a restart
    Renew {
        /// Services; none: all
        #[arg(value_name = "SERVICE")]
        services: Vec<String>,
        /// The others too
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// Columns
    #[default]
    Table,
    /// JSON
    Json,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    match arguments.verb {
        Verb::Ls { services, format } => {
            let target = context.shown_target()?;
            list(&rows(&target, services).await?, format, seconds_now());
            Ok(0)
        }
        Verb::Check { services, within, json } => {
            let asked = async { rows(&context.shown_target()?, services).await };
            Ok(check::tell(asked.await, within, json, seconds_now()))
        }
        Verb::Renew { services, force } => renew(context, services, force).await,
    }
}

async fn rows(target: &Target, services: Vec<String>) -> Result<Vec<CertificateRow>, CliError> {
    target.check_services(&services)?;
    let Some(client) = target.attend().await? else { return Ok(Vec::new()) };
    match client.call(Request::Certificates { services }, &mut |_| {}, None).await? {
        Answer::Certificates(rows) => Ok(rows),
        _ => Err(unexpected()),
    }
}

async fn renew(context: &Context, services: Vec<String>, force: bool) -> Result<u8, CliError> {
    let target = context.own_target()?;
    if context.settings.dry_run {
        for row in rows(&target, services).await? {
            console::out_line(&rehearsed(&row, force));
        }
        return Ok(0);
    }
    target.check_services(&services)?;
    let not_running = || CliError::said("no service of the project runs");
    let client = target.attend().await?.ok_or_else(not_running)?;
    context.ask(&client, Request::RenewCertificates { services, force }).await?;
    Ok(0)
}

/// What `renew` would do with one.
fn rehearsed(row: &CertificateRow, force: bool) -> String {
    let what = match row.standing {
        _ if row.renewed_from_unix_seconds.is_none() && row.found.is_some() => {
            "would be left: nothing says how it is renewed"
        }
        CertificateStanding::Good if !force => "would be left: it is good",
        _ => "would be renewed",
    };
    format!("{}: {} {what}", row.name, row.file)
}

fn list(rows: &[CertificateRow], format: Format, now: i64) {
    if format == Format::Json {
        rows.iter().for_each(|row| console::out_line(&shown::json(row, now).to_string()));
        return;
    }
    let cells: Vec<Vec<String>> = rows.iter().map(|row| shown::cells(row, now)).collect();
    console::out(&table::render(&shown::HEADER, &cells));
}

fn seconds_now() -> i64 {
    i64::try_from(words::now_unix_ms() / 1000).unwrap_or(i64::MAX)
}
