//! Which of the machine's package sources are asked: those of its own release, and of them only what
//! the distribution itself serves under the names it always has.
//!
//! Third-party sources are left out: they have nothing a recipe needs, and one that does not answer
//! would hold everything up. Options of an entry that is kept (`signed-by`, `arch`, an embedded key)
//! stay as they are. Reading files is apart from deciding what to keep.

use crate::error::ImageError;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Sources to ask, in apt's two formats.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Sources {
    /// One-line entries.
    pub(crate) list: String,
    /// deb822 stanzas.
    pub(crate) stanzas: String,
}

/// Suites of a release besides itself; backports are no default of any release.
const SUFFIXES: [&str; 4] = ["", "-updates", "-security", "/updates"];
/// Names that stand for a release in sources that follow it.
const MOVING_NAMES: [&str; 6] = ["stable", "oldstable", "oldoldstable", "testing", "unstable", "sid"];
/// Components that hold what recipes need.
const COMPONENTS: [&str; 2] = ["main", "universe"];

impl Sources {
    /// Reads what the machine has under its apt directory (`/etc/apt`).
    pub(crate) fn read(configured: &Path, codename: &str) -> Result<Self, ImageError> {
        let files = source_files(configured)?;
        let own = Self::select(&files, &|suite| belongs(suite, &[codename]));
        let found =
            if own.is_empty() { Self::select(&files, &|suite| belongs(suite, &MOVING_NAMES)) } else { own };
        if found.is_empty() {
            return Err(ImageError::NoPackageSource { codename: codename.to_owned() });
        }
        Ok(found)
    }

    fn is_empty(&self) -> bool {
        self.list.is_empty() && self.stanzas.is_empty()
    }

    fn select(files: &[(PathBuf, String)], belongs: &dyn Fn(&str) -> bool) -> Self {
        let mut sources = Self::default();
        for (path, text) in files {
            if path.extension().is_some_and(|extension| extension == "sources") {
                for stanza in stanzas(text) {
                    sources.stanzas.push_str(&select_stanza(&stanza, belongs).unwrap_or_default());
                }
            } else {
                for line in text.lines() {
                    sources.list.push_str(&select_line(line, belongs).unwrap_or_default());
                }
            }
        }
        sources
    }
}

fn belongs(suite: &str, names: &[&str]) -> bool {
    let suite = suite.trim_end_matches('/');
    names.iter().any(|name| suite.strip_prefix(name).is_some_and(|suffix| SUFFIXES.contains(&suffix)))
}

/// The files apt would read, in its order, with their text. One that cannot be read is left out.
fn source_files(configured: &Path) -> Result<Vec<(PathBuf, String)>, ImageError> {
    let parts = configured.join("sources.list.d");
    let mut paths = vec![configured.join("sources.list")];
    match fs::read_dir(&parts) {
        Ok(entries) => {
            let mut names: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
            names.retain(|path| path.extension().is_some_and(|e| e == "list" || e == "sources"));
            names.sort();
            paths.extend(names);
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => return Err(ImageError::io("read", &parts, source)),
    }
    Ok(paths.into_iter().filter_map(|path| fs::read_to_string(&path).ok().map(|text| (path, text))).collect())
}

/// `deb [options] uri suite component...`, kept with the components that count.
fn select_line(line: &str, belongs: &dyn Fn(&str) -> bool) -> Option<String> {
    let rest = line.split('#').next()?.trim().strip_prefix("deb")?;
    let rest = rest.starts_with(char::is_whitespace).then(|| rest.trim_start())?;
    let (options, rest) = match rest.strip_prefix('[') {
        Some(open) => open.split_once(']').map(|(options, rest)| (Some(options.trim()), rest))?,
        None => (None, rest),
    };
    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next()?, words.next()?);
    let components: Vec<&str> = words.filter(|word| COMPONENTS.contains(word)).collect();
    if !belongs(suite) || components.is_empty() || uri.starts_with("cdrom:") {
        return None;
    }
    let options = options.map(|options| format!("[{options}] ")).unwrap_or_default();
    Some(format!("deb {options}{uri} {suite} {}\n", components.join(" ")))
}

