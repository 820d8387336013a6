//! `config`: the resolved project, or one list out of it.

use crate::{
    console,
    context::Context,
    failure::CliError,
    loading::{self, Wanted},
    table,
};
use clap::{Args, ValueEnum};
use mesh_compose::VariableUse;
use mesh_model::project::Project;
use std::{collections::BTreeSet, fs::OpenOptions, io::Write, os::unix::fs::OpenOptionsExt, path::PathBuf};

/// Words that make a name one of a secret, wherever they stand in it.
const SECRET_WORDS: [&str; 6] = ["PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "CREDENTIAL"];
/// Words that do where they are a part of their own.
const SECRET_PARTS: [&str; 9] = ["PASS", "PW", "PWD", "KEY", "APIKEY", "AUTH", "DSN", "COOKIE", "SALT"];

/// Arguments of `config`.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct Arguments {
    /// Services; none: all active ones
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Format
    #[arg(long, value_enum, default_value = "yaml")]
    format: ConfigFormat,
    /// Only check
    #[arg(short, long)]
    quiet: bool,
    /// Write into this file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print names of services
    #[arg(long = "services", group = "list")]
    service_names: bool,
    /// Print names of images
    #[arg(long, group = "list")]
    images: bool,
    /// Print names of volumes
    #[arg(long, group = "list")]
    volumes: bool,
    /// Print names of networks
    #[arg(long, group = "list")]
    networks: bool,
    /// Print names of profiles
    #[arg(long, group = "list")]
    profiles: bool,
    /// Print names of models (there are none)
    #[arg(long, group = "list", hide = true)]
    models: bool,
    /// Print the hash of a service's configuration, `*` for all (not available yet)
    #[arg(long, value_name = "SERVICE", group = "list")]
    hash: Option<String>,
    /// Print the variables that the files use
    #[arg(long, group = "list")]
    variables: bool,
    /// Print the values of the variables that the files use; what looks like a secret is `***`
    #[arg(long, group = "list")]
    environment: bool,
    /// With --environment: print secrets too
    #[arg(long, requires = "environment")]
    show_secrets: bool,
    /// Leave variables as they are written
    #[arg(long)]
    no_interpolate: bool,
    /// Ignored
    #[arg(long, hide = true)]
    no_normalize: bool,
    /// Ignored
    #[arg(long, hide = true)]
    no_path_resolution: bool,
    /// Ignored
    #[arg(long, hide = true)]
    no_env_resolution: bool,
    /// Ignored
    #[arg(long, hide = true)]
    no_consistency: bool,
    /// Print digests instead of tags (not available yet)
    #[arg(long, hide = true)]
    resolve_image_digests: bool,
    /// Print an override file with digests (not available yet)
    #[arg(long, hide = true)]
    lock_image_digests: bool,
}

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "clap shows each as it is")]
enum ConfigFormat {
    Yaml,
    Json,
}

/// Does it.
pub(crate) fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    for (given, flag) in [
        (arguments.hash.is_some(), "`mesh config --hash`"),
        (arguments.resolve_image_digests, "`mesh config --resolve-image-digests`"),
        (arguments.lock_image_digests, "`mesh config --lock-image-digests`"),
    ] {
        if given {
            return Err(CliError::unavailable(flag));
        }
    }
    let wanted = Wanted {
        services: arguments.services.clone(),
        no_interpolate: arguments.no_interpolate,
        quiet: false,
    };
    let loaded = loading::load(&context.settings, &context.environment, &wanted)?;
    if arguments.quiet {
        return Ok(0);
    }
    if arguments.variables {
        console::out(&variables(&loaded.variables));
        return Ok(0);
    }
    if arguments.environment {
        console::out(&values(&loaded.variables, arguments.show_secrets));
        return Ok(0);
    }
    let text = match list(&arguments, &loaded.project, context) {
        Some(lines) => lines.iter().map(|line| format!("{line}\n")).collect(),
        None => match arguments.format {
            ConfigFormat::Yaml => loaded.document.to_yaml(),
            ConfigFormat::Json => loaded.document.to_json(),
        },
    };
    let text = match text.trim_end_matches('\n') {
        "" => String::new(),
        text => format!("{text}\n"),
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

fn variables(uses: &[VariableUse]) -> String {
    let row = |variable: &VariableUse| {
        vec![
            variable.name.clone(),
            variable.required.to_string(),
            variable.default.clone().unwrap_or_default(),
            variable.alternate.clone().unwrap_or_default(),
        ]
    };
    let rows: Vec<Vec<String>> = uses.iter().map(row).collect();
    table::render(&["NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE"], &rows)
}

/// `NAME=VALUE` of every variable that has a value. Nothing of the environment that the files do not use
/// is shown, and no value whose name says that it is a secret, unless asked for.
fn values(uses: &[VariableUse], secrets: bool) -> String {
    let line = |variable: &VariableUse| {
        let value = variable.value.as_ref()?;
        let hidden = !secrets && is_secret(&variable.name);
        let value = if hidden { value.to_string() } else { value.expose().clone() };
        Some(format!("{}={value}\n", variable.name))
    };
    uses.iter().filter_map(line).collect()
}

/// Whether a name says that its value is a secret.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let parts = || name.split(['_', '-', '.']);
    SECRET_WORDS.iter().any(|word| name.contains(word)) || parts().any(|part| SECRET_PARTS.contains(&part))
}

/// The list that was asked for, if one was.
fn list(arguments: &Arguments, project: &Project, context: &Context) -> Option<BTreeSet<String>> {
    let services = project.services.values();
    if arguments.service_names {
        Some(project.services.keys().cloned().collect())
    } else if arguments.images {
        let own = |service: &mesh_model::service::Service| format!("{}-{}", project.name, service.name);
        Some(services.map(|service| service.image.clone().unwrap_or_else(|| own(service))).collect())
    } else if arguments.volumes {
        Some(project.volumes.keys().cloned().collect())
    } else if arguments.networks {
        Some(project.networks.keys().cloned().collect())
    } else if arguments.profiles {
        Some(context.settings.profiles.iter().cloned().collect())
    } else if arguments.models {
        Some(BTreeSet::new())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_redact::Secret;

    #[test]
    fn secrets_are_shown_when_asked_for() {
        let variable = |name: &str, value: Option<&str>| VariableUse {
            name: name.to_owned(),
            required: false,
            default: None,
            alternate: None,
            set: value.is_some(),
            value: value.map(|value| Secret::new(value.to_owned())),
        };
        let uses = [variable("DB_PASSWORD", Some("x")), variable("TAG", Some("16")), variable("NONE", None)];
        assert_eq!(values(&uses, false), "DB_PASSWORD=***\nTAG=16\n");
        assert_eq!(values(&uses, true), "DB_PASSWORD=x\nTAG=16\n");
    }

    #[test]
    fn names_tell_secrets() {
        for (name, want) in [
            ("POSTGRES_PASSWORD", true),
            ("GITHUB_TOKEN", true),
            ("aws_secret_access_key", true),
            ("DB_PASS", true),
            ("HUB_REDIS_PORT", false),
            ("MONKEY", false),
            ("COMPASS_URL", false),
        ] {
            assert_eq!(is_secret(name), want, "{name}");
        }
    }
}
