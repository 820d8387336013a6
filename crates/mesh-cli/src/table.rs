//! Tables in plain text: columns as wide as their widest cell, three spaces between.

use crate::console::inert;

/// Spaces between columns.
pub(crate) const PADDING: usize = 3;

/// Lines of cells with a tab behind each but the last, with the tabs made columns as Docker's tools make
/// them: a column reaches as far as lines that have it follow each other, and the last cell of a line is in
/// none.
pub(crate) fn tabulate(text: &str, width_min: usize, padding: usize) -> String {
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    let mut widths: Vec<Vec<usize>> =
        lines.iter().map(|line| vec![0; line.len().saturating_sub(1)]).collect();
    let columns = widths.iter().map(Vec::len).max().unwrap_or(0);
    for column in 0..columns {
        let mut line = 0;
        while line < lines.len() {
            let has = |line: &usize| widths.get(*line).is_some_and(|widths| widths.len() > column);
            let end = (line..).find(|line| !has(line)).unwrap_or(line);
            let cell = |line: usize| lines[line][column].chars().count() + padding;
            let width = (line..end).map(cell).max().unwrap_or(0).max(width_min);
            (line..end).for_each(|line| widths[line][column] = width);
            line = end + 1;
        }
    }
    let mut shown = String::with_capacity(text.len() * 2);
    for (cells, widths) in lines.iter().zip(&widths) {
        for (number, cell) in cells.iter().enumerate() {
            let width = widths.get(number).copied().unwrap_or(0);
            shown.push_str(cell);
            shown.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
        }
        shown.push('\n');
    }
    shown
}

/// A table with a header, in which every column has at least `width_min` letters; nothing is cut, and the
/// last cell of a line is as it is.
pub(crate) fn aligned(header: &[&str], rows: &[Vec<String>], width_min: usize, padding: usize) -> String {
    let mut text = header.join("\t");
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| one_line(cell)).collect();
        text.push('\n');
        text.push_str(&cells.join("\t"));
    }
    tabulate(&text, width_min, padding)
}

/// Lines of a table; trailing spaces are cut.
pub(crate) fn render(header: &[&str], rows: &[Vec<String>]) -> String {
    // A cell may be what a container calls its processes.
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| one_line(cell)).collect()).collect();
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.chars().count()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let header = header.iter().map(|cell| (*cell).to_owned()).collect();
    for row in std::iter::once(&header).chain(&rows) {
        let filled = |(width, cell): (&usize, &String)| {
            format!("{cell}{}", " ".repeat(width.saturating_sub(cell.chars().count())))
        };
        let cells: Vec<String> = widths.iter().zip(row).map(filled).collect();
        text.push_str(cells.join("   ").trim_end());
        text.push('\n');
    }
    text
}

fn one_line(cell: &str) -> String {
    inert(cell).replace(['\n', '\t'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_reach_as_far_as_lines_have_them() {
        for (text, want) in [
            ("A\tB\nlonger\tx\n", "A         B\nlonger    x\n"),
            ("a\tb\tc\n\naaaaaaaaaaaa\tb\n", "a         b         c\n\naaaaaaaaaaaa   b\n"),
            ("a\t\nb\tx", "a         \nb         x\n"),
            ("", ""),
        ] {
            assert_eq!(tabulate(text, 10, 3), want, "{text:?}");
        }
        let rows = vec![vec!["web".to_owned(), "1".to_owned()]];
        assert_eq!(aligned(&["SERVICE", "#"], &rows, 4, 2), "SERVICE  #\nweb      1\n");
    }

    #[test]
    fn columns_are_aligned() {
        let rows =
            vec![vec!["db".to_owned(), "running".to_owned()], vec!["gateway".to_owned(), "é".to_owned()]];
        assert_eq!(render(&["SERVICE", "X"], &rows), "SERVICE   X\ndb        running\ngateway   é\n");
        assert_eq!(render(&["A", "B"], &[]), "A   B\n");
        let odd = vec![vec!["a\nb".to_owned(), "\u{1b}[2J".to_owned()]];
        assert_eq!(render(&["A", "B"], &odd), "A     B\na b   \\u{1b}[2J\n");
    }
}
