//! `ps`.

mod row;

use super::{stack, summary};
use crate::{
    console,
    context::{Context, Target},
    failure::CliError,
    layout::{Layout, TABLE},
    words::now_unix_ms,
};
use clap::Args;
use mesh_api::status::{ContainerStatus, State};

/// Columns of the table.
const COLUMNS: &str =
    "{{.Name}}\t{{.Image}}\t{{.Command}}\t{{.Service}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}";
/// The column that is added where a stand-in serves.
const SOURCE_COLUMN: &str = "\t{{.Source}}";
/// What `--format raw` shows.
const RAW: &str = "container_id: {{.ID}}
image: {{.Image}}
command: {{.Command}}
created_at: {{.CreatedAt}}
state: {{- pad .State 1 0}}
status: {{- pad .Status 1 0}}
names: {{.Names}}
labels: {{- pad .Labels 1 0}}
ports: {{- pad .Ports 1 0}}
";
/// Headers of the columns.
const HEADERS: &[(&str, &str)] = &[
    ("ID", "CONTAINER ID"),
    ("Name", "NAME"),
    ("Project", "PROJECT"),
    ("Service", "SERVICE"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("Ports", "PORTS"),
    ("State", "STATE"),
    ("Status", "STATUS"),
    ("Size", "SIZE"),
    ("Labels", "LABELS"),
    ("Source", "SOURCE"),
];

/// Arguments of `ps`.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct Arguments {
    /// Services; none: all
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Also containers that do not run, and those made by `run`
    #[arg(short, long)]
    all: bool,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// Only names of services
    #[arg(long = "services")]
    names: bool,
    /// Only containers in this state; may be given several times: created, running, paused, restarting,
    /// removing, exited, dead
    #[arg(long, value_name = "STATE")]
    status: Vec<String>,
    /// Only what this admits: status=STATE
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
    /// `table`, `json`, `table TEMPLATE` or a Go template, such as '{{.Name}} {{.State}}'
    #[arg(long, default_value = TABLE)]
    format: String,
    /// Cut nothing
    #[arg(long)]
    no_trunc: bool,
    /// Also containers of services that the file no longer has
    #[arg(long, num_args = 0..=1, default_value_t = true, default_missing_value = "true", require_equals = true, action = clap::ArgAction::Set)]
    orphans: bool,
}

/// Does it.
pub(crate) async fn run(context: &Context, mut arguments: Arguments) -> Result<u8, CliError> {
    // The last one counts.
    if let Some(filter) = arguments.filter.last().filter(|filter| !filter.is_empty()) {
        arguments.status.push(status_asked_for(filter)?);
    }
    let target = context.shown_target()?;
    target.check_services(&arguments.services)?;
    let containers = admitted(&target, &arguments).await?;
    if arguments.quiet {
        containers.iter().for_each(|container| console::out_line(&container.id));
    } else if arguments.names {
        let mut names: Vec<&str> = Vec::new();
        for container in &containers {
            if !names.contains(&container.service.as_str()) {
                names.push(&container.service);
            }
        }
        console::out_line(&names.join("\n"));
    } else {
        console::out(&render(&containers, &arguments, now_unix_ms())?);
        if arguments.all
            && let Some(client) = target.attend().await?
            && let Some(text) = stack::brought_up(&client).await?.as_deref().and_then(stack::left_out)
        {
            console::err_line(&format!("note: {text}"));
        }
    }
    Ok(0)
}

/// The state that `--filter` asks for.
fn status_asked_for(filter: &str) -> Result<String, CliError> {
    let Some((key, value)) = filter.split_once('=') else {
        return Err(CliError::said("arguments to --filter should be in form KEY=VAL"));
    };
    match key {
        "status" => Ok(value.to_owned()),
        "source" => Err(CliError::said("not implemented")),
        _ => Err(CliError::said(format!("unknown filter {key}"))),
    }
}

