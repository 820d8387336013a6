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
pub(crate) use paths::{absolute, is_path, is_windows_path, short_volume};
pub(crate) use read::{Text, read_text};
pub(crate) use unique::keep_last;

use crate::{
    context::{At, Context},
    node::{Mark, Node, Value},
};
use merge::{Marks, Merging};
use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::{Path, PathBuf},
    rc::Rc,
};

/// Longest chain of files that include or extend one another.
pub(crate) const CHAIN_LINKS_MAX: usize = 32;

/// Most projects of one load, included ones counted each time they are.
pub(crate) const PROJECTS_MAX: usize = 1000;
/// Most values that services may take from others in one load.
pub(crate) const INHERITED_NODES_MAX: usize = 1_000_000;
/// Most bytes read for `include` and `extends` in one load.
const READ_BYTES_MAX: usize = 128 * 1024 * 1024;

/// What the passes of one load share.
pub(crate) struct Resolver<'c> {
    pub(crate) cx: &'c mut Context,
    pub(crate) variables: BTreeMap<String, crate::VariableUse>,
    /// Paths are shown relative to it.
    pub(crate) working_directory: PathBuf,
    /// Files that were read for `extends`, interpolated, by path and by the project that asked.
    extended: HashMap<(PathBuf, usize), Option<Rc<Node>>>,
    /// Every file read, in order.
    pub(crate) files: Vec<PathBuf>,
    told_unset: std::collections::BTreeSet<String>,
    /// Bytes that substitutions gave so far.
    produced: usize,
    told_too_much: bool,
    /// Bytes that were read so far.
    read: usize,
    /// Values that services took from others so far.
    inherited: usize,
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
            produced: 0,
            told_too_much: false,
            read: 0,
            inherited: 0,
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
        for (path, documents) in texts {
            for mut document in documents {
                if document.as_map().is_none() {
                    let message = format!("a Compose file is a mapping, this is {}", document.kind());
                    self.cx.error(document.at, "wrong-type", message);
                    continue;
                }
                self.document(&mut document, &path, &around);
                tree = Some(match tree {
                    None => document,
                    Some(base) => {
                        let mut merging = Merging::new(self.cx, Marks::Spent);
                        merge::merge(base, document, &mut Vec::new(), &mut merging)
                    }
                });
                tree.iter_mut().for_each(|tree| self.settle(tree));
            }
        }
        let mut tree = tree.unwrap_or_else(|| Node::map(At::default()));
        // Those of included files would otherwise start at the wrong place.
        if !self.cx.skip.paths || !around.chain.is_empty() {
            paths::resolve(&mut tree, directory, environment);
        }
        tree
    }

    /// Brings into one document what it includes and what its services extend, in this order: a service
    /// may extend an included one.
    fn document(&mut self, document: &mut Node, path: &Path, around: &Surroundings<'_>) {
        self.interpolate(document, around.environment);
        if let Some(include) = document.remove("include") {
            let chain = around.chain.iter().cloned().chain([path.to_owned()]).collect();
            self.include(document, include, &Surroundings { chain, ..*around });
        }
        self.extend_services(document, path, around);
    }

    /// What holds of every tree that others are laid on: its marks are spent, its lists name nothing twice.
    fn settle(&self, tree: &mut Node) {
        if self.cx.marked {
            strip_marks(tree);
        }
        unique::enforce(tree);
    }

    /// Reads a file that another one names.
    fn read(&mut self, path: &Path) -> io::Result<String> {
        self.cx.look_at(path);
        let text = read_text(path)?;
        self.read = self.read.saturating_add(text.len());
        if self.read > READ_BYTES_MAX {
            let mebibytes = READ_BYTES_MAX / 1024 / 1024;
            let message = format!("the files of the project come to more than {mebibytes} MiB");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(text)
    }

    /// How a path is shown.
    pub(crate) fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.working_directory).unwrap_or(path).display().to_string()
    }
}

/// Takes away what is marked `!reset`, and the mark of what is marked `!override`.
fn strip_marks(node: &mut Node) {
    node.mark = Mark::Plain;
    match &mut node.value {
        Value::Map(map) => {
            map.retain(|_, entry| entry.node.mark != Mark::Reset);
            map.values_mut().for_each(|entry| strip_marks(&mut entry.node));
        }
        Value::List(items) => {
            items.retain(|item| item.mark != Mark::Reset);
            items.iter_mut().for_each(strip_marks);
        }
        _ => {}
    }
}
