//! Against a real registry, Debian's `docker-registry`, and with `skopeo` as the other side. Both are on the
//! machine where `.ci/run` ran; without them these tests say so and pass.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test's own steps, and what it left out")]

use mesh_oci::{
    archive::{self, Form, Limits, Saved},
    blobs::BlobDirectory,
    client::Client,
    digest::Digest,
    http::proxy::Proxies,
    manifest::{Descriptor, Manifest, Platform},
    media,
    reference::Reference,
    settings::Settings,
};
use serde_json::json;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// How long the registry may take to listen.
const START_MAX: Duration = Duration::from_secs(60);
/// The password `hunter2` of `me`, as htpasswd writes it.
const HTPASSWD: &str = "me:$2b$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.";

fn there(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_err() {
        println!("skipped: {program} is not on this machine");
    }
    found.is_ok()
}

/// A registry of the real kind; it ends with this value.
struct Registry {
    child: Child,
    address: String,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Registry {
    /// One that wants a name and a password.
    fn with_password(folder: &Path) -> Self {
        let file = folder.join("htpasswd");
        fs::write(&file, HTPASSWD).unwrap();
        let auth = format!("auth: {{htpasswd: {{realm: r, path: {}}}}}\n", file.display());
        Self::start(folder, "", &auth)
    }

    fn start(folder: &Path, http: &str, more: &str) -> Self {
        let config = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: \"127.0.0.1:0\"{http}}}\n{more}",
            folder.join("registry").display()
        );
        let path = folder.join("registry.yml");
        fs::write(&path, config).unwrap();
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(&path)
            .env_clear()
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = child.stderr.take().unwrap();
        let (sender, receiver) = mpsc::channel();
        // Reads to the end, so that the registry never waits for its log.
        std::thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                if let Some((_, rest)) = line.split_once("listening on ") {
                    let address = rest.split(['"', ' ', ',']).next().unwrap_or_default().to_owned();
                    let _ = sender.send(address);
                }
            }
        });
        let address = receiver.recv_timeout(START_MAX);
        let registry = Self { child, address: address.clone().unwrap_or_default() };
        assert!(address.is_ok(), "docker-registry did not listen in time");
        registry
    }
}

/// An image in a directory of blobs, its layers compressed by gzip.
fn image(blobs: &BlobDirectory) -> Saved {
    let tar = |name: &str, size: usize| {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(size as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, vec![b'm'; size].as_slice()).unwrap();
        builder.into_inner().unwrap()
    };
    let layers = [tar("one", 10_000), tar("two", 3_000_000)];
    let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
    let config = json!({"os": "linux", "architecture": Platform::host().architecture,
        "config": {"Cmd": ["/one"], "Env": ["A=b"]}, "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let put = |kind: &str, bytes: &[u8]| {
        let digest = Digest::of(bytes);
        blobs.write(&digest, bytes).unwrap();
        Descriptor::new(kind, digest, bytes.len() as u64)
    };
    let gzip = |bytes: &Vec<u8>| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        put(media::OCI_LAYER_GZIP, &encoder.finish().unwrap())
    };
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media::OCI_MANIFEST.to_owned()),
        artifact_type: None,
        config: put(media::OCI_CONFIG, &serde_json::to_vec(&config).unwrap()),
        layers: layers.iter().map(gzip).collect(),
        annotations: BTreeMap::new(),
    };
    let manifest = put(media::OCI_MANIFEST, &serde_json::to_vec(&manifest).unwrap());
    Saved { references: vec![Reference::parse("team/app:1").unwrap()], manifest_digest: manifest.digest }
}

