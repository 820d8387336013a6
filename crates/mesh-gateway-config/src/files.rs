//! Dynamic configuration from files: one, or all of a directory and of those in it.

use super::{
    Warning,
    decode::{DecodeError, decode},
    merge::merge,
    model::{Configuration, Named},
    statics::FileProvider,
    text::{TextError, is_readable, read_filled, read_text},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Deepest nesting of directories.
const DEPTH_LEVELS_MAX: usize = 8;
/// Most files of a directory, with those in it.
const FILES_MAX: usize = 1_024;

/// Where filling in ends, in bytes: a text may ask for a large variable often.
const FILLED_BYTES_MAX: usize = 4 << 20;

/// What Go's templates begin with.
const TEMPLATE: &str = "{{";

/// Why files are no configuration.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The provider names neither a file nor a directory.
    #[error("error using file configuration provider, neither filename nor directory is defined")]
    Nothing,
    /// What is in a directory could not be found out.
    #[error("could not list {}", path.display())]
    List {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A directory is too large.
    #[error("{} has more than {FILES_MAX} files, or is nested deeper than {DEPTH_LEVELS_MAX} levels", path.display())]
    TooMany {
        /// The directory that was named.
        path: PathBuf,
    },
    /// A file is no configuration's text.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A file says what no configuration says.
    #[error("could not read {}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        #[source]
        source: DecodeError,
    },
}

/// Reads what a provider names. One broken file is a broken whole: half of what was meant is not served.
///
/// # Errors
/// What cannot be listed, read or understood.
pub fn configuration(
    provider: &FileProvider,
    warnings: &mut Vec<Warning>,
) -> Result<Configuration, FilesError> {
    let mut files = Vec::new();
    if !provider.directory.is_empty() {
        let folder = Path::new(&provider.directory);
        list(folder, folder, 0, &mut files)?;
    } else if provider.filename.is_empty() {
        return Err(FilesError::Nothing);
    } else {
        files.push(PathBuf::from(&provider.filename));
    }
    let mut parts: Named<Configuration> = Named::new();
    for path in files {
        let node = read_filled(&path, |text| filled(&text, &|name| std::env::var(name).ok()))?;
        if node.mentions(TEMPLATE) {
            let message =
                "of templates only {{ env \"NAME\" }} is filled in: other ones are taken as they are"
                    .to_owned();
            warnings.push(Warning { place: path.display().to_string(), message });
        }
        let part = decode(&node).map_err(|source| FilesError::Value { path: path.clone(), source })?;
        parts.insert(path.display().to_string(), part);
    }
    let (merged, conflicts) = merge(parts);
    warnings.extend(
        conflicts.iter().map(|conflict| Warning { place: "files".to_owned(), message: conflict.to_string() }),
    );
    Ok(merged)
}

/// What one file with this name and text asks for.
///
/// # Errors
/// What of it cannot be understood.
pub fn of_text(path: &Path, text: &str) -> Result<Configuration, FilesError> {
    let node = read_text(path, &filled(text, &|_| None))?;
    decode(&node).map_err(|source| FilesError::Value { path: path.to_owned(), source })
}

/// The text with variables of the environment where it asks for them: `{{ env "NAME" }}`, as Go's templates have it. One
/// that is not there is empty. Everything else stays as it is.
fn filled(text: &str, variable: &impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(TEMPLATE) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let end = from.find("}}").map(|end| end + 2);
        let asked = end.and_then(|end| asked_variable(&from[TEMPLATE.len()..end - 2]));
        match (end, asked) {
            (Some(end), Some(name)) => {
                out.push_str(&variable(name).unwrap_or_default());
                rest = &from[end..];
            }
            _ => {
                out.push_str(TEMPLATE);
                rest = &from[TEMPLATE.len()..];
            }
        }
        if out.len() > FILLED_BYTES_MAX {
            break;
        }
    }
    out.push_str(rest);
    out
}

/// The variable that an action asks for, if it does nothing else.
fn asked_variable(action: &str) -> Option<&str> {
    let name = action.trim_matches('-').trim().strip_prefix("env")?.trim_start();
    let quote = name.chars().next().filter(|quote| matches!(quote, '"' | '`'))?;
    let name = name.strip_prefix(quote)?.strip_suffix(quote)?;
    (!name.contains([quote, '\\'])).then_some(name)
}

fn list(folder: &Path, top: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), FilesError> {
    let failed = |source| FilesError::List { path: folder.to_owned(), source };
    let too_many = || FilesError::TooMany { path: top.to_owned() };
    if depth > DEPTH_LEVELS_MAX {
        return Err(too_many());
    }
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
        if paths.len() > FILES_MAX {
            return Err(too_many());
        }
    }
    paths.sort();
    for path in paths {
        if path.is_dir() {
            list(&path, top, depth + 1, files)?;
        } else if is_readable(&path) {
            files.push(path);
        }
    }
    if files.len() > FILES_MAX { Err(too_many()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_filled_in() {
        let variable = |name: &str| (name == "HOST").then(|| "a.test".to_owned());
        for (text, expected) in [
            ("Host(`{{ env \"HOST\" }}`)", "Host(`a.test`)"),
            ("{{env `HOST`}}{{- env \"HOST\" -}}", "a.testa.test"),
            ("x{{ env \"NONE\" }}y", "xy"),
            ("{{ env \"HOST\" | upper }}", "{{ env \"HOST\" | upper }}"),
            ("{{ range }}{{ env \"HOST\" }}{{ end }}", "{{ range }}a.test{{ end }}"),
            ("{{ env \"HO", "{{ env \"HO"),
            ("${1} }} {", "${1} }} {"),
        ] {
            assert_eq!(filled(text, &variable), expected, "{text}");
        }
    }

    #[test]
    fn a_directory_is_one_configuration() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
        fs::create_dir(folder.path().join("more")).expect("a folder");
        write("a.yml", "http:\n  routers:\n    web: {rule: 'Path(`/`)', service: s, tls: {}}\n");
        write(
            "more/b.toml",
            "[http.services.s.loadBalancer]\nservers = [{url = 'http://a'}, {url = 'http://b'}]\n",
        );
        write("notes.txt", "not read");
        let provider =
            FileProvider { directory: folder.path().display().to_string(), ..FileProvider::default() };
        let mut warnings = Vec::new();
        let read = configuration(&provider, &mut warnings).expect("read");
        assert_eq!(read.http.routers["web"].service, "s");
        assert!(read.http.routers["web"].tls.is_some());
        let balancer = read.http.services["s"].load_balancer.as_ref().expect("a balancer");
        assert_eq!(balancer.servers.len(), 2);
        assert_eq!(balancer.pass_host_header, Some(true));
        assert!(warnings.is_empty());

        write("c.yml", "http: {routers: {web: {rule: 'Path(`/other`)'}}}\n");
        let read = configuration(&provider, &mut warnings).expect("read");
        assert!(read.http.routers.is_empty());
        assert!(warnings[0].message.starts_with("HTTP router web is defined multiple times"), "{warnings:?}");

        write("d.yml", "http:\n  routers:\n    api:\n      servce: s\n");
        let error = crate::chain(&configuration(&provider, &mut warnings).expect_err("a broken file"));
        assert!(
            error.ends_with("d.yml: line 4: http.routers.api.servce: field not found, node: servce"),
            "{error}"
        );
    }
}
