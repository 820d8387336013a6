//! `certs check`: one line and an exit code, as monitoring of Nagios's kind reads them.

use super::shown;
use crate::{console, failure::CliError};
use mesh_api::status::{CertificateRow, CertificateStanding};
use serde_json::json;
use std::time::Duration;

/// What a check comes to. The numbers are the exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// All last.
    Good = 0,
    /// One is to be renewed.
    Warning = 1,
    /// One has expired.
    Critical = 2,
    /// It cannot be told.
    Unknown = 3,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Good => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// The worse of two comes later.
    fn weight(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Unknown => 1,
            Self::Warning => 2,
            Self::Critical => 3,
        }
    }
}

/// Tells how they stand, and gives the exit code.
pub(super) fn tell(
    asked: Result<Vec<CertificateRow>, CliError>,
    within: Option<Duration>,
    as_json: bool,
    now: i64,
) -> u8 {
    let rows = asked.as_deref().unwrap_or_default();
    let (verdict, text) = match &asked {
        Err(error) => (Verdict::Unknown, error.to_string()),
        Ok(rows) => judge(rows, within, now),
    };
    if as_json {
        let certificates: Vec<_> = rows.iter().map(|row| shown::json(row, now)).collect();
        let told = json!({"State": verdict.word(), "Text": text, "Certificates": certificates});
        console::out_line(&told.to_string());
    } else {
        console::out_line(&format!("{} - {text}", verdict.word()));
        for row in rows.iter().filter(|row| of(row, within, now) != Verdict::Good) {
            console::out_line(&line(row, now));
        }
    }
    verdict as u8
}

fn judge(rows: &[CertificateRow], within: Option<Duration>, now: i64) -> (Verdict, String) {
    let verdicts = || rows.iter().map(|row| of(row, within, now));
    let Some(worst) = verdicts().max_by_key(|verdict| verdict.weight()) else {
        return (Verdict::Unknown, "no running service declares a certificate".to_owned());
    };
    let count = |wanted| verdicts().filter(|verdict| *verdict == wanted).count();
    let parts = [
        (count(Verdict::Critical), "expired"),
        (count(Verdict::Warning), "to be renewed"),
        (count(Verdict::Unknown), "unreadable"),
        (count(Verdict::Good), "good"),
    ];
    let parts = parts.into_iter().filter(|(count, _)| *count > 0);
    let mut text = parts.map(|(count, word)| format!("{count} {word}")).collect::<Vec<_>>().join(", ");
    let until = |row: &&CertificateRow| row.found.as_ref().map_or(i64::MAX, |found| found.until_unix_seconds);
    if let Some(first) = rows.iter().min_by_key(until)
        && let Some(found) = &first.found
    {
        let left = shown::left(found.until_unix_seconds.saturating_sub(now));
        text.push_str(&format!("; the first to end is {} of {}: {left}", first.file, first.name));
    }
    (worst, text)
}

fn of(row: &CertificateRow, within: Option<Duration>, now: i64) -> Verdict {
    let asked = within.map(|within| i64::try_from(within.as_secs()).unwrap_or(i64::MAX));
    let left = row.found.as_ref().map(|found| found.until_unix_seconds.saturating_sub(now));
    match (row.standing, left, asked) {
        (CertificateStanding::Unreadable, ..) | (_, None, _) => Verdict::Unknown,
        (CertificateStanding::Expired, ..) => Verdict::Critical,
        (_, Some(left), Some(asked)) if left <= asked => Verdict::Warning,
        (CertificateStanding::Due, _, None) => Verdict::Warning,
        _ => Verdict::Good,
    }
}

fn line(row: &CertificateRow, now: i64) -> String {
    let left = row.found.as_ref().map(|found| found.until_unix_seconds.saturating_sub(now));
    let left = left.map(|left| format!(", {}", shown::left(left))).unwrap_or_default();
    format!("{} {}: {}{left}", row.name, row.file, shown::state(row))
}

#[cfg(test)]
mod tests {
    use super::{super::shown::tests::row, *};
    use CertificateStanding::{Due, Expired, Good, Unreadable};

    const DAY: i64 = 86_400;

    #[test]
    fn the_worst_decides() {
        let days = |days: u64| Some(Duration::from_secs(days * 86_400));
        let good = || row("a", 90 * DAY, Good);
        for (rows, within, want, words) in [
            (vec![], None, Verdict::Unknown, "no running service declares"),
            (vec![good()], None, Verdict::Good, "1 good; the first to end is /tls/a.crt of a-1: 90 days"),
            (vec![good(), row("b", DAY, Due)], None, Verdict::Warning, "1 to be renewed, 1 good"),
            (
                vec![row("b", DAY, Due), row("c", -DAY, Expired)],
                None,
                Verdict::Critical,
                "1 expired, 1 to be",
            ),
            (vec![good(), row("d", 0, Unreadable)], None, Verdict::Unknown, "1 unreadable, 1 good"),
            (vec![row("c", 0, Expired), row("d", 0, Unreadable)], None, Verdict::Critical, "1 expired"),
            (vec![good()], days(91), Verdict::Warning, "1 to be renewed"),
            (vec![row("b", DAY * 2, Due)], days(1), Verdict::Good, "1 good"),
        ] {
            let (verdict, text) = judge(&rows, within, 0);
            assert_eq!(verdict, want, "{text}");
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn codes_are_those_of_monitoring() {
        let failed = Err(CliError::said("no socket"));
        assert_eq!(tell(failed, None, true, 0), 3);
        assert_eq!(tell(Ok(vec![row("a", 5, Due)]), None, false, 0), 1);
        assert_eq!(tell(Ok(vec![row("a", -5, Expired)]), None, false, 0), 2);
    }
}
