//! Which files make the project, where its directory is, what it is called, and what its variables are.

use crate::{
    InputFile, LoadError, LoadOptions,
    context::{At, Context},
    dotenv,
    resolve::{Text, absolute, read_text},
};
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

/// Default names, best first, in the order that Compose has them.
pub const FILE_NAMES: [&str; 4] =
    ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
/// Default names of files laid over them.
const OVERRIDE_NAMES: [&str; 4] = [
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];

/// What was found before anything of a Compose file is understood.
pub(crate) struct Located {
    pub(crate) texts: Vec<Text>,
    pub(crate) directory: PathBuf,
    /// The shell's variables over those of the environment files.
    pub(crate) environment: BTreeMap<String, String>,
}

/// Finds and reads the files of a project.
pub(crate) fn locate(options: &LoadOptions, cx: &mut Context) -> Result<Located, LoadError> {
    let working = &options.working_directory;
    let given = options.project_directory.as_ref().map(|directory| working.join(directory));
    let first = options.files.iter().find_map(|file| match file {
        InputFile::Path(path) => Some(working.join(path)),
        InputFile::Text { .. } => None,
    });
    let first_directory = |path: &Path| path.parent().unwrap_or(path).to_owned();
    let early = given.clone().or_else(|| first.as_deref().map(first_directory));
    let mut environment = environment(options, early.as_ref().unwrap_or(working), cx)?;
    if !options.files.is_empty() {
        let texts = options.files.iter().map(|file| read(file, working, cx)).collect::<Result<_, _>>()?;
        let directory = early.unwrap_or_else(|| working.clone());
        return Ok(Located { texts, directory: normal(&directory), environment });
    }
    let paths = match environment.get("COMPOSE_FILE").filter(|files| !files.is_empty()) {
        Some(files) => {
            let separator = environment.get("COMPOSE_PATH_SEPARATOR").filter(|text| !text.is_empty());
            let separator = separator.map_or(":", String::as_str);
            files.split(separator).filter(|file| !file.is_empty()).map(|file| working.join(file)).collect()
        }
        None => search(given.as_ref().unwrap_or(working), cx)?,
    };
    let found = paths.first().map(|path: &PathBuf| first_directory(path));
    let directory = given.or(found).unwrap_or_else(|| working.clone());
    if normal(&directory) != normal(early.as_ref().unwrap_or(working)) {
        // The files are elsewhere: their directory's `.env` adds to the one that led there.
        let mut both = self::environment(options, &directory, cx)?;
        both.extend(environment);
        environment = both;
    }
    let read = |path| read(&InputFile::Path(path), working, cx);
    let texts = paths.into_iter().map(read).collect::<Result<_, _>>()?;
    Ok(Located { texts, directory: normal(&directory), environment })
}

/// `COMPOSE_*` of the files with variables, where the shell has none: settings of commands may stand there
/// too. What is wrong with the files is told by [`crate::load`].
#[must_use]
pub fn settings_of_files(options: &LoadOptions) -> BTreeMap<String, String> {
    let shell = &options.environment;
    let working = &options.working_directory;
    // A pipe is read once, when the project is loaded.
    if options.env_files.iter().any(|file| !working.join(file).is_file()) {
        return BTreeMap::new();
    }
    let given = options.project_directory.as_ref().map(|directory| working.join(directory));
    let of_first = || match options.files.first()? {
        InputFile::Path(path) => Some(working.join(path).parent()?.to_owned()),
        InputFile::Text { .. } => None,
    };
    let directory = given.or_else(of_first).unwrap_or_else(|| working.clone());
    let mut values = environment(options, &directory, &mut Context::default()).unwrap_or_default();
    values.retain(|name, _| name.starts_with("COMPOSE_") && !shell.contains_key(name));
    values
}

fn normal(path: &Path) -> PathBuf {
    absolute(&path.to_string_lossy(), Path::new("/"), &BTreeMap::new())
}

fn read(file: &InputFile, working: &Path, cx: &mut Context) -> Result<Text, LoadError> {
    match file {
        InputFile::Text { name, text } => {
            Ok(Text { path: working.join(name), name: name.clone(), text: text.clone() })
        }
        InputFile::Path(path) => {
            let path = normal(&working.join(path));
            cx.look_at(&path);
            let text = read_text(&path).map_err(|source| LoadError::Io { path: path.clone(), source })?;
            let name = path.strip_prefix(working).unwrap_or(&path).display().to_string();
            Ok(Text { path, name, text })
        }
    }
}

