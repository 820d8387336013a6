//! Nodes as the objects that the layout says they are.

use super::view::{Format, Pair, View, sort};
use crate::{
    node::{Map, Mark, Node, Value},
    value,
};
use std::borrow::Cow;

/// An object: its keys in the order in which they are shown.
#[derive(Debug)]
pub(crate) struct Record {
    pub(super) slots: &'static [Slot],
}

/// A key of an object.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) name: &'static str,
    /// How JSON calls it, where that differs.
    pub(super) json: Option<&'static str>,
    pub(super) kind: Kind,
    /// Shown also where it says nothing.
    pub(super) always: bool,
}

/// What a key holds, which decides when it says nothing.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// A single value; zero, false and blank are left out.
    One(Scalar),
    /// A single value; what is set is shown.
    Set(Scalar),
    /// Shown only where it is false.
    UnlessTrue,
    /// A list of texts; a single one is a list of itself.
    Texts,
    /// A mapping to texts; a key without a value is blank.
    Labels,
    /// A mapping to texts; a key without a value has none.
    Variables,
    /// A mapping to lists of texts.
    Lists,
    /// A command line: the empty one differs from none.
    Command,
    /// `id` and `id: path`.
    Keys,
    /// Limits of processes: one number, or two.
    Limits,
    /// An object, shown wherever it is there.
    Object(&'static Record),
    /// An object that is always there: JSON shows it, YAML only where it says something.
    Part(&'static Record),
    /// A list of objects.
    Objects(&'static Record),
    /// A mapping from names to objects or nothing.
    Named(&'static Record),
    /// Anything.
    Any,
}

/// The type of a single value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scalar {
    Text,
    Bool,
    Int,
    /// Of single precision.
    Float,
    Bytes,
    Duration,
    /// A number, or all: -1.
    Count,
    /// Octal digits as text.
    Mode,
    /// A number, from octal digits where it is text.
    ModeNumber,
}

/// `node` as the object that `record` describes. Keys that it does not know follow by name.
pub(crate) fn record<'n>(node: &'n Node, record: &'static Record, format: Format) -> View<'n> {
    let written = Some(node).filter(|node| node.mark != Mark::Implied);
    let Some(map) = written.and_then(Node::as_map) else { return View::whole(node, format) };
    let mut pairs = Vec::new();
    let mut known = 0;
    for slot in record.slots {
        let node = map.get(slot.name).map(|entry| &entry.node);
        known += usize::from(node.is_some());
        if let Some(view) = slot_view(node, slot, format) {
            let name = if format == Format::Json { slot.json.unwrap_or(slot.name) } else { slot.name };
            pairs.push((Cow::Borrowed(name), view));
        }
    }
    if known < map.len() {
        pairs.extend(others(map, record, format));
    }
    View::Map(pairs)
}

/// Free keys, which JSON leaves out, and keys without a slot, which are never dropped.
fn others<'n>(map: &'n Map, record: &Record, format: Format) -> Vec<Pair<'n>> {
    let rest = map.iter().filter(|(key, _)| {
        let shown = format == Format::Yaml || !key.starts_with("x-");
        shown && !record.slots.iter().any(|slot| slot.name == key.as_str())
    });
    let pairs = rest.map(|(key, entry)| (Cow::Borrowed(key.as_str()), View::whole(&entry.node, format)));
    sort(pairs.collect(), format)
}

