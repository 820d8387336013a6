//! Bodies in chunks (RFC 9112, section 7.1).

use bytes::{Buf as _, Bytes, BytesMut};
use httparse::{EMPTY_HEADER, Status};
use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};

/// Most bytes of a chunk's first line, and of all trailers; most trailers.
const LINE_BYTES_MAX: usize = 4 << 10;
const TRAILERS_BYTES_MAX: usize = 16 << 10;
const TRAILERS_MAX: usize = 100;
/// Most bytes of extensions of all chunks of a body: nobody needs them.
const EXTENSIONS_BYTES_MAX: usize = 16 << 10;

/// Why bytes are no chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChunkError {
    #[error("a chunk's size cannot be read")]
    Size,
    #[error("a chunk has no end")]
    End,
    #[error("chunks say too much beside their sizes")]
    Extensions,
    #[error("trailers cannot be read")]
    Trailers,
}

/// What comes next of a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
    End,
    /// More bytes have to come first.
    Partial,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Size,
    Data(u64),
    /// Behind a chunk's bytes.
    Behind,
    Trailers,
    End,
}

/// Reads chunks as they come.
#[derive(Debug)]
pub(crate) struct Chunked {
    at: At,
    extensions: usize,
}

impl Chunked {
    pub(crate) fn new() -> Self {
        Self { at: At::Size, extensions: 0 }
    }

    /// Takes the next piece from what has come.
    pub(crate) fn next(&mut self, bytes: &mut BytesMut) -> Result<Piece, ChunkError> {
        loop {
            match self.at {
                // The parser takes no digit at all for none.
                At::Size if bytes.first().is_some_and(|byte| !byte.is_ascii_hexdigit()) => {
                    return Err(ChunkError::Size);
                }
                At::Size => match httparse::parse_chunk_size(bytes) {
                    Ok(Status::Complete((line, size))) => {
                        let plain = size.checked_ilog(16).map_or(1, |digits| digits as usize + 1) + 2;
                        self.extensions += line.saturating_sub(plain);
                        if self.extensions > EXTENSIONS_BYTES_MAX {
                            return Err(ChunkError::Extensions);
                        }
                        bytes.advance(line);
                        self.at = if size == 0 { At::Trailers } else { At::Data(size) };
                    }
                    Ok(Status::Partial) if bytes.len() <= LINE_BYTES_MAX => return Ok(Piece::Partial),
                    Ok(Status::Partial) | Err(_) => return Err(ChunkError::Size),
                },
                At::Data(left) => {
                    if bytes.is_empty() {
                        return Ok(Piece::Partial);
                    }
                    let take = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    let left = left - take as u64;
                    self.at = if left == 0 { At::Behind } else { At::Data(left) };
                    return Ok(Piece::Data(bytes.split_to(take).freeze()));
                }
                At::Behind => match bytes.get(..2) {
                    Some(b"\r\n") => {
                        bytes.advance(2);
                        self.at = At::Size;
                    }
                    Some(_) => return Err(ChunkError::End),
                    None if bytes.first().is_some_and(|&byte| byte != b'\r') => return Err(ChunkError::End),
                    None => return Ok(Piece::Partial),
                },
                At::Trailers => return self.trailers(bytes),
                At::End => return Ok(Piece::End),
            }
        }
    }

    fn trailers(&mut self, bytes: &mut BytesMut) -> Result<Piece, ChunkError> {
        let mut fields = [EMPTY_HEADER; TRAILERS_MAX];
        let (length, headers) = match httparse::parse_headers(bytes, &mut fields) {
            Ok(Status::Complete(found)) => found,
            Ok(Status::Partial) if bytes.len() <= TRAILERS_BYTES_MAX => return Ok(Piece::Partial),
            Ok(Status::Partial) | Err(_) => return Err(ChunkError::Trailers),
        };
        let mut trailers = HeaderMap::new();
        for header in headers {
            let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| ChunkError::Trailers)?;
            let value = HeaderValue::from_bytes(header.value).map_err(|_| ChunkError::Trailers)?;
            trailers.append(name, value);
        }
        bytes.advance(length);
        self.at = At::End;
        Ok(if trailers.is_empty() { Piece::End } else { Piece::Trailers(trailers) })
    }

    /// Whether nothing comes any more.
    pub(crate) fn is_over(&self) -> bool {
        self.at == At::End
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a body says, given in parts of so many bytes.
    fn read(text: &str, step: usize) -> Result<(String, Option<String>), ChunkError> {
        let (mut chunked, mut bytes, mut said, mut trailer) =
            (Chunked::new(), BytesMut::new(), String::new(), None);
        for part in text.as_bytes().chunks(step) {
            bytes.extend_from_slice(part);
            loop {
                match chunked.next(&mut bytes)? {
                    Piece::Data(data) => said.push_str(std::str::from_utf8(&data).expect("text")),
                    Piece::Trailers(trailers) => {
                        trailer = trailers.get("x").map(|value| value.to_str().expect("text").to_owned());
                    }
                    Piece::End | Piece::Partial => break,
                }
            }
        }
        assert!(chunked.is_over(), "{text:?}");
        Ok((said, trailer))
    }

    #[test]
    fn chunks_are_read_however_they_come() {
        for (text, said, trailer) in [
            ("0\r\n\r\n", "", None),
            ("5\r\nhello\r\n0\r\n\r\n", "hello", None),
            ("5;a=b\r\nhello\r\n06\r\n world\r\n0\r\nX: y\r\n\r\n", "hello world", Some("y")),
            ("A\r\n0123456789\r\n0;last\r\n\r\n", "0123456789", None),
        ] {
            for step in [1, 2, 3, 1_000] {
                assert_eq!(
                    read(text, step),
                    Ok((said.to_owned(), trailer.map(str::to_owned))),
                    "{text:?} {step}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        for (text, expected) in [
            ("\r\n", ChunkError::Size),
            ("x\r\n", ChunkError::Size),
            ("-1\r\n", ChunkError::Size),
            ("FFFFFFFFFFFFFFFFF\r\n", ChunkError::Size),
            ("5\r\nhelloX\r\n", ChunkError::End),
            ("5\r\nhello\n0\r\n\r\n", ChunkError::End),
            ("0\r\nno trailer\r\n\r\n", ChunkError::Trailers),
        ] {
            for step in [1, 1_000] {
                assert_eq!(read(text, step), Err(expected), "{text:?} {step}");
            }
        }
        let long = format!("1;{}", "a".repeat(LINE_BYTES_MAX));
        assert_eq!(read(&long, 1_000), Err(ChunkError::Size));
        let many = format!("1;{}\r\nx\r\n", "a".repeat(1_000)).repeat(17);
        assert_eq!(read(&many, 1_000), Err(ChunkError::Extensions));
        let trailers = format!("0\r\n{}", "A: b\r\n".repeat(TRAILERS_MAX + 1));
        assert_eq!(read(&trailers, 100_000), Err(ChunkError::Trailers));
    }
}
