//! Bodies that lie about size and digest, break off, stand still or never end.

use crate::{
    Bed, chain,
    image::Image,
    quick,
    server::{End, Reply},
};
use mesh_oci::{
    digest::Digest,
    error::OciError,
    manifest::{INDEX_DEPTH_MAX, LAYER_BYTES_MAX, MANIFEST_BYTES_MAX, Platform},
    media,
};
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_blob_with_another_digest_is_refused() {
    let image = Image::of(&[1000]);
    let own = image.clone();
    let bed = Bed::new(move |request, _| match own.is_layer(request, 0) {
        true => Reply::of(200, vec![0; 1000]),
        false => own.answer(request),
    })
    .await;
    let error = bed.fails("gave content of the digest sha256:541b3e9d").await;
    assert!(matches!(error, OciError::Digest { .. }));
    let partial = bed.blobs().partial(&image.manifest.layers[0].digest);
    assert_eq!(std::fs::metadata(partial).unwrap().len(), 0, "nothing wrong is gone on from");
}

#[tokio::test]
async fn a_blob_of_another_size_is_refused() {
    for (body, end, length, found) in [
        (999, End::Whole, None, "gave 999 bytes"),
        (1001, End::Whole, None, "gave 1001 bytes"),
        (1000, End::Endless, Some(None), "which has 1000"),
    ] {
        let image = Image::of(&[1000]);
        let bed = Bed::new(move |request, _| match image.is_layer(request, 0) {
            true => Reply { length, ..Reply::of(200, vec![0; body]).ending(end) },
            false => image.answer(request),
        })
        .await;
        let error = bed.fails(found).await;
        assert!(matches!(error, OciError::Size { expected: 1000, .. }), "{error:?}");
        assert_eq!(bed.server.count("/blobs/"), 2, "a lie is not asked for again");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_gone_on_with() {
    let image = Image::of(&[500_000]);
    let (own, expected) = (image.clone(), image.clone());
    let bed = Bed::new(move |request, before| match (own.is_layer(request, 0), before) {
        (true, 0) => own.answer(request).ending(End::Cut(200_000)),
        (true, 1) => own.answer(request).ending(End::Stall(100_000)),
        _ => own.answer(request),
    })
    .await;
    bed.pull().await.unwrap();
    assert!(bed.has(&expected));
    let ranges: Vec<_> = bed
        .server
        .seen()
        .iter()
        .filter(|r| expected.is_layer(r, 0))
        .map(|r| r.header("range").to_owned())
        .collect();
    assert_eq!(ranges, ["", "bytes=200000-", "bytes=300000-"]);
}

#[tokio::test]
async fn a_registry_without_ranges_gives_all_again() {
    for status in [200, 206, 416] {
        let image = Image::of(&[10_000]);
        let (own, expected) = (image.clone(), image.clone());
        let bed = Bed::new(move |request, before| match (own.is_layer(request, 0), before, status) {
            (true, 0, _) => own.answer(request).ending(End::Cut(4000)),
            (true, 1, 200) => Reply::of(200, own.layers[0].clone()),
            // A part, but not the one that was asked for.
            (true, 1, 206) => Reply::of(206, &own.layers[0][1..]).with("Content-Range", "bytes 1-9999/10000"),
            (true, 1, _) => Reply::of(416, ""),
            _ => own.answer(request),
        })
        .await;
        bed.pull().await.unwrap();
        assert!(bed.has(&expected), "{status}");
    }
}

#[tokio::test]
async fn a_pull_that_was_cut_off_is_gone_on_with() {
    let image = Image::of(&[300_000]);
    let (own, expected) = (image.clone(), image.clone());
    let settings = mesh_oci::settings::Settings { stalled: Duration::from_secs(60), ..quick() };
    let bed = Bed::with(settings, move |request, before| match (own.is_layer(request, 0), before) {
        (true, 0) => own.answer(request).ending(End::Stall(150_000)),
        _ => own.answer(request),
    })
    .await;
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let tell = move |event| {
        if let mesh_oci::client::PullEvent::Layer { done: 150_000, .. } = event {
            let _ = sender.send(());
        }
    };
    tokio::select! {
        outcome = bed.pull_with(&tell) => panic!("it stands still: {outcome:?}"),
        _ = receiver.recv() => {}
    }
    // What was cut off may have been on its way to the file; some of it is there.
    bed.pull().await.unwrap();
    assert!(bed.has(&expected));
}

#[tokio::test]
async fn a_damaged_part_is_fetched_again() {
    let image = Image::of(&[10_000]);
    let own = image.clone();
    let bed = Bed::new(move |request, _| own.answer(request)).await;
    let partial = bed.blobs().partial(&image.manifest.layers[0].digest);
    std::fs::create_dir_all(partial.parent().unwrap()).unwrap();
    // Zeros, as a machine that went down leaves them; then more than the blob has.
    for length in [4000, 10_000, 20_000] {
        std::fs::write(&partial, vec![0; length]).unwrap();
        bed.pull().await.unwrap();
        assert!(bed.has(&image), "{length}");
        std::fs::remove_file(bed.blobs().path(&image.manifest.layers[0].digest)).unwrap();
    }
}

#[tokio::test]
async fn a_server_that_fails_is_asked_a_few_times() {
    let image = Image::of(&[1000]);
    let own = image.clone();
    let bed = Bed::new(move |request, _| match own.is_layer(request, 0) {
        true => Reply::of(500, ""),
        false => own.answer(request),
    })
    .await;
    bed.fails("answered 500").await;
    assert_eq!(bed.server.count(&image.manifest.layers[0].digest.to_string()), 5);
}

#[tokio::test]
async fn what_never_works_is_given_up() {
    let image = Image::of(&[1000]);
    let own = image.clone();
    let bed = Bed::new(move |request, _| match own.is_layer(request, 0) {
        true => own.answer(request).ending(End::Cut(0)),
        false => own.answer(request),
    })
    .await;
    let error = bed.fails("in 5 attempts").await;
    assert!(matches!(error, OciError::Transport { .. }));
    assert_eq!(bed.server.count(&image.manifest.layers[0].digest.to_string()), 5);
}

#[tokio::test]
async fn a_blob_that_is_not_there_is_named() {
    let image = Image::of(&[1000]);
    let own = image.clone();
    let bed = Bed::new(move |request, _| match own.is_layer(request, 0) {
        true => Reply::of(404, r#"{"errors":[{"code":"X","message":"blob \u001b[31munknown"}]}"#),
        false => own.answer(request),
    })
    .await;
    bed.fails("(blob [31munknown)").await;
}

#[tokio::test]
async fn manifests_are_bounded_and_checked() {
    let image = Image::of(&[10]);
    let own = image.clone();
    let huge = Bed::new(move |request, _| match request.path.contains("/manifests/") {
        true => Reply { length: Some(None), ..Reply::of(200, "{").ending(End::Endless) },
        false => own.answer(request),
    })
    .await;
    huge.fails(&format!("more than {MANIFEST_BYTES_MAX} bytes")).await;

    let own = image.clone();
    let lying = Bed::new(move |request, _| match request.path.contains("/manifests/") {
        true => Reply::of(200, own.manifest_bytes.clone())
            .with("Docker-Content-Digest", Digest::of(b"other").to_string()),
        false => own.answer(request),
    })
    .await;
    lying.fails("gave content of the digest").await;

    let own = image.clone();
    let other = Bed::new(move |request, _| own.answer(request)).await;
    let pinned = other.reference("team/app").at(Digest::of(b"other"));
    let error = other.client.resolve(&pinned, &Platform::host()).await.unwrap_err();
    assert!(matches!(error, OciError::Digest { .. }), "{error}");

    let wrong = Bed::new(|_, _| Reply::of(200, "<html>")).await;
    wrong.fails("it is no JSON of a manifest").await;
}

#[tokio::test]
async fn indexes_are_followed_and_bounded() {
    // Each index leads to one that leads on; only the last names the image.
    for (depth, expected) in
        [(1, None), (INDEX_DEPTH_MAX, None), (INDEX_DEPTH_MAX + 1, Some("deeper than 3"))]
    {
        let mut image = Image::of(&[10]);
        let (mut kind, mut bytes) = (media::OCI_MANIFEST, image.manifest_bytes.clone());
        for _ in 0..depth {
            let index = json!({"schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": [
                {"mediaType": kind, "digest": Digest::of(&bytes), "size": bytes.len(),
                 "platform": {"os": "linux", "architecture": Platform::host().architecture}}]});
            bytes = serde_json::to_vec(&index).unwrap();
            kind = media::OCI_INDEX;
            image.blobs.insert(Digest::of(&bytes).to_string(), bytes.clone());
        }
        image.manifest_bytes = bytes;
        let own = image.clone();
        let bed = Bed::new(move |request, _| own.answer(request)).await;
        match expected {
            None => assert_eq!(bed.pull().await.unwrap().resolved.digest, image.digest()),
            Some(text) => drop(bed.fails(text).await),
        }
    }
}

#[tokio::test]
async fn an_image_for_other_machines_says_for_which() {
    let image = Image::of(&[10]);
    let entry = |architecture: &str| {
        json!({"mediaType": media::OCI_MANIFEST, "digest": image.digest(), "size": image.manifest_bytes.len(),
            "platform": {"os": "linux", "architecture": architecture}})
    };
    let index = json!({"schemaVersion": 2, "manifests": [entry("s390x"), entry("riscv64")]}).to_string();
    let bed = Bed::new(move |_, _| Reply::of(200, index.clone())).await;
    let error = bed.fails("it is for linux/s390x, linux/riscv64").await;
    assert!(error.is_absent() && error.hint().unwrap().contains("platform:"));
}

#[tokio::test]
async fn a_config_that_lies_is_refused() {
    let image = Image::of(&[10, 20]);
    let config = image.manifest.config.digest.to_string();
    let own = image.clone();
    let digest = config.clone();
    let bed = Bed::new(move |request, _| match request.path.ends_with(&digest) {
        true => Reply { length: Some(None), ..Reply::of(200, "{").ending(End::Endless) },
        false => own.answer(request),
    })
    .await;
    assert!(matches!(bed.pull().await.unwrap_err(), OciError::Size { .. }));

    let mut own = image.clone();
    own.manifest.layers.pop();
    own.manifest_bytes = serde_json::to_vec(&own.manifest).unwrap();
    let bed = Bed::new(move |request, _| own.answer(request)).await;
    bed.fails("its config names 2 layers, the manifest 1").await;
}

#[tokio::test]
async fn what_the_disk_has_no_room_for_is_not_begun() {
    // As many layers as may be, each as large as may be: more than a machine has.
    let mut image = Image::of(&[10; 254]);
    for layer in &mut image.manifest.layers {
        layer.size = LAYER_BYTES_MAX;
    }
    image.manifest_bytes = serde_json::to_vec(&image.manifest).unwrap();
    let own = image.clone();
    let bed = Bed::new(move |request, _| own.answer(request)).await;
    let begun = Instant::now();
    let error = bed.pull().await.unwrap_err();
    assert!(matches!(error, OciError::NoSpace { .. }), "{}", chain(&error));
    assert!(chain(&error).contains("claims 8727373545472 bytes that are still to come"), "{}", chain(&error));
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_layer_larger_than_any_is_told_by_what_its_manifest_claims() {
    let mut image = Image::of(&[10]);
    image.manifest.layers[0].size = 1 << 60;
    image.manifest_bytes = serde_json::to_vec(&image.manifest).unwrap();
    let bed = Bed::new(move |request, _| image.answer(request)).await;
    bed.fails("it claims 1152921504606846976 bytes for layer 0").await;
}