/// What is to be shown, by name.
async fn admitted(target: &Target, arguments: &Arguments) -> Result<Vec<ContainerStatus>, CliError> {
    let mut containers = target.containers().await?;
    containers.retain(|container| admits(arguments, container));
    containers.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(containers)
}

fn admits(arguments: &Arguments, container: &ContainerStatus) -> bool {
    let named = arguments.services.is_empty() || arguments.services.contains(&container.service);
    // Asked for a state, Docker looks at all containers, those of `run` among them.
    let all = arguments.all || !arguments.status.is_empty();
    let stated = match arguments.status.as_slice() {
        [] => all || matches!(container.state, State::Running | State::Paused | State::Restarting),
        asked => asked.iter().any(|status| status == summary::docker_word(container.state)),
    };
    let kind = (all || !container.one_off)
        && (arguments.orphans || !arguments.services.is_empty() || !container.orphan);
    named && stated && kind
}

fn render(containers: &[ContainerStatus], arguments: &Arguments, now: u64) -> Result<String, CliError> {
    let mut columns = COLUMNS.to_owned();
    if containers.iter().any(|container| container.source != row::EXACT_SOURCE) {
        columns.push_str(SOURCE_COLUMN);
    }
    let layout = Layout { table: &columns, raw: Some(RAW), headers: HEADERS };
    let rows = containers.iter().map(|container| row::subject(container, now, arguments.no_trunc)).collect();
    layout.render(&arguments.format, rows)
}

#[cfg(test)]
mod tests {
    use super::{super::summary::sample, *};
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn arguments(words: &[&str]) -> Arguments {
        Line::parse_from(std::iter::once(&"ps").chain(words)).arguments
    }

    #[test]
    fn the_table_reads_as_docker_s() {
        let mut db = sample("db", State::Running);
        let table = |db: &ContainerStatus| render(std::slice::from_ref(db), &arguments(&[]), 10_000).unwrap();
        let want = "NAME       IMAGE           COMMAND      SERVICE   CREATED          STATUS                   PORTS                    SOURCE\n\
                    hub-db-1   postgres:16.4   \"postgres\"   db        10 seconds ago   Up 9 seconds (healthy)   0.0.0.0:5432->5432/tcp   debian 15.18 for 16.4\n";
        assert_eq!(table(&db), want);
        db.source = row::EXACT_SOURCE.to_owned();
        assert!(table(&db).starts_with("NAME       IMAGE           COMMAND      SERVICE   CREATED          STATUS                   PORTS\n"));
    }

    #[test]
    fn containers_are_admitted_as_docker_does() {
        let check = |words: &[&str], container: &ContainerStatus, want: bool| {
            assert_eq!(admits(&arguments(words), container), want, "{words:?}");
        };
        let (up, waits) = (sample("db", State::Running), sample("db", State::Waiting));
        let mut orphan = sample("old", State::Running);
        orphan.orphan = true;
        let mut once = sample("db", State::Running);
        once.one_off = true;
        for (words, wanted) in [
            (&[][..], [true, false, true, false]),
            (&["-a"], [true, true, true, true]),
            (&["--status", "created"], [false, true, false, false]),
            (&["--status", "running"], [true, false, true, true]),
            (&["--orphans=false"], [true, false, false, false]),
            (&["old"], [false, false, true, false]),
        ] {
            for (container, want) in [&up, &waits, &orphan, &once].into_iter().zip(wanted) {
                check(words, container, want);
            }
        }
    }

    #[test]
    fn filters_are_read_and_refused_in_docker_s_words() {
        let check = |filter: &str, want: Result<&str, &str>| {
            let got = status_asked_for(filter).map_err(|error| error.to_string());
            assert_eq!(got.as_deref().map_err(String::as_str), want);
        };
        check("status=exited", Ok("exited"));
        check("x", Err("arguments to --filter should be in form KEY=VAL"));
        check("foo=bar", Err("unknown filter foo"));
        check("source=x", Err("not implemented"));
    }
}
