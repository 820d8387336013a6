//! Distinguished encoding (ITU-T X.690): as much of it as certificates need.
//!
//! Writing is functions from content to bytes. Reading walks over one level of elements; it accepts definite
//! and shortest lengths only, copies nothing and goes no deeper than its caller asks, so nesting costs no stack.

/// What is not DER, or not the structure that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed DER")]
pub(super) struct Malformed;

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const ENUMERATED: u8 = 0x0a;
pub(super) const UTF8_STRING: u8 = 0x0c;
pub(super) const PRINTABLE_STRING: u8 = 0x13;
pub(super) const IA5_STRING: u8 = 0x16;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
/// `NULL`, whole.
pub(super) const NULL: [u8; 2] = [0x05, 0x00];

/// The tag of a constructed `[number]`.
pub(super) const fn context(number: u8) -> u8 {
    0xa0 | number
}

/// The tag of a primitive `[number]`.
pub(super) const fn context_primitive(number: u8) -> u8 {
    0x80 | number
}

/// An element of its tag and content.
pub(super) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 6);
    out.push(tag);
    match u8::try_from(content.len()) {
        Ok(length) if length < 0x80 => out.push(length),
        _ => {
            let bytes = content.len().to_be_bytes();
            let significant = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
            out.push(0x80 | significant.len() as u8);
            out.extend_from_slice(significant);
        }
    }
    out.extend_from_slice(content);
    out
}

/// `SEQUENCE` of encoded elements.
pub(super) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(SEQUENCE, &parts.concat())
}

/// `SET OF`, whose elements DER sorts.
pub(super) fn set_of(mut parts: Vec<Vec<u8>>) -> Vec<u8> {
    parts.sort();
    element(SET, &parts.concat())
}

/// A whole number that is not negative, from its big-endian bytes.
pub(super) fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let significant = without_zeros(bytes);
    let mut content = Vec::with_capacity(significant.len() + 1);
    if significant.first().is_none_or(|byte| byte & 0x80 != 0) {
        content.push(0);
    }
    content.extend_from_slice(significant);
    element(INTEGER, &content)
}

/// A small whole number.
pub(super) fn number(value: u64) -> Vec<u8> {
    unsigned(&value.to_be_bytes())
}

/// `BIT STRING` of whole bytes.
pub(super) fn bits(bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(bytes.len() + 1);
    content.push(0);
    content.extend_from_slice(bytes);
    element(BIT_STRING, &content)
}

/// `BIT STRING` of named bits: bit 0 is the first. Zeros at the end are left out.
pub(super) fn named_bits(mask: u16) -> Vec<u8> {
    let bytes = mask.reverse_bits().to_be_bytes();
    let used = 16 - mask.leading_zeros();
    let (length, unused) = (used.div_ceil(8), (8 - used % 8) % 8);
    let mut content = vec![unused as u8];
    content.extend_from_slice(&bytes[..length as usize]);
    element(BIT_STRING, &content)
}

/// `OBJECT IDENTIFIER` from its dotted text.
pub(super) fn oid(dotted: &str) -> Option<Vec<u8>> {
    oid_content(dotted).map(|content| element(OID, &content))
}

/// The content of an `OBJECT IDENTIFIER` from its dotted text.
pub(super) fn oid_content(dotted: &str) -> Option<Vec<u8>> {
    let mut arcs = Vec::new();
    for arc in dotted.split('.') {
        let digits = !arc.is_empty() && arc.len() <= 18 && arc.bytes().all(|byte| byte.is_ascii_digit());
        arcs.push(digits.then(|| arc.parse::<u64>().ok()).flatten()?);
    }
    let [first, second, rest @ ..] = arcs.as_slice() else { return None };
    if *first > 2 || (*first < 2 && *second > 39) {
        return None;
    }
    let mut content = base128(first * 40 + second);
    rest.iter().for_each(|arc| content.extend(base128(*arc)));
    Some(content)
}

/// The dotted text of an `OBJECT IDENTIFIER`'s content.
pub(super) fn oid_text(content: &[u8]) -> Result<String, Malformed> {
    let mut arcs: Vec<u64> = Vec::new();
    let mut value: u64 = 0;
    for byte in content {
        value = value.checked_mul(128).ok_or(Malformed)? | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            arcs.push(value);
            value = 0;
        }
    }
    if content.last().is_none_or(|byte| byte & 0x80 != 0) {
        return Err(Malformed);
    }
    let first = (arcs[0] / 40).min(2);
    let mut text = format!("{first}.{}", arcs[0] - first * 40);
    arcs[1..].iter().for_each(|arc| text.push_str(&format!(".{arc}")));
    Ok(text)
}

fn base128(value: u64) -> Vec<u8> {
    let mut bytes = vec![(value & 0x7f) as u8];
    let mut rest = value >> 7;
    while rest > 0 {
        bytes.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    bytes.reverse();
    bytes
}

/// Big-endian bytes without zeros at the front.
pub(super) fn without_zeros(bytes: &[u8]) -> &[u8] {
    &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..]
}

