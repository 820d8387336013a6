//! What every pass shares: the texts that were read and the findings made so far.

use crate::{
    Refusals, Stamp,
    explain::{Stage, Watch},
};
use mesh_diag::{FINDINGS_MAX, Finding, Findings, Place, Severity};
use mesh_redact::Secret;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Where a node was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct At {
    /// Index of the text in [`Context`], from 1; 0 is nowhere.
    pub(crate) file: u32,
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) length: u32,
}

#[derive(Debug)]
struct SourceText {
    name: Arc<str>,
    text: Arc<str>,
}

/// Texts and findings of one load.
#[derive(Debug, Default)]
pub(crate) struct Context {
    sources: Vec<SourceText>,
    findings: Findings,
    refusals: Vec<(String, Finding)>,
    /// The service being read, whose start is refused by [`Context::refuse_this`].
    pub(crate) service: String,
    /// A file has tags, so trees may hold marks.
    pub(crate) marked: bool,
    /// Files are not interpolated: values that hold a `$` are taken as they are.
    pub(crate) raw: bool,
    /// Passes that are left out.
    pub(crate) skip: crate::Skip,
    /// Services of which it was told that what they extend cannot be had: what they lack may be there.
    pub(crate) unextended: BTreeSet<String>,
    /// Values that were made for this project, by name.
    pub(crate) generated: BTreeMap<String, Secret<String>>,
    /// Notes about a variable that is asked for.
    pub(crate) watch: Option<Watch>,
    /// Files that were read, or of which it was asked whether they are there, as they were before that.
    pub(crate) looked_at: BTreeMap<PathBuf, Stamp>,
}

impl Context {
    /// Keeps a text and gives it its number.
    pub(crate) fn add_source(&mut self, name: &str, text: &str) -> u32 {
        self.sources.push(SourceText { name: name.into(), text: text.into() });
        u32::try_from(self.sources.len()).unwrap_or(0)
    }

    /// Notes a file that is about to be read, or of which it is asked whether it is there; the first look counts.
    pub(crate) fn look_at(&mut self, path: &Path) {
        if !self.looked_at.contains_key(path) {
            self.looked_at.insert(path.to_owned(), Stamp::now(path));
        }
    }

    /// Gives a file of variables its number. Its text is not kept: lines of it hold secrets.
    pub(crate) fn add_variables(&mut self, name: &str) -> u32 {
        self.add_source(name, "")
    }

    pub(crate) fn error(&mut self, at: At, code: &'static str, message: impl Into<String>) {
        self.report(Severity::Error, at, code, message.into(), None);
    }

    pub(crate) fn error_with_hint(
        &mut self,
        at: At,
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.report(Severity::Error, at, code, message.into(), Some(hint.into()));
    }

    pub(crate) fn warn(&mut self, at: At, code: &'static str, message: impl Into<String>) {
        self.report(Severity::Warning, at, code, message.into(), None);
    }

    pub(crate) fn report(
        &mut self,
        severity: Severity,
        at: At,
        code: &'static str,
        message: String,
        hint: Option<String>,
    ) {
        let place = self.place(at);
        self.findings.push(Finding { severity, code, message, place, hint });
    }

    /// The file is sound, but `service` cannot be started: told when that is asked for.
    pub(crate) fn refuse(
        &mut self,
        service: &str,
        at: At,
        code: &'static str,
        message: String,
        hint: Option<String>,
    ) {
        let finding = Finding { severity: Severity::Error, code, message, place: self.place(at), hint };
        if self.refusals.len() < FINDINGS_MAX {
            self.refusals.push((service.to_owned(), finding));
        }
    }

    /// The same for the service being read.
    pub(crate) fn refuse_this(&mut self, at: At, code: &'static str, message: String, hint: Option<String>) {
        let service = std::mem::take(&mut self.service);
        self.refuse(&service, at, code, message, hint);
        self.service = service;
    }

    /// A file with variables gives one a value.
    pub(crate) fn assigned(&mut self, at: At, name: &str, value: &str) {
        if let Some(watch) = &mut self.watch {
            watch.assigned(at, name, value);
        }
    }

    /// What follows is read in another stage.
    pub(crate) fn enter(&mut self, stage: impl FnOnce() -> Stage) {
        if let Some(watch) = &mut self.watch {
            watch.stage = stage();
        }
    }

    pub(crate) fn place(&self, at: At) -> Option<Place> {
        let source = self.source(at)?;
        Some(Place {
            file: Arc::clone(&source.name),
            line: at.line,
            column: at.column,
            length: (at.length > 0).then_some(at.length),
        })
    }

    fn source(&self, at: At) -> Option<&SourceText> {
        self.sources.get(usize::try_from(at.file).ok()?.checked_sub(1)?)
    }

    /// How many errors were found so far.
    pub(crate) fn error_count(&self) -> usize {
        self.findings.errors().count()
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.findings.has_errors()
    }

    /// Whether there are so many findings that no further one is kept.
    pub(crate) fn is_full(&self) -> bool {
        self.findings.is_full()
    }

    /// The findings in the order of files and lines, with the texts they point into.
    pub(crate) fn into_findings(self) -> Findings {
        self.into_parts().0
    }

    /// The same, and what keeps services from being started.
    pub(crate) fn into_parts(self) -> (Findings, Refusals) {
        let mut findings = self.findings;
        let order: Vec<Arc<str>> = self.sources.iter().map(|source| Arc::clone(&source.name)).collect();
        findings.sort(&order);
        let file_of = |finding: &Finding| Some(Arc::clone(&finding.place.as_ref()?.file));
        let refused: BTreeSet<Arc<str>> = self.refusals.iter().filter_map(|(_, f)| file_of(f)).collect();
        let named: BTreeSet<Arc<str>> = findings.iter().filter_map(file_of).collect();
        let mut texts = Vec::new();
        for source in self.sources {
            if refused.contains(&source.name) {
                texts.push((Arc::clone(&source.name), Arc::clone(&source.text)));
            }
            if named.contains(&source.name) {
                findings.attach_source(source.name, source.text);
            }
        }
        (findings, Refusals::new(self.refusals, texts))
    }
}