/// Fields of one stanza: name as written, and value with its continuation lines.
type Stanza = Vec<(String, String)>;

fn stanzas(text: &str) -> Vec<Stanza> {
    let mut all = Vec::new();
    let mut current: Stanza = Vec::new();
    for line in text.lines() {
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            all.push(std::mem::take(&mut current));
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = current.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            current.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    all.push(current);
    all.retain(|stanza| !stanza.is_empty());
    all
}

fn select_stanza(stanza: &Stanza, belongs: &dyn Fn(&str) -> bool) -> Option<String> {
    let field = |name: &str| {
        stanza.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    };
    if field("Enabled")
        .is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "no" | "false" | "0" | "off"))
    {
        return None;
    }
    let pick = |name: &str, keep: &dyn Fn(&str) -> bool| {
        let kept: Vec<&str> = field(name)?.split_whitespace().filter(|word| keep(word)).collect();
        (!kept.is_empty()).then(|| kept.join(" "))
    };
    let types = pick("Types", &|word| word == "deb")?;
    let suites = pick("Suites", belongs)?;
    let components = pick("Components", &|word| COMPONENTS.contains(&word))?;
    let mut text = String::new();
    for (name, value) in stanza {
        let value = match name.to_ascii_lowercase().as_str() {
            "types" => &types,
            "suites" => &suites,
            "components" => &components,
            _ => value,
        };
        text.push_str(&format!("{name}: {value}\n"));
    }
    text.push('\n');
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, text: &str, expected: &str) {
        let found = Sources::select(&[(PathBuf::from(name), text.to_owned())], &|suite| {
            belongs(suite, &["bookworm"])
        });
        assert_eq!(format!("{}{}", found.list, found.stanzas), expected, "{text}");
    }

    #[test]
    fn one_line_entries_of_the_release_are_kept() {
        let kept = "deb http://deb.debian.org/debian bookworm main\n";
        check("a.list", "deb http://deb.debian.org/debian bookworm main contrib # note", kept);
        check(
            "a.list",
            "deb [ arch=amd64 signed-by=/k ] http://m/d bookworm-security main",
            "deb [arch=amd64 signed-by=/k] http://m/d bookworm-security main\n",
        );
        for other in [
            "# deb http://deb.debian.org/debian bookworm main",
            "deb-src http://deb.debian.org/debian bookworm main",
            "deb https://download.docker.com/linux/debian bookworm stable",
            "deb http://apt.postgresql.org/pub/repos/apt bookworm-pgdg main",
            "deb https://packages.cloud.google.com/apt cloud-sdk-bookworm main",
            "deb http://deb.debian.org/debian bookworm-backports main",
            "deb cdrom:[Debian]/ bookworm main",
            "deb [broken",
            "deb",
            "",
        ] {
            check("a.list", other, "");
        }
    }

    #[test]
    fn stanzas_of_the_release_are_kept() {
        check(
            "a.sources",
            "# comment\nTypes: deb deb-src\nURIs: http://m/d\nSuites: bookworm bookworm-updates bookworm-backports\nComponents: main non-free\nSigned-By:\n key\n .\n more\n\n\nTypes: deb\nURIs: http://n\nSuites: nodistro\nComponents: main\n",
            "Types: deb\nURIs: http://m/d\nSuites: bookworm bookworm-updates\nComponents: main\nSigned-By: \n key\n .\n more\n\n",
        );
        check(
            "a.sources",
            "Enabled: no\nTypes: deb\nURIs: http://m\nSuites: bookworm\nComponents: main\n",
            "",
        );
    }

    #[test]
    fn a_machine_without_a_source_of_its_release_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let missing = Sources::read(directory.path(), "bookworm");
        assert!(matches!(missing, Err(ImageError::NoPackageSource { .. })));
        fs::write(directory.path().join("sources.list"), "deb http://m/d stable main\n").unwrap();
        assert_eq!(Sources::read(directory.path(), "bookworm").unwrap().list, "deb http://m/d stable main\n");
    }
}
