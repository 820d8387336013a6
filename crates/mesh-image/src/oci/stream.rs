//! The bytes of a layer: decompressed, counted against bombs, and hashed on the way.

use super::error::LayerError;
use mesh_oci::{
    compression,
    digest::{Algorithm, Digest, Hasher},
};
use std::{
    cell::Cell,
    io::{self, BufReader, Read},
    rc::Rc,
};

/// Most bytes of one layer, decompressed.
const EXPANDED_BYTES_MAX: u64 = 32 << 30;
/// A layer may expand to so many times its compressed bytes, once it is past [`EXPANDED_BYTES_FREE`]:
/// files of zeros, which real layers have, and not bombs.
const RATIO_MAX: u64 = 200;
const EXPANDED_BYTES_FREE: u64 = 1 << 30;
/// Bytes read at once.
const BUFFER_BYTES: usize = 256 << 10;

/// The limits of one layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) expanded_bytes_max: u64,
    pub(super) expanded_bytes_free: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { expanded_bytes_max: EXPANDED_BYTES_MAX, expanded_bytes_free: EXPANDED_BYTES_FREE }
    }
}

/// A layer's archive, decompressed.
pub(super) struct Stream<'a> {
    source: Box<dyn Read + 'a>,
    compressed: Rc<Cell<u64>>,
    expanded: u64,
    limits: Limits,
    hash: Hasher,
    /// Why reading failed, where it was not for the source.
    refused: Option<LayerError>,
}

impl<'a> Stream<'a> {
    /// Finds out how the source is compressed. What comes out is hashed as `expected` is.
    pub(super) fn open(
        source: impl Read + 'a,
        limits: Limits,
        expected: Option<&Digest>,
    ) -> Result<Self, LayerError> {
        let compressed = Rc::new(Cell::new(0));
        let counted = Counted { source, count: Rc::clone(&compressed) };
        let source = BufReader::with_capacity(BUFFER_BYTES, counted);
        let undone = compression::undone(source).map_err(LayerError::Read)?;
        let source = undone.ok_or(LayerError::Compression { kind: "bzip2" })?;
        let hash = Hasher::new(expected.map_or(Algorithm::Sha256, Digest::algorithm));
        Ok(Self { source, compressed, expanded: 0, limits, hash, refused: None })
    }

    /// Why reading failed: the reason of this stream's own where it has one.
    pub(super) fn reason(&mut self, error: LayerError) -> LayerError {
        self.refused.take().unwrap_or(error)
    }

    /// Reads to the end and gives the digest of all of it.
    pub(super) fn finish(mut self) -> Result<Digest, LayerError> {
        if let Err(error) = io::copy(&mut self, &mut io::sink()) {
            return Err(self.reason(LayerError::Read(error)));
        }
        Ok(self.hash.finish())
    }
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.hash.update(&buffer[..count]);
        self.expanded += count as u64;
        let Limits { expanded_bytes_max, expanded_bytes_free } = self.limits;
        let compressed = self.compressed.get();
        if self.expanded > expanded_bytes_max {
            self.refused = Some(LayerError::TooLarge { limit: expanded_bytes_max });
        } else if self.expanded > expanded_bytes_free.saturating_add(compressed.saturating_mul(RATIO_MAX)) {
            self.refused = Some(LayerError::Bomb { compressed, expanded: self.expanded });
        }
        match self.refused {
            Some(_) => Err(io::ErrorKind::InvalidData.into()),
            None => Ok(count),
        }
    }
}

struct Counted<R> {
    source: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.count.set(self.count.get() + count as u64);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write as _;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    /// What comes out, or why nothing does.
    fn read(bytes: &[u8]) -> Result<Vec<u8>, String> {
        let limits = Limits { expanded_bytes_max: 1 << 20, expanded_bytes_free: 64 << 10 };
        let mut stream = Stream::open(bytes, limits, None).map_err(|error| error.to_string())?;
        let mut out = Vec::new();
        match stream.read_to_end(&mut out) {
            Ok(_) => Ok(out),
            Err(error) => Err(stream.reason(LayerError::Read(error)).to_string()),
        }
    }

    #[test]
    fn compressions_are_undone_or_named() {
        let text = b"some text, and more of it";
        for bytes in [text.to_vec(), gzip(text), zstd(text)] {
            assert_eq!(read(&bytes).unwrap(), text);
        }
        assert_eq!(read(b"").unwrap(), b"");
        assert!(read(b"BZh91AY").unwrap_err().contains("bzip2"));
    }

    #[test]
    fn bombs_and_broken_bytes_end_early() {
        let zeros = vec![0; 16 << 20];
        for bomb in [gzip(&zeros), zstd(&zeros)] {
            let error = read(&bomb).unwrap_err();
            assert!(error.contains("expand past") || error.contains("expands past"), "{error}");
        }
        let noise: Vec<u8> =
            (0..2_u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        assert_eq!(read(&noise).unwrap_err(), "it expands past 1048576 bytes");
        let whole = gzip(&noise[..5000]);
        assert!(read(&whole[..whole.len() / 2]).is_err());
        assert!(read(&[&zstd(b"abc")[..], b"rest"].concat()).is_err());
    }

    #[test]
    fn the_digest_is_that_of_what_came_out() {
        let compressed = gzip(b"abc");
        let stream = Stream::open(&*compressed, Limits::default(), None).unwrap();
        let expected = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(stream.finish().unwrap().to_string(), expected);
    }
}
