//! Which source serves an image: the image itself, or packages that stand in for it.
//!
//! - `substitute: always`: packages where a recipe makes it of them, else the image itself.
//! - `missing`: what is stored, the image itself first; else what a registry has; else packages.
//! - `never`: the image itself.
//!
//! A stand-in that is stored is served without asking a registry again, until `pull` or a pull policy
//! asks for it. Packages stand in only where the image cannot be had: one that is there and is broken is
//! an error.

use crate::{
    catalog::catalog,
    error::ImageError,
    progress::{Reporter, Request},
    resolve::label,
    store::Inner,
};
use mesh_model::{image::Image, project::Substitute, service::PullPolicy};
use mesh_oci::{platform::Platform, reference::Reference};

impl Inner {
    pub(crate) fn resolve(&self, request: &Request, reporter: &Reporter) -> Result<Image, ImageError> {
        let reference = self.reference(request)?;
        let has_recipe = reference.as_ref().is_some_and(|reference| catalog().find(reference).is_some());
        if has_recipe && request.substitute == Substitute::Always {
            return self.stand_in(request, reporter);
        }
        let may_stand_in = has_recipe && request.substitute != Substitute::Never;
        let platform = request.platform.as_deref().map(Platform::parse).transpose()?;
        if let Some(image) = self.stored_image(request, platform.as_ref())? {
            reporter.ready(label(&image.source));
            return Ok(image);
        }
        let Some(reference) = reference.filter(|_| request.pull != PullPolicy::Never) else {
            return match may_stand_in {
                true => self.stand_in(request, reporter),
                false => Err(ImageError::NotStored { reference: request.reference.clone() }),
            };
        };
        if may_stand_in
            && matches!(request.pull, PullPolicy::Unset | PullPolicy::Missing | PullPolicy::Build)
            && let Some(image) = self.stored_stand_in(request)?
        {
            reporter.ready(label(&image.source));
            return Ok(image);
        }
        let client = request.client.as_ref().unwrap_or(&self.client);
        match self.pull(client, &reference, platform.as_ref(), reporter) {
            Ok(entry) => {
                let image = self.image(entry, request);
                reporter.ready(label(&image.source));
                Ok(image)
            }
            Err(error) if may_stand_in && error.is_unavailable() => {
                tracing::info!(image = request.reference, reason = %error, "packages stand in for an image");
                self.stand_in(request, reporter)
            }
            Err(error) if request.substitute != Substitute::Never && error.is_unavailable() => {
                Err(error.without_recipe(&reference))
            }
            Err(error) => Err(error),
        }
    }

    /// The reference of a request; `None` where it names an image by its id.
    fn reference(&self, request: &Request) -> Result<Option<Reference>, ImageError> {
        if crate::oci::find::id(&request.reference).is_some() {
            return Ok(None);
        }
        Ok(Some(Reference::parse(&request.reference)?))
    }

    /// The image itself, where it is stored and its pull policy is content with that.
    fn stored_image(
        &self,
        request: &Request,
        platform: Option<&Platform>,
    ) -> Result<Option<Image>, ImageError> {
        if request.pull == PullPolicy::Always && crate::oci::find::id(&request.reference).is_none() {
            return Ok(None);
        }
        let Some((_, entry)) = self.find_image(&request.reference, platform)? else { return Ok(None) };
        if let PullPolicy::Every(age_max) = request.pull {
            let age = crate::resolve::now_seconds().saturating_sub(entry.created);
            if age >= age_max.as_secs() {
                return Ok(None);
            }
        }
        Ok(Some(self.image(entry, request)))
    }
}
