//! What is printed, in the order in which it is printed. Views borrow from the tree.

use crate::node::{Mark, Node, Value};
use std::borrow::Cow;

/// A value as it will stand in the output.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum View<'n> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Cow<'n, str>),
    List(Vec<Self>),
    /// Keys in the order of the output.
    Map(Vec<(Cow<'n, str>, Self)>),
}

/// The two formats differ in what they leave out and in how they sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Yaml,
    Json,
}

/// A pair of a map that is being sorted.
pub(crate) type Pair<'n> = (Cow<'n, str>, View<'n>);

impl<'n> View<'n> {
    /// The tree as it is, with sorted keys.
    pub(crate) fn whole(node: &'n Node, format: Format) -> Self {
        if node.mark == Mark::Implied {
            return Self::Null;
        }
        match &node.value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::Int(*value),
            Value::Float(value) => Self::Float(*value),
            Value::Text(text) => Self::Text(Cow::Borrowed(text)),
            Value::List(items) => Self::List(items.iter().map(|item| Self::whole(item, format)).collect()),
            Value::Map(map) => {
                let pairs = map
                    .iter()
                    .map(|(key, entry)| (Cow::Borrowed(key.as_str()), Self::whole(&entry.node, format)));
                Self::sorted(pairs.collect(), format)
            }
        }
    }

    /// A map of `pairs` in the order of their keys.
    pub(crate) fn sorted(pairs: Vec<Pair<'n>>, format: Format) -> Self {
        Self::Map(sort(pairs, format))
    }

    pub(super) fn text(text: impl Into<Cow<'n, str>>) -> Self {
        Self::Text(text.into())
    }

    /// Whether it says nothing: what Compose leaves out.
    pub(super) fn is_blank(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(value) => !value,
            Self::Int(value) => *value == 0,
            Self::Float(value) => *value == 0.0,
            Self::Text(text) => text.is_empty(),
            Self::List(items) => items.is_empty(),
            Self::Map(pairs) => pairs.is_empty(),
        }
    }
}

/// Sorts by key: by bytes for JSON, with numbers by their value for YAML.
pub(super) fn sort(mut pairs: Vec<Pair<'_>>, format: Format) -> Vec<Pair<'_>> {
    match format {
        Format::Json => {
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            pairs
        }
        Format::Yaml if pairs.is_sorted_by(|a, b| a.0.bytes().eq(b.0.bytes()) || natural(&a.0, &b.0)) => {
            pairs
        }
        Format::Yaml => merge_sort(pairs),
    }
}

/// The natural order is no total one for every set of keys, which the library's sort might not take.
fn merge_sort(mut pairs: Vec<Pair<'_>>) -> Vec<Pair<'_>> {
    if pairs.len() < 2 {
        return pairs;
    }
    let second = merge_sort(pairs.split_off(pairs.len() / 2));
    let mut first = merge_sort(pairs).into_iter().peekable();
    let mut second = second.into_iter().peekable();
    let mut out = Vec::with_capacity(first.len() + second.len());
    while let (Some(a), Some(b)) = (first.peek(), second.peek()) {
        out.extend(if natural(&b.0, &a.0) { second.next() } else { first.next() });
    }
    out.extend(first);
    out.extend(second);
    out
}

/// Whether `a` comes before `b`: runs of digits by their number, letters after what is no letter.
fn natural(a: &str, b: &str) -> bool {
    if a.is_ascii() && b.is_ascii() {
        return natural_of(a.as_bytes(), b.as_bytes());
    }
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    natural_of(&a, &b)
}

/// A character of a key, of one byte or of more.
trait Symbol: Copy + PartialEq {
    fn character(self) -> char;
}

impl Symbol for u8 {
    fn character(self) -> char {
        char::from(self)
    }
}

impl Symbol for char {
    fn character(self) -> char {
        self
    }
}

fn natural_of<S: Symbol>(a: &[S], b: &[S]) -> bool {
    let Some(at) = a.iter().zip(b).position(|(a, b)| a != b) else { return a.len() < b.len() };
    let (first, second) = (a[at].character(), b[at].character());
    let after_digit = at > 0 && a[at - 1].character().is_ascii_digit();
    match (first.is_alphabetic(), second.is_alphabetic()) {
        (true, true) => return first < second,
        (true, false) => return after_digit,
        (false, true) => return !after_digit,
        (false, false) => {}
    }
    // A zero inside of a number does not start one.
    let inside = (first == '0' || second == '0')
        && a[..at]
            .iter()
            .rev()
            .map(|symbol| symbol.character())
            .take_while(char::is_ascii_digit)
            .any(|c| c != '0');
    let (one, one_digits) = number(&a[at..], inside);
    let (two, two_digits) = number(&b[at..], inside);
    if one != two {
        one < two
    } else if one_digits != two_digits {
        one_digits < two_digits
    } else {
        first < second
    }
}

/// The number that `symbols` start with, and how many digits it has.
fn number<S: Symbol>(symbols: &[S], inside: bool) -> (i64, usize) {
    let digits = symbols.iter().map_while(|symbol| symbol.character().to_digit(10));
    digits.fold((i64::from(inside), 0), |(value, count), digit| {
        (value.wrapping_mul(10).wrapping_add(i64::from(digit)), count + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_as_a_reader_would() {
        let check = |given: &str, format: Format, want: &str| {
            let pairs = given.split(' ').map(|key| (Cow::Borrowed(key), View::Null)).collect();
            let keys: Vec<String> =
                sort(pairs, format).into_iter().map(|(key, _)| key.into_owned()).collect();
            assert_eq!(keys.join(" "), want);
        };
        check("a10 a9 a1 b a", Format::Yaml, "a a1 a9 a10 b");
        check("a10 a9 a1 b a", Format::Json, "a a1 a10 a9 b");
        check("A_B AB A-B A1 A.B", Format::Yaml, "A-B A.B A_B A1 AB");
        check("X1Y X1_Y X01 X1", Format::Yaml, "X1 X1Y X1_Y X01");
        check("é2 é10 z", Format::Yaml, "z é2 é10");
    }

    #[test]
    fn an_order_that_is_none_ends_too() {
        let keys = ["1a", "a", "1", "_1", "01", "0a", "10", "1_", "a1_", "a_1", "99999999999999999999999"];
        let mut many = Vec::new();
        for (index, key) in keys.iter().cycle().take(500).enumerate() {
            many.push((Cow::Owned(format!("{key}{}", index * 7919 % 503)), View::Null));
        }
        assert_eq!(sort(many, Format::Yaml).len(), 500);
    }
}
