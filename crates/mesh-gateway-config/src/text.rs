//! Files to trees: YAML and TOML, within bounds.

use super::tree::{Node, Value};
use granit_parser::{Event, Parser, ScalarStyle, ScanError, StrInput};
use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

/// Largest file, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Deepest nesting of lists and maps.
const DEPTH_LEVELS_MAX: usize = 64;
/// Most values of one file, after aliases are expanded.
const NODES_MAX: usize = 200_000;

/// Why a file is no tree.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    #[error("could not read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is larger than {FILE_BYTES_MAX} bytes", path.display())]
    TooLarge { path: PathBuf },
    #[error("{} ends in neither .toml nor .yaml nor .yml", path.display())]
    Kind { path: PathBuf },
    #[error("{} is not valid YAML", path.display())]
    Yaml {
        path: PathBuf,
        #[source]
        source: YamlError,
    },
    #[error("{} is not valid TOML", path.display())]
    Toml {
        path: PathBuf,
        #[source]
        source: Box<toml::de::Error>,
    },
}

/// Why a text is no YAML that can be used here.
#[derive(Debug, thiserror::Error)]
pub enum YamlError {
    #[error("line {line}: {reason}")]
    Syntax { line: usize, reason: String },
    #[error("line {line}: key {key:?} is there twice")]
    Twice { line: usize, key: String },
    #[error("line {line}: this cannot be a key")]
    Key { line: usize },
    #[error("line {line}: this alias stands for nothing here")]
    Alias { line: usize },
    #[error("nested deeper than {DEPTH_LEVELS_MAX} levels, or more than {NODES_MAX} values")]
    TooMuch,
    #[error("the text ends too early")]
    Early,
}

/// Whether the ending of a file's name is one that is read.
pub(crate) fn is_readable(path: &Path) -> bool {
    kind(path).is_some()
}

enum Kind {
    Toml,
    Yaml,
}

fn kind(path: &Path) -> Option<Kind> {
    match path.extension()?.to_str()? {
        "toml" => Some(Kind::Toml),
        "yaml" | "yml" => Some(Kind::Yaml),
        _ => None,
    }
}

/// Reads a file by the ending of its name.
pub(crate) fn read_file(path: &Path) -> Result<Node, TextError> {
    read_filled(path, |text| text)
}

/// The same, its text changed before it is understood.
pub(crate) fn read_filled(path: &Path, fill: impl FnOnce(String) -> String) -> Result<Node, TextError> {
    let owned = || path.to_owned();
    if kind(path).is_none() {
        return Err(TextError::Kind { path: owned() });
    }
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text));
    let length = read.map_err(|source| TextError::Read { path: owned(), source })?;
    if u64::try_from(length).unwrap_or(u64::MAX) > FILE_BYTES_MAX {
        return Err(TextError::TooLarge { path: owned() });
    }
    read_text(path, &fill(text))
}

/// Reads what is in a file, by the ending of its name.
pub(crate) fn read_text(path: &Path, text: &str) -> Result<Node, TextError> {
    let owned = || path.to_owned();
    match kind(path).ok_or_else(|| TextError::Kind { path: owned() })? {
        Kind::Yaml => yaml(text).map_err(|source| TextError::Yaml { path: owned(), source }),
        Kind::Toml => match toml::from_str::<toml::Table>(text) {
            Ok(table) => Ok(from_toml(toml::Value::Table(table))),
            Err(source) => Err(TextError::Toml { path: owned(), source: Box::new(source) }),
        },
    }
}

fn from_toml(value: toml::Value) -> Node {
    Node::new(match value {
        toml::Value::String(text) => Value::Text(text),
        toml::Value::Array(items) => Value::List(items.into_iter().map(from_toml).collect()),
        toml::Value::Table(table) => {
            Value::Map(table.into_iter().map(|(key, value)| (key, from_toml(value))).collect())
        }
        other => Value::Text(other.to_string()),
    })
}

/// The first document of a text.
fn yaml(text: &str) -> Result<Node, YamlError> {
    let mut options = granit_parser::Options::default();
    options.set_emit_comments(false);
    let parser = Parser::new_from_str_with_options(text, options);
    let mut reader = Reader { parser, anchors: HashMap::new(), nodes: 0 };
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => return Ok(Node::empty()),
            (Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd, _) => {}
            (event, line) => return reader.node(event, line, 0),
        }
    }
}

struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    /// With how many values each has.
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, usize), YamlError> {
        let syntax = |error: ScanError| YamlError::Syntax {
            line: error.marker().line(),
            reason: error.info().to_owned(),
        };
        let (event, span) = self.parser.next_event().ok_or(YamlError::Early)?.map_err(syntax)?;
        Ok((event, span.start.line()))
    }

    fn count(&mut self, nodes: usize, depth: usize) -> Result<(), YamlError> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > NODES_MAX || depth > DEPTH_LEVELS_MAX { Err(YamlError::TooMuch) } else { Ok(()) }
    }

    fn node(&mut self, event: Event<'t>, line: usize, depth: usize) -> Result<Node, YamlError> {
        self.count(1, depth)?;
        let before = self.nodes;
        let (value, anchor) = match event {
            Event::Alias(id) => {
                let (node, size) = self.anchors.get(&id).cloned().ok_or(YamlError::Alias { line })?;
                // What an alias holds may be as deep as anything else: twice the bound is still none for a stack.
                self.count(size, depth)?;
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, _) => {
                let null =
                    style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                (if null { Value::Null } else { Value::Text(text.into_owned()) }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, line) => items.push(self.node(event, line, depth + 1)?),
                    }
                }
                (Value::List(items), anchor)
            }
            Event::MappingStart(_, anchor, _) => (self.mapping(depth)?, anchor),
            _ => (Value::Null, 0),
        };
        let node = Node { value, line: u32::try_from(line).unwrap_or(u32::MAX) };
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - before + 1));
        }
        Ok(node)
    }

    fn mapping(&mut self, depth: usize) -> Result<Value, YamlError> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        let mut merged: Vec<(String, Node)> = Vec::new();
        loop {
            let (event, line) = self.next()?;
            let key = match event {
                Event::MappingEnd => break,
                Event::Scalar(text, ..) if !text.is_empty() => text.into_owned(),
                _ => return Err(YamlError::Key { line }),
            };
            let (event, value_line) = self.next()?;
            let node = self.node(event, value_line, depth + 1)?;
            if key == "<<" {
                let from = match node.value {
                    Value::List(items) => items,
                    value => vec![Node { value, line: node.line }],
                };
                for item in from {
                    let Value::Map(more) = item.value else { return Err(YamlError::Alias { line }) };
                    merged.extend(more);
                }
                continue;
            }
            if entries.iter().any(|(known, _)| *known == key) {
                return Err(YamlError::Twice { line, key });
            }
            entries.push((key, node));
        }
        for (key, node) in merged {
            if !entries.iter().any(|(known, _)| *known == key) {
                entries.push((key, node));
            }
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Result<Node, TextError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        read_file(&path)
    }

    #[test]
    fn both_languages_say_the_same() {
        fn bare(node: Node) -> Node {
            Node::new(match node.value {
                Value::List(items) => Value::List(items.into_iter().map(bare).collect()),
                Value::Map(mut entries) => {
                    entries.sort_by(|left, right| left.0.cmp(&right.0));
                    Value::Map(entries.into_iter().map(|(key, node)| (key, bare(node))).collect())
                }
                value => value,
            })
        }
        let yaml = read("a.yml", "base: &b {x: 1, y: true}\nhttp:\n  <<: *b\n  y: 'no'\n  list: [a, 2]\n");
        let toml = read("a.toml", "base = {x = 1, y = true}\n[http]\nx = 1\ny = 'no'\nlist = ['a', 2]\n");
        assert_eq!(bare(yaml.expect("YAML")), bare(toml.expect("TOML")));
        assert_eq!(read("empty.yaml", "").expect("nothing"), Node::empty());
    }

    #[test]
    fn what_is_broken_says_where() {
        for (name, text, expected) in [
            ("a.yml", "a:\n  b: [1\n", "line 2: unclosed bracket"),
            ("a.yml", "a: 1\na: 2\n", "line 2: key \"a\" is there twice"),
            ("a.yml", "[x]: 1\n", "cannot be a key"),
            ("a.yml", "a: &a [*a]\n", "line 1: this alias stands for nothing here"),
            ("a.toml", "a = \n", "not valid TOML"),
            ("a.json", "{}", "ends in neither"),
        ] {
            let error = crate::chain(&read(name, text).expect_err(text));
            assert!(error.contains(expected), "{error}");
        }
        let deep = format!("a: {}{}", "[".repeat(DEPTH_LEVELS_MAX + 1), "]".repeat(DEPTH_LEVELS_MAX + 1));
        assert!(read("a.yml", &deep).is_err());
    }
}
