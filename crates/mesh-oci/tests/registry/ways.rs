//! Ways to a registry: proxies of each kind, and a registry that wants to see a certificate.

use crate::{chain, image::Image, quick, server::Server};
use mesh_oci::{
    client::Client, http::proxy::Proxies, manifest::Platform, reference::Reference, settings::Settings,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::{fs, net::SocketAddr, path::Path, sync::Arc};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

const HOST: &str = "registry.test";

/// A task that ends with this value.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Calls a function for each connection to an address of its own.
async fn listen<F: Future<Output = ()> + Send + 'static>(
    each: impl Fn(TcpStream) -> F + Send + 'static,
) -> (Task, SocketAddr) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut open = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            open.spawn(each(stream));
        }
    });
    (Task(task), address)
}

async fn join(mut stream: impl AsyncRead + AsyncWrite + Unpin, to: SocketAddr) {
    let mut other = TcpStream::connect(to).await.unwrap();
    let _ = copy_bidirectional(&mut stream, &mut other).await;
}

/// Certificates of one authority, in the folders that a client looks into.
struct Certificates {
    folder: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Certificates {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { folder: tempfile::tempdir().unwrap(), authority }
    }

    /// Two files in a folder for a host: a certificate for a name, and its key.
    fn write(
        &self,
        host: &str,
        name: &str,
        file: &str,
        extension: &str,
    ) -> (std::path::PathBuf, std::path::PathBuf) {
        let folder = self.folder.path().join(host);
        fs::create_dir_all(&folder).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        let paths = (folder.join(format!("{file}.{extension}")), folder.join(format!("{file}.key")));
        fs::write(&paths.0, certificate.pem()).unwrap();
        fs::write(&paths.1, key.serialize_pem()).unwrap();
        paths
    }

    /// The authority, for the server of a host.
    fn trust(&self, host: &str) {
        fs::create_dir_all(self.folder.path().join(host)).unwrap();
        fs::write(self.folder.path().join(host).join("ca.crt"), self.authority.pem()).unwrap();
    }

    /// What a server of a name shows; `strict`: only to clients that show a certificate of the authority.
    fn acceptor(&self, name: &str, strict: bool) -> TlsAcceptor {
        let (certificate, key) = self.write("of-servers", name, name, "pem");
        let resolver = mesh_tls::ServerFiles::open(certificate, key).unwrap();
        let roots = self.folder.path().join("of-servers/roots.pem");
        fs::write(&roots, self.authority.pem()).unwrap();
        let clients = strict.then_some((roots.as_path(), true));
        TlsAcceptor::from(Arc::new(mesh_tls::server(Arc::new(resolver), clients).unwrap()))
    }
}

/// A registry of one image behind TLS that wants to see a certificate.
async fn registry(certificates: &Certificates) -> (Server, Task, SocketAddr) {
    let image = Image::of(&[1000]);
    let server = Server::start(move |request, _| image.answer(request)).await;
    let (acceptor, to) = (certificates.acceptor(HOST, true), server.address);
    let (task, address) = listen(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                join(stream, to).await;
            }
        }
    })
    .await;
    (server, task, address)
}

/// Answers a client of SOCKS 5 as the RFC says, for one name and password.
async fn socks(mut stream: TcpStream, to: SocketAddr) {
    let mut head = [0; 3];
    stream.read_exact(&mut head).await.unwrap();
    if head != [5, 1, 2] {
        return stream.write_all(&[5, 0xFF]).await.unwrap();
    }
    stream.write_all(&[5, 2]).await.unwrap();
    let mut login = [0; 9];
    stream.read_exact(&mut login).await.unwrap();
    let known = &login == b"\x01\x02me\x04p@ss";
    stream.write_all(&[1, u8::from(!known)]).await.unwrap();
    let wanted = [&[5, 1, 0, 3, 13], HOST.as_bytes(), &443_u16.to_be_bytes()].concat();
    let mut request = vec![0; wanted.len()];
    if stream.read_exact(&mut request).await.is_err() {
        return;
    }
    assert_eq!(request, wanted);
    stream.write_all(&[5, 0, 0, 3, 4, b'h', b'o', b's', b't', 0, 80]).await.unwrap();
    join(stream, to).await;
}

/// Resolves the image with this proxy and these folders; gives what went wrong.
async fn resolve(proxy: String, folder: &Path) -> Result<(), String> {
    let proxies = Proxies::from_variables(&|name| (name == "HTTPS_PROXY").then(|| proxy.clone()));
    let settings = Settings { proxies, certificates: vec!["/nowhere".into(), folder.to_owned()], ..quick() };
    let reference = Reference::parse(&format!("{HOST}/team/app:1")).unwrap();
    let outcome = Client::new(settings).resolve(&reference, &Platform::host()).await;
    outcome.map(drop).map_err(|error| chain(&error))
}

#[tokio::test]
async fn a_socks_proxy_leads_to_a_registry_that_wants_a_certificate() {
    let certificates = Certificates::new();
    let (_server, _task, to) = registry(&certificates).await;
    let (_proxy, proxy) = listen(move |stream| socks(stream, to)).await;
    let folder = certificates.folder.path();
    certificates.trust(HOST);
    let login = format!("socks5://me:p%40ss@{proxy}");
    // Without a certificate of its own the client is turned away.
    assert!(resolve(login.clone(), folder).await.is_err());
    let (_, key) = certificates.write(HOST, "client.test", "client", "cert");
    resolve(login.clone(), folder).await.unwrap();
    for (url, want) in [
        (format!("socks5://me:xxxx@{proxy}"), "it does not know us"),
        (format!("socks5://{proxy}"), "it wants to know who asks"),
        (format!("http://{proxy}"), "proxy"),
    ] {
        let error = resolve(url, folder).await.unwrap_err();
        assert!(error.contains(want) && !error.contains("xxxx"), "{error}");
    }
    fs::remove_file(key).unwrap();
    let error = resolve(login, folder).await.unwrap_err();
    assert!(error.contains("client.cert") && error.contains("no key of its name"), "{error}");
}

#[tokio::test]
async fn a_proxy_may_itself_be_behind_tls() {
    let certificates = Certificates::new();
    let (_server, _task, to) = registry(&certificates).await;
    let acceptor = certificates.acceptor("localhost", false);
    let (_proxy, proxy) = listen(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            assert!(head.starts_with(b"CONNECT registry.test:443 "));
            stream.write_all(b"HTTP/1.1 200 Fine\r\n\r\n").await.unwrap();
            stream.flush().await.unwrap();
            join(stream, to).await;
        }
    })
    .await;
    let url = format!("https://localhost:{}", proxy.port());
    certificates.trust(HOST);
    certificates.write(HOST, "client.test", "client", "cert");
    let error = resolve(url.clone(), certificates.folder.path()).await.unwrap_err();
    assert!(error.contains("could not agree on TLS with https://localhost"), "{error}");
    certificates.trust(&format!("localhost:{}", proxy.port()));
    resolve(url, certificates.folder.path()).await.unwrap();
}
