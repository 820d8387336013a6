//! What the options of a volume's driver make of it. Pure.

use super::mounts::PlannedSource;
use mesh_model::project::Volume;
use mesh_runtime::error::RuntimeError;
use std::path::PathBuf;

/// What stands behind a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Backing {
    /// A directory of the store of volumes.
    Directory,
    /// Something that is mounted anew for each container.
    Mounted(PlannedSource),
}

/// Reads driver and options: `local` without options is a directory, with `type: tmpfs` it is memory,
/// with `o: bind` and `device` it is a path of the machine.
///
/// # Errors
/// [`RuntimeError::Unsupported`] for every other driver and type.
pub(crate) fn backing(volume: &Volume) -> Result<Backing, RuntimeError> {
    let unsupported = |what: String, reason: &str| RuntimeError::Unsupported {
        what: format!("volume {}: {what}", volume.key),
        reason: reason.to_owned(),
    };
    if volume.driver != "local" {
        return Err(unsupported(format!("driver {}", volume.driver), "only `local` is there"));
    }
    let option = |name: &str| volume.driver_opts.get(name).map(String::as_str);
    let flags: Vec<&str> = option("o").unwrap_or_default().split(',').map(str::trim).collect();
    match option("type") {
        Some("tmpfs") => Ok(Backing::Mounted(memory(&flags))),
        Some("none") | None if flags.iter().any(|flag| matches!(*flag, "bind" | "rbind")) => {
            let device = option("device").unwrap_or_default();
            if !device.starts_with('/') {
                return Err(unsupported("device".to_owned(), "an absolute path is needed for a bind"));
            }
            Ok(Backing::Mounted(PlannedSource::Bind { path: PathBuf::from(device), create: false }))
        }
        None if option("device").is_none() => Ok(Backing::Directory),
        other => Err(unsupported(
            format!("type {}", other.unwrap_or("none")),
            "a volume is a directory, a bind or memory; mount it yourself and bind it",
        )),
    }
}

fn memory(flags: &[&str]) -> PlannedSource {
    let value = |name: &str| flags.iter().find_map(|flag| flag.strip_prefix(name)?.strip_prefix('='));
    PlannedSource::Tmpfs {
        size_bytes: value("size").and_then(bytes),
        mode: value("mode").and_then(|mode| u32::from_str_radix(mode, 8).ok()),
        uid: value("uid").and_then(|uid| uid.parse().ok()),
        gid: value("gid").and_then(|gid| gid.parse().ok()),
        exec: !flags.contains(&"noexec"),
    }
}

/// A size as tmpfs writes it: a number with `k`, `m` or `g` behind it.
fn bytes(text: &str) -> Option<u64> {
    let (digits, factor) = match text.to_ascii_lowercase().chars().last()? {
        'k' => (&text[..text.len() - 1], 1 << 10),
        'm' => (&text[..text.len() - 1], 1 << 20),
        'g' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn volume(driver: &str, options: &[(&str, &str)]) -> Volume {
        Volume {
            key: "data".to_owned(),
            name: "p_data".to_owned(),
            external: false,
            driver: driver.to_owned(),
            driver_opts: options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            labels: BTreeMap::new(),
        }
    }

    #[test]
    fn options_choose_what_stands_behind_a_volume() {
        let tmpfs = PlannedSource::Tmpfs {
            size_bytes: Some(100 << 20),
            mode: Some(0o700),
            uid: Some(70),
            gid: None,
            exec: true,
        };
        let bind = PlannedSource::Bind { path: "/srv/x".into(), create: false };
        for (options, want) in [
            (&[][..], Backing::Directory),
            (
                &[("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=100m,mode=700,uid=70")],
                Backing::Mounted(tmpfs),
            ),
            (&[("type", "none"), ("o", "bind"), ("device", "/srv/x")], Backing::Mounted(bind)),
        ] {
            assert_eq!(backing(&volume("local", options)).expect("supported"), want);
        }
    }

    #[test]
    fn other_drivers_and_types_are_refused() {
        for volume in [
            volume("nfs", &[]),
            volume("local", &[("type", "nfs"), ("device", ":/x")]),
            volume("local", &[("type", "none"), ("o", "bind"), ("device", "x")]),
        ] {
            assert!(matches!(backing(&volume), Err(RuntimeError::Unsupported { .. })), "{volume:?}");
        }
    }

    #[test]
    fn sizes_never_overflow() {
        assert_eq!(bytes("64k"), Some(65_536));
        assert_eq!(bytes("99999999999999999999g"), None);
        assert_eq!(bytes("18446744073709551615g"), None);
        assert_eq!(bytes(""), None);
        assert_eq!(bytes("é"), None);
    }
}
