//! Private keys: making, reading, writing and signing with them. Never in `Debug`.

use super::{
    algorithm::{Algorithm, Curve, Hash, Kind, PublicKey, Shape},
    der::{self, Reader},
    pem::Block,
    slots::Slots,
};
use crate::logical::Refusal;
use aws_lc_rs::{
    encoding::{AsDer, EcPrivateKeyRfc5915Der, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{self as lc, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaEncoding},
};
use zeroize::Zeroizing;

/// The largest RSA key that may be brought in: a larger one would make every signature cost seconds.
const RSA_BITS_MAX: u32 = 8_192;
/// The smallest RSA key that is used at all.
pub(super) const RSA_BITS_MIN: u32 = 2_048;

/// RSA keys in the making.
static RSA_SLOTS: Slots = Slots::new();

/// A private key, ready to sign.
pub(super) enum PrivateKey {
    Rsa(Box<RsaKeyPair>),
    Ec(EcdsaKeyPair, Curve),
    Ed25519(Ed25519KeyPair),
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrivateKey({})", self.kind().name())
    }
}

/// What cannot be had of a key.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyError {
    /// It is no key, is encrypted, or has parts that contradict each other.
    #[error(
        "error parsing private key: it is not an unencrypted RSA, ECDSA or Ed25519 key in PKCS#1, SEC1 or PKCS#8"
    )]
    Rejected,
    /// Too small or too large.
    #[error("RSA keys of {0} bits are not supported")]
    Size(u32),
    /// The library failed.
    #[error("could not {0}")]
    Library(&'static str),
}

impl From<KeyError> for Refusal {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Library(attempted) => {
                Self::Internal { attempted: format!("could not {attempted}"), source: None }
            }
            other => Self::invalid(other.to_string()),
        }
    }
}

impl PrivateKey {
    /// Makes one. `bits` is one of those that [`specification`] lets through.
    pub(super) fn generate(kind: Kind, bits: u32) -> Result<Self, KeyError> {
        let failed = |_| KeyError::Library("generate a private key");
        match kind {
            Kind::Rsa => {
                let size = match bits {
                    2_048 => KeySize::Rsa2048,
                    3_072 => KeySize::Rsa3072,
                    4_096 => KeySize::Rsa4096,
                    other => return Err(KeyError::Size(other)),
                };
                let made = RSA_SLOTS.work(|| RsaKeyPair::generate(size));
                made.ok_or(KeyError::Library("start a thread for a private key"))?
                    .map(|key| Self::Rsa(Box::new(key)))
                    .map_err(failed)
            }
            Kind::Ec => {
                let curve = Curve::of_bits(bits).ok_or(KeyError::Library("generate a key on this curve"))?;
                EcdsaKeyPair::generate(signing(curve)).map(|key| Self::Ec(key, curve)).map_err(failed)
            }
            Kind::Ed25519 => Ed25519KeyPair::generate().map(Self::Ed25519).map_err(failed),
        }
    }

    /// Reads PKCS#8, PKCS#1 or SEC1, whatever the block's label says.
    pub(super) fn from_block(block: &Block) -> Result<Self, KeyError> {
        Self::from_der(&block.der)
    }

