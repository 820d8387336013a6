//! An image from its registry: layers come side by side, and each is unpacked as soon as it is there.

use super::install::{Fetched, canonical, name_key};
use crate::{error::ImageError, index::Entry, lock::Lock, progress::Reporter, store::Inner};
use mesh_model::image::LayerStage;
use mesh_oci::{
    client::{Client, PullEvent, Resolved},
    error::OciError,
    platform::Platform,
    reference::Reference,
};
use std::{
    future::Future,
    path::PathBuf,
    pin::pin,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};
use tokio::runtime::Handle;

/// How often it is looked whether somebody still waits.
const CHECK_EVERY: Duration = Duration::from_millis(100);
/// Time between two tellings of bytes.
const TELL_EVERY: Duration = Duration::from_millis(100);
/// Digits of a layer's digest that name it.
const SHORT_DIGITS: usize = 12;
/// Layers unpacked at a time.
const THREADS_MAX: usize = 4;

impl Inner {
    /// Fetches an image and enters it into the index. What is there of it already is not fetched again.
    pub(crate) fn pull(
        &self,
        client: &Client,
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
        let resolved = wait(client.resolve(reference, platform), reporter, &never)?.map_err(failed)?;
        let layers = resolved.manifest.layers.len();
        let diff_ids = resolved.config.rootfs.diff_ids.len();
        if layers != diff_ids {
            let image = reference.to_string();
            return Err(ImageError::LayerCount { image, named: diff_ids, found: layers });
        }
        self.fetch_and_unpack(client, &resolved, reporter)?;
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

    fn fetch_and_unpack(
        &self,
        client: &Client,
        resolved: &Resolved,
        reporter: &Reporter,
    ) -> Result<(), ImageError> {
        let count = resolved.manifest.layers.len();
        let total = u32::try_from(count).unwrap_or(u32::MAX);
        let (sender, receiver) = mpsc::channel::<(usize, PathBuf)>();
        let (receiver, progress) = (Mutex::new(receiver), &Progress::of(resolved));
        (0..count).for_each(|layer| progress.show(layer, LayerStage::Waiting, reporter));
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
                progress.unpacking(layer, false, reporter);
                if let Err(error) = self.unpack_layer(reporter.reference(), diff_id, &blob, reporter) {
                    stop.store(true, Ordering::Relaxed);
                    return Err(error);
                }
                progress.unpacking(layer, true, reporter);
                let done = unpacked.fetch_add(1, Ordering::Relaxed) + 1;
                if fetched.load(Ordering::Relaxed) {
                    reporter.unpacking(done, total);
                }
            }
        };
        let tell = move |event: PullEvent| match event {
            PullEvent::Done { layer, path } => {
                progress.fetched(layer, reporter);
                // The workers stay until this end is dropped.
                let _ = sender.send((layer, path));
            }
            PullEvent::Layer { layer, done, .. } => progress.tell(layer, done, reporter),
            PullEvent::Present { layer } => progress.finish(layer, reporter),
            PullEvent::Waiting { layer } => {
                progress.show(layer, LayerStage::Waiting, reporter);
                reporter.resolving("another process fetches a layer of it");
            }
        };
        let handle = Handle::current();
        thread::scope(|scope| {
            let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
            let workers: Vec<_> = (0..threads.min(count)).map(|_| scope.spawn(work)).collect();
            let _inside = handle.enter();
            let fetching = client.fetch_layers(resolved, &self.blobs, &|_, _| true, &tell);
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

/// How far each layer is.
struct Progress {
    layers: Mutex<Vec<Layer>>,
    /// When all of it was told last.
    told: Mutex<Option<Instant>>,
    total: u64,
}

/// One layer.
struct Layer {
    /// Its digest, in short.
    name: String,
    size: u64,
    done: u64,
    present: bool,
    told: Option<Instant>,
}

impl Progress {
    fn of(resolved: &Resolved) -> Self {
        let layers = resolved.manifest.layers.iter().map(|layer| {
            let digest = layer.digest.to_string();
            let digits = digest.split_once(':').map_or(digest.as_str(), |(_, digits)| digits);
            let name = digits.chars().take(SHORT_DIGITS).collect();
            Layer { name, size: layer.size, done: 0, present: false, told: None }
        });
        let total = resolved.manifest.layer_bytes();
        Self { layers: Mutex::new(layers.collect()), told: Mutex::new(None), total }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Layer>> {
        self.layers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of a layer came. They come many times a second, and are told a few.
    fn tell(&self, layer: usize, bytes: u64, reporter: &Reporter) {
        let mut layers = self.lock();
        if let Some(known) = layers.get_mut(layer) {
            known.done = bytes;
            if is_due(&mut known.told) {
                reporter.layer(&known.name, LayerStage::Downloading, bytes, known.size);
            }
        }
        self.tell_all(&layers, reporter);
    }

    fn tell_all(&self, layers: &[Layer], reporter: &Reporter) {
        let sum = layers.iter().fold(0_u64, |sum, layer| sum.saturating_add(layer.done));
        if is_due(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner)) || sum >= self.total {
            reporter.downloading(sum, self.total);
        }
    }

    /// A layer was there before.
    fn finish(&self, layer: usize, reporter: &Reporter) {
        let mut layers = self.lock();
        if let Some(known) = layers.get_mut(layer) {
            (known.present, known.done) = (true, known.size);
            reporter.layer(&known.name, LayerStage::Present, known.size, known.size);
        }
        self.tell_all(&layers, reporter);
    }

    /// All of a layer came.
    fn fetched(&self, layer: usize, reporter: &Reporter) {
        if self.lock().get(layer).is_some_and(|known| !known.present) {
            self.show(layer, LayerStage::Downloaded, reporter);
        }
    }

    /// A layer begins to become files, or has become some.
    fn unpacking(&self, layer: usize, done: bool, reporter: &Reporter) {
        if self.lock().get(layer).is_some_and(|known| !known.present) {
            let stage = if done { LayerStage::Complete } else { LayerStage::Extracting };
            self.show(layer, stage, reporter);
        }
    }

    fn show(&self, layer: usize, stage: LayerStage, reporter: &Reporter) {
        if let Some(known) = self.lock().get(layer) {
            reporter.layer(&known.name, stage, known.done, known.size);
        }
    }
}

/// Whether something is to be told again; then it counts as told now.
fn is_due(told: &mut Option<Instant>) -> bool {
    let due = told.is_none_or(|told| told.elapsed() >= TELL_EVERY);
    if due {
        *told = Some(Instant::now());
    }
    due
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
