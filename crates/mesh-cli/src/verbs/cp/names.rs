//! Paths as they are typed, and where a copy lands.
//!
//! A slash or a dot at a path's end means something: `dir/` is a directory, `dir/.` its contents.

use std::path::{Path, PathBuf};

/// One end of a copy.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// A path of this machine, or `-`.
    Here(String),
    /// A path of a service's container.
    There { service: String, path: String },
}

/// Tells a service's path from one of this machine.
pub(super) fn parse(text: &str) -> End {
    match text.split_once(':') {
        Some((service, path))
            if !text.starts_with('/') && !service.starts_with('.') && !service.is_empty() =>
        {
            End::There { service: service.to_owned(), path: path.to_owned() }
        }
        _ => End::Here(text.to_owned()),
    }
}

/// Whether a path can be that of a directory only.
pub(super) fn asserts_directory(path: &str) -> bool {
    path.ends_with('/') || ends_with_dot(path)
}

/// Whether a path means what is in a directory.
pub(super) fn ends_with_dot(path: &str) -> bool {
    path == "." || path.ends_with("/.")
}

/// The last part of a path, `.` where it means what is in a directory.
pub(super) fn base(path: &str) -> String {
    if ends_with_dot(path) {
        return ".".to_owned();
    }
    let stripped = path.trim_end_matches('/');
    match stripped.rsplit('/').next() {
        None | Some("" | "..") => ".".to_owned(),
        Some(name) => name.to_owned(),
    }
}

/// The directory that a path's last part is in.
pub(super) fn parent(path: &str) -> String {
    if ends_with_dot(path) {
        let directory = path.trim_end_matches('.').trim_end_matches('/');
        return match (directory.is_empty(), path.starts_with('/')) {
            (true, true) => "/".to_owned(),
            (true, false) => ".".to_owned(),
            _ => directory.to_owned(),
        };
    }
    let path = Path::new(path.trim_end_matches('/'));
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_string_lossy().into_owned(),
        Some(_) => ".".to_owned(),
        None => "/".to_owned(),
    }
}

/// A path as a link at `at` means it.
pub(super) fn through(link: &str, at: &str) -> String {
    match link.starts_with('/') {
        true => link.to_owned(),
        false => PathBuf::from(parent(at)).join(link).to_string_lossy().into_owned(),
    }
}

/// One end of a copy, as much as matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// A file, or whatever is no directory.
    File,
    /// A directory.
    Directory,
}

/// Where a copy is unpacked, and under which name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Landing {
    /// The directory, which is there.
    pub(super) directory: String,
    /// Another name for what is copied; `None`: its own.
    pub(super) name: Option<String>,
}

/// Where a copy lands whose source is a directory or not; or what Docker says of one that cannot.
pub(super) fn landing(
    source_is_directory: bool,
    destination: &str,
    found: Found,
) -> Result<Landing, &'static str> {
    match (found, source_is_directory) {
        (Found::Directory, _) => Ok(Landing { directory: destination.to_owned(), name: None }),
        (Found::File, true) => Err("cannot copy directory"),
        (Found::Nothing, false) if asserts_directory(destination) => Err("no such directory"),
        (Found::File | Found::Nothing, _) => {
            Ok(Landing { directory: parent(destination), name: Some(base(destination)) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_apart() {
        let there =
            |service: &str, path: &str| End::There { service: service.to_owned(), path: path.to_owned() };
        let here = |path: &str| End::Here(path.to_owned());
        for (text, want) in [
            ("-", here("-")),
            ("db:/etc", there("db", "/etc")),
            ("db:etc", there("db", "etc")),
            ("db:", there("db", "")),
            ("./db:/etc", here("./db:/etc")),
            ("/a/b:c", here("/a/b:c")),
            (":x", here(":x")),
            ("file", here("file")),
        ] {
            assert_eq!(parse(text), want, "{text}");
        }
    }

    #[test]
    fn paths_are_taken_apart() {
        for (path, of, last) in [
            ("/a/b", "/a", "b"),
            ("/a/b/", "/a", "b"),
            ("/a/b/.", "/a/b", "."),
            ("a", ".", "a"),
            ("/a", "/", "a"),
            ("/", "/", "."),
            ("/.", "/", "."),
            (".", ".", "."),
            ("./", ".", "."),
        ] {
            assert_eq!((parent(path).as_str(), base(path).as_str()), (of, last), "{path}");
        }
        assert_eq!(through("d", "/srv/link"), "/srv/d");
        assert_eq!(through("/etc", "/srv/link"), "/etc");
    }

    #[test]
    fn a_copy_lands_as_docker_s_does() {
        let lands = |directory: &str, name: Option<&str>| {
            Ok(Landing { directory: directory.to_owned(), name: name.map(str::to_owned) })
        };
        for (is_directory, destination, found, want) in [
            (false, "/tmp", Found::Directory, lands("/tmp", None)),
            (true, "/tmp/", Found::Directory, lands("/tmp/", None)),
            (true, "/etc/passwd", Found::File, Err("cannot copy directory")),
            (false, "/etc/passwd", Found::File, lands("/etc", Some("passwd"))),
            (true, "/srv/new", Found::Nothing, lands("/srv", Some("new"))),
            (true, "new/", Found::Nothing, lands(".", Some("new"))),
            (false, "/srv/new", Found::Nothing, lands("/srv", Some("new"))),
            (false, "/srv/new/", Found::Nothing, Err("no such directory")),
        ] {
            assert_eq!(landing(is_directory, destination, found), want, "{is_directory} {destination}");
        }
    }
}
