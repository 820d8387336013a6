//! Marked blocks of lines in a hosts file, one a project. Pure: bytes in, bytes out.
//!
//! Invariants: what is outside of a project's block stays as it is, byte by byte, whatever it is; a block that is put
//! in and taken out again leaves no trace; what cannot be told apart for sure is refused, not guessed.

/// How the line above a block begins; the project's name follows.
const BEGIN: &str = "# mesh: names of project ";
/// How the line below it begins.
const END: &str = "# mesh: end of project ";
/// What stands behind the name where the line before the block had no end of its own.
const JOINED: &str = " (the line before this had no end)";

/// Why a block cannot be told from the rest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BlockError {
    /// It begins and does not end.
    #[error("line {line} begins the block of project {project}, which has no end")]
    Unended {
        /// Whose it is.
        project: String,
        /// Where it begins, from 1.
        line: usize,
    },
}

/// The block of a project, as it stands in a file.
pub(super) fn text(project: &str, entries: &[(String, Vec<String>)]) -> String {
    block(project, entries, false)
}

fn block(project: &str, entries: &[(String, Vec<String>)], joined: bool) -> String {
    let mark = if joined { JOINED } else { "" };
    let lines: String =
        entries.iter().map(|(address, names)| format!("{address} {}\n", names.join(" "))).collect();
    format!("{BEGIN}{project}{mark}\n{lines}{END}{project}\n")
}

/// The content with these entries as the block of a project: in the place of the one that is there, else at the end.
pub(super) fn with(
    content: &[u8],
    project: &str,
    entries: &[(String, Vec<String>)],
) -> Result<Vec<u8>, BlockError> {
    let found = spans(content, project)?;
    let Some(first) = found.first() else {
        let joined = content.last().is_some_and(|last| *last != b'\n');
        let line_end: &[u8] = if joined { b"\n" } else { b"" };
        return Ok([content, line_end, block(project, entries, joined).as_bytes()].concat());
    };
    let (place, joined) = (first.begin, first.joined);
    let (before, after) = content.split_at(place);
    let after = cut(after, found.iter().map(|span| (span.begin - place, span.end - place)));
    Ok([before, block(project, entries, joined).as_bytes(), &after].concat())
}

/// The content without the block of a project; none where it has none.
pub(super) fn without(content: &[u8], project: &str) -> Result<Option<Vec<u8>>, BlockError> {
    let found = spans(content, project)?;
    if found.is_empty() {
        return Ok(None);
    }
    // The end of the line before came with the block; it stays where another line follows.
    let before = |span: &Span| usize::from(span.joined && span.begin > 0 && span.end == content.len());
    Ok(Some(cut(content, found.iter().map(|span| (span.begin - before(span), span.end)))))
}

/// A block with its marks, as offsets in bytes.
struct Span {
    begin: usize,
    end: usize,
    joined: bool,
}

fn spans(content: &[u8], project: &str) -> Result<Vec<Span>, BlockError> {
    let begins = [format!("{BEGIN}{project}"), format!("{BEGIN}{project}{JOINED}")];
    let ends = format!("{END}{project}");
    let mut found = Vec::new();
    let mut open: Option<(usize, usize, bool)> = None;
    let mut offset = 0;
    for (number, line) in content.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let bare = line.strip_suffix(b"\n").unwrap_or(line);
        if let Some(which) = begins.iter().position(|begin| begin.as_bytes() == bare) {
            if let Some((_, line, _)) = open {
                return Err(BlockError::Unended { project: project.to_owned(), line });
            }
            open = Some((offset, number + 1, which == 1));
        } else if bare == ends.as_bytes()
            && let Some((begin, _, joined)) = open.take()
        {
            found.push(Span { begin, end: offset + line.len(), joined });
        }
        offset += line.len();
    }
    match open {
        Some((_, line, _)) => Err(BlockError::Unended { project: project.to_owned(), line }),
        None => Ok(found),
    }
}

fn cut(content: &[u8], spans: impl Iterator<Item = (usize, usize)>) -> Vec<u8> {
    let mut kept = Vec::with_capacity(content.len());
    let mut from = 0;
    for (begin, end) in spans {
        kept.extend_from_slice(&content[from..begin]);
        from = end;
    }
    kept.extend_from_slice(&content[from..]);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(names: &[&str]) -> Vec<(String, Vec<String>)> {
        vec![("127.0.0.1".to_owned(), names.iter().map(|&name| name.to_owned()).collect())]
    }

    #[test]
    fn what_is_put_in_and_taken_out_leaves_no_trace() {
        let hostile: [&[u8]; 9] = [
            b"",
            b"127.0.0.1 localhost\n",
            b"127.0.0.1 localhost",
            b"\r\n127.0.0.1\tlocalhost\r\n",
            b"\xff\xfe\x00\n\n\n",
            b"# mesh: names of project shopping\n# mesh: end of project shopping\n",
            b"# mesh: end of project shop\n",
            b" # mesh: names of project shop\n",
            b"# mesh: names of project shop \nx",
        ];
        for content in hostile {
            assert_eq!(without(content, "shop"), Ok(None));
            let one = with(content, "shop", &entries(&["a.test"])).expect("put in");
            let told = String::from_utf8_lossy(&one).into_owned();
            assert!(told.contains("\n127.0.0.1 a.test\n"), "{told}");
            let again = with(&one, "shop", &entries(&["a.test"])).expect("put in");
            assert_eq!(again, one, "putting it in twice is once");
            let both = with(&one, "other", &entries(&["b.test"])).expect("put in");
            let changed = with(&both, "shop", &entries(&["c.test", "d.test"])).expect("put in");
            let told = String::from_utf8_lossy(&changed).into_owned();
            assert!(
                told.contains("127.0.0.1 c.test d.test\n")
                    && told.contains("b.test")
                    && !told.contains("a.test")
            );
            let left = without(&changed, "shop").expect("taken out").expect("was there");
            let left = without(&left, "other").expect("taken out").expect("was there");
            assert!(left == content || content.last() != Some(&b'\n'), "{content:?} {left:?}");
            let alone = without(&one, "shop").expect("taken out").expect("was there");
            assert_eq!(alone, content);
        }
    }

    #[test]
    fn two_blocks_of_a_project_become_one() {
        let block = text("shop", &entries(&["a.test"]));
        let twice = format!("x\n{block}y\n{block}z");
        let one = with(twice.as_bytes(), "shop", &entries(&["b.test"])).expect("put in");
        assert_eq!(
            String::from_utf8(one).expect("text"),
            format!("x\n{}y\nz", text("shop", &entries(&["b.test"])))
        );
    }

    #[test]
    fn a_block_without_an_end_is_left_alone() {
        let block = text("shop", &entries(&["a.test"]));
        let cut = block.replace("# mesh: end", "# mush: end");
        let want = |line| BlockError::Unended { project: "shop".to_owned(), line };
        for (content, line) in [(format!("x\n{cut}"), 2), (format!("{cut}{block}"), 1)] {
            assert_eq!(without(content.as_bytes(), "shop"), Err(want(line)));
            assert_eq!(with(content.as_bytes(), "shop", &[]), Err(want(line)));
        }
    }
}
