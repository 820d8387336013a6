//! Turning the references of services into images, side by side, with progress.

use crate::{
    desk::Desk,
    init::service_of,
    outlet::{Outlet, Output},
    words::{self, refusal},
};
use futures_util::{StreamExt, stream};
use mesh_api::message::{ApiError, ErrorKind, ImageStage, Level, Progress};
use mesh_model::{
    image::Image,
    project::{Project, Substitute, WhenNoSource},
    registry::RegistryVariables,
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

impl ImageOverrides {
    /// Those of `pull`: what is stored is fetched `again`, or left as it is.
    pub(crate) fn of_pull(again: bool, substitute: Option<Substitute>) -> Self {
        Self { pull: Some(if again { PullPolicy::Always } else { PullPolicy::Missing }), substitute }
    }
}

/// Images by service. They are held: until this is dropped nobody removes one, and by then the containers that are
/// made of them are there.
#[derive(Debug, Default)]
pub(crate) struct Images {
    pub(crate) by_service: BTreeMap<String, Image>,
    held: Vec<HeldImage>,
}

/// What could be had of the images that were asked for.
#[derive(Debug, Default)]
pub(crate) struct Obtained {
    pub(crate) images: Images,
    /// Services whose image nothing serves and which may be left out, each with the reason.
    pub(crate) left_out: BTreeMap<String, String>,
}

/// One image, wanted by some services.
struct Wanted {
    request: ImageRequest,
    services: Vec<String>,
    /// All of them may be left out.
    dispensable: bool,
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
        let everyone: Vec<String> = chosen.iter().cloned().collect();
        self.obtain(project, chosen, &everyone, overrides, outlet).await.map(|obtained| obtained.images)
    }

    /// The same without the services that may be left out where nothing serves their image. Those `named` may not.
    pub(crate) async fn obtain(
        &self,
        project: &Project,
        chosen: &BTreeSet<String>,
        named: &[String],
        overrides: ImageOverrides,
        outlet: &Outlet,
    ) -> Result<Obtained, ApiError> {
        let wanted = wanted(project, chosen, named, overrides, outlet.registry())?;
        let results: Vec<(Wanted, Result<HeldImage, RuntimeError>)> = stream::iter(wanted)
            .map(|wanted| async move {
                let result = self.image(&wanted, outlet).await;
                (wanted, result)
            })
            .buffer_unordered(IMAGES_AT_ONCE_MAX)
            .collect()
            .await;
        let (mut images, mut errors, mut left_out) = (Images::default(), Vec::new(), BTreeMap::new());
        for (wanted, result) in results {
            match result {
                Ok(held) => {
                    let of = |service| (service, held.image.clone());
                    images.by_service.extend(wanted.services.into_iter().map(of));
                    images.held.push(held);
                }
                Err(error @ RuntimeError::NoImage { .. }) if wanted.dispensable => {
                    let reason = error.to_string();
                    left_out.extend(wanted.services.into_iter().map(|service| (service, reason.clone())));
                }
                Err(error) => {
                    errors.push(words::ground_error(
                        &format!("service {}", wanted.services.join(", ")),
                        &error,
                    ));
                }
            }
        }
        words::together(errors).map(|()| Obtained { images, left_out })
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
        match &result {
            Err(RuntimeError::NoImage { .. }) if wanted.dispensable => tell(ImageStage::LeftOut).await,
            // A refusal to fetch is no failure of fetching.
            Err(_) if wanted.request.pull != PullPolicy::Never => tell(ImageStage::Failed).await,
            _ => {}
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
    named: &[String],
    overrides: ImageOverrides,
    registry: Option<&RegistryVariables>,
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
            registry: registry.cloned(),
        };
        let asked_for = named.iter().any(|asked| asked == name || asked == service_of(name));
        let dispensable = service.when_no_source == WhenNoSource::Skip && !asked_for;
        let alike = |known: &&mut Wanted| known.request == request && known.dispensable == dispensable;
        match wanted.iter_mut().find(alike) {
            Some(known) => known.services.push(name.clone()),
            None => wanted.push(Wanted { request, services: vec![name.clone()], dispensable }),
        }
    }
    Ok(wanted)
}

/// Tells of services that are left out because nothing serves their images.
pub(crate) async fn tell_left_out(project: &Project, left_out: &BTreeMap<String, String>, outlet: &Outlet) {
    if left_out.is_empty() {
        return;
    }
    let image = |name: &String| project.services.get(name).and_then(|service| service.image.clone());
    let told: Vec<String> =
        left_out.keys().map(|name| format!("{name} ({})", image(name).unwrap_or_default())).collect();
    let text = format!(
        "left out, as nothing serves their images: {}. `mesh pull --policy missing SERVICE` or \
         `mesh load` brings an image; the next `mesh up` starts its service",
        told.join(", ")
    );
    outlet.note(Level::Info, text).await;
}
