//! The holder of a project's namespaces, where the ground around it cannot be had.

use crate::bed::{DEADLINE, reactor, settings_in};
use std::{fs, os::unix::fs::symlink, time::Instant};

/// A ground whose images cannot be opened leaves no holder, on record or alive; one that was kept before stays.
pub(crate) fn ends_with_a_ground_that_cannot_be_opened() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let settings = settings_in(directory.path());
    let images = settings.data.join("images");
    fs::create_dir_all(&settings.data).expect("makes");
    let open = |succeeds: bool| {
        let entered = mesh_native::enter(&settings).expect("enters");
        assert_eq!(holders().len(), 1);
        let opened = reactor().block_on(async {
            let opened = mesh_native::open(settings.clone(), entered).await;
            match &opened {
                Ok(runtime) => runtime.close().await,
                Err(error) => assert!(error.to_string().contains("images"), "{error}"),
            }
            opened.is_ok()
        });
        assert_eq!(opened, succeeds);
    };
    symlink(directory.path().join("nowhere"), &images).expect("links");
    open(false);
    let deadline = Instant::now() + DEADLINE;
    while !holders().is_empty() {
        assert!(Instant::now() < deadline, "the holder lives on");
        std::thread::yield_now();
    }
    assert!(!settings.state.join("holder.json").exists());

    fs::remove_file(&images).expect("removes");
    open(true);
    fs::rename(&images, images.with_extension("away")).expect("moves");
    symlink(directory.path().join("nowhere"), &images).expect("links");
    let kept = holders();
    open(false);
    assert_eq!(holders(), kept, "what is on record is for the next one");
    fs::remove_file(&images).expect("removes");
    let entered = mesh_native::enter(&settings).expect("enters");
    reactor().block_on(async {
        use mesh_runtime::Runtime as _;
        let runtime = mesh_native::open(settings.clone(), entered).await.expect("opens");
        runtime.release().await.expect("releases");
    });
    assert!(holders().is_empty());
}

/// Living children of this process that hold something.
fn holders() -> Vec<String> {
    let own = std::process::id().to_string();
    let of = |entry: fs::DirEntry| {
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        let (state, parent) = (fields.next()?, fields.next()?);
        let line = fs::read_to_string(entry.path().join("cmdline")).ok()?;
        let holds = state != "Z" && parent == own && line.contains("hold");
        holds.then(|| entry.file_name().to_string_lossy().into_owned())
    };
    fs::read_dir("/proc").expect("/proc").flatten().filter_map(of).collect()
}
