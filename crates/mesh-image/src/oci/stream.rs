//! The bytes of a layer: decompressed, counted against bombs, and hashed on the way.
//!
//! What compression there is, is told by the first bytes, as Docker does it; media types lie at times.

use super::error::LayerError;
use flate2::bufread::MultiGzDecoder;
use mesh_oci::digest::{Algorithm, Digest, Hasher};
use ruzstd::decoding::{
    FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};
use std::{
    cell::Cell,
    io::{self, BufRead, BufReader, Read},
    rc::Rc,
};

/// Most bytes of one layer, decompressed.
const EXPANDED_BYTES_MAX: u64 = 32 << 30;
/// A layer may expand to so many times its compressed bytes, once it is past [`EXPANDED_BYTES_FREE`]:
/// files of zeros, which real layers have, and not bombs.
const RATIO_MAX: u64 = 200;
const EXPANDED_BYTES_FREE: u64 = 1 << 30;
/// Largest window of a zstd frame, which is memory; what `zstd --long=27` makes.
const WINDOW_BYTES_MAX: u64 = 128 << 20;
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
        let mut source = BufReader::with_capacity(BUFFER_BYTES, counted);
        let first = source.fill_buf().map_err(LayerError::Read)?;
        let source: Box<dyn Read + 'a> = match first {
            [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(source)),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                Box::new(Frames::new(source))
            }
            [b'B', b'Z', b'h', ..] => return Err(LayerError::Compression { kind: "bzip2" }),
            [0xfd, b'7', b'z', b'X', b'Z', ..] => return Err(LayerError::Compression { kind: "xz" }),
            _ => Box::new(source),
        };
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

/// Frames of zstd, one after the other; those that carry other things are passed over.
struct Frames<R> {
    source: R,
    decoder: FrameDecoder,
    inside: bool,
}

impl<R: BufRead> Frames<R> {
    fn new(source: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(WINDOW_BYTES_MAX);
        Self { source, decoder, inside: false }
    }

    /// Enters the next frame; `false` where there is none.
    fn enter(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    if io::copy(&mut (&mut self.source).take(length), &mut io::sink())? != length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use ruzstd::decoding::BlockDecodingStrategy::UptoBlocks;
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.inside {
                if !self.enter()? {
                    return Ok(0);
                }
                self.inside = true;
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder.decode_blocks(&mut self.source, UptoBlocks(1)).map_err(io::Error::other)?;
            }
            let count = self.decoder.read(buffer)?;
            if count > 0 {
                return Ok(count);
            }
            self.inside = false;
        }
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
    fn each_compression_is_known_by_its_first_bytes() {
        let text = b"some text, and more of it";
        let skipped = [&0x184D_2A50_u32.to_le_bytes()[..], &3_u32.to_le_bytes(), b"abc"].concat();
        for bytes in [
            text.to_vec(),
            gzip(text),
            [gzip(&text[..5]), gzip(&text[5..])].concat(),
            zstd(text),
            [skipped.clone(), zstd(&text[..5]), skipped, zstd(&text[5..])].concat(),
        ] {
            assert_eq!(read(&bytes).unwrap(), text);
        }
        assert_eq!(read(b"").unwrap(), b"");
        assert!(read(b"BZh91AY").unwrap_err().contains("bzip2"));
        assert!(read(b"\xfd7zXZ\0").unwrap_err().contains("xz"));
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
