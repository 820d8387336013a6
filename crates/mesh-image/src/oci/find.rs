//! Finding a stored image by what people call it: a name, a name at a digest, an id or its beginning.

use super::install::{canonical, name_key};
use crate::{error::ImageError, index::Entry, store::Inner};
use mesh_oci::{platform::Platform, reference::Reference};

/// Digits of an id: all, and the fewest that are taken for the beginning of one.
const ID_DIGITS: usize = 64;
const ID_DIGITS_MIN: usize = 4;

/// The digits of an id, where the text is a whole one (`sha256:` and 64 digits, or those alone).
pub(crate) fn id(text: &str) -> Option<&str> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    (digits.len() == ID_DIGITS && is_digits(digits)).then_some(digits)
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

impl Inner {
    /// Images of registries and archives in the index, with their keys.
    pub(crate) fn stored_images(&self) -> Result<Vec<(String, Entry)>, ImageError> {
        let mut all = self.index.all_below("oci-")?;
        all.retain(|(_, entry)| entry.oci.is_some());
        Ok(all)
    }

    /// A whole image by its name, its name at a digest, or its id; for a platform, else for this
    /// machine's, else for the one there is.
    pub(crate) fn find_image(
        &self,
        text: &str,
        platform: Option<&Platform>,
    ) -> Result<Option<(String, Entry)>, ImageError> {
        let host = Platform::host();
        if id(text).is_none()
            && let Ok(reference) = Reference::parse(text)
        {
            let key = name_key(&canonical(&reference), &platform.unwrap_or(&host).to_string());
            if let Some(entry) = self.index.read(&key)?
                && self.is_whole(&entry)
            {
                return Ok(Some((key, entry)));
            }
        }
        let mut found = self.named(text)?;
        found.retain(|(_, entry)| self.is_whole(entry));
        let distance = |entry: &Entry| {
            let offered = entry.oci.as_ref().map(|record| &record.platform)?;
            platform.unwrap_or(&host).distance(offered)
        };
        if platform.is_some() {
            found.retain(|(_, entry)| distance(entry).is_some());
        }
        Ok(found.into_iter().min_by_key(|(_, entry)| distance(entry).unwrap_or(u32::MAX)))
    }

    /// Every entry that a text names, whole or not.
    pub(crate) fn named(&self, text: &str) -> Result<Vec<(String, Entry)>, ImageError> {
        let mut all = self.stored_images()?;
        if let Some(digits) = id(text) {
            all.retain(|(_, entry)| has_digest(entry, &format!("sha256:{digits}")));
            return Ok(all);
        }
        let reference = Reference::parse(text)?;
        let name = canonical(&reference);
        let digest = reference.digest.as_ref().map(ToString::to_string);
        all.retain(|(_, entry)| {
            let named = entry.oci.as_ref().and_then(|record| record.name.as_ref());
            let pinned = || {
                let same = named.is_some_and(|named| named.starts_with(&reference.full_name()));
                same && digest.as_ref().is_some_and(|digest| has_digest(entry, digest))
            };
            named.is_some_and(|named| *named == name) || pinned()
        });
        Ok(all)
    }

    /// As [`Inner::named`]; where nothing has that name, what has an id that begins so.
    pub(crate) fn named_or_begun(&self, text: &str) -> Result<Vec<(String, Entry)>, ImageError> {
        let named = self.named(text);
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        if digits.len() < ID_DIGITS_MIN || !is_digits(digits) || named.as_ref().is_ok_and(|it| !it.is_empty())
        {
            return named;
        }
        let mut all = self.stored_images()?;
        all.retain(|(_, entry)| entry.digest.trim_start_matches("sha256:").starts_with(digits));
        match all.iter().all(|(_, entry)| entry.digest == all[0].1.digest) {
            true => Ok(all),
            false => Err(ImageError::SeveralImages { text: text.to_owned() }),
        }
    }

    /// Whether all layers of an image are there.
    pub(crate) fn is_whole(&self, entry: &Entry) -> bool {
        entry.layers.iter().all(|id| self.layers.is_complete(id))
    }
}

/// Whether an image is the one of this digest: its id, its manifest's or its index's.
fn has_digest(entry: &Entry, digest: &str) -> bool {
    entry.digest == digest
        || entry.oci.as_ref().is_some_and(|record| {
            record.manifest.to_string() == digest
                || record.index.as_ref().is_some_and(|index| index.to_string() == digest)
        })
}
