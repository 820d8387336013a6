//! Batch tokens: `hvb.` and the entry itself, encrypted by a key of their own behind the barrier.

use super::TokenEntry;
use crate::{core::random, storage::StorageError};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

/// What a batch token begins with.
pub(super) const PREFIX: &str = "hvb.";
/// What the ciphertext is bound to.
const PURPOSE: &[u8] = b"batch token 1";

/// Makes and opens batch tokens.
pub(super) struct Cipher(LessSafeKey);

impl Cipher {
    /// With a key of 32 bytes.
    pub(super) fn new(key: &[u8]) -> Result<Self, StorageError> {
        let corrupt = |_| StorageError::Corrupt { key: super::store::SECRETS.to_owned() };
        UnboundKey::new(&AES_256_GCM, key).map(|key| Self(LessSafeKey::new(key))).map_err(corrupt)
    }

    /// The token for an entry.
    pub(super) fn encode(&self, entry: &TokenEntry) -> Result<String, StorageError> {
        let failed = || StorageError::Corrupt { key: "batch token".to_owned() };
        let mut nonce = [0_u8; NONCE_LEN];
        random::fill(&mut nonce)?;
        let mut body = serde_json::to_vec(entry).map_err(|_| failed())?;
        let sealed = Nonce::assume_unique_for_key(nonce);
        self.0.seal_in_place_append_tag(sealed, Aad::from(PURPOSE), &mut body).map_err(|_| failed())?;
        let mut whole = nonce.to_vec();
        whole.append(&mut body);
        Ok(format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(whole)))
    }

    /// The entry of a token; `None` for one that was not made here.
    pub(super) fn decode(&self, token: &str) -> Option<TokenEntry> {
        let whole = BASE64_URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX)?).ok()?;
        let (nonce, body) = whole.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut body = body.to_vec();
        let plain = self.0.open_in_place(nonce, Aad::from(PURPOSE), &mut body).ok()?;
        serde_json::from_slice(plain).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::Cipher;
    use crate::token::TokenEntry;

    #[test]
    fn a_token_that_was_changed_is_none() {
        let cipher = Cipher::new(&[7; 32]).unwrap();
        let entry = TokenEntry { display_name: "a".to_owned(), ..TokenEntry::default() };
        let token = cipher.encode(&entry).unwrap();
        assert_eq!(cipher.decode(&token).unwrap().display_name, "a");
        let mut other = token.clone().into_bytes();
        other[20] ^= 1;
        assert!(cipher.decode(std::str::from_utf8(&other).unwrap()).is_none());
        assert!(Cipher::new(&[8; 32]).unwrap().decode(&token).is_none());
        assert!(cipher.decode("hvb.").is_none() && cipher.decode("hvb.AAAA").is_none());
    }
}
