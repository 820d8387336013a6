//! Configuration before it has types: what labels, flags, variables and files all become first.

/// A value with the line it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// From 1; 0 where there are no lines.
    pub line: u32,
}

/// What a value is. Numbers and truth values are texts still: only whoever reads them knows what they are to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing was given.
    Null,
    /// A text, or anything else that is one word.
    Text(String),
    /// Several values.
    List(Vec<Node>),
    /// In the order of the source.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// A value from where there are no lines.
    pub fn new(value: Value) -> Self {
        Self { value, line: 0 }
    }

    /// A map without any key.
    pub fn empty() -> Self {
        Self::new(Value::Map(Vec::new()))
    }

    /// Puts a text at the end of a path of names, whose letters' case does not matter. A name that ends in `[n]` is two.
    ///
    /// # Errors
    /// A name of the path is none.
    pub fn insert(&mut self, path: &[&str], text: &str) -> Result<(), PathError> {
        let mut node = self;
        for name in path {
            if name.is_empty() || name.starts_with('[') {
                return Err(PathError { path: path.join(".") });
            }
            let bracket = name.ends_with(']').then(|| name.find('[')).flatten();
            let (name, index) = name.split_at(bracket.unwrap_or(name.len()));
            node = node.child(name);
            if !index.is_empty() {
                node = node.child(index);
            }
        }
        // What is both a value and a parent is a parent, as `tls=true` beside `tls.options` has it.
        if !matches!(node.value, Value::Map(_)) {
            node.value = Value::Text(text.to_owned());
        }
        Ok(())
    }

    fn child(&mut self, name: &str) -> &mut Self {
        if !matches!(self.value, Value::Map(_)) {
            self.value = Value::Map(Vec::new());
        }
        let Value::Map(entries) = &mut self.value else { unreachable!("it was made a map") };
        let at = entries.iter().position(|(key, _)| key.eq_ignore_ascii_case(name)).unwrap_or_else(|| {
            entries.push((name.to_owned(), Self::new(Value::Null)));
            entries.len() - 1
        });
        &mut entries[at].1
    }

    /// Whether a text anywhere in it has this in it.
    pub fn mentions(&self, part: &str) -> bool {
        match &self.value {
            Value::Null => false,
            Value::Text(text) => text.contains(part),
            Value::List(items) => items.iter().any(|item| item.mentions(part)),
            Value::Map(entries) => {
                entries.iter().any(|(key, node)| key.contains(part) || node.mentions(part))
            }
        }
    }

    /// The value of a key of a map, whatever the case of its letters.
    pub fn get(&self, name: &str) -> Option<&Self> {
        let Value::Map(entries) = &self.value else { return None };
        entries.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, node)| node)
    }
}

/// A path with a name in it that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid element: {path}")]
pub struct PathError {
    path: String,
}
