//! An image from its registry: layers come side by side, and each is unpacked as soon as it is there.

use super::install::{Fetched, canonical, name_key};
use crate::{error::ImageError, index::Entry, lock::Lock, progress::Reporter, store::Inner};
use mesh_oci::{
    client::{PullEvent, Resolved},
    error::OciError,
    platform::Platform,
    reference::Reference,
};
use std::{
    future::Future,
    path::PathBuf,
    pin::pin,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};
use tokio::runtime::Handle;

/// How often it is looked whether somebody still waits.
const CHECK_EVERY: Duration = Duration::from_millis(100);
/// Layers unpacked at a time.
const THREADS_MAX: usize = 4;

impl Inner {
    /// Fetches an image and enters it into the index. What is there of it already is not fetched again.
    pub(crate) fn pull(
        &self,
        reference: &Reference,
        platform: Option<&Platform>,
        reporter: &Reporter,
    ) -> Result<Entry, ImageError> {
        let host = Platform::host();
        let platform = platform.unwrap_or(&host);
        let _fetching = self.fetching()?;
        let _alone = Lock::exclusive(
            &self.lock_path(&format!("image-{}", name_key(&canonical(reference), &platform.to_string()))),
        )?;
        reporter.check()?;
        reporter.resolving(format!("registry {}", reference.registry_name()));
        let failed = |source| pull_error(reporter.reference(), source);
        let never = AtomicBool::new(false);
        let resolved = wait(self.client.resolve(reference, platform), reporter, &never)?.map_err(failed)?;
        let layers = resolved.manifest.layers.len();
        let diff_ids = resolved.config.rootfs.diff_ids.len();
        if layers != diff_ids {
            let image = reference.to_string();
            return Err(ImageError::LayerCount { image, named: diff_ids, found: layers });
        }
        self.fetch_and_unpack(&resolved, reporter)?;
        resolved.keep(&self.blobs).map_err(failed)?;
        let index_digest = resolved.index.is_some().then(|| resolved.digest.clone());
        self.enter(&Fetched {
            reference: Some(reference.clone()),
            manifest_digest: resolved.manifest_digest,
            index_digest,
            manifest: resolved.manifest,
            config: resolved.config,
        })
    }

    fn fetch_and_unpack(&self, resolved: &Resolved, reporter: &Reporter) -> Result<(), ImageError> {
        let count = resolved.manifest.layers.len();
        let total = u32::try_from(count).unwrap_or(u32::MAX);
        let (sender, receiver) = mpsc::channel::<(usize, PathBuf)>();
        let (receiver, progress) = (Mutex::new(receiver), &Progress::of(resolved));
        let (stop, fetched, unpacked) = (AtomicBool::new(false), AtomicBool::new(false), AtomicU32::new(0));
        let work = || -> Result<(), ImageError> {
            loop {
                // The lock is let go before the layer is unpacked.
                let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok((layer, blob)) = next else { return Ok(()) };
                if stop.load(Ordering::Relaxed) {
                    continue;
                }
                let diff_id = &resolved.config.rootfs.diff_ids[layer];
                if let Err(error) = self.unpack_layer(reporter.reference(), diff_id, &blob, reporter) {
                    stop.store(true, Ordering::Relaxed);
                    return Err(error);
                }
                let done = unpacked.fetch_add(1, Ordering::Relaxed) + 1;
                if fetched.load(Ordering::Relaxed) {
                    reporter.unpacking(done, total);
                }
            }
        };
        let tell = move |event: PullEvent| match event {
            PullEvent::Done { layer, path } => {
                // The workers stay until this end is dropped.
                let _ = sender.send((layer, path));
            }
            PullEvent::Layer { layer, done, .. } => progress.tell(layer, done, reporter),
            PullEvent::Present { layer } => progress.finish(layer, reporter),
            PullEvent::Waiting { .. } => reporter.resolving("another process fetches a layer of it"),
        };
        let handle = Handle::current();
        thread::scope(|scope| {
            let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
            let workers: Vec<_> = (0..threads.min(count)).map(|_| scope.spawn(work)).collect();
            let _inside = handle.enter();
            let fetching = self.client.fetch_layers(resolved, &self.blobs, &|_, _| true, &tell);
            let outcome = wait(fetching, reporter, &stop);
            fetched.store(true, Ordering::Relaxed);
            if outcome.as_ref().is_ok_and(Result::is_ok) {
                reporter.unpacking(unpacked.load(Ordering::Relaxed), total);
            } else {
                stop.store(true, Ordering::Relaxed);
            }
            // With it the workers' end: what is queued they still do.
            drop(tell);
            let joined: Vec<_> = workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect();
            // A layer that could not be unpacked is why the download was stopped.
            joined.into_iter().collect::<Result<(), _>>()?;
            outcome?.map_err(|source| pull_error(reporter.reference(), source))
        })
    }
}

/// Bytes of each layer that are there.
struct Progress {
    done: Mutex<Vec<u64>>,
    sizes: Vec<u64>,
    total: u64,
}

impl Progress {
    fn of(resolved: &Resolved) -> Self {
        let sizes: Vec<u64> = resolved.manifest.layers.iter().map(|layer| layer.size).collect();
        Self { done: Mutex::new(vec![0; sizes.len()]), total: resolved.manifest.layer_bytes(), sizes }
    }

    fn tell(&self, layer: usize, bytes: u64, reporter: &Reporter) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = done.get_mut(layer) {
            *known = bytes;
        }
        reporter.downloading(done.iter().fold(0, |sum, bytes| sum.saturating_add(*bytes)), self.total);
    }

    fn finish(&self, layer: usize, reporter: &Reporter) {
        self.tell(layer, self.sizes.get(layer).copied().unwrap_or(0), reporter);
    }
}

/// Waits for what a registry does as long as the caller waits and nothing tells to stop.
fn wait<T>(future: impl Future<Output = T>, reporter: &Reporter, stop: &AtomicBool) -> Result<T, ImageError> {
    Handle::current().block_on(async {
        let mut future = pin!(future);
        let mut look = tokio::time::interval(CHECK_EVERY);
        loop {
            tokio::select! { biased;
                output = &mut future => return Ok(output),
                _ = look.tick() => {
                    reporter.check()?;
                    if stop.load(Ordering::Relaxed) {
                        return Err(ImageError::Cancelled { reference: reporter.reference().to_owned() });
                    }
                }
            }
        }
    })
}

fn pull_error(reference: &str, source: OciError) -> ImageError {
    ImageError::Pull { reference: reference.to_owned(), source: Box::new(source) }
}
