//! Image references: `[registry/]repository[:tag][@digest]`, by the rules of Docker's own parser.
//!
//! `redis`, `library/redis` and `docker.io/library/redis` are one image; they become the same
//! [`Reference`]. Case, lengths and separators are checked, so that a repository or tag can stand in a
//! request's path as it is.

use crate::digest::{Digest, DigestError};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr};

/// A reference, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    /// Registry (`ghcr.io`, `localhost:5000`), where it is not Docker's own.
    pub registry: Option<String>,
    /// Repository without registry and, on Docker's own, without `library/`: `postgres`, `prom/prometheus`.
    pub repository: String,
    /// Tag, where one is given.
    pub tag: Option<String>,
    /// Digest, where one is given.
    pub digest: Option<Digest>,
}

/// Why a text is no reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing there.
    #[error("image reference is empty")]
    Empty,
    /// Longer than any registry allows.
    #[error("image reference has {length} bytes, more than {REFERENCE_BYTES_MAX}")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// A part is longer than registries allow.
    #[error("image reference {reference:?} has a {part} of {length} bytes, more than {limit}")]
    PartTooLong {
        /// The reference.
        reference: String,
        /// `repository` or `tag`.
        part: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The longest that is allowed.
        limit: usize,
    },
    /// A character that does not belong there.
    #[error("image reference {reference:?} has {found:?} in its {part}")]
    Character {
        /// The reference.
        reference: String,
        /// The first character that is wrong.
        found: char,
        /// `registry`, `repository` or `tag`.
        part: &'static str,
    },
    /// A part between two separators is empty.
    #[error("image reference {reference:?} has an empty {part}")]
    EmptyPart {
        /// The reference.
        reference: String,
        /// `registry`, `repository`, `tag` or `digest`.
        part: &'static str,
    },
    /// Separators where letters should be: `a..b`, `-a`.
    #[error(
        "image reference {reference:?}: {component:?} in its repository has a separator where a letter or a digit belongs"
    )]
    Separator {
        /// The reference.
        reference: String,
        /// The part between two slashes.
        component: String,
    },
    /// Something behind the `@` that is no digest.
    #[error("image reference {reference:?} has no digest behind its @")]
    Digest {
        /// The reference.
        reference: String,
        /// What is wrong with it.
        #[source]
        source: DigestError,
    },
}

/// Longest reference accepted, in bytes.
const REFERENCE_BYTES_MAX: usize = 512;
/// Longest registry and repository together, in bytes; as the distribution's own parser has it.
const NAME_BYTES_MAX: usize = 255;
/// Longest tag, in bytes.
const TAG_BYTES_MAX: usize = 128;

/// The name by which Docker's own registry goes in references.
pub const DOCKER_REGISTRY: &str = "docker.io";

impl Reference {
    /// Takes a reference apart.
    ///
    /// # Errors
    /// When it is empty, too long, or has something that no registry allows.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if text.len() > REFERENCE_BYTES_MAX {
            return Err(ReferenceError::TooLong { length: text.len() });
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(read_digest(text, digest)?)),
            None => (text, None),
        };
        // A colon after the last slash starts the tag; one before it belongs to the registry's port.
        let name_start = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest[name_start..].find(':') {
            Some(colon) => (&rest[..name_start + colon], Some(&rest[name_start + colon + 1..])),
            None => (rest, None),
        };
        let (registry, repository) = split_registry(name);
        if let Some(registry) = registry {
            check_registry(text, registry)?;
        }
        check_repository(text, repository)?;
        bounded(text, "repository", name, NAME_BYTES_MAX)?;
        if let Some(tag) = tag {
            check_tag(text, tag)?;
        }
        let repository = match registry {
            None => repository.strip_prefix("library/").unwrap_or(repository),
            Some(_) => repository,
        };
        Ok(Self {
            registry: registry.map(str::to_owned),
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            digest,
        })
    }

    /// The registry's name: `docker.io` where none is given.
    #[must_use]
    pub fn registry_name(&self) -> &str {
        self.registry.as_deref().unwrap_or(DOCKER_REGISTRY)
    }

    /// The repository as the registry knows it: with `library/` for Docker's own official images.
    #[must_use]
    pub fn path(&self) -> String {
        if self.registry.is_none() && !self.repository.contains('/') {
            format!("library/{}", self.repository)
        } else {
            self.repository.clone()
        }
    }

    /// What the manifest is asked by: the digest, else the tag, else `latest`.
    #[must_use]
    pub fn version(&self) -> String {
        match &self.digest {
            Some(digest) => digest.to_string(),
            None => self.tag_or_latest().to_owned(),
        }
    }

    /// The tag, or `latest` where none is given.
    #[must_use]
    pub fn tag_or_latest(&self) -> &str {
        self.tag.as_deref().unwrap_or("latest")
    }

    /// The number a tag starts with: `16` of `16.4-alpine`.
    #[must_use]
    pub fn tag_major(&self) -> Option<u32> {
        tag_major(self.tag.as_deref()?)
    }

    /// Registry and path in full, without tag and digest: `docker.io/library/redis`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.registry_name(), self.path())
    }

    /// All of it in full, the tag written out: `docker.io/library/redis:latest`.
    #[must_use]
    pub fn canonical(&self) -> String {
        let mut text = self.full_name();
        if self.tag.is_some() || self.digest.is_none() {
            text = format!("{text}:{}", self.tag_or_latest());
        }
        if let Some(digest) = &self.digest {
            text = format!("{text}@{digest}");
        }
        text
    }

    /// Name and tag as people write them, without the digest: `redis:latest`, `ghcr.io/a/b:1`.
    #[must_use]
    pub fn familiar(&self) -> String {
        format!("{}:{}", self.familiar_name(), self.tag_or_latest())
    }

    /// The name as people write it: `redis`, `ghcr.io/a/b`.
    #[must_use]
    pub fn familiar_name(&self) -> String {
        match &self.registry {
            Some(registry) => format!("{registry}/{}", self.repository),
            None => self.repository.clone(),
        }
    }

    /// The same repository at a digest.
    #[must_use]
    pub fn at(&self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }
}

