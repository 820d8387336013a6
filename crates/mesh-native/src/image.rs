//! Images, in the terms of the runtime.

use crate::{fault, ground::Ground};
use mesh_image::{ImageError, ImageStore, Progress, Request, Settings};
use mesh_runtime::{
    error::RuntimeError,
    events::FetchProgress,
    request::{HeldImage, ImageRequest},
};
use std::path::PathBuf;
use tokio::sync::mpsc;

/// Messages of progress that wait for their reader; the next one says more, so a full queue loses none
/// that matters.
const PROGRESS_MAX: usize = 64;

/// Opens the store of images. Blocking.
pub(crate) fn open(
    directory: PathBuf,
    registry: mesh_oci::settings::Settings,
) -> Result<ImageStore, RuntimeError> {
    let settings = Settings { registry, ..Settings::new(directory.clone()) };
    ImageStore::open(settings).map_err(|error| match error {
        ImageError::DiskFull { path } => RuntimeError::DiskFull { path },
        error => RuntimeError::Setup {
            step: format!("open the images in {}", directory.display()),
            reason: fault::chain(&error),
        },
    })
}

/// Resolves a reference, passing progress on while it lasts.
pub(crate) async fn resolve(
    ground: &Ground,
    request: ImageRequest,
    progress: mpsc::Sender<FetchProgress>,
) -> Result<HeldImage, RuntimeError> {
    let ImageRequest { reference, pull, substitute, platform, registry } = request;
    let client = registry.as_ref().map(|variables| ground.registries.client(variables)).transpose()?;
    let request = Request { reference, pull, substitute, platform, client };
    let (sender, mut receiver) = mpsc::channel(PROGRESS_MAX);
    let resolving = async { ground.images.resolve_and_hold(&request, sender).await };
    let passing = async {
        while let Some(message) = receiver.recv().await {
            // The reader may be behind or gone.
            let _ = progress.try_send(told(message));
        }
    };
    let (resolved, ()) = tokio::join!(resolving, passing);
    let resolved = resolved.map_err(|error| failed(&request.reference, error));
    resolved.map(|(image, lease)| HeldImage::new(image, lease))
}

fn told(progress: Progress) -> FetchProgress {
    match progress {
        Progress::Resolving { reference, detail } => FetchProgress::Resolving { reference, detail },
        Progress::Downloading { reference, bytes, bytes_total } => {
            FetchProgress::Downloading { reference, bytes, bytes_total }
        }
        Progress::Layer { reference, layer, stage: step, bytes, bytes_total } => {
            FetchProgress::Layer { reference, layer, step, bytes, bytes_total }
        }
        Progress::Unpacking { reference, done, total } => FetchProgress::Unpacking { reference, done, total },
        Progress::Ready { reference, source } => FetchProgress::Ready { reference, source },
    }
}

fn failed(reference: &str, error: ImageError) -> RuntimeError {
    let hint = error.hint();
    let no_image = |reason: String| RuntimeError::NoImage {
        reference: reference.to_owned(),
        reason,
        hint: hint.clone(),
    };
    match error {
        ImageError::DiskFull { path } => RuntimeError::DiskFull { path },
        ImageError::NoSource { tried, .. } => no_image(tried),
        ImageError::Reference(_)
        | ImageError::Recipe { .. }
        | ImageError::NotStored { .. }
        | ImageError::NoPackage { .. }
        | ImageError::NoCodename { .. } => no_image(fault::chain(&error)),
        error => RuntimeError::Fetch { what: reference.to_owned(), reason: fault::chain(&error), hint },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_keep_their_kind() {
        let full = ImageError::DiskFull { path: "/x".into() };
        assert!(matches!(failed("a", full), RuntimeError::DiskFull { .. }));
        let none =
            ImageError::NoSource { reference: "a".to_owned(), tried: "t".to_owned(), hint: "h".to_owned() };
        let RuntimeError::NoImage { reason, hint, .. } = failed("a", none) else { panic!("another kind") };
        assert_eq!((reason.as_str(), hint.as_deref()), ("t", Some("h")));
        let download = ImageError::Download { reference: "a".to_owned(), detail: "d".to_owned() };
        assert!(matches!(failed("a", download), RuntimeError::Fetch { .. }));
    }
}
