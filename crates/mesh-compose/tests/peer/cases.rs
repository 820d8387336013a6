//! Inputs out of a checkout: files, and strings of Go tests made into files.

use crate::go::{self, Literal};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Most inputs of one suite.
const CASES_MAX: usize = 20_000;
/// Deepest folder looked into.
const DEPTH_MAX: usize = 12;

/// One project to read.
#[derive(Debug)]
pub(crate) struct Case {
    /// Row of the table.
    pub(crate) kind: String,
    pub(crate) name: String,
    /// Laid on one another in this order.
    pub(crate) files: Vec<PathBuf>,
    /// Where relative paths start; `None`: at the first file.
    pub(crate) directory: Option<PathBuf>,
}

/// What one suite holds. Files that are made go into `scratch`.
pub(crate) fn of(suite: &Path, scratch: &Path) -> Vec<Case> {
    let name = suite.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut files = Vec::new();
    collect(suite, &mut files, 0);
    files.sort();
    let mut found = Found { suite: name, root: suite, scratch, cases: Vec::new() };
    for file in &files {
        let shown = file.to_string_lossy();
        if shown.ends_with("_test.go") {
            found.go_test(file);
        } else if shown.ends_with(".env") {
            found.env_file(file);
        } else if shown.ends_with(".md") {
            found.document(file);
        } else {
            found.compose_file(file);
        }
    }
    found.cases
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_symlink() || name.starts_with('.') {
            continue;
        }
        let wanted = [".yaml", ".yml", ".env", ".md", "_test.go"].iter().any(|end| name.ends_with(end));
        if path.is_dir() {
            collect(&path, files, depth + 1);
        } else if wanted && !name.contains("windows") && files.len() < CASES_MAX {
            files.push(path);
        }
    }
}

struct Found<'f> {
    suite: String,
    root: &'f Path,
    scratch: &'f Path,
    cases: Vec<Case>,
}

impl Found<'_> {
    fn shown(&self, path: &Path) -> String {
        path.strip_prefix(self.root).unwrap_or(path).display().to_string()
    }

    fn add(&mut self, kind: &str, name: String, files: Vec<PathBuf>, directory: Option<PathBuf>) {
        if self.cases.len() < CASES_MAX {
            self.cases.push(Case { kind: format!("{}: {kind}", self.suite), name, files, directory });
        }
    }

    /// A text as a file of its own.
    fn made(&self, end: &str, text: &str) -> PathBuf {
        self.made_in(self.scratch, end, text)
    }

    fn made_in(&self, folder: &Path, end: &str, text: &str) -> PathBuf {
        fs::create_dir_all(folder).expect("a folder is made");
        let path = folder.join(format!("{}-{}{end}", self.suite, self.cases.len()));
        fs::write(&path, text).expect("a file is made");
        path
    }

    /// A file by itself, and laid on the one it is an override of.
    fn compose_file(&mut self, file: &Path) {
        let name = self.shown(file);
        let text = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        for part in [".override", "-override", "override-", "_override"] {
            let base = file.with_file_name(text.replace(part, ""));
            if text.contains(part) && base.is_file() {
                self.add("files, as overrides", name.clone(), vec![base, file.to_owned()], None);
            }
        }
        self.add("files", name, vec![file.to_owned()], None);
    }

    /// Examples in a document that are Compose files.
    fn document(&mut self, file: &Path) {
        let Ok(text) = fs::read_to_string(file) else { return };
        let name = self.shown(file);
        for (index, block) in text.split("```").enumerate().filter(|(index, _)| index % 2 == 1) {
            let (language, example) = block.split_once('\n').unwrap_or_default();
            if matches!(language.trim(), "yaml" | "yml") && is_compose(example) {
                let made = self.made(".yaml", example);
                self.add("examples of documents", format!("{name}:{}", index / 2 + 1), vec![made], None);
            }
        }
    }

    fn env_file(&mut self, file: &Path) {
        let name = self.shown(file);
        let quoted = serde_json::to_string(&file.to_string_lossy()).expect("JSON");
        let text = format!("services: {{a: {{image: x, env_file: [{quoted}]}}}}\n");
        let made = self.made(".yaml", &text);
        self.add(".env", name, vec![made], None);
    }

    fn go_test(&mut self, file: &Path) {
        let Ok(source) = fs::read_to_string(file) else { return };
        let literals = go::literals(&source);
        let name = self.shown(file);
        let folder = file.parent().map(Path::to_owned);
        let of = |part: &str| name.starts_with(part) || name.contains(&format!("/{part}"));
        self.compose_texts(&name, &literals, folder);
        if of("template/") || of("interpolation/") {
            self.values(&name, &literals);
        } else if of("dotenv/") {
            self.env_texts(&name, &literals);
        } else if of("format/") || of("paths/") {
            self.volumes(&name, &literals);
        }
    }

    /// Texts that are Compose files: each by itself, and each laid on the one before it in its function.
    fn compose_texts(&mut self, name: &str, literals: &[Literal], folder: Option<PathBuf>) {
        let mut last: Option<(usize, PathBuf)> = None;
        for literal in literals.iter().filter(|literal| literal.raw && is_compose(&literal.text)) {
            let place = format!("{name}:{}", literal.line);
            let made = self.made_in(&self.scratch.join("texts"), ".yaml", &literal.text);
            self.add("texts of tests", place.clone(), vec![made.clone()], folder.clone());
            if let Some((function, base)) = last.take()
                && function == literal.function
            {
                let pair = vec![base, made.clone()];
                self.add("texts of tests, as overrides", place, pair, folder.clone());
            }
            last = Some((literal.function, made));
        }
    }

    /// Texts with variables, each as a value of an environment.
    fn values(&mut self, name: &str, literals: &[Literal]) {
        for literal in literals.iter().filter(|literal| literal.text.contains('$')) {
            let value = serde_json::to_string(&literal.text).expect("JSON");
            let text = format!("services: {{a: {{image: x, environment: {{V: {value}}}}}}}\n");
            let made = self.made(".yaml", &text);
            self.add("values with variables", format!("{name}:{}", literal.line), vec![made], None);
        }
    }

    fn env_texts(&mut self, name: &str, literals: &[Literal]) {
        for literal in literals.iter().filter(|literal| literal.text.contains(['=', ':', '\n'])) {
            let lines = self.made(".lines", &literal.text);
            let quoted = serde_json::to_string(&lines.to_string_lossy()).expect("JSON");
            let text = format!("services: {{a: {{image: x, env_file: [{quoted}]}}}}\n");
            let made = self.made(".yaml", &text);
            self.add(".env", format!("{name}:{}", literal.line), vec![made], None);
        }
    }

    fn volumes(&mut self, name: &str, literals: &[Literal]) {
        for literal in literals.iter().filter(|literal| literal.text.contains([':', '/'])) {
            if literal.before.ends_with("import(") || literal.text.contains('%') {
                continue;
            }
            let value = serde_json::to_string(&literal.text).expect("JSON");
            let text = format!(
                "services: {{a: {{image: x, volumes: [{value}]}}}}\nvolumes: {{name: , source: , volume: , foo: , \
                 test: }}\n"
            );
            let made = self.made(".yaml", &text);
            self.add("short volumes", format!("{name}:{}", literal.line), vec![made], None);
        }
    }
}

/// Whether a text is most likely a Compose file.
fn is_compose(text: &str) -> bool {
    const SECTIONS: [&str; 7] =
        ["services:", "include:", "volumes:", "networks:", "secrets:", "configs:", "models:"];
    text.lines().any(|line| SECTIONS.iter().any(|section| line.starts_with(section)))
}
