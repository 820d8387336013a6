//! `ls`.

use super::summary;
use crate::{
    arguments::Format,
    console,
    context::{Context, containers},
    failure::CliError,
    supervisor, table,
};
use clap::Args;
use mesh_api::status::{ContainerStatus, State};
use mesh_store::record;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Arguments of `ls`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Also projects of which nothing runs
    #[arg(short, long)]
    all: bool,
    /// Only names
    #[arg(short, long)]
    quiet: bool,
    /// Only what this admits: name=TEXT
    #[arg(long, value_name = "FILTER", value_parser = parse_filter)]
    filter: Vec<String>,
    /// Format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

fn parse_filter(text: &str) -> Result<String, String> {
    text.strip_prefix("name=").map(str::to_owned).ok_or_else(|| "the only filter is name=TEXT".to_owned())
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
    let mut rows = Vec::new();
    for name in context.home.projects()? {
        if arguments.filter.iter().all(|text| name.contains(text.as_str()))
            && let Some(row) = look(context, name).await?
            && (row.runs || arguments.all)
        {
            rows.push(row);
        }
    }
    if arguments.quiet {
        rows.iter().for_each(|row| console::out_line(&row.name));
        return Ok(0);
    }
    match arguments.format {
        Format::Table => {
            let rows: Vec<Vec<String>> =
                rows.into_iter().map(|row| vec![row.name, row.status, row.files]).collect();
            console::out(&table::render(&["NAME", "STATUS", "CONFIG FILES"], &rows));
        }
        Format::Json => {
            let document =
                |row: Row| json!({"Name": row.name, "Status": row.status, "ConfigFiles": row.files});
            console::out_line(&rows.into_iter().map(document).collect::<Value>().to_string());
        }
    }
    Ok(0)
}

/// What there is of a project; `None` where only its logs or its volumes are left.
async fn look(context: &Context, name: String) -> Result<Option<Row>, CliError> {
    let paths = context.home.project(&name);
    if !paths.record.exists() {
        return Ok(None);
    }
    let files = match record::load(&paths.record)? {
        record::Loaded::Found(found) => {
            let files: Vec<String> =
                found.project.files.iter().map(|file| file.display().to_string()).collect();
            files.join(",")
        }
        record::Loaded::Absent => return Ok(None),
        record::Loaded::Corrupt { .. } => String::new(),
    };
    let (status, runs) = match supervisor::running(&name, &paths).await? {
        Some(client) => {
            let containers = containers(&client).await?;
            let runs = containers.iter().any(|container| container.state == State::Running);
            (counts(&containers), runs)
        }
        // Looking starts nothing; what runs on without a supervisor is adopted by the next command.
        None => ("unattended".to_owned(), true),
    };
    Ok(Some(Row { name, status, files, runs }))
}

/// `exited(1), running(3)`.
fn counts(containers: &[ContainerStatus]) -> String {
    let mut counts = BTreeMap::new();
    for container in containers.iter().filter(|container| !container.one_off) {
        *counts.entry(summary::word(container.state)).or_insert(0_u32) += 1;
    }
    counts.iter().map(|(word, count)| format!("{word}({count})")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::{super::summary::sample, *};

    #[test]
    fn states_are_counted() {
        let containers =
            [sample("a", State::Running), sample("b", State::Exited), sample("c", State::Running)];
        assert_eq!(counts(&containers), "exited(1), running(2)");
    }
}