fn slot_view<'n>(node: Option<&'n Node>, slot: &'static Slot, format: Format) -> Option<View<'n>> {
    let node = node.filter(|node| !node.is_null() && node.mark != Mark::Implied);
    let Some(node) = node else {
        return match slot.kind {
            Kind::Part(record) if format == Format::Json => Some(empty_part(record)),
            Kind::Command if format == Format::Json => Some(View::Null),
            kind if slot.always => Some(nothing(kind)),
            _ => None,
        };
    };
    match slot.kind {
        Kind::One(scalar) => {
            let view = single(node, scalar);
            let zero = view.is_blank() || is_zero(&view, scalar);
            (slot.always || !zero).then_some(view)
        }
        Kind::Set(scalar) => Some(single(node, scalar)),
        Kind::UnlessTrue => (node.as_bool() == Some(false)).then_some(View::Bool(false)),
        Kind::Command => Some(command(node)),
        Kind::Object(inner) => Some(record(node, inner, format)),
        Kind::Part(inner) => {
            let view = record(node, inner, format);
            (format == Format::Json || !view.is_blank()).then_some(view)
        }
        kind => Some(collection(node, kind, format)).filter(|view| slot.always || !view.is_blank()),
    }
}

/// What JSON shows of an object that is always there and was not written.
fn empty_part<'n>(record: &'static Record) -> View<'n> {
    let shown = record
        .slots
        .iter()
        .filter_map(|slot| Some((Cow::Borrowed(slot.name), slot_view(None, slot, Format::Json)?)));
    View::Map(shown.collect())
}

/// The value of a key that is shown without having been written.
fn nothing<'n>(kind: Kind) -> View<'n> {
    match kind {
        Kind::One(Scalar::Bool) => View::Bool(false),
        Kind::One(Scalar::Int | Scalar::Count | Scalar::ModeNumber) => View::Int(0),
        Kind::One(Scalar::Float) => View::Float(0.0),
        Kind::One(_) => View::text(""),
        Kind::Named(_) => View::Map(Vec::new()),
        _ => View::Null,
    }
}

fn is_zero(view: &View<'_>, scalar: Scalar) -> bool {
    let View::Text(text) = view else { return false };
    match scalar {
        Scalar::Bytes => text == "0",
        Scalar::Duration => text == "0s",
        _ => false,
    }
}

fn collection<'n>(node: &'n Node, kind: Kind, format: Format) -> View<'n> {
    match kind {
        Kind::Texts => texts(node),
        Kind::Labels => pairs(node, View::text(""), format),
        Kind::Variables => pairs(node, View::Null, format),
        Kind::Lists => named(node, format, texts),
        Kind::Keys => keys(node),
        Kind::Limits => named(node, format, |node| limit(node, format)),
        Kind::Objects(inner) => {
            let items = node.as_list().unwrap_or(std::slice::from_ref(node));
            View::List(items.iter().map(|item| record(item, inner, format)).collect())
        }
        Kind::Named(inner) => named(node, format, |node| record(node, inner, format)),
        _ => View::whole(node, format),
    }
}

fn named<'n>(node: &'n Node, format: Format, each: impl Fn(&'n Node) -> View<'n>) -> View<'n> {
    let Some(map) = node.as_map() else { return View::whole(node, format) };
    let pairs = map.iter().map(|(key, entry)| (Cow::Borrowed(key.as_str()), each(&entry.node)));
    View::sorted(pairs.collect(), format)
}

fn texts(node: &Node) -> View<'_> {
    match &node.value {
        Value::List(items) => {
            View::List(items.iter().filter(|item| item.mark != Mark::Implied).map(text).collect())
        }
        Value::Map(_) => View::whole(node, Format::Yaml),
        _ => View::List(vec![text(node)]),
    }
}

/// Any scalar as a text.
fn text(node: &Node) -> View<'_> {
    match &node.value {
        Value::Text(text) => View::Text(Cow::Borrowed(text)),
        Value::List(_) | Value::Map(_) => View::whole(node, Format::Yaml),
        _ => node.scalar().map_or(View::Null, View::text),
    }
}

/// A mapping to texts, also where it was written as a list of `name=value`.
fn pairs<'n>(node: &'n Node, missing: View<'n>, format: Format) -> View<'n> {
    let or_missing = |view: View<'n>| if view == View::Null { missing.clone() } else { view };
    match &node.value {
        Value::List(items) => {
            let pair = |item: &'n Node| {
                let line = item.as_text()?;
                let (name, value) =
                    line.split_once('=').map_or((line, None), |(name, value)| (name, Some(value)));
                Some((Cow::Borrowed(name), or_missing(value.map_or(View::Null, View::text))))
            };
            View::sorted(items.iter().filter_map(pair).collect(), format)
        }
        _ => named(node, format, |node| or_missing(text(node))),
    }
}

