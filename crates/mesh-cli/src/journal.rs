//! Output of services on the screen: which journals are meant, merged in time, prefixed and coloured.

use crate::{console, failure::CliError, words};
use mesh_journal::{Follower, Query, Record, Stream};
use mesh_model::project::Project;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
};

/// Longest line that is put together from parts, in bytes; what is longer is printed in pieces.
const LINE_BYTES_MAX: usize = 1024 * 1024;
/// Colours of prefixes, in turn.
const COLOURS: [&str; 10] = ["36", "33", "32", "35", "34", "96", "93", "92", "95", "94"];

/// Which containers of a project are meant.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    /// Name of the project.
    pub(crate) project: String,
    /// Where its journals are.
    pub(crate) directory: PathBuf,
    /// Names of containers that the file fixes, with their services.
    pub(crate) fixed_names: BTreeMap<String, String>,
    /// Services; empty: all.
    pub(crate) services: Vec<String>,
    /// Services left out.
    pub(crate) without: BTreeSet<String>,
    /// Number of the container.
    pub(crate) index: Option<u32>,
}

impl Selection {
    /// All containers of a project.
    pub(crate) fn of(name: &str, directory: PathBuf, project: Option<&Project>) -> Self {
        let services = project.map(|project| &project.services).into_iter().flatten();
        let fixed =
            services.filter_map(|(name, service)| Some((service.container_name.clone()?, name.clone())));
        Self { project: name.to_owned(), directory, fixed_names: fixed.collect(), ..Self::default() }
    }

    /// The prefix of a container's lines, if it is meant. One-off containers never are.
    fn label(&self, container: &str) -> Option<String> {
        let (service, index, label) = match self.fixed_names.get(container) {
            Some(service) => (service.as_str(), 1, container),
            None => {
                let label = container.strip_prefix(&self.project)?.strip_prefix('-')?;
                let (service, index) = label.rsplit_once('-')?;
                if service.ends_with("-run") {
                    return None;
                }
                (service, index.parse().ok()?, label)
            }
        };
        let named = self.services.is_empty() || self.services.iter().any(|name| name == service);
        let numbered = self.index.is_none_or(|wanted| wanted == index);
        (named && numbered && !self.without.contains(service)).then(|| label.to_owned())
    }

    /// The journals that are there now, by prefix.
    fn journals(&self) -> Result<BTreeMap<String, PathBuf>, CliError> {
        let attempt = || format!("list the journals in {}", self.directory.display());
        let entries = match std::fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(CliError::io(attempt())(error)),
        };
        let mut found = BTreeMap::new();
        for entry in entries {
            let entry = entry.map_err(CliError::io(attempt()))?;
            if let Some(label) = entry.file_name().to_str().and_then(|name| self.label(name)) {
                found.insert(label, entry.path());
            }
        }
        Ok(found)
    }
}

/// A record with the prefix of its container.
pub(crate) type Labelled = (String, Record);

/// Everything of a selection that is in journals now, in the order of time.
pub(crate) fn history(selection: &Selection, query: &Query) -> Result<Vec<Labelled>, CliError> {
    let mut found = Vec::new();
    for (label, directory) in selection.journals()? {
        found
            .extend(mesh_journal::read(&directory, query)?.into_iter().map(|record| (label.clone(), record)));
    }
    found.sort_by_key(|(_, record)| record.at_unix_ns);
    Ok(found)
}

/// Journals of a selection, read as they grow; containers that appear later are taken in.
pub(crate) struct Feed {
    selection: Selection,
    query: Query,
    followers: BTreeMap<String, Follower>,
}

impl Feed {
    /// A feed that begins with what `query` asks for.
    pub(crate) fn new(selection: Selection, query: Query) -> Self {
        Self { selection, query, followers: BTreeMap::new() }
    }

    /// Prefixes of the containers seen so far.
    pub(crate) fn labels(&self) -> impl Iterator<Item = &String> {
        self.followers.keys()
    }

    /// Looks for containers that were not there; what their journals hold already comes back.
    pub(crate) fn discover(&mut self) -> Result<Vec<Labelled>, CliError> {
        let mut found = Vec::new();
        for (label, directory) in self.selection.journals()? {
            if self.followers.contains_key(&label) {
                continue;
            }
            let (records, follower) = Follower::open(&directory, &self.query)?;
            found.extend(records.into_iter().map(|record| (label.clone(), record)));
            self.followers.insert(label, follower);
        }
        // Whoever comes later is read from its beginning.
        self.query.tail = None;
        found.sort_by_key(|(_, record)| record.at_unix_ns);
        Ok(found)
    }

    /// What came since the last call, in the order of time.
    pub(crate) fn poll(&mut self) -> Result<Vec<Labelled>, CliError> {
        let mut found = Vec::new();
        for (label, follower) in &mut self.followers {
            found.extend(follower.poll()?.into_iter().map(|record| (label.clone(), record)));
        }
        found.sort_by_key(|(_, record)| record.at_unix_ns);
        Ok(found)
    }
}

