//! Help about paths: what `?help=1` answers.
//!
//! A mount's type has a table of its paths. The help of the mount itself lists them, that of a path says what is done
//! there and by which operations. Absent: an OpenAPI document.

mod methods;
mod secrets;
mod system;

use crate::logical::{Object, Raw, Refusal, Response};
use serde_json::Value;
use std::{cmp::Reverse, fmt::Write as _};

/// What a type of mount is, and its paths.
#[derive(Debug)]
struct Guide {
    about: &'static str,
    paths: &'static [Path],
}

/// A path below a mount: `<name>` stands for one part, `<name...>` for one or more.
#[derive(Debug)]
struct Path {
    pattern: &'static str,
    says: &'static str,
}

const fn path(pattern: &'static str, says: &'static str) -> Path {
    Path { pattern, says }
}

/// The help about a path of a mount of a type; `version` is the one of `kv`.
///
/// # Errors
/// [`Refusal::UnsupportedPath`] where the mount has no such path.
pub(crate) fn answer(kind: &str, version: Option<&str>, relative: &str) -> Result<Response, Refusal> {
    let guide = guide(kind, version).ok_or(Refusal::UnsupportedPath)?;
    let text = match relative.trim_end_matches('/') {
        "" => overview(guide),
        relative => about(guide, relative).ok_or(Refusal::UnsupportedPath)?,
    };
    let body =
        Object::from_iter([("help".to_owned(), Value::String(text)), ("see_also".to_owned(), Value::Null)]);
    let mut body = Value::Object(body).to_string().into_bytes();
    body.push(b'\n');
    let raw = Raw { status: 200, content_type: "application/json".to_owned(), body };
    Ok(Response { raw: Some(raw), ..Response::empty() })
}

fn guide(kind: &str, version: Option<&str>) -> Option<&'static Guide> {
    Some(match (kind, version) {
        ("kv" | "generic", Some("2")) => &secrets::KV2,
        ("kv" | "generic", _) => &secrets::KV1,
        ("cubbyhole", _) => &secrets::CUBBYHOLE,
        ("pki", _) => &secrets::PKI,
        ("approle", _) => &methods::APPROLE,
        ("userpass", _) => &methods::USERPASS,
        ("token", _) => &methods::TOKEN,
        ("system", _) => &system::SYSTEM,
        _ => return None,
    })
}

fn overview(guide: &Guide) -> String {
    let mut text =
        format!("## DESCRIPTION\n\n{}\n\n## PATHS\n\nThese paths are below the mount:\n", guide.about);
    for path in guide.paths {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n    {}\n        {}\n", path.pattern, path.says);
    }
    text
}

/// What is said of a path, by the most exact of the patterns that fit.
fn about(guide: &Guide, relative: &str) -> Option<String> {
    let fitting = guide.paths.iter().filter(|path| fits(path.pattern, relative));
    let found = fitting.min_by_key(|path| {
        let (open, parts) = (path.pattern.matches('<').count(), path.pattern.split('/').count());
        (open, Reverse(parts))
    })?;
    Some(format!("Request:        {relative}\nMatching Route: {}\n\n{}\n", found.pattern, found.says))
}

fn fits(pattern: &str, relative: &str) -> bool {
    let (rules, parts): (Vec<&str>, Vec<&str>) =
        (pattern.split('/').collect(), relative.split('/').collect());
    // No pattern has more than one that stands for several parts, so what is behind that one is at the end.
    let Some(several) = rules.iter().position(|rule| rule.ends_with("...>")) else {
        return each_fits(&rules, &parts);
    };
    let behind = rules.len() - several - 1;
    let Some(end) = parts.len().checked_sub(behind).filter(|end| *end > several) else { return false };
    each_fits(&rules[..several], &parts[..several]) && each_fits(&rules[several + 1..], &parts[end..])
}

