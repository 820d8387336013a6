//! Which capabilities a container keeps. Pure.

use mesh_linux::capability::NAMES;
use mesh_model::service::Security;
use mesh_runtime::error::RuntimeError;

/// What a container has when its file says nothing: the set that images are written for.
const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SYS_CHROOT",
    "MKNOD",
    "AUDIT_WRITE",
    "SETFCAP",
];

/// The set of one container. `cap_add: ALL` starts from everything; `cap_drop: ALL` starts from
/// nothing and leaves what is added; otherwise what is dropped goes first and what is added wins.
///
/// # Errors
/// [`RuntimeError::Unsupported`] names a word that is no capability.
pub(super) fn kept(security: &Security) -> Result<Vec<String>, RuntimeError> {
    let add = words("cap_add", &security.cap_add)?;
    let drop = words("cap_drop", &security.cap_drop)?;
    let all = |list: &[&str]| list.contains(&"ALL");
    let kept: Vec<&str> = if security.privileged {
        NAMES.to_vec()
    } else if all(&add) {
        NAMES.into_iter().filter(|name| !drop.contains(name)).collect()
    } else if all(&drop) {
        add
    } else {
        let mut kept: Vec<&str> = DEFAULT.into_iter().filter(|name| !drop.contains(name)).collect();
        for name in add {
            if !kept.contains(&name) {
                kept.push(name);
            }
        }
        kept
    };
    Ok(kept.into_iter().map(str::to_owned).collect())
}

fn words(key: &'static str, given: &[String]) -> Result<Vec<&'static str>, RuntimeError> {
    given
        .iter()
        .map(|word| {
            let name = word.to_ascii_uppercase();
            let name = name.strip_prefix("CAP_").unwrap_or(&name);
            NAMES.into_iter().chain(["ALL"]).find(|known| *known == name).ok_or_else(|| {
                RuntimeError::Unsupported {
                    what: format!("{key}: {word}"),
                    reason: "there is no such capability".to_owned(),
                }
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(add: &[&str], drop: &[&str], privileged: bool) -> Result<Vec<String>, RuntimeError> {
        let owned = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect();
        kept(&Security { cap_add: owned(add), cap_drop: owned(drop), privileged, ..Security::default() })
    }

    #[test]
    fn the_set_follows_what_is_added_and_dropped() {
        for (add, drop, want) in [
            (&[][..], &["ALL"][..], &[][..]),
            (&["CHOWN", "cap_setuid"], &["all"], &["CHOWN", "SETUID"]),
            (&["NET_ADMIN"], &["NET_ADMIN", "ALL"], &["NET_ADMIN"]),
        ] {
            assert_eq!(check(add, drop, false).expect("known words"), want, "{add:?} {drop:?}");
        }
        assert_eq!(check(&[], &[], false).expect("default"), DEFAULT);
        assert_eq!(check(&["NET_ADMIN"], &["MKNOD"], false).expect("both").len(), 14);
        assert_eq!(check(&["ALL"], &["SYS_ADMIN"], false).expect("all but one").len(), 40);
        assert_eq!(check(&[], &["ALL"], true).expect("privileged").len(), 41);
    }

    #[test]
    fn an_unknown_word_is_named() {
        let error = check(&["NET_ADMINN"], &[], false).expect_err("unknown");
        assert!(error.to_string().contains("cap_add: NET_ADMINN"), "{error}");
    }
}
