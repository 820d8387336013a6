//! `volumes`.

use crate::{
    console,
    context::{Context, unexpected},
    failure::CliError,
    layout::{Layout, TABLE},
    template::Subject,
};
use clap::Args;
use mesh_api::{
    message::{Answer, Message},
    request::Request,
    status::{ContainerStatus, VolumeRow},
};

/// Headers of the columns.
const HEADERS: &[(&str, &str)] = &[
    ("ID", "ID"),
    ("Name", "VOLUME NAME"),
    ("Group", "GROUP"),
    ("Driver", "DRIVER"),
    ("Scope", "SCOPE"),
    ("Availability", "AVAILABILITY"),
    ("Mountpoint", "MOUNTPOINT"),
    ("Labels", "LABELS"),
    ("Links", "LINKS"),
    ("Size", "SIZE"),
    ("Status", "STATUS"),
];
/// The label of a volume without a name.
const ANONYMOUS_LABEL: &str = "com.docker.volume.anonymous";
/// What `volumes` can show.
const LAYOUT: Layout<'_> = Layout {
    table: "{{.Driver}}\t{{.Name}}",
    raw: Some("name: {{.Name}}\ndriver: {{.Driver}}\n"),
    headers: HEADERS,
};

/// Arguments of `volumes`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only volumes of these services' containers
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// `table`, `json`, `table TEMPLATE` or a Go template, such as '{{.Name}} {{.Mountpoint}}'
    #[arg(long, default_value = TABLE)]
    format: String,
    /// Only names
    #[arg(short, long)]
    quiet: bool,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let target = context.shown_target()?;
    target.check_services(&arguments.services)?;
    // Volumes outlive what used them.
    let client = match target.attend().await? {
        None if (context.hooks.volumes)(&context.home.data.join("volumes")).contains_key(&target.name) => {
            Some(target.supervise().await?)
        }
        client => client,
    };
    let mut ignore = |_: Message| {};
    let mut rows = match client {
        None => Vec::new(),
        Some(client) => match client.call(Request::Volumes, &mut ignore, None).await? {
            Answer::Volumes(rows) => rows,
            _ => return Err(unexpected()),
        },
    };
    // Those without a name belong to their containers and come and go with them; Docker Compose lists none.
    rows.retain(|row| !row.labels.contains_key(ANONYMOUS_LABEL));
    if !arguments.services.is_empty() {
        let containers = target.containers().await?;
        rows.retain(|row| is_used(&containers, &arguments.services, &row.name));
    }
    if arguments.quiet {
        rows.iter().for_each(|row| console::out_line(&row.name));
        return Ok(0);
    }
    console::out(&LAYOUT.render(&arguments.format, rows.into_iter().map(subject).collect())?);
    Ok(0)
}

/// A volume with Docker's fields; what no single machine has is `N/A` there too.
fn subject(row: VolumeRow) -> Subject {
    let labels: Vec<String> = row.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let unknown = || "N/A".into();
    let fields = [
        ("Availability", unknown()),
        ("Driver", row.driver.into()),
        ("Group", unknown()),
        ("Labels", labels.join(",").into()),
        ("Links", unknown()),
        ("Mountpoint", row.mountpoint.into()),
        ("Name", row.name.into()),
        ("Scope", "local".into()),
        ("Size", unknown()),
        ("Status", unknown()),
    ];
    Subject { kind: "*formatter.volumeContext", fields: fields.into(), labels: Some(row.labels) }
}

/// Whether a container of one of the services has the volume of this name.
fn is_used(containers: &[ContainerStatus], services: &[String], name: &str) -> bool {
    let of_services = containers.iter().filter(|container| services.contains(&container.service));
    of_services.flat_map(|container| &container.mounts).any(|mount| mount.volume && mount.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_read_as_docker_s() {
        let row = || VolumeRow {
            name: "one_data".to_owned(),
            driver: "local".to_owned(),
            mountpoint: "/v/_data".to_owned(),
            labels: [("x".to_owned(), "y".to_owned())].into(),
        };
        let check = |format: &str, want: &str| {
            assert_eq!(LAYOUT.render(format, vec![subject(row())]).unwrap(), want);
        };
        check("table", "DRIVER    VOLUME NAME\nlocal     one_data\n");
        check("raw", "name: one_data\ndriver: local\n\n");
        check("{{.Label \"x\"}}", "y\n");
        check(
            "json",
            "{\"Availability\":\"N/A\",\"Driver\":\"local\",\"Group\":\"N/A\",\"Labels\":\"x=y\",\"Links\":\"N/A\",\
             \"Mountpoint\":\"/v/_data\",\"Name\":\"one_data\",\"Scope\":\"local\",\"Size\":\"N/A\",\"Status\":\"N/A\"}\n",
        );
    }
}
