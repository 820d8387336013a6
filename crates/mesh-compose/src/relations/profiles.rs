//! Which services are active.

use crate::{
    context::{At, Context},
    node::{Map, Node},
    suggest::did_you_mean,
};
use mesh_diag::Severity;
use std::collections::BTreeSet;

/// The services that were taken out, with the profiles that would activate them.
pub(crate) type Inactive = std::collections::BTreeMap<String, Vec<String>>;

/// Takes out of `tree` every service that neither a profile nor its name in `named` activates. Profiles
/// of `standing` come from the environment and count where none are given; it may serve several projects,
/// so they need not be known.
pub(crate) fn activate(
    tree: &mut Node,
    profiles: &[String],
    standing: &[String],
    named: &[String],
    cx: &mut Context,
) -> Inactive {
    let mut inactive = Inactive::new();
    let Some(services) = tree.get_mut("services").and_then(Node::as_map_mut) else {
        report_unknown(named, &[], "service", cx);
        return inactive;
    };
    let names: Vec<&str> = services.keys().map(String::as_str).collect();
    report_unknown(named, &names, "service", cx);
    let known: BTreeSet<String> = services.values().flat_map(|entry| profiles_of(&entry.node)).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).chain(["*"]).collect();
    report_unknown(profiles, &known, "profile", cx);
    let given = if profiles.is_empty() { standing } else { profiles };
    let mut chosen: BTreeSet<String> = given.iter().cloned().collect();
    for name in named {
        if let Some(entry) = services.get(name) {
            let own = profiles_of(&entry.node);
            if !own.iter().any(|profile| chosen.contains(profile)) {
                chosen.extend(own);
            }
        }
    }
    for (name, entry) in services.iter() {
        let own = profiles_of(&entry.node);
        if !(own.is_empty() || chosen.contains("*") || own.iter().any(|profile| chosen.contains(profile))) {
            inactive.insert(name.clone(), own);
        }
    }
    services.retain(|name, _| !inactive.contains_key(name));
    inactive
}

fn profiles_of(service: &Node) -> Vec<String> {
    let profiles = service.get("profiles").and_then(Node::as_list).unwrap_or_default();
    profiles.iter().filter_map(Node::scalar).collect()
}

fn report_unknown(asked: &[String], known: &[&str], what: &str, cx: &mut Context) {
    for name in asked.iter().filter(|name| !known.contains(&name.as_str())) {
        // One command line may serve several projects too, so a profile may be another's.
        let (code, severity) = match what {
            "service" => ("unknown-service", Severity::Error),
            _ => ("unknown-profile", Severity::Warning),
        };
        let hint = did_you_mean(name, known.iter().copied().filter(|known| *known != "*"));
        cx.report(severity, At::default(), code, format!("no such {what}: {name}"), hint);
    }
}

/// The services of a tree.
pub(super) fn services(tree: &Node) -> impl Iterator<Item = (&String, &Node)> {
    let map: Option<&Map> = tree.get("services").and_then(Node::as_map);
    map.into_iter().flatten().map(|(name, entry)| (name, &entry.node))
}
