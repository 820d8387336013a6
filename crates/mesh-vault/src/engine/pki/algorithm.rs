//! Signature algorithms: how they are named in certificates (RFC 4055, 5758, 8410) and in Vault's settings, and
//! verifying with them.

use super::der::{self, Reader};
use aws_lc_rs::signature::{self as lc, UnparsedPublicKey, VerificationAlgorithm};

/// Hashes that are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    /// By its length in bits.
    pub(super) fn of_bits(bits: u32) -> Option<Self> {
        match bits {
            256 => Some(Self::Sha256),
            384 => Some(Self::Sha384),
            512 => Some(Self::Sha512),
            _ => None,
        }
    }

    fn bytes(self) -> u64 {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The last arc of 2.16.840.1.101.3.4.2.
    fn arc(self) -> u8 {
        match self {
            Self::Sha256 => 1,
            Self::Sha384 => 2,
            Self::Sha512 => 3,
        }
    }
}

/// How something is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rsa(Hash),
    RsaPss(Hash),
    Ecdsa(Hash),
    Ed25519,
}

use Hash::{Sha256, Sha384, Sha512};

const ALL: [(Algorithm, &str); 10] = [
    (Algorithm::Rsa(Sha256), "SHA256WithRSA"),
    (Algorithm::Rsa(Sha384), "SHA384WithRSA"),
    (Algorithm::Rsa(Sha512), "SHA512WithRSA"),
    (Algorithm::Ecdsa(Sha256), "ECDSAWithSHA256"),
    (Algorithm::Ecdsa(Sha384), "ECDSAWithSHA384"),
    (Algorithm::Ecdsa(Sha512), "ECDSAWithSHA512"),
    (Algorithm::RsaPss(Sha256), "SHA256WithRSAPSS"),
    (Algorithm::RsaPss(Sha384), "SHA384WithRSAPSS"),
    (Algorithm::RsaPss(Sha512), "SHA512WithRSAPSS"),
    (Algorithm::Ed25519, "Ed25519"),
];

impl Algorithm {
    /// Vault's name for it.
    pub(super) fn name(self) -> &'static str {
        ALL.iter().find(|(algorithm, _)| *algorithm == self).map_or("", |(_, name)| name)
    }

    /// By Vault's name, in any case.
    pub(super) fn named(name: &str) -> Option<Self> {
        let name = if name.eq_ignore_ascii_case("PureEd25519") { "Ed25519" } else { name };
        ALL.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(algorithm, _)| *algorithm)
    }

    /// Vault's names of all.
    pub(super) fn names() -> String {
        let names: Vec<_> = ALL.iter().map(|(_, name)| name.to_lowercase()).collect();
        names.join(", ")
    }

    /// `AlgorithmIdentifier`.
    pub(super) fn identifier(self) -> Vec<u8> {
        match self {
            Self::Rsa(hash) => {
                let oid =
                    der::element(der::OID, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, hash.arc() + 10]);
                der::sequence(&[&oid, &der::NULL])
            }
            Self::RsaPss(hash) => pss_identifier(hash),
            Self::Ecdsa(hash) => {
                let oid = der::element(der::OID, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, hash.arc() + 1]);
                der::sequence(&[&oid])
            }
            Self::Ed25519 => der::sequence(&[&der::element(der::OID, &[0x2b, 0x65, 0x70])]),
        }
    }

    /// By an `AlgorithmIdentifier`.
    pub(super) fn identified(identifier: &[u8]) -> Option<Self> {
        if let Some((algorithm, _)) = ALL.iter().find(|(algorithm, _)| algorithm.identifier() == identifier) {
            return Some(*algorithm);
        }
        // Some leave out the NULL of RSA's parameters.
        let mut inside = Reader::only(identifier, der::SEQUENCE).ok()?.inside();
        let oid = inside.expect(der::OID).ok()?;
        let with_null = der::sequence(&[oid.whole, &der::NULL]);
        let bare = inside.is_empty().then_some(with_null)?;
        ALL.iter().find(|(algorithm, _)| algorithm.identifier() == bare).map(|(algorithm, _)| *algorithm)
    }
}

