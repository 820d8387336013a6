//! What an answer is, where it does not say so: the first bytes tell, as the WHATWG's standard of sniffing has it.

/// Most bytes that are looked at.
pub(crate) const SNIFFED_BYTES: usize = 512;

/// What begins so, and what that is.
const BEGINNINGS: &[(&[u8], &str)] = &[
    (b"%PDF-", "application/pdf"),
    (b"%!PS-Adobe-", "application/postscript"),
    (b"\xfe\xff", "text/plain; charset=utf-16be"),
    (b"\xff\xfe", "text/plain; charset=utf-16le"),
    (b"\xef\xbb\xbf", "text/plain; charset=utf-8"),
    (b"\x00\x00\x01\x00", "image/x-icon"),
    (b"\x00\x00\x02\x00", "image/x-icon"),
    (b"BM", "image/bmp"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"\x89PNG\x0d\x0a\x1a\x0a", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"OggS\x00", "application/ogg"),
    (b"MThd\x00\x00\x00\x06", "audio/midi"),
    (b"ID3", "audio/mpeg"),
    (b"\x1a\x45\xdf\xa3", "video/webm"),
    (b"\x00\x01\x00\x00", "font/ttf"),
    (b"OTTO", "font/otf"),
    (b"ttcf", "font/collection"),
    (b"wOFF", "font/woff"),
    (b"wOF2", "font/woff2"),
    (b"\x1f\x8b\x08", "application/x-gzip"),
    (b"PK\x03\x04", "application/zip"),
    (b"Rar!\x1a\x07\x00", "application/x-rar-compressed"),
    (b"Rar!\x1a\x07\x01\x00", "application/x-rar-compressed"),
    (b"\x00asm", "application/wasm"),
];
/// Elements that a page may begin with; a space or the end of the tag follows.
const ELEMENTS: &[&str] = &[
    "<!DOCTYPE HTML",
    "<HTML",
    "<HEAD",
    "<SCRIPT",
    "<IFRAME",
    "<H1",
    "<DIV",
    "<FONT",
    "<TABLE",
    "<A",
    "<STYLE",
    "<TITLE",
    "<B",
    "<BODY",
    "<BR",
    "<P",
    "<!--",
];
/// What is within RIFF, at its ninth byte.
const RIFF: &[(&[u8], &str)] = &[(b"WEBPVP", "image/webp"), (b"AVI ", "video/avi"), (b"WAVE", "audio/wave")];

/// What bytes are.
pub(crate) fn sniffed(bytes: &[u8]) -> &'static str {
    let bytes = &bytes[..bytes.len().min(SNIFFED_BYTES)];
    let begin = bytes.iter().position(|byte| !b"\t\n\x0c\r ".contains(byte)).unwrap_or(bytes.len());
    let trimmed = &bytes[begin..];
    let is_element = |element: &&&str| {
        let front =
            trimmed.get(..element.len()).is_some_and(|front| front.eq_ignore_ascii_case(element.as_bytes()));
        front && (**element == "<!--" || matches!(trimmed.get(element.len()), Some(b' ' | b'>')))
    };
    if ELEMENTS.iter().any(|element| is_element(&element)) {
        return "text/html; charset=utf-8";
    }
    if trimmed.starts_with(b"<?xml") {
        return "text/xml; charset=utf-8";
    }
    if let Some((_, kind)) = BEGINNINGS.iter().find(|(beginning, _)| bytes.starts_with(beginning)) {
        return kind;
    }
    if let Some(inner) = bytes.strip_prefix(b"RIFF").and_then(|rest| rest.get(4..))
        && let Some((_, kind)) = RIFF.iter().find(|(beginning, _)| inner.starts_with(beginning))
    {
        return kind;
    }
    if bytes.get(4..8) == Some(b"ftyp") && bytes.get(8..11) == Some(b"mp4") {
        return "video/mp4";
    }
    let binary = |byte: &u8| matches!(byte, 0x00..=0x08 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f);
    if bytes.iter().any(binary) { "application/octet-stream" } else { "text/plain; charset=utf-8" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell() {
        for (bytes, expected) in [
            (&b""[..], "text/plain; charset=utf-8"),
            (b"hello", "text/plain; charset=utf-8"),
            (b"  <html>", "text/html; charset=utf-8"),
            (b"<bold>", "text/plain; charset=utf-8"),
            (b"<!-- a", "text/html; charset=utf-8"),
            (b"\n<?xml version", "text/xml; charset=utf-8"),
            (b"\x89PNG\x0d\x0a\x1a\x0a1234", "image/png"),
            (b"RIFF1234WEBPVP8 ", "image/webp"),
            (b"\x01\x02", "application/octet-stream"),
            (b"\xff\xd8\xff\xe0", "image/jpeg"),
        ] {
            assert_eq!(sniffed(bytes), expected, "{bytes:?}");
        }
    }
}
