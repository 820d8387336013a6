//! Who we are to a registry: tokens, passwords, and where they must not go.

use crate::{
    Bed, chain,
    image::Image,
    quick,
    server::{End, Reply, Request, Server},
};
use mesh_oci::{error::OciError, settings::Settings};
use std::{
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

/// A registry that wants a token; `path` of the token server is `/token` of the same server.
fn wanting(request: &Request, token: &str, inner: impl FnOnce() -> Reply) -> Reply {
    if request.header("authorization") == format!("Bearer {token}") {
        return inner();
    }
    let realm = format!("http://{}/token", request.header("host"));
    Reply::of(401, r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#).with(
        "WWW-Authenticate",
        format!(r#"Bearer realm="{realm}",service="r",scope="repository:team/app:pull""#),
    )
}

fn settings(folder: &Path, config: &str) -> Settings {
    let path = folder.join("config.json");
    fs::write(&path, config).unwrap();
    Settings { credential_files: vec![path], ..quick() }
}

#[tokio::test]
async fn a_token_that_ends_in_the_middle_is_renewed() {
    let image = Image::of(&[400_000, 1000]);
    let (own, expected) = (image.clone(), image.clone());
    let valid = Arc::new(AtomicU64::new(1));
    let bed = Bed::new(move |request, before| {
        if request.path.starts_with("/token") {
            let number = valid.load(Ordering::SeqCst);
            return Reply::of(200, format!(r#"{{"token":"t{number}","expires_in":3600}}"#));
        }
        let token = format!("t{}", valid.load(Ordering::SeqCst));
        wanting(request, &token, || match (own.is_layer(request, 0), before) {
            (true, 0) => {
                // The body breaks off, and the token counts no more.
                valid.fetch_add(1, Ordering::SeqCst);
                own.answer(request).ending(End::Cut(123_456))
            }
            _ => own.answer(request),
        })
    })
    .await;
    bed.pull().await.unwrap();
    assert!(bed.has(&expected));
    let seen = bed.server.seen();
    let layer: Vec<_> = seen.iter().filter(|request| expected.is_layer(request, 0)).collect();
    let told =
        |request: &&Request| (request.header("authorization").to_owned(), request.header("range").to_owned());
    let told: Vec<_> = layer.iter().map(told).collect();
    assert_eq!(told[0], ("Bearer t1".to_owned(), String::new()));
    assert_eq!(told.last().unwrap(), &("Bearer t2".to_owned(), "bytes=123456-".to_owned()), "{told:?}");
    assert_eq!(bed.server.count("/token"), 2, "one token for all layers, and one more: {seen:?}");
    let asked = seen.iter().find(|request| request.path.starts_with("/token")).unwrap();
    assert_eq!(asked.path, "/token?service=r&scope=repository%3Ateam%2Fapp%3Apull");
}

#[tokio::test]
async fn a_token_goes_to_nobody_else() {
    let image = Image::of(&[5000]);
    let own = image.clone();
    let storage = Server::start(move |request, _| own.answer(request)).await;
    let (own, other) = (image.clone(), storage.address);
    let bed = Bed::new(move |request, _| {
        if request.path.starts_with("/token") {
            return Reply::of(200, r#"{"token":"hunter2"}"#);
        }
        wanting(request, "hunter2", || match own.is_layer(request, 0) {
            true => Reply::of(307, "").with("Location", format!("http://{other}{}?signed=1", request.path)),
            false => own.answer(request),
        })
    })
    .await;
    bed.pull().await.unwrap();
    assert!(bed.has(&image));
    let seen = storage.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].header("authorization"), "", "credentials stay with the registry");
}

#[tokio::test]
async fn redirects_are_bounded() {
    let loops =
        Bed::new(|request, _| Reply::of(302, "").with("Location", format!("{}x", request.path))).await;
    loops.fails("it leads on and on").await;
    assert!(loops.server.seen().len() < 10);
    let away = Bed::new(|request, _| match request.path.as_str() {
        "/v2/" => Reply::of(200, ""),
        _ => Reply::of(302, "").with("Location", "file:///etc/passwd"),
    })
    .await;
    away.fails("no address of http or https").await;
}

#[tokio::test]
async fn names_and_passwords_are_shown_where_they_are_asked_for() {
    let image = Image::of(&[100]);
    let folder = tempfile::tempdir().unwrap();
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let (own, all) = (image.clone(), seen.clone());
    let server = Server::start(move |request, _| {
        all.lock().unwrap().push(request.header("authorization").to_owned());
        match request.header("authorization") {
            "Basic bWU6aHVudGVyMg==" => own.answer(request),
            _ => Reply::of(401, "").with("WWW-Authenticate", r#"Basic realm="r""#),
        }
    })
    .await;
    let config = format!(r#"{{"auths":{{"{}":{{"auth":"bWU6aHVudGVyMg=="}}}}}}"#, server.address);
    let bed = Bed::with(settings(folder.path(), &config), |_, _| Reply::of(404, "")).await;
    let reference = mesh_oci::reference::Reference::parse(&format!("{}/a", server.address)).unwrap();
    let platform = mesh_oci::manifest::Platform::host();
    bed.client.pull_image(&reference, &platform, &bed.blobs(), &|_| {}).await.unwrap();
    assert!(bed.has(&image));
    assert_eq!(seen.lock().unwrap()[0], "", "nothing is shown before it is asked for");

    // The wrong password, and none.
    for (auth, expected) in
        [("bWU6b3RoZXI=", "our credentials are not enough"), ("", "to somebody it does not know")]
    {
        let config = format!(r#"{{"auths":{{"{}":{{"auth":"{auth}"}}}}}}"#, server.address);
        let client = mesh_oci::client::Client::new(settings(folder.path(), &config));
        let error = client.resolve(&reference, &platform).await.unwrap_err();
        let told = format!("{} {error:?}", chain(&error));
        assert!(told.contains(expected) && !told.contains("other"), "{told}");
        assert!(error.hint().is_some());
    }
}

#[tokio::test]
async fn an_identity_token_is_posted() {
    let image = Image::of(&[100]);
    let folder = tempfile::tempdir().unwrap();
    let own = image.clone();
    let server = Server::start(move |request, _| match request.path.as_str() {
        "/token" => match request.method.as_str() {
            "POST" => Reply::of(200, r#"{"access_token":"t"}"#),
            _ => Reply::of(405, ""),
        },
        _ => wanting(request, "t", || own.answer(request)),
    })
    .await;
    let config = format!(r#"{{"auths":{{"{}":{{"auth":"eDp5","identitytoken":"id&t"}}}}}}"#, server.address);
    let client = mesh_oci::client::Client::new(settings(folder.path(), &config));
    let reference = mesh_oci::reference::Reference::parse(&format!("{}/team/app", server.address)).unwrap();
    client.resolve(&reference, &mesh_oci::manifest::Platform::host()).await.unwrap();
    let seen = server.seen();
    let form = &seen.iter().find(|request| request.path == "/token").unwrap().body;
    for part in [
        "grant_type=refresh_token",
        "refresh_token=id%26t",
        "service=r",
        "scope=repository%3Ateam%2Fapp%3Apull",
    ] {
        assert!(form.contains(part), "{form}");
    }
    assert_eq!(server.count("/token"), 1);
}

#[tokio::test]
async fn a_registry_that_never_believes_us_is_left() {
    let never = Bed::new(|request, _| match request.path.starts_with("/token") {
        true => Reply::of(200, r#"{"token":"hunter2"}"#),
        false => wanting(request, "other", || Reply::of(500, "")),
    })
    .await;
    let error = never.fails("does not give").await;
    assert!(matches!(error, OciError::Denied { known: false, .. }) && error.is_absent());
    assert!(never.server.seen().len() <= 7, "{:?}", never.server.seen().len());

    for (reply, expected) in [
        (Reply::of(200, "{}"), "its answer has no token"),
        (Reply::of(200, vec![b' '; 300 << 10]), "sent more than 262144 bytes"),
        (Reply::of(404, ""), "it answered 404"),
    ] {
        let bed = Bed::new(move |request, _| match request.path.starts_with("/token") {
            true => reply.clone(),
            false => wanting(request, "t", || Reply::of(500, "")),
        })
        .await;
        bed.fails(expected).await;
    }

    let mute = Bed::new(|request, _| Reply::of(if request.path == "/v2/" { 200 } else { 401 }, "")).await;
    mute.fails("to somebody it does not know").await;
}
