//! How bytes are compressed, told by the first of them, and undone within bounds.
//!
//! Names of files and media types lie at times, so that only the bytes are looked at, as Docker does it.

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::{
    FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};
use std::io::{self, BufRead, Read};

/// Largest window of a zstd frame, which is memory; what `zstd --long=27` makes.
const WINDOW_BYTES_MAX: u64 = 128 << 20;
/// Most memory that xz may ask for, in KiB; `xz -9` takes 65 MiB.
const XZ_MEMORY_KIB_MAX: u32 = 136 << 10;
/// So many bytes tell a compression.
pub const TELLING_BYTES: usize = 6;

/// A compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// None that is known.
    None,
    /// gzip, any number of members.
    Gzip,
    /// zstd, any number of frames.
    Zstd,
    /// xz, any number of streams.
    Xz,
    /// bzip2, which is not undone.
    Bzip2,
}

impl Compression {
    /// What the first bytes tell.
    #[must_use]
    pub fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // A frame, or one that carries other things.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            _ => Self::None,
        }
    }
}

/// What comes out of a stream once its compression is undone; `None` for one that is not.
///
/// # Errors
/// When the stream cannot be read.
pub fn undone<'a>(mut stream: impl BufRead + 'a) -> io::Result<Option<Box<dyn Read + 'a>>> {
    Ok(Some(match Compression::of(stream.fill_buf()?) {
        Compression::None => Box::new(stream),
        Compression::Gzip => Box::new(MultiGzDecoder::new(stream)),
        Compression::Zstd => Box::new(Frames::new(stream)),
        Compression::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(stream, true, XZ_MEMORY_KIB_MAX)),
        Compression::Bzip2 => return Ok(None),
    }))
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
    use flate2::write::GzEncoder;
    use std::io::Write as _;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    /// `printf 'some text, and more of it' | xz`.
    const XZ: &[u8] = &[
        0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x04, 0xe6, 0xd6, 0xb4, 0x46, 0x02, 0x00, 0x21, 0x01, 0x16,
        0x00, 0x00, 0x00, 0x74, 0x2f, 0xe5, 0xa3, 0x01, 0x00, 0x18, 0x73, 0x6f, 0x6d, 0x65, 0x20, 0x74, 0x65,
        0x78, 0x74, 0x2c, 0x20, 0x61, 0x6e, 0x64, 0x20, 0x6d, 0x6f, 0x72, 0x65, 0x20, 0x6f, 0x66, 0x20, 0x69,
        0x74, 0x00, 0x00, 0x00, 0x00, 0xe1, 0xfd, 0x8e, 0x9d, 0xb6, 0x62, 0xce, 0x52, 0x00, 0x01, 0x31, 0x19,
        0x59, 0x1a, 0xb0, 0x82, 0x1f, 0xb6, 0xf3, 0x7d, 0x01, 0x00, 0x00, 0x00, 0x00, 0x04, 0x59, 0x5a,
    ];

    fn read(bytes: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let Some(mut stream) = undone(bytes)? else { return Ok(None) };
        let mut out = Vec::new();
        stream.read_to_end(&mut out)?;
        Ok(Some(out))
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
            XZ.to_vec(),
        ] {
            assert_eq!(read(&bytes).unwrap().unwrap(), text);
        }
        assert_eq!(read(&[XZ, XZ].concat()).unwrap().unwrap(), text.repeat(2));
        assert_eq!(read(b"").unwrap().unwrap(), b"");
        assert_eq!(read(b"BZh91AY").unwrap(), None);
        for whole in [gzip(text), zstd(text), XZ.to_vec()] {
            assert!(read(&whole[..whole.len() - 9]).is_err());
        }
        let mut broken = XZ.to_vec();
        broken[30] ^= 1;
        assert!(read(&broken).is_err());
    }

    /// A block that asks for a dictionary of 1 GiB: refused before it is made.
    #[test]
    fn memory_is_bounded() {
        // Its header's sizes stay; the dictionary's property and the sum over the header are others.
        let mut greedy = XZ.to_vec();
        let header = 12..24;
        assert_eq!(greedy[header.start], 2, "a header of 12 bytes");
        greedy[16] = 36;
        let sum = crc32(&greedy[12..20]);
        greedy[20..24].copy_from_slice(&sum.to_le_bytes());
        let error = read(&greedy).unwrap_err();
        assert!(error.to_string().contains("memory"), "{error}");
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0_u32, |sum, byte| {
            (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
                if sum & 1 == 1 { (sum >> 1) ^ 0xEDB8_8320 } else { sum >> 1 }
            })
        })
    }
}
