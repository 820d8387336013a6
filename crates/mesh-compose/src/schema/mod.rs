//! Which keys a Compose file has, what shape their values have, and which of them have no effect here.

mod build;
mod deploy;
mod hooks;
mod mesh;
mod mounts;
mod service;
mod top;

pub(crate) use top::PROJECT;

/// The shape of a value. A key that is there has a value, unless it is [`Shape::Nullable`].
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    /// Anything.
    Any,
    /// A text.
    Text,
    /// A text or a number.
    TextOrNumber,
    /// A text, a number, a truth value or nothing.
    Scalar,
    /// A truth value, also in words.
    Bool,
    /// A truth value, not in words.
    TrueOrFalse,
    /// A truth value or a text.
    TextOrBool,
    /// A whole number from the first to the second, also as text.
    Int(i64, i64),
    /// A number, also as text.
    Number,
    /// `512m`, `1gb`, or bytes.
    Bytes,
    /// `1m30s`.
    Duration,
    /// `0440`, octal.
    Mode,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A text that a function accepts; the second part says what it wants.
    Parsed(fn(&str) -> bool, &'static str),
    /// The same, but the file is sound with any text: only starting the service is refused.
    Startable(fn(&str) -> bool, &'static str),
    /// A list of one shape.
    List(&'static Shape),
    /// A list of one shape whose entries differ.
    Unique(&'static Shape),
    /// A mapping with names as keys to one shape.
    Named(&'static Shape),
    /// A mapping with free keys to one shape.
    Map(&'static Shape),
    /// A mapping with known keys.
    Object(&'static [Field]),
    /// The first of these that fits the kind of value.
    Either(&'static [Shape]),
    /// A shape, or nothing.
    Nullable(&'static Shape),
}

/// A key of an object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    pub(crate) support: Support,
    /// An object without it is not complete.
    pub(crate) required: bool,
}

/// What becomes of a key that is known.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Support {
    /// It is carried out.
    Full,
    /// It is known and has no effect; the text says what that means.
    NoEffect(&'static str),
    /// Leaving it out would change the meaning, so a service with it is not started; the text says how.
    NotStarted(&'static str),
}

const fn field(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, support: Support::Full, required: false }
}

const fn required(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, support: Support::Full, required: true }
}

const fn ignored(name: &'static str, shape: Shape, why: &'static str) -> Field {
    Field { name, shape, support: Support::NoEffect(why), required: false }
}

const fn not_started(name: &'static str, shape: Shape, why: &'static str) -> Field {
    Field { name, shape, support: Support::NotStarted(why), required: false }
}

const WHOLE: Shape = Shape::Int(i64::MIN, i64::MAX);
const COUNT: Shape = Shape::Int(0, i64::MAX);
const TEXTS: Shape = Shape::List(&Shape::Text);
const NAMES: Shape = Shape::Unique(&Shape::Text);
const TEXT_OR_TEXTS: Shape = Shape::Either(&[Shape::Text, TEXTS]);
const PAIRS: Shape = Shape::Either(&[Shape::Map(&Shape::Scalar), NAMES]);
const TEXTS_OR_NUMBERS: Shape = Shape::Map(&Shape::TextOrNumber);
const COMMAND: Shape = Shape::Either(&[Shape::Text, TEXTS]);
const EXTRA_HOSTS: Shape = Shape::Either(&[Shape::Map(&TEXT_OR_TEXTS), NAMES]);
