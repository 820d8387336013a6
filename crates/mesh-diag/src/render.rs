//! Findings as text: place first, so that editors can jump to it, then the line with a caret.

use crate::{Finding, Findings, Place, Severity};
use std::fmt::Write as _;

/// Longest part of a source line that is shown, in characters.
const SHOWN_LINE_CHARS_MAX: usize = 160;

/// How findings are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// Use terminal colours.
    pub colour: bool,
}

impl Style {
    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// All findings, each with its source line where the text of its file is attached; ends with a newline
/// unless there is nothing to show.
#[must_use]
pub fn render(findings: &Findings, style: Style) -> String {
    let mut out = String::new();
    let mut cursor = Cursor::default();
    for finding in findings {
        render_one(&mut out, finding, findings, &mut cursor, style);
    }
    out
}

fn render_one<'f>(
    out: &mut String,
    finding: &'f Finding,
    findings: &'f Findings,
    cursor: &mut Cursor<'f>,
    style: Style,
) {
    if let Some(place) = &finding.place {
        out.push_str(&style.paint("1", &format!("{place}:")));
        out.push(' ');
    }
    let colour = match finding.severity {
        Severity::Error => "1;31",
        Severity::Warning => "1;33",
    };
    let severity = style.paint(colour, &format!("{}:", finding.severity));
    let code = style.paint("2", &format!("[{}]", finding.code));
    // Messages may quote user text; nothing of it reaches the terminal as a control sequence.
    let _ = writeln!(out, "{severity} {} {code}", printable(&finding.message));
    if let Some(place) = &finding.place
        && let Some(line) =
            findings.source(&place.file).and_then(|text| cursor.line_of(&place.file, text, place.line))
    {
        snippet(out, place, line, colour, style);
    }
    if let Some(hint) = &finding.hint {
        let _ = writeln!(out, "  {} {}", style.paint("1;36", "hint:"), printable(hint));
    }
}

/// Where reading lines got to: findings are in the order of lines, so a large file is gone through once.
#[derive(Debug, Default)]
struct Cursor<'f> {
    file: &'f str,
    /// Number of the line that `rest` starts with.
    line: u32,
    rest: &'f str,
}

impl<'f> Cursor<'f> {
    fn line_of(&mut self, file: &'f str, text: &'f str, line: u32) -> Option<&'f str> {
        if line == 0 {
            return None;
        }
        if self.file != file || self.line == 0 || line < self.line {
            *self = Self { file, line: 1, rest: text };
        }
        while self.line < line {
            self.rest = self.rest.split_once('\n')?.1;
            self.line += 1;
        }
        let line = self.rest.lines().next()?;
        (!line.trim().is_empty()).then_some(line)
    }
}

fn snippet(out: &mut String, place: &Place, line: &str, colour: &str, style: Style) {
    let number = place.line.to_string();
    let gutter = " ".repeat(number.len());
    let shown: String = line.chars().take(SHOWN_LINE_CHARS_MAX).map(visible).collect();
    let bar = style.paint("2", "|");
    let _ = writeln!(out, "  {} {bar} {}", style.paint("2", &number), shown.trim_end());
    let start = usize::try_from(place.column).unwrap_or(1).saturating_sub(1);
    let width = shown.trim_end().chars().count();
    if start < width {
        let length = place.length.and_then(|length| usize::try_from(length).ok()).unwrap_or(1);
        let carets = "^".repeat(length.clamp(1, width - start));
        let _ = writeln!(out, "  {gutter} {bar} {}{}", " ".repeat(start), style.paint(colour, &carets));
    }
}

fn visible(character: char) -> char {
    match character {
        '\t' => ' ',
        control if control.is_control() => '\u{fffd}',
        other => other,
    }
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { ' ' } else { visible(c) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(finding: Finding, source: &str, want: &str) {
        let mut findings = Findings::new();
        findings.attach_source("compose.yaml".into(), source.into());
        findings.push(finding);
        assert_eq!(render(&findings, Style::default()), want);
    }

    fn finding(place: Option<(u32, u32, u32)>, hint: Option<&str>) -> Finding {
        Finding {
            severity: Severity::Error,
            code: "unknown-key",
            message: "unknown key `imge`".to_owned(),
            place: place.map(|(line, column, length)| Place {
                file: "compose.yaml".into(),
                line,
                column,
                length: Some(length),
            }),
            hint: hint.map(ToOwned::to_owned),
        }
    }

    #[test]
    fn a_finding_shows_its_line_a_caret_and_its_hint() {
        check(
            finding(Some((3, 5, 4)), Some("did you mean `image`?")),
            "services:\n  a:\n    imge: x\n",
            "compose.yaml:3:5: error: unknown key `imge` [unknown-key]\n  3 |     imge: x\n    |     ^^^^\n  \
             hint: did you mean `image`?\n",
        );
    }

    #[test]
    fn places_outside_the_text_do_no_harm() {
        let bare = "error: unknown key `imge` [unknown-key]\n";
        check(finding(None, None), "", bare);
        check(finding(Some((9, 9, 9)), None), "a\n", &format!("compose.yaml:9:9: {bare}"));
        check(finding(Some((1, 9, 9)), None), "a\n", &format!("compose.yaml:1:9: {bare}  1 | a\n"));
        check(finding(Some((0, 0, 0)), None), "a\n", &format!("compose.yaml:0:0: {bare}"));
    }

    #[test]
    fn colours_and_control_characters_are_apart() {
        let mut findings = Findings::new();
        let mut bad = finding(None, None);
        bad.message = "bad \u{1b}[2J".to_owned();
        findings.push(bad);
        let plain = render(&findings, Style::default());
        assert!(!plain.contains('\u{1b}'), "{plain:?}");
        assert!(render(&findings, Style { colour: true }).starts_with("\u{1b}[1;31m"));
    }
}