    /// Reads PKCS#8, PKCS#1 or SEC1.
    pub(super) fn from_der(bytes: &[u8]) -> Result<Self, KeyError> {
        if let Ok(key) = RsaKeyPair::from_pkcs8(bytes).or_else(|_| RsaKeyPair::from_der(bytes)) {
            let bits = key.public_modulus_len() as u32 * 8;
            let fits = (RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits);
            return if fits { Ok(Self::Rsa(Box::new(key))) } else { Err(KeyError::Size(bits)) };
        }
        for curve in Curve::ALL {
            if let Ok(key) = EcdsaKeyPair::from_private_key_der(signing(curve), bytes) {
                return Ok(Self::Ec(key, curve));
            }
        }
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes).map(Self::Ed25519).map_err(|_| KeyError::Rejected)
    }

    /// What `key_type` says.
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Rsa(_) => Kind::Rsa,
            Self::Ec(..) => Kind::Ec,
            Self::Ed25519(_) => Kind::Ed25519,
        }
    }

    /// Its other half.
    pub(super) fn public(&self) -> PublicKey {
        match self {
            Self::Rsa(key) => {
                let shape = Shape::Rsa(key.public_modulus_len() as u32 * 8);
                PublicKey::of(shape, key.public_key().as_ref())
            }
            Self::Ec(key, curve) => PublicKey::of(Shape::Ec(*curve), key.public_key().as_ref()),
            Self::Ed25519(key) => PublicKey::of(Shape::Ed25519, key.public_key().as_ref()),
        }
    }

    /// PKCS#8, version 1.
    pub(super) fn pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let failed = |_| KeyError::Library("encode a private key");
        let bytes = match self {
            Self::Rsa(key) => {
                let document: Pkcs8V1Der<'_> = key.as_der().map_err(failed)?;
                document.as_ref().to_vec()
            }
            Self::Ec(key, _) => key.to_pkcs8v1().map_err(failed)?.as_ref().to_vec(),
            Self::Ed25519(key) => key.to_pkcs8v1().map_err(failed)?.as_ref().to_vec(),
        };
        Ok(Zeroizing::new(bytes))
    }

    /// PKCS#1 for RSA, SEC1 for ECDSA, PKCS#8 for Ed25519, with the label of each: Vault's `der`.
    pub(super) fn native(&self) -> Result<(&'static str, Zeroizing<Vec<u8>>), KeyError> {
        let failed = |_| KeyError::Library("encode a private key");
        match self {
            Self::Rsa(_) => {
                let whole = self.pkcs8()?;
                let inner = pkcs8_content(&whole).map_err(|_| KeyError::Library("encode a private key"))?;
                Ok(("RSA PRIVATE KEY", Zeroizing::new(inner.to_vec())))
            }
            Self::Ec(key, _) => {
                let inner: EcPrivateKeyRfc5915Der<'_> = key.private_key().as_der().map_err(failed)?;
                Ok(("EC PRIVATE KEY", Zeroizing::new(inner.as_ref().to_vec())))
            }
            Self::Ed25519(_) => Ok(("PRIVATE KEY", self.pkcs8()?)),
        }
    }

    /// Signs.
    pub(super) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let failed = |_| KeyError::Library("sign");
        let random = SystemRandom::new();
        match (self, algorithm) {
            (Self::Rsa(key), Algorithm::Rsa(_) | Algorithm::RsaPss(_)) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(padding(algorithm), &random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
            (Self::Ec(key, curve), Algorithm::Ecdsa(hash)) if hash == curve.hash() => {
                key.sign(&random, message).map(|signature| signature.as_ref().to_vec()).map_err(failed)
            }
            (Self::Ed25519(key), Algorithm::Ed25519) => Ok(key.sign(message).as_ref().to_vec()),
            _ => Err(KeyError::Library("sign with this algorithm and key")),
        }
    }

    /// The algorithm that it signs with: a curve has one, for RSA `hash_bits` and PSS choose.
    pub(super) fn algorithm(&self, hash_bits: u32, pss: bool) -> Algorithm {
        match self {
            Self::Rsa(_) => {
                let hash = Hash::of_bits(hash_bits).unwrap_or(Hash::Sha256);
                if pss { Algorithm::RsaPss(hash) } else { Algorithm::Rsa(hash) }
            }
            Self::Ec(_, curve) => Algorithm::Ecdsa(curve.hash()),
            Self::Ed25519(_) => Algorithm::Ed25519,
        }
    }
}

/// The algorithm's own structure inside of PKCS#8.
fn pkcs8_content(whole: &[u8]) -> Result<&[u8], der::Malformed> {
    let mut inside = Reader::only(whole, der::SEQUENCE)?.inside();
    inside.expect(der::INTEGER)?;
    inside.expect(der::SEQUENCE)?;
    Ok(inside.expect(der::OCTET_STRING)?.content)
}

fn signing(curve: Curve) -> &'static EcdsaSigningAlgorithm {
    match curve {
        Curve::P256 => &lc::ECDSA_P256_SHA256_ASN1_SIGNING,
        Curve::P384 => &lc::ECDSA_P384_SHA384_ASN1_SIGNING,
        Curve::P521 => &lc::ECDSA_P521_SHA512_ASN1_SIGNING,
    }
}

