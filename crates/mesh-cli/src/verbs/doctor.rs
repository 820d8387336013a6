//! `doctor`.

use crate::{
    DoctorCheck, DoctorVerdict, Hooks,
    arguments::Format,
    console::{self, Style, styled},
    failure::CliError,
};
use clap::Args;
use serde_json::{Value, json};
use std::io::{self, IsTerminal};

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Does it; exit code 1 where something is missing that projects need.
pub(crate) fn run(arguments: &Arguments, hooks: Hooks) -> Result<u8, CliError> {
    let checks = (hooks.doctor)();
    match arguments.format {
        Format::Json => console::out_line(&checks.iter().map(document).collect::<Value>().to_string()),
        Format::Table => console::out(&render(&checks, io::stdout().is_terminal())),
    }
    let missing = checks.iter().any(|check| check.verdict == DoctorVerdict::Missing);
    Ok(u8::from(missing))
}

fn word(verdict: DoctorVerdict) -> (&'static str, Style) {
    match verdict {
        DoctorVerdict::Good => ("ok", Style::Good),
        DoctorVerdict::Limited => ("limited", Style::Warning),
        DoctorVerdict::Missing => ("missing", Style::Error),
    }
}

fn render(checks: &[DoctorCheck], colour: bool) -> String {
    let width = checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for check in checks {
        let (word, style) = word(check.verdict);
        // Padding stands outside the style, so that colours do not shift the columns.
        let padding = " ".repeat(7 - word.len());
        text.push_str(&format!(
            "{}{padding}  {:width$}  {}\n",
            styled(word, style, colour),
            check.name,
            check.detail
        ));
        if let Some(remedy) = &check.remedy {
            text.push_str(&format!(
                "{:9}{:width$}  {} {remedy}\n",
                "",
                "",
                styled("hint:", Style::Hint, colour)
            ));
        }
    }
    text
}

fn document(check: &DoctorCheck) -> Value {
    let (word, _) = word(check.verdict);
    json!({ "name": check.name, "verdict": word, "detail": check.detail, "remedy": check.remedy })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_comes_with_its_remedy() {
        let check = |name: &str, verdict, remedy: Option<&str>| DoctorCheck {
            name: name.to_owned(),
            verdict,
            detail: "found".to_owned(),
            remedy: remedy.map(str::to_owned),
        };
        let checks = [
            check("kernel", DoctorVerdict::Good, None),
            check("apt", DoctorVerdict::Missing, Some("install it")),
        ];
        let want = "ok       kernel  found\nmissing  apt     found\n                 hint: install it\n";
        assert_eq!(render(&checks, false), want);
    }
}
