//! The resolved project as a document, in the order and the long forms of `docker compose config`.
//!
//! The content of a secret is never in the tree: a secret that comes from a variable shows its name.

mod hash;
mod images;
mod selection;

use crate::{
    node::{Map, Node, Value},
    print::{self, Format, PROJECT, View},
};
use std::collections::{BTreeMap, BTreeSet};

/// A resolved project, printable.
#[derive(Debug, Clone)]
pub struct Document {
    tree: Node,
    /// Whether variables were replaced, so that a `$` is one and values have their types.
    resolved: bool,
    profiles: BTreeSet<String>,
}

/// A section beside `services`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// `networks`.
    Networks,
    /// `volumes`.
    Volumes,
}

impl Document {
    /// Takes `tree`; where it is resolved, what is printed of it loads again as it is. `inactive` are the
    /// profiles of services that were taken out.
    pub(crate) fn new(mut tree: Node, resolved: bool, inactive: BTreeSet<String>) -> Self {
        tree.remove("version");
        hide_contents(&mut tree);
        let mut document = Self { tree, resolved, profiles: inactive };
        let own: Vec<String> = document
            .active()
            .flat_map(|(_, service)| service.get("profiles").and_then(Node::as_list).unwrap_or_default())
            .filter_map(Node::scalar)
            .collect();
        document.profiles.extend(own);
        document
    }

    /// As YAML.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        let view = match self.resolved {
            true => print::record(&self.tree, &PROJECT, Format::Yaml),
            false => View::whole(&self.tree, Format::Yaml),
        };
        self.escaped(print::to_yaml(&view))
    }

    /// As indented JSON, without a newline at its end.
    #[must_use]
    pub fn to_json(&self) -> String {
        let view = match self.resolved {
            true => self.whole_in_json(),
            false => View::whole(&self.tree, Format::Json),
        };
        self.escaped(print::to_json(&view))
    }

    /// The services that are active, by name.
    #[must_use]
    pub fn services(&self) -> Vec<&str> {
        sorted(self.active().map(|(name, _)| name))
    }

    /// The image of each service, sorted; one that is built has the project's name in it.
    #[must_use]
    pub fn images(&self) -> Vec<String> {
        let project = self.tree.get("name").and_then(Node::scalar).unwrap_or_default();
        let image = |name: &&str| {
            let image = self.tree.at_path(&["services", name, "image"]).and_then(Node::scalar);
            image.filter(|image| !image.is_empty()).unwrap_or_else(|| format!("{project}-{name}"))
        };
        let mut images: Vec<String> = self.services().iter().map(image).collect();
        images.sort();
        images
    }

    /// Names of a section.
    #[must_use]
    pub fn names(&self, section: Section) -> Vec<&str> {
        let section = match section {
            Section::Networks => "networks",
            Section::Volumes => "volumes",
        };
        sorted(
            self.tree.get(section).and_then(Node::as_map).into_iter().flat_map(Map::keys).map(String::as_str),
        )
    }

    /// The models that services use.
    #[must_use]
    pub fn models(&self) -> Vec<String> {
        let models = self.tree.get("models").and_then(Node::as_map).into_iter().flat_map(Map::values);
        let mut names: Vec<String> = models
            .filter_map(|entry| entry.node.get("model").and_then(Node::scalar))
            .filter(|model| !model.is_empty())
            .collect();
        names.sort();
        names
    }

    /// The profiles of all services, active or not.
    #[must_use]
    pub fn profiles(&self) -> Vec<&str> {
        self.profiles.iter().map(String::as_str).collect()
    }

    /// The services that are active, by name, each with the profiles that it is in; with none it is always active.
    #[must_use]
    pub fn profiles_of_services(&self) -> BTreeMap<&str, Vec<String>> {
        let own = |service: &Node| {
            let profiles = service.get("profiles").and_then(Node::as_list).unwrap_or_default();
            profiles.iter().filter_map(Node::scalar).collect()
        };
        self.active().map(|(name, service)| (name, own(service))).collect()
    }

    /// The active services that are commands (`x-mesh.command`), by name, each with what it does.
    #[must_use]
    pub fn commands(&self) -> BTreeMap<String, String> {
        let about = |service: &Node| service.at_path(&["x-mesh", "command"])?.scalar();
        self.active().filter_map(|(name, service)| Some((name.to_owned(), about(service)?))).collect()
    }

    fn active(&self) -> impl Iterator<Item = (&str, &Node)> {
        let services = self.tree.get("services").and_then(Node::as_map);
        services.into_iter().flatten().map(|(name, entry)| (name.as_str(), &entry.node))
    }

    /// JSON sorts the top and has free keys there alone.
    fn whole_in_json(&self) -> View<'_> {
        let mut view = print::record(&self.tree, &PROJECT, Format::Json);
        if let View::Map(pairs) = &mut view {
            let free = self.tree.as_map().into_iter().flatten().filter(|(key, _)| key.starts_with("x-"));
            pairs.extend(free.map(|(key, entry)| (key.into(), View::whole(&entry.node, Format::Json))));
            if !pairs.iter().any(|(key, _)| key == "name") {
                pairs.push(("name".into(), View::Text("".into())));
            }
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
        }
        view
    }

    fn escaped(&self, text: String) -> String {
        if self.resolved && text.contains('$') { text.replace('$', "$$") } else { text }
    }
}

fn sorted<'n>(names: impl Iterator<Item = &'n str>) -> Vec<&'n str> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names
}

/// A secret may be written into the file as `content`; it is not repeated. The content of a config that
/// comes from a variable is that variable's.
fn hide_contents(tree: &mut Node) {
    let secrets = tree.get_mut("secrets").and_then(Node::as_map_mut);
    for entry in secrets.into_iter().flat_map(Map::values_mut) {
        if let Some(content) = entry.node.get_mut("content") {
            content.value = Value::Text("***".to_owned());
        }
    }
    let configs = tree.get_mut("configs").and_then(Node::as_map_mut);
    for entry in configs.into_iter().flat_map(Map::values_mut) {
        if entry.node.get("environment").is_some() {
            entry.node.remove("content");
        }
    }
}
