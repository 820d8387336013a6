//! Marked blocks of lines in a hosts file, one a project of an owner. Pure: bytes in, bytes out.
//!
//! Invariants: what is outside of a project's block stays as it is, byte by byte, whatever it is; a block that is put
//! in and taken out again leaves no trace; a project of the same name of another owner keeps its own; what cannot be
//! told apart for sure is refused, not guessed. Line ends and blanks at the end of a mark do not matter: editors add
//! them.

/// How every mark begins.
const MARK: &str = "# mesh:";
/// How the line above a block begins; the project's name and its owner follow.
const BEGIN: &str = "# mesh: names of project ";
/// How the line below it begins.
const END: &str = "# mesh: end of project ";
/// What stands between a project's name and its owner.
const OF: &str = " of ";
/// What stands behind the owner where the line before the block had no end of its own.
const JOINED: &str = " (the line before this had no end)";

/// Whose a block is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Whose {
    /// The name of the project.
    pub(super) project: String,
    /// What tells one home of Mesh from another.
    pub(super) owner: String,
}

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
    /// It is a mark, and none that is known.
    #[error("line {line} has a mark of Mesh that was changed, or has no beginning: remove it with its block")]
    Strange {
        /// Which, from 1.
        line: usize,
    },
}

/// The block of a project, as it stands in a file.
pub(super) fn text(whose: &Whose, entries: &[(String, Vec<String>)]) -> String {
    block(whose, entries, false)
}

fn block(whose: &Whose, entries: &[(String, Vec<String>)], joined: bool) -> String {
    let mark = if joined { JOINED } else { "" };
    let lines: String =
        entries.iter().map(|(address, names)| format!("{address} {}\n", names.join(" "))).collect();
    let Whose { project, owner } = whose;
    format!("{BEGIN}{project}{OF}{owner}{mark}\n{lines}{END}{project}{OF}{owner}\n")
}

/// The content with these entries as the block of a project: in the place of the one that is there, else at the end.
pub(super) fn with(
    content: &[u8],
    whose: &Whose,
    entries: &[(String, Vec<String>)],
) -> Result<Vec<u8>, BlockError> {
    let found = spans(content, whose)?;
    let Some(first) = found.first() else {
        let joined = content.last().is_some_and(|last| *last != b'\n');
        let line_end: &[u8] = if joined { b"\n" } else { b"" };
        return Ok([content, line_end, block(whose, entries, joined).as_bytes()].concat());
    };
    let (place, joined) = (first.begin, first.joined);
    let (before, after) = content.split_at(place);
    let after = cut(after, found.iter().map(|span| (span.begin - place, span.end - place)));
    Ok([before, block(whose, entries, joined).as_bytes(), &after].concat())
}

/// The content without the block of a project; none where it has none.
pub(super) fn without(content: &[u8], whose: &Whose) -> Result<Option<Vec<u8>>, BlockError> {
    let found = spans(content, whose)?;
    if found.is_empty() {
        return Ok(None);
    }
    // The end of the line before came with the block; it stays where another line follows.
    let before = |span: &Span| {
        let came = span.joined && span.begin > 0 && span.end == content.len();
        // An editor may have made all ends of lines longer.
        usize::from(came) + usize::from(came && content[..span.begin].ends_with(b"\r\n"))
    };
    Ok(Some(cut(content, found.iter().map(|span| (span.begin - before(span), span.end)))))
}

/// A block with its marks, as offsets in bytes.
struct Span {
    begin: usize,
    end: usize,
    joined: bool,
}

/// A line as a mark.
enum Mark {
    Begin { whose: Whose, joined: bool },
    End { whose: Whose },
    Strange,
}

/// What a line is, if it is a mark.
fn mark(line: &[u8]) -> Option<Mark> {
    let line = line.trim_ascii();
    if !line.starts_with(MARK.as_bytes()) {
        return None;
    }
    let whose = |text: &str| {
        let (project, owner) = text.split_once(OF)?;
        let plain = |text: &str| !text.is_empty() && !text.contains(char::is_whitespace);
        let whose = Whose { project: project.to_owned(), owner: owner.to_owned() };
        (plain(project) && plain(owner)).then_some(whose)
    };
    let known = std::str::from_utf8(line).ok().and_then(|text| {
        if let Some(rest) = text.strip_prefix(END) {
            return Some(Mark::End { whose: whose(rest)? });
        }
        let rest = text.strip_prefix(BEGIN)?;
        let bare = rest.strip_suffix(JOINED);
        Some(Mark::Begin { whose: whose(bare.unwrap_or(rest))?, joined: bare.is_some() })
    });
    Some(known.unwrap_or(Mark::Strange))
}

