//! What follows the question mark.

/// Most pairs that are looked at.
const PAIRS_MAX: usize = 64;

/// The pairs of a query, decoded.
#[derive(Debug, Default)]
pub(super) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// A pair that is not encoded soundly is left out, as Go does.
    pub(super) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')).take(PAIRS_MAX);
        let pairs = pairs.filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        });
        Self { pairs: pairs.collect() }
    }

    /// The first value of a name; empty if there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        self.pairs.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

fn decode(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let (value, length) = match byte {
            b'%' => (crate::rule::encoded(bytes.get(at + 1..at + 3)?)?, 3),
            b'+' => (b' ', 1),
            other => (other, 1),
        };
        out.push(value);
        at += length;
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded() {
        let query = Query::parse("a=1&b=x%20y+z&a=2&bad=%zz&empty&c=%26;d=1");
        for (name, expected) in [("a", "1"), ("b", "x y z"), ("bad", ""), ("empty", ""), ("c", "")] {
            assert_eq!(query.get(name), expected, "{name}");
        }
    }
}
