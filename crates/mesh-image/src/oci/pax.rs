//! Extended headers: what they say of the entry that follows, and numbers as headers write them.

use super::error::LayerError;

/// Most extended attributes of one file, and most bytes of one: the kernel's.
const ATTRIBUTES_MAX: usize = 256;
const ATTRIBUTE_BYTES_MAX: usize = 64 << 10;
/// Before the name of an extended attribute.
const ATTRIBUTE: &[u8] = b"SCHILY.xattr.";

/// What pax records said of an entry.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) target: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) modified: Option<(i64, u32)>,
    pub(super) attributes: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: Option<SparseForm>,
}

/// What pax records said of a sparse file.
#[derive(Debug, Default, Clone)]
pub(super) struct SparseForm {
    /// Version 1: the map stands before the content.
    pub(super) map_in_content: bool,
    pub(super) name: Option<Vec<u8>>,
    pub(super) real_size: Option<u64>,
    /// Offsets and lengths, one after the other.
    pub(super) map: Vec<u64>,
}

impl Records {
    /// Adds the records of a header: `length key=value\n`, each.
    pub(super) fn add(&mut self, mut bytes: &[u8]) -> Result<(), LayerError> {
        const BROKEN: LayerError = LayerError::Broken { why: "a pax record that cannot be read" };
        while !bytes.is_empty() {
            let space = bytes.iter().position(|&byte| byte == b' ').ok_or(BROKEN)?;
            let length: usize = text(&bytes[..space])?.parse().map_err(|_| BROKEN)?;
            if length <= space + 1 || length > bytes.len() || bytes[length - 1] != b'\n' {
                return Err(BROKEN);
            }
            let record = &bytes[space + 1..length - 1];
            let equals = record.iter().position(|&byte| byte == b'=').ok_or(BROKEN)?;
            self.set(&record[..equals], &record[equals + 1..])?;
            bytes = &bytes[length..];
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), LayerError> {
        let decimal = || -> Result<Option<u64>, LayerError> {
            let wrong = |_| LayerError::Broken { why: "a pax record whose number cannot be read" };
            if value.is_empty() { Ok(None) } else { text(value)?.parse().map(Some).map_err(wrong) }
        };
        match key {
            b"path" => self.path = Some(value.to_vec()).filter(|value| !value.is_empty()),
            b"linkpath" => self.target = Some(value.to_vec()).filter(|value| !value.is_empty()),
            b"size" => self.size = decimal()?,
            b"uid" => self.uid = decimal()?,
            b"gid" => self.gid = decimal()?,
            b"mtime" => self.modified = time(value),
            _ if key.starts_with(ATTRIBUTE) => self.attribute(&key[ATTRIBUTE.len()..], value)?,
            _ if key.starts_with(b"GNU.sparse.") => {
                let form = self.sparse.get_or_insert_default();
                match &key[b"GNU.sparse.".len()..] {
                    b"major" => form.map_in_content = value == b"1",
                    b"name" => form.name = Some(value.to_vec()),
                    b"size" | b"realsize" => form.real_size = decimal()?,
                    b"offset" | b"numbytes" => form.map.extend(decimal()?),
                    b"map" => {
                        let wrong = |_| LayerError::Broken { why: "a map of holes that cannot be read" };
                        let numbers = text(value)?.split(',').map(str::parse);
                        form.map = numbers.collect::<Result<_, _>>().map_err(wrong)?;
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn attribute(&mut self, name: &[u8], value: &[u8]) -> Result<(), LayerError> {
        if self.attributes.len() >= ATTRIBUTES_MAX
            || value.len() > ATTRIBUTE_BYTES_MAX
            || name.is_empty()
            || name.len() > 255
            || name.contains(&0)
        {
            return Err(LayerError::Attributes { most: ATTRIBUTES_MAX, bytes_max: ATTRIBUTE_BYTES_MAX });
        }
        self.attributes.push((name.to_vec(), value.to_vec()));
        Ok(())
    }
}

fn text(bytes: &[u8]) -> Result<&str, LayerError> {
    std::str::from_utf8(bytes).map_err(|_| LayerError::Broken { why: "a record that is no text" })
}

/// Seconds with a fraction. One that cannot be read is as if it was not there.
fn time(value: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(value).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanoseconds: u32 = digits.parse().ok()?;
    match (whole.starts_with('-'), nanoseconds) {
        (false, _) | (_, 0) => Some((seconds, nanoseconds)),
        (true, _) => Some((seconds.checked_sub(1)?, 1_000_000_000 - nanoseconds)),
    }
}

/// A number as a header has it: octal digits with blanks around, or with the highest bit set a binary
/// one. Nothing is 0; negative ones, which only times have, are 0 as well.
pub(super) fn number(field: &[u8]) -> Result<u64, LayerError> {
    const BROKEN: LayerError = LayerError::Broken { why: "a number that cannot be read" };
    if field.first().is_some_and(|byte| byte & 0x80 != 0) {
        if field[0] & 0x40 != 0 {
            return Ok(0);
        }
        let bytes = field.iter().enumerate().map(|(at, &byte)| if at == 0 { byte & 0x3f } else { byte });
        return bytes.into_iter().try_fold(0_u64, |value, byte| {
            value.checked_mul(256).map(|value| value | u64::from(byte)).ok_or(BROKEN)
        });
    }
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    let digits = text(&field[..end]).map_err(|_| BROKEN)?.trim();
    if digits.is_empty() { Ok(0) } else { u64::from_str_radix(digits, 8).map_err(|_| BROKEN) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(text: &[u8]) -> Result<Records, LayerError> {
        let mut records = Records::default();
        records.add(text).map(|()| records)
    }

    #[test]
    fn records_are_read() {
        let found = records(
            b"12 path=a/b\n8 uid=7\n21 mtime=1.250000000\n32 SCHILY.xattr.user.x=a=b\nc\0de\n11 size=99\n",
        )
        .unwrap();
        assert_eq!(found.path.as_deref(), Some(&b"a/b"[..]));
        assert_eq!((found.uid, found.size, found.modified), (Some(7), Some(99), Some((1, 250_000_000))));
        assert_eq!(found.attributes, [(b"user.x".to_vec(), b"a=b\nc\0de".to_vec())]);
    }

    #[test]
    fn broken_records_are_refused() {
        for text in
            [&b"x"[..], b"9999 path=a\n", b"3 \n", b"5 a=b", b"0 a=b\n", b"12 size=-1xx\n", b"7 uid=\xff"]
        {
            assert!(records(text).is_err(), "{:?}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn numbers_are_read_in_both_forms() {
        for (field, expected) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\0\0\0\0", Some(0)),
            (b"        ", Some(0)),
            (b"\x80\0\0\x01\0", Some(256)),
            (b"\xff\xff\xff\xff", Some(0)),
            (b"89\0", None),
            (b"\x80\x01\0\0\0\0\0\0\0\0\0\0", None),
        ] {
            assert_eq!(number(field).ok(), expected, "{field:?}");
        }
    }

    #[test]
    fn times_before_1970_have_their_fraction() {
        assert_eq!(time(b"-1.25"), Some((-2, 750_000_000)));
        assert_eq!(time(b"x"), None);
    }
}
