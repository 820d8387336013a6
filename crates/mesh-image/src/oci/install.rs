//! From blobs to an image of the store: each layer unpacked once and shared, and an entry of the index.

use super::{
    execution,
    mend::{self, Laid},
    root::Abilities,
    unpack,
};
use crate::{
    catalog::catalog,
    error::ImageError,
    index::{Entry, OciRecord},
    layer::{FORMAT, Manifest, OciLayer},
    progress::Reporter,
    resolve::{hex, now_seconds},
    store::Inner,
};
use mesh_model::image::Source;
use mesh_oci::{
    config::ImageConfig, digest::Digest, manifest::Manifest as ImageManifest, reference::Reference,
};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, AtomicUsize, Ordering},
    thread,
};

/// Layers unpacked at a time.
const THREADS_MAX: usize = 4;
/// Most bytes of a file of an image that is read.
const READ_BYTES_MAX: u64 = 1 << 20;
/// Letters of a layer's name. Overlay options have one page for all of an image's paths, and images have
/// a hundred layers; the whole digest is in the layer's manifest.
const NAME_LETTERS: usize = 24;

/// An image whose blobs are all there.
#[derive(Debug, Clone)]
pub(crate) struct Fetched {
    /// Its name; `None`: it is known by its digests alone.
    pub(crate) reference: Option<Reference>,
    pub(crate) manifest_digest: Digest,
    /// Digest of the index it was chosen from.
    pub(crate) index_digest: Option<Digest>,
    pub(crate) manifest: ImageManifest,
    pub(crate) config: ImageConfig,
}

impl Fetched {
    /// A name that its layers' messages have.
    fn shown(&self) -> String {
        self.reference.as_ref().map_or_else(|| self.manifest_digest.to_string(), Reference::to_string)
    }
}

impl Inner {
    pub(crate) fn abilities(&self) -> Abilities {
        Abilities { owners_kept: self.owners_kept, trusted: self.trusted }
    }

    /// Unpacks what is missing of an image and enters it into the index; gives its entry.
    pub(crate) fn install(&self, fetched: &Fetched, reporter: &Reporter) -> Result<Entry, ImageError> {
        let diff_ids = &fetched.config.rootfs.diff_ids;
        let descriptors = &fetched.manifest.layers;
        if diff_ids.len() != descriptors.len() {
            return Err(ImageError::LayerCount {
                image: fetched.shown(),
                named: diff_ids.len(),
                found: descriptors.len(),
            });
        }
        let pairs: Vec<(&Digest, PathBuf)> =
            diff_ids.iter().zip(descriptors).map(|(id, it)| (id, self.blobs.path(&it.digest))).collect();
        self.unpack_all(&fetched.shown(), &pairs, reporter)?;
        self.enter(fetched)
    }

    /// Enters an image whose layers are unpacked into the index.
    pub(crate) fn enter(&self, fetched: &Fetched) -> Result<Entry, ImageError> {
        let layers = self.stacked(&fetched.config.rootfs.diff_ids)?;
        let entry = self.entry(fetched, layers);
        self.index.write(&entry_key(fetched), &entry)?;
        if fetched.reference.is_some() {
            self.forget_unnamed(&fetched.manifest_digest)?;
        }
        Ok(entry)
    }

