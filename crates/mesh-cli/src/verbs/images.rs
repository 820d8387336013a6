//! `images`.

use crate::{
    ImageFacts, console,
    context::Context,
    failure::CliError,
    layout::{Plain, TABLE},
    table,
    template::Value,
    words,
};
use clap::Args;
use mesh_api::status::ContainerStatus;
use std::collections::BTreeMap;

/// Least width of a column.
const COLUMN_WIDTH_MIN: usize = 20;
/// Digits of a short id.
const SHORT_ID_DIGITS: usize = 12;
/// The source of an image that is the very one asked for.
const EXACT_SOURCE: &str = "oci";

/// Arguments of `images`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Services; none: all
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// `table` or `json`
    #[arg(long, default_value = TABLE)]
    format: String,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let target = context.shown_target()?;
    let mut containers = target.containers().await?;
    target.warn_of_unknown(&arguments.services, &containers);
    containers
        .retain(|container| arguments.services.is_empty() || arguments.services.contains(&container.service));
    containers.sort_by(|one, other| one.name.cmp(&other.name));
    if arguments.quiet {
        let mut ids: Vec<&str> = Vec::new();
        for container in &containers {
            let id = hexadecimal(&container.image_digest);
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        ids.into_iter().for_each(console::out_line);
        return Ok(0);
    }
    let format = Plain::parse(&arguments.format)?;
    let stored = (context.hooks.images)(&context.home.data.join("images"));
    match format {
        Plain::Table => console::out(&render(&containers, &stored, words::now_unix_ms())),
        Plain::Json => {
            let documents = containers.iter().map(|container| document(container, &stored)).collect();
            console::out_line(&Value::List(documents).json());
        }
    }
    Ok(0)
}

/// Stored images by content address.
type Stored = BTreeMap<String, ImageFacts>;

fn render(containers: &[ContainerStatus], stored: &Stored, now: u64) -> String {
    let mut header = vec!["CONTAINER", "REPOSITORY", "TAG", "PLATFORM", "IMAGE ID", "SIZE", "CREATED"];
    let stands_in = containers.iter().any(|container| container.source != EXACT_SOURCE);
    if stands_in {
        header.push("SOURCE");
    }
    let or_none = |text: String| if text.is_empty() { "<none>".to_owned() } else { text };
    let row = |container: &ContainerStatus| {
        let (repository, tag) = split(&container.image);
        let facts = stored.get(&container.image_digest);
        let created = facts.and_then(|facts| facts.created_unix_ms);
        let mut row = vec![
            container.name.clone(),
            or_none(repository),
            or_none(tag),
            platform(facts),
            hexadecimal(&container.image_digest).chars().take(SHORT_ID_DIGITS).collect(),
            facts.map_or_else(|| "N/A".to_owned(), |facts| words::decimal_bytes(facts.bytes)),
            created.map_or_else(
                || "N/A".to_owned(),
                |at| format!("{} ago", words::rough(now.saturating_sub(at))),
            ),
        ];
        if stands_in {
            row.push(container.source.clone());
        }
        row
    };
    let rows: Vec<Vec<String>> = containers.iter().map(row).collect();
    table::aligned(&header, &rows, COLUMN_WIDTH_MIN, table::PADDING)
}

fn document(container: &ContainerStatus, stored: &Stored) -> Value {
    let (repository, tag) = split(&container.image);
    let facts = stored.get(&container.image_digest);
    let time = |at: u64| words::precise_short(at.saturating_mul(1_000_000)).into();
    let bytes = facts.map_or(0, |facts| facts.bytes);
    let mut fields = vec![
        ("ID", container.image_digest.clone().into()),
        ("ContainerName", container.name.clone().into()),
        ("Repository", repository.into()),
        ("Tag", tag.into()),
        ("Platform", platform(facts).into()),
        ("Size", Value::Int(i64::try_from(bytes).unwrap_or(i64::MAX))),
    ];
    fields.extend(facts.and_then(|facts| facts.created_unix_ms).map(|at| ("Created", time(at))));
    fields.extend(facts.and_then(|facts| facts.tagged_unix_ms).map(|at| ("LastTagTime", time(at))));
    fields.push(("Source", container.source.clone().into()));
    Value::Record(fields)
}

/// `linux/amd64`, in the names that images use.
fn platform(facts: Option<&ImageFacts>) -> String {
    match facts.map(|facts| facts.platform.as_str()).filter(|platform| !platform.is_empty()) {
        Some(platform) => platform.to_owned(),
        None => {
            let machine = match std::env::consts::ARCH {
                "x86_64" => "amd64",
                "aarch64" => "arm64",
                other => other,
            };
            format!("linux/{machine}")
        }
    }
}

/// A digest without its algorithm.
fn hexadecimal(digest: &str) -> &str {
    digest.split_once(':').map_or(digest, |(_, hexadecimal)| hexadecimal)
}

/// Repository and tag of a reference as people call it; a port of the registry is not a tag, and beside a
/// digest a tag says nothing.
fn split(reference: &str) -> (String, String) {
    let familiar = |name: &str| {
        let name =
            name.strip_prefix("index.docker.io/").or_else(|| name.strip_prefix("docker.io/")).unwrap_or(name);
        name.strip_prefix("library/").unwrap_or(name).to_owned()
    };
    let (name, digest) =
        reference.split_once('@').map_or((reference, None), |(name, digest)| (name, Some(digest)));
    let tag = if digest.is_some() { "" } else { "latest" };
    match name.rsplit_once(':') {
        Some((repository, written)) if !written.contains('/') => {
            (familiar(repository), if digest.is_some() { tag } else { written }.to_owned())
        }
        _ => (familiar(name), tag.to_owned()),
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
            ("docker.io/library/redis:7", "redis", "7"),
            ("docker.io/bitnami/redis", "bitnami/redis", "latest"),
            ("host:5000/app", "host:5000/app", "latest"),
            ("host:5000/app:v1@sha256:ab", "host:5000/app", ""),
        ] {
            assert_eq!(split(reference), (repository.to_owned(), tag.to_owned()));
        }
    }

    #[test]
    fn sources_are_told_where_they_are_others() {
        let mut container = sample("db", State::Running);
        let facts = ImageFacts {
            bytes: 84_200_000,
            created_unix_ms: Some(1_500),
            tagged_unix_ms: None,
            platform: "linux/amd64".to_owned(),
        };
        let stored = Stored::from([(container.image_digest.clone(), facts)]);
        let line = "CONTAINER           REPOSITORY          TAG                 PLATFORM            IMAGE ID            SIZE                CREATED";
        let row = "hub-db-1            postgres            16.4                linux/amd64         001122334455        84.2MB              58 seconds ago";
        let document = document(&container, &stored).json();
        let want = format!("{line}             SOURCE\n{row}      debian 15.18 for 16.4\n");
        assert_eq!(render(&[container.clone()], &stored, 60_000), want);
        container.source = EXACT_SOURCE.to_owned();
        assert_eq!(render(&[container], &stored, 60_000), format!("{line}\n{row}\n"));
        let want = "{\"ID\":\"sha256:00112233445566778899\",\"ContainerName\":\"hub-db-1\",\"Repository\":\"postgres\",\
                    \"Tag\":\"16.4\",\"Platform\":\"linux/amd64\",\"Size\":84200000,\"Created\":\"1970-01-01T00:00:01.5Z\",\
                    \"Source\":\"debian 15.18 for 16.4\"}";
        assert_eq!(document, want);
    }
}
