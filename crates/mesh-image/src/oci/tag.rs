//! Another name for an image of the store.

use super::install::{canonical, name_key, written};
use crate::{error::ImageError, store::Inner};
use mesh_oci::reference::Reference;

impl Inner {
    /// Gives an image, by name or id, another name; whichever image had it before loses it.
    pub(crate) fn tag(&self, image: &str, name: &str) -> Result<(), ImageError> {
        let target = Reference::parse(name)?;
        if target.digest.is_some() {
            return Err(ImageError::DigestAsName { name: name.to_owned() });
        }
        let _fetching = self.fetching()?;
        let found = match self.find_image(image, None) {
            Ok(None) | Err(ImageError::Reference(_)) => self.named_or_begun(image)?.into_iter().next(),
            found => found?,
        };
        let record = found.and_then(|(_, mut entry)| entry.oci.take().map(|record| (entry, record)));
        let Some((mut entry, mut record)) = record else {
            return Err(match self.taken(image)?.is_empty() {
                true => ImageError::NoSuchImage { text: image.to_owned() },
                false => ImageError::StandInTag { text: image.to_owned() },
            });
        };
        let key = name_key(&canonical(&target), &record.platform.to_string());
        record.name = Some(canonical(&target));
        entry.references = [written(&target)].into();
        let manifest = record.manifest.clone();
        entry.oci = Some(record);
        self.index.write(&key, &entry)?;
        self.forget_unnamed(&manifest)
    }
}
