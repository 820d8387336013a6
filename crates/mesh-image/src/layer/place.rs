//! Where a path of a package belongs in a layer.
//!
//! Distributions merged `/bin`, `/sbin` and `/lib*` into `/usr` and `/var/run` into `/run`, while
//! packages may still ship the old paths. A directory in an upper layer hides a link below it, so the
//! old paths are rewritten on the way in.

use crate::error::UnpackError;

/// Top directories that are links into `/usr`.
pub(crate) const MERGED: [&str; 7] = ["bin", "sbin", "lib", "lib32", "lib64", "libo32", "libx32"];
/// Other old paths with the new ones.
pub(crate) const MOVED: [(&str, &str); 2] = [("var/run", "run"), ("var/lock", "run/lock")];
/// What a running container has no use for.
const SKIPPED: [&str; 17] = [
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/bug",
    "usr/share/doc-base",
    "usr/share/help",
    "usr/share/bash-completion",
    "usr/share/zsh",
    "usr/lib/systemd",
    "usr/lib/tmpfiles.d",
    "usr/lib/sysusers.d",
    "etc/init.d",
    "etc/logrotate.d",
    "etc/cron.*",
    "etc/systemd",
];

/// A plain path relative to the layer's root, or `None` for the root itself and for links that the
/// base layer has (`bin -> usr/bin`).
pub(crate) fn place(path: &str, is_link: bool) -> Result<Option<String>, UnpackError> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err(UnpackError::Escape { path: path.to_owned() }),
            part => parts.push(part),
        }
    }
    let Some(first) = parts.first() else { return Ok(None) };
    let plain = parts.join("/");
    if MERGED.contains(first) {
        return Ok((parts.len() > 1 || !is_link).then(|| format!("usr/{plain}")));
    }
    for (old, new) in MOVED {
        if plain == old {
            return Ok((!is_link).then(|| new.to_owned()));
        }
        if let Some(rest) = plain.strip_prefix(old).and_then(|rest| rest.strip_prefix('/')) {
            return Ok(Some(format!("{new}/{rest}")));
        }
    }
    Ok(Some(plain))
}

/// Whether a placed path is left out of every layer.
pub(crate) fn is_skipped(path: &str) -> bool {
    SKIPPED.iter().any(|pattern| crate::pattern::covers(pattern, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_placed() {
        for (path, is_link, expected) in [
            ("./", false, None),
            ("./bin/sh", false, Some("usr/bin/sh")),
            ("./lib64/ld-linux-x86-64.so.2", true, Some("usr/lib64/ld-linux-x86-64.so.2")),
            ("./bin", true, None),
            ("./bin", false, Some("usr/bin")),
            ("./var/run/x", false, Some("run/x")),
            ("./var/running", false, Some("var/running")),
            ("/etc//./x", false, Some("etc/x")),
            ("libexec/x", false, Some("libexec/x")),
        ] {
            assert_eq!(place(path, is_link).unwrap().as_deref(), expected, "{path}");
        }
        assert!(matches!(place("./a/../../b", false), Err(UnpackError::Escape { .. })));
        assert!(
            is_skipped("usr/share/doc/x/y")
                && is_skipped("etc/cron.daily/x")
                && !is_skipped("usr/share/docs")
        );
    }
}