/// RFC 4055, 3.1: hash, mask by the same hash, salt as long as the hash.
fn pss_identifier(hash: Hash) -> Vec<u8> {
    let pkcs1 = |arc: u8| der::element(der::OID, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, arc]);
    let hash_oid = der::element(der::OID, &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, hash.arc()]);
    let hash_identifier = der::sequence(&[&hash_oid, &der::NULL]);
    let mask = der::sequence(&[&pkcs1(8), &hash_identifier]);
    let parameters = der::sequence(&[
        &der::element(der::context(0), &hash_identifier),
        &der::element(der::context(1), &mask),
        &der::element(der::context(2), &der::number(hash.bytes())),
    ]);
    der::sequence(&[&pkcs1(10), &parameters])
}

/// The kind of a key: what `key_type` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Rsa,
    Ec,
    Ed25519,
}

impl Kind {
    /// Vault's name for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rsa => "rsa",
            Self::Ec => "ec",
            Self::Ed25519 => "ed25519",
        }
    }
}

/// Curves of ECDSA that can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    pub(super) const ALL: [Self; 3] = [Self::P256, Self::P384, Self::P521];

    /// By its size in bits.
    pub(super) fn of_bits(bits: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|curve| curve.bits() == bits)
    }

    /// Its size.
    pub(super) fn bits(self) -> u32 {
        match self {
            Self::P256 => 256,
            Self::P384 => 384,
            Self::P521 => 521,
        }
    }

    /// Its `namedCurve`, whole.
    pub(super) fn oid(self) -> Vec<u8> {
        let content: &[u8] = match self {
            Self::P256 => &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7],
            Self::P384 => &[0x2b, 0x81, 4, 0, 34],
            Self::P521 => &[0x2b, 0x81, 4, 0, 35],
        };
        der::element(der::OID, content)
    }

    /// The hash that is signed with it: one of its own length.
    pub(super) fn hash(self) -> Hash {
        match self {
            Self::P256 => Sha256,
            Self::P384 => Sha384,
            Self::P521 => Sha512,
        }
    }
}

/// A public key as certificates carry it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PublicKey {
    /// `SubjectPublicKeyInfo`.
    pub(super) info: Vec<u8>,
    /// Its bit string.
    pub(super) bits: Vec<u8>,
    pub(super) shape: Option<Shape>,
}

/// What a public key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// With the length of its modulus.
    Rsa(u32),
    Ec(Curve),
    Ed25519,
}

impl Shape {
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Rsa(_) => Kind::Rsa,
            Self::Ec(_) => Kind::Ec,
            Self::Ed25519 => Kind::Ed25519,
        }
    }

    /// As `key_bits` counts; Vault shows 0 for Ed25519.
    pub(super) fn bits(self) -> u32 {
        match self {
            Self::Rsa(bits) => bits,
            Self::Ec(curve) => curve.bits(),
            Self::Ed25519 => 0,
        }
    }
}

/// rsaEncryption.
const RSA_OID: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
/// id-ecPublicKey.
const EC_OID: [u8; 7] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
/// id-Ed25519.
const ED25519_OID: [u8; 3] = [0x2b, 0x65, 0x70];

impl PublicKey {
    /// From the bit string of a kind of key.
    pub(super) fn of(shape: Shape, bits: &[u8]) -> Self {
        let algorithm = match shape {
            Shape::Rsa(_) => der::sequence(&[&der::element(der::OID, &RSA_OID), &der::NULL]),
            Shape::Ec(curve) => der::sequence(&[&der::element(der::OID, &EC_OID), &curve.oid()]),
            Shape::Ed25519 => der::sequence(&[&der::element(der::OID, &ED25519_OID)]),
        };
        let info = der::sequence(&[&algorithm, &der::bits(bits)]);
        Self { info, bits: bits.to_vec(), shape: Some(shape) }
    }

