//! Words for people: what serves an image, how a process ended, which signal a name means.

use mesh_api::message::{ApiError, ErrorKind};
use mesh_lifecycle::phase::Exit;
use mesh_model::{
    image::{Image, Source},
    signal,
};
use mesh_runtime::error::RuntimeError;
use std::error::Error;

/// The signal that asks a process to end.
pub(crate) const SIGTERM: i32 = 15;
/// The signal that ends it.
pub(crate) const SIGKILL: i32 = 9;

/// What serves an image: `debian 15.18 for 16.4`, `debian MariaDB 10.11.6 for mysql:8.4`, `oci`,
/// `mesh vault 0.1.0 for vault:1.18`. The
/// part after `for` is there only where it is not what was asked for.
pub(crate) fn source(image: &Image) -> String {
    match &image.source {
        Source::Oci => "oci".to_owned(),
        Source::Embedded { service, version, .. } => {
            format!("mesh {service} {version} for {}", short_reference(&image.reference))
        }
        Source::Debian { version, stand_in: Some(product), .. } => {
            format!("debian {product} {version} for {}", short_reference(&image.reference))
        }
        Source::Debian { version, .. } => match asked_version(&image.reference) {
            Some(asked) if !is_version_of(version, asked) => format!("debian {version} for {asked}"),
            _ => format!("debian {version}"),
        },
    }
}

/// `library/postgres:16.4-alpine@sha256:...` without registry, path and digest.
fn short_reference(reference: &str) -> &str {
    let named = reference.split('@').next().unwrap_or(reference);
    named.rsplit('/').next().unwrap_or(named)
}

/// The version that a tag asks for: its leading number, if it has one.
fn asked_version(reference: &str) -> Option<&str> {
    let (_, tag) = short_reference(reference).split_once(':')?;
    let tag = tag.strip_prefix('v').unwrap_or(tag);
    let end = tag.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(tag.len());
    let number = tag[..end].trim_end_matches('.');
    (!number.is_empty()).then_some(number)
}

fn is_version_of(version: &str, asked: &str) -> bool {
    version == asked
        || version.strip_prefix(asked).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// How a process ended.
pub(crate) fn exit(exit: &Exit, memory_limit_bytes: Option<u64>) -> String {
    if exit.out_of_memory {
        return match memory_limit_bytes {
            Some(limit) => format!("killed: out of memory (limit {})", bytes(limit)),
            None => "killed: out of memory (no limit of its own)".to_owned(),
        };
    }
    match signal::name(exit.code - 128) {
        Some(name) => format!("exited with {} (SIG{name})", exit.code),
        None => format!("exited with {}", exit.code),
    }
}

/// A size in the largest unit that divides it, or else to one digit.
fn bytes(count: u64) -> String {
    for (unit, name) in [(1_u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if count >= unit {
            let tenths = count.saturating_mul(10) / unit;
            return match tenths % 10 {
                0 => format!("{} {name}", tenths / 10),
                digit => format!("{}.{digit} {name}", tenths / 10),
            };
        }
    }
    format!("{count} bytes")
}

/// An error and what caused it, on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// Most errors that are told together.
const ERRORS_TOLD_MAX: usize = 20;

/// What to do about a full disk.
pub(crate) const FREE_SPACE: &str = "free some space and try again";

/// What to do about a ground's error, where that is known.
pub(crate) fn hint(error: &RuntimeError) -> Option<String> {
    match error {
        RuntimeError::NoImage { hint, .. } | RuntimeError::Fetch { hint, .. } => hint.clone(),
        RuntimeError::PortTaken { .. } => {
            let ways = "end what listens there, publish another port in the file, or give the project an address \
                        of its own with `--ports auto`";
            Some(ways.to_owned())
        }
        RuntimeError::PortForbidden { .. } => Some(
            "publish a port from 1024 on, run as root, or have one chosen with `--ports auto`".to_owned(),
        ),
        RuntimeError::DiskFull { .. } => Some(FREE_SPACE.to_owned()),
        _ => None,
    }
}

/// A ground's error, for the client; `what` says what was being done (`service db`).
pub(crate) fn ground_error(what: &str, error: &RuntimeError) -> ApiError {
    let kind = match error {
        RuntimeError::NoImage { .. } | RuntimeError::Fetch { .. } => ErrorKind::Image,
        _ => ErrorKind::Ground,
    };
    ApiError { kind, message: format!("{what}: {}", chain(error)), hint: hint(error), failures: Vec::new() }
}

/// One error of several: each is told on a line of its own, the first decides what kind it is.
pub(crate) fn together(mut errors: Vec<ApiError>) -> Result<(), ApiError> {
    errors.sort_by(|one, other| one.message.cmp(&other.message));
    errors.dedup_by(|one, other| one.message == other.message);
    let surplus = errors.len().saturating_sub(ERRORS_TOLD_MAX);
    let mut told: Vec<String> =
        errors.iter().take(ERRORS_TOLD_MAX).map(|error| error.message.clone()).collect();
    if surplus > 0 {
        told.push(format!("and {surplus} more"));
    }
    let failures = errors.iter().flat_map(|error| error.failures.clone()).take(ERRORS_TOLD_MAX).collect();
    let hint = errors.iter().find_map(|error| error.hint.clone());
    match errors.into_iter().next() {
        None => Ok(()),
        Some(first) => Err(ApiError { message: told.join("\n"), hint, failures, ..first }),
    }
}

/// An error without failures of services.
pub(crate) fn refusal(kind: ErrorKind, message: impl Into<String>) -> ApiError {
    ApiError { kind, message: message.into(), hint: None, failures: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_model::image::ImageConfig;

    #[test]
    fn a_stand_in_is_told() {
        let image = |reference: &str, version: &str, stand_in: Option<&str>| Image {
            reference: reference.into(),
            digest: String::new(),
            source: Source::Debian {
                distribution: "debian 12".into(),
                package: "x".into(),
                version: version.into(),
                stand_in: stand_in.map(str::to_owned),
            },
            layers: vec![],
            config: ImageConfig::default(),
        };
        for (reference, version, stand_in, want) in [
            ("postgres:16.4", "15.18", None, "debian 15.18 for 16.4"),
            ("postgres:15", "15.18", None, "debian 15.18"),
            ("postgres:1", "15.18", None, "debian 15.18 for 1"),
            ("reg:5000/a/redis:7-alpine@sha256:0", "7.0.15", None, "debian 7.0.15"),
            ("redis", "7.0.15", None, "debian 7.0.15"),
            ("redis:latest", "7.0.15", None, "debian 7.0.15"),
            ("prom/prometheus:v2.53.0", "2.42.0", None, "debian 2.42.0 for 2.53.0"),
            ("x/mysql:8.4", "10.11.6", Some("MariaDB"), "debian MariaDB 10.11.6 for mysql:8.4"),
        ] {
            assert_eq!(source(&image(reference, version, stand_in)), want);
        }
    }

    #[test]
    fn ends_are_told_in_words() {
        let ended = |code, out_of_memory| Exit { code, out_of_memory, at_unix_ms: 0 };
        for (exited, limit, want) in [
            (ended(1, false), None, "exited with 1"),
            (ended(137, false), None, "exited with 137 (SIGKILL)"),
            (ended(137, true), Some(64 << 20), "killed: out of memory (limit 64 MiB)"),
            (ended(137, true), Some(1536 << 20), "killed: out of memory (limit 1.5 GiB)"),
            (ended(137, true), None, "killed: out of memory (no limit of its own)"),
        ] {
            assert_eq!(exit(&exited, limit), want);
        }
    }
}
