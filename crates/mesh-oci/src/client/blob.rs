//! One blob into a file: resumed where an earlier attempt stopped, checked for size and digest.

use super::{
    Client, Inner,
    host::Candidate,
    request::{Wanted, headers},
    retry::Retry,
};
use crate::{
    blobs::{BlobError, open_partial},
    digest::Hasher,
    error::OciError,
    http::{Answer, Body},
    manifest::Descriptor,
    reference::Reference,
};
use hyper::{HeaderMap, StatusCode, header};
use std::{
    fs, io,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};

/// How often it is looked whether another process still writes a blob.
const BUSY_WAIT: Duration = Duration::from_millis(100);
/// Bytes that make an attempt one that brought something.
const PROGRESS_BYTES: u64 = 256 << 10;
/// A download has to bring this much …
const PACE_BYTES: u64 = 16 << 10;
/// … in this time, or it counts as standing still.
const PACE_TIME: Duration = Duration::from_secs(60);
/// Bytes hashed at once when an attempt goes on.
const BUFFER_BYTES: usize = 1 << 20;

/// Told how much has come: bytes so far, bytes in all.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Send + Sync);

/// What has come of a blob.
struct Partial {
    path: PathBuf,
    file: tokio::fs::File,
    hasher: Hasher,
    done: u64,
}

impl Client {
    /// Fetches a blob into a file. What the file already has is kept and the rest asked for; when this
    /// returns the file has the descriptor's size and digest. A file with the wrong content is emptied.
    ///
    /// Two processes never write the same file: the second waits for the first.
    ///
    /// # Errors
    /// When nobody answers, the blob is not there or not for us, is not what its descriptor says, or the
    /// file cannot be written.
    pub async fn fetch_blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        into: &Path,
        progress: Progress<'_>,
    ) -> Result<(), OciError> {
        let kept = |source| OciError::Blob { reference: reference.to_string(), source };
        let file = loop {
            match open_partial(into).map_err(kept)? {
                Some(file) => break file,
                None => tokio::time::sleep(BUSY_WAIT).await,
            }
        };
        self.download(reference, descriptor, into, file, progress).await
    }

    /// The same into a file that is open and locked.
    pub(super) async fn download(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        path: &Path,
        file: fs::File,
        progress: Progress<'_>,
    ) -> Result<(), OciError> {
        let kept = |source| OciError::Blob { reference: reference.to_string(), source };
        let mut partial = Partial::open(path, file, descriptor).await.map_err(kept)?;
        let candidates = self.inner.candidates(reference);
        let mut failure = None;
        for candidate in candidates {
            match self.inner.fill(&candidate, reference, descriptor, &mut partial, progress).await {
                Ok(()) => return Ok(()),
                // A fault of this machine's is not mended by asking somebody else.
                Err(error @ OciError::Blob { .. }) => return Err(error),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| OciError::Host { registry: reference.registry_name().to_owned() }))
    }
}

impl Inner {
    /// Fills a partial file from one host.
    async fn fill(
        &self,
        candidate: &Candidate,
        reference: &Reference,
        descriptor: &Descriptor,
        partial: &mut Partial,
        progress: Progress<'_>,
    ) -> Result<(), OciError> {
        let kept = |source| OciError::Blob { reference: reference.to_string(), source };
        let mut gone_on = partial.done > 0;
        loop {
            progress(partial.done, descriptor.size);
            self.fetch_rest(candidate, reference, descriptor, partial, progress).await?;
            let found = partial.hasher.clone().finish();
            if found == descriptor.digest {
                return partial.finish().await.map_err(kept);
            }
            partial.restart(descriptor).await.map_err(kept)?;
            // What an earlier attempt left may have been damaged since: that is not the registry's fault.
            if !std::mem::take(&mut gone_on) {
                return Err(OciError::Digest {
                    registry: candidate.registry.clone(),
                    what: format!("blob {}", descriptor.digest),
                    found,
                });
            }
        }
    }

    /// Asks for what is missing, and again while that may help.
    async fn fetch_rest(
        &self,
        candidate: &Candidate,
        reference: &Reference,
        descriptor: &Descriptor,
        partial: &mut Partial,
        progress: Progress<'_>,
    ) -> Result<(), OciError> {
        let mut retry = Retry::new(self.settings.backoff);
        while partial.done < descriptor.size {
            let before = partial.done;
            let outcome = self.stretch(candidate, reference, descriptor, partial, progress).await;
            let Err(error) = outcome else { continue };
            if partial.done >= before + PROGRESS_BYTES {
                retry.progressed();
            }
            if !retry.again(&error).await {
                return Err(self.given_up(candidate, retry, error).await);
            }
        }
        Ok(())
    }

