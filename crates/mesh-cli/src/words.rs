//! Quantities in words: durations, sizes, times, commands, ports.

use crate::{
    layout::shortened,
    template::{quoted, significant},
};
use mesh_api::status::PortStatus;
use std::{
    net::IpAddr,
    time::{SystemTime, UNIX_EPOCH},
};

/// Longest command shown in a table, in characters, unless `--no-trunc`.
const COMMAND_CHARACTERS_MAX: usize = 20;

/// Nanoseconds since 1970.
pub(crate) fn now_unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Milliseconds since 1970.
pub(crate) fn now_unix_ms() -> u64 {
    now_unix_ns() / 1_000_000
}

/// `Less than a second`, `5 seconds`, `About a minute`, `3 hours`: Docker's words.
pub(crate) fn rough(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    match (seconds, hours) {
        (0, _) => "Less than a second".to_owned(),
        (1, _) => "1 second".to_owned(),
        (2..60, _) => format!("{seconds} seconds"),
        (60..120, _) => "About a minute".to_owned(),
        (120..3600, _) => format!("{minutes} minutes"),
        (_, 0 | 1) => "About an hour".to_owned(),
        (_, 2..48) => format!("{hours} hours"),
        (_, 48..336) => format!("{} days", hours / 24),
        (_, 336..1440) => format!("{} weeks", hours / 24 / 7),
        (_, 1440..17_520) => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

/// `0.13s`, `4.8s`, `75s`.
pub(crate) fn short(milliseconds: u64) -> String {
    match milliseconds {
        0..1000 => format!("{}.{:02}s", 0, milliseconds / 10),
        1000..10_000 => format!("{}.{}s", milliseconds / 1000, milliseconds % 1000 / 100),
        _ => format!("{}s", milliseconds / 1000),
    }
}

/// Bytes with a binary unit: `72.5MiB`, four digits at most.
pub(crate) fn binary_bytes(bytes: u64) -> String {
    scaled(bytes, 1024.0, 4, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"])
}

/// Bytes with a decimal unit: `84.2MB`, three digits at most.
pub(crate) fn decimal_bytes(bytes: u64) -> String {
    scaled(bytes, 1000.0, 3, &["B", "kB", "MB", "GB", "TB", "PB", "EB"])
}

fn scaled(bytes: u64, step: f64, digits: usize, units: &[&str]) -> String {
    #[allow(clippy::cast_precision_loss, reason = "it is rounded to a few digits anyway")]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= step && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    format!("{}{}", significant(value, digits), units[unit])
}

/// A command line in quotation marks, cut unless `whole`; words with spaces stand in single ones.
pub(crate) fn command(arguments: &[String], whole: bool) -> String {
    let word = |(number, word): (usize, &String)| match number > 0 && word.contains(' ') {
        true => format!("'{word}'"),
        false => word.clone(),
    };
    let line = arguments.iter().enumerate().map(word).collect::<Vec<_>>().join(" ");
    quoted(&if whole { line } else { shortened(&line, COMMAND_CHARACTERS_MAX) })
}

/// An address to be typed into a client: a wildcard becomes loopback, and well-known ports get their
/// scheme. No user and no password are ever part of it.
pub(crate) fn url(port: &PortStatus) -> String {
    let ip = match port.host.ip() {
        IpAddr::V4(v4) if v4.is_unspecified() => "127.0.0.1".to_owned(),
        IpAddr::V6(v6) if v6.is_unspecified() => "[::1]".to_owned(),
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    };
    let address = format!("{ip}:{}", port.host.port());
    if port.protocol == mesh_model::network::Protocol::Udp {
        return format!("{address}/udp");
    }
    match scheme(port.target) {
        Some(scheme) => format!("{scheme}://{address}"),
        None => address,
    }
}

fn scheme(target: u16) -> Option<&'static str> {
    Some(match target {
        5432 | 6432 | 6433 => "postgres",
        3306 => "mysql",
        6379 => "redis",
        5671 => "amqps",
        5672 => "amqp",
        27017 => "mongodb",
        4222 => "nats",
        1883 => "mqtt",
        443 | 8443 => "https",
        80 | 3000 | 4318 | 5000 | 8000 | 8080 | 8081 | 8200 | 8222 | 8888 | 9000 | 9001 | 9090 | 9091
        | 9093 | 9100 | 9104 | 9121 | 9187 | 15672 | 15692 => "http",
        _ => return None,
    })
}

/// What something waits for, as a state: `waiting for db` is `Waiting for db`, anything else `Waiting (...)`.
pub(crate) fn waiting(detail: &str) -> String {
    match detail.strip_prefix("waiting") {
        Some(rest) => format!("Waiting{rest}"),
        None => format!("Waiting ({detail})"),
    }
}

/// `2026-11-21 12:00:00 +0000 UTC`, as Docker prints times.
pub(crate) fn timestamp(unix_ms: u64) -> String {
    let text = humantime::format_rfc3339_seconds(moment(unix_ms)).to_string();
    format!("{} +0000 UTC", text.trim_end_matches('Z').replace('T', " "))
}

/// `2026-11-21T12:00:00.123456789Z`.
pub(crate) fn precise(unix_ns: u64) -> String {
    let time = UNIX_EPOCH + std::time::Duration::from_nanos(unix_ns);
    humantime::format_rfc3339_nanos(time).to_string()
}

/// The same without the zeros at its end: `2026-11-21T12:00:00.5Z`.
pub(crate) fn precise_short(unix_ns: u64) -> String {
    let text = precise(unix_ns);
    format!("{}Z", text.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.'))
}

fn moment(unix_ms: u64) -> SystemTime {
    // The formatter refuses years past 9999.
    UNIX_EPOCH + std::time::Duration::from_millis(unix_ms.min(253_402_300_799_000))
}

/// Nanoseconds since 1970 of `--since` and `--until`: a time (`2026-11-21T12:00:00Z`, `2026-11-21`,
/// seconds since 1970) or how long ago (`10m`, `1h30m`).
pub(crate) fn instant(text: &str, now_unix_ns: u64) -> Option<u64> {
    if let Some(nanoseconds) = seconds(text) {
        return Some(nanoseconds);
    }
    if let Ok(ago) = humantime::parse_duration(text) {
        return Some(now_unix_ns.saturating_sub(u64::try_from(ago.as_nanos()).unwrap_or(u64::MAX)));
    }
    let whole = match text.len() {
        10 => format!("{text}T00:00:00Z"),
        _ => text.to_owned(),
    };
    let time = humantime::parse_rfc3339_weak(&whole).ok()?;
    u64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_nanos()).ok()
}

/// `1700000000` or `1700000000.5`, in nanoseconds.
fn seconds(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanoseconds: u64 = format!("{fraction:0<9}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1_000_000_000)?.checked_add(nanoseconds)
}

/// The entry of `names` that `wrong` was probably meant to be.
pub(crate) fn nearest<'names>(
    wrong: &str,
    names: impl Iterator<Item = &'names String>,
) -> Option<&'names str> {
    let scored = names.map(|name| (distance(wrong, name), name.as_str()));
    // Where as much differs as there is, it is another word.
    let near = wrong.chars().count().saturating_sub(1).min(2);
    scored.filter(|(distance, _)| *distance <= near).min().map(|(_, name)| name)
}

fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, from) in left.chars().take(64).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (column, to) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_model::network::Protocol;

    #[test]
    fn durations_read_as_docker_s() {
        for (ms, want) in [
            (500, "Less than a second"),
            (5_000, "5 seconds"),
            (61_000, "About a minute"),
            (600_000, "10 minutes"),
            (3_700_000, "About an hour"),
            (5_400_000, "2 hours"),
            (90_000_000, "25 hours"),
            (400_000_000, "4 days"),
        ] {
            assert_eq!(rough(ms), want);
        }
        assert_eq!([short(130), short(4_820), short(75_999)], ["0.13s", "4.8s", "75s"]);
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(
            [binary_bytes(0), binary_bytes(1536), binary_bytes(512 << 20)],
            ["0B", "1.5KiB", "512MiB"]
        );
        assert_eq!(binary_bytes(24_104 << 20), "23.54GiB");
        assert_eq!(
            [decimal_bytes(84_200_000), decimal_bytes(1_985_624), decimal_bytes(932), decimal_bytes(2_080)],
            ["84.2MB", "1.99MB", "932B", "2.08kB"]
        );
    }

    #[test]
    fn urls_have_schemes_and_no_wildcards() {
        for (host, target, protocol, want) in [
            ("0.0.0.0:15672", 15672, Protocol::Tcp, "http://127.0.0.1:15672"),
            ("127.0.0.2:5433", 5432, Protocol::Tcp, "postgres://127.0.0.2:5433"),
            ("[::]:7000", 7000, Protocol::Tcp, "[::1]:7000"),
            ("10.0.0.1:53", 53, Protocol::Udp, "10.0.0.1:53/udp"),
        ] {
            let status = PortStatus { host: host.parse().unwrap(), target, protocol };
            assert_eq!(url(&status), want);
        }
    }

    #[test]
    fn moments_are_times_or_ages() {
        let now = 1_000_000_000_000_000_000;
        for (text, want) in [
            ("10m", Some(now - 600_000_000_000)),
            ("1700000000", Some(1_700_000_000_000_000_000)),
            ("1700000000.5", Some(1_700_000_000_500_000_000)),
            ("1970-01-02", Some(86_400_000_000_000)),
            ("1970-01-01T00:00:01Z", Some(1_000_000_000)),
            ("soon", None),
            ("", None),
            (".", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(instant(text, now), want, "{text}");
        }
        assert_eq!(timestamp(0), "1970-01-01 00:00:00 +0000 UTC");
    }

    #[test]
    fn names_are_guessed_when_near() {
        let names = ["database".to_owned(), "redis".to_owned()];
        assert_eq!(nearest("redsi", names.iter()), Some("redis"));
        assert_eq!(nearest("web", names.iter()), None);
        assert_eq!(nearest("db", ["web".to_owned()].iter()), None);
    }

    #[test]
    fn commands_are_cut() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(command(&words("redis-server"), false), "\"redis-server\"");
        let long = words("docker-entrypoint.sh postgres -c x");
        assert_eq!(command(&long, false), "\"docker-entrypoint.s…\"");
        assert_eq!(command(&long, true), "\"docker-entrypoint.sh postgres -c x\"");
        let script = ["sh", "-c", "echo \"done\"; exit 3"].map(str::to_owned);
        assert_eq!(command(&script, false), "\"sh -c 'echo \\\"done\\\";…\"");
    }
}
