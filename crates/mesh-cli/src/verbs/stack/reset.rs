//! `reset`: `down -v --remove-orphans`, once it was confirmed.

use super::confirmed;
use crate::{context::Context, failure::CliError, verbs::down};
use clap::Args;

/// Arguments of `reset`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let target = context.own_target()?;
    let question = format!(
        "This stops {0} and removes its containers, its networks and its volumes with all that is in them.\n\
         `mesh backup` keeps it before. Remove all of {0}?",
        target.name
    );
    if !arguments.yes && !context.settings.dry_run && !confirmed(&question)? {
        return Err(CliError::said("nothing was removed").with_hint("`--yes` removes without asking"));
    }
    down::run(context, down::Arguments::with_volumes()).await
}
