//! Certificates that cannot be made: TLS is spoken all the same, and with them once they can.

use super::*;
use mesh_authority::{Authorities, Intermediate};

/// How many certificates a client is shown: one that nobody vouches for is alone.
async fn shown(web: SocketAddr) -> usize {
    let stream = secured(web, "http/1.1").await;
    stream.get_ref().1.peer_certificates().map_or(0, <[_]>::len)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_that_cannot_be_used_stops_nobody() {
    let app = echo("app").await;
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), &dynamic(app.address));
    let keys = tempfile::tempdir().expect("a folder");
    let authority = keys.path().join("authority.pem");
    fs::write(&authority, "-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----\n")
        .expect("written");
    let mut statics = Statics::default();
    let entry = EntryPoint { address: "127.0.0.1:0".to_owned(), ..EntryPoint::default() };
    statics.entry_points.insert("web".to_owned(), entry);
    let directory = folder.path().display().to_string();
    statics.providers.file = Some(FileProvider { directory, ..FileProvider::default() });
    let exchange = crate::server::Exchange { authority: Some(authority.clone()), ..Default::default() };
    let gateway = Gateway::start(statics, exchange).await.expect("a gateway");
    let web = gateway.addresses()[0].1;
    let served = async || {
        let mut stream = secured(web, "http/1.1").await;
        let request = b"GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("read");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    };
    assert_eq!(shown(web).await, 1, "its own");
    served().await;
    for names in [&["other.test"][..], &["app.test"]] {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        let root = Authorities::of(keys.path()).root_for("shop", &names).expect("a root");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let now = i64::try_from(now.as_secs()).expect("a time");
        let made = Intermediate::make(&root, "shop", &names, now).expect("an authority");
        let beside = keys.path().join("beside");
        fs::write(&beside, made.text.expose()).expect("written");
        fs::rename(&beside, &authority).expect("put there");
        if names.contains("other.test") {
            assert_eq!(shown(web).await, 1, "it is not for this name");
            served().await;
        }
    }
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while shown(web).await != 2 {
        assert!(tokio::time::Instant::now() < deadline, "the new authority is not used");
    }
    served().await;
    gateway.stop().await;
}
