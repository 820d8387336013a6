//! `x-mesh.backup` of a service: the programs that put its data into a backup and take it out again.

use super::{list, text};
use crate::node::{Node, Value};
use mesh_model::backup::Dump;

/// Longest name of a file in a backup, in bytes.
const FILE_NAME_BYTES_MAX: usize = 200;

/// Whether a text can name a file of a backup: one part of a path, and none that is hidden.
pub(crate) fn is_file_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !text.is_empty()
        && text.len() <= FILE_NAME_BYTES_MAX
        && !text.starts_with(['.', '-'])
        && !["manifest.json", "manifest.json.sha256"].contains(&text)
        && text.bytes().all(fits)
}

/// How the data of the service gets into a backup; `None`: the file says nothing of it.
pub(super) fn dump(service: &str, node: &Node) -> Option<Dump> {
    let asked = node.at_path(&["x-mesh", "backup"])?;
    Some(Dump {
        file: text(asked, "file").unwrap_or_else(|| format!("{service}.dump")),
        command: words(asked.get("command")?)?,
        restore: words(asked.get("restore")?)?,
        user: text(asked, "user").filter(|user| !user.is_empty()),
    })
}

/// A list as it is; a text is a line for a shell.
fn words(node: &Node) -> Option<Vec<String>> {
    let words = match &node.value {
        Value::List(_) => list(Some(node)),
        _ => vec!["sh".to_owned(), "-c".to_owned(), node.scalar()?],
    };
    (!words.is_empty()).then_some(words)
}