fn command(node: &Node) -> View<'_> {
    match node.as_text().and_then(value::words) {
        Some(words) => View::List(words.into_iter().map(View::text).collect()),
        None => texts(node),
    }
}

fn keys(node: &Node) -> View<'_> {
    let line = |id: &str, path: Option<String>| match path.filter(|path| !path.is_empty()) {
        Some(path) => View::text(format!("{id}: {path}")),
        None => View::text(id.to_owned()),
    };
    match &node.value {
        Value::List(items) => {
            let items = items.iter().filter_map(Node::as_text);
            let split = items.map(|item| {
                item.split_once('=').map_or((item, None), |(id, path)| (id, Some(path.to_owned())))
            });
            View::List(split.map(|(id, path)| line(id, path)).collect())
        }
        Value::Map(map) => View::List(map.iter().map(|(id, entry)| line(id, entry.node.scalar())).collect()),
        _ => texts(node),
    }
}

/// YAML always shows both of two limits.
fn limit(node: &Node, format: Format) -> View<'_> {
    let of = |key: &str| node.get(key).and_then(Node::as_int).unwrap_or(0);
    if node.as_map().is_none() {
        return match (node.as_int().unwrap_or(0), format) {
            (0, Format::Json) => View::Map(Vec::new()),
            (0, Format::Yaml) => both(0, 0),
            (single, _) => View::Int(single),
        };
    }
    match both(of("soft"), of("hard")) {
        View::Map(pairs) if format == Format::Json => {
            View::Map(pairs.into_iter().filter(|(_, limit)| !limit.is_blank()).collect())
        }
        view => view,
    }
}

fn both<'n>(soft: i64, hard: i64) -> View<'n> {
    View::Map(vec![("soft".into(), View::Int(soft)), ("hard".into(), View::Int(hard))])
}

fn single(node: &Node, scalar: Scalar) -> View<'_> {
    typed(node, scalar).unwrap_or_else(|| View::whole(node, Format::Yaml))
}

/// The value in its type; `None` where it has another one.
fn typed(node: &Node, scalar: Scalar) -> Option<View<'_>> {
    Some(match scalar {
        Scalar::Text => text(node),
        Scalar::Bool => View::Bool(node.as_bool()?),
        Scalar::Int => View::Int(node.as_int()?),
        Scalar::Float => View::Float(single_precision(node.as_float()?)),
        Scalar::Bytes => bytes(node)?,
        Scalar::Duration => View::text(value::duration_text(value::duration(&node.scalar()?)?)),
        Scalar::Count if node.as_text().is_some_and(|text| text.eq_ignore_ascii_case("all")) => View::Int(-1),
        Scalar::Count => View::Int(node.as_int()?),
        Scalar::Mode => View::text(format!("0{:o}", mode(node)?)),
        Scalar::ModeNumber => View::Int(i64::from(mode(node)?)),
    })
}

fn mode(node: &Node) -> Option<u32> {
    match &node.value {
        Value::Int(value) => u32::try_from(*value).ok(),
        Value::Text(text) => value::mode(text),
        _ => None,
    }
}

fn bytes(node: &Node) -> Option<View<'_>> {
    let text = node.scalar()?;
    match text.trim().parse::<i64>() {
        Ok(count) => Some(View::text(count.to_string())),
        Err(_) => Some(View::text(value::bytes(&text)?.to_string())),
    }
}

/// The value that has as many digits as single precision keeps.
fn single_precision(value: f64) -> f64 {
    #[allow(clippy::cast_possible_truncation, reason = "the precision is what is to be lost")]
    let short = value as f32;
    short.to_string().parse().unwrap_or(value)
}
