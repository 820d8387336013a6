//! `ls`.

use super::summary;
use crate::{
    console,
    context::{Context, containers},
    failure::CliError,
    layout::{Plain, TABLE},
    supervisor, table,
    template::Value,
};
use clap::Args;
use mesh_api::status::{ContainerStatus, State};
use mesh_store::record;
use regex_lite::Regex;
use std::collections::BTreeMap;

/// Least width of a column.
const COLUMN_WIDTH_MIN: usize = 20;

/// Arguments of `ls`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Also projects of which nothing runs, and those of which only volumes are left
    #[arg(short, long)]
    all: bool,
    /// Only names
    #[arg(short, long)]
    quiet: bool,
    /// Only what this admits: name=TEXT, which may be a regular expression
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
    /// `table` or `json`
    #[arg(long, default_value = TABLE)]
    format: String,
}

/// A project in a line.
#[derive(Debug)]
struct Row {
    name: String,
    status: String,
    files: String,
    runs: bool,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let filter = Filter::parse(&arguments.filter)?;
    let format = Plain::parse(&arguments.format)?;
    let volumes = (context.hooks.volumes)(&context.home.data.join("volumes"));
    let mut names = context.home.projects()?;
    names.extend(volumes.keys().cloned());
    names.sort();
    names.dedup();
    let mut rows = Vec::new();
    for name in names.into_iter().filter(|name| filter.admits(name)) {
        let kept = volumes.get(&name).map_or(0, Vec::len);
        if let Some(row) = look(context, name, arguments.all, kept).await?
            && (row.runs || arguments.all)
        {
            rows.push(row);
        }
    }
    if arguments.quiet {
        rows.iter().for_each(|row| console::out_line(&row.name));
        return Ok(0);
    }
    match format {
        Plain::Table => {
            let rows: Vec<Vec<String>> =
                rows.into_iter().map(|row| vec![row.name, row.status, row.files]).collect();
            let header = ["NAME", "STATUS", "CONFIG FILES"];
            console::out(&table::aligned(&header, &rows, COLUMN_WIDTH_MIN, table::PADDING));
        }
        Plain::Json => {
            let document = |row: Row| {
                Value::Record(vec![
                    ("Name", row.name.into()),
                    ("Status", row.status.into()),
                    ("ConfigFiles", row.files.into()),
                ])
            };
            console::out_line(&Value::List(rows.into_iter().map(document).collect()).json());
        }
    }
    Ok(0)
}

/// Which names `--filter` admits: any of those given, as a whole or as an expression found in the name.
struct Filter {
    names: Vec<(String, Option<Regex>)>,
}

impl Filter {
    fn parse(texts: &[String]) -> Result<Self, CliError> {
        let mut names = Vec::new();
        for text in texts {
            let Some((key, value)) = text.split_once('=') else {
                return Err(CliError::said(format!(
                    "invalid argument {text:?} for \"--filter\" flag: invalid filter"
                ))
                .with_hint("it is name=TEXT"));
            };
            if !key.trim().eq_ignore_ascii_case("name") {
                return Err(CliError::said(format!("invalid filter '{key}'")).with_hint("it is name=TEXT"));
            }
            names.push((value.trim().to_owned(), Regex::new(value.trim()).ok()));
        }
        Ok(Self { names })
    }

    fn admits(&self, name: &str) -> bool {
        let found = |(text, expression): &(String, Option<Regex>)| {
            text == name || expression.as_ref().is_some_and(|expression| expression.is_match(name))
        };
        self.names.is_empty() || self.names.iter().any(found)
    }
}

/// What there is of a project; `None` where only its logs are left.
async fn look(context: &Context, name: String, all: bool, volumes: usize) -> Result<Option<Row>, CliError> {
    let paths = context.home.project(&name);
    let files = match record::load(&paths.record)? {
        record::Loaded::Found(found) => {
            let files: Vec<String> =
                found.project.files.iter().map(|file| file.display().to_string()).collect();
            files.join(",")
        }
        record::Loaded::Absent => {
            let status = format!("volumes({volumes})");
            return Ok((volumes > 0).then(|| Row { name, status, files: String::new(), runs: false }));
        }
        record::Loaded::Corrupt { .. } => String::new(),
    };
    let (status, runs) = match supervisor::running(&name, &paths).await? {
        Some(client) => {
            let mut containers = containers(&client).await?;
            containers.retain(|container| all || runs(container));
            (counts(&containers), containers.iter().any(runs))
        }
        // Looking starts nothing; what runs on without a supervisor is adopted by the next command.
        None => ("unattended".to_owned(), true),
    };
    Ok(Some(Row { name, status, files, runs }))
}

/// Whether Docker would call it running.
fn runs(container: &ContainerStatus) -> bool {
    matches!(container.state, State::Running | State::Paused | State::Restarting)
}

/// `exited(1), running(3)`.
fn counts(containers: &[ContainerStatus]) -> String {
    let mut counts = BTreeMap::new();
    for container in containers {
        *counts.entry(summary::docker_word(container.state)).or_insert(0_u32) += 1;
    }
    counts.iter().map(|(word, count)| format!("{word}({count})")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::{super::summary::sample, *};

    #[test]
    fn states_are_counted() {
        let states = [State::Running, State::Exited, State::Running, State::Waiting];
        let containers = states.map(|state| sample("a", state));
        assert_eq!(counts(&containers), "created(1), exited(1), running(2)");
    }

    #[test]
    fn names_are_filtered_by_expressions() {
        let check = |filters: &[&str], admitted: &[&str]| {
            let filters: Vec<String> = filters.iter().map(|filter| (*filter).to_owned()).collect();
            let filter = Filter::parse(&filters).unwrap();
            let all = ["shop", "shop-dev", "hub"];
            assert_eq!(all.into_iter().filter(|name| filter.admits(name)).collect::<Vec<_>>(), admitted);
        };
        check(&[], &["shop", "shop-dev", "hub"]);
        check(&["name=shop"], &["shop", "shop-dev"]);
        check(&["name=^shop$", "name=h.b"], &["shop", "hub"]);
        check(&["name=("], &[]);
        for (filter, want) in [
            ("x=y", "invalid filter 'x'"),
            ("x", "invalid argument \"x\" for \"--filter\" flag: invalid filter"),
        ] {
            assert_eq!(Filter::parse(&[filter.to_owned()]).err().unwrap().to_string(), want);
        }
    }
}
