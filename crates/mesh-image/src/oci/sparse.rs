//! Files with holes: where their stored bytes belong.

use super::{
    error::LayerError,
    pax::{self, SparseForm},
    tape::{BLOCK, Header, read_block},
};
use std::io::Read;

/// Most pieces of one file.
const PIECES_MAX: usize = 100_000;
/// Pieces in a header and in each block that goes on with it.
const HEADER_PIECES: usize = 4;
const BLOCK_PIECES: usize = 21;
/// Where the pieces start in a header; where the flag is that more follow; where the size with holes is.
const HEADER_START: usize = 386;
const HEADER_MORE: usize = 482;
const REAL_SIZE: std::ops::Range<usize> = 483..495;
const BLOCK_MORE: usize = 504;
/// Most digits of a number in a map that stands before the content.
const DIGITS_MAX: usize = 20;

const TOO_MANY: LayerError = LayerError::Broken { why: "a file with too many holes" };
const BROKEN: LayerError = LayerError::Broken { why: "a map of holes that cannot be read" };

/// Bytes that are stored, and where they belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// GNU's old form: pieces in the header, more of them in blocks after it. Gives the size with holes too.
pub(super) fn old_form(
    header: &Header,
    source: &mut impl Read,
    stored: u64,
) -> Result<(Vec<Piece>, u64), LayerError> {
    let mut pieces = Vec::new();
    let mut take = |block: &[u8], start: usize, count: usize| -> Result<(), LayerError> {
        for at in (0..count).map(|index| start + index * 24) {
            if block[at] == 0 {
                return Ok(());
            }
            let (offset, length) =
                (pax::number(&block[at..at + 12])?, pax::number(&block[at + 12..at + 24])?);
            pieces.push(Piece { offset, length });
        }
        if pieces.len() > PIECES_MAX { Err(TOO_MANY) } else { Ok(()) }
    };
    take(&header.0, HEADER_START, HEADER_PIECES)?;
    let mut more = header.0[HEADER_MORE] != 0;
    while more {
        let block = read_block(source)?.ok_or(LayerError::CutOff)?;
        take(&block.0, 0, BLOCK_PIECES)?;
        more = block.0[BLOCK_MORE] != 0;
    }
    let real = header.number(REAL_SIZE)?;
    Ok((pieces, real.max(stored)))
}

/// The forms of pax: pieces in the records, or before the content.
pub(super) fn pax_form(form: &SparseForm, content: &mut impl Read) -> Result<(Vec<Piece>, u64), LayerError> {
    let map = if form.map_in_content { map_of(content)? } else { form.map.clone() };
    if map.len() > 2 * PIECES_MAX {
        return Err(TOO_MANY);
    }
    let (pairs, rest) = map.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(BROKEN);
    }
    let pieces: Vec<Piece> = pairs.iter().map(|&[offset, length]| Piece { offset, length }).collect();
    let end = pieces.last().map_or(0, |piece| piece.offset.saturating_add(piece.length));
    Ok((pieces, form.real_size.unwrap_or(end)))
}

/// A map before the content: how many pieces, then offset and length of each, a line each, padded.
fn map_of(content: &mut impl Read) -> Result<Vec<u64>, LayerError> {
    let (mut numbers, mut wanted) = (Vec::new(), None);
    let mut digits = String::new();
    while wanted.is_none_or(|wanted| numbers.len() < wanted) {
        let mut block = [0; BLOCK];
        content.read_exact(&mut block).map_err(LayerError::Read)?;
        for byte in block {
            match byte {
                b'0'..=b'9' if digits.len() < DIGITS_MAX => digits.push(char::from(byte)),
                b'\n' if !digits.is_empty() => {
                    let number: u64 = digits.parse().map_err(|_| BROKEN)?;
                    digits.clear();
                    match wanted {
                        None => {
                            let count = usize::try_from(number).ok().filter(|&count| count <= PIECES_MAX);
                            wanted = Some(2 * count.ok_or(TOO_MANY)?);
                        }
                        Some(_) => numbers.push(number),
                    }
                }
                _ => return Err(BROKEN),
            }
            if wanted.is_some_and(|wanted| numbers.len() >= wanted) {
                break;
            }
        }
    }
    Ok(numbers)
}

/// Fails unless the pieces follow each other within the file and take just the stored bytes.
pub(super) fn check(pieces: &[Piece], stored: u64, size: u64) -> Result<(), LayerError> {
    let (mut end, mut sum) = (0_u64, 0_u64);
    for piece in pieces {
        let next = piece.offset.checked_add(piece.length).filter(|_| piece.offset >= end);
        end = next.filter(|&next| next <= size).ok_or(BROKEN)?;
        sum += piece.length;
    }
    if sum == stored && size <= i64::MAX as u64 { Ok(()) } else { Err(BROKEN) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_before_the_content_is_read() {
        let mut block = b"2\n0\n10\n4096\n5\n".to_vec();
        block.resize(BLOCK, 0);
        let form = SparseForm { map_in_content: true, real_size: Some(5000), ..SparseForm::default() };
        let (pieces, size) = pax_form(&form, &mut block.as_slice()).unwrap();
        assert_eq!((pieces.len(), pieces[1].offset, pieces[1].length, size), (2, 4096, 5, 5000));
        check(&pieces, 15, size).unwrap();
    }

    #[test]
    fn maps_that_lie_are_refused() {
        let piece = |offset, length| Piece { offset, length };
        for (pieces, stored, size) in [
            (vec![piece(0, 10), piece(5, 10)], 20, 100),
            (vec![piece(90, 20)], 20, 100),
            (vec![piece(u64::MAX, 2)], 2, u64::MAX),
            (vec![piece(0, 10)], 11, 100),
            (vec![], 0, u64::MAX),
        ] {
            assert!(check(&pieces, stored, size).is_err(), "{pieces:?}");
        }
        for text in [&b"x"[..], b"99999999\n", b"\n\n", b"1\n0\n"] {
            let mut block = text.to_vec();
            block.resize(BLOCK, 0);
            let form = SparseForm { map_in_content: true, ..SparseForm::default() };
            assert!(pax_form(&form, &mut block.as_slice()).is_err());
        }
    }
}
