//! Relative paths of a tree, made absolute against the directory of the file that wrote them.

use crate::node::{Node, Value};
use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

/// The parts of `source:target:options`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ShortVolume<'t> {
    pub(crate) source: Option<&'t str>,
    pub(crate) target: &'t str,
    pub(crate) options: Option<&'t str>,
}

/// Takes the short form of a volume apart. A text without a colon is a target alone.
///
/// A letter before a colon is a drive of Windows where a path of Windows follows it, or where a path for the
/// container is still to come; otherwise it is a volume's name.
pub(crate) fn short_volume(text: &str) -> ShortVolume<'_> {
    let part = |from: usize, drive: bool| {
        let rest = &text[from..];
        let start = if drive && (is_drive(rest) || is_bare_drive(rest)) { 2 } else { 0 };
        rest[start..].find(':').map(|end| from + start + end)
    };
    let drive = is_drive(text)
        && (text[2..].starts_with('\\')
            || part(2, false)
                .is_some_and(|end| text[end + 1..].starts_with('/') || is_drive(&text[end + 1..])));
    let Some(first) = part(0, drive).filter(|_| text.len() > 2) else {
        return ShortVolume { source: None, target: text, options: None };
    };
    let (source, from) = (Some(&text[..first]), first + 1);
    match part(from, true) {
        None => ShortVolume { source, target: &text[from..], options: None },
        Some(second) => {
            ShortVolume { source, target: &text[from..second], options: Some(&text[second + 1..]) }
        }
    }
}

/// Whether a text starts with a drive of Windows alone.
fn is_bare_drive(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() > 1
        && bytes[0].is_ascii_alphabetic()
        && bytes[1] == b':'
        && matches!(bytes.get(2), None | Some(b':'))
}

/// Whether a text starts with a drive of Windows and its root.
fn is_drive(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() > 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':' && matches!(bytes[2], b'/' | b'\\')
}

/// Whether the source of a volume is a path rather than a name.
pub(crate) fn is_path(source: &str) -> bool {
    source.starts_with(['/', '.', '~']) || is_windows_path(source)
}

/// Whether a path is one of Windows, which stays as it is.
pub(crate) fn is_windows_path(path: &str) -> bool {
    path.starts_with("\\\\") || is_drive(path)
}

/// `path` under `base`, with `~` as the home directory, without `.` and `..`.
pub(crate) fn absolute(path: &str, base: &Path, environment: &BTreeMap<String, String>) -> PathBuf {
    let expanded = match (path.strip_prefix('~'), environment.get("HOME")) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
            Path::new(home).join(rest.trim_start_matches('/'))
        }
        _ => PathBuf::from(path),
    };
    let mut out = PathBuf::new();
    for component in base.join(expanded).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

/// Rewrites every path of `tree`. Doing it twice equals once.
pub(super) fn resolve(tree: &mut Node, base: &Path, environment: &BTreeMap<String, String>) {
    let base = Base { directory: base, environment };
    if let Some(services) = tree.get_mut("services").and_then(Node::as_map_mut) {
        for entry in services.values_mut() {
            if let Some(build) = entry.node.get_mut("build").filter(|build| build.as_map().is_some()) {
                build.set_default("context", Node::text(".", build.at));
            }
            base.service(&mut entry.node);
        }
    }
    for section in ["configs", "secrets"] {
        for entry in
            tree.get_mut(section).and_then(Node::as_map_mut).into_iter().flat_map(|map| map.values_mut())
        {
            base.text(entry.node.get_mut("file"));
        }
    }
    for entry in
        tree.get_mut("volumes").and_then(Node::as_map_mut).into_iter().flat_map(|map| map.values_mut())
    {
        if let Some(options) = entry.node.get_mut("driver_opts") {
            let binds =
                options.get("o").and_then(Node::scalar).is_some_and(|o| o.split(',').any(|o| o == "bind"));
            if binds {
                match options.get_mut("device") {
                    // No path is the directory itself.
                    Some(device) if device.as_text() == Some("") => {
                        device.value = Value::Text(base.absolute("."));
                    }
                    device => base.text(device),
                }
            }
        }
    }
}

