//! Textual encoding (RFC 7468): certificates, requests, lists and keys between their two lines.

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Blocks that one text may have: a bundle of chains, not a store of them.
const BLOCKS_MAX: usize = 256;
/// A text that is looked at at all. Beginnings without an end would make reading a longer one costly.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// Beginnings that turn out to be none, before a text is given up.
const FALSE_BEGINNINGS_MAX: usize = 8;

/// One block.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) label: String,
    pub(super) der: Vec<u8>,
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // It may be a key.
        f.debug_struct("Block").field("label", &self.label).finish_non_exhaustive()
    }
}

/// Text of 64 columns with an end of line at its end.
pub(super) fn encode_lines(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut text = String::with_capacity(body.len() + body.len() / 64 + 2 * label.len() + 40);
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

/// The same without an end of line at its end, as Vault answers.
pub(super) fn encode(label: &str, der: &[u8]) -> String {
    let mut text = encode_lines(label, der);
    text.pop();
    text
}

/// A certificate's text.
pub(super) fn certificate(der: &[u8]) -> String {
    encode("CERTIFICATE", der)
}

/// The first block of a text, and what follows it. What stands before it is passed over.
pub(super) fn first(text: &str) -> Option<(Block, &str)> {
    const BEGIN: &str = "-----BEGIN ";
    let mut from = Some(text).filter(|text| text.len() <= TEXT_BYTES_MAX)?;
    for _ in 0..FALSE_BEGINNINGS_MAX {
        let start = from.find(BEGIN)?;
        let after = &from[start + BEGIN.len()..];
        if let Some(found) = block(after) {
            return Some(found);
        }
        from = after;
    }
    None
}

/// A block whose label begins `text`.
fn block(text: &str) -> Option<(Block, &str)> {
    let (label, rest) = text.split_once("-----")?;
    if label.contains('\n') {
        return None;
    }
    let end = format!("-----END {label}-----");
    let at = rest.find(&end)?;
    let mut body: Vec<u8> = Vec::with_capacity(at);
    for line in rest[..at].lines().map(str::trim) {
        // Headers, as encrypted keys have them, end with an empty line.
        if line.contains(':') {
            continue;
        }
        body.extend(line.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    }
    let der = STANDARD.decode(&body).ok()?;
    Some((Block { label: label.to_owned(), der }, &rest[at + end.len()..]))
}

/// All blocks of a text, or the number of the one that is none.
pub(super) fn all(text: &str) -> Result<Vec<Block>, usize> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while !rest.trim().is_empty() {
        let number = blocks.len() + 1;
        let (block, after) = first(rest).filter(|_| number <= BLOCKS_MAX).ok_or(number)?;
        blocks.push(block);
        rest = after;
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::{all, encode, encode_lines, first};

    #[test]
    fn there_and_back() {
        for length in [0, 1, 47, 48, 49, 1_000] {
            let der = vec![0xa5; length];
            let (block, rest) =
                first(&encode_lines("X", &der)).map(|(block, rest)| (block, rest.to_owned())).unwrap();
            assert_eq!((block.label.as_str(), block.der, rest.as_str()), ("X", der, "\n"));
        }
    }

    #[test]
    fn texts_that_are_costly_to_read_are_not_read() {
        assert!(first(&"-----BEGIN X-----\n".repeat(1 << 16)).is_none());
        assert!(first(&"-----BEGIN X-----\n".repeat(1 << 10)).is_none());
        let late = format!("{}{}", "x".repeat(1 << 19), encode("X", b"1"));
        assert!(first(&late).is_some());
    }

    #[test]
    fn text_around_blocks_is_passed_over() {
        let two = format!("Bag attributes\n{}\nsubject: x\n{}\n", encode("A", b"1"), encode("B", b"2"));
        let labels: Vec<_> = all(&two).unwrap().into_iter().map(|block| block.label).collect();
        assert_eq!(labels, ["A", "B"]);
        assert_eq!(all(&format!("{two}trailing")), Err(3));
        for wrong in [
            "x",
            "-----BEGIN A-----",
            "-----BEGIN A-----\n!\n-----END A-----",
            "-----BEGIN A-----\nYQ==\n-----END B-----",
        ] {
            assert_eq!(all(wrong), Err(1), "{wrong}");
        }
        assert!(!format!("{:?}", all(&two)).contains("50"));
    }
}