    /// One request, and what comes of it; a second, for all of it, where the rest alone is refused.
    async fn stretch(
        &self,
        candidate: &Candidate,
        reference: &Reference,
        descriptor: &Descriptor,
        partial: &mut Partial,
        progress: Progress<'_>,
    ) -> Result<(), OciError> {
        let kept = |source| OciError::Blob { reference: reference.to_string(), source };
        let digest = &descriptor.digest;
        let mut wanted = Wanted {
            what: format!("blob {digest}"),
            tail: format!("blobs/{digest}"),
            headers: match partial.done {
                0 => HeaderMap::new(),
                done => headers(header::RANGE, &format!("bytes={done}-")),
            },
            head: false,
        };
        let (mut answer, mut place) = self.ask_here(candidate, &wanted).await?;
        if !goes_on(&answer, partial.done) {
            // It has no part to give, or gives all again.
            partial.restart(descriptor).await.map_err(kept)?;
            if answer.status != StatusCode::OK {
                wanted.headers.clear();
                (answer, place) = self.ask_here(candidate, &wanted).await?;
            }
        }
        let size = |found| OciError::Size {
            registry: candidate.registry.clone(),
            what: wanted.what.clone(),
            expected: descriptor.size,
            found,
        };
        // A part of what nobody asked a part of is nothing that can be used.
        let announced = match goes_on(&answer, partial.done) {
            true => length(&answer.headers).map(|length| partial.done.saturating_add(length)),
            false => Some(0),
        };
        if let Some(found) = announced.filter(|found| *found != descriptor.size) {
            return Err(size(found));
        }
        match self.stream(&mut answer.body, descriptor, partial, progress).await {
            Ok(()) => Ok(()),
            Err(Broken::More(found)) => Err(size(found)),
            Err(Broken::Kept(source)) => Err(kept(source)),
            Err(Broken::Transport(source)) => Err(self.broken(&place, &wanted, source)),
        }
    }

    async fn stream(
        &self,
        body: &mut Body,
        descriptor: &Descriptor,
        partial: &mut Partial,
        progress: Progress<'_>,
    ) -> Result<(), Broken> {
        let mut since = (Instant::now(), partial.done);
        while let Some(piece) = body.next(self.settings.stalled).await.map_err(Broken::Transport)? {
            let done = partial.done + piece.len() as u64;
            if done > descriptor.size {
                return Err(Broken::More(done));
            }
            partial.take(&piece).await.map_err(Broken::Kept)?;
            progress(partial.done, descriptor.size);
            if since.0.elapsed() >= PACE_TIME {
                if partial.done - since.1 < PACE_BYTES {
                    return Err(Broken::Transport(body.too_slow(PACE_TIME)));
                }
                since = (Instant::now(), partial.done);
            }
        }
        // What has come is written even where more should have: the next attempt starts from the file.
        partial.flush().await.map_err(Broken::Kept)?;
        match partial.done == descriptor.size {
            true => Ok(()),
            false => Err(Broken::Transport(body.too_short())),
        }
    }
}

/// Why a body did not become the rest of the file.
enum Broken {
    /// It brings more than it should; bytes so far.
    More(u64),
    /// The file cannot be written.
    Kept(BlobError),
    /// The connection failed.
    Transport(crate::http::TransportError),
}

/// Whether an answer goes on where the file ends.
fn goes_on(answer: &Answer, done: u64) -> bool {
    if done == 0 {
        return answer.status == StatusCode::OK;
    }
    let start = answer
        .headers
        .get(header::CONTENT_RANGE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("bytes ")?.split('-').next()?.parse::<u64>().ok());
    answer.status == StatusCode::PARTIAL_CONTENT && start == Some(done)
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

impl Partial {
    /// Takes a file up where it ends; one that is too long for the blob is emptied.
    async fn open(path: &Path, file: fs::File, descriptor: &Descriptor) -> Result<Self, BlobError> {
        let failed = BlobError::file("read", path);
        let (hasher, size) = (descriptor.digest.hasher(), descriptor.size);
        let reading = tokio::task::spawn_blocking(move || hash(file, hasher, size));
        let (file, hasher, done) =
            reading.await.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(failed)?;
        Ok(Self { path: path.to_owned(), file: tokio::fs::File::from_std(file), hasher, done })
    }

    async fn take(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        self.file.write_all(bytes).await.map_err(BlobError::file("write", &self.path))?;
        self.hasher.update(bytes);
        self.done += bytes.len() as u64;
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), BlobError> {
        self.file.flush().await.map_err(BlobError::file("write", &self.path))
    }

    async fn finish(&mut self) -> Result<(), BlobError> {
        self.flush().await?;
        self.file.sync_data().await.map_err(BlobError::file("write", &self.path))
    }

    async fn restart(&mut self, descriptor: &Descriptor) -> Result<(), BlobError> {
        self.flush().await?;
        self.file.set_len(0).await.map_err(BlobError::file("empty", &self.path))?;
        self.file.seek(SeekFrom::Start(0)).await.map_err(BlobError::file("empty", &self.path))?;
        self.hasher = descriptor.digest.hasher();
        self.done = 0;
        Ok(())
    }
}

/// Reads what is there into the hasher and leaves the file at its end.
fn hash(mut file: fs::File, mut hasher: Hasher, size: u64) -> io::Result<(fs::File, Hasher, u64)> {
    if file.metadata()?.len() > size {
        file.set_len(0)?;
    }
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut done = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => {
                hasher.update(&buffer[..count]);
                done += count as u64;
            }
        }
    }
    file.seek(SeekFrom::Start(done))?;
    Ok((file, hasher, done))
}
