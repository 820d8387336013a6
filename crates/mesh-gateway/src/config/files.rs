//! Dynamic configuration from files: one, or all of a directory and of those in it.

use super::{
    Warning,
    decode::{DecodeError, decode},
    merge::merge,
    model::{Configuration, Named},
    statics::FileProvider,
    text::{TextError, is_readable, read_file},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Deepest nesting of directories.
const DEPTH_LEVELS_MAX: usize = 8;
/// Most files of a directory, with those in it.
const FILES_MAX: usize = 1_024;

/// What Go's templates begin with.
const TEMPLATE: &str = "{{";

/// Why files are no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilesError {
    #[error("error using file configuration provider, neither filename nor directory is defined")]
    Nothing,
    #[error("could not list {}", path.display())]
    List {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} has more than {FILES_MAX} files, or is nested deeper than {DEPTH_LEVELS_MAX} levels", path.display())]
    TooMany { path: PathBuf },
    #[error(transparent)]
    Text(#[from] TextError),
    #[error("could not read {}", path.display())]
    Value {
        path: PathBuf,
        #[source]
        source: DecodeError,
    },
}

/// Reads what a provider names. One broken file is a broken whole: half of what was meant is not served.
pub(crate) fn configuration(
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
        let node = read_file(&path)?;
        if node.mentions(TEMPLATE) {
            let message = "templates are not filled in: what stands in {{ }} is taken as it is".to_owned();
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
