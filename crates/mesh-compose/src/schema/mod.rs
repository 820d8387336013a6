//! Which keys a Compose file has, what shape their values have, and which of them have no effect here.

mod service;
mod top;

pub(crate) use top::PROJECT;

/// The shape of a value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    /// Anything.
    Any,
    /// A text; a number counts as one.
    Text,
    /// A text, a number, a truth value or nothing.
    Scalar,
    /// A truth value, also in words.
    Bool,
    /// A whole number from the first to the second, also as text.
    Int(i64, i64),
    /// A number not below zero.
    Number,
    /// `512m`, `1gb`, or bytes.
    Bytes,
    /// `1m30s`.
    Duration,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A text that a function accepts; the second part says what it wants.
    Parsed(fn(&str) -> bool, &'static str),
    /// A list of one shape.
    List(&'static Shape),
    /// A mapping with names as keys to one shape.
    Named(&'static Shape),
    /// A mapping with free keys to one shape.
    Map(&'static Shape),
    /// A mapping with known keys.
    Object(&'static [Field]),
    /// The first of these that fits the kind of value.
    Either(&'static [Shape]),
}

/// A key of an object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    pub(crate) support: Support,
}

/// What becomes of a key that is known.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Support {
    /// It is carried out.
    Full,
    /// It is known and has no effect; the text says what that means.
    NoEffect(&'static str),
    /// Leaving it out would change the meaning; the text says how.
    Refused(&'static str),
}

const fn field(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, support: Support::Full }
}

const fn ignored(name: &'static str, shape: Shape, why: &'static str) -> Field {
    Field { name, shape, support: Support::NoEffect(why) }
}

const fn refused(name: &'static str, shape: Shape, why: &'static str) -> Field {
    Field { name, shape, support: Support::Refused(why) }
}

const TEXTS: Shape = Shape::List(&Shape::Text);
const TEXT_OR_TEXTS: Shape = Shape::Either(&[Shape::Text, TEXTS]);
const PAIRS: Shape = Shape::Either(&[Shape::Map(&Shape::Scalar), TEXTS]);
const SCALARS: Shape = Shape::Map(&Shape::Scalar);
