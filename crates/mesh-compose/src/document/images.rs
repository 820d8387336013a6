//! The images of a document: which they are, and others in their places.

use super::Document;
use crate::{
    context::At,
    node::{Map, Node},
};
use std::collections::{BTreeMap, BTreeSet};

impl Document {
    /// Every image that services name: their own, those of `pre_start`, and those of volumes that are no
    /// other service's.
    #[must_use]
    pub fn image_references(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        // Nothing is changed.
        self.clone().each_image(&mut |node| found.extend(node.scalar()));
        found.retain(|image| !image.is_empty());
        found
    }

    /// Replaces images by others.
    pub fn replace_images(&mut self, others: &BTreeMap<String, String>) {
        self.each_image(&mut |node| {
            if let Some(other) = node.scalar().and_then(|image| others.get(&image)) {
                *node = Node::text(other.as_str(), node.at);
            }
        });
    }

    /// Keeps nothing but the images of services.
    pub fn keep_images(&mut self) {
        let services = self.tree.remove("services").unwrap_or_else(|| Node::map(At::default()));
        self.tree = Node::map(At::default());
        self.tree.set("services", services);
        let services = self.tree.get_mut("services").and_then(Node::as_map_mut);
        for entry in services.into_iter().flat_map(Map::values_mut) {
            if let Some(service) = entry.node.as_map_mut() {
                service.retain(|key, _| key == "image");
            }
        }
    }

    fn each_image(&mut self, visit: &mut dyn FnMut(&mut Node)) {
        let Some(services) = self.tree.get_mut("services").and_then(Node::as_map_mut) else { return };
        let names: BTreeSet<String> = services.keys().cloned().collect();
        for entry in services.values_mut() {
            if let Some(image) = entry.node.get_mut("image") {
                visit(image);
            }
            for item in items(&mut entry.node, "pre_start") {
                if let Some(image) = item.get_mut("image") {
                    visit(image);
                }
            }
            for item in items(&mut entry.node, "volumes") {
                let is_image = item.get("type").and_then(Node::as_text) == Some("image");
                if let Some(source) = item.get_mut("source").filter(|_| is_image)
                    && source.scalar().is_some_and(|source| !names.contains(&source))
                {
                    visit(source);
                }
            }
        }
    }
}

fn items<'n>(service: &'n mut Node, key: &str) -> impl Iterator<Item = &'n mut Node> {
    let list = service.get_mut(key).and_then(|node| match &mut node.value {
        crate::node::Value::List(items) => Some(items),
        _ => None,
    });
    list.into_iter().flatten()
}
