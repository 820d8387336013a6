//! `logs`: straight from the journals, whether or not anything runs.

use super::{
    foreground::{LOOK_MILLISECONDS, LOOKS_PER_DISCOVERY, is_over},
    up::unattached_services,
};
use crate::{
    context::{Context, Target, containers},
    failure::CliError,
    journal::{Feed, Look, Printer, Selection, history},
    moment::moment,
    supervisor,
};
use clap::Args;
use mesh_api::client::CallError;
use mesh_journal::Query;
use std::{
    collections::BTreeSet,
    convert::Infallible,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// Time in which another supervisor may take the place of one that is gone.
const SUCCESSOR_MAX: Duration = Duration::from_secs(2);

/// Arguments of `logs`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Services; none: all
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Go on as long as something runs
    #[arg(short, long)]
    follow: bool,
    /// Only so many of the newest lines of each container; `all` is possible
    #[arg(
        short = 'n',
        long,
        value_name = "LINES",
        default_value = "all",
        value_parser = parse_tail,
        allow_hyphen_values = true
    )]
    tail: Tail,
    /// Print times before lines
    #[arg(short, long)]
    timestamps: bool,
    /// Not older than this: a time, or how long ago (`10m`)
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Not newer than this: a time, or how long ago (`10m`)
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// Print no prefixes
    #[arg(long)]
    no_log_prefix: bool,
    /// Print no colours
    #[arg(long)]
    no_color: bool,
    /// Number of the container of a service, from 1
    #[arg(long, value_name = "NUMBER")]
    index: Option<u32>,
}

/// `--tail`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tail(Option<usize>);

/// As Docker has it, what is no number of lines means all of them.
fn parse_tail(text: &str) -> Result<Tail, Infallible> {
    Ok(Tail(text.parse().ok()))
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let index = arguments.index.filter(|index| *index > 0);
    if index.is_some() && arguments.services.len() != 1 {
        return Err(CliError::said("--index requires one service to be selected"));
    }
    let target = context.shown_target()?;
    target.check_services(&arguments.services)?;
    let query = Query {
        since_unix_ns: moment("--since", arguments.since.as_deref())?,
        until_unix_ns: moment("--until", arguments.until.as_deref())?,
        tail: arguments.tail.0,
    };
    let mut selection = Selection::of(&target.name, target.paths.journal.clone(), target.project.as_deref());
    if arguments.services.is_empty() {
        selection.without = target.project.as_deref().into_iter().flat_map(unattached_services).collect();
    }
    selection.services = arguments.services;
    selection.index = index;
    let mut printer = Printer::new(Look {
        colour: context.settings.colour && !arguments.no_color,
        prefix: !arguments.no_log_prefix,
        timestamps: arguments.timestamps,
        split: false,
    });
    // What has an end needs no following.
    if !arguments.follow || query.until_unix_ns.is_some() {
        let records = history(&selection, &query)?;
        let labels: BTreeSet<String> = records.iter().map(|(label, _)| label.clone()).collect();
        printer.expect(labels.iter());
        printer.print(records);
        return Ok(0);
    }
    let services = selection.services.clone();
    follow(&target, &services, Feed::new(selection, query), printer).await
}

/// Whether more may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Something that is meant runs.
    Runs,
    /// Nothing does, and that is known.
    Over,
    /// The supervisor is gone, and with it whoever knows.
    Unknown,
}

/// Prints until nothing that is meant runs any more. Where that cannot be told any more, because the supervisor is
/// gone and no other one takes its place, it is an error.
async fn follow(
    target: &Target,
    services: &[String],
    mut feed: Feed,
    mut printer: Printer,
) -> Result<u8, CliError> {
    let mut look = 0_u32;
    // Where a supervisor was killed before, another one finds what runs.
    drop(target.attend().await?);
    let mut unknown_since: Option<Instant> = None;
    loop {
        let discovering = look.is_multiple_of(LOOKS_PER_DISCOVERY);
        // Asked first: lines written before the end are still read after it.
        let standing = if discovering { Some(standing(target, services).await?) } else { None };
        let over = standing == Some(Standing::Over);
        match standing {
            Some(Standing::Unknown) => drop(unknown_since.get_or_insert_with(Instant::now)),
            Some(_) => unknown_since = None,
            None => {}
        }
        let mut records = if discovering { feed.discover()? } else { Vec::new() };
        printer.expect(feed.labels());
        records.extend(feed.poll()?);
        let quiet = records.is_empty();
        printer.print(records);
        if over && quiet {
            return Ok(0);
        }
        if quiet && unknown_since.is_some_and(|since| since.elapsed() >= SUCCESSOR_MAX) {
            let message =
                format!("the supervisor of project `{}` is gone: what runs is not known", target.name);
            return Err(
                CliError::said(message).with_hint("`mesh ps` starts another one, which finds what runs")
            );
        }
        if quiet {
            look = look.wrapping_add(1);
            sleep(Duration::from_millis(LOOK_MILLISECONDS)).await;
        }
    }
}

async fn standing(target: &Target, services: &[String]) -> Result<Standing, CliError> {
    let containers = match supervisor::running(&target.name, &target.paths).await? {
        Some(client) => match containers(&client).await {
            Ok(containers) => containers,
            // It ended while it was asked.
            Err(CliError::Call(CallError::Ended | CallError::Send(_) | CallError::Connect { .. })) => {
                return Ok(Standing::Unknown);
            }
            Err(error) => return Err(error),
        },
        None => {
            // `down` takes the record with it; without a container a supervisor ends by itself.
            let there = |mut entries: std::fs::ReadDir| entries.next().is_some();
            let left = std::fs::read_dir(target.paths.directory.join("containers")).is_ok_and(there);
            let unknown = left && target.paths.record.exists();
            return Ok(if unknown { Standing::Unknown } else { Standing::Over });
        }
    };
    let meant = |service: &String| services.is_empty() || services.contains(service);
    let runs = containers.iter().any(|container| meant(&container.service) && !is_over(container.state));
    Ok(if runs { Standing::Runs } else { Standing::Over })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_numbers_or_all() {
        assert_eq!(parse_tail("all"), Ok(Tail(None)));
        assert_eq!(parse_tail("0"), Ok(Tail(Some(0))));
        assert_eq!(parse_tail("some"), Ok(Tail(None)));
        assert_eq!(parse_tail("-5"), Ok(Tail(None)));
    }
}
