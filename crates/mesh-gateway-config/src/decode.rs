//! From a [`Node`] to a typed value, by the rules of Traefik's own reader.
//!
//! The case of a field's letters does not matter; a field nobody knows is an error that names its place; texts become
//! what the field is; a text where a list should be is split at its commas. Where a structure may be empty, `true`
//! makes it and anything else leaves it out.

use super::tree::{Node, Value};
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor},
};
use std::{borrow::Cow, fmt};

/// Marks a field that [`allow_empty`] reads; no structure has this name.
const MAY_BE_EMPTY: &str = "$may-be-empty";
/// The structures that a list's only item may be written as, under the name of one.
const ONE_OF_A_LIST: &str = "server";

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError {
    /// From the inside outwards.
    path: Vec<String>,
    line: u32,
    reason: String,
}

impl std::error::Error for DecodeError {}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        let path: Vec<&str> = self.path.iter().rev().map(String::as_str).collect();
        if !path.is_empty() {
            write!(f, "{}: ", path.join("."))?;
        }
        f.write_str(&self.reason)
    }
}

impl de::Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { path: Vec::new(), line: 0, reason: message.to_string() }
    }
}

impl DecodeError {
    fn within(mut self, name: &str, line: u32) -> Self {
        self.path.push(name.to_owned());
        if self.line == 0 {
            self.line = line;
        }
        self
    }
}

/// Reads a value.
///
/// # Errors
/// The first thing in it that it cannot be, with its place.
pub fn decode<T: for<'de> Deserialize<'de>>(node: &Node) -> Result<T, DecodeError> {
    T::deserialize(Reader { node, named: false })
}

/// Reads a structure of which `true` alone is enough.
pub(crate) fn allow_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    struct Maybe<T>(std::marker::PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Maybe<T> {
        type Value = Option<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a structure, or whether there is one")
        }

        fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Self::Value, D::Error> {
            T::deserialize(inner).map(Some)
        }
    }
    deserializer.deserialize_newtype_struct(MAY_BE_EMPTY, Maybe(std::marker::PhantomData))
}

/// Which item of a list a name stands for.
fn place_in_list(name: &str) -> Option<u64> {
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    bare.parse().ok()
}

#[derive(Clone, Copy)]
struct Reader<'n> {
    node: &'n Node,
    /// Whether it has a name that the user gave it: such a thing may be all defaults.
    named: bool,
}

impl<'n> Reader<'n> {
    fn error(self, reason: impl Into<String>) -> DecodeError {
        DecodeError { path: Vec::new(), line: self.node.line, reason: reason.into() }
    }

    fn scalar(self, wanted: &str) -> Result<&'n str, DecodeError> {
        match &self.node.value {
            Value::Text(text) => Ok(text),
            Value::Null => Ok(""),
            Value::List(_) => Err(self.error(format!("a list where {wanted} should be"))),
            Value::Map(_) => Err(self.error(format!("several values where {wanted} should be"))),
        }
    }

    fn number<T: std::str::FromStr>(self) -> Result<T, DecodeError> {
        let text = self.scalar("a number")?;
        text.parse().map_err(|_| self.error(format!("{text:?} is not a number that fits here")))
    }

    /// The items of a list, whatever it is written as.
    fn items(self) -> Cow<'n, [Node]> {
        match &self.node.value {
            Value::List(items) => Cow::Borrowed(items),
            Value::Null => Cow::Borrowed(&[]),
            Value::Text(text) => {
                let parts = text
                    .split(',')
                    .map(|part| Node { value: Value::Text(part.trim().to_owned()), line: self.node.line });
                if text.is_empty() { Cow::Borrowed(&[]) } else { Cow::Owned(parts.collect()) }
            }
            // Flags and labels have `[0]`; variables, whose names have no brackets, `0`.
            Value::Map(entries) if entries.iter().all(|(key, _)| place_in_list(key).is_some()) => {
                let mut entries: Vec<&(String, Node)> = entries.iter().collect();
                entries.sort_by_key(|(key, _)| place_in_list(key));
                Cow::Owned(entries.into_iter().map(|(_, node)| node.clone()).collect())
            }
            Value::Map(_) => Cow::Borrowed(std::slice::from_ref(self.node)),
        }
    }

    fn entries(self, wanted: &str) -> Result<&'n [(String, Node)], DecodeError> {
        match &self.node.value {
            Value::Map(entries) => Ok(entries),
            Value::Null => Ok(&[]),
            Value::Text(_) if self.named => Ok(&[]),
            Value::Text(_) => Err(self.error(format!("cannot be a standalone element (type {wanted})"))),
            Value::List(_) => Err(self.error(format!("a list where {wanted} should be"))),
        }
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident),*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            visitor.$visit(self.number()?)
        })*
    };
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Text(text) => visitor.visit_str(text),
            Value::List(_) => self.deserialize_seq(visitor),
            Value::Map(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.scalar("true or false")? {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => visitor.visit_bool(true),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => visitor.visit_bool(false),
            text => Err(self.error(format!("{text:?} is neither true nor false"))),
        }
    }

    numbers!(
        deserialize_i8 visit_i8, deserialize_i16 visit_i16, deserialize_i32 visit_i32, deserialize_i64 visit_i64,
        deserialize_u8 visit_u8, deserialize_u16 visit_u16, deserialize_u32 visit_u32, deserialize_u64 visit_u64,
        deserialize_f32 visit_f32, deserialize_f64 visit_f64
    );

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_str(self.scalar("a text")?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        if name != MAY_BE_EMPTY {
            return visitor.visit_newtype_struct(self);
        }
        match &self.node.value {
            Value::Text(text) if text.is_empty() || text.eq_ignore_ascii_case("true") => {
                visitor.visit_newtype_struct(Reader { node: &Node::empty(), named: false })
            }
            Value::Text(_) => visitor.visit_none(),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_seq(Items { items: self.items().iter(), at: 0 })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_map(Entries::of(self.entries("map")?, None))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_map(Entries::of(self.entries(name)?, Some(fields)))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_enum(self.scalar("a name")?.into_deserializer())
    }

    serde::forward_to_deserialize_any! {
        char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any i128 u128
    }
}

