//! Certificates and requests for them: reading (RFC 5280, 4.1; RFC 2986), and making.

use super::{
    algorithm::{Algorithm, PublicKey},
    clock,
    der::{self, Malformed, Reader},
    extension::{self, Extension},
    key::{KeyError, PrivateKey},
    pem,
};

/// A certificate that was read. Whether its signature holds is asked with [`Certificate::signed_by`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Certificate {
    /// Whole.
    pub(super) der: Vec<u8>,
    signed: Vec<u8>,
    signature_algorithm: Vec<u8>,
    signature: Vec<u8>,
    /// Big-endian, without zeros at the front.
    pub(super) serial: Vec<u8>,
    /// `Name`.
    pub(super) issuer: Vec<u8>,
    /// `Name`.
    pub(super) subject: Vec<u8>,
    /// Seconds since 1970.
    pub(super) not_before: u64,
    /// Seconds since 1970.
    pub(super) not_after: u64,
    pub(super) public_key: PublicKey,
    pub(super) extensions: Vec<Extension>,
}

impl Certificate {
    /// Reads one.
    ///
    /// # Errors
    /// For what is none, or is not DER.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut whole = Reader::only(bytes, der::SEQUENCE)?.inside();
        let signed = whole.expect(der::SEQUENCE)?;
        let signature_algorithm = whole.expect(der::SEQUENCE)?;
        let signature = whole.expect(der::BIT_STRING)?.bit_string()?;
        whole.end()?;
        let mut inside = signed.inside();
        inside.optional(der::context(0))?;
        let serial = inside.unsigned()?;
        // The algorithm is stated twice, and both are to agree (RFC 5280, 4.1.1.2).
        if inside.expect(der::SEQUENCE)?.whole != signature_algorithm.whole {
            return Err(Malformed);
        }
        let issuer = inside.expect(der::SEQUENCE)?;
        let mut validity = inside.expect(der::SEQUENCE)?.inside();
        let (not_before, not_after) = (clock::decode(validity.next()?)?, clock::decode(validity.next()?)?);
        let subject = inside.expect(der::SEQUENCE)?;
        let public_key = PublicKey::parse(inside.expect(der::SEQUENCE)?.whole)?;
        inside.optional(0x81)?;
        inside.optional(0x82)?;
        let extensions = match inside.optional(der::context(3))? {
            Some(extensions) => extension::parse_all(Reader::only(extensions.content, der::SEQUENCE)?)?,
            None => Vec::new(),
        };
        inside.end()?;
        Ok(Self {
            der: bytes.to_vec(),
            signed: signed.whole.to_vec(),
            signature_algorithm: signature_algorithm.whole.to_vec(),
            signature: signature.to_vec(),
            serial: serial.to_vec(),
            issuer: issuer.whole.to_vec(),
            subject: subject.whole.to_vec(),
            not_before,
            not_after,
            public_key,
            extensions,
        })
    }

    /// Reads the first certificate of a text.
    pub(super) fn parse_pem(text: &str) -> Option<Self> {
        Self::parse(&pem::first(text)?.0.der).ok()
    }

    /// Whether the other's key made its signature, and the other's name is its issuer's.
    pub(super) fn signed_by(&self, issuer: &Self) -> bool {
        self.issuer == issuer.subject
            && issuer.public_key.verify(&self.signature_algorithm, &self.signed, &self.signature)
    }

    /// Whether it signed itself.
    pub(super) fn self_signed(&self) -> bool {
        self.signed_by(self)
    }

    fn find(&self, oid: &[u8]) -> Option<&Extension> {
        extension::find(&self.extensions, oid)
    }

    /// Whether it may sign others, and how many may follow.
    pub(super) fn authority(&self) -> Option<(bool, Option<u32>)> {
        let value = &self.find(extension::BASIC_CONSTRAINTS)?.value;
        extension::parse_basic_constraints(value).ok()
    }

    /// Whether it may sign others.
    pub(super) fn is_authority(&self) -> bool {
        self.authority().is_some_and(|(authority, _)| authority)
    }

    /// Its key's identifier.
    pub(super) fn subject_key_identifier(&self) -> Option<Vec<u8>> {
        let value = &self.find(extension::SUBJECT_KEY_IDENTIFIER)?.value;
        Reader::only(value, der::OCTET_STRING).ok().map(|element| element.content.to_vec())
    }

    /// Whether it says that it may sign lists of revoked certificates.
    pub(super) fn may_sign_lists(&self) -> bool {
        let Some(usage) = self.find(extension::KEY_USAGE) else { return false };
        let content = Reader::only(&usage.value, der::BIT_STRING).map(|element| element.content);
        // The first byte says how many bits of the last are unused; bit 6 is the second lowest of the second byte.
        content.is_ok_and(|content| content.get(1).is_some_and(|byte| byte & 0b10 != 0))
    }

    /// Whether it says where its issuer, its list or its responder are.
    pub(super) fn has_access_information(&self) -> bool {
        self.find(extension::AUTHORITY_INFORMATION).is_some()
            || self.find(extension::CRL_DISTRIBUTION_POINTS).is_some()
    }

    /// `12:ab:...`.
    pub(super) fn serial_text(&self) -> String {
        serial_text(&self.serial)
    }

    /// As PEM.
    pub(super) fn pem(&self) -> String {
        pem::certificate(&self.der)
    }
}

/// A serial number as Vault writes it: `12:ab:...`.
pub(super) fn serial_text(serial: &[u8]) -> String {
    let pairs: Vec<_> = serial.iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.join(":")
}

