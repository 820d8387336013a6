//! Tables in plain text: columns as wide as their widest cell, three spaces between.

/// Lines of a table; trailing spaces are cut.
pub(crate) fn render(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let header = header.iter().map(|cell| (*cell).to_owned()).collect();
    for row in std::iter::once(&header).chain(rows) {
        let cells: Vec<String> =
            widths.iter().zip(row).map(|(width, cell)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("   ").trim_end());
        text.push('\n');
    }
    text
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
    }
}
