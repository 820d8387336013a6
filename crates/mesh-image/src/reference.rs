//! Image references as Compose files write them: `[registry/]repository[:tag][@digest]`.
//!
//! Only what is needed to find a recipe is taken apart here; a registry client needs more.

/// A reference, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Registry, where one is named and it is not Docker's own.
    pub registry: Option<String>,
    /// Repository without registry and without `library/`: `postgres`, `prom/prometheus`.
    pub repository: String,
    /// Tag, where one is given.
    pub tag: Option<String>,
    /// Digest, where one is given.
    pub digest: Option<String>,
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
    /// A character that does not belong there.
    #[error("image reference {reference:?} has {found:?} in its {part}")]
    Character {
        /// The reference.
        reference: String,
        /// The first character that is wrong.
        found: char,
        /// `repository`, `tag` or `digest`.
        part: &'static str,
    },
    /// A part between two separators is empty.
    #[error("image reference {reference:?} has an empty {part}")]
    EmptyPart {
        /// The reference.
        reference: String,
        /// `repository`, `tag` or `digest`.
        part: &'static str,
    },
}

/// Longest reference accepted.
const REFERENCE_BYTES_MAX: usize = 512;

impl Reference {
    /// Takes a reference apart.
    ///
    /// # Errors
    /// When it is empty, too long, or has characters that no registry allows.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if text.len() > REFERENCE_BYTES_MAX {
            return Err(ReferenceError::TooLong { length: text.len() });
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        // A colon after the last slash starts the tag; one before it belongs to the registry's port.
        let name_start = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest[name_start..].find(':') {
            Some(colon) => (&rest[..name_start + colon], Some(&rest[name_start + colon + 1..])),
            None => (rest, None),
        };
        let (registry, repository) = split_registry(name);
        check(text, "repository", repository, |c| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/".contains(c)
        })?;
        if repository.split('/').any(str::is_empty) {
            return Err(ReferenceError::EmptyPart { reference: text.to_owned(), part: "repository" });
        }
        if let Some(tag) = tag {
            check(text, "tag", tag, |c| c.is_ascii_alphanumeric() || "._-".contains(c))?;
        }
        if let Some(digest) = digest {
            check(text, "digest", digest, |c| c.is_ascii_alphanumeric() || ":+._-".contains(c))?;
        }
        Ok(Self {
            registry: registry.map(str::to_owned),
            repository: repository.strip_prefix("library/").unwrap_or(repository).to_owned(),
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
        })
    }

    /// The number a tag starts with: `16` of `16.4-alpine`.
    #[must_use]
    pub fn tag_major(&self) -> Option<u32> {
        tag_major(self.tag.as_deref()?)
    }
}

/// The number a tag starts with.
pub(crate) fn tag_major(tag: &str) -> Option<u32> {
    let end = tag.find(|c: char| !c.is_ascii_digit()).unwrap_or(tag.len());
    tag[..end].parse().ok()
}

fn split_registry(name: &str) -> (Option<&str>, &str) {
    match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => match first {
            "docker.io" | "index.docker.io" | "registry-1.docker.io" => (None, rest),
            other => (Some(other), rest),
        },
        _ => (None, name),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> String {
        match Reference::parse(text) {
            Ok(r) => format!(
                "{} {} {} {}",
                r.registry.as_deref().unwrap_or("-"),
                r.repository,
                r.tag.as_deref().unwrap_or("-"),
                r.digest.as_deref().unwrap_or("-")
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
            ("quay.io/prometheus/node-exporter:v1.8", "quay.io prometheus/node-exporter v1.8 -"),
            ("localhost:5000/a/b@sha256:ab", "localhost:5000 a/b - sha256:ab"),
            ("a:1@sha256:ab", "- a 1 sha256:ab"),
            ("", "image reference is empty"),
            ("a:", "image reference \"a:\" has an empty tag"),
            ("a//b", "image reference \"a//b\" has an empty repository"),
            ("A", "image reference \"A\" has 'A' in its repository"),
            ("../etc:x y", "image reference \"../etc:x y\" has ' ' in its tag"),
        ] {
            assert_eq!(show(text), expected, "{text}");
        }
        assert!(matches!(Reference::parse(&"a".repeat(513)), Err(ReferenceError::TooLong { length: 513 })));
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
