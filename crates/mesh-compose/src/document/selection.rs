//! Which part of a document is shown: some services with what they need, and what services use.

use super::Document;
use crate::node::{Map, Node};
use std::collections::BTreeSet;

impl Document {
    /// Keeps the services that `names` mean, with all that they depend on; `*` and `?` stand for any part of a
    /// name.
    ///
    /// # Errors
    /// The first name that no active service has.
    pub fn select(&mut self, names: &[String]) -> Result<(), String> {
        if names.is_empty() {
            return Ok(());
        }
        let mut kept = BTreeSet::new();
        let mut next: Vec<String> = Vec::new();
        for name in names {
            let before = next.len();
            next.extend(
                self.active()
                    .map(|(known, _)| known)
                    .filter(|known| fits(name, known))
                    .map(ToOwned::to_owned),
            );
            if next.len() == before {
                return Err(name.clone());
            }
        }
        while let Some(name) = next.pop() {
            let depends = self.tree.at_path(&["services", &name, "depends_on"]).and_then(Node::as_map);
            next.extend(
                depends.into_iter().flat_map(Map::keys).filter(|name| !kept.contains(*name)).cloned(),
            );
            kept.insert(name);
        }
        if let Some(services) = self.tree.get_mut("services").and_then(Node::as_map_mut) {
            services.retain(|name, _| kept.contains(name));
        }
        Ok(())
    }

    /// Drops networks, volumes, secrets, configs and models that no service uses.
    pub fn prune(&mut self) {
        for (section, used) in used(&self.tree) {
            if let Some(map) = self.tree.get_mut(section).and_then(Node::as_map_mut) {
                map.retain(|name, _| used.contains(name));
            }
        }
    }
}

/// What the services of `tree` use, by section.
fn used(tree: &Node) -> [(&'static str, BTreeSet<String>); 5] {
    let sections = ["networks", "volumes", "secrets", "configs", "models"];
    let mut used = sections.map(|section| (section, BTreeSet::new()));
    let services = tree.get("services").and_then(Node::as_map);
    for entry in services.into_iter().flat_map(Map::values) {
        for (section, names) in &mut used {
            match *section {
                "networks" | "models" => {
                    let map = entry.node.get(section).and_then(Node::as_map);
                    names.extend(map.into_iter().flat_map(Map::keys).cloned());
                }
                "volumes" => names.extend(sources(entry.node.get("volumes"), true)),
                _ => names.extend(sources(entry.node.get(section), false)),
            }
            if *section == "secrets" {
                names.extend(sources(entry.node.at_path(&["build", "secrets"]), false));
                for kind in ["postgres", "redis"] {
                    let password = ["x-mesh", "probe", kind, "password", "secret"];
                    names.extend(entry.node.at_path(&password).and_then(Node::scalar));
                }
            }
        }
    }
    used
}

fn sources(list: Option<&Node>, volumes: bool) -> impl Iterator<Item = String> + '_ {
    let items = list.and_then(Node::as_list).unwrap_or_default().iter();
    items
        .filter(move |item| !volumes || item.get("type").and_then(Node::as_text) == Some("volume"))
        .filter_map(|item| item.get("source")?.scalar())
}

/// Whether `name` fits a pattern in which `*` stands for any text and `?` for any character.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut within, mut star) = (0, 0, None);
    while within < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, within));
                at += 1;
            }
            Some(symbol) if *symbol == '?' || *symbol == name[within] => {
                at += 1;
                within += 1;
            }
            // The last star takes one character more.
            _ => match star {
                Some((star_at, taken)) => {
                    star = Some((star_at, taken + 1));
                    at = star_at + 1;
                    within = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|symbol| *symbol == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_names() {
        for (pattern, name, want) in [
            ("web", "web", true),
            ("web", "web2", false),
            ("web*", "web2", true),
            ("*b*2", "web-b12", true),
            ("w?b", "web", true),
            ("w?b", "wb", false),
            ("*", "", true),
            ("", "a", false),
        ] {
            assert_eq!(fits(pattern, name), want, "{pattern} {name}");
        }
    }
}
