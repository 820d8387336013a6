//! `--format` of a list: `table`, `json`, `raw`, `table TEMPLATE` or a template, as Docker takes them.

use crate::{
    console::inert,
    failure::CliError,
    table,
    template::{Purpose, Subject, Template, Value},
};
use std::{
    io::{self, IsTerminal},
    rc::Rc,
};

/// The word for a table.
pub(crate) const TABLE: &str = "table";
/// The word for a JSON document a line.
pub(crate) const JSON: &str = "json";
/// Least width of a column.
const COLUMN_WIDTH_MIN: usize = 10;

/// What a list can show.
#[derive(Debug)]
pub(crate) struct Layout<'a> {
    /// The template behind `table`.
    pub(crate) table: &'a str,
    /// The template behind `raw`; `None`: the word is a template like any other.
    pub(crate) raw: Option<&'a str>,
    /// The header of a field's column, for those that have one.
    pub(crate) headers: &'a [(&'static str, &'static str)],
}

impl Layout<'_> {
    /// The rows in the format that `--format` asks for; empty: a table.
    ///
    /// # Errors
    /// When the template is none, or asks for a field that there is not.
    pub(crate) fn render(&self, format: &str, rows: Vec<Subject>) -> Result<String, CliError> {
        let format = match format {
            "" | TABLE => format!("{TABLE} {}", self.table),
            JSON => "{{json .}}".to_owned(),
            "raw" => self.raw.unwrap_or("raw").to_owned(),
            other => other.to_owned(),
        };
        let (source, is_table) = match format.strip_prefix(TABLE) {
            Some(rest) => (rest, true),
            None => (format.as_str(), false),
        };
        let source = source.trim_matches(' ').replace("\\t", "\t").replace("\\n", "\n");
        let failed = |error| CliError::said(format!("template parsing error: {error}"));
        let template = Template::parse(&source).map_err(failed)?;
        let mut text = String::new();
        if is_table {
            let header = Value::Subject(Rc::new(self.header()));
            // A header says as much as it can.
            let _ = template.execute(&header, Purpose::Header, &mut text);
            text.push('\n');
        }
        for row in rows {
            let row = Value::Subject(Rc::new(harmless(row)));
            template.execute(&row, Purpose::Rows, &mut text).map_err(failed)?;
            text.push('\n');
        }
        Ok(if is_table { table::tabulate(&text, COLUMN_WIDTH_MIN, table::PADDING) } else { text })
    }

    fn header(&self) -> Subject {
        let fields = self.headers.iter().map(|(field, header)| (*field, Value::from(*header))).collect();
        Subject { kind: "", fields, labels: Some(Default::default()) }
    }
}

/// A row with nothing in it that a terminal would act on, where there is a terminal: what an image says of
/// itself can be anything.
fn harmless(mut row: Subject) -> Subject {
    if io::stdout().is_terminal() {
        for value in row.fields.values_mut() {
            if let Value::Text(text) = value {
                *text = inert(text);
            }
        }
        for label in row.labels.iter_mut().flat_map(|labels| labels.values_mut()) {
            *label = inert(label);
        }
    }
    row
}

/// A text cut to so many letters, the last of which says that more follows.
pub(crate) fn shortened(text: &str, letters_max: usize) -> String {
    if text.chars().count() <= letters_max {
        return text.to_owned();
    }
    let cut: String = text.chars().take(letters_max.saturating_sub(1)).collect();
    format!("{cut}…")
}

/// What `ls` and `images` take, which know no templates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plain {
    /// Columns.
    Table,
    /// A JSON document.
    Json,
}

impl Plain {
    /// Reads `--format`.
    ///
    /// # Errors
    /// When it is something else.
    pub(crate) fn parse(format: &str) -> Result<Self, CliError> {
        match format.to_ascii_lowercase().as_str() {
            "" | TABLE | "pretty" => Ok(Self::Table),
            JSON => Ok(Self::Json),
            _ => {
                let error =
                    CliError::said(format!("format value {format:?} could not be parsed: parsing failed"));
                Err(error.with_hint("it is `table` or `json`"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: &str, want: Result<&str, &str>) {
        let layout = Layout {
            table: "{{.Name}}\t{{.State}}",
            raw: Some("name: {{.Name}}\n"),
            headers: &[("Name", "NAME"), ("State", "STATE")],
        };
        let row = |name: &str, state: &str| Subject {
            kind: "*formatter.ContainerContext",
            fields: [("Name", name.into()), ("State", state.into())].into(),
            labels: Some([("a.b-c".to_owned(), "x".to_owned())].into()),
        };
        let rows = vec![row("hub-db-1", "running"), row("a", "")];
        let got = layout.render(format, rows).map_err(|error| error.to_string());
        assert_eq!(got.as_deref().map_err(String::as_str), want, "{format}");
    }

    #[test]
    fn formats_read_as_docker_s() {
        check("", Ok("NAME       STATE\nhub-db-1   running\na          \n"));
        check("table", Ok("NAME       STATE\nhub-db-1   running\na          \n"));
        check("table {{.State}}\\t{{.Name}}", Ok("STATE     NAME\nrunning   hub-db-1\n          a\n"));
        check("table {{upper .Name}}", Ok("NAME\nHUB-DB-1\nA\n"));
        check(
            "table {{.Nope}}",
            Err(
                "template parsing error: template: :1:2: executing \"\" at <.Nope>: can't evaluate field Nope in type *formatter.ContainerContext",
            ),
        );
        check("table {{.Label \"a.b-c\"}}", Ok("b c\nx\nx\n"));
        check("json", Ok("{\"Name\":\"hub-db-1\",\"State\":\"running\"}\n{\"Name\":\"a\",\"State\":\"\"}\n"));
        check("raw", Ok("name: hub-db-1\n\nname: a\n\n"));
        check("jsonx", Ok("jsonx\njsonx\n"));
        check("{{json .Name}}", Ok("\"hub-db-1\"\n\"a\"\n"));
        check("{{json}", Err("template parsing error: template: :1: bad character U+007D '}'"));
    }

    #[test]
    fn texts_are_shortened_by_letters() {
        assert_eq!([shortened("abc", 3), shortened("äbcd", 3)], ["abc", "äb…"]);
    }
}
