//! Content digests: `sha256:<hex>` and `sha512:<hex>`, and the check of what streams by.
//!
//! A [`Digest`] that exists is well-formed: a registered algorithm and exactly its number of lower-case
//! hexadecimal digits. It can therefore be a file's name without a further look.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256, Sha512};
use std::{fmt, fmt::Write as _, str::FromStr};

/// What a digest is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// Its registered name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// How many hexadecimal digits it gives.
    #[must_use]
    pub const fn digits(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

/// The digest of some content.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    algorithm: Algorithm,
    hex: String,
}

/// Why a text is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// No colon.
    #[error("{text:?} is not a digest: it has no algorithm, such as `sha256:`")]
    NoAlgorithm {
        /// The text, shortened.
        text: String,
    },
    /// An algorithm that nobody has to support.
    #[error("digest algorithm {algorithm:?} is not known; sha256 and sha512 are")]
    Algorithm {
        /// Its name, shortened.
        algorithm: String,
    },
    /// Not the right number of lower-case hexadecimal digits.
    #[error("{text:?} is not a digest: {algorithm} has {digits} lower-case hexadecimal digits")]
    Hex {
        /// The text, shortened.
        text: String,
        /// The algorithm's name.
        algorithm: &'static str,
        /// How many digits it has.
        digits: usize,
    },
}

/// Longest piece of a wrong text that an error repeats, in characters.
const SHOWN_MAX: usize = 160;

impl Digest {
    /// Reads `algorithm:hex`.
    ///
    /// # Errors
    /// When the algorithm is not known or the digits are not its own.
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        let shown = || text.chars().take(SHOWN_MAX).collect::<String>();
        let Some((algorithm, hex)) = text.split_once(':') else {
            return Err(DigestError::NoAlgorithm { text: shown() });
        };
        let algorithm = match algorithm {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            other => {
                return Err(DigestError::Algorithm { algorithm: other.chars().take(SHOWN_MAX).collect() });
            }
        };
        let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if hex.len() != algorithm.digits() || !hex.bytes().all(lower_hex) {
            return Err(DigestError::Hex {
                text: shown(),
                algorithm: algorithm.name(),
                digits: algorithm.digits(),
            });
        }
        Ok(Self { algorithm, hex: hex.to_owned() })
    }

    /// The SHA-256 digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(bytes);
        hasher.finish()
    }

    /// What it is made with.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its digits.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// Whether these bytes have this digest.
    #[must_use]
    pub fn matches(&self, bytes: &[u8]) -> bool {
        let mut hasher = Hasher::new(self.algorithm);
        hasher.update(bytes);
        hasher.finish() == *self
    }

    /// A hasher that will say whether what it is given has this digest.
    #[must_use]
    pub fn hasher(&self) -> Hasher {
        Hasher::new(self.algorithm)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        Self::parse(text)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Makes a digest of what streams by.
#[derive(Debug, Clone)]
pub struct Hasher(State);

#[derive(Debug, Clone)]
enum State {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    /// A hasher that has seen nothing.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Sha512::new()),
        })
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    /// The digest of all it was given.
    #[must_use]
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Sha256(state) => Digest { algorithm: Algorithm::Sha256, hex: hex(&state.finalize()) },
            State::Sha512(state) => Digest { algorithm: Algorithm::Sha512, hex: hex(&state.finalize()) },
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn digests_are_read_strictly() {
        assert_eq!(Digest::parse(EMPTY).unwrap().to_string(), EMPTY);
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        for (text, expected) in [
            ("e3b0", "has no algorithm"),
            ("md5:00", "\"md5\" is not known"),
            ("sha256:ab", "64 lower-case"),
            (&EMPTY.to_uppercase().replace("SHA256", "sha256"), "64 lower-case"),
            ("sha256:../../../../../../../../../../../../../../../../../../../etc/passwd", "64 lower-case"),
        ] {
            let told = Digest::parse(text).unwrap_err().to_string();
            assert!(told.contains(expected), "{text}: {told}");
        }
        assert!(Digest::parse(&"x".repeat(1 << 20)).unwrap_err().to_string().len() < 300);
    }

    #[test]
    fn a_hasher_gives_what_the_whole_gives() {
        let digest = Digest::of(b"one two");
        let mut hasher = digest.hasher();
        hasher.update(b"one ");
        hasher.update(b"two");
        assert_eq!(hasher.finish(), digest);
        assert!(digest.matches(b"one two") && !digest.matches(b"one two "));
        assert!(Hasher::new(Algorithm::Sha512).finish().to_string().starts_with("sha512:cf83e1357eefb8bd"));
    }
}
