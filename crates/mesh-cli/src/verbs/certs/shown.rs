//! A certificate as people and programs read it.

use crate::words;
use mesh_api::status::{CertificateRow, CertificateStanding};
use serde_json::{Value, json};

/// Columns of the table.
pub(super) const HEADER: [&str; 8] =
    ["CONTAINER", "FILE", "SUBJECT", "NAMES", "ISSUER", "EXPIRES", "LEFT", "STATE"];
/// Seconds of a day.
const DAY: i64 = 86_400;

/// Its row in the table.
pub(super) fn cells(row: &CertificateRow, now: i64) -> Vec<String> {
    let dash = || "-".to_owned();
    let found = row.found.as_ref();
    let text = |tell: &dyn Fn(&mesh_api::status::CertificateFacts) -> String| found.map_or_else(dash, tell);
    vec![
        row.name.clone(),
        row.file.clone(),
        text(&|found| found.subject.clone()),
        text(&|found| found.names.join(", ")),
        text(&|found| found.issuer.clone()),
        text(&|found| moment(found.until_unix_seconds)),
        text(&|found| left(found.until_unix_seconds.saturating_sub(now))),
        state(row),
    ]
}

/// Its state in words, with what went wrong.
pub(super) fn state(row: &CertificateRow) -> String {
    let word = word(row.standing);
    match &row.trouble {
        Some(trouble) => format!("{word}: {trouble}"),
        None => word.to_owned(),
    }
}

/// It as a JSON document.
pub(super) fn json(row: &CertificateRow, now: i64) -> Value {
    let found = row.found.as_ref();
    let time = |seconds: i64| humantime(seconds);
    json!({
        "Container": row.name,
        "Service": row.service,
        "File": row.file,
        "State": word(row.standing),
        "Trouble": row.trouble,
        "Subject": found.map(|found| &found.subject),
        "Issuer": found.map(|found| &found.issuer),
        "Names": found.map(|found| &found.names),
        "Serial": found.map(|found| &found.serial),
        "NotBefore": found.map(|found| time(found.from_unix_seconds)),
        "NotAfter": found.map(|found| time(found.until_unix_seconds)),
        "RenewedFrom": row.renewed_from_unix_seconds.map(time),
        "SecondsLeft": found.map(|found| found.until_unix_seconds.saturating_sub(now)),
        "DaysLeft": found.map(|found| found.until_unix_seconds.saturating_sub(now).div_euclid(DAY)),
    })
}

/// Time that is left, or has gone by since the end: whole days, where there are some.
pub(super) fn left(seconds: i64) -> String {
    let size = seconds.unsigned_abs();
    let amount = if size >= 2 * DAY.unsigned_abs() {
        format!("{} days", size / DAY.unsigned_abs())
    } else {
        words::rough(size.saturating_mul(1000)).to_lowercase()
    };
    if seconds > 0 { amount } else { format!("over for {amount}") }
}

fn word(standing: CertificateStanding) -> &'static str {
    match standing {
        CertificateStanding::Good => "good",
        CertificateStanding::Due => "due",
        CertificateStanding::Expired => "expired",
        CertificateStanding::Unreadable => "unreadable",
    }
}

fn moment(seconds: i64) -> String {
    words::timestamp(u64::try_from(seconds).unwrap_or_default().saturating_mul(1000))
}

fn humantime(seconds: i64) -> String {
    moment(seconds).replacen(' ', "T", 1).replace(" +0000 UTC", "Z")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use mesh_api::status::CertificateFacts;

    /// A certificate that ends so many seconds after 1970.
    pub(crate) fn row(name: &str, until: i64, standing: CertificateStanding) -> CertificateRow {
        let found = CertificateFacts {
            subject: format!("CN={name}"),
            issuer: "CN=authority".to_owned(),
            names: vec![name.to_owned(), "127.0.0.1".to_owned()],
            serial: "7a".to_owned(),
            from_unix_seconds: 0,
            until_unix_seconds: until,
        };
        CertificateRow {
            name: format!("{name}-1"),
            service: name.to_owned(),
            file: "/tls/a.crt".to_owned(),
            standing,
            renewed_from_unix_seconds: Some(until - 10),
            trouble: None,
            found: (standing != CertificateStanding::Unreadable).then_some(found),
        }
    }

    #[test]
    fn what_is_left_is_in_days() {
        for (seconds, want) in [
            (90 * DAY + 5, "90 days"),
            (DAY, "24 hours"),
            (59, "59 seconds"),
            (0, "over for less than a second"),
            (-3 * DAY, "over for 3 days"),
        ] {
            assert_eq!(left(seconds), want);
        }
    }

    #[test]
    fn rows_tell_what_is_known() {
        let good = row("web", 2 * DAY, CertificateStanding::Good);
        assert_eq!(
            cells(&good, 0),
            [
                "web-1",
                "/tls/a.crt",
                "CN=web",
                "web, 127.0.0.1",
                "CN=authority",
                "1970-01-03 00:00:00 +0000 UTC",
                "2 days",
                "good"
            ]
        );
        assert_eq!(json(&good, 1)["NotAfter"], "1970-01-03T00:00:00Z");
        assert_eq!(json(&good, 1)["DaysLeft"], 1);
        let mut gone = row("web", 0, CertificateStanding::Unreadable);
        gone.trouble = Some("/tls/a.crt cannot be read".to_owned());
        assert_eq!(cells(&gone, 0)[7], "unreadable: /tls/a.crt cannot be read");
        assert_eq!(json(&gone, 0)["NotAfter"], Value::Null);
    }
}
