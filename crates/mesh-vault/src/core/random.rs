//! Names nobody can guess, and names nobody else has.

use crate::storage::StorageError;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// The largest multiple of 62 in a byte: what is above would make some letters likelier.
const UNBIASED: u8 = 248;

/// Random bytes.
///
/// # Errors
/// When the machine gives no randomness.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), StorageError> {
    crate::barrier::random(bytes)
}

/// Letters and digits, evenly drawn.
///
/// # Errors
/// When the machine gives no randomness.
pub(crate) fn base62(length: usize) -> Result<String, StorageError> {
    let mut text = String::with_capacity(length);
    let mut bytes = [0_u8; 32];
    while text.len() < length {
        fill(&mut bytes)?;
        let letters = bytes.iter().filter(|byte| **byte < UNBIASED);
        let letters = letters.map(|byte| char::from(BASE62[usize::from(byte % 62)]));
        text.extend(letters.take(length - text.len()));
    }
    Ok(text)
}

/// A random UUID (version 4).
///
/// # Errors
/// When the machine gives no randomness.
pub(crate) fn uuid() -> Result<String, StorageError> {
    let mut bytes = [0_u8; 16];
    fill(&mut bytes)?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex(&bytes);
    Ok([&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-"))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{base62, hex, uuid};

    #[test]
    fn shapes() {
        assert_eq!(base62(24).unwrap().len(), 24);
        assert!(base62(200).unwrap().bytes().all(|byte| byte.is_ascii_alphanumeric()));
        let id = uuid().unwrap();
        assert_eq!((id.len(), id.as_bytes()[14]), (36, b'4'));
        assert_eq!(hex(&[0, 255, 16]), "00ff10");
    }
}
