//! Tables in plain text: columns as wide as their widest cell, three spaces between.

use crate::console::inert;

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
        let cells: Vec<String> =
            widths.iter().zip(row).map(|(width, cell)| format!("{cell:width$}")).collect();
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
    fn columns_are_aligned() {
        let rows =
            vec![vec!["db".to_owned(), "running".to_owned()], vec!["gateway".to_owned(), "é".to_owned()]];
        assert_eq!(render(&["SERVICE", "X"], &rows), "SERVICE   X\ndb        running\ngateway   é\n");
        assert_eq!(render(&["A", "B"], &[]), "A   B\n");
        let odd = vec![vec!["a\nb".to_owned(), "\u{1b}[2J".to_owned()]];
        assert_eq!(render(&["A", "B"], &odd), "A     B\na b   \\u{1b}[2J\n");
    }
}
