//! Plays the tables of Traefik's own tests, where somebody has put them.
//!
//! `MESH_GATEWAY_SUITE` names a folder with a file of JSON lines for each of Traefik's packages: `package`, `test` and
//! `case`, the last as the table of the test has it. Without the variable nothing is played, which is printed.
//! COMPATIBILITY.md says how the files are made, and what the figures are.

mod containers;

pub(crate) use containers::read_json;

use serde_json::Value;
use std::{env, fs, path::PathBuf};

/// One row of a table.
pub(crate) struct Case {
    /// The test's function, without the row's name.
    pub(crate) test: String,
    /// The test's function and the row's name.
    pub(crate) name: String,
    pub(crate) fields: Value,
}

impl Case {
    /// A text of the row; empty where it has none.
    pub(crate) fn text(&self, field: &str) -> &str {
        self.fields[field].as_str().unwrap_or_default()
    }

    pub(crate) fn flag(&self, field: &str) -> bool {
        self.fields[field].as_bool().unwrap_or_default()
    }

    /// The pairs of a map of the row.
    pub(crate) fn pairs(&self, field: &str) -> impl Iterator<Item = (&str, &Value)> {
        self.fields[field].as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
    }

    pub(crate) fn items(&self, field: &str) -> &[Value] {
        self.fields[field].as_array().map_or(&[], Vec::as_slice)
    }

    /// The texts of a list of the row.
    pub(crate) fn texts(&self, field: &str) -> Vec<String> {
        texts(&self.fields[field])
    }
}

/// The texts of a list.
pub(crate) fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// What became of a row.
pub(crate) enum Played {
    Same,
    /// What is different.
    Different(String),
    /// The test asks for something that rows do not say, or that is not Mesh's.
    Foreign,
}

impl Played {
    pub(crate) fn compare<T: PartialEq + std::fmt::Debug>(expected: &T, found: &T) -> Self {
        if expected == found {
            Self::Same
        } else {
            Self::Different(format!("expected {expected:?}, found {found:?}"))
        }
    }
}

/// Plays all rows of a package. Differences have to be among the known ones, which are named by their test and row.
pub(crate) fn play(package: &str, known: &[&str], player: impl Fn(&Case) -> Played) {
    let Some(folder) = env::var_os("MESH_GATEWAY_SUITE") else {
        println!("skipped: MESH_GATEWAY_SUITE names no folder with the tables of {package}");
        return;
    };
    let file = PathBuf::from(folder).join(format!("{}.jsonl", package.replace('/', "_")));
    let Ok(text) = fs::read_to_string(&file) else {
        println!("skipped: {} is not there", file.display());
        return;
    };
    let (mut same, mut foreign, mut wrong) = (0, 0, Vec::new());
    for line in text.lines() {
        let mut row: Value = serde_json::from_str(line).expect("a row is JSON");
        let test = row["test"].as_str().unwrap_or_default().to_owned();
        let fields = row["case"].take();
        let described = ["desc", "description", "name", "rule", "expression", "expectedRoutingPath"];
        let described = described.iter().find_map(|field| fields[field].as_str()).unwrap_or_default();
        let case = Case { name: format!("{test}: {described}"), test, fields };
        match player(&case) {
            Played::Same => same += 1,
            Played::Foreign => foreign += 1,
            Played::Different(difference) => wrong.push((case.name, difference)),
        }
    }
    println!("{package}: {same} of {} same, {foreign} not played", same + wrong.len());
    for (name, difference) in &wrong {
        println!("  {name}: {difference}");
    }
    assert!(same > 0, "no row of {package} was played");
    let unknown: Vec<_> = wrong.iter().filter(|(name, _)| !known.contains(&name.as_str())).collect();
    assert!(unknown.is_empty(), "differences that are not known: {unknown:#?}");
}
