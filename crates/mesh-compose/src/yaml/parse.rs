//! YAML text to [`Node`] trees: anchors and merge keys are expanded here.
//!
//! Bounded in depth and in nodes, counted after expansion, so that a small file cannot become a large
//! tree. A syntax error ends its file; everything else is a finding and reading goes on.

use crate::{
    context::{At, Context},
    node::{Entry, Map, Mark, Node, Value},
};
use granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, Tag};
use std::{borrow::Cow, collections::HashMap};

/// Deepest nesting of lists and mappings.
const DEPTH_LEVELS_MAX: usize = 64;
/// Most nodes of one file, after aliases are expanded.
const NODES_MAX: usize = 1_000_000;

type EventTag<'t> = Option<Cow<'t, Tag>>;

struct Reader<'t, 'c> {
    parser: Parser<'t, granit_parser::StrInput<'t>>,
    anchors: HashMap<usize, Anchor>,
    nodes: usize,
    /// Deepest level seen in the value being read, aliases expanded.
    deepest: usize,
    file: u32,
    cx: &'c mut Context,
}

struct Anchor {
    node: Node,
    size: usize,
    height: usize,
}

/// Reading cannot go on in this file; what stopped it is among the findings.
struct Stop;

/// The documents of `text`, which is source number `file`. Empty documents are left out.
pub(crate) fn parse(text: &str, file: u32, cx: &mut Context) -> Vec<Node> {
    let mut options = granit_parser::Options::default();
    options.set_emit_comments(false);
    let parser = Parser::new_from_str_with_options(text, options);
    let mut reader = Reader { parser, anchors: HashMap::new(), nodes: 0, deepest: 0, file, cx };
    let mut documents = Vec::new();
    // A file that stopped half-way yields nothing: half a file would only cause further findings.
    if reader.documents(&mut documents).is_err() {
        documents.clear();
    }
    documents
}

