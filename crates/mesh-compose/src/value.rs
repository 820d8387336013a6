//! Small texts with a grammar of their own: byte sizes, durations, modes, addresses, names, words.

use mesh_model::network::Subnet;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

/// Bytes of `512`, `512b`, `1.5k`, `20mb`, `1GiB`; units are powers of 1024.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let power = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        "p" | "pb" | "pib" => 5,
        _ => return None,
    };
    let scale = 1024_u64.pow(power);
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(scale);
    }
    // A fraction: exact for up to six decimals, which is finer than a byte of any sensible size.
    let (whole, fraction) = number.split_once('.')?;
    let digits: String = fraction.chars().take(6).collect();
    let unit_of_fraction = 10_u64.pow(u32::try_from(digits.len()).ok()?);
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
    let part = if digits.is_empty() { 0 } else { digits.parse::<u64>().ok()? };
    if number.len() < 2 || fraction.contains('.') {
        return None;
    }
    let part = u64::try_from(u128::from(scale) * u128::from(part) / u128::from(unit_of_fraction)).ok()?;
    whole.checked_mul(scale)?.checked_add(part)
}

/// Time of `1m30s`, `1.5h`, `300ms`, `2d`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0_u128;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, after) = rest.split_at(digits);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, tail) = after.split_at(end);
        let nanoseconds: u128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            "w" => 604_800_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || whole.len() > 12 {
            return None;
        }
        let fraction: String = fraction.chars().take(9).collect();
        let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let part: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
        total += whole * nanoseconds + part * nanoseconds / 10_u128.pow(u32::try_from(fraction.len()).ok()?);
        rest = tail;
    }
    Some(Duration::from_nanos(u64::try_from(total).ok()?))
}

/// A duration as Compose prints it: `1m30s`.
pub(crate) fn duration_text(duration: Duration) -> String {
    let nanoseconds = duration.subsec_nanos();
    let seconds = duration.as_secs();
    if seconds == 0 && nanoseconds > 0 {
        return match nanoseconds {
            n if n % 1_000_000 == 0 => format!("{}ms", n / 1_000_000),
            n if n % 1_000 == 0 => format!("{}µs", n / 1_000),
            n => format!("{n}ns"),
        };
    }
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let mut text = String::new();
    if hours > 0 {
        text.push_str(&format!("{hours}h"));
    }
    if hours > 0 || minutes > 0 {
        text.push_str(&format!("{minutes}m"));
    }
    let fraction = if nanoseconds > 0 { format!(".{nanoseconds:09}") } else { String::new() };
    text.push_str(&format!("{}{}s", seconds % 60, fraction.trim_end_matches('0')));
    text
}

/// An octal mode, up to 7777.
pub(crate) fn mode(text: &str) -> Option<u32> {
    let digits = text.trim().trim_start_matches("0o");
    u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o7777 && !digits.starts_with('+'))
}

pub(crate) fn is_subnet(text: &str) -> bool {
    Subnet::parse(text).is_some()
}

/// An address, also in the brackets of IPv6.
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text).parse().ok()
}

pub(crate) fn is_address(text: &str) -> bool {
    address(text).is_some()
}

pub(crate) fn is_ipv4(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok()
}

pub(crate) fn is_ipv6(text: &str) -> bool {
    text.parse::<Ipv6Addr>().is_ok()
}

