//! A project in a directory of its own, loaded.
#![allow(dead_code)]

use mesh_compose::{InputFile, LoadError, LoadOptions, Loaded, load};
use std::{collections::BTreeMap, fs, path::Path};

/// A directory with files, and the options to load it with.
pub(crate) struct Given {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) options: LoadOptions,
}

impl Given {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        for (name, text) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("directory");
            fs::write(path, text).expect("file");
        }
        let options = LoadOptions {
            working_directory: directory.path().to_owned(),
            project_name: Some("demo".to_owned()),
            environment: BTreeMap::from([("HOME".to_owned(), "/home/me".to_owned())]),
            interpolate: true,
            ..LoadOptions::default()
        };
        Self { directory, options }
    }

    pub(crate) fn files(mut self, names: &[&str]) -> Self {
        self.options.files = names.iter().map(|name| InputFile::Path(name.into())).collect();
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.options.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn load(&self) -> Result<Loaded, LoadError> {
        load(&self.options)
    }

    pub(crate) fn loaded(&self) -> Loaded {
        self.load().unwrap_or_else(|error| panic!("{error}:\n{}", shown(&error)))
    }

    /// The document as JSON, with the directory's path as `$DIR`.
    pub(crate) fn json(&self) -> serde_json::Value {
        let text = self.loaded().document.to_json();
        let text = text.replace(&self.path().display().to_string(), "DIR");
        serde_json::from_str(&text).expect("valid JSON")
    }

    /// What keeps services of a sound file from being started, a line each.
    pub(crate) fn refused(&self) -> String {
        lines(self.loaded().refusals.of(|_| true).iter())
    }

    /// The findings of a load that must fail, a line each.
    pub(crate) fn errors(&self) -> String {
        shown(&self.load().expect_err("a finding"))
    }
}

fn lines<'f>(findings: impl Iterator<Item = &'f mesh_diag::Finding>) -> String {
    findings.map(|finding| format!("{finding} {}\n", finding.hint.as_deref().unwrap_or_default())).collect()
}

pub(crate) fn shown(error: &LoadError) -> String {
    lines(error.findings().into_iter().flatten())
}

/// One file `compose.yaml` whose service `a` has `body` as its keys.
pub(crate) fn service(body: &str) -> Given {
    let body: String = body.lines().map(|line| format!("    {line}\n")).collect();
    Given::new(&[("compose.yaml", &format!("services:\n  a:\n    image: x\n{body}"))])
}