/// As people write it, with what was given: `redis:7`, `ghcr.io/a/b@sha256:…`.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.familiar_name())?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::parse(text)
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// The number a tag starts with.
#[must_use]
pub fn tag_major(tag: &str) -> Option<u32> {
    let end = tag.find(|c: char| !c.is_ascii_digit()).unwrap_or(tag.len());
    tag[..end].parse().ok()
}

/// The first part is a registry when it has a dot or a colon, is `localhost`, or has capitals (no
/// repository has): the rule of Docker's own parser.
fn split_registry(name: &str) -> (Option<&str>, &str) {
    let looks_like_one = |first: &str| {
        first.contains(['.', ':'])
            || first == "localhost"
            || first.bytes().any(|byte| byte.is_ascii_uppercase())
    };
    match name.split_once('/') {
        Some((first, rest)) if looks_like_one(first) => match first {
            DOCKER_REGISTRY | "index.docker.io" | "registry-1.docker.io" => (None, rest),
            other => (Some(other), rest),
        },
        _ => (None, name),
    }
}

fn check_registry(reference: &str, registry: &str) -> Result<(), ReferenceError> {
    let (host, port) = match registry.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => (address, port.strip_prefix(':').or(port.is_empty().then_some("0"))),
            None => (rest, None),
        },
        None => match registry.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (registry, Some("0")),
        },
    };
    let address = registry.starts_with('[');
    check(reference, "registry", host, |c| {
        if address {
            c.is_ascii_hexdigit() || c == ':' || c == '.'
        } else {
            c.is_ascii_alphanumeric() || c == '.' || c == '-'
        }
    })?;
    if !address
        && host.split('.').any(|label| label.is_empty() || label.starts_with('-') || label.ends_with('-'))
    {
        return Err(ReferenceError::EmptyPart { reference: reference.to_owned(), part: "registry" });
    }
    match port {
        Some(port) if !port.is_empty() => {
            check(reference, "registry", port, |c| c.is_ascii_digit())?;
            match port.parse::<u16>() {
                Ok(_) => Ok(()),
                Err(_) => bounded(reference, "registry", port, 5).and(Err(ReferenceError::Character {
                    reference: reference.to_owned(),
                    found: ':',
                    part: "registry",
                })),
            }
        }
        _ => Err(ReferenceError::EmptyPart { reference: reference.to_owned(), part: "registry" }),
    }
}

fn check_repository(reference: &str, repository: &str) -> Result<(), ReferenceError> {
    check(reference, "repository", repository, |c| {
        c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/".contains(c)
    })?;
    for component in repository.split('/') {
        if component.is_empty() {
            return Err(ReferenceError::EmptyPart { reference: reference.to_owned(), part: "repository" });
        }
        if !separators_stand_between(component) {
            return Err(ReferenceError::Separator {
                reference: reference.to_owned(),
                component: component.to_owned(),
            });
        }
    }
    Ok(())
}

/// Between letters and digits stands one dot, one or two underscores, or any number of dashes.
fn separators_stand_between(component: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    component.starts_with(is_word)
        && component.ends_with(is_word)
        && component.split(is_word).all(|between| {
            matches!(between, "" | "." | "_" | "__") || between.bytes().all(|byte| byte == b'-')
        })
}

fn check_tag(reference: &str, tag: &str) -> Result<(), ReferenceError> {
    check(reference, "tag", tag, |c| c.is_ascii_alphanumeric() || "._-".contains(c))?;
    if let Some(found) = tag.chars().next().filter(|c| ".-".contains(*c)) {
        return Err(ReferenceError::Character { reference: reference.to_owned(), found, part: "tag" });
    }
    bounded(reference, "tag", tag, TAG_BYTES_MAX)
}

fn read_digest(reference: &str, digest: &str) -> Result<Digest, ReferenceError> {
    if digest.is_empty() {
        return Err(ReferenceError::EmptyPart { reference: reference.to_owned(), part: "digest" });
    }
    Digest::parse(digest).map_err(|source| ReferenceError::Digest { reference: reference.to_owned(), source })
}