fn each_fits(rules: &[&str], parts: &[&str]) -> bool {
    let fits = |(rule, part): (&&str, &&str)| !part.is_empty() && (rule.starts_with('<') || rule == part);
    rules.len() == parts.len() && rules.iter().zip(parts).all(fits)
}

#[cfg(test)]
mod tests {
    use super::{answer, fits, guide};

    #[test]
    fn patterns_fit_their_paths() {
        for (pattern, path, expected) in [
            ("config", "config", true),
            ("config", "config/x", false),
            ("data/<path...>", "data/a/b", true),
            ("data/<path...>", "data", false),
            ("issuer/<issuer>/crl", "issuer/a/crl", true),
            ("issuer/<issuer>/crl", "issuer/a/b", false),
            ("<path...>", "anything/at/all", true),
            ("mounts/<path...>/tune", "mounts/a/tune", true),
            ("mounts/<path...>/tune", "mounts/a/b/tune", true),
            ("mounts/<path...>/tune", "mounts/tune", false),
            ("mounts/<path...>/tune", "mounts/a/tune/b", false),
        ] {
            assert_eq!(fits(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn the_most_exact_pattern_is_told() {
        let text = |kind, version, path| {
            let raw = answer(kind, version, path).ok()?.raw?;
            let body: serde_json::Value = serde_json::from_slice(&raw.body).unwrap();
            Some(body["help"].as_str().unwrap().to_owned())
        };
        let says = |kind, version, path, route: &str| {
            let text = text(kind, version, path).unwrap_or_else(|| panic!("{kind} {path}: no help"));
            assert!(text.contains(&format!("Matching Route: {route}\n")), "{kind} {path}: {text}");
        };
        says("kv", Some("2"), "data/a/b", "data/<path...>");
        says("kv", Some("1"), "data/a/b", "<path...>");
        says("pki", None, "cert/ca", "cert/ca");
        says("pki", None, "cert/12-34", "cert/<serial>");
        says("approle", None, "role/app/secret-id/destroy", "role/<name>/secret-id/destroy");
        says("system", None, "policies/acl/app", "policies/acl/<name>");
        for (kind, path, route) in [
            ("system", "mounts/secret", "mounts/<path...>"),
            ("system", "mounts/team/secret/tune", "mounts/<path...>/tune"),
            ("system", "auth/approle/tune", "auth/<path...>/tune"),
            ("system", "renew", "renew"),
            ("system", "renew/pki/issue/app/1", "renew/<lease...>"),
            ("system", "leases/revoke/pki/issue/app/1", "leases/revoke/<lease...>"),
            ("system", "internal/ui/resultant-acl", "internal/ui/resultant-acl"),
            ("pki", "crl/delta", "crl/delta"),
            ("pki", "cert/delta-crl", "cert/delta-crl"),
            ("pki", "crl/rotate-delta", "crl/rotate-delta"),
            ("pki", "issuer/default/crl/delta", "issuer/<issuer>/crl/delta"),
        ] {
            says(kind, None, path, route);
        }
        assert!(text("kv", Some("2"), "").unwrap().contains("\n    metadata/<path...>\n"));
        assert_eq!(text("pki", None, "nowhere"), None);
        assert_eq!(text("identity", None, ""), None);
    }

    #[test]
    fn every_pattern_is_there_once_and_fits_itself() {
        for kind in ["kv", "cubbyhole", "pki", "approle", "userpass", "token", "system"] {
            for version in ["1", "2"] {
                let guide = guide(kind, Some(version)).unwrap();
                for path in guide.paths {
                    let same = guide.paths.iter().filter(|other| other.pattern == path.pattern);
                    assert_eq!(same.count(), 1, "{kind}: {}", path.pattern);
                    assert!(
                        fits(path.pattern, &path.pattern.replace(['<', '>', '.'], "")),
                        "{}",
                        path.pattern
                    );
                    assert!(path.says.ends_with('.'), "{kind}: {}", path.pattern);
                }
            }
        }
    }
}
