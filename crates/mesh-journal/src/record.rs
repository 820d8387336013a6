//! One record and its line on disk: `<unix ns> <o|e><.|+> <text>\n`, where `+` says that the line
//! went on.

/// Longest text of one record in bytes; a longer line becomes several records.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;

/// Longest line on disk in bytes: the text, 20 digits, and four bytes around them.
pub(crate) const LINE_BYTES_MAX: usize = TEXT_BYTES_MAX + 32;

/// Where a line was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line of a service, or a part of a very long one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When it was read from the service, in nanoseconds since 1970.
    pub at_unix_ns: u64,
    /// Where the service wrote it.
    pub stream: Stream,
    /// The text, without its line end; bytes that are not UTF-8 are replaced.
    pub text: String,
    /// Whether the line ends here; if not, the next record of the stream continues it.
    pub complete: bool,
}

/// Appends the line of one record to `into`. `text` holds no line feed and is short enough.
pub(crate) fn encode(into: &mut Vec<u8>, at_unix_ns: u64, stream: Stream, complete: bool, text: &[u8]) {
    debug_assert!(text.len() <= TEXT_BYTES_MAX && !text.contains(&b'\n'));
    into.extend_from_slice(at_unix_ns.to_string().as_bytes());
    into.push(b' ');
    into.push(match stream {
        Stream::Stdout => b'o',
        Stream::Stderr => b'e',
    });
    into.push(if complete { b'.' } else { b'+' });
    into.push(b' ');
    into.extend_from_slice(text);
    into.push(b'\n');
}

/// Reads one line without its line feed. `None`: it is no record (torn, or not ours).
pub(crate) fn decode(line: &[u8]) -> Option<Record> {
    let space = line.iter().position(|byte| *byte == b' ')?;
    let at_unix_ns = std::str::from_utf8(&line[..space]).ok()?.parse().ok()?;
    let (stream, complete, text) = match &line[space + 1..] {
        [stream, end, b' ', text @ ..] => (stream, end, text),
        _ => return None,
    };
    Some(Record {
        at_unix_ns,
        stream: match stream {
            b'o' => Stream::Stdout,
            b'e' => Stream::Stderr,
            _ => return None,
        },
        complete: match complete {
            b'.' => true,
            b'+' => false,
            _ => return None,
        },
        text: String::from_utf8_lossy(text).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        for (stream, complete, text) in [
            (Stream::Stdout, true, "hello world"),
            (Stream::Stderr, false, ""),
            (Stream::Stdout, true, " a\r"),
        ] {
            let mut line = Vec::new();
            encode(&mut line, 17, stream, complete, text.as_bytes());
            assert_eq!(line.pop(), Some(b'\n'));
            let want = Record { at_unix_ns: 17, stream, text: text.to_owned(), complete };
            assert_eq!(decode(&line), Some(want));
        }
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for line in ["", "12", "12 ", "12 o", "12 o.", "12 x. a", "12 o? a", "a o. b", "-1 o. b", "\0\0\0\0"]
        {
            assert_eq!(decode(line.as_bytes()), None, "{line:?}");
        }
    }
}