/// The default files of the nearest directory, upwards, that has one.
fn search(start: &Path, cx: &mut Context) -> Result<Vec<PathBuf>, LoadError> {
    for directory in start.ancestors() {
        if let Some(main) = pick(directory, &FILE_NAMES, cx) {
            return Ok([Some(main), pick(directory, &OVERRIDE_NAMES, cx)].into_iter().flatten().collect());
        }
    }
    Err(LoadError::NoFile { searched: start.to_owned() })
}

/// The first of `names` that `directory` has; more than one is most often one too many.
fn pick(directory: &Path, names: &[&str], cx: &mut Context) -> Option<PathBuf> {
    names.iter().for_each(|name| cx.look_at(&directory.join(name)));
    let found: Vec<&str> = names.iter().copied().filter(|name| directory.join(name).is_file()).collect();
    let first = *found.first()?;
    if found.len() > 1 {
        let message = format!("several files have default names: {}; {first} is read", found.join(", "));
        cx.warn(At::default(), "several-files", message);
    }
    Some(directory.join(first))
}

/// The shell's variables over those of `--env-file`, `COMPOSE_ENV_FILES`, or the directory's `.env`.
fn environment(
    options: &LoadOptions,
    directory: &Path,
    cx: &mut Context,
) -> Result<BTreeMap<String, String>, LoadError> {
    let shell = &options.environment;
    let mut files: Vec<PathBuf> =
        options.env_files.iter().map(|file| options.working_directory.join(file)).collect();
    if files.is_empty()
        && let Some(listed) = shell.get("COMPOSE_ENV_FILES")
    {
        let listed = listed.split(',').map(str::trim).filter(|file| !file.is_empty());
        files.extend(listed.map(|file| options.working_directory.join(file)));
    }
    let explicit = !files.is_empty();
    let without = shell.get("COMPOSE_DISABLE_ENV_FILE").map(String::as_str).unwrap_or_default();
    let without = match without {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
        "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
        other => {
            let message = format!("`COMPOSE_DISABLE_ENV_FILE` must be true or false, not `{other}`");
            cx.error(At::default(), "bad-value", message);
            false
        }
    };
    if !explicit && !without {
        files.push(directory.join(".env"));
    }
    let mut values = BTreeMap::new();
    for path in files {
        cx.look_at(&path);
        let text = match read_text(&path) {
            Ok(text) => text,
            Err(error) if !explicit && is_absent(&error) => continue,
            Err(source) => return Err(LoadError::Io { path, source }),
        };
        let name = path.strip_prefix(&options.working_directory).unwrap_or(&path).display().to_string();
        let file = cx.add_variables(&name);
        let lookup = |name: &str| shell.get(name).cloned();
        dotenv::parse(&text, file, &lookup, &mut values, cx);
    }
    values.extend(shell.iter().map(|(name, value)| (name.clone(), value.clone())));
    Ok(values)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory
    )
}

/// The project's name: given, from the environment, from the files, or from the directory.
pub(crate) fn project_name(
    options: &LoadOptions,
    environment: &BTreeMap<String, String>,
    in_files: Option<(String, At)>,
    directory: &Path,
    cx: &mut Context,
) -> String {
    let from_environment =
        || environment.get("COMPOSE_PROJECT_NAME").filter(|name| !name.is_empty()).cloned();
    let given = options.project_name.clone().or_else(from_environment).map(|name| (name, At::default()));
    if let Some((name, at)) = given.or(in_files) {
        if !is_name(&name) {
            let hint = format!("`{}` would do", normalised(&name));
            let message = format!(
                "`{name}` is not a project name: it takes lower case letters, digits, `-` and `_`, and starts with a letter or digit"
            );
            cx.error_with_hint(at, "project-name", message, hint);
        }
        return name;
    }
    let base = directory.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = normalised(&base);
    if name.is_empty() {
        let message = "the project has no name: its directory's name gives none";
        cx.error_with_hint(
            At::default(),
            "project-name",
            message,
            "give one with `--project-name` or `name:`",
        );
    }
    name
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && normalised(name) == name
}

/// `name` in lower case with what Compose does not allow taken out.
pub(crate) fn normalised(name: &str) -> String {
    let kept: String = name
        .to_lowercase()
        .chars()
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'))
        .collect();
    kept.trim_start_matches(['-', '_']).to_owned()
}
