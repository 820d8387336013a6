//! Scenarios: files and command lines.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Most Compose files of a suite that are played.
const SUITE_MAX: usize = 500;

/// A project and what is done to it.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    /// Files by name.
    pub(crate) files: Vec<(String, String)>,
    /// A folder whose content is the project's.
    pub(crate) folder: Option<PathBuf>,
    /// The folder has a `compose.yaml` of its own.
    pub(crate) keeps_default_file: bool,
    pub(crate) steps: Vec<Step>,
}

/// One thing that is done.
#[derive(Debug)]
pub(crate) enum Step {
    /// Both have time to come to rest.
    Settle,
    /// A command line.
    Run(Vec<String>),
}

/// The scenarios beside this file.
pub(crate) fn own() -> Vec<Scenario> {
    [
        ("reading", include_str!("reading.txt")),
        ("formats", include_str!("formats.txt")),
        ("living", include_str!("living.txt")),
        ("events", include_str!("events.txt")),
        ("one-shots", include_str!("one-shots.txt")),
        ("nothing", include_str!("nothing.txt")),
    ]
    .into_iter()
    .map(|(name, text)| parse(name, text))
    .collect()
}

/// `== FILE` begins a file, `==` the command lines; `settle` is none of them, and `#` begins a remark.
fn parse(name: &str, text: &str) -> Scenario {
    let mut scenario = Scenario {
        name: name.to_owned(),
        files: Vec::new(),
        folder: None,
        keeps_default_file: false,
        steps: Vec::new(),
    };
    let mut inside = false;
    for line in text.lines() {
        match line.strip_prefix("==").map(str::trim) {
            Some("") => inside = false,
            Some(file) => {
                inside = true;
                scenario.files.push((file.to_owned(), String::new()));
            }
            None if inside => {
                if let Some((_, text)) = scenario.files.last_mut() {
                    text.push_str(&format!("{line}\n"));
                }
            }
            None => match line.trim() {
                "" => {}
                "settle" => scenario.steps.push(Step::Settle),
                remark if remark.starts_with('#') => {}
                line => scenario.steps.push(Step::Run(words(line))),
            },
        }
    }
    scenario
}

/// Words of a line; quotation marks keep spaces together, and empty words.
fn words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let (mut mark, mut inside) = (None, false);
    for letter in line.chars() {
        match (letter, mark) {
            (_, Some(open)) if letter == open => mark = None,
            (' ', None) => inside = false,
            _ => {
                if !std::mem::replace(&mut inside, true) {
                    words.push(String::new());
                }
                match letter {
                    '\'' | '"' if mark.is_none() => mark = Some(letter),
                    _ => words.last_mut().expect("one").push(letter),
                }
            }
        }
    }
    words
}

/// Every Compose file below `suite` that names images only this comparison has, brought up, looked at, stopped
/// and taken down.
pub(crate) fn of_suite(suite: &Path) -> Vec<Scenario> {
    let mut files = Vec::new();
    collect(suite, &mut files);
    files.sort();
    files.into_iter().take(SUITE_MAX).map(|file| scenario_of(suite, &file)).collect()
}

fn scenario_of(suite: &Path, file: &Path) -> Scenario {
    let name = file.strip_prefix(suite).unwrap_or(file).display().to_string();
    let file_name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let run = |line: &str| {
        let mut words = words(line);
        words.splice(0..0, ["-f".to_owned(), file_name.clone()]);
        Step::Run(words)
    };
    let steps = vec![
        run("config -q"),
        run("up -d"),
        Step::Settle,
        run("ps -a --format '{{.Name}} {{.State}} {{.ExitCode}} {{.Health}} {{.Ports}} {{.Networks}}'"),
        run("ps -a"),
        run("volumes -q"),
        run("logs --no-color"),
        run("stop -t 0"),
        run("ps -a --format '{{.Name}} {{.State}}'"),
        run("down -v -t 0"),
        run("ps -a -q"),
    ];
    let folder = file.parent().map(Path::to_path_buf);
    let keeps_default_file = folder.as_ref().is_some_and(|folder| folder.join("compose.yaml").exists());
    Scenario { name, files: Vec::new(), folder, keeps_default_file, steps }
}

/// Compose files in which every image is one that both sides have, and nothing is built.
fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            collect(&path, files);
            continue;
        }
        let named = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let images = text.lines().filter_map(|line| line.trim().strip_prefix("image:")).map(str::trim);
        let known = |image: &str| {
            matches!(
                image.trim_matches(['"', '\'']),
                "alpine" | "alpine:latest" | "busybox" | "busybox:latest"
            )
        };
        let all: Vec<&str> = images.collect();
        if named
            && !all.is_empty()
            && all.iter().all(|image| known(image))
            && !text.contains("build:")
            && text.contains("services:")
        {
            files.push(path);
        }
    }
}