    /// Unpacks layers side by side.
    fn unpack_all(
        &self,
        image: &str,
        layers: &[(&Digest, PathBuf)],
        reporter: &Reporter,
    ) -> Result<(), ImageError> {
        let total = u32::try_from(layers.len()).unwrap_or(u32::MAX);
        let (next, done) = (AtomicUsize::new(0), AtomicU32::new(0));
        let work = || -> Result<(), ImageError> {
            while let Some((diff_id, blob)) = layers.get(next.fetch_add(1, Ordering::Relaxed)) {
                reporter.check()?;
                if let Err(error) = self.unpack_layer(image, diff_id, blob, reporter) {
                    // The others need not begin.
                    next.store(layers.len(), Ordering::Relaxed);
                    return Err(error);
                }
                reporter.unpacking(done.fetch_add(1, Ordering::Relaxed) + 1, total);
            }
            Ok(())
        };
        let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
        thread::scope(|scope| {
            let workers: Vec<_> = (0..threads.min(layers.len())).map(|_| scope.spawn(work)).collect();
            let outcomes = workers.into_iter().map(|worker| match worker.join() {
                Ok(outcome) => outcome,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            // Every worker is waited for before the first failure is returned.
            outcomes.collect::<Vec<_>>().into_iter().collect()
        })
    }

    /// Unpacks one layer from its blob unless it is there.
    pub(crate) fn unpack_layer(
        &self,
        image: &str,
        diff_id: &Digest,
        blob: &Path,
        reporter: &Reporter,
    ) -> Result<(), ImageError> {
        self.layers.build(&self.oci_layer(diff_id), |files| {
            let source = File::open(blob).map_err(|source| ImageError::io("open", blob, source))?;
            let go_on = || reporter.check().is_ok();
            let unpacked = unpack::unpack(source, diff_id, files, self.abilities(), &go_on)
                .map_err(|source| ImageError::layer(image, diff_id, reporter, source))?;
            let known = unpacked.implicit.iter().filter_map(|path| path.to_str());
            Ok(Manifest {
                format: FORMAT,
                owners_kept: self.owners_kept,
                packages: Vec::new(),
                bytes: unpacked.bytes,
                oci: Some(OciLayer {
                    diff_id: diff_id.clone(),
                    hides_all: unpacked.hides_all,
                    implicit: known.map(str::to_owned).collect(),
                }),
            })
        })
    }

    /// The name of a layer by the digest of its content.
    fn oci_layer(&self, diff_id: &Digest) -> String {
        let text = format!("oci {FORMAT} {} {} {diff_id}", self.owners_kept, self.trusted);
        hex(text.as_bytes())[..NAME_LETTERS].to_owned()
    }

    /// The names of an image's layers, lowest first: those that show, and where it is needed one that
    /// says again what directories are.
    fn stacked(&self, diff_ids: &[Digest]) -> Result<Vec<String>, ImageError> {
        let mut names = Vec::new();
        let mut laid = Vec::new();
        for diff_id in diff_ids {
            let name = self.oci_layer(diff_id);
            let known = self.layers.manifest(&name)?.and_then(|manifest| manifest.oci);
            let Some(layer) = known.filter(|layer| layer.diff_id == *diff_id) else {
                return Err(ImageError::OtherLayer { name, diff_id: diff_id.to_string() });
            };
            if layer.hides_all {
                names.clear();
                laid.clear();
            }
            let implicit = layer.implicit.iter().map(PathBuf::from).collect();
            laid.push(Laid { files: self.layers.files(&name), implicit });
            // The same layer twice shows once: an overlay takes no directory a second time.
            names.retain(|known| *known != name);
            names.push(name);
        }
        let files = |laid: &[Laid]| laid.last().map(|layer| layer.files.clone()).unwrap_or_default();
        let looked = |source| ImageError::io("look at the directories of", &files(&laid), source);
        let wanted = mend::wanted(&laid, self.abilities().opaque_name()).map_err(looked)?;
        if !wanted.is_empty() {
            let name =
                hex(format!("mend {FORMAT}\n{}", names.join("\n")).as_bytes())[..NAME_LETTERS].to_owned();
            self.layers.build(&name, |files| {
                mend::make(files, &wanted, self.owners_kept)
                    .map_err(|source| ImageError::io("make directories in", files, source))?;
                Ok(Manifest {
                    format: FORMAT,
                    owners_kept: self.owners_kept,
                    packages: Vec::new(),
                    bytes: 0,
                    oci: None,
                })
            })?;
            names.push(name);
        }
        Ok(names)
    }

    /// The user that the entrypoint of a well-known image steps down to, where the image has it: whoever
    /// has one id only is that user at once.
    fn sole_user(&self, fetched: &Fetched, layers: &[String]) -> Option<String> {
        let recipe = catalog().find(fetched.reference.as_ref()?)?;
        let user = recipe.config.sole_user.clone()?;
        let passwd = layers.iter().rev().find_map(|id| read_plain(&self.layers.files(id), "etc/passwd"))?;
        passwd.lines().any(|line| line.split(':').next() == Some(user.as_str())).then_some(user)
    }

    fn entry(&self, fetched: &Fetched, layers: Vec<String>) -> Entry {
        let mut config = execution::convert(&fetched.config.config);
        config.sole_user = self.sole_user(fetched, &layers);
        let bytes = layers.iter().map(|id| self.layers.bytes(id)).sum();
        let digest = fetched.manifest.config.digest.to_string();
        let mut entry = Entry::new(digest, Source::Oci, layers, config, bytes, now_seconds());
        let mut blobs = vec![fetched.manifest_digest.clone(), fetched.manifest.config.digest.clone()];
        blobs.extend(fetched.manifest.layers.iter().map(|layer| layer.digest.clone()));
        entry.references.extend(fetched.reference.as_ref().map(written));
        entry.oci = Some(OciRecord {
            name: fetched.reference.as_ref().map(canonical),
            manifest: fetched.manifest_digest.clone(),
            index: fetched.index_digest.clone(),
            platform: fetched.config.platform.clone(),
            made: fetched.config.created.clone(),
            blobs,
        });
        entry
    }
}

/// A small file of a layer, unless a link is on the way to it.
fn read_plain(files: &Path, path: &str) -> Option<String> {
    let root =
        rustix::fs::open(files, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let file = File::from(rustix::fs::openat2(&root, path, flags, Mode::empty(), resolve).ok()?);
    let mut text = String::new();
    let is_file = file.metadata().is_ok_and(|data| data.is_file());
    (is_file && file.take(READ_BYTES_MAX).read_to_string(&mut text).is_ok()).then_some(text)
}

/// What the index knows an image by: its name and platform, or its digest where it has no name.
fn entry_key(fetched: &Fetched) -> String {
    match &fetched.reference {
        Some(reference) => name_key(&canonical(reference), &fetched.config.platform.to_string()),
        None => name_key(&fetched.manifest_digest.to_string(), ""),
    }
}

/// The key of an image by name and platform.
pub(crate) fn name_key(name: &str, platform: &str) -> String {
    format!("oci-{}", &hex(format!("{name}\n{platform}").as_bytes())[..32])
}

/// A name in full; one with a digest is known by it alone, its tag says nothing then.
pub(crate) fn canonical(reference: &Reference) -> String {
    match &reference.digest {
        Some(digest) => format!("{}@{digest}", reference.full_name()),
        None => reference.canonical(),
    }
}

/// A name as people write it.
pub(crate) fn written(reference: &Reference) -> String {
    match &reference.digest {
        Some(digest) => format!("{}@{digest}", reference.familiar_name()),
        None => reference.familiar(),
    }
}
