//! Commands of the project's own: services that say what they do (`x-mesh.command`), run by their names.
//!
//! `mesh NAME ...` is `mesh run --rm NAME ...` for those, and for no other service. A verb of Mesh's goes before.

use crate::{
    arguments::OwnCommand,
    console,
    context::Context,
    failure::CliError,
    loading::{self, Wanted},
    settings::Settings,
};
use mesh_compose::Skip;
use std::collections::BTreeMap;

/// Ends the process with what is wrong where the project has no such command.
pub(crate) fn check(context: &Context, own: &OwnCommand) {
    let commands = match commands(context) {
        Ok(commands) => commands,
        // What is wrong with the file may be why the command is not known.
        Err(error @ CliError::Load { .. }) => {
            console::err_line(&error.render(context.settings.error_colour));
            BTreeMap::new()
        }
        Err(_) => BTreeMap::new(),
    };
    if commands.contains_key(&own.name) {
        return;
    }
    if !commands.is_empty() {
        console::err_line("This project's own commands:");
        for (name, about) in &commands {
            console::err_line(&format!("  {name:<16} {}", console::inert(about)));
        }
        console::err_line("");
    }
    own.refuse();
}

/// Those of all profiles.
fn commands(context: &Context) -> Result<BTreeMap<String, String>, CliError> {
    let settings = Settings { profiles: vec!["*".to_owned()], ..context.settings.clone() };
    let skip = Skip { env_files: true, label_files: true, ..Skip::default() };
    let wanted = Wanted { quiet: true, skip, ..Wanted::default() };
    Ok(loading::load(&settings, &context.environment, &wanted)?.document.commands())
}