/// One element.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    /// With its tag and length.
    pub(super) whole: &'a [u8],
}

impl<'a> Element<'a> {
    /// Its elements.
    pub(super) fn inside(&self) -> Reader<'a> {
        Reader::new(self.content)
    }

    /// The bytes of a `BIT STRING` whose last byte is whole.
    pub(super) fn bit_string(&self) -> Result<&'a [u8], Malformed> {
        match self.content.split_first() {
            Some((0, bytes)) if self.tag == BIT_STRING => Ok(bytes),
            _ => Err(Malformed),
        }
    }
}

/// Elements one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Over encoded elements.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The only element of `bytes`, which has the tag.
    pub(super) fn only(bytes: &'a [u8], tag: u8) -> Result<Element<'a>, Malformed> {
        let mut reader = Self::new(bytes);
        let element = reader.expect(tag)?;
        reader.end()?;
        Ok(element)
    }

    /// Whether nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next element.
    pub(super) fn next(&mut self) -> Result<Element<'a>, Malformed> {
        let [tag, first, ..] = *self.rest else { return Err(Malformed) };
        if tag & 0x1f == 0x1f {
            return Err(Malformed);
        }
        let (header, length) = match first {
            0..=0x7f => (2, usize::from(first)),
            0x81..=0x84 => self.long_length(usize::from(first & 0x7f))?,
            _ => return Err(Malformed),
        };
        let end = header.checked_add(length).ok_or(Malformed)?;
        let whole = self.rest.get(..end).ok_or(Malformed)?;
        self.rest = &self.rest[end..];
        Ok(Element { tag, content: &whole[header..], whole })
    }

    fn long_length(&self, count: usize) -> Result<(usize, usize), Malformed> {
        let bytes = self.rest.get(2..2 + count).ok_or(Malformed)?;
        let length = bytes.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
        if length < 0x80 || bytes[0] == 0 {
            return Err(Malformed);
        }
        Ok((2 + count, length))
    }

    /// The next element, which has the tag.
    pub(super) fn expect(&mut self, tag: u8) -> Result<Element<'a>, Malformed> {
        let element = self.next()?;
        if element.tag == tag { Ok(element) } else { Err(Malformed) }
    }

    /// The next element if it has the tag.
    pub(super) fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, Malformed> {
        if self.rest.first() == Some(&tag) { self.next().map(Some) } else { Ok(None) }
    }

    /// The bytes of the next element, a whole number that is not negative, without zeros at the front.
    pub(super) fn unsigned(&mut self) -> Result<&'a [u8], Malformed> {
        let element = self.expect(INTEGER)?;
        match element.content {
            [] => Err(Malformed),
            [first, ..] if first & 0x80 != 0 => Err(Malformed),
            bytes => Ok(without_zeros(bytes)),
        }
    }

    /// Nothing is left.
    pub(super) fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_there_and_back() {
        for dotted in
            ["1.2.840.113549.1.1.11", "2.5.29.17", "0.9.2342.19200300.100.1.1", "2.999.1", "1.3.101.112"]
        {
            assert_eq!(oid_text(&oid_content(dotted).unwrap()).unwrap(), dotted);
        }
        for wrong in ["", "1", "3.1", "1.40", "1.-2", "1..2", "1.2.x", "1.99999999999999999999"] {
            assert_eq!(oid(wrong), None, "{wrong}");
        }
        assert!(oid_text(&[]).is_err() && oid_text(&[0x80]).is_err() && oid_text(&[0xff; 20]).is_err());
    }

    #[test]
    fn lengths_and_numbers() {
        for length in [0, 1, 127, 128, 255, 256, 65_536] {
            let content = vec![7; length];
            let encoded = element(OCTET_STRING, &content);
            assert_eq!(Reader::only(&encoded, OCTET_STRING).unwrap().content, content);
        }
        assert_eq!(number(0), [2, 1, 0]);
        assert_eq!(number(128), [2, 2, 0, 128]);
        assert_eq!(named_bits(0b110_0000), [3, 2, 1, 0b0000_0110]);
        assert_eq!(named_bits(0b1), [3, 2, 7, 0b1000_0000]);
        assert_eq!(named_bits(1 << 8), [3, 3, 7, 0, 0b1000_0000]);
    }

    #[test]
    fn what_is_not_der_is_refused() {
        let wrong: [&[u8]; 8] = [
            &[],
            &[0x30],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x81, 0x01, 0x00],
            &[0x30, 0x82, 0x00, 0x81],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
            &[0x1f, 0x81, 0x01, 0x00],
            &[0x30, 0x05, 0x00],
        ];
        for bytes in wrong {
            assert!(Reader::new(bytes).next().is_err(), "{bytes:?}");
        }
    }
}
