//! Random names, names that can be part of a path, and hashes under which secrets are kept.

use crate::logical::Refusal;
use aws_lc_rs::{hmac, rand};
use std::fmt::Write;

/// The longest text that is hashed into a name.
pub(super) const HASHED_BYTES_MAX: usize = 4_096;

/// 128 random bits in the form of a UUID.
pub(super) fn random() -> Result<String, Refusal> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|_| Refusal::failed("failed to generate a random identifier"))?;
    let mut text = hex(&bytes);
    for at in [20, 16, 12, 8] {
        text.insert(at, '-');
    }
    Ok(text)
}

/// HMAC-SHA256 of a text in hexadecimal: what is stored of a secret, and what it is found by.
pub(super) fn hashed(key: &str, text: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    hex(hmac::sign(&key, text.as_bytes()).as_ref())
}

/// Letters, digits and `_`, with `-` and `.` between: the names that Vault's paths take.
pub(super) fn is_name(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = text.as_bytes();
    let inner = bytes.iter().all(|byte| word(*byte) || matches!(byte, b'-' | b'.'));
    inner && bytes.first().is_some_and(|byte| word(*byte)) && bytes.last().is_some_and(|byte| word(*byte))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::{hashed, is_name, random};

    #[test]
    fn identifiers() {
        let (one, two) = (random().unwrap(), random().unwrap());
        assert_ne!(one, two);
        let parts: Vec<usize> = one.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        // RFC 4231, test case 2.
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hashed("Jefe", "what do ya want for nothing?"), expected);
    }

    #[test]
    fn names() {
        for name in ["a", "a-b", "a.b_c", "0", "_"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "-a", "a-", ".", "a b", "a/b", "ä", "a%"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
