//! The client against registries that lie, break off, refuse, wander and fall silent. All of it on the
//! loopback, with servers of the tests' own.

#![allow(clippy::unwrap_used, reason = "a test's own steps")]

mod access;
mod image;
mod reach;
mod server;
mod transfer;
mod ways;

use image::Image;
use mesh_oci::{
    blobs::BlobDirectory,
    client::{Client, PullEvent, Pulled},
    error::OciError,
    manifest::Platform,
    reference::Reference,
    settings::Settings,
};
use server::{Reply, Request, Server};
use std::{error::Error, sync::Mutex, time::Duration};
use tempfile::TempDir;

/// Settings in which nothing is waited for longer than a test may take.
fn quick() -> Settings {
    Settings {
        certificates: Vec::new(),
        first_answer: Duration::from_secs(5),
        answer: Duration::from_secs(5),
        stalled: Duration::from_millis(400),
        backoff: Duration::from_millis(1),
        ..Settings::default()
    }
}

/// A server, and where what is pulled from it goes.
struct Bed {
    server: Server,
    folder: TempDir,
    client: Client,
}

impl Bed {
    async fn new(handler: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::with(quick(), handler).await
    }

    async fn with(
        settings: Settings,
        handler: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let server = Server::start(handler).await;
        Self { server, folder: tempfile::tempdir().unwrap(), client: Client::new(settings) }
    }

    fn reference(&self, rest: &str) -> Reference {
        Reference::parse(&format!("{}/{rest}", self.server.address)).unwrap()
    }

    fn blobs(&self) -> BlobDirectory {
        BlobDirectory::new(self.folder.path().join("blobs"))
    }

    async fn pull(&self) -> Result<Pulled, OciError> {
        self.pull_with(&|_| {}).await
    }

    async fn pull_with(&self, tell: &(dyn Fn(PullEvent) + Send + Sync)) -> Result<Pulled, OciError> {
        self.client.pull_image(&self.reference("team/app:1"), &Platform::host(), &self.blobs(), tell).await
    }

    /// Pulls and expects a failure whose text, with all its causes, has this in it.
    async fn fails(&self, expected: &str) -> OciError {
        let error = self.pull().await.unwrap_err();
        let told = chain(&error);
        assert!(told.contains(expected), "{told:?} does not say {expected:?}");
        error
    }

    /// Whether every layer is there with its content.
    fn has(&self, image: &Image) -> bool {
        let same = |layer: &Vec<u8>| {
            let digest = mesh_oci::digest::Digest::of(layer);
            std::fs::read(self.blobs().path(&digest)).is_ok_and(|bytes| bytes == *layer)
        };
        image.layers.iter().all(same)
    }
}

/// An error with all its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn an_image_is_pulled_once() {
    let image = Image::of(&[100_000, 300_000, 100_000]);
    let (own, expected) = (image.clone(), image.clone());
    let bed = Bed::new(move |request, _| own.answer(request)).await;
    let told = Mutex::new(Vec::new());
    let pulled = bed.pull_with(&|event| told.lock().unwrap().push(event)).await.unwrap();
    assert!(bed.has(&expected));
    assert_eq!(pulled.resolved.digest, expected.digest());
    assert_eq!(pulled.resolved.config.config.cmd, ["serve"]);
    assert_eq!(pulled.layers.len(), 3);
    for layer in 0..3 {
        let done = |event: &PullEvent| matches!(event, PullEvent::Done { layer: l, .. } if *l == layer);
        assert!(told.lock().unwrap().iter().any(done), "layer {layer} was not told");
    }
    let last = |event: &PullEvent| matches!(event, PullEvent::Layer { done: 300_000, total: 300_000, .. });
    assert!(told.lock().unwrap().iter().any(last), "progress reaches its end");
    let before = bed.server.seen().len();
    bed.pull().await.unwrap();
    let after = bed.server.seen();
    // Manifest and config are asked for again, layers are not.
    assert_eq!(after.len(), before + 2, "{after:?}");
    assert_eq!(bed.client.digest(&bed.reference("team/app:1")).await.unwrap(), expected.digest());
    assert_eq!(bed.server.seen().last().unwrap().method, "HEAD");
}

#[tokio::test]
async fn two_pulls_at_once_fetch_each_layer_once() {
    let image = Image::of(&[200_000, 50_000]);
    let (own, expected) = (image.clone(), image.clone());
    let bed = Bed::new(move |request, _| own.answer(request)).await;
    let other = Client::new(quick());
    let (reference, platform, blobs) = (bed.reference("team/app:1"), Platform::host(), bed.blobs());
    let (one, two) = tokio::join!(bed.pull(), other.pull_image(&reference, &platform, &blobs, &|_| {}));
    one.unwrap();
    two.unwrap();
    assert!(bed.has(&expected));
    for layer in &expected.manifest.layers {
        assert_eq!(bed.server.count(&layer.digest.to_string()), 1);
    }
    let folder = bed.blobs().path(&expected.digest()).parent().unwrap().to_owned();
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(!name.to_string_lossy().contains("partial"), "{name:?} is left");
    }
}