    /// From a `SubjectPublicKeyInfo`. A kind of key that is not known has no shape.
    pub(super) fn parse(info: &[u8]) -> Result<Self, der::Malformed> {
        let mut inside = Reader::only(info, der::SEQUENCE)?.inside();
        let mut algorithm = inside.expect(der::SEQUENCE)?.inside();
        let oid = algorithm.expect(der::OID)?;
        let bits = inside.expect(der::BIT_STRING)?.bit_string()?;
        inside.end()?;
        let shape = match oid.content {
            content if content == RSA_OID => Some(Shape::Rsa(rsa_bits(bits)?)),
            content if content == EC_OID => {
                let curve = algorithm.expect(der::OID)?;
                Curve::ALL.into_iter().find(|known| known.oid() == curve.whole).map(Shape::Ec)
            }
            content if content == ED25519_OID => Some(Shape::Ed25519),
            _ => None,
        };
        Ok(Self { info: info.to_vec(), bits: bits.to_vec(), shape })
    }

    /// The SHA-1 of its bits: what key identifiers are (RFC 5280, 4.2.1.2, method 1).
    pub(super) fn identifier(&self) -> Vec<u8> {
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, &self.bits).as_ref().to_vec()
    }

    /// Whether it made the signature of the message, by the `AlgorithmIdentifier`.
    pub(super) fn verify(&self, identifier: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let Some(algorithm) = Algorithm::identified(identifier) else { return false };
        let Some(verification) = self.shape.and_then(|shape| verification(shape, algorithm)) else {
            return false;
        };
        UnparsedPublicKey::new(verification, &self.bits).verify(message, signature).is_ok()
    }
}

fn rsa_bits(bits: &[u8]) -> Result<u32, der::Malformed> {
    let mut key = Reader::only(bits, der::SEQUENCE)?.inside();
    let modulus = key.unsigned()?;
    let first = modulus.first().ok_or(der::Malformed)?;
    u32::try_from(modulus.len() * 8).map(|bits| bits - first.leading_zeros()).map_err(|_| der::Malformed)
}

fn verification(shape: Shape, algorithm: Algorithm) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match (shape, algorithm) {
        (Shape::Rsa(_), Algorithm::Rsa(Sha256)) => &lc::RSA_PKCS1_2048_8192_SHA256,
        (Shape::Rsa(_), Algorithm::Rsa(Sha384)) => &lc::RSA_PKCS1_2048_8192_SHA384,
        (Shape::Rsa(_), Algorithm::Rsa(Sha512)) => &lc::RSA_PKCS1_2048_8192_SHA512,
        (Shape::Rsa(_), Algorithm::RsaPss(Sha256)) => &lc::RSA_PSS_2048_8192_SHA256,
        (Shape::Rsa(_), Algorithm::RsaPss(Sha384)) => &lc::RSA_PSS_2048_8192_SHA384,
        (Shape::Rsa(_), Algorithm::RsaPss(Sha512)) => &lc::RSA_PSS_2048_8192_SHA512,
        (Shape::Ec(Curve::P256), Algorithm::Ecdsa(Sha256)) => &lc::ECDSA_P256_SHA256_ASN1,
        (Shape::Ec(Curve::P256), Algorithm::Ecdsa(Sha384)) => &lc::ECDSA_P256_SHA384_ASN1,
        (Shape::Ec(Curve::P256), Algorithm::Ecdsa(Sha512)) => &lc::ECDSA_P256_SHA512_ASN1,
        (Shape::Ec(Curve::P384), Algorithm::Ecdsa(Sha256)) => &lc::ECDSA_P384_SHA256_ASN1,
        (Shape::Ec(Curve::P384), Algorithm::Ecdsa(Sha384)) => &lc::ECDSA_P384_SHA384_ASN1,
        (Shape::Ec(Curve::P384), Algorithm::Ecdsa(Sha512)) => &lc::ECDSA_P384_SHA512_ASN1,
        (Shape::Ec(Curve::P521), Algorithm::Ecdsa(Sha256)) => &lc::ECDSA_P521_SHA256_ASN1,
        (Shape::Ec(Curve::P521), Algorithm::Ecdsa(Sha384)) => &lc::ECDSA_P521_SHA384_ASN1,
        (Shape::Ec(Curve::P521), Algorithm::Ecdsa(Sha512)) => &lc::ECDSA_P521_SHA512_ASN1,
        (Shape::Ed25519, Algorithm::Ed25519) => &lc::ED25519,
        _ => return None,
    })
}