fn skopeo(arguments: &[&str]) {
    let output = Command::new("skopeo").args(["--insecure-policy"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "skopeo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

struct Bed {
    folder: TempDir,
    blobs: BlobDirectory,
    saved: Saved,
}

impl Bed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let blobs = BlobDirectory::new(folder.path().join("made"));
        let saved = image(&blobs);
        Self { blobs, saved, folder }
    }

    fn archive(&self, form: Form) -> PathBuf {
        let path = self.folder.path().join(format!("{form:?}.tar"));
        let images = std::slice::from_ref(&self.saved);
        archive::write(&mut File::create(&path).unwrap(), images, &self.blobs, form).unwrap();
        path
    }

    fn read(&self, path: &Path) -> archive::Image {
        let blobs = BlobDirectory::new(self.folder.path().join("read"));
        let mut file = File::open(path).unwrap();
        archive::read(&mut file, &blobs, &Platform::host(), &Limits::default()).unwrap().remove(0)
    }
}

#[tokio::test]
async fn an_image_goes_to_a_registry_and_comes_back() {
    if !there("docker-registry") || !there("skopeo") {
        return;
    }
    let bed = Bed::new();
    let registry = Registry::with_password(bed.folder.path());
    let source = format!("oci-archive:{}", bed.archive(Form::Oci).display());
    let target = format!("docker://{}/team/app:1", registry.address);
    skopeo(&["copy", "--dest-tls-verify=false", "--dest-creds=me:hunter2", &source, &target]);

    let config = bed.folder.path().join("config.json");
    let settings = Settings { credential_files: vec![config.clone()], ..Settings::default() };
    let client = Client::new(settings);
    let reference = Reference::parse(&format!("{}/team/app:1", registry.address)).unwrap();
    let blobs = BlobDirectory::new(bed.folder.path().join("pulled"));
    let unknown = client.pull_image(&reference, &Platform::host(), &blobs, &|_| {}).await.unwrap_err();
    assert!(unknown.to_string().contains("to somebody it does not know"), "{unknown}");
    let auths = json!({"auths": {&registry.address: {"username": "me", "password": "hunter2"}}});
    fs::write(&config, auths.to_string()).unwrap();
    let pulled = client.pull_image(&reference, &Platform::host(), &blobs, &|_| {}).await.unwrap();
    assert_eq!(pulled.resolved.manifest_digest, bed.saved.manifest_digest);
    for layer in &pulled.layers {
        let made = bed.blobs.root().join("sha256").join(layer.file_name().unwrap());
        assert_eq!(fs::read(layer).unwrap(), fs::read(made).unwrap());
    }
    assert_eq!(client.digest(&reference).await.unwrap(), bed.saved.manifest_digest);

    // A part that is there is not asked for again: the registry gives the rest.
    let large = &pulled.resolved.manifest.layers[1];
    let whole = fs::read(blobs.path(&large.digest)).unwrap();
    fs::remove_file(blobs.path(&large.digest)).unwrap();
    fs::write(blobs.partial(&large.digest), &whole[..whole.len() / 2]).unwrap();
    let begins = std::sync::Mutex::new(Vec::new());
    let tell = |event| {
        if let mesh_oci::client::PullEvent::Layer { done, .. } = event {
            begins.lock().unwrap().push(done);
        }
    };
    client.pull_image(&reference, &Platform::host(), &blobs, &tell).await.unwrap();
    assert_eq!(begins.lock().unwrap()[0], whole.len() as u64 / 2);
    assert_eq!(fs::read(blobs.path(&large.digest)).unwrap(), whole);

    let missing = Reference::parse(&format!("{}/team/none:1", registry.address)).unwrap();
    let error = client.resolve(&missing, &Platform::host()).await.unwrap_err();
    assert!(error.is_absent(), "{error}");
}

#[test]
fn another_program_reads_our_archives_and_we_read_its() {
    if !there("skopeo") {
        return;
    }
    let bed = Bed::new();
    let folder = bed.folder.path().display();
    let (docker, oci) = (bed.archive(Form::Docker), bed.archive(Form::Oci));
    let manifest = bed.read(&docker).manifest;
    let diff_ids = bed.read(&docker).config.rootfs.diff_ids;

    // Ours, of both forms, into its own of both forms.
    skopeo(&[
        "copy",
        &format!("docker-archive:{}", docker.display()),
        &format!("oci-archive:{folder}/a.tar:x/y:2"),
    ]);
    skopeo(&[
        "copy",
        &format!("oci-archive:{}", oci.display()),
        &format!("docker-archive:{folder}/b.tar:x/y:2"),
    ]);
    skopeo(&[
        "copy",
        &format!("oci-archive:{}", oci.display()),
        &format!("oci-archive:{folder}/c.tar:x/y:2"),
    ]);
    for name in ["a.tar", "b.tar", "c.tar"] {
        let image = bed.read(&bed.folder.path().join(name));
        assert_eq!(image.config.rootfs.diff_ids, diff_ids, "{name}");
        assert_eq!(image.config.config.env, ["A=b"], "{name}");
        let names: Vec<_> = image.references.iter().map(Reference::to_string).collect();
        assert_eq!(names, ["x/y:2"], "{name}");
    }
    assert_eq!(bed.read(&bed.folder.path().join("c.tar")).manifest.layers, manifest.layers, "as it was");
}

/// A proxy that leads every tunnel to one place; it ends with this value.
struct Proxy(tokio::task::JoinHandle<()>);

impl Drop for Proxy {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn proxy_to(target: String) -> (Proxy, String) {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let task = tokio::spawn(async move {
        let mut open = tokio::task::JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let target = target.clone();
            open.spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                assert!(
                    head.starts_with(b"CONNECT registry.test:443 "),
                    "{}",
                    String::from_utf8_lossy(&head)
                );
                stream.write_all(b"HTTP/1.1 200 Fine\r\nX: y\r\n\r\n").await.unwrap();
                let mut other = tokio::net::TcpStream::connect(target).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut other).await;
            });
        }
    });
    (Proxy(task), address)
}