impl<'t> Reader<'t, '_> {
    fn documents(&mut self, documents: &mut Vec<Node>) -> Result<(), Stop> {
        while let Some((event, span)) = self.next()? {
            match event {
                Event::StreamStart | Event::DocumentEnd | Event::StreamEnd => {}
                Event::DocumentStart(..) => self.anchors.clear(),
                event => {
                    let node = self.node(event, span, 0)?;
                    if !node.is_null() {
                        documents.push(node);
                    }
                }
            }
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Option<(Event<'t>, Span)>, Stop> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok(event)) => Ok(Some(event)),
            Some(Err(error)) => {
                self.syntax_error(&error);
                Err(Stop)
            }
        }
    }

    fn syntax_error(&mut self, error: &ScanError) {
        let at = self.marked(*error.marker());
        let message = format!("not valid YAML: {}", error.info());
        if message.contains("tab") {
            self.cx.error_with_hint(at, "yaml-syntax", message, "YAML is indented with spaces only");
        } else {
            self.cx.error(at, "yaml-syntax", message);
        }
    }

    fn expect(&mut self, at: At) -> Result<(Event<'t>, Span), Stop> {
        if let Some(found) = self.next()? {
            return Ok(found);
        }
        self.cx.error(at, "yaml-syntax", "not valid YAML: the file ends too early");
        Err(Stop)
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, Stop> {
        let at = self.spanned(span);
        self.count(1, at)?;
        self.descend(depth, at)?;
        let before = self.nodes;
        let outside = std::mem::replace(&mut self.deepest, depth);
        let (node, anchor) = match event {
            Event::Alias(id) => {
                let node = self.alias(id, at, depth)?;
                self.deepest = self.deepest.max(outside);
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, tag) => {
                let (value, mark) = self.scalar_value(&text, style, tag, at);
                (Node { value, at, mark }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                let mut items = Vec::new();
                loop {
                    match self.expect(at)? {
                        (Event::SequenceEnd, _) => break,
                        (event, span) => items.push(self.node(event, span, depth + 1)?),
                    }
                }
                (Node { value: Value::List(items), at: start_of(at), mark: self.mark(tag, at) }, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                let map = self.mapping(at, depth)?;
                (Node { value: Value::Map(map), at: start_of(at), mark: self.mark(tag, at) }, anchor)
            }
            _ => (Node::new(Value::Null, at), 0),
        };
        if anchor > 0 {
            let (size, height) = (self.nodes - before + 1, self.deepest - depth);
            self.anchors.insert(anchor, Anchor { node: node.clone(), size, height });
        }
        self.deepest = self.deepest.max(outside);
        Ok(node)
    }

    fn descend(&mut self, depth: usize, at: At) -> Result<(), Stop> {
        if depth <= DEPTH_LEVELS_MAX {
            return Ok(());
        }
        self.cx.error(at, "too-deep", format!("nested deeper than {DEPTH_LEVELS_MAX} levels"));
        Err(Stop)
    }

    fn alias(&mut self, id: usize, at: At, depth: usize) -> Result<Node, Stop> {
        let found = self.anchors.get(&id).map(|anchor| (anchor.size, anchor.height));
        let Some((size, height)) = found else {
            self.cx.error(at, "yaml-alias", "this alias stands inside the value it refers to");
            return Err(Stop);
        };
        self.count(size, at)?;
        self.descend(depth + height, at)?;
        self.deepest = self.deepest.max(depth + height);
        Ok(self.anchors.get(&id).map_or_else(|| Node::new(Value::Null, at), |anchor| anchor.node.clone()))
    }

    fn mapping(&mut self, at: At, depth: usize) -> Result<Map, Stop> {
        let mut map = Map::new();
        let mut merged = Vec::new();
        let mut merge_line = None;
        loop {
            let (event, span) = self.expect(at)?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let merge_key =
                matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let key = self.node(event, span, depth + 1)?;
            let (event, span) = self.expect(at)?;
            let node = self.node(event, span, depth + 1)?;
            if merge_key {
                if let Some(line) = merge_line.replace(key.at.line) {
                    let message = format!("key `<<` is already set on line {line}");
                    let hint = "write one, with a list: `<<: [*a, *b]`";
                    self.cx.error_with_hint(key.at, "duplicate-key", message, hint);
                }
                merged.push(node);
                continue;
            }
            let name = if key.is_null() { Some(String::new()) } else { key.scalar() };
            let Some(name) = name.filter(|name| !name.is_empty()) else {
                self.cx.error(key.at, "yaml-key", format!("{} cannot be a key here", key.kind()));
                continue;
            };
            if key.as_text().is_none() {
                let message = format!("the key {name} is {}, not a string", key.kind());
                self.cx.error_with_hint(key.at, "yaml-key", message, format!("put it in quotes: \"{name}\""));
                continue;
            }
            if let Some(first) = map.get(&name).map(|entry: &Entry| entry.key_at) {
                let message = format!("key `{name}` is already set on line {}", first.line);
                self.cx.error(key.at, "duplicate-key", message);
                continue;
            }
            map.insert(name, Entry { key_at: key.at, node });
        }
        for node in merged {
            self.merge(&mut map, node);
        }
        Ok(map)
    }

    /// `<<`: keys of the mapping (or of the mappings of a list, the first one first) that are not set.
    fn merge(&mut self, map: &mut Map, node: Node) {
        let at = node.at;
        match node.value {
            Value::Map(from) => {
                for (key, entry) in from {
                    map.entry(key).or_insert(entry);
                }
            }
            Value::List(items) if items.iter().all(|item| item.as_map().is_some()) => {
                for item in items {
                    self.merge(map, item);
                }
            }
            Value::Null => {}
            _ => self.cx.error(at, "yaml-merge", "`<<` takes a mapping or a list of mappings"),
        }
    }

    fn scalar_value(&mut self, text: &str, style: ScalarStyle, tag: EventTag<'t>, at: At) -> (Value, Mark) {
        let core = tag.as_deref().and_then(Tag::core_suffix).map(ToOwned::to_owned);
        let value = match (core.as_deref(), style) {
            (Some("str"), _) => Value::Text(text.to_owned()),
            (Some(_), _) | (None, ScalarStyle::Plain) => super::scalar::resolve(text),
            (None, _) => Value::Text(text.to_owned()),
        };
        (value, self.mark(tag, at))
    }

    fn mark(&mut self, tag: EventTag<'t>, at: At) -> Mark {
        let Some(tag) = tag else { return Mark::Plain };
        self.cx.marked = true;
        match tag.original().as_str() {
            "!reset" => Mark::Reset,
            "!override" => Mark::Override,
            _ if tag.core_suffix().is_some() => Mark::Plain,
            other => {
                self.cx.warn(at, "unknown-tag", format!("tag `{other}` means nothing in a Compose file"));
                Mark::Plain
            }
        }
    }

    fn count(&mut self, nodes: usize, at: At) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes <= NODES_MAX {
            return Ok(());
        }
        let message = format!("more than {NODES_MAX} values once aliases are expanded");
        self.cx.error(at, "too-large", message);
        Err(Stop)
    }

    fn marked(&self, marker: Marker) -> At {
        At { file: self.file, line: small(marker.line()), column: small(marker.col() + 1), length: 0 }
    }

    fn spanned(&self, span: Span) -> At {
        let length = if span.start.line() == span.end.line() { span.len() } else { 0 };
        At { length: small(length), ..self.marked(span.start) }
    }
}

/// The place of a collection is its first character.
fn start_of(at: At) -> At {
    At { length: 0, ..at }
}

fn small(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compact(node: &Node) -> String {
        match &node.value {
            Value::Text(text) => format!("{text:?}"),
            Value::List(items) => format!("[{}]", items.iter().map(compact).collect::<Vec<_>>().join(",")),
            Value::Map(map) => {
                let pairs = map.iter().map(|(key, entry)| format!("{key:?}:{}", compact(&entry.node)));
                format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
            }
            _ => node.scalar().unwrap_or_else(|| "null".to_owned()),
        }
    }

    fn check(text: &str, want: Result<&str, &str>) {
        let mut cx = Context::default();
        let file = cx.add_source("t.yaml", text);
        let documents = parse(text, file, &mut cx);
        let findings: Vec<_> = cx.into_findings().iter().map(ToString::to_string).collect();
        match want {
            Ok(json) => {
                assert!(findings.is_empty(), "{findings:?}");
                let got: Vec<_> = documents.iter().map(compact).collect();
                assert_eq!(got.join("\n"), json, "{text}");
            }
            Err(part) => assert!(findings.iter().any(|f| f.contains(part)), "{findings:?} lacks {part}"),
        }
    }

    #[test]
    fn anchors_merge_keys_and_types() {
        check(
            "a: &x {b: 1, c: no}\nd:\n  <<: *x\n  b: 2\n",
            Ok(r#"{"a":{"b":1,"c":"no"},"d":{"b":2,"c":"no"}}"#),
        );
        check("a: &x {b: 1}\nc: &y {b: 2, d: 3}\ne: {<<: [*x, *y]}\n", {
            Ok(r#"{"a":{"b":1},"c":{"b":2,"d":3},"e":{"b":1,"d":3}}"#)
        });
        check("a: \"1\"\nb: !!str 2\nc: |\n  x\n  y\n", Ok(r#"{"a":"1","b":"2","c":"x\ny\n"}"#));
        check("'1': a\n", Ok(r#"{"1":"a"}"#));
        check("a: 1\n---\nb: 2\n", Ok("{\"a\":1}\n{\"b\":2}"));
        check("", Ok(""));
    }

    #[test]
    fn broken_files_are_findings_with_a_place() {
        check("a: [1\n", Err("not valid YAML"));
        check("a:\n\tb: 1\n", Err("t.yaml:2:"));
        check("a: 1\na: 2\n", Err("t.yaml:2:1: error: key `a` is already set on line 1"));
        check("<<: 3\n", Err("`<<` takes a mapping"));
        check("<<: {a: 1}\n<<: {b: 1}\n", Err("t.yaml:2:1: error: key `<<` is already set on line 1"));
        check("a: *nope\n", Err("not valid YAML"));
        check("a: &a [*a]\n", Err("inside the value it refers to"));
        check("1: a\n", Err("t.yaml:1:1: error: the key 1 is a number, not a string"));
        check("? [x]\n: 1\n", Err("a list cannot be a key here"));
        check(&format!("{}{}", "[".repeat(90), "]".repeat(90)), Err("nested deeper"));
    }

    #[test]
    fn aliases_of_aliases_are_bounded() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..9 {
            let alias = format!("*a{}", level - 1);
            let line = vec![alias; 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{line}]\n"));
        }
        check(&text, Err("once aliases are expanded"));
    }
}