/// Rewrites the paths of one service.
pub(super) fn resolve_service(service: &mut Node, base: &Path, environment: &BTreeMap<String, String>) {
    Base { directory: base, environment }.service(service);
}

struct Base<'b> {
    directory: &'b Path,
    environment: &'b BTreeMap<String, String>,
}

impl Base<'_> {
    fn service(&self, service: &mut Node) {
        match service.get_mut("build") {
            Some(build) if build.as_text().is_some() => self.context(Some(build)),
            Some(build) => {
                self.context(build.get_mut("context"));
                self.pairs(build.get_mut("additional_contexts"), |node| self.context(Some(node)));
                self.pairs(build.get_mut("ssh"), |node| self.text(Some(node)));
            }
            None => {}
        }
        for key in ["env_file", "label_file"] {
            self.texts(service.get_mut(key), "path");
        }
        if let Some(Value::List(volumes)) = service.get_mut("volumes").map(|node| &mut node.value) {
            volumes.iter_mut().for_each(|volume| self.volume(volume));
        }
        if let Some(develop) = service.get_mut("develop")
            && let Some(Value::List(watches)) = develop.get_mut("watch").map(|node| &mut node.value)
        {
            watches.iter_mut().for_each(|watch| self.text(watch.get_mut("path")));
        }
    }

    fn volume(&self, volume: &mut Node) {
        if let Value::Text(text) = &mut volume.value {
            let short = short_volume(text);
            if let Some(source) = short.source.filter(|source| is_path(source)) {
                let rest = &text[source.len()..];
                *text = format!("{}{rest}", self.absolute(source));
            }
        } else if volume.get("type").and_then(Node::as_text) == Some("bind") {
            self.text(volume.get_mut("source"));
        }
    }

    /// The values of a mapping, also of one that is written as a list of `name=value`.
    fn pairs(&self, node: Option<&mut Node>, path: impl Fn(&mut Node)) {
        match node.map(|node| &mut node.value) {
            Some(Value::Map(map)) => map.values_mut().for_each(|entry| path(&mut entry.node)),
            Some(Value::List(items)) => {
                for item in items {
                    let Some((name, value)) = item.as_text().and_then(|text| text.split_once('=')) else {
                        continue;
                    };
                    let (name, mut value) = (name.to_owned(), Node::text(value, item.at));
                    path(&mut value);
                    item.value = Value::Text(format!("{name}={}", value.as_text().unwrap_or_default()));
                }
            }
            _ => {}
        }
    }

    fn texts(&self, node: Option<&mut Node>, key: &str) {
        let Some(node) = node else { return };
        match &mut node.value {
            Value::List(items) => items.iter_mut().for_each(|item| self.texts(Some(item), key)),
            Value::Map(_) => self.text(node.get_mut(key)),
            _ => self.text(Some(node)),
        }
    }

    fn context(&self, node: Option<&mut Node>) {
        let remote =
            |text: &str| text.contains("://") || text.starts_with("git@") || text.starts_with("service:");
        if let Some(node) = node
            && !node.as_text().is_some_and(remote)
        {
            self.text(Some(node));
        }
    }

    fn text(&self, node: Option<&mut Node>) {
        if let Some(Node { value: Value::Text(text), .. }) = node
            && !text.is_empty()
            && !text.starts_with("${")
        {
            *text = self.absolute(text);
        }
    }

    fn absolute(&self, path: &str) -> String {
        // Taken as written: `..` behind a symbolic link means another place than the text says.
        if path.starts_with('/') || is_windows_path(path) {
            return path.to_owned();
        }
        absolute(path, self.directory, self.environment).to_string_lossy().into_owned()
    }
}
