//! Images out of archives into the store, and from the store into archives.

use super::install::Fetched;
use crate::{error::ImageError, progress::Reporter, store::Inner};
use mesh_oci::{
    archive::{self, ArchiveError, Form, Limits, Saved},
    platform::Platform,
    reference::Reference,
};
use std::{
    collections::BTreeMap,
    io::{Read, Write},
};

/// An image that was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Its name; `None`: it has none.
    pub name: Option<String>,
    /// Its id.
    pub id: String,
}

/// An archive that ends with an error once nobody waits for it any more.
struct Watched<'a> {
    source: &'a mut dyn Read,
    reporter: &'a Reporter,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.reporter.check().map_err(std::io::Error::other)?;
        self.source.read(buffer)
    }
}

impl Inner {
    /// Loads every image of an archive that is for a platform, under each of its names.
    pub(crate) fn load(
        &self,
        source: &mut dyn Read,
        platform: Option<&Platform>,
        reporter: &Reporter,
    ) -> Result<Vec<Loaded>, ImageError> {
        let _fetching = self.fetching()?;
        let host = Platform::host();
        let source = &mut Watched { source, reporter };
        let images = archive::read(source, &self.blobs, platform.unwrap_or(&host), &Limits::default())
            .map_err(ImageError::archive)?;
        let mut loaded = Vec::new();
        for image in images {
            let mut fetched = Fetched {
                reference: None,
                manifest_digest: image.manifest_digest,
                index_digest: image.index_digest,
                manifest: image.manifest,
                config: image.config,
            };
            let names: Vec<Option<Reference>> = match image.references.is_empty() {
                true => vec![None],
                false => image.references.into_iter().map(Some).collect(),
            };
            for name in names {
                fetched.reference = name;
                let entry = self.install(&fetched, reporter)?;
                let name = fetched.reference.as_ref().map(super::install::written);
                loaded.push(Loaded { name, id: entry.digest });
            }
        }
        Ok(loaded)
    }

    /// Writes images into an archive, with the names they were asked for by.
    pub(crate) fn save(&self, names: &[String], form: Form, into: &mut dyn Write) -> Result<(), ImageError> {
        let _fetching = self.fetching()?;
        let mut saved: BTreeMap<String, Saved> = BTreeMap::new();
        for name in names {
            let found = match self.find_image(name, None) {
                Ok(None) | Err(ImageError::Reference(_)) => self.named_or_begun(name)?.into_iter().next(),
                found => found?,
            };
            let record = found.and_then(|(_, entry)| entry.oci);
            let Some(record) = record else {
                let is_stand_in = self.taken(name)?.iter().any(|(_, entry, _)| entry.oci.is_none());
                return Err(match is_stand_in {
                    true => ImageError::StandIn { text: name.clone() },
                    false => ImageError::NoSuchImage { text: name.clone() },
                });
            };
            let manifest_digest = record.manifest;
            let image = saved
                .entry(manifest_digest.to_string())
                .or_insert(Saved { references: Vec::new(), manifest_digest });
            if super::find::id(name).is_none()
                && let Ok(reference) = Reference::parse(name)
                && record.name.as_deref() == Some(&super::install::canonical(&reference))
                && !image.references.contains(&reference)
            {
                image.references.push(reference);
            }
        }
        let images: Vec<Saved> = saved.into_values().collect();
        archive::write(into, &images, &self.blobs, form).map_err(ImageError::archive)?;
        // What is still in a buffer would be lost without a word.
        into.flush().map_err(|source| ImageError::archive(ArchiveError::Write(source)))
    }
}
