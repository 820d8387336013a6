//! Names nobody can guess, and names nobody else has.

use crate::storage::StorageError;
use std::cell::RefCell;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// The largest multiple of 62 in a byte: what is above would make some letters likelier.
const UNBIASED: u8 = 248;
const UUID_BYTES: usize = 16;
/// With the four `-` between them.
const UUID_LETTERS: usize = 36;

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

/// Random bytes that a thread has in stock for names which are no secret.
const STOCK_BYTES: usize = 1024;

struct Stock {
    bytes: [u8; STOCK_BYTES],
    used: usize,
}

thread_local! {
    static STOCK: RefCell<Stock> = const { RefCell::new(Stock { bytes: [0; STOCK_BYTES], used: STOCK_BYTES }) };
}

/// A random UUID (version 4) that names something and opens nothing: a request is not worth a call of the kernel.
///
/// # Errors
/// When the machine gives no randomness.
pub(crate) fn public_uuid() -> Result<String, StorageError> {
    let mut bytes = [0_u8; UUID_BYTES];
    STOCK.with_borrow_mut(|stock| {
        if STOCK_BYTES - stock.used < UUID_BYTES {
            fill(&mut stock.bytes)?;
            stock.used = 0;
        }
        bytes.copy_from_slice(&stock.bytes[stock.used..stock.used + UUID_BYTES]);
        stock.used += UUID_BYTES;
        Ok::<_, StorageError>(())
    })?;
    Ok(uuid_of(bytes))
}

/// A random UUID (version 4).
///
/// # Errors
/// When the machine gives no randomness.
pub(crate) fn uuid() -> Result<String, StorageError> {
    let mut bytes = [0_u8; UUID_BYTES];
    fill(&mut bytes)?;
    Ok(uuid_of(bytes))
}

fn uuid_of(mut bytes: [u8; UUID_BYTES]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::with_capacity(UUID_LETTERS);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        push_hex(&mut text, *byte);
    }
    text
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    bytes.iter().for_each(|byte| push_hex(&mut text, *byte));
    text
}

fn push_hex(text: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    text.push(char::from(DIGITS[usize::from(byte >> 4)]));
    text.push(char::from(DIGITS[usize::from(byte & 15)]));
}

#[cfg(test)]
mod tests {
    use super::{STOCK_BYTES, UUID_BYTES, base62, hex, public_uuid, uuid};
    use std::collections::HashSet;

    #[test]
    fn shapes() {
        assert_eq!(base62(24).unwrap().len(), 24);
        assert!(base62(200).unwrap().bytes().all(|byte| byte.is_ascii_alphanumeric()));
        let id = uuid().unwrap();
        assert_eq!((id.len(), id.as_bytes()[14]), (36, b'4'));
        assert_eq!(hex(&[0, 255, 16]), "00ff10");
    }

    #[test]
    fn no_name_comes_twice() {
        let names = 3 * STOCK_BYTES / UUID_BYTES;
        let of_threads: Vec<_> = (0..4)
            .map(|_| {
                std::thread::spawn(move || (0..names).map(|_| public_uuid().unwrap()).collect::<Vec<_>>())
            })
            .collect();
        let all: HashSet<String> = of_threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(all.len(), 4 * names);
        for id in all {
            assert!(id.len() == 36 && id.as_bytes()[14] == b'4' && id.split('-').count() == 5, "{id}");
        }
    }
}
