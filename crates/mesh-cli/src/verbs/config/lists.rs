//! Lists out of the project, a line each: names of services, volumes, networks, models, profiles, images, and
//! the hashes of services.

use super::{Arguments, load};
use crate::{
    console,
    context::Context,
    failure::CliError,
    loading::{self, Wanted},
};
use mesh_compose::{Document, Section, Skip};

/// A list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    Services,
    Volumes,
    Networks,
    Models,
    Hash,
    Profiles,
    Images,
}

/// The list that was asked for; of several, the first that `docker compose` looks at.
pub(super) fn asked(arguments: &Arguments) -> Option<List> {
    let lists = [
        (arguments.service_names, List::Services),
        (arguments.volumes, List::Volumes),
        (arguments.networks, List::Networks),
        (arguments.models, List::Models),
        (arguments.hash.as_deref().is_some_and(|names| !names.is_empty()), List::Hash),
        (arguments.profiles, List::Profiles),
        (arguments.images, List::Images),
    ];
    lists.into_iter().find_map(|(asked, list)| asked.then_some(list))
}

/// Prints it.
pub(super) fn run(context: &Context, arguments: &Arguments, list: List) -> Result<u8, CliError> {
    let lines: Vec<String> = match list {
        List::Services => owned(&whole(context, arguments.no_interpolate)?.services()),
        List::Volumes => owned(&whole(context, false)?.names(Section::Volumes)),
        List::Networks => owned(&whole(context, false)?.names(Section::Networks)),
        List::Models => whole(context, false)?.models(),
        List::Hash => hashes(&whole(context, false)?, arguments.hash.as_deref().unwrap_or_default())?,
        List::Profiles => owned(&chosen(context, arguments)?.profiles()),
        List::Images => chosen(context, arguments)?.images(),
    };
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    console::out(&text);
    Ok(0)
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The project, of which only names are asked: the contents of its `env_file`s do not matter.
fn whole(context: &Context, no_interpolate: bool) -> Result<Document, CliError> {
    let skip = Skip { env_files: true, label_files: true, ..Skip::default() };
    let wanted = Wanted { no_interpolate, skip, ..Wanted::default() };
    Ok(loading::load(&context.settings, &context.environment, &wanted)?.document)
}

fn chosen(context: &Context, arguments: &Arguments) -> Result<Document, CliError> {
    let arguments = Arguments { no_interpolate: false, ..arguments.clone() };
    Ok(load(context, &arguments, arguments.skip())?.document)
}

fn hashes(document: &Document, names: &str) -> Result<Vec<String>, CliError> {
    let mut names: Vec<&str> = match names {
        "*" => document.services(),
        names => names.split(',').collect(),
    };
    names.sort_unstable();
    let line = |name: &&str| {
        let hash = document.hash(name).ok_or_else(|| CliError::said(format!("no such service: {name}")))?;
        Ok(format!("{name} {hash}"))
    };
    names.iter().map(line).collect()
}
