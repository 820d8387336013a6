//! Subject alternative names (RFC 5280, 4.2.1.6).

use super::der::{self, Malformed, Reader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Names that a certificate is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) dns: Vec<String>,
    pub(super) emails: Vec<String>,
    pub(super) ips: Vec<IpAddr>,
    pub(super) uris: Vec<String>,
    /// Dotted identifiers and texts.
    pub(super) others: Vec<(String, String)>,
}

/// A name that cannot be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum NameError {
    /// DNS names, mail addresses and URIs are of ASCII.
    #[error("x509: {0:?} cannot be encoded as an IA5String")]
    NotAscii(String),
    /// The identifier of an other name is none.
    #[error("error marshaling other SANs: {0:?} is no object identifier")]
    Identifier(String),
}

impl Names {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self == &Self::default()
    }

    /// `GeneralNames`.
    ///
    /// # Errors
    /// For a name that has no encoding.
    pub(super) fn encode(&self) -> Result<Vec<u8>, NameError> {
        let mut content = Vec::new();
        for (number, names) in [(2, &self.dns), (1, &self.emails)] {
            for name in names {
                content.extend(ascii(number, name)?);
            }
        }
        for ip in &self.ips {
            content.extend(match ip {
                IpAddr::V4(ip) => der::element(der::context_primitive(7), &ip.octets()),
                IpAddr::V6(ip) => der::element(der::context_primitive(7), &ip.octets()),
            });
        }
        for uri in &self.uris {
            content.extend(ascii(6, uri)?);
        }
        for (dotted, value) in &self.others {
            let oid = der::oid(dotted).ok_or_else(|| NameError::Identifier(dotted.clone()))?;
            let value = der::element(der::context(0), &der::element(der::UTF8_STRING, value.as_bytes()));
            content.extend(der::element(der::context(0), &[oid, value].concat()));
        }
        Ok(der::element(der::SEQUENCE, &content))
    }

    /// Reads `GeneralNames`. Kinds of names that Vault does not know (directory names, registered identifiers)
    /// are not taken over.
    ///
    /// # Errors
    /// For what is malformed, and for an other name that is no UTF-8 string.
    pub(super) fn parse(value: &[u8]) -> Result<Self, Malformed> {
        let mut names = Self::default();
        let mut inside = Reader::only(value, der::SEQUENCE)?.inside();
        while !inside.is_empty() {
            let element = inside.next()?;
            match element.tag {
                0xa0 => names.others.push(other(element)?),
                0x81 => names.emails.push(ia5(element.content)?),
                0x82 => names.dns.push(ia5(element.content)?),
                0x86 => names.uris.push(ia5(element.content)?),
                0x87 => names.ips.push(ip(element.content)?),
                _ => {}
            }
        }
        Ok(names)
    }
}

fn ascii(number: u8, name: &str) -> Result<Vec<u8>, NameError> {
    if name.is_ascii() {
        Ok(der::element(der::context_primitive(number), name.as_bytes()))
    } else {
        Err(NameError::NotAscii(name.to_owned()))
    }
}

fn ia5(content: &[u8]) -> Result<String, Malformed> {
    // A NUL ends a name for careless readers, so that a name would be another one to them.
    if content.is_ascii() && !content.contains(&0) {
        Ok(content.iter().map(|byte| char::from(*byte)).collect())
    } else {
        Err(Malformed)
    }
}

fn ip(content: &[u8]) -> Result<IpAddr, Malformed> {
    if let Ok(octets) = <[u8; 4]>::try_from(content) {
        return Ok(Ipv4Addr::from(octets).into());
    }
    let octets = <[u8; 16]>::try_from(content).map_err(|_| Malformed)?;
    Ok(Ipv6Addr::from(octets).into())
}

fn other(element: der::Element<'_>) -> Result<(String, String), Malformed> {
    let mut inside = element.inside();
    let oid = der::oid_text(inside.expect(der::OID)?.content)?;
    let value = inside.expect(der::context(0))?.inside().expect(der::UTF8_STRING)?;
    inside.end()?;
    String::from_utf8(value.content.to_vec()).map(|text| (oid, text)).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use super::Names;

    #[test]
    fn there_and_back() {
        let names = Names {
            dns: vec!["a.example".into(), "*.b".into()],
            emails: vec!["u@a.example".into()],
            ips: vec!["10.0.0.1".parse().unwrap(), "fe80::1".parse().unwrap()],
            uris: vec!["spiffe://a/b".into()],
            others: vec![("1.3.6.1.4.1.311.20.2.3".into(), "u@ä".into())],
        };
        assert_eq!(Names::parse(&names.encode().unwrap()).unwrap(), names);
        assert!(Names { dns: vec!["ä".into()], ..Names::default() }.encode().is_err());
        assert!(Names { others: vec![("x".into(), String::new())], ..Names::default() }.encode().is_err());
    }

    #[test]
    fn names_that_readers_differ_about_are_refused() {
        for name in [&b"a.example\0.evil"[..], &[0xff]] {
            let value = super::der::sequence(&[&super::der::element(0x82, name)]);
            assert!(Names::parse(&value).is_err());
        }
    }
}
