//! Distinguished names (RFC 5280, 4.1.2.4): writing a subject, reading one's parts.

use super::der::{self, Malformed, Reader};

/// commonName, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
/// serialNumber, 2.5.4.5.
const SERIAL_NUMBER: &[u8] = &[0x55, 4, 5];
/// userId, 0.9.2342.19200300.100.1.1.
const USER_ID: &[u8] = &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1];

/// The parts of a name that Vault's parameters can say. An attribute with several values is one set of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) country: Vec<String>,
    pub(super) organization: Vec<String>,
    pub(super) organizational_unit: Vec<String>,
    pub(super) locality: Vec<String>,
    pub(super) province: Vec<String>,
    pub(super) street_address: Vec<String>,
    pub(super) postal_code: Vec<String>,
    pub(super) common_name: String,
    pub(super) serial_number: String,
    pub(super) user_ids: Vec<String>,
}

impl Subject {
    /// `Name`.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut sets = Vec::new();
        let lists = [
            (6, &self.country),
            (10, &self.organization),
            (11, &self.organizational_unit),
            (7, &self.locality),
            (8, &self.province),
            (9, &self.street_address),
            (17, &self.postal_code),
        ];
        for (arc, values) in lists {
            if !values.is_empty() {
                sets.push(der::set_of(
                    values.iter().map(|value| attribute(&[0x55, 4, arc], value)).collect(),
                ));
            }
        }
        for (oid, value) in [(COMMON_NAME, &self.common_name), (SERIAL_NUMBER, &self.serial_number)] {
            if !value.is_empty() {
                sets.push(der::set_of(vec![attribute(oid, value)]));
            }
        }
        sets.extend(self.user_ids.iter().map(|value| der::set_of(vec![attribute(USER_ID, value)])));
        der::element(der::SEQUENCE, &sets.concat())
    }
}

fn attribute(oid: &[u8], value: &str) -> Vec<u8> {
    let printable = |byte: u8| byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte);
    let tag = if value.bytes().all(printable) { der::PRINTABLE_STRING } else { der::UTF8_STRING };
    der::sequence(&[&der::element(der::OID, oid), &der::element(tag, value.as_bytes())])
}

/// What is read of a `Name`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Parts {
    /// The content of the attribute's object identifier, and its text.
    pub(super) attributes: Vec<(Vec<u8>, String)>,
}

impl Parts {
    /// Reads a `Name`.
    ///
    /// # Errors
    /// For what is none.
    pub(super) fn parse(name: &[u8]) -> Result<Self, Malformed> {
        let mut attributes = Vec::new();
        let mut sets = Reader::only(name, der::SEQUENCE)?.inside();
        while !sets.is_empty() {
            let mut set = sets.expect(der::SET)?.inside();
            while !set.is_empty() {
                let mut attribute = set.expect(der::SEQUENCE)?.inside();
                let oid = attribute.expect(der::OID)?.content.to_vec();
                attributes.push((oid, text(attribute.next()?)));
            }
        }
        Ok(Self { attributes })
    }

    fn last(&self, oid: &[u8]) -> String {
        let found = self.attributes.iter().rev().find(|(known, _)| known == oid);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    }

    /// The last common name, empty if there is none.
    pub(super) fn common_name(&self) -> String {
        self.last(COMMON_NAME)
    }

    /// The last serial number, empty if there is none.
    pub(super) fn serial_number(&self) -> String {
        self.last(SERIAL_NUMBER)
    }

    /// All user ids.
    pub(super) fn user_ids(&self) -> Vec<String> {
        let ids = self.attributes.iter().filter(|(oid, _)| oid == USER_ID);
        ids.map(|(_, value)| value.clone()).collect()
    }
}

impl std::fmt::Display for Parts {
    /// `CN=x,O=y`: the last first, as RFC 2253 writes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (oid, value)) in self.attributes.iter().rev().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            let key = match oid.as_slice() {
                [0x55, 4, 3] => "CN".to_owned(),
                [0x55, 4, 5] => "SERIALNUMBER".to_owned(),
                [0x55, 4, 6] => "C".to_owned(),
                [0x55, 4, 7] => "L".to_owned(),
                [0x55, 4, 8] => "ST".to_owned(),
                [0x55, 4, 9] => "STREET".to_owned(),
                [0x55, 4, 10] => "O".to_owned(),
                [0x55, 4, 11] => "OU".to_owned(),
                [0x55, 4, 17] => "POSTALCODE".to_owned(),
                other => der::oid_text(other).unwrap_or_default(),
            };
            write!(f, "{separator}{key}={value}")?;
        }
        Ok(())
    }
}

/// A directory string. What is no text reads as replacement characters, which no rule allows.
fn text(element: der::Element<'_>) -> String {
    const BMP_STRING: u8 = 0x1e;
    const TELETEX_STRING: u8 = 0x14;
    match element.tag {
        BMP_STRING => {
            let units: Vec<u16> = element
                .content
                .chunks(2)
                .map(|pair| pair.iter().fold(0, |unit, byte| unit << 8 | u16::from(*byte)))
                .collect();
            String::from_utf16_lossy(&units)
        }
        TELETEX_STRING => element.content.iter().map(|byte| char::from(*byte)).collect(),
        _ => String::from_utf8_lossy(element.content).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Parts, Subject};

    #[test]
    fn there_and_back() {
        let subject = Subject {
            country: vec!["DE".into()],
            organization: vec!["B".into(), "A & C".into()],
            common_name: "ex*mple".into(),
            serial_number: "7".into(),
            user_ids: vec!["u1".into(), "u2".into()],
            ..Subject::default()
        };
        let parts = Parts::parse(&subject.encode()).unwrap();
        assert_eq!((parts.common_name().as_str(), parts.serial_number().as_str()), ("ex*mple", "7"));
        assert_eq!(parts.user_ids(), ["u1", "u2"]);
        assert!(parts.to_string().ends_with("SERIALNUMBER=7,CN=ex*mple,O=A & C,O=B,C=DE"), "{parts}");
        assert_eq!(Subject::default().encode(), [0x30, 0]);
        assert!(Parts::parse(&[0x30, 2, 0x31, 1]).is_err());
    }
}
