//! `config`: the resolved project, or one list out of it.
//!
//! What `docker compose config` prints, this prints: the same bytes, values of `environment` included, since
//! scripts read them. What is Mesh's own (`--explain`) hides values that look like secrets.

mod digests;
mod explain;
mod lists;
mod variables;

use crate::{
    console,
    context::Context,
    failure::CliError,
    loading::{self, Wanted},
};
use clap::Args;
use mesh_compose::{Document, Loaded, Skip};
use std::{fs::OpenOptions, io::Write, os::unix::fs::OpenOptionsExt, path::PathBuf};

/// Arguments of `config`.
#[derive(Debug, Clone, Args)]
#[allow(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct Arguments {
    /// Services, which `*` and `?` may stand for; with what they depend on. None: all active ones
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Format: yaml or json; of --variables also table
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Only check
    #[arg(short, long)]
    quiet: bool,
    /// Write into this file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print names of services
    #[arg(long = "services")]
    service_names: bool,
    /// Print names of images, one for each service
    #[arg(long)]
    images: bool,
    /// Print names of volumes that are used
    #[arg(long)]
    volumes: bool,
    /// Print names of networks that are used
    #[arg(long)]
    networks: bool,
    /// Print names of profiles, chosen or not
    #[arg(long)]
    profiles: bool,
    /// Print names of models
    #[arg(long)]
    models: bool,
    /// Print the hash of each service's configuration: names with commas between, `*` for all
    #[arg(long, value_name = "SERVICES")]
    hash: Option<String>,
    /// Print the variables that the files use
    #[arg(long)]
    variables: bool,
    /// Print all that variables are replaced from, with every value, also of the shell
    #[arg(long)]
    environment: bool,
    /// Say where a variable's value comes from, what it shadows and where it is used
    #[arg(long, value_name = "VARIABLE", conflicts_with_all = ["variables", "environment", "hash"])]
    explain: Option<String>,
    /// With --explain: show values of variables that are called like a secret (a password, token, key, ...)
    #[arg(long, requires = "explain")]
    show_secrets: bool,
    /// Leave variables as they are written
    #[arg(long)]
    no_interpolate: bool,
    /// Leave out what follows from other keys: names, the default network, implied dependencies
    #[arg(long)]
    no_normalize: bool,
    /// Leave relative paths as they are written
    #[arg(long)]
    no_path_resolution: bool,
    /// Leave the contents of `env_file` in their files
    #[arg(long)]
    no_env_resolution: bool,
    /// Do not check what services say of one another
    #[arg(long)]
    no_consistency: bool,
    /// Put the digest that its registry has now into each image
    #[arg(long)]
    resolve_image_digests: bool,
    /// Print an override file that holds each image at its digest
    #[arg(long)]
    lock_image_digests: bool,
}

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Yaml,
    Json,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    if let Some(name) = &arguments.explain {
        return explain::run(context, &arguments, name);
    }
    if let Some(list) = lists::asked(&arguments) {
        return lists::run(context, &arguments, list);
    }
    if arguments.variables {
        return variables::run(context, &arguments);
    }
    if arguments.environment {
        return environment(context, &arguments);
    }
    document(context, &arguments).await
}

/// The document itself.
async fn document(context: &Context, arguments: &Arguments) -> Result<u8, CliError> {
    let format = match arguments.format.as_deref() {
        None | Some("" | "yaml") => Format::Yaml,
        Some("json") => Format::Json,
        Some(other) => {
            return Err(
                CliError::said(format!("unsupported format {other:?}")).with_hint("it is yaml or json")
            );
        }
    };
    let mut loaded = load(context, arguments, arguments.skip())?;
    if arguments.resolve_image_digests || arguments.lock_image_digests {
        digests::resolve(context, &mut loaded.document).await?;
    }
    if arguments.lock_image_digests {
        loaded.document.keep_images();
    }
    if arguments.quiet {
        return Ok(0);
    }
    let text = match format {
        Format::Yaml => loaded.document.to_yaml(),
        Format::Json => loaded.document.to_json(),
    };
    match &arguments.output {
        None => console::out(&text),
        Some(path) => OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(CliError::io(format!("write {}", path.display())))?,
    }
    Ok(0)
}

/// Everything that variables can have, as `docker compose` prints it: asking for it is asking for secrets.
fn environment(context: &Context, arguments: &Arguments) -> Result<u8, CliError> {
    let loaded = load(context, arguments, arguments.skip())?;
    if !arguments.quiet {
        let lines = loaded.environment.expose().iter().map(|(name, value)| format!("{name}={value}\n"));
        let mut lines: Vec<String> = lines.collect();
        lines.sort();
        console::out(&lines.concat());
    }
    Ok(0)
}

impl Arguments {
    /// The passes that the flags leave out.
    fn skip(&self) -> Skip {
        Skip {
            paths: self.no_path_resolution,
            env_files: self.no_env_resolution,
            label_files: false,
            normalisation: self.no_normalize,
            consistency: self.no_consistency,
        }
    }
}

/// The project with the services that the command line names.
fn load(context: &Context, arguments: &Arguments, skip: Skip) -> Result<Box<Loaded>, CliError> {
    let wanted = Wanted {
        services: arguments.services.iter().filter(|name| !is_pattern(name)).cloned().collect(),
        no_interpolate: arguments.no_interpolate,
        skip,
        ..Wanted::default()
    };
    let mut loaded = loading::load(&context.settings, &context.environment, &wanted)?;
    if !arguments.no_interpolate {
        select(context, &mut loaded.document, &arguments.services)?;
    }
    Ok(loaded)
}

fn select(context: &Context, document: &mut Document, services: &[String]) -> Result<(), CliError> {
    document.select(services).map_err(|name| CliError::said(format!("no such service: {name}")))?;
    if !context.settings.all_resources {
        document.prune();
    }
    Ok(())
}

fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?'])
}