struct Items<'n> {
    items: std::slice::Iter<'n, Node>,
    /// How many were taken.
    at: usize,
}

impl<'n> Items<'n> {
    fn step(&mut self) -> Option<&'n Node> {
        self.at += 1;
        self.items.next()
    }

    fn placed(&self, error: DecodeError, node: &Node) -> DecodeError {
        error.within(&format!("[{}]", self.at - 1), node.line)
    }
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        let Some(node) = self.step() else { return Ok(None) };
        match seed.deserialize(Reader { node, named: false }) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(self.placed(error, node)),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct Entries<'n> {
    entries: std::slice::Iter<'n, (String, Node)>,
    /// The fields of a structure; none for a map.
    fields: Option<&'static [&'static str]>,
    value: Option<(&'n str, &'n Node)>,
}

impl<'n> Entries<'n> {
    fn of(entries: &'n [(String, Node)], fields: Option<&'static [&'static str]>) -> Self {
        Self { entries: entries.iter(), fields, value: None }
    }

    /// The name of what comes next: a structure's field as the structure has it.
    fn step(&mut self) -> Result<Option<&'n str>, DecodeError> {
        let Some((key, node)) = self.entries.next() else { return Ok(None) };
        self.value = Some((key, node));
        let Some(fields) = self.fields else { return Ok(Some(key)) };
        // A list of servers goes by `server` in labels, where it has one item.
        let singular = |name: &&&str| !(**name == ONE_OF_A_LIST && matches!(node.value, Value::List(_)));
        let field = fields.iter().filter(singular).find(|name| name.eq_ignore_ascii_case(key));
        field.map(|field| Some(*field)).ok_or_else(|| DecodeError {
            path: vec![key.clone()],
            line: node.line,
            reason: format!("field not found, node: {key}"),
        })
    }

    /// What belongs to the name.
    fn taken(&mut self) -> Result<(&'n str, Reader<'n>), DecodeError> {
        let (key, node) = self.value.take().ok_or_else(|| de::Error::custom("a value without a key"))?;
        Ok((key, Reader { node, named: self.fields.is_none() }))
    }
}

// What serde calls for each field of each structure is compiled for each of them: it does as little as it can.
impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        match self.step() {
            Ok(Some(name)) => match seed.deserialize(name.into_deserializer()) {
                Ok(key) => Ok(Some(key)),
                Err(error) => Err(error),
            },
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DecodeError> {
        let (key, reader) = self.taken()?;
        match seed.deserialize(reader) {
            Ok(value) => Ok(value),
            Err(error) => Err(error.within(key, reader.node.line)),
        }
    }
}
