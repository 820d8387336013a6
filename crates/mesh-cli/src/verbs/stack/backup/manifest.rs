//! What a backup holds: `manifest.json`, and how files are held against it.
//!
//! The manifest has a digest of its own beside it, so that a byte that changed in it is seen too.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Its file.
pub(super) const FILE: &str = "manifest.json";
/// The file with its digest, as `sha256sum` writes and checks it.
pub(super) const DIGEST_FILE: &str = "manifest.json.sha256";
/// What proves that a sealed backup's manifest was written by whoever has its key.
pub(super) const PROOF_FILE: &str = "manifest.json.proof";
/// Version of the format; before it manifests of sealed backups had no proof.
const VERSION: u32 = 3;
/// The first version, which knew volumes and dumps, and no seals.
const VERSION_FIRST: u32 = 1;
/// Largest manifest in bytes.
pub(super) const MANIFEST_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Files of one backup.
pub(super) const FILES_MAX: usize = 1000;

/// A backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    /// Of the format.
    version: u32,
    /// The project it was made of.
    pub(super) project: String,
    /// When it was begun, in milliseconds since 1970.
    pub(super) begun_unix_ms: u64,
    /// The services that were brought up.
    pub(super) services: BTreeSet<String>,
    /// What tells the key by which its files are sealed from others; `None`: they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sealed: Option<String>,
    /// Of which backup the key of its files is; `None`: it is not sealed, or was made before there were ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    /// Its files, by name.
    pub(super) files: BTreeMap<String, Entry>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// What is in it.
    pub(super) content: Content,
    /// Its size.
    pub(super) bytes: u64,
    /// Its digest, in hexadecimal digits.
    pub(super) sha256: String,
}

/// What is in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Content {
    /// What a program of this service wrote, for its counterpart to read.
    Dump {
        /// The service.
        service: String,
    },
    /// The variables that are beside the Compose file (`.env`).
    Environment,
    /// The secrets that were generated for the project, with their values.
    Secrets,
    /// The files of a volume, as a tar stream below one folder.
    Volume {
        /// Its key in the Compose file.
        key: String,
        /// The name of the folder.
        folder: String,
    },
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ManifestError {
    /// It is none.
    #[error("its manifest cannot be read")]
    Malformed(#[source] serde_json::Error),
    /// It is of a later time.
    #[error("its manifest has version {0}, and this is {VERSION}")]
    Version(u32),
    /// It names what cannot be one of its files.
    #[error("its manifest names {0:?}, which cannot be a file of it")]
    Name(String),
    /// It has more files than a backup has.
    #[error("its manifest has more than {FILES_MAX} files")]
    TooMany,
}

impl Manifest {
    /// A manifest without files.
    pub(super) fn new(project: String, begun_unix_ms: u64, services: BTreeSet<String>) -> Self {
        Self {
            version: VERSION,
            project,
            begun_unix_ms,
            services,
            sealed: None,
            id: None,
            files: BTreeMap::new(),
        }
    }

    /// Its text.
    pub(super) fn to_text(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }

    /// From its text, checked: names lead nowhere but into the backup's own folder.
    pub(super) fn parse(text: &[u8]) -> Result<Self, ManifestError> {
        let manifest: Self = serde_json::from_slice(text).map_err(ManifestError::Malformed)?;
        if !(VERSION_FIRST..=VERSION).contains(&manifest.version) {
            return Err(ManifestError::Version(manifest.version));
        }
        if manifest.files.len() > FILES_MAX {
            return Err(ManifestError::TooMany);
        }
        let folders = manifest.files.values().filter_map(|entry| match &entry.content {
            Content::Volume { folder, .. } => Some(folder),
            _ => None,
        });
        match manifest.files.keys().chain(folders).find(|name| !is_part(name)) {
            Some(name) => Err(ManifestError::Name(name.clone())),
            None => Ok(manifest),
        }
    }
}

/// Whether a text is one part of a path, and no special one.
fn is_part(text: &str) -> bool {
    let taken = [".", "..", FILE, DIGEST_FILE, PROOF_FILE].contains(&text);
    !text.is_empty() && !taken && !text.contains(['/', '\0'])
}

/// What was found of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// How a file is, beside what the manifest says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As it was written.
    Same,
    /// It is not there.
    Missing,
    /// It has another size.
    Size { was: u64, is: u64 },
    /// It has its size, and other bytes.
    Content,
}

impl Verdict {
    /// Of a file; `None`: it is not there.
    pub(super) fn of(entry: &Entry, found: Option<&Found>) -> Self {
        match found {
            None => Self::Missing,
            Some(found) if found.bytes != entry.bytes => Self::Size { was: entry.bytes, is: found.bytes },
            Some(found) if found.sha256 != entry.sha256 => Self::Content,
            Some(_) => Self::Same,
        }
    }

    /// In words.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Same => "OK".to_owned(),
            Self::Missing => "is missing".to_owned(),
            Self::Size { was, is } => format!("has {is} bytes, and had {was}"),
            Self::Content => "differs: its digest is another one".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(bytes: u64, sha256: &str) -> Entry {
        let content = Content::Volume { key: "data".to_owned(), folder: "data".to_owned() };
        Entry { content, bytes, sha256: sha256.to_owned() }
    }

    fn manifest(name: &str) -> Manifest {
        let mut manifest = Manifest::new("p".to_owned(), 1, BTreeSet::from(["db".to_owned()]));
        manifest.files.insert(name.to_owned(), entry(3, "ab"));
        manifest
    }

    #[test]
    fn a_manifest_reads_as_it_was_written() {
        let manifest = manifest("data.tar");
        assert_eq!(Manifest::parse(manifest.to_text().unwrap().as_bytes()).unwrap(), manifest);
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        for name in ["../etc", "a/b", "..", ".", "", "manifest.json", "manifest.json.sha256", PROOF_FILE] {
            let text = manifest(name).to_text().unwrap();
            assert!(matches!(Manifest::parse(text.as_bytes()), Err(ManifestError::Name(_))), "{name}");
        }
        let text = manifest("a").to_text().unwrap();
        let later = text.replace("\"version\": 3", "\"version\": 4");
        assert!(matches!(Manifest::parse(later.as_bytes()), Err(ManifestError::Version(4))));
        assert!(Manifest::parse(text.replace("\"version\": 3", "\"version\": 1").as_bytes()).is_ok());
        for broken in ["", "{", "[]", &text.replace("bytes", "octets")] {
            assert!(
                matches!(Manifest::parse(broken.as_bytes()), Err(ManifestError::Malformed(_))),
                "{broken}"
            );
        }
        let mut many = manifest("a");
        many.files = (0..=FILES_MAX).map(|number| (number.to_string(), entry(1, ""))).collect();
        assert!(matches!(Manifest::parse(many.to_text().unwrap().as_bytes()), Err(ManifestError::TooMany)));
    }

    #[test]
    fn files_are_held_against_what_was_written() {
        let check = |found: Option<(u64, &str)>, want: Verdict| {
            let found = found.map(|(bytes, sha256)| Found { bytes, sha256: sha256.to_owned() });
            assert_eq!(Verdict::of(&entry(3, "ab"), found.as_ref()), want);
        };
        check(Some((3, "ab")), Verdict::Same);
        check(Some((3, "ac")), Verdict::Content);
        check(Some((2, "ab")), Verdict::Size { was: 3, is: 2 });
        check(None, Verdict::Missing);
    }
}
