//! `--resolve-image-digests` and `--lock-image-digests`: images by the digests that their registries have for
//! them now.

use crate::{context::Context, failure::CliError};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mesh_compose::Document;
use mesh_oci::{client::Client, error::OciError, reference::Reference, settings::Settings};
use std::{collections::BTreeMap, error::Error as _};

/// Registries asked at once.
const QUESTIONS_AT_ONCE_MAX: usize = 8;

/// Puts a digest into every image of a document.
pub(super) async fn resolve(context: &Context, document: &mut Document) -> Result<(), CliError> {
    let settings = Settings::from_variables(&|name| context.environment.all().get(name).cloned())
        .map_err(|error| CliError::said(error.to_string()))?;
    let client = Client::new(settings);
    let pinned: BTreeMap<String, String> = stream::iter(document.image_references())
        .map(|image| {
            let client = &client;
            async move { pin(client, &image).await.map(|pinned| (image, pinned)) }
        })
        .buffer_unordered(QUESTIONS_AT_ONCE_MAX)
        .try_collect()
        .await?;
    document.replace_images(&pinned);
    Ok(())
}

/// An image in full with its digest. One that has a digest already is known by it alone.
async fn pin(client: &Client, image: &str) -> Result<String, CliError> {
    let reference = Reference::parse(image)
        .map_err(|error| CliError::said(format!("failed to resolve digest for {image}: {error}")))?;
    if let Some(digest) = &reference.digest {
        return Ok(format!("{}@{digest}", reference.full_name()));
    }
    let digest = client.digest(&reference).await.map_err(|error| failed(image, &error))?;
    Ok(format!("{}@{digest}", reference.canonical()))
}

fn failed(image: &str, error: &OciError) -> CliError {
    let mut message = format!("failed to resolve digest for {image}: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        message.push_str(&format!(": {error}"));
        cause = error.source();
    }
    CliError::Said { message, hint: error.hint() }
}
