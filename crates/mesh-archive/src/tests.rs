//! Packing and unpacking together, and streams that nobody honest would write.

use crate::{Owners, Packer, Rename, Rules, unpack};
use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};
use tar::{Builder, EntryType, Header};

fn rules(rename: Rename) -> Rules {
    Rules { owners: Owners::Own, mode_left_out: 0o6000, rename }
}

fn packed(path: &Path, name: &str) -> Vec<u8> {
    let mut packer = Packer::new(Vec::new());
    packer.add(path, Path::new(name)).unwrap();
    packer.finish().unwrap()
}

/// A stream of one entry.
fn entry(kind: EntryType, name: &str, link: Option<&str>) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(0);
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    if let Some(link) = link {
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    }
    header.set_cksum();
    let mut builder = Builder::new(Vec::new());
    builder.append(&header, std::io::empty()).unwrap();
    builder.into_inner().unwrap()
}

#[test]
fn a_tree_comes_back_under_its_own_name_or_another() {
    let home = tempfile::tempdir().unwrap();
    let source = home.path().join("source");
    fs::create_dir_all(source.join("deep/empty")).unwrap();
    fs::write(source.join("deep/file"), "text").unwrap();
    fs::set_permissions(source.join("deep/file"), fs::Permissions::from_mode(0o4751)).unwrap();
    symlink("file", source.join("deep/link")).unwrap();
    let long = "n".repeat(180);
    fs::write(source.join(&long), "long").unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(source.join("socket")).unwrap();
    for (name, rename, want) in [
        ("source", Rename::Keep, "source"),
        ("source", Rename::First("copy".into()), "copy"),
        (".", Rename::Under("named".into()), "named"),
        (".", Rename::Keep, ""),
    ] {
        let out = home.path().join(format!("out{want}"));
        fs::create_dir(&out).unwrap();
        unpack(packed(&source, name).as_slice(), &out, &rules(rename.clone())).unwrap();
        let at = out.join(want);
        assert_eq!(fs::read_to_string(at.join("deep/link")).unwrap(), "text", "{name} {rename:?}");
        assert_eq!(fs::read_link(at.join("deep/link")).unwrap(), Path::new("file"));
        assert_eq!(fs::metadata(at.join("deep/file")).unwrap().permissions().mode() & 0o7777, 0o751);
        assert!(at.join("deep/empty").is_dir() && at.join(&long).exists() && !at.join("socket").exists());
    }
}

#[test]
fn files_and_directories_do_not_replace_each_other() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    fs::create_dir_all(at("out/directory")).unwrap();
    fs::write(at("out/file"), "old").unwrap();
    let refused = |stream: Vec<u8>| {
        unpack(stream.as_slice(), &at("out"), &rules(Rename::Keep)).unwrap_err().to_string()
    };
    assert!(refused(entry(EntryType::Regular, "directory", None)).starts_with("cannot overwrite directory"));
    assert!(
        refused(entry(EntryType::Directory, "file/", None)).starts_with("cannot overwrite non-directory")
    );
    unpack(entry(EntryType::Regular, "file", None).as_slice(), &at("out"), &rules(Rename::Keep)).unwrap();
    assert_eq!(fs::read_to_string(at("out/file")).unwrap(), "");
}

#[test]
fn nothing_is_written_outside() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    fs::create_dir(at("out")).unwrap();
    fs::write(at("secret"), "kept").unwrap();
    symlink(home.path(), at("out/up")).unwrap();
    let put = |stream: Vec<u8>| unpack(stream.as_slice(), &at("out"), &rules(Rename::Keep));
    put(entry(EntryType::Regular, "../../escaped", None)).unwrap();
    assert!(at("out/escaped").exists() && !at("escaped").exists());
    assert!(put(entry(EntryType::Regular, "up/secret", None)).is_err());
    assert!(put(entry(EntryType::Link, "stolen", Some("up/secret"))).is_err());
    // A link's own target may be anything: it is not followed.
    put(entry(EntryType::Symlink, "out", Some("../secret"))).unwrap();
    put(entry(EntryType::Regular, "out", None)).unwrap();
    assert_eq!(fs::read_to_string(at("secret")).unwrap(), "kept");
    assert!(unpack(&b"no stream at all"[..], &at("out"), &rules(Rename::Keep)).is_err());
}