/// What a service, network, volume, secret or config may be called; the names `.` and `..` would lead
/// out of the directory that is called after them.
pub(crate) fn is_name(text: &str) -> bool {
    !matches!(text, "" | "." | "..")
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

pub(crate) fn is_container_name(text: &str) -> bool {
    text.len() > 1
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

/// What `pull_policy` takes, for messages.
pub(crate) const PULL_POLICIES: &str = "always, never, missing, if_not_present, build, refresh, daily, weekly or every_<time>, such as every_12h";

pub(crate) fn is_pull_policy(text: &str) -> bool {
    pull_policy(text).is_some()
}

/// `pull_policy` as a policy.
pub(crate) fn pull_policy(text: &str) -> Option<mesh_model::service::PullPolicy> {
    use mesh_model::service::PullPolicy;
    const DAY: Duration = Duration::from_secs(24 * 3600);
    Some(match text {
        "missing" | "if_not_present" | "refresh" => PullPolicy::Missing,
        "always" => PullPolicy::Always,
        "never" => PullPolicy::Never,
        "build" => PullPolicy::Build,
        "daily" => PullPolicy::Every(DAY),
        "weekly" => PullPolicy::Every(7 * DAY),
        text => PullPolicy::Every(duration(text.strip_prefix("every_")?)?),
    })
}

pub(crate) fn is_size(text: &str) -> bool {
    bytes(text).is_some()
}

pub(crate) fn is_signal(text: &str) -> bool {
    mesh_model::signal::number(text.trim()).is_some()
}

pub(crate) fn is_restart(text: &str) -> bool {
    restart(text).is_some()
}

/// `restart` as a policy.
pub(crate) fn restart(text: &str) -> Option<mesh_model::service::RestartPolicy> {
    use mesh_model::service::RestartPolicy;
    Some(match text.split_once(':').map_or((text, None), |(name, count)| (name, Some(count))) {
        ("no" | "" | "none", None) => RestartPolicy::No,
        ("always", None) => RestartPolicy::Always,
        ("unless-stopped", None) => RestartPolicy::UnlessStopped,
        ("on-failure", None) => RestartPolicy::OnFailure { max_attempts: None },
        ("on-failure", Some(count)) => RestartPolicy::OnFailure { max_attempts: Some(count.parse().ok()?) },
        _ => return None,
    })
}

/// Takes a command line apart as a shell would, without expanding anything. `None`: a quote is open.
pub(crate) fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                let next = characters.next()?;
                if next != '\n' {
                    word.get_or_insert_default().push(next);
                }
            }
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next()? {
                        '\'' => break,
                        inside => word.push(inside),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next()? {
                        '"' => break,
                        '\\' => match characters.next()? {
                            escaped @ ('"' | '\\' | '$' | '`') => word.push(escaped),
                            '\n' => {}
                            other => word.extend(['\\', other]),
                        },
                        inside => word.push(inside),
                    }
                }
            }
            space if space.is_whitespace() => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_sizes() {
        for (text, want) in [
            ("0", Some(0)),
            ("512", Some(512)),
            ("64m", Some(64 << 20)),
            ("1.5GB", Some(3 << 29)),
            ("2 KiB", Some(2048)),
            (".5k", Some(512)),
            ("1b", Some(1)),
            ("", None),
            (".", None),
            ("1.2.3m", None),
            ("-1", None),
            ("1x", None),
            ("99999999999999p", None),
        ] {
            assert_eq!(bytes(text), want, "{text}");
        }
    }

    #[test]
    fn durations_both_ways() {
        for (text, want, back) in [
            ("1m30s", 90_000, "1m30s"),
            ("1.5s", 1500, "1.5s"),
            ("300ms", 300, "300ms"),
            ("1h", 3_600_000, "1h0m0s"),
            ("1d", 86_400_000, "24h0m0s"),
            ("0", 0, "0s"),
            (".5s", 500, "500ms"),
        ] {
            assert_eq!(duration(text), Some(Duration::from_millis(want)), "{text}");
            assert_eq!(duration_text(Duration::from_millis(want)), back, "{text}");
        }
        for bad in ["", "30", "s", "-1s", "1s2", "1x", "1..2s", "99999999999999999h", "."] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn command_lines() {
        for (text, want) in [
            ("a  b", Some(vec!["a", "b"])),
            ("sh -c 'a b' \"c \\\" d\" e\\ f", Some(vec!["sh", "-c", "a b", "c \" d", "e f"])),
            ("''", Some(vec![""])),
            ("", Some(vec![])),
            ("a \\\n b", Some(vec!["a", "b"])),
            ("'a", None),
            ("a\\", None),
        ] {
            let got = words(text);
            assert_eq!(got.as_ref().map(|w| w.iter().map(String::as_str).collect()), want, "{text}");
        }
    }
}