fn spans(content: &[u8], own: &Whose) -> Result<Vec<Span>, BlockError> {
    let mut found = Vec::new();
    let mut open: Option<(usize, usize, bool, Whose)> = None;
    let mut offset = 0;
    for (number, line) in content.split_inclusive(|byte| *byte == b'\n').enumerate() {
        match (mark(line), open.take()) {
            (None, before) => open = before,
            (Some(Mark::Begin { whose, joined }), None) => open = Some((offset, number + 1, joined, whose)),
            (Some(Mark::End { whose }), Some((begin, _, joined, opened))) if whose == opened => {
                if whose == *own {
                    found.push(Span { begin, end: offset + line.len(), joined });
                }
            }
            (Some(Mark::Strange), _) | (Some(Mark::End { .. }), None) => {
                return Err(BlockError::Strange { line: number + 1 });
            }
            (Some(Mark::Begin { .. } | Mark::End { .. }), Some((_, line, _, opened))) => {
                return Err(BlockError::Unended { project: opened.project, line });
            }
        }
        offset += line.len();
    }
    match open {
        Some((_, line, _, opened)) => Err(BlockError::Unended { project: opened.project, line }),
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

    fn of(project: &str) -> Whose {
        Whose { project: project.to_owned(), owner: "0123456789ab".to_owned() }
    }

    #[test]
    fn what_is_put_in_and_taken_out_leaves_no_trace() {
        let hostile: [&[u8]; 7] = [
            b"",
            b"127.0.0.1 localhost\n",
            b"127.0.0.1 localhost",
            b"\r\n127.0.0.1\tlocalhost\r\n",
            b"\xff\xfe\x00\n\n\n",
            b"# mesh: names of project shopping of x\n# mesh: end of project shopping of x\n",
            b"# mesh: names of project shop of x\n1.2.3.4 z.test\n# mesh: end of project shop of x\n",
        ];
        for content in hostile {
            assert_eq!(without(content, &of("shop")), Ok(None));
            let one = with(content, &of("shop"), &entries(&["a.test"])).expect("put in");
            let told = String::from_utf8_lossy(&one).into_owned();
            assert!(told.contains("\n127.0.0.1 a.test\n"), "{told}");
            let apart = |text: &[u8]| String::from_utf8_lossy(text).matches("1.2.3.4").count();
            assert_eq!(apart(&one), apart(content), "that of another owner stays");
            let again = with(&one, &of("shop"), &entries(&["a.test"])).expect("put in");
            assert_eq!(again, one, "putting it in twice is once");
            let both = with(&one, &of("other"), &entries(&["b.test"])).expect("put in");
            let changed = with(&both, &of("shop"), &entries(&["c.test", "d.test"])).expect("put in");
            let told = String::from_utf8_lossy(&changed).into_owned();
            assert!(
                told.contains("127.0.0.1 c.test d.test\n")
                    && told.contains("b.test")
                    && !told.contains("a.test")
            );
            let left = without(&changed, &of("shop")).expect("taken out").expect("was there");
            let left = without(&left, &of("other")).expect("taken out").expect("was there");
            assert!(left == content || content.last() != Some(&b'\n'), "{content:?} {left:?}");
            let alone = without(&one, &of("shop")).expect("taken out").expect("was there");
            assert_eq!(alone, content);
        }
    }

    #[test]
    fn two_blocks_of_a_project_become_one() {
        let block = text(&of("shop"), &entries(&["a.test"]));
        let twice = format!("x\n{block}y\n{block}z");
        let one = with(twice.as_bytes(), &of("shop"), &entries(&["b.test"])).expect("put in");
        assert_eq!(
            String::from_utf8(one).expect("text"),
            format!("x\n{}y\nz", text(&of("shop"), &entries(&["b.test"])))
        );
    }

    #[test]
    fn a_block_without_an_end_is_left_alone() {
        let block = text(&of("shop"), &entries(&["a.test"]));
        let cut = block.replace("# mesh: end", "# mush: end");
        let want = |line| BlockError::Unended { project: "shop".to_owned(), line };
        for (content, line) in [(format!("x\n{cut}"), 2), (format!("{cut}{block}"), 1)] {
            assert_eq!(without(content.as_bytes(), &of("shop")), Err(want(line)));
            assert_eq!(with(content.as_bytes(), &of("shop"), &[]), Err(want(line)));
        }
    }

    #[test]
    fn marks_are_known_after_an_editor() {
        let content = b"127.0.0.1 localhost";
        let one = with(content, &of("shop"), &entries(&["a.test"])).expect("put in");
        let text = String::from_utf8(one).expect("text");
        for edited in
            [text.replace('\n', "\r\n"), text.replace('\n', " \t\n").replace("localhost \t", "localhost")]
        {
            let alone = without(edited.as_bytes(), &of("shop")).expect("taken out").expect("was there");
            assert_eq!(alone, content, "{edited:?}");
            let again = with(edited.as_bytes(), &of("shop"), &entries(&["b.test"])).expect("put in");
            let again = String::from_utf8(again).expect("text");
            assert!(again.matches(BEGIN).count() == 1 && !again.contains("a.test"), "{again:?}");
        }
    }

    #[test]
    fn a_mark_that_was_changed_is_refused() {
        for line in [
            "# mesh: names of project shop",
            "  # mesh: names of project shop of",
            "# mesh: names of project shop of x and more",
            "# mesh: end of project shop of x",
            "# mesh: something",
            "# mesh:",
        ] {
            let content = format!("127.0.0.1 localhost\n{line}\n");
            let want = Err(BlockError::Strange { line: 2 });
            assert_eq!(without(content.as_bytes(), &of("shop")), want, "{line}");
            with(content.as_bytes(), &of("shop"), &[]).expect_err(line);
        }
        assert_eq!(without(b"# meshes are not meant\n", &of("shop")), Ok(None));
    }
}
