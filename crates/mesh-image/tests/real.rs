//! The store over the distribution's real packages. The store stays under the target directory, so
//! that only the first run downloads (about 35 MB).

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on panics, one that is skipped says so"
)]

use mesh_image::{ImageError, ImageStore, Progress, Request, Settings};
use mesh_model::{image::Source, project::Substitute, service::PullPolicy};
use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// Progress messages kept for the test.
const PROGRESS_MESSAGES_MAX: usize = 4096;
/// Longest a stored image may take here, where nothing is optimized and other tests run beside it.
const STORED_MAX: Duration = Duration::from_millis(100);

fn store() -> ImageStore {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mesh-images");
    ImageStore::open(Settings::new(directory)).unwrap()
}

/// Whether the machine has what fetching needs; says so when it has not.
fn is_skipped(error: &ImageError) -> bool {
    let skipped = matches!(
        error,
        ImageError::NoApt { .. }
            | ImageError::NoLists { .. }
            | ImageError::NoCodename { .. }
            | ImageError::NoPackageSource { .. }
            | ImageError::Download { .. }
    );
    if skipped {
        eprintln!("skipped: this test needs apt and a mirror it can reach: {error}");
    }
    skipped
}

#[tokio::test]
async fn an_image_is_fetched_once_and_then_stored() {
    let store = store();
    let (sender, mut receiver) = mpsc::channel(PROGRESS_MESSAGES_MAX);
    // No registry of the world is asked in a test.
    let request = Request { substitute: Substitute::Always, ..Request::new("busybox:1.36") };
    // Two at once do it once.
    let (first, second) =
        tokio::join!(store.resolve(&request, sender.clone()), store.resolve(&request, sender));
    let image = match first {
        Ok(image) => image,
        Err(error) if is_skipped(&error) => return,
        Err(error) => panic!("{error:?}"),
    };
    assert_eq!(image, second.unwrap());
    let mut told = Vec::new();
    while let Ok(progress) = receiver.try_recv() {
        told.push(progress);
    }
    assert!(matches!(told.last(), Some(Progress::Ready { reference, .. }) if reference == "busybox:1.36"));
    assert!(matches!(&image.source, Source::Debian { package, .. } if package == "busybox"));
    assert_eq!(image.layers.len(), 3);
    assert_eq!(image.config.command, ["sh"]);
    check_base(&image.layers[0]);
    assert!(image.layers[1].join("usr/bin/busybox").exists() && !image.layers[1].join("bin").exists());

    let (silent, _) = mpsc::channel(1);
    let started = Instant::now();
    let again =
        store.resolve(&Request { pull: PullPolicy::Never, ..request.clone() }, silent.clone()).await.unwrap();
    assert!(started.elapsed() < STORED_MAX, "{:?}", started.elapsed());
    assert_eq!(again, image);
    let listed = store.list().await.unwrap();
    assert!(
        listed.iter().any(|stored| stored.reference.as_deref() == Some("busybox:1.36") && stored.bytes > 0)
    );

    let missing =
        store.resolve(&Request { pull: PullPolicy::Never, ..Request::new("nats:none") }, silent).await;
    assert!(matches!(missing, Err(ImageError::NotStored { .. })));
}

/// The base is whole, and its files have the modes they should.
fn check_base(base: &Path) {
    let read = |path: &str| fs::read_to_string(base.join(path)).unwrap();
    assert!(read("etc/passwd").starts_with("root:*:0:0:"));
    assert!(read("etc/ssl/certs/ca-certificates.crt").matches("BEGIN CERTIFICATE").count() > 50);
    for (link, target) in [
        ("bin", "usr/bin"),
        ("lib", "usr/lib"),
        ("var/run", "/run"),
        ("usr/bin/sh", "dash"),
        ("usr/bin/awk", "mawk"),
    ] {
        assert_eq!(fs::read_link(base.join(link)).unwrap(), PathBuf::from(target), "{link}");
    }
    let mode = |path: &str| fs::metadata(base.join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(""), mode("tmp"), mode("root"), mode("usr/bin/bash")), (0o755, 0o1777, 0o700, 0o755));
    for tool in
        ["curl", "wget", "jq", "openssl", "setpriv", "nc.openbsd", "ps", "tar", "zstd", "xz", "gzip", "mount"]
    {
        assert!(base.join("usr/bin").join(tool).exists(), "{tool}");
    }
    for empty in ["proc", "dev", "sys", "usr/share/doc", "usr/share/man"] {
        let count = fs::read_dir(base.join(empty)).map_or(0, Iterator::count);
        assert_eq!(count, 0, "{empty}");
    }
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        assert_eq!(fs::metadata(base.join("etc/passwd")).unwrap().uid(), 0);
    }
}

#[tokio::test]
async fn a_store_without_a_mirror_says_what_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let configured = directory.path().join("etc");
    fs::create_dir_all(&configured).unwrap();
    let store =
        ImageStore::open_with_sources(Settings::new(directory.path().join("store")), &configured).unwrap();
    let (silent, _) = mpsc::channel(1);
    let error = store
        .resolve(&Request { substitute: Substitute::Always, ..Request::new("redis") }, silent.clone())
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            ImageError::NoPackageSource { .. } | ImageError::NoCodename { .. } | ImageError::Io { .. }
        ),
        "{error:?}"
    );
    let error = store.resolve(&Request::new("localhost:1/acme/none:1"), silent).await.unwrap_err();
    assert!(
        error.to_string().starts_with("image localhost:1/acme/none:1 has no source:")
            && error.hint().is_some(),
        "{error}"
    );
}
