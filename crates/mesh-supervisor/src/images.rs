//! Turning the references of services into images, side by side, with progress.

use crate::{
    desk::Desk,
    outlet::{Outlet, Output},
    words::{self, refusal},
};
use futures_util::{StreamExt, stream};
use mesh_api::message::{ApiError, ErrorKind, ImageStage, Progress};
use mesh_model::{
    image::Image,
    project::{Project, Substitute},
    service::PullPolicy,
};
use mesh_runtime::{
    error::RuntimeError,
    events::FetchProgress,
    request::{HeldImage, ImageRequest},
};
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::mpsc;

/// Images resolved at once.
const IMAGES_AT_ONCE_MAX: usize = 4;
/// Progress messages of one image that wait.
const PROGRESS_MESSAGES_MAX: usize = 64;

/// What a command says over the file.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ImageOverrides {
    pub(crate) pull: Option<PullPolicy>,
    pub(crate) substitute: Option<Substitute>,
}

/// Images by service. They are held: until this is dropped nobody removes one, and by then the containers that are
/// made of them are there.
#[derive(Debug, Default)]
pub(crate) struct Images {
    pub(crate) by_service: BTreeMap<String, Image>,
    held: Vec<HeldImage>,
}

/// One image, wanted by some services.
struct Wanted {
    request: ImageRequest,
    services: Vec<String>,
}

impl Desk {
    /// The images of `chosen`, by service.
    pub(crate) async fn images(
        &self,
        project: &Project,
        chosen: &BTreeSet<String>,
        overrides: ImageOverrides,
        outlet: &Outlet,
    ) -> Result<Images, ApiError> {
        let wanted = wanted(project, chosen, overrides)?;
        let results: Vec<(Wanted, Result<HeldImage, RuntimeError>)> = stream::iter(wanted)
            .map(|wanted| async move {
                let result = self.image(&wanted, outlet).await;
                (wanted, result)
            })
            .buffer_unordered(IMAGES_AT_ONCE_MAX)
            .collect()
            .await;
        let (mut images, mut errors) = (Images::default(), Vec::new());
        for (wanted, result) in results {
            match result {
                Ok(held) => {
                    let of = |service| (service, held.image.clone());
                    images.by_service.extend(wanted.services.into_iter().map(of));
                    images.held.push(held);
                }
                Err(error) => {
                    errors.push(words::ground_error(
                        &format!("service {}", wanted.services.join(", ")),
                        &error,
                    ));
                }
            }
        }
        words::together(errors).map(|()| images)
    }

    async fn image(&self, wanted: &Wanted, outlet: &Outlet) -> Result<HeldImage, RuntimeError> {
        let (sender, mut receiver) = mpsc::channel(PROGRESS_MESSAGES_MAX);
        let tell = |stage| {
            let reference = wanted.request.reference.clone();
            outlet.send(Output::Progress(Progress::Image {
                reference,
                services: wanted.services.clone(),
                stage,
            }))
        };
        let forward = async {
            while let Some(progress) = receiver.recv().await {
                if let Some(stage) = stage(progress) {
                    tell(stage).await;
                }
            }
        };
        let resolve = self.runtime.image(wanted.request.clone(), sender);
        let (result, ()) = tokio::join!(resolve, forward);
        // A refusal to fetch is no failure of fetching.
        if result.is_err() && wanted.request.pull != PullPolicy::Never {
            tell(ImageStage::Failed).await;
        }
        let held = result?;
        tell(ImageStage::Ready { source: words::source(&held.image) }).await;
        Ok(held)
    }
}

fn stage(progress: FetchProgress) -> Option<ImageStage> {
    match progress {
        FetchProgress::Resolving { detail, .. } => Some(ImageStage::Resolving { detail }),
        FetchProgress::Downloading { bytes, bytes_total, .. } => {
            Some(ImageStage::Downloading { bytes, bytes_total })
        }
        FetchProgress::Layer { layer, step, bytes, bytes_total, .. } => {
            Some(ImageStage::Layer { layer, step, bytes, bytes_total })
        }
        FetchProgress::Unpacking { done, total, .. } => Some(ImageStage::Unpacking { done, total }),
        // Told with the image itself, so that the words are the same everywhere.
        FetchProgress::Ready { .. } => None,
    }
}

fn wanted(
    project: &Project,
    chosen: &BTreeSet<String>,
    overrides: ImageOverrides,
) -> Result<Vec<Wanted>, ApiError> {
    let mut wanted: Vec<Wanted> = Vec::new();
    for name in chosen {
        let Some(service) = project.services.get(name) else { continue };
        let Some(reference) = service.image.clone() else {
            return Err(ApiError {
                hint: Some("give the service an image; Mesh does not build any".to_owned()),
                ..refusal(ErrorKind::Image, format!("service {name} has no image"))
            });
        };
        let substitute = overrides.substitute.or(service.substitute).or(project.substitute);
        let request = ImageRequest {
            reference,
            pull: overrides.pull.unwrap_or(service.pull_policy),
            substitute: substitute.unwrap_or_default(),
            platform: service.platform.clone(),
        };
        match wanted.iter_mut().find(|known| known.request == request) {
            Some(known) => known.services.push(name.clone()),
            None => wanted.push(Wanted { request, services: vec![name.clone()] }),
        }
    }
    Ok(wanted)
}
