//! `profiles`: which there are, with the services of each, and which of these run.

use super::There;
use crate::{
    console,
    context::Context,
    failure::CliError,
    loading::{self, Wanted},
    settings::Settings,
    table,
    verbs::rehearsal,
};
use clap::Args;
use mesh_api::status::{ContainerStatus, State};
use mesh_compose::Skip;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What services without a profile are listed under.
const ALWAYS: &str = "(always)";

/// Arguments of `profiles`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// `table` or `json`
    #[arg(long, default_value = "table", value_parser = ["table", "json"])]
    format: String,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let settings = Settings { profiles: vec!["*".to_owned()], ..context.settings.clone() };
    let skip = Skip { env_files: true, label_files: true, ..Skip::default() };
    let wanted = Wanted { quiet: true, skip, ..Wanted::default() };
    let document = loading::load(&settings, &context.environment, &wanted)?.document;
    let services = document.profiles_of_services();
    let groups = by_profile(&services);
    let target = context.shown_target()?;
    let (containers, left_out) = match There::find(&target).await? {
        Some(there) => (there.containers, there.project.map(|project| project.left_out).unwrap_or_default()),
        None => Default::default(),
    };
    let up = up(&containers);
    let parts = |services: &BTreeSet<&str>| {
        let of = |names: &dyn Fn(&str) -> bool| -> Vec<String> {
            services.iter().filter(|name| names(name)).map(|name| (*name).to_owned()).collect()
        };
        (of(&|_| true), of(&|name| up.contains(name)), of(&|name| left_out.contains_key(name)))
    };
    if arguments.format == "json" {
        let rows: Vec<Value> = groups
            .iter()
            .map(|(profile, services)| {
                let (all, up, left_out) = parts(services);
                let name = (*profile != ALWAYS).then_some(profile);
                json!({"Profile": name, "Services": all, "Up": up, "LeftOut": left_out})
            })
            .collect();
        console::out_line(&Value::Array(rows).to_string());
        return Ok(0);
    }
    let rows: Vec<Vec<String>> = groups
        .iter()
        .map(|(profile, services)| {
            let (all, up, left_out) = parts(services);
            let less =
                if left_out.is_empty() { String::new() } else { format!(", {} left out", left_out.len()) };
            vec![profile.to_string(), format!("{} of {}{less}", up.len(), all.len()), all.join(" ")]
        })
        .collect();
    console::out(&table::render(&["PROFILE", "UP", "SERVICES"], &rows));
    Ok(0)
}

/// Services by profile, the smallest first; those without one come before all others.
fn by_profile<'a>(services: &'a BTreeMap<&'a str, Vec<String>>) -> Vec<(&'a str, BTreeSet<&'a str>)> {
    let mut groups: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (service, profiles) in services {
        if profiles.is_empty() {
            groups.entry(ALWAYS).or_default().insert(service);
        }
        for profile in profiles {
            groups.entry(profile).or_default().insert(service);
        }
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(profile, services)| (*profile != ALWAYS, services.len(), *profile));
    groups
}

/// Services of which something runs, or that did what they had to.
fn up(containers: &[ContainerStatus]) -> BTreeSet<&str> {
    let is_up = |one: &&ContainerStatus| {
        rehearsal::runs(one) || (one.state == State::Exited && one.exit_code == Some(0))
    };
    containers.iter().filter(is_up).map(|one| one.service.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_stand_under_each_of_their_profiles() {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let services =
            BTreeMap::from([("db", own(&["small", "big"])), ("queue", own(&["big"])), ("vault", own(&[]))]);
        let want = vec![
            (ALWAYS, BTreeSet::from(["vault"])),
            ("small", BTreeSet::from(["db"])),
            ("big", BTreeSet::from(["db", "queue"])),
        ];
        assert_eq!(by_profile(&services), want);
    }
}