/// A serial number under which a certificate is kept: `12-ab-...`. `None` for what can be none.
pub(super) fn serial_key(text: &str) -> Option<String> {
    /// Longer ones are none that RFC 5280 allows (20 bytes), with some room.
    const SERIAL_CHARACTERS_MAX: usize = 128;
    let fits = !text.is_empty() && text.len() <= SERIAL_CHARACTERS_MAX;
    let sound = text.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'-'));
    (fits && sound).then(|| text.to_lowercase().replace(':', "-"))
}

/// A new serial number: 159 random bits, always 20 bytes.
pub(super) fn new_serial() -> Result<Vec<u8>, KeyError> {
    let mut serial = [0; 20];
    aws_lc_rs::rand::fill(&mut serial).map_err(|_| KeyError::Library("make a serial number"))?;
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(serial.to_vec())
}

/// A certificate that is to be signed.
pub(super) struct Template<'a> {
    pub(super) serial: &'a [u8],
    /// `Name`.
    pub(super) issuer: &'a [u8],
    /// `Name`.
    pub(super) subject: &'a [u8],
    pub(super) not_before: u64,
    pub(super) not_after: u64,
    pub(super) public_key: &'a PublicKey,
    pub(super) extensions: &'a [Extension],
}

impl Template<'_> {
    /// Signs it.
    ///
    /// # Errors
    /// Those of the key.
    pub(super) fn sign(&self, key: &PrivateKey, algorithm: Algorithm) -> Result<Vec<u8>, KeyError> {
        let identifier = algorithm.identifier();
        let validity = der::sequence(&[&clock::encode(self.not_before), &clock::encode(self.not_after)]);
        let extensions = if self.extensions.is_empty() {
            Vec::new()
        } else {
            der::element(der::context(3), &extension::encode_all(self.extensions))
        };
        let signed = der::sequence(&[
            &der::element(der::context(0), &der::number(2)),
            &der::unsigned(self.serial),
            &identifier,
            self.issuer,
            &validity,
            self.subject,
            &self.public_key.info,
            &extensions,
        ]);
        let signature = key.sign(algorithm, &signed)?;
        Ok(der::sequence(&[&signed, &identifier, &der::bits(&signature)]))
    }
}

/// extensionRequest, 1.2.840.113549.1.9.14.
const EXTENSION_REQUEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 14];

/// A request for a certificate that was read.
#[derive(Debug, Clone)]
pub(super) struct CertificateRequest {
    signed: Vec<u8>,
    signature_algorithm: Vec<u8>,
    signature: Vec<u8>,
    /// `Name`.
    pub(super) subject: Vec<u8>,
    pub(super) public_key: PublicKey,
    pub(super) extensions: Vec<Extension>,
}

impl CertificateRequest {
    /// Reads one.
    ///
    /// # Errors
    /// For what is none, or is not DER.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut whole = Reader::only(bytes, der::SEQUENCE)?.inside();
        let signed = whole.expect(der::SEQUENCE)?;
        let signature_algorithm = whole.expect(der::SEQUENCE)?;
        let signature = whole.expect(der::BIT_STRING)?.bit_string()?;
        whole.end()?;
        let mut inside = signed.inside();
        inside.expect(der::INTEGER)?;
        let subject = inside.expect(der::SEQUENCE)?;
        let public_key = PublicKey::parse(inside.expect(der::SEQUENCE)?.whole)?;
        let extensions = match inside.optional(der::context(0))? {
            Some(attributes) => requested_extensions(attributes)?,
            None => Vec::new(),
        };
        inside.end()?;
        Ok(Self {
            signed: signed.whole.to_vec(),
            signature_algorithm: signature_algorithm.whole.to_vec(),
            signature: signature.to_vec(),
            subject: subject.whole.to_vec(),
            public_key,
            extensions,
        })
    }

    /// Whether whoever made it has the key.
    pub(super) fn signature_holds(&self) -> bool {
        self.public_key.verify(&self.signature_algorithm, &self.signed, &self.signature)
    }
}

fn requested_extensions(attributes: der::Element<'_>) -> Result<Vec<Extension>, Malformed> {
    let mut found = None;
    let mut inside = attributes.inside();
    while !inside.is_empty() {
        let mut attribute = inside.expect(der::SEQUENCE)?.inside();
        if attribute.expect(der::OID)?.content != EXTENSION_REQUEST {
            continue;
        }
        let mut values = attribute.expect(der::SET)?.inside();
        let extensions = extension::parse_all(values.expect(der::SEQUENCE)?)?;
        // A second list would be one that another reader may take instead.
        if found.replace(extensions).is_some() || !values.is_empty() {
            return Err(Malformed);
        }
    }
    Ok(found.unwrap_or_default())
}

/// Makes a request and signs it.
///
/// # Errors
/// Those of the key.
pub(super) fn sign_request(
    subject: &[u8],
    extensions: &[Extension],
    key: &PrivateKey,
    algorithm: Algorithm,
) -> Result<Vec<u8>, KeyError> {
    let attributes = if extensions.is_empty() {
        Vec::new()
    } else {
        let values = der::element(der::SET, &extension::encode_all(extensions));
        der::sequence(&[&der::element(der::OID, EXTENSION_REQUEST), &values])
    };
    let signed = der::sequence(&[
        &der::number(0),
        subject,
        &key.public().info,
        &der::element(der::context(0), &attributes),
    ]);
    let signature = key.sign(algorithm, &signed)?;
    Ok(der::sequence(&[&signed, &algorithm.identifier(), &der::bits(&signature)]))
}
