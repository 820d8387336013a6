//! `images`.

use crate::{arguments::Format, console, context::Context, failure::CliError, table, words};
use clap::Args;
use mesh_api::status::ContainerStatus;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Arguments of `images`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Services; none: all
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let target = context.target()?;
    target.check_services(&arguments.services)?;
    let mut containers = target.containers().await?;
    containers
        .retain(|container| arguments.services.is_empty() || arguments.services.contains(&container.service));
    if arguments.quiet {
        let ids: BTreeSet<String> = containers.iter().map(short_id).collect();
        ids.iter().for_each(|id| console::out_line(id));
        return Ok(0);
    }
    let sizes = (context.hooks.image_sizes)(&context.home.data.join("images"));
    match arguments.format {
        Format::Table => console::out(&render(&containers, &sizes)),
        Format::Json => {
            let documents: Value = containers.iter().map(|container| document(container, &sizes)).collect();
            console::out_line(&documents.to_string());
        }
    }
    Ok(0)
}

/// Bytes of images by content address.
type Sizes = BTreeMap<String, u64>;

fn render(containers: &[ContainerStatus], sizes: &Sizes) -> String {
    let row = |container: &ContainerStatus| {
        let (repository, tag) = split(&container.image);
        let size = sizes.get(&container.image_digest).map(|bytes| words::decimal_bytes(*bytes));
        vec![
            container.name.clone(),
            repository,
            tag,
            short_id(container),
            size.unwrap_or_else(|| "-".to_owned()),
            container.source.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = containers.iter().map(row).collect();
    table::render(&["CONTAINER", "REPOSITORY", "TAG", "IMAGE ID", "SIZE", "SOURCE"], &rows)
}

fn document(container: &ContainerStatus, sizes: &Sizes) -> Value {
    let (repository, tag) = split(&container.image);
    json!({
        "ID": container.image_digest, "ContainerName": container.name, "Repository": repository, "Tag": tag,
        "Size": sizes.get(&container.image_digest), "Source": container.source,
    })
}

fn short_id(container: &ContainerStatus) -> String {
    let digest =
        container.image_digest.rsplit_once(':').map_or(container.image_digest.as_str(), |(_, hex)| hex);
    digest.chars().take(12).collect()
}

/// Repository and tag of a reference; a port of the registry is not a tag.
fn split(reference: &str) -> (String, String) {
    let name = reference.split_once('@').map_or(reference, |(name, _)| name);
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository.to_owned(), tag.to_owned()),
        _ => (name.to_owned(), "latest".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::summary::sample, *};
    use mesh_api::status::State;

    #[test]
    fn references_are_split() {
        for (reference, repository, tag) in [
            ("postgres:16.4", "postgres", "16.4"),
            ("redis", "redis", "latest"),
            ("host:5000/app", "host:5000/app", "latest"),
            ("host:5000/app:v1@sha256:ab", "host:5000/app", "v1"),
        ] {
            assert_eq!(split(reference), (repository.to_owned(), tag.to_owned()));
        }
    }

    #[test]
    fn sources_are_told() {
        let container = sample("db", State::Running);
        let sizes = Sizes::from([(container.image_digest.clone(), 84_200_000)]);
        let want = "CONTAINER   REPOSITORY   TAG    IMAGE ID       SIZE     SOURCE\n\
                    hub-db-1    postgres     16.4   001122334455   84.2MB   debian 15.18 for 16.4\n";
        assert_eq!(render(&[container], &sizes), want);
    }
}
