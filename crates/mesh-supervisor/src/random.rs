//! Random bytes for identities.

use crate::words::refusal;
use mesh_api::message::{ApiError, ErrorKind};

/// Random bytes of the kernel. An error is kept until it is asked for, so that planning stays pure.
pub(crate) struct Random {
    source: std::fs::File,
    error: Option<std::io::Error>,
}

impl Random {
    pub(crate) fn open() -> Result<Self, ApiError> {
        match std::fs::File::open("/dev/urandom") {
            Ok(source) => Ok(Self { source, error: None }),
            Err(error) => Err(no_random(&error)),
        }
    }

    pub(crate) fn next(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        if let Err(error) = std::io::Read::read_exact(&mut self.source, &mut bytes) {
            self.error = Some(error);
        }
        bytes
    }

    pub(crate) fn check(&self) -> Result<(), ApiError> {
        self.error.as_ref().map_or(Ok(()), |error| Err(no_random(error)))
    }
}

fn no_random(error: &std::io::Error) -> ApiError {
    refusal(ErrorKind::Internal, format!("could not read /dev/urandom: {error}"))
}
