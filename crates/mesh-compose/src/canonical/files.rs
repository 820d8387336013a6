//! `env_file` and `label_file`: read here, so that the project stands on its own afterwards.

use super::Surface;
use crate::{
    context::At,
    dotenv,
    node::{Entry, Map, Node, Value},
    resolve::{Text, absolute, read_text},
};
use std::collections::BTreeMap;

/// Gives keys without a value that of the environment, where it has one.
pub(super) fn resolve_unset(pairs: &mut Map, environment: &BTreeMap<String, String>) {
    for (name, Entry { node, .. }) in pairs.iter_mut() {
        if node.is_null()
            && let Some(value) = environment.get(name)
        {
            node.value = Value::Text(value.clone());
        }
    }
}

/// `env_file` as a list of files with their options.
fn records(files: &Node) -> Node {
    let items = files.as_list().unwrap_or(std::slice::from_ref(files));
    let record = |item: &Node| match item.as_text() {
        Some(path) => super::scalars::entry(vec![("path", Value::Text(path.to_owned()))], item.at),
        None => item.clone(),
    };
    Node::new(Value::List(items.iter().map(record).collect()), files.at)
}

impl Surface<'_> {
    /// Lays the service's `environment` over its `env_file`s; a key without a value is taken from the
    /// environment, and stays null where it is not set.
    pub(super) fn environment(&mut self, service: &mut Node) {
        let files = service.remove("env_file");
        if let (true, Some(files)) = (self.cx.skip.env_files, &files) {
            service.set("env_file", records(files));
        }
        let files = files.filter(|_| !self.cx.skip.env_files);
        if let Some(own) = service.get_mut("environment").and_then(Node::as_map_mut) {
            if let Some(watch) = &mut self.cx.watch {
                watch.written(own);
            }
            resolve_unset(own, self.environment);
        }
        if let Some(files) = files {
            self.lay_under(service, "environment", &files);
        }
    }

    /// Lays the service's `labels` over its `label_file`s.
    pub(super) fn labels(&mut self, service: &mut Node) {
        if let Some(files) = service.remove("label_file") {
            self.lay_under(service, "labels", &files);
            if self.cx.skip.label_files {
                service.set("label_file", files);
            }
        }
    }

    fn lay_under(&mut self, service: &mut Node, key: &str, files: &Node) {
        service.set_default(key, Node::map(files.at));
        let own: BTreeMap<String, String> = service
            .get(key)
            .and_then(Node::as_map)
            .into_iter()
            .flatten()
            .filter_map(|(name, entry)| Some((name.clone(), entry.node.as_text()?.to_owned())))
            .collect();
        let mut values = BTreeMap::new();
        for file in files.as_list().unwrap_or(std::slice::from_ref(files)) {
            self.file(file, &own, &mut values);
        }
        let Some(map) = service.get_mut(key).and_then(Node::as_map_mut) else { return };
        for (name, value) in values {
            map.entry(name).or_insert_with(|| Entry { key_at: files.at, node: Node::text(value, files.at) });
        }
    }

    fn file(&mut self, entry: &Node, own: &BTreeMap<String, String>, values: &mut BTreeMap<String, String>) {
        let path = if entry.as_map().is_some() { entry.get("path") } else { Some(entry) };
        let Some(path) = path.and_then(Node::as_text).filter(|path| !path.is_empty()) else { return };
        let required = entry.get("required").and_then(Node::as_bool).unwrap_or(true);
        let raw = entry.get("format").and_then(Node::as_text) == Some("raw");
        let path = absolute(path, &self.working_directory, self.environment);
        self.cx.look_at(&path);
        if !required && !path.exists() {
            return;
        }
        let shown = path.strip_prefix(&self.working_directory).unwrap_or(&path).display().to_string();
        if !self.texts.contains_key(&path) {
            let text = read_text(&path).map_err(|error| error.to_string()).map(|text| {
                let number = self.cx.add_variables(&shown);
                (number, Text { path: path.clone(), name: shown.clone(), text })
            });
            self.texts.insert(path.clone(), text);
        }
        match self.texts.get(&path) {
            Some(Ok((_, text))) if raw => dotenv::parse_raw(&text.text, values),
            Some(Ok((number, text))) => {
                let environment = self.environment;
                let lookup = |name: &str| environment.get(name).or_else(|| own.get(name)).cloned();
                dotenv::parse(&text.text, *number, &lookup, values, self.cx);
            }
            Some(Err(error)) => self.unreadable(entry.at, &shown, &error.clone()),
            None => {}
        }
    }

    fn unreadable(&mut self, at: At, shown: &str, error: &str) {
        let hint = "create it, or write `required: false` beside its `path`";
        self.cx.error_with_hint(at, "env-file", format!("could not read {shown}: {error}"), hint);
    }
}