fn check(
    reference: &str,
    part: &'static str,
    value: &str,
    allowed: impl Fn(char) -> bool,
) -> Result<(), ReferenceError> {
    if value.is_empty() {
        return Err(ReferenceError::EmptyPart { reference: reference.to_owned(), part });
    }
    match value.chars().find(|&c| !allowed(c)) {
        Some(found) => Err(ReferenceError::Character { reference: reference.to_owned(), found, part }),
        None => Ok(()),
    }
}

fn bounded(reference: &str, part: &'static str, value: &str, limit: usize) -> Result<(), ReferenceError> {
    match value.len() {
        length if length > limit => {
            Err(ReferenceError::PartTooLong { reference: reference.to_owned(), part, length, limit })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn show(text: &str) -> String {
        match Reference::parse(text) {
            Ok(r) => format!(
                "{} {} {} {}",
                r.registry.as_deref().unwrap_or("-"),
                r.repository,
                r.tag.as_deref().unwrap_or("-"),
                r.digest.map_or("-".to_owned(), |digest| digest.hex()[..4].to_owned())
            ),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn references_are_taken_apart() {
        for (text, expected) in [
            ("postgres", "- postgres - -"),
            ("library/postgres:16.4", "- postgres 16.4 -"),
            ("docker.io/library/postgres:16-alpine", "- postgres 16-alpine -"),
            ("docker.io/postgres", "- postgres - -"),
            ("quay.io/prometheus/node-exporter:v1.8", "quay.io prometheus/node-exporter v1.8 -"),
            ("quay.io/library/x", "quay.io library/x - -"),
            ("localhost/x", "localhost x - -"),
            ("localhost:5000/x:tag", "localhost:5000 x tag -"),
            ("127.0.0.1:5000/a/b", "127.0.0.1:5000 a/b - -"),
            ("[::1]:5000/a", "[::1]:5000 a - -"),
            ("Registry/a", "Registry a - -"),
            ("x/a__b--c.d/e", "- x/a__b--c.d/e - -"),
            (&format!("localhost:5000/a/b@{DIGEST}"), "localhost:5000 a/b - e3b0"),
            (&format!("a:1@{DIGEST}"), "- a 1 e3b0"),
            ("", "image reference is empty"),
            ("a:", "image reference \"a:\" has an empty tag"),
            ("a@", "image reference \"a@\" has an empty digest"),
            ("a@sha256:ab", "image reference \"a@sha256:ab\" has no digest behind its @"),
            ("a//b", "image reference \"a//b\" has an empty repository"),
            ("A", "image reference \"A\" has 'A' in its repository"),
            ("a:-b", "image reference \"a:-b\" has '-' in its tag"),
            ("../etc:x y", "image reference \"../etc:x y\" has an empty registry"),
            (
                "x/../etc",
                "image reference \"x/../etc\": \"..\" in its repository has a separator where a letter or a digit belongs",
            ),
            (
                "a___b",
                "image reference \"a___b\": \"a___b\" in its repository has a separator where a letter or a digit belongs",
            ),
            ("host:99999/a", "image reference \"host:99999/a\" has ':' in its registry"),
            ("host:/a", "image reference \"host:/a\" has an empty registry"),
            ("ho st.x/a", "image reference \"ho st.x/a\" has ' ' in its registry"),
        ] {
            assert_eq!(show(text), expected, "{text}");
        }
        assert!(matches!(Reference::parse(&"a".repeat(513)), Err(ReferenceError::TooLong { length: 513 })));
        assert!(matches!(Reference::parse(&"a".repeat(256)), Err(ReferenceError::PartTooLong { .. })));
        assert!(Reference::parse(&format!("a:{}", "t".repeat(128))).is_ok());
        assert!(Reference::parse(&format!("a:{}", "t".repeat(129))).is_err());
    }

    #[test]
    fn a_reference_is_written_in_full_and_as_people_do() {
        for (text, full, familiar) in [
            ("redis", "docker.io/library/redis:latest", "redis:latest"),
            ("prom/prometheus:v2", "docker.io/prom/prometheus:v2", "prom/prometheus:v2"),
            ("ghcr.io/a/b", "ghcr.io/a/b:latest", "ghcr.io/a/b:latest"),
        ] {
            let reference = Reference::parse(text).unwrap();
            assert_eq!((reference.canonical().as_str(), reference.familiar().as_str()), (full, familiar));
            assert_eq!(reference.to_string(), text);
            assert_eq!(Reference::parse(full).unwrap().canonical(), full);
        }
        let pinned = Reference::parse(&format!("redis:7@{DIGEST}")).unwrap();
        assert_eq!(pinned.version(), DIGEST);
        assert_eq!(pinned.canonical(), format!("docker.io/library/redis:7@{DIGEST}"));
    }

    #[test]
    fn a_tag_gives_its_major() {
        for (text, expected) in
            [("p:16.4", Some(16)), ("p:v1.8", None), ("p", None), ("p:3-management", Some(3))]
        {
            assert_eq!(Reference::parse(text).unwrap().tag_major(), expected, "{text}");
        }
    }
}
