//! What stands behind the question mark of a request.

/// The first value of a key, decoded; empty where there is none.
pub(crate) fn value(query: Option<&str>, key: &str) -> String {
    let pairs = query.unwrap_or_default().split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let found = pairs.map(|(name, value)| (decoded(name), value)).find(|(name, _)| name == key);
    found.map(|(_, value)| decoded(value)).unwrap_or_default()
}

/// `%41` and `+`, as forms have them; what is no such thing stays.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let byte = match bytes[at] {
            b'+' => b' ',
            b'%' => match text.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
                Some(byte) => {
                    at += 2;
                    byte
                }
                None => b'%',
            },
            byte => byte,
        };
        plain.push(byte);
        at += 1;
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_and_decoded() {
        for (query, key, expected) in [
            ("wait=1s&env=true", "env", "true"),
            ("a=%41+b&a=2", "a", "A b"),
            ("a=%4", "a", "%4"),
            ("a=%é", "a", "%é"),
            ("a", "a", ""),
            ("", "a", ""),
        ] {
            assert_eq!(value(Some(query), key), expected, "{query}");
        }
        assert_eq!(value(None, "a"), "");
    }
}