/// How lines look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// Colours.
    pub(crate) colour: bool,
    /// Prefix every line with its container.
    pub(crate) prefix: bool,
    /// Then the time.
    pub(crate) timestamps: bool,
    /// What came from standard error goes to standard error.
    pub(crate) split: bool,
}

/// Turns records into lines.
pub(crate) struct Printer {
    look: Look,
    width: usize,
    colours: HashMap<String, &'static str>,
    /// Lines whose end did not come yet.
    unfinished: HashMap<(String, Stream), String>,
}

impl Printer {
    /// A printer; prefixes are as wide as the widest of `labels`.
    pub(crate) fn new(look: Look) -> Self {
        Self { look, width: 0, colours: HashMap::new(), unfinished: HashMap::new() }
    }

    /// Makes room for prefixes and gives them their colours.
    pub(crate) fn expect<'labels>(&mut self, labels: impl Iterator<Item = &'labels String>) {
        for label in labels {
            self.width = self.width.max(label.chars().count());
            let next = COLOURS[self.colours.len() % COLOURS.len()];
            self.colours.entry(label.clone()).or_insert(next);
        }
    }

    /// Prints records.
    pub(crate) fn print(&mut self, records: Vec<Labelled>) {
        let mut text = String::new();
        let mut to = Stream::Stdout;
        for (label, record) in records {
            if self.look.split && record.stream != to {
                flush(&mut text, to);
                to = record.stream;
            }
            self.add(&mut text, label, record);
        }
        flush(&mut text, to);
    }

    fn add(&mut self, text: &mut String, label: String, record: Record) {
        let key = (label, record.stream);
        let mut line = self.unfinished.remove(&key).unwrap_or_default();
        line.push_str(&record.text);
        if !record.complete && line.len() < LINE_BYTES_MAX {
            self.unfinished.insert(key, line);
            return;
        }
        if self.look.prefix {
            self.expect(std::iter::once(&key.0));
            let prefix = format!("{:width$}  | ", key.0, width = self.width);
            match (self.look.colour, self.colours.get(&key.0)) {
                (true, Some(colour)) => text.push_str(&format!("\u{1b}[{colour}m{prefix}\u{1b}[0m")),
                _ => text.push_str(&prefix),
            }
        }
        if self.look.timestamps {
            text.push_str(&words::precise(record.at_unix_ns));
            text.push(' ');
        }
        text.push_str(line.trim_end_matches('\r'));
        text.push('\n');
    }
}

/// Prints what was put together for a stream.
fn flush(text: &mut String, to: Stream) {
    match (text.is_empty(), to) {
        (true, _) => {}
        (false, Stream::Stdout) => console::out(text),
        (false, Stream::Stderr) => console::err(text),
    }
    text.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(text: &str, complete: bool) -> Record {
        Record { at_unix_ns: 1_500_000_000, stream: Stream::Stdout, text: text.to_owned(), complete }
    }

    fn check(look: Look, records: &[(&str, &str, bool)], want: &str) {
        let mut printer = Printer::new(look);
        let mut text = String::new();
        printer.expect([&"db-1".to_owned(), &"gateway-1".to_owned()].into_iter());
        for (label, line, complete) in records {
            printer.add(&mut text, (*label).to_owned(), record(line, *complete));
        }
        assert_eq!(text, want);
    }

    #[test]
    fn lines_are_prefixed_aligned_and_put_together() {
        let look = Look { colour: false, prefix: true, timestamps: false, split: false };
        check(
            look,
            &[("db-1", "one\r", true), ("gateway-1", "two", true)],
            "db-1       | one\ngateway-1  | two\n",
        );
        check(
            look,
            &[("db-1", "par", false), ("gateway-1", "x", true), ("db-1", "ts", true)],
            "gateway-1  | x\ndb-1       | parts\n",
        );
        let timed = Look { colour: false, prefix: false, timestamps: true, split: false };
        check(timed, &[("db-1", "one", true)], "1970-01-01T00:00:01.500000000Z one\n");
        let coloured = Look { colour: true, prefix: true, timestamps: false, split: false };
        check(coloured, &[("db-1", "one", true)], "\u{1b}[36mdb-1       | \u{1b}[0mone\n");
    }

    #[test]
    fn selections_know_names() {
        let mut selection = Selection { project: "hub".to_owned(), ..Selection::default() };
        selection.fixed_names.insert("the-cache".to_owned(), "cache".to_owned());
        for (services, index, container, want) in [
            (&[][..], None, "hub-db-1", Some("db-1")),
            (&[], None, "hub-my-db-12", Some("my-db-12")),
            (&[], None, "the-cache", Some("the-cache")),
            (&["cache"], None, "the-cache", Some("the-cache")),
            (&["cache"], None, "hub-db-1", None),
            (&[], Some(2), "hub-db-1", None),
            (&[], None, "hub-db-run-0a1b2c", None),
            (&[], None, "hub-db-run-123456", None),
            (&[], None, "other-db-1", None),
        ] {
            selection.services = services.iter().map(|name| (*name).to_owned()).collect();
            selection.index = index;
            assert_eq!(selection.label(container).as_deref(), want, "{container}");
        }
    }
}
