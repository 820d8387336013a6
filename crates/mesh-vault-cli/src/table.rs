//! Columns: lines of parts, padded, with four spaces between them.

/// What stands between columns.
const GLUE: &str = "    ";
/// What stands for a part that is empty.
const EMPTY: &str = "n/a";

/// Lines of parts as columns, without a line of heads.
pub(crate) fn columns<S: AsRef<str>>(lines: &[Vec<S>]) -> String {
    let shown = |part: &S| match part.as_ref().trim() {
        "" => EMPTY.to_owned(),
        part => part.to_owned(),
    };
    let lines: Vec<Vec<String>> = lines.iter().map(|line| line.iter().map(shown).collect()).collect();
    let mut widths: Vec<usize> = Vec::new();
    for line in &lines {
        for (at, part) in line.iter().enumerate() {
            let width = part.chars().count();
            match widths.get_mut(at) {
                Some(known) => *known = (*known).max(width),
                None => widths.push(width),
            }
        }
    }
    let mut out = Vec::new();
    for line in lines {
        let last = line.len().saturating_sub(1);
        let padded = line.iter().enumerate().map(|(at, part)| match at == last {
            true => part.clone(),
            false => {
                let padding = widths[at].saturating_sub(part.chars().count());
                format!("{part}{}", " ".repeat(padding))
            }
        });
        out.push(padded.collect::<Vec<_>>().join(GLUE));
    }
    out.join("\n")
}

/// The same with a line of dashes below the first.
pub(crate) fn table<S: AsRef<str>>(lines: &[Vec<S>]) -> String {
    let Some(heads) = lines.first() else { return String::new() };
    let dashes = heads.iter().map(|head| "-".repeat(head.as_ref().trim().len())).collect();
    let rest = lines[1..].iter().map(|line| line.iter().map(|part| part.as_ref().to_owned()).collect());
    let heads = heads.iter().map(|head| head.as_ref().to_owned()).collect();
    columns(&[heads, dashes].into_iter().chain(rest).collect::<Vec<Vec<String>>>())
}

/// A line of heads and pairs.
pub(crate) fn pairs(rows: &[(String, String)]) -> String {
    let heads = vec!["Key".to_owned(), "Value".to_owned()];
    let rows = rows.iter().map(|(key, value)| vec![key.clone(), value.clone()]);
    table(&[heads].into_iter().chain(rows).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_part() {
        let lines = [vec!["Path", "Type"], vec!["cubbyhole/", ""], vec!["a/", "kv"]];
        assert_eq!(
            table(&lines),
            "Path          Type\n----          ----\ncubbyhole/    n/a\na/            kv"
        );
        assert_eq!(columns(&[vec!["∞", "x"], vec!["ab", "y"]]), "∞     x\nab    y");
        assert_eq!(table::<&str>(&[]), "");
    }
}
