//! A probe's password, read anew for each probe: a rotated one counts at once.

use crate::error::ProbeError;
use mesh_model::project::FileSource;
use mesh_redact::Secret;
use std::io;
use tokio::io::AsyncReadExt;

/// Largest password, in bytes.
const PASSWORD_BYTES_MAX: u64 = 64 << 10;

/// The password, without the newline that editors leave behind it.
pub(crate) async fn read(source: &FileSource) -> Result<Secret<Vec<u8>>, ProbeError> {
    let mut text = match source {
        FileSource::Content(text) => text.expose().clone().into_bytes(),
        FileSource::File(path) => {
            let failed = |source| ProbeError::Password { path: path.clone(), source };
            let file = tokio::fs::File::open(path).await.map_err(failed)?;
            let mut bytes = Vec::new();
            file.take(PASSWORD_BYTES_MAX).read_to_end(&mut bytes).await.map_err(failed)?;
            bytes
        }
        FileSource::External(name) => {
            let source = io::Error::new(io::ErrorKind::Unsupported, "an external secret cannot be read");
            return Err(ProbeError::Password { path: name.into(), source });
        }
    };
    while text.ends_with(b"\n") || text.ends_with(b"\r") {
        text.pop();
    }
    Ok(Secret::new(text))
}
