//! From texts to one untyped tree: interpolation, `extends`, merging, `include`, paths.

mod extends;
mod include;
mod interpolate;
mod merge;
mod paths;
mod read;
mod unique;

pub(crate) use interpolate::Scope;
pub(crate) use merge::{hosts_to_mapping, to_mapping};
pub(crate) use paths::{absolute, is_path, short_volume};
pub(crate) use read::{Text, read_text};

use crate::{
    context::{At, Context},
    node::{Mark, Node, Value},
};
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

/// Longest chain of files that include or extend one another.
pub(crate) const CHAIN_LINKS_MAX: usize = 32;

/// What the passes of one load share.
pub(crate) struct Resolver<'c> {
    pub(crate) cx: &'c mut Context,
    pub(crate) variables: BTreeMap<String, crate::VariableUse>,
    /// Paths are shown relative to it.
    pub(crate) working_directory: PathBuf,
    /// Files that were read for `extends`, interpolated, by path and by the project that asked.
    extended: HashMap<(PathBuf, usize), Option<Node>>,
    /// Every file read, in order.
    pub(crate) files: Vec<PathBuf>,
    told_unset: std::collections::BTreeSet<String>,
    environments: usize,
}

/// One project's or included project's surroundings.
pub(crate) struct Surroundings<'e> {
    pub(crate) directory: &'e Path,
    pub(crate) environment: &'e BTreeMap<String, String>,
    /// Files being included, outermost first.
    pub(crate) chain: Vec<PathBuf>,
    /// Tells apart what was interpolated under different environments.
    number: usize,
}

impl<'c> Resolver<'c> {
    pub(crate) fn new(cx: &'c mut Context, working_directory: PathBuf) -> Self {
        Self {
            cx,
            variables: BTreeMap::new(),
            working_directory,
            extended: HashMap::new(),
            files: Vec::new(),
            told_unset: std::collections::BTreeSet::new(),
            environments: 0,
        }
    }

    /// The tree that `texts`, already parsed, give together.
    pub(crate) fn project(
        &mut self,
        texts: Vec<(PathBuf, Vec<Node>)>,
        directory: &Path,
        environment: &BTreeMap<String, String>,
        chain: Vec<PathBuf>,
    ) -> Node {
        self.environments += 1;
        let around = Surroundings { directory, environment, chain, number: self.environments };
        let mut tree: Option<Node> = None;
        let mut includes = Vec::new();
        for (path, documents) in texts {
            for mut document in documents {
                if document.as_map().is_none() {
                    let message = format!("a Compose file is a mapping, this is {}", document.kind());
                    self.cx.error(document.at, "wrong-type", message);
                    continue;
                }
                self.interpolate(&mut document, environment);
                if let Some(include) = document.remove("include") {
                    includes.push((include, around.chain.iter().cloned().chain([path.clone()]).collect()));
                }
                self.extend_services(&mut document, &path, &around);
                tree = Some(match tree {
                    None => document,
                    Some(base) => merge::merge(base, document, &mut Vec::new(), self.cx),
                });
            }
        }
        let mut tree = tree.unwrap_or_else(|| Node::map(At::default()));
        strip_resets(&mut tree);
        paths::resolve(&mut tree, directory, environment);
        for (include, chain) in includes {
            self.include(&mut tree, include, &Surroundings { chain, ..around });
        }
        tree
    }

    /// How a path is shown.
    pub(crate) fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.working_directory).unwrap_or(path).display().to_string()
    }
}

/// Drops what `!reset` left without anything to reset.
fn strip_resets(node: &mut Node) {
    match &mut node.value {
        Value::Map(map) => {
            map.retain(|_, entry| entry.node.mark != Mark::Reset);
            map.values_mut().for_each(|entry| strip_resets(&mut entry.node));
        }
        Value::List(items) => {
            items.retain(|item| item.mark != Mark::Reset);
            items.iter_mut().for_each(strip_resets);
        }
        _ => {}
    }
}
