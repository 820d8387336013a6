//! What keeps services of a sound file from being started here, each with its place.
//!
//! A file may ask for what Mesh cannot do. It is read, checked and shown like any other; only who starts
//! such a service hears of it.

use mesh_diag::{Finding, Findings};
use std::sync::Arc;

/// Reasons not to start services, by service.
#[derive(Debug, Clone, Default)]
pub struct Refusals {
    items: Vec<(String, Finding)>,
    /// Names and texts of the files they point into, in order.
    texts: Vec<(Arc<str>, Arc<str>)>,
}

impl Refusals {
    pub(crate) fn new(items: Vec<(String, Finding)>, texts: Vec<(Arc<str>, Arc<str>)>) -> Self {
        Self { items, texts }
    }

    /// Whether every service can be started.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// What speaks against starting the services that `selected` accepts, in the order of files and lines.
    #[must_use]
    pub fn of(&self, selected: impl Fn(&str) -> bool) -> Findings {
        let mut findings = Findings::new();
        for (_, finding) in self.items.iter().filter(|(service, _)| selected(service)) {
            findings.push(finding.clone());
        }
        let order: Vec<Arc<str>> = self.texts.iter().map(|(name, _)| Arc::clone(name)).collect();
        findings.sort(&order);
        for (name, text) in &self.texts {
            findings.attach_source(Arc::clone(name), Arc::clone(text));
        }
        findings
    }
}
