//! Secrets that nobody wrote down: `x-mesh.generate`, at the top of a file for variables, and in a secret.
//!
//! Which ones there shall be is known before variables are replaced, so it is read from the files of the project
//! itself, as they are parsed; includes have a say in their secrets only as far as the project wishes for them
//! too. The values are a [`Keeper`]'s: nothing is made or read here.

use crate::{
    context::{At, Context},
    node::Node,
};
use mesh_redact::Secret;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
};

/// Characters of a value of which nothing is said.
pub const LENGTH_DEFAULT: usize = 25;
/// Characters of a value.
pub const LENGTH_MIN: i64 = 8;
/// Characters of a value.
pub const LENGTH_MAX: i64 = 4096;
/// What stands for a value where it is not to be shown, or not there yet.
pub const HIDDEN: &str = "***";

const LETTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &str = "0123456789";
/// Characters that need no quoting in a URL, a shell or a connection string.
const SAFE_SYMBOLS: &str = "-_.~";

/// Words that `charset` knows.
pub(crate) const CHARSETS: [&str; 5] = ["alphanumeric", "letters", "digits", "hex", "url"];

/// How a value is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Characters of the value.
    pub length: usize,
    /// The characters it is made of, each once.
    pub characters: String,
}

/// Who has the values.
pub trait Keeper: fmt::Debug + Send + Sync {
    /// The values of a project, made where they are not there and should be. A value that is missing in the answer
    /// is not there, and [`HIDDEN`] stands for it.
    ///
    /// # Errors
    /// Why they cannot be had, in one line.
    fn values(
        &self,
        project: &str,
        wishes: &BTreeMap<String, Wish>,
    ) -> Result<BTreeMap<String, Secret<String>>, String>;
}

/// What the files of a project wish for, by name: a variable and a secret of one name are one value.
pub(crate) fn wishes(parsed: &[(PathBuf, Vec<Node>)]) -> Wishes {
    let mut found = Wishes::default();
    for tree in parsed.iter().flat_map(|(_, documents)| documents) {
        for (name, entry) in
            tree.at_path(&["x-mesh", "generate"]).and_then(Node::as_map).into_iter().flatten()
        {
            found.variables.insert(name.clone());
            found.add(name, &entry.node, entry.key_at);
        }
        for (name, entry) in tree.get("secrets").and_then(Node::as_map).into_iter().flatten() {
            if let Some(wish) = entry.node.at_path(&["x-mesh", "generate"]) {
                found.add(name, wish, wish.at);
            }
        }
    }
    found
}

/// What is wished for.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) all: BTreeMap<String, Wish>,
    /// Those that are variables.
    pub(crate) variables: BTreeSet<String>,
    first_at: Option<At>,
}

impl Wishes {
    /// A later wish for one name counts, as a later file does. What is wrong with it is told by the schema.
    fn add(&mut self, name: &str, node: &Node, at: At) {
        self.first_at.get_or_insert(at);
        self.all.insert(name.to_owned(), wish(node));
    }

    /// The values; of those that nobody has it is [`HIDDEN`].
    pub(crate) fn values(
        &self,
        project: &str,
        keeper: Option<&dyn Keeper>,
        cx: &mut Context,
    ) -> BTreeMap<String, Secret<String>> {
        let mut values = match keeper {
            Some(keeper) if !self.all.is_empty() => {
                keeper.values(project, &self.all).unwrap_or_else(|reason| {
                    let message = format!("the project's generated secrets cannot be had: {reason}");
                    cx.error(self.first_at.unwrap_or_default(), "generated", message);
                    BTreeMap::new()
                })
            }
            _ => BTreeMap::new(),
        };
        for name in self.all.keys() {
            values.entry(name.clone()).or_insert_with(|| Secret::new(HIDDEN.to_owned()));
        }
        values
    }
}

fn wish(node: &Node) -> Wish {
    let length =
        node.get("length").and_then(Node::as_int).filter(|length| (LENGTH_MIN..=LENGTH_MAX).contains(length));
    let length = length.and_then(|length| usize::try_from(length).ok()).unwrap_or(LENGTH_DEFAULT);
    let charset = node.get("charset").and_then(Node::as_text).unwrap_or_default();
    Wish { length, characters: characters(charset) }
}

/// The characters of a word of [`CHARSETS`], or else those that are written.
fn characters(charset: &str) -> String {
    match charset {
        "" | "alphanumeric" => format!("{LETTERS}{DIGITS}"),
        "letters" => LETTERS.to_owned(),
        "digits" => DIGITS.to_owned(),
        "hex" => format!("{DIGITS}abcdef"),
        "url" => format!("{LETTERS}{DIGITS}{SAFE_SYMBOLS}"),
        written => written.chars().collect::<BTreeSet<char>>().into_iter().collect(),
    }
}

/// Whether a text is a charset: a known word, or printable ASCII characters of which none occurs twice, so that a
/// word with a letter wrong is none.
pub(crate) fn is_charset(text: &str) -> bool {
    let printable = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    let distinct = text.chars().collect::<BTreeSet<char>>().len();
    CHARSETS.contains(&text)
        || (distinct >= 2 && distinct == text.chars().count() && printable(text) && !is_word(text))
}

/// Letters of one case alone look like a word, unless they are in order (`abcdef`).
fn is_word(text: &str) -> bool {
    let letters = text.bytes().all(|byte| byte.is_ascii_lowercase());
    letters && !text.as_bytes().is_sorted()
}

#[cfg(test)]
mod tests {
    use super::{CHARSETS, characters, is_charset};

    #[test]
    fn charsets_are_words_or_characters() {
        for word in CHARSETS {
            assert!(is_charset(word));
            let made = characters(word);
            assert!(made.is_ascii() && made.len() >= 10, "{word}: {made}");
        }
        for fine in ["abcdef", "01", "!#%&", "abcXYZ019"] {
            assert!(is_charset(fine), "{fine}");
        }
        for wrong in ["", "a", "aa", "alphanum", "letterz", "ab c", "äöü"] {
            assert!(!is_charset(wrong), "{wrong}");
        }
    }
}
