//! `secrets`: what was generated for a project, or set by hand.

use crate::{
    console,
    context::Context,
    failure::CliError,
    generated::Desk,
    keeper,
    loading::{self, Wanted},
    table, words,
};
use clap::{Args, Subcommand};
use mesh_bootstrap::generated::Renewed;
use mesh_compose::generate::Wish;
use mesh_redact::Secret;
use mesh_store::secrets::{At, Kept, Secrets, SecretsError, VALUE_BYTES_MAX};
use serde_json::json;
use std::{
    collections::BTreeMap,
    io::{IsTerminal as _, Read as _},
};

/// Arguments of `secrets`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the project's secrets, without their values
    #[command(visible_alias = "list")]
    Ls {
        /// `table` or `json`
        #[arg(long, default_value = "table", value_parser = ["table", "json"])]
        format: String,
        /// Only names
        #[arg(short, long)]
        quiet: bool,
    },
    /// Show one value
    Get {
        /// The secret
        name: String,
    },
    /// Keep a value, read from standard input
    Set {
        /// The secret
        name: String,
    },
    /// Make values anew; the next `up` recreates the services that use them
    Rotate {
        /// The secrets
        #[arg(required_unless_present = "all")]
        names: Vec<String>,
        /// Every generated one
        #[arg(long, conflicts_with = "names")]
        all: bool,
    },
    /// Forget values
    #[command(visible_alias = "remove")]
    Rm {
        /// The secrets
        #[arg(required = true)]
        names: Vec<String>,
    },
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    // The vault's own services may be started with values that the file has.
    let keeper = Some(keeper::Kept::looking(context.home.data.clone()));
    let wanted = Wanted { quiet: true, keeper, ..Wanted::default() };
    let loaded = loading::load(&context.settings, &context.environment, &wanted)?;
    let wishes = loaded.wishes.clone();
    let target = context.target_of(*loaded);
    let desk = Desk::new(context, &target)?;
    match arguments.verb {
        Verb::Ls { format, quiet } => list(&desk.secrets, &wishes, &format, quiet)?,
        Verb::Get { name } => {
            let value = desk.value(&name, wishes.get(&name).map(keeper::recipe)).await?;
            console::out_line(value.ok_or_else(|| unknown(&name))?.expose());
        }
        Verb::Set { name } => {
            check_name(&name)?;
            desk.renew(&name, Renewed::Given(&read_value()?)).await?;
        }
        Verb::Rotate { names, all } => rotate(&desk, &wishes, names, all).await?,
        Verb::Rm { names } => {
            for name in &names {
                desk.remove(name).await?;
                console::err_line(&format!(" Secret {name}  Removed"));
            }
        }
    }
    Ok(0)
}

fn unknown(name: &str) -> CliError {
    CliError::said(format!("there is no secret {name}"))
        .with_hint("`mesh secrets ls` lists them; what the file asks for is made by `mesh up`")
}

fn list(
    secrets: &Secrets,
    wishes: &BTreeMap<String, Wish>,
    format: &str,
    quiet: bool,
) -> Result<(), CliError> {
    let kept = secrets.read()?;
    let mut names: Vec<&String> = kept.keys().chain(wishes.keys()).collect();
    names.sort();
    names.dedup();
    if quiet {
        names.iter().for_each(|name| console::out_line(name));
        return Ok(());
    }
    let facts = names.iter().map(|name| facts(name, kept.get(*name), wishes.contains_key(*name)));
    if format == "json" {
        facts.for_each(|[name, origin, length, made, at]| {
            let line = json!({"Name": name, "Origin": origin, "Length": length, "Made": made, "Kept": at});
            console::out_line(&line.to_string());
        });
    } else {
        let rows: Vec<Vec<String>> = facts.map(Vec::from).collect();
        console::out(&table::render(&["NAME", "ORIGIN", "LENGTH", "MADE", "KEPT"], &rows));
    }
    Ok(())
}

/// Name, origin, length, time and place of one secret.
fn facts(name: &str, kept: Option<&Kept>, wished: bool) -> [String; 5] {
    let origin = match kept {
        None => "not made yet",
        Some(Kept { recipe: None, .. }) => "set",
        Some(_) if wished => "generated",
        Some(_) => "generated, not in the file",
    };
    let dash = || "-".to_owned();
    [
        name.to_owned(),
        origin.to_owned(),
        kept.and_then(length).map_or_else(dash, |length| length.to_string()),
        kept.map_or_else(dash, |kept| words::timestamp(kept.made_unix_seconds.saturating_mul(1000))),
        kept.map_or_else(dash, |kept| match &kept.at {
            At::File(_) => "file".to_owned(),
            At::Vault(path) => format!("vault, {path}"),
        }),
    ]
}

/// Characters of the value, as far as they are known here.
fn length(kept: &Kept) -> Option<usize> {
    let in_file = kept.value().map(|value| value.expose().chars().count());
    in_file.or_else(|| kept.recipe.as_ref().map(|recipe| recipe.length))
}

async fn rotate(
    desk: &Desk<'_>,
    wishes: &BTreeMap<String, Wish>,
    names: Vec<String>,
    all: bool,
) -> Result<(), CliError> {
    let known = desk.secrets.read()?;
    let generated = known.iter().filter(|(_, kept)| kept.recipe.is_some()).map(|(name, _)| name.clone());
    let names = if all { generated.collect() } else { names };
    for name in &names {
        let kept = known.get(name).ok_or_else(|| SecretsError::Unknown { name: name.clone() })?;
        let recipe = wishes.get(name).map(keeper::recipe).or_else(|| kept.recipe.clone());
        let recipe = recipe.ok_or_else(|| SecretsError::NoRecipe { name: name.clone() })?;
        desk.renew(name, Renewed::Made(&recipe)).await?;
        console::err_line(&format!(" Secret {name}  Rotated"));
    }
    if !names.is_empty() {
        console::err_line(
            "The next `mesh up` recreates the services that use them. A server that keeps its own password with \
             its data, as databases do, has to be told the new one.",
        );
    }
    Ok(())
}

/// From standard input, so that it is in no process list and no history. One line feed at its end is the terminal's.
fn read_value() -> Result<Secret<String>, CliError> {
    let input = std::io::stdin();
    if input.is_terminal() {
        console::err_line("Type or paste the value, then Ctrl-D:");
    }
    let mut text = String::new();
    let most = u64::try_from(VALUE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(2);
    input
        .lock()
        .take(most)
        .read_to_string(&mut text)
        .map_err(CliError::io("read the value from standard input"))?;
    if text.ends_with('\n') {
        text.pop();
    }
    if text.is_empty() {
        return Err(CliError::said("the value is empty")
            .with_hint("pipe it in: `printf %s VALUE | mesh secrets set NAME`"));
    }
    Ok(Secret::new(text))
}

fn check_name(name: &str) -> Result<(), CliError> {
    let fine = !name.is_empty()
        && name.len() <= 255
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if fine {
        Ok(())
    } else {
        Err(CliError::said("a secret's name has letters, digits, `_`, `-` and `.` alone"))
    }
}
