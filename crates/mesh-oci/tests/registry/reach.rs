//! Registries that are not there, are busy, or have mirrors.

use crate::{
    Bed, chain,
    image::Image,
    quick,
    server::{End, Reply, Server},
};
use mesh_oci::{
    client::Client,
    error::OciError,
    manifest::Platform,
    reference::Reference,
    settings::{Mirrors, Settings},
};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_registry_that_does_not_answer_is_asked_once() {
    let settings = Settings { first_answer: Duration::from_millis(500), ..quick() };
    let bed = Bed::with(settings, |_, _| Reply::of(200, "").ending(End::Stall(0))).await;
    // A server that takes connections and says nothing at all, as long as it is there.
    let silent = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = silent.local_addr().unwrap();
    let begun = Instant::now();
    let platform = Platform::host();
    let names: Vec<_> =
        (0..20).map(|number| Reference::parse(&format!("{address}/app{number}")).unwrap()).collect();
    let asked = names.iter().map(|name| bed.client.resolve(name, &platform));
    for outcome in futures_util::future::join_all(asked).await {
        let error = outcome.unwrap_err();
        assert!(error.is_unreachable(), "{error}");
        assert!(chain(&error).contains("within 0.5 s"), "{}", chain(&error));
    }
    // Both ways of speaking to this machine are tried once: 1 s, not 20.
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    let mut connections = 0;
    while let Ok(Ok(_)) = tokio::time::timeout(Duration::from_millis(20), silent.accept()).await {
        connections += 1;
    }
    assert!(connections <= 2, "{connections}");
    bed.client.forget_unreachable();
    assert!(bed.client.resolve(&names[0], &platform).await.unwrap_err().is_unreachable());
    assert!(silent.accept().await.is_ok(), "after that it is asked again");
}

#[tokio::test]
async fn nobody_there_is_told_at_once() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let reference = Reference::parse(&format!("{address}/app")).unwrap();
    let begun = Instant::now();
    let error = Client::new(quick()).resolve(&reference, &Platform::host()).await.unwrap_err();
    assert!(error.is_unreachable() && chain(&error).contains("could not connect to"), "{}", chain(&error));
    assert!(error.hint().unwrap().contains("MESH_REGISTRY_MIRRORS"));
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_busy_registry_is_asked_again_within_reason() {
    for (status, after) in [(429, Some("0")), (503, Some("1")), (503, None), (500, None)] {
        let image = Image::of(&[100]);
        let bed =
            Bed::new(move |request, before| match (request.path.contains("/manifests/"), before, after) {
                (true, 0, Some(after)) => Reply::of(status, "").with("Retry-After", after),
                (true, 0, None) => Reply::of(status, ""),
                _ => image.answer(request),
            })
            .await;
        bed.pull().await.unwrap_or_else(|error| panic!("{status} {after:?}: {}", chain(&error)));
    }
    let limited = Bed::new(|request, _| match request.path.as_str() {
        "/v2/" => Reply::of(200, ""),
        _ => Reply::of(429, "").with("Retry-After", "3600"),
    })
    .await;
    let begun = Instant::now();
    let error = limited.fails("it may be asked again in 3600 s").await;
    assert!(matches!(error, OciError::Limited { after_seconds: Some(3600), .. }));
    assert!(begun.elapsed() < Duration::from_secs(3), "an hour is for the user to wait");
    assert_eq!(limited.server.seen().len(), 1);
}

#[tokio::test]
async fn a_mirror_is_asked_first_and_may_fail() {
    let image = Image::of(&[1000]);
    let (own, own_too) = (image.clone(), image.clone());
    let mirror = Server::start(move |request, _| own.answer(request)).await;
    let registry = Server::start(move |request, _| own_too.answer(request)).await;
    let platform = Platform::host();
    let reference = Reference::parse(&format!("{}/team/app", registry.address)).unwrap();

    let mirrors = Mirrors::parse(&format!("{}=http://{}/proxy", registry.address, mirror.address)).unwrap();
    let client = Client::new(Settings { mirrors, ..quick() });
    client.resolve(&reference, &platform).await.unwrap();
    assert!(registry.seen().is_empty(), "the mirror has it");
    assert!(mirror.seen()[0].path.starts_with("/v2/proxy/team/app/manifests/"), "{:?}", mirror.seen());

    // One mirror is not there, the other does not have it.
    let empty = Server::start(|_, _| Reply::of(404, "")).await;
    let gone = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let nobody = gone.local_addr().unwrap();
    drop(gone);
    let text = format!("{r}=http://{nobody},{r}=http://{e}", r = registry.address, e = empty.address);
    let client = Client::new(Settings { mirrors: Mirrors::parse(&text).unwrap(), ..quick() });
    let bed = tempfile::tempdir().unwrap();
    let blobs = mesh_oci::blobs::BlobDirectory::new(bed.path());
    client.pull_image(&reference, &platform, &blobs, &|_| {}).await.unwrap();
    assert!(blobs.has(&image.manifest.layers[0].digest, 1000));
    assert!(!empty.seen().is_empty() && !registry.seen().is_empty());
}

#[tokio::test]
async fn docker_hubs_mirror_is_asked_for_library() {
    let image = Image::of(&[10]);
    let own = image.clone();
    let mirror = Server::start(move |request, _| own.answer(request)).await;
    let mirrors = Mirrors::parse(&format!("docker.io=http://{}", mirror.address)).unwrap();
    let client = Client::new(Settings { mirrors, ..quick() });
    let reference = Reference::parse("redis:7").unwrap();
    client.resolve(&reference, &Platform::host()).await.unwrap();
    assert_eq!(mirror.seen()[0].path, "/v2/library/redis/manifests/7");
}