fn padding(algorithm: Algorithm) -> &'static dyn RsaEncoding {
    match algorithm {
        Algorithm::Rsa(Hash::Sha384) => &lc::RSA_PKCS1_SHA384,
        Algorithm::Rsa(Hash::Sha512) => &lc::RSA_PKCS1_SHA512,
        Algorithm::RsaPss(Hash::Sha256) => &lc::RSA_PSS_SHA256,
        Algorithm::RsaPss(Hash::Sha384) => &lc::RSA_PSS_SHA384,
        Algorithm::RsaPss(Hash::Sha512) => &lc::RSA_PSS_SHA512,
        _ => &lc::RSA_PKCS1_SHA256,
    }
}

/// What is asked for of a new key, with defaults filled in and judged, as Vault does it.
///
/// # Errors
/// Vault's words for a type or a length that cannot be had. P-224 and RSA of 8192 bits are among these here.
pub(super) fn specification(
    kind: &str,
    bits: i64,
    hash_bits: i64,
) -> Result<(Option<Kind>, u32, u32), String> {
    let bits = match (kind, bits) {
        ("rsa", 0) => 2_048,
        ("ec", 0) => 256,
        ("rsa", bits) if bits < 2_048 => {
            return Err(format!("RSA keys < 2048 bits are unsafe and not supported: got {bits}"));
        }
        ("rsa", bits) if ![2_048, 3_072, 4_096].contains(&bits) => {
            return Err(format!("unsupported bit length for RSA key: {bits}"));
        }
        ("ec", bits) if ![256, 384, 521].contains(&bits) => {
            return Err(format!("unsupported bit length for EC key: {bits}"));
        }
        ("rsa" | "ec", bits) => bits,
        ("ed25519" | "any", _) => 0,
        (other, _) => return Err(format!("unknown key type {other}")),
    };
    let hash_bits = match (kind, hash_bits) {
        ("rsa", 0) => 256,
        // A curve says itself what is signed with it.
        (_, given) => given,
    };
    if kind == "rsa" && ![256, 384, 512].contains(&hash_bits) {
        return Err(format!("unsupported hash signature algorithm: {hash_bits}"));
    }
    let kind = match kind {
        "rsa" => Some(Kind::Rsa),
        "ec" => Some(Kind::Ec),
        "ed25519" => Some(Kind::Ed25519),
        _ => None,
    };
    Ok((kind, bits as u32, u32::try_from(hash_bits).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_there_and_back_and_their_signatures_hold() {
        for (kind, bits) in
            [(Kind::Rsa, 2_048), (Kind::Ec, 256), (Kind::Ec, 384), (Kind::Ec, 521), (Kind::Ed25519, 0)]
        {
            let key = PrivateKey::generate(kind, bits).unwrap();
            let (_, native) = key.native().unwrap();
            for encoded in [key.pkcs8().unwrap(), native] {
                let again = PrivateKey::from_der(&encoded).unwrap();
                assert_eq!(again.public(), key.public());
                let algorithm = again.algorithm(0, false);
                let signature = again.sign(algorithm, b"message").unwrap();
                let public = PublicKey::parse(&key.public().info).unwrap();
                assert_eq!(public.shape, key.public().shape);
                assert!(public.verify(&algorithm.identifier(), b"message", &signature));
                assert!(!public.verify(&algorithm.identifier(), b"massage", &signature));
            }
            assert_eq!(format!("{key:?}"), format!("PrivateKey({})", kind.name()));
        }
    }

    #[test]
    fn every_algorithm_of_rsa_verifies() {
        let key = PrivateKey::generate(Kind::Rsa, 2_048).unwrap();
        for bits in [256, 384, 512] {
            for pss in [false, true] {
                let algorithm = key.algorithm(bits, pss);
                assert_eq!(Algorithm::identified(&algorithm.identifier()), Some(algorithm));
                assert_eq!(Algorithm::named(algorithm.name()), Some(algorithm));
                let signature = key.sign(algorithm, b"m").unwrap();
                assert!(key.public().verify(&algorithm.identifier(), b"m", &signature), "{algorithm:?}");
            }
        }
        assert!(key.sign(Algorithm::Ed25519, b"m").is_err());
    }

    #[test]
    fn what_is_no_key_is_rejected() {
        for bytes in [&[][..], &[0x30, 0], &[0x30, 3, 2, 1, 0], &[0xff; 64]] {
            assert!(PrivateKey::from_der(bytes).is_err());
        }
    }
}
