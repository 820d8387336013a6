//! `graph`: who waits for whom.

use crate::{console, context::Context, failure::CliError};
use clap::{Args, ValueEnum};
use mesh_model::{
    project::Project,
    service::{Condition, Service},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Arguments of `graph`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Format
    #[arg(long, value_enum, default_value = "text")]
    format: GraphFormat,
}

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum GraphFormat {
    /// Levels: what stands in one starts side by side
    Text,
    /// A digraph for Graphviz
    Dot,
    /// JSON
    Json,
}

/// Does it.
pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<u8, CliError> {
    let project = context.load_as_it_is(&[])?.required_project()?;
    match arguments.format {
        GraphFormat::Text => console::out(&text(&project)),
        GraphFormat::Dot => console::out(&dot(&project)),
        GraphFormat::Json => console::out_line(&document(&project).to_string()),
    }
    Ok(0)
}

/// Longest way to a service without dependencies, by service. Loading refuses cycles.
fn levels(services: &BTreeMap<String, Service>) -> BTreeMap<&str, usize> {
    let mut levels: BTreeMap<&str, usize> = services.keys().map(|name| (name.as_str(), 0)).collect();
    // Each round settles at least one further level; a cycle would end with the rounds.
    for _ in 0..services.len() {
        let mut changed = false;
        for (name, service) in services {
            let below = service.depends_on.keys().filter_map(|other| levels.get(other.as_str()));
            let level = below.max().map_or(0, |level| level + 1);
            changed |= levels.insert(name, level) != Some(level);
        }
        if !changed {
            break;
        }
    }
    levels
}

fn condition(condition: Condition) -> &'static str {
    match condition {
        Condition::ServiceStarted => "started",
        Condition::ServiceHealthy => "healthy",
        Condition::ServiceCompletedSuccessfully => "completed",
    }
}

fn text(project: &Project) -> String {
    let levels = levels(&project.services);
    let last = levels.values().max().copied().unwrap_or(0);
    let mut text = String::new();
    for level in 0..=last {
        let members =
            project.services.values().filter(|service| levels.get(service.name.as_str()) == Some(&level));
        for (position, service) in members.enumerate() {
            let head = if position == 0 { format!("{level}") } else { String::new() };
            text.push_str(&format!("{head:>3}  {}", service.name));
            let waits: Vec<String> = service
                .depends_on
                .iter()
                .map(|(name, dependency)| format!("{name} {}", condition(dependency.condition)))
                .collect();
            if !waits.is_empty() {
                text.push_str(&format!("  <- {}", waits.join(", ")));
            }
            text.push('\n');
        }
    }
    text
}

fn dot(project: &Project) -> String {
    let mut text = format!("digraph \"{}\" {{\n  rankdir=LR;\n", project.name);
    for (name, service) in &project.services {
        text.push_str(&format!("  \"{name}\";\n"));
        for (other, dependency) in &service.depends_on {
            let label = condition(dependency.condition);
            text.push_str(&format!("  \"{other}\" -> \"{name}\" [label=\"{label}\"];\n"));
        }
    }
    text.push_str("}\n");
    text
}

fn document(project: &Project) -> Value {
    let levels = levels(&project.services);
    let services = project.services.iter().map(|(name, service)| {
        let waits: Vec<Value> = service
            .depends_on
            .iter()
            .map(|(other, dependency)| json!({ "service": other, "condition": condition(dependency.condition) }))
            .collect();
        json!({ "service": name, "level": levels.get(name.as_str()), "depends_on": waits })
    });
    services.collect()
}
