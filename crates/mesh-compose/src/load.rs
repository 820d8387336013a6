//! The passes in their order.

use crate::{
    Document, LoadError, LoadOptions, Loaded,
    canonical::{self, Surface},
    check,
    context::{At, Context},
    decode::{self, Frame},
    explain::{Stage, Watch},
    generate,
    locate::{self, Located},
    node::Node,
    relations::{self, Inactive},
    resolve::{Resolver, Scope},
    template, yaml,
};
use mesh_redact::Secret;
use std::{collections::BTreeMap, path::PathBuf};

/// Loads a project.
///
/// # Errors
/// [`LoadError::NoFile`] where there is nothing to load, [`LoadError::Io`] where a named file cannot be
/// read, [`LoadError::Findings`] with everything that is wrong in the files.
pub fn load(options: &LoadOptions) -> Result<Loaded, LoadError> {
    let mut cx = Context::default();
    cx.raw = !options.interpolate;
    cx.skip = options.skip;
    cx.watch = options.explain.as_deref().map(Watch::new);
    let Located { texts, directory, mut environment } = locate::locate(options, &mut cx)?;
    let mut parsed = Vec::new();
    for text in texts {
        let file = cx.add_source(&text.name, &text.text);
        parsed.push((text.path, yaml::parse(&text.text, file, &mut cx)));
    }
    let in_files = name_in_files(&parsed, &environment, cx.raw);
    let name = locate::project_name(options, &environment, in_files, &directory, &mut cx);
    environment.insert("COMPOSE_PROJECT_NAME".to_owned(), name.clone());
    let wishes = generate::wishes(&parsed);
    cx.generated = wishes.values(&name, options.keeper.as_deref(), &mut cx);
    for variable in &wishes.variables {
        // Who writes a value has it; one that is empty, as in a template of `.env`, is not written yet.
        let there = environment.get(variable).is_some_and(|value| !value.is_empty());
        if let (false, Some(value)) = (there, cx.generated.get(variable)) {
            environment.insert(variable.clone(), value.expose().clone());
        }
    }

    cx.enter(|| Stage::Include);
    let mut resolver = Resolver::new(&mut cx, options.working_directory.clone());
    resolver.files.extend(parsed.iter().map(|(path, _)| path.clone()));
    let mut tree = resolver.project(parsed, &directory, &environment, Vec::new());
    let files = std::mem::take(&mut resolver.files);
    let variables = std::mem::take(&mut resolver.variables).into_values().collect();
    drop(resolver);

    if tree.as_map().is_some_and(|map| map.is_empty()) && !cx.has_errors() {
        cx.error(At::default(), "empty", "the Compose file is empty");
    }
    tree.set("name", Node::text(name.clone(), At::default()));
    check::check(&tree, &mut cx);
    // As it is written, the file has all its services.
    let inactive =
        if options.interpolate { active(&mut tree, options, &environment, &mut cx) } else { Inactive::new() };
    let mut absent = Vec::new();
    let profiles_of_inactive = inactive.values().flatten().cloned().collect();
    if options.interpolate {
        long_forms(&mut tree, &name, options, &environment, &mut cx);
        if !options.skip.normalisation {
            relations::default_network(&mut tree);
            // Networks that only now appeared get their names too.
            canonical::top(&mut tree, &name, &mut cx);
        }
        if !options.skip.consistency {
            absent = relations::check(&mut tree, &inactive, &mut cx);
        }
    } else {
        canonical::as_written(&mut tree, &name, &environment, &mut cx);
    }
    if cx.has_errors() {
        return Err(LoadError::Findings(cx.into_findings()));
    }
    let frame = Frame {
        name,
        directory,
        files: distinct(files),
        inactive: inactive.into_keys().collect(),
        environment: &environment,
    };
    let empty = Node::map(At::default());
    let whole = options.interpolate && options.skip.nothing();
    let project = decode::project(if whole { &tree } else { &empty }, frame, &mut cx);
    if cx.has_errors() {
        return Err(LoadError::Findings(cx.into_findings()));
    }
    let watch = cx.watch.take();
    let explanation = watch.map(|watch| watch.explain(&options.environment, &environment, &tree, &cx));
    relations::restore(&mut tree, absent);
    let mut document = Document::new(tree, options.interpolate, profiles_of_inactive);
    if options.interpolate && !options.all_resources {
        document.prune();
    }
    let looked_at = std::mem::take(&mut cx.looked_at);
    let (findings, refusals) = cx.into_parts();
    let environment = Secret::new(environment);
    let wishes = wishes.all;
    Ok(Loaded {
        project,
        document,
        findings,
        refusals,
        variables,
        wishes,
        environment,
        explanation,
        looked_at,
    })
}

/// The last `name:` of the files, with its variables replaced; what is wrong with it is reported when
/// the file itself is interpolated.
fn name_in_files(
    parsed: &[(PathBuf, Vec<Node>)],
    environment: &BTreeMap<String, String>,
    raw: bool,
) -> Option<(String, At)> {
    let node = parsed.iter().flat_map(|(_, documents)| documents).rev().find_map(|node| node.get("name"))?;
    let mut uses = BTreeMap::new();
    let mut scope = Scope { environment, uses: &mut uses, unset: Vec::new() };
    let written = node.scalar()?;
    let name = if raw { written } else { template::substitute(&written, &mut scope).ok()? };
    let name = locate::normalised(&name);
    (!name.is_empty()).then_some((name, node.at))
}

fn active(
    tree: &mut Node,
    options: &LoadOptions,
    environment: &BTreeMap<String, String>,
    cx: &mut Context,
) -> Inactive {
    relations::activate(tree, &options.profiles, &profiles(environment), &options.services, cx)
}

/// The profiles of `COMPOSE_PROFILES`.
fn profiles(environment: &BTreeMap<String, String>) -> Vec<String> {
    let listed = environment.get("COMPOSE_PROFILES").map(String::as_str).unwrap_or_default();
    let listed = listed.split(',').map(str::trim).filter(|profile| !profile.is_empty());
    listed.map(ToOwned::to_owned).collect()
}

fn long_forms(
    tree: &mut Node,
    name: &str,
    options: &LoadOptions,
    environment: &BTreeMap<String, String>,
    cx: &mut Context,
) {
    let mut surface = Surface {
        cx,
        environment,
        working_directory: options.working_directory.clone(),
        texts: BTreeMap::new(),
    };
    let services = tree.get_mut("services").and_then(Node::as_map_mut);
    for (name, entry) in services.into_iter().flat_map(|services| services.iter_mut()) {
        surface.cx.enter(|| Stage::Service(name.clone()));
        canonical::service(&mut entry.node, &mut surface);
    }
    canonical::top(tree, name, cx);
}

fn distinct(files: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut seen = std::collections::BTreeSet::new();
    files.into_iter().filter(|file| seen.insert(file.clone())).collect()
}
