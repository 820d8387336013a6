//! `include`: another project's files, resolved on their own, brought into this tree.

use super::{
    CHAIN_LINKS_MAX, PROJECTS_MAX, Resolver, Surroundings,
    merge::{Marks, Merging, merge},
    paths::absolute,
};
use crate::{
    context::At,
    dotenv,
    node::{Node, Value},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Sections that an included file brings.
const SECTIONS: [&str; 6] = ["services", "networks", "volumes", "secrets", "configs", "models"];

struct Included {
    paths: Vec<(PathBuf, At)>,
    directory: PathBuf,
    environment: BTreeMap<String, String>,
}

impl Resolver<'_> {
    /// Brings what `include` lists into `tree`, the document that lists it.
    pub(super) fn include(&mut self, tree: &mut Node, include: Node, around: &Surroundings<'_>) {
        let at = include.at;
        let Value::List(items) = include.value else {
            if !include.is_null() {
                let message = format!("`include` is a list, this is {}", include.kind());
                self.cx.error(at, "wrong-type", message);
            }
            return;
        };
        if around.chain.len() > CHAIN_LINKS_MAX {
            self.cx.error(at, "include", "files include one another too deep");
            return;
        }
        for item in items {
            if self.environments > PROJECTS_MAX {
                // Files that include others twice would be read without end.
                let message = format!("more than {PROJECTS_MAX} projects are included");
                self.cx.error(item.at, "too-large", message);
                return;
            }
            let Some(included) = self.included(&item, around) else { continue };
            if let Some(project) = self.included_project(included, around) {
                self.import(tree, project);
            }
        }
    }

    fn included(&mut self, item: &Node, around: &Surroundings<'_>) -> Option<Included> {
        let paths_node = if item.as_map().is_some() { item.get("path") } else { Some(item) };
        let paths: Vec<(PathBuf, At)> = texts(paths_node)
            .map(|(path, at)| (absolute(&path, around.directory, around.environment), at))
            .collect();
        if let Some((path, at)) = texts(paths_node).find(|(path, _)| is_remote(path)) {
            let message = format!("`{path}` is not on this machine, and nothing is fetched");
            self.cx.error_with_hint(at, "unsupported", message, "include a file of a checkout of it");
            return None;
        }
        let Some((first, _)) = paths.first() else {
            let hint = "write a path, or a mapping with `path`, `project_directory` and `env_file`";
            self.cx.error_with_hint(item.at, "include", "an entry of `include` names no file", hint);
            return None;
        };
        for (key, entry) in item.as_map().into_iter().flatten() {
            if !matches!(key.as_str(), "path" | "project_directory" | "env_file") && !key.starts_with("x-") {
                let hint = crate::suggest::did_you_mean(key, ["path", "project_directory", "env_file"]);
                let message = format!("unknown key `{key}` in an entry of `include`");
                self.cx.report(mesh_diag::Severity::Error, entry.key_at, "unknown-key", message, hint);
            }
        }
        let directory = match item.get("project_directory").and_then(Node::scalar) {
            Some(directory) => absolute(&directory, around.directory, around.environment),
            None => first.parent().unwrap_or(first).to_owned(),
        };
        let environment = self.included_environment(item, &directory, around);
        Some(Included { paths, directory, environment })
    }

    /// The environment of the including project over that of the included one's files.
    fn included_environment(
        &mut self,
        item: &Node,
        directory: &Path,
        around: &Surroundings<'_>,
    ) -> BTreeMap<String, String> {
        let mut files: Vec<(PathBuf, At)> = texts(item.get("env_file"))
            .filter(|(path, _)| path != "/dev/null")
            .map(|(path, at)| (absolute(&path, around.directory, around.environment), at))
            .collect();
        if item.get("env_file").is_none() {
            let default = directory.join(".env");
            self.cx.look_at(&default);
            if default.is_file() {
                files.push((default, item.at));
            }
        }
        let mut values = BTreeMap::new();
        for (path, at) in files {
            match self.read(&path) {
                Ok(text) => {
                    let file = self.cx.add_variables(&self.shown(&path));
                    let lookup = |name: &str| around.environment.get(name).cloned();
                    dotenv::parse(&text, file, &lookup, &mut values, self.cx);
                }
                Err(error) => {
                    let message = format!("could not read {}: {error}", self.shown(&path));
                    self.cx.error(at, "env-file", message);
                }
            }
        }
        for (name, value) in around.environment {
            values.insert(name.clone(), value.clone());
        }
        values
    }

    fn included_project(&mut self, included: Included, around: &Surroundings<'_>) -> Option<Node> {
        let mut texts = Vec::new();
        for (path, at) in included.paths {
            if around.chain.contains(&path) {
                let mut names: Vec<String> = around.chain.iter().map(|path| self.shown(path)).collect();
                names.push(self.shown(&path));
                let message = format!("`include` goes in a circle: {}", names.join(" -> "));
                self.cx.error(at, "include-cycle", message);
                return None;
            }
            let text = match self.read(&path) {
                Ok(text) => text,
                Err(error) => {
                    let message = format!("could not read {}: {error}", self.shown(&path));
                    self.cx.error(at, "include", message);
                    return None;
                }
            };
            let file = self.cx.add_source(&self.shown(&path), &text);
            self.files.push(path.clone());
            let documents = crate::yaml::parse(&text, file, self.cx);
            texts.push((path, documents));
        }
        Some(self.project(texts, &included.directory, &included.environment, around.chain.clone()))
    }

    fn import(&mut self, tree: &mut Node, mut project: Node) {
        for section in SECTIONS {
            let Some(Node { value: Value::Map(from), .. }) = project.remove(section) else { continue };
            tree.set_default(section, Node::map(At::default()));
            let Some(into) = tree.get_mut(section).and_then(Node::as_map_mut) else { continue };
            for (key, entry) in from {
                match into.get_mut(&key) {
                    None => {
                        into.insert(key, entry);
                    }
                    Some(existing) if existing.node.same(&entry.node) => {}
                    Some(existing) => {
                        // What includes comes last, so it has the last word.
                        let over = std::mem::replace(&mut existing.node, Node::map(At::default()));
                        let mut place = vec![section.to_owned(), key];
                        let mut merging = Merging::new(self.cx, Marks::Kept);
                        existing.node = merge(entry.node, over, &mut place, &mut merging);
                    }
                }
            }
        }
    }
}

/// A Git repository or an artifact of a registry.
pub(super) fn is_remote(path: &str) -> bool {
    path.contains("://")
        || path.starts_with("git@")
        || path.starts_with("github.com/")
        || path.contains(".git#")
}

fn texts(node: Option<&Node>) -> impl Iterator<Item = (String, At)> + '_ {
    node.into_iter()
        .flat_map(|node| node.as_list().unwrap_or(std::slice::from_ref(node)))
        .filter_map(|node| Some((node.as_text()?.to_owned(), node.at)))
}
