//! apt against a mirror made on the spot: no network is needed, only the package tools.

use super::{Apt, fetch::Downloads};
use crate::{
    error::ImageError,
    host::{Release, architecture},
    progress::Reporter,
};
use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::Command,
    sync::{Arc, atomic::AtomicBool},
    time::SystemTime,
};

fn reporter() -> Reporter {
    Reporter::new("x", tokio::sync::mpsc::channel(1).0, Arc::new(AtomicBool::new(false)))
}

fn release() -> Release {
    Release { id: "debian".into(), version: "12".into(), codename: "bookworm".into() }
}

/// A mirror with `tool`, which needs `library` and `adduser`, and with `gone`, whose file is not there.
fn mirror(directory: &Path) -> bool {
    let Some(architecture) = architecture() else { return false };
    let lists = directory.join(format!("dists/bookworm/main/binary-{architecture}"));
    fs::create_dir_all(&lists).unwrap();
    let mut packages = String::new();
    for (name, depends) in [("tool", "Depends: library, adduser\n"), ("library", "")] {
        let tree = directory.join(name);
        fs::create_dir_all(tree.join("DEBIAN")).unwrap();
        fs::create_dir_all(tree.join("bin")).unwrap();
        fs::write(tree.join("bin").join(name), name).unwrap();
        let control = format!(
            "Package: {name}\nVersion: 2:1.5-3\nArchitecture: all\nMaintainer: mesh <mesh@localhost>\n{depends}Description: {name}\n"
        );
        fs::write(tree.join("DEBIAN/control"), &control).unwrap();
        let file = format!("{name}.deb");
        let built = Command::new("dpkg-deb").arg("-b").arg(&tree).arg(directory.join(&file)).output();
        if !built.is_ok_and(|output| output.status.success()) {
            return false;
        }
        let bytes = fs::read(directory.join(&file)).unwrap();
        let hash = crate::resolve::hex(&bytes);
        let _ = writeln!(packages, "{}Filename: ./{file}\nSize: {}\nSHA256: {hash}\n", control, bytes.len());
    }
    let _ = writeln!(
        packages,
        "Package: gone\nVersion: 1\nArchitecture: all\nMaintainer: mesh <mesh@localhost>\nDescription: gone\nFilename: ./gone.deb\nSize: 5\nSHA256: {}\n",
        "ab".repeat(32)
    );
    fs::write(lists.join("Packages"), packages).unwrap();
    let _ = fs::write(directory.join("dists/bookworm/Release"), "Suite: bookworm\nCodename: bookworm\n");
    true
}

#[test]
fn lists_closure_and_download_of_a_mirror() {
    let directory = tempfile::tempdir().unwrap();
    let (mirror_at, configured) = (directory.path().join("mirror"), directory.path().join("etc"));
    if !Path::new("/usr/lib/apt/apt-helper").exists() || !mirror(&mirror_at) {
        eprintln!("skipped: this test needs apt and dpkg-deb");
        return;
    }
    fs::create_dir_all(&configured).unwrap();
    fs::write(
        configured.join("sources.list"),
        format!("deb [trusted=yes] copy:{} bookworm main\n", mirror_at.display()),
    )
    .unwrap();
    let apt = Apt::open(directory.path().join("apt"), configured.clone()).unwrap();
    let lists = apt.lists(&release(), SystemTime::UNIX_EPOCH, false, &reporter()).unwrap();
    assert_eq!(lists.choose("none|tool", None).as_deref(), Some("tool"));

    let packages = apt.closure(&["tool".to_owned()], &[], "", &reporter()).unwrap();
    let names: Vec<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    assert_eq!(names, ["library", "tool"], "adduser counts as there");
    assert_eq!(packages[1].version, "2:1.5-3");
    let without = apt.closure(&["tool".to_owned()], &["library".to_owned()], "", &reporter()).unwrap();
    assert_eq!(without.len(), 1);
    let unknown = apt.closure(&["unknown".to_owned()], &[], "", &reporter());
    assert!(matches!(unknown, Err(ImageError::Closure { .. })));

    let downloads = Downloads::open(directory.path().join("downloads")).unwrap();
    let in_use = downloads.in_use().unwrap();
    downloads.fetch(&apt, &packages, &reporter()).unwrap();
    assert!(packages.iter().all(|package| downloads.path(package).exists()));
    let gone = apt.closure(&["gone".to_owned()], &[], "", &reporter()).unwrap();
    let vanished = downloads.fetch(&apt, &gone, &reporter());
    assert!(
        matches!(vanished, Err(ImageError::Vanished { .. } | ImageError::Download { .. })),
        "{vanished:?}"
    );
    let mut forged = packages.clone();
    forged[0].sha256 = "cd".repeat(32);
    let refused = downloads.fetch(&apt, &forged, &reporter());
    assert!(matches!(refused, Err(ImageError::Download { .. })), "{refused:?}");
    drop(in_use);
    assert!(!downloads.path(&packages[0]).exists());

    // A mirror that went away: what is listed still serves.
    fs::rename(&mirror_at, directory.path().join("away")).unwrap();
    let generation = lists.generation;
    let older = apt.lists(&release(), SystemTime::now(), true, &reporter()).unwrap();
    assert_eq!(older.generation, generation);
}

#[test]
fn without_lists_and_without_a_mirror_it_says_so() {
    if !Path::new("/usr/lib/apt/apt-helper").exists() {
        eprintln!("skipped: this test needs apt");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let configured = directory.path().join("etc");
    fs::create_dir_all(&configured).unwrap();
    fs::write(configured.join("sources.list"), "deb [trusted=yes] copy:/none/at/all bookworm main\n")
        .unwrap();
    let apt = Apt::open(directory.path().join("apt"), configured).unwrap();
    let outcome = apt.lists(&release(), SystemTime::UNIX_EPOCH, false, &reporter());
    assert!(matches!(outcome, Err(ImageError::NoLists { .. })), "{outcome:?}");
}

#[test]
fn homes_that_share_a_store_by_a_link_share_its_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let (shared, link) = (directory.path().join("shared"), directory.path().join("link"));
    fs::create_dir(&shared).unwrap();
    std::os::unix::fs::symlink(&shared, &link).unwrap();
    let configuration = |at: &Path| {
        let apt = Apt::open(at.join("apt"), directory.path().join("etc")).unwrap();
        fs::read_to_string(apt.path("apt.conf")).unwrap()
    };
    assert_eq!(configuration(&link), configuration(&shared), "the home may go, the store stays");
}
