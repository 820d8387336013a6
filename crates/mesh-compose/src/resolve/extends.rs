//! `extends`: a service starts from another one, of the same file or of another.

use super::{
    CHAIN_LINKS_MAX, INHERITED_NODES_MAX, Resolver, Surroundings,
    merge::{Marks, Merging, merge},
    paths, strip_marks,
};
use crate::{
    context::At,
    node::{Node, Value},
};
use std::{
    path::{Path, PathBuf},
    rc::Rc,
};

/// What `extends` names.
struct Target {
    service: String,
    file: Option<String>,
    at: At,
    /// Where its file is named.
    file_at: At,
}

/// One step of a chain: a service of a file.
type Link = (PathBuf, String);

impl Resolver<'_> {
    /// Replaces every service of `document`, the file at `path`, that extends another one.
    pub(super) fn extend_services(&mut self, document: &mut Node, path: &Path, around: &Surroundings<'_>) {
        let Some(services) = document.get("services").and_then(Node::as_map) else { return };
        let extending: Vec<String> = services
            .iter()
            .filter(|(_, entry)| entry.node.get("extends").is_some())
            .map(|(name, _)| name.clone())
            .collect();
        if extending.is_empty() {
            return;
        }
        // Every service is resolved against the file as it was written.
        let written = document.clone();
        for name in extending {
            let mut chain = Vec::new();
            let resolved = self.extended_service(&written, path, &name, &mut chain, around);
            if let (Some(service), Some(services)) = (resolved, document.get_mut("services")) {
                services.set(&name, service);
            }
        }
    }

    fn extended_service(
        &mut self,
        document: &Node,
        path: &Path,
        name: &str,
        chain: &mut Vec<Link>,
        around: &Surroundings<'_>,
    ) -> Option<Node> {
        let mut service = document.at_path(&["services", name])?.clone();
        let Some(extends) = service.remove("extends") else { return Some(service) };
        let target = self.target(&extends).filter(|_| self.inherited < usize::MAX);
        let root = chain.first().map_or(name, |(_, name)| name).to_owned();
        let Some(target) = target else {
            self.cx.unextended.insert(root);
            return Some(service);
        };
        chain.push((path.to_owned(), name.to_owned()));
        let base = self.base(document, path, &target, chain, around);
        chain.pop();
        let Some(mut base) = base else {
            self.cx.unextended.insert(root);
            return Some(service);
        };
        self.inherited = self.inherited.saturating_add(size(&base));
        if self.inherited > INHERITED_NODES_MAX {
            if self.inherited < usize::MAX {
                let message = format!("services take more than {INHERITED_NODES_MAX} values from others");
                self.cx.error(extends.at, "too-large", message);
                self.inherited = usize::MAX;
            }
            return Some(service);
        }
        if self.cx.marked {
            strip_marks(&mut base);
        }
        let mut place = vec!["services".to_owned(), name.to_owned()];
        Some(merge(base, service, &mut place, &mut Merging::new(self.cx, Marks::Kept)))
    }

    fn target(&mut self, extends: &Node) -> Option<Target> {
        if let Some(service) = extends.as_text() {
            return Some(Target {
                service: service.to_owned(),
                file: None,
                at: extends.at,
                file_at: extends.at,
            });
        }
        let service = extends.get("service");
        let at = service.map_or(extends.at, |node| node.at);
        let (Some(_), Some(name)) = (extends.as_map(), service.and_then(Node::as_text)) else {
            let hint = "write `extends: name`, or a mapping with `service` and `file`";
            self.cx.error_with_hint(at, "extends", "`extends` names no service", hint);
            return None;
        };
        let file = extends.get("file");
        let file_at = file.map_or(at, |node| node.at);
        Some(Target { service: name.to_owned(), file: file.and_then(Node::scalar), at, file_at })
    }

    fn base(
        &mut self,
        document: &Node,
        path: &Path,
        target: &Target,
        chain: &mut Vec<Link>,
        around: &Surroundings<'_>,
    ) -> Option<Node> {
        // Paths of `extends` start where those of its file do.
        let directory = if chain.len() > 1 { path.parent().unwrap_or(path) } else { around.directory };
        if let Some(file) = target.file.as_ref().filter(|file| super::include::is_remote(file)) {
            let message = format!("`{file}` is not on this machine, and nothing is fetched");
            let hint = "name a file of a checkout of it";
            self.cx.error_with_hint(target.file_at, "unsupported", message, hint);
            return None;
        }
        let other = target.file.as_ref().map(|file| paths::absolute(file, directory, around.environment));
        let base_path = other.clone().unwrap_or_else(|| path.to_owned());
        let cycle = chain.iter().any(|(file, name)| *file == base_path && *name == target.service);
        if !cycle && chain.len() > CHAIN_LINKS_MAX {
            let message = format!("a chain of `extends` is longer than {CHAIN_LINKS_MAX} services");
            self.cx.error(target.at, "extends", message);
            return None;
        }
        if cycle {
            let mut names: Vec<&str> = chain.iter().map(|(_, name)| name.as_str()).collect();
            // Each service of a circle leads around it: it is told once.
            let told = names.iter().skip(1).any(|name| self.cx.unextended.contains(*name));
            if told {
                return None;
            }
            names.push(&target.service);
            let message = format!("`extends` goes in a circle: {}", names.join(" -> "));
            self.cx.error(target.at, "extends-cycle", message);
            return None;
        }
        match other {
            None => self
                .has_service(document, target, path)
                .then(|| self.extended_service(document, path, &target.service, chain, around))?,
            Some(file) => {
                let document = self.extended_file(&file, target.file_at, around)?;
                if !self.has_service(&document, target, &file) {
                    return None;
                }
                let mut base = self.extended_service(&document, &file, &target.service, chain, around)?;
                let directory = file.parent().unwrap_or(&file).to_owned();
                paths::resolve_service(&mut base, &directory, around.environment);
                Some(base)
            }
        }
    }

    fn has_service(&mut self, document: &Node, target: &Target, path: &Path) -> bool {
        if let Some(services) = document.get("services").filter(|node| node.as_map().is_none()) {
            let message = format!("`services` of {} is {}, not a mapping", self.shown(path), services.kind());
            self.cx.error(services.at, "wrong-type", message);
            return false;
        }
        let services = document.get("services").and_then(Node::as_map);
        if services.is_some_and(|services| services.contains_key(&target.service)) {
            return true;
        }
        let known = services.into_iter().flat_map(|services| services.keys().map(String::as_str));
        let message = format!(
            "`extends` refers to service `{}`, which {} does not have",
            target.service,
            self.shown(path)
        );
        let hint = crate::suggest::did_you_mean(&target.service, known);
        self.cx.report(mesh_diag::Severity::Error, target.at, "extends", message, hint);
        false
    }

    /// The file that a service of another file comes from, interpolated, read once.
    fn extended_file(&mut self, path: &Path, at: At, around: &Surroundings<'_>) -> Option<Rc<Node>> {
        let key = (path.to_owned(), around.number);
        if let Some(known) = self.extended.get(&key) {
            return known.clone();
        }
        let document = self.read_extended(path, at, around).map(Rc::new);
        self.extended.insert(key, document.clone());
        document
    }

    fn read_extended(&mut self, path: &Path, at: At, around: &Surroundings<'_>) -> Option<Node> {
        let text = match self.read(path) {
            Ok(text) => text,
            Err(error) => {
                let message = format!("could not read {}: {error}", self.shown(path));
                self.cx.error(at, "extends", message);
                return None;
            }
        };
        let file = self.cx.add_source(&self.shown(path), &text);
        self.files.push(path.to_owned());
        let errors = self.cx.error_count();
        let mut documents = crate::yaml::parse(&text, file, self.cx).into_iter();
        if self.cx.error_count() > errors {
            // What it has is not known: that it lacks a service would be a guess.
            return None;
        }
        let Some(mut tree) = documents.next() else {
            let message = format!("{} is empty", self.shown(path));
            self.cx.error(at, "extends", message);
            return None;
        };
        for document in documents {
            tree = merge(tree, document, &mut Vec::new(), &mut Merging::new(self.cx, Marks::Spent));
        }
        if !matches!(tree.value, Value::Map(_)) {
            let message = format!("a Compose file is a mapping, {} is {}", self.shown(path), tree.kind());
            self.cx.error(at, "wrong-type", message);
            return None;
        }
        self.interpolate(&mut tree, around.environment);
        Some(tree)
    }
}

/// Number of values in a tree.
fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::List(items) => items.iter().map(size).sum::<usize>(),
        Value::Map(map) => map.values().map(|entry| size(&entry.node)).sum(),
        _ => 0,
    }
}
