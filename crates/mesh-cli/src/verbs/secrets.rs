//! `secrets`: what was generated for a project, or set by hand.

use crate::{
    console,
    context::Context,
    failure::CliError,
    keeper,
    loading::{self, Wanted},
    table, words,
};
use clap::{Args, Subcommand};
use mesh_compose::generate::Wish;
use mesh_redact::Secret;
use mesh_store::secrets::{Kept, Secrets, VALUE_BYTES_MAX};
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
pub(crate) fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let wanted = Wanted { quiet: true, ..Wanted::default() };
    let loaded = loading::load(&context.settings, &context.environment, &wanted)?;
    let secrets = Secrets::of(&context.home.data, &loaded.project.name);
    match arguments.verb {
        Verb::Ls { format, quiet } => list(&secrets, &loaded.wishes, &format, quiet)?,
        Verb::Get { name } => console::out_line(value(&secrets, &name)?.expose()),
        Verb::Set { name } => {
            check_name(&name)?;
            secrets.set(&name, read_value()?)?;
        }
        Verb::Rotate { names, all } => rotate(&secrets, &loaded.wishes, names, all)?,
        Verb::Rm { names } => {
            for name in &names {
                secrets.remove(name)?;
                console::err_line(&format!(" Secret {name}  Removed"));
            }
        }
    }
    Ok(0)
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
        facts.for_each(|[name, origin, length, made]| {
            let line = json!({"Name": name, "Origin": origin, "Length": length, "Made": made});
            console::out_line(&line.to_string());
        });
    } else {
        let rows: Vec<Vec<String>> = facts.map(Vec::from).collect();
        console::out(&table::render(&["NAME", "ORIGIN", "LENGTH", "MADE"], &rows));
    }
    Ok(())
}

/// Name, origin, length and time of one secret.
fn facts(name: &str, kept: Option<&Kept>, wished: bool) -> [String; 4] {
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
        kept.map_or_else(dash, |kept| kept.value.expose().chars().count().to_string()),
        kept.map_or_else(dash, |kept| words::timestamp(kept.made_unix_seconds.saturating_mul(1000))),
    ]
}

fn value(secrets: &Secrets, name: &str) -> Result<Secret<String>, CliError> {
    let kept = secrets.read()?.remove(name);
    kept.map(|kept| kept.value).ok_or_else(|| {
        CliError::said(format!("there is no secret {name}"))
            .with_hint("`mesh secrets ls` lists them; what the file asks for is made by `mesh up`")
    })
}

fn rotate(
    secrets: &Secrets,
    wishes: &BTreeMap<String, Wish>,
    names: Vec<String>,
    all: bool,
) -> Result<(), CliError> {
    let generated = |(name, kept): (String, Kept)| kept.recipe.is_some().then_some(name);
    let names = if all { secrets.read()?.into_iter().filter_map(generated).collect() } else { names };
    for name in &names {
        secrets.rotate(name, wishes.get(name).map(keeper::recipe).as_ref())?;
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