#[tokio::test]
async fn a_certificate_is_looked_at_and_a_proxy_gone_through() {
    if !there("docker-registry") || !there("skopeo") || !there("openssl") {
        return;
    }
    let bed = Bed::new();
    let folder = bed.folder.path();
    let (certificate, key) = (folder.join("registry.test/ca.crt"), folder.join("key.pem"));
    fs::create_dir(folder.join("registry.test")).unwrap();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=registry.test"])
        .args(["-addext", "subjectAltName=DNS:registry.test", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let tls = format!(", tls: {{certificate: {}, key: {}}}", certificate.display(), key.display());
    let registry = Registry::start(folder, &tls, "");
    let source = format!("oci-archive:{}", bed.archive(Form::Oci).display());
    let target = format!("docker://{}/team/app:1", registry.address);
    skopeo(&["copy", "--dest-tls-verify=false", &source, &target]);

    let (_proxy, address) = proxy_to(registry.address.clone()).await;
    let proxies = Proxies::from_variables(&|name| (name == "HTTPS_PROXY").then(|| address.clone()));
    let usual = Settings { proxies, certificates: Vec::new(), ..Settings::default() };
    let reference = Reference::parse("registry.test/team/app:1").unwrap();
    let pull = async |settings: Settings, name: &str| {
        let blobs = BlobDirectory::new(folder.join(name));
        let pulled = Client::new(settings).pull_image(&reference, &Platform::host(), &blobs, &|_| {}).await;
        pulled.map(|pulled| pulled.resolved.manifest_digest)
    };
    let error = pull(usual.clone(), "none").await.unwrap_err();
    assert!(error.is_unreachable(), "{error}");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("could not agree on TLS with https://registry.test"), "{cause}");
    let own = Settings { certificates: vec![folder.to_owned()], ..usual.clone() };
    assert_eq!(pull(own, "own").await.unwrap(), bed.saved.manifest_digest);
    let insecure = Settings { insecure: vec!["registry.test".to_owned()], ..usual };
    assert_eq!(pull(insecure, "insecure").await.unwrap(), bed.saved.manifest_digest);
    // On this machine itself TLS needs no setting.
    let here = Reference::parse(&format!("{}/team/app:1", registry.address)).unwrap();
    let found = Client::new(Settings::default()).digest(&here).await.unwrap();
    assert_eq!(found, bed.saved.manifest_digest);
}
