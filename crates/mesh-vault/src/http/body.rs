//! A request's body, into memory, within bounds.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use std::{sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a body may take.
const BODY_MAX: Duration = Duration::from_secs(30);
/// Bytes that are read of a body that nobody wants, as Go's server has it.
const SKIPPED_BYTES_MAX: u64 = 256 << 10;
/// Bytes that all bodies may have in memory together, counted in [`UNIT_BYTES`].
const UNITS_MAX: usize = (128 << 20) / UNIT_BYTES;
/// What is counted as one; a body up to it is not counted, for it is no larger than the buffers of its connection.
const UNIT_BYTES: usize = 16 << 10;

/// Space for bodies.
#[derive(Debug, Clone)]
pub(super) struct Space(Arc<Semaphore>);

impl Default for Space {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(UNITS_MAX)))
    }
}

/// A body with the space it takes, which is given back when it is dropped.
pub(super) struct Held {
    pub(super) bytes: Bytes,
    _space: Vec<OwnedSemaphorePermit>,
}

/// Why a body is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyError {
    /// More than a request may have.
    TooLarge,
    /// It took too long.
    TooSlow,
    /// All bodies together are too large at this moment.
    NoSpace,
    /// The client broke off.
    Broken,
}

impl Space {
    /// Reads a body.
    pub(super) async fn read(&self, body: Incoming, bytes_max: u64) -> Result<Held, BodyError> {
        if body.is_end_stream() {
            return Ok(Held { bytes: Bytes::new(), _space: Vec::new() });
        }
        if body.size_hint().lower() > bytes_max {
            return Err(BodyError::TooLarge);
        }
        tokio::time::timeout(BODY_MAX, self.collect(body, bytes_max)).await.unwrap_or(Err(BodyError::TooSlow))
    }

    async fn collect(&self, mut body: Incoming, bytes_max: u64) -> Result<Held, BodyError> {
        let mut first = Bytes::new();
        let mut all = BytesMut::new();
        let mut space = Vec::new();
        let mut counted = UNIT_BYTES;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
            let bytes = first.len() + all.len() + data.len();
            if bytes as u64 > bytes_max {
                return Err(BodyError::TooLarge);
            }
            if bytes > counted {
                let units = (bytes - counted).div_ceil(UNIT_BYTES);
                let permits = u32::try_from(units).map_err(|_| BodyError::TooLarge)?;
                let permit = self.0.clone().try_acquire_many_owned(permits);
                space.push(permit.map_err(|_| BodyError::NoSpace)?);
                counted += units * UNIT_BYTES;
            }
            // Most bodies are one frame, which is not copied.
            if first.is_empty() && all.is_empty() {
                first = data;
            } else {
                all.extend_from_slice(&std::mem::take(&mut first));
                all.extend_from_slice(&data);
            }
        }
        let bytes = if all.is_empty() { first } else { all.freeze() };
        Ok(Held { bytes, _space: space })
    }
}

/// Reads and forgets a body that nobody wants, as far as it is worth it.
pub(super) async fn skip(mut body: Incoming) {
    if body.is_end_stream() || body.size_hint().lower() > SKIPPED_BYTES_MAX {
        return;
    }
    let skipping = async {
        let mut bytes = 0;
        while let Some(Ok(frame)) = body.frame().await {
            bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
            if bytes > SKIPPED_BYTES_MAX {
                break;
            }
        }
    };
    // One that does not come leaves its connection to be closed.
    let _ = tokio::time::timeout(BODY_MAX, skipping).await;
}
