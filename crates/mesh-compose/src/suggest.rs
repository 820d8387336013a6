//! Names close to a mistyped one.

/// Longest name compared, in characters; nobody types longer keys by mistake.
const COMPARED_CHARS_MAX: usize = 64;

/// A hint naming the known name nearest to `name`, if one is near.
pub(crate) fn did_you_mean<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<String> {
    let allowed = match name.chars().count() {
        0..=2 => 1,
        3..=7 => 2,
        _ => 3,
    };
    let nearest = known.into_iter().map(|known| (distance(name, known), known)).min()?;
    (nearest.0 <= allowed).then(|| format!("did you mean `{}`?", nearest.1))
}

/// Number of insertions, deletions, replacements and swaps of neighbours between two names.
fn distance(a: &str, b: &str) -> usize {
    let fold = |text: &str| -> Vec<char> {
        text.chars()
            .take(COMPARED_CHARS_MAX)
            .map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() })
            .collect()
    };
    let (a, b) = (fold(a), fold(b));
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let mut cost = (last[j] + usize::from(from != to)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *from == b[j - 1] && a[i - 1] == *to {
                cost = cost.min(before[j - 1] + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        let known = ["image", "environment", "depends_on", "ports"];
        for (name, want) in [
            ("imgae", Some("did you mean `image`?")),
            ("enviroment", Some("did you mean `environment`?")),
            ("depends-on", Some("did you mean `depends_on`?")),
            ("port", Some("did you mean `ports`?")),
            ("frobnicate", None),
            ("", None),
        ] {
            assert_eq!(did_you_mean(name, known).as_deref(), want, "{name}");
        }
    }
}
