//! A registry of images, where Debian's is installed.

use super::{Outcome, archive, within};
use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

/// A registry of Debian's on a free port of the loopback; ended when dropped.
pub struct Registry {
    child: Child,
    /// Where it listens.
    pub address: String,
    _folder: tempfile::TempDir,
}

impl Registry {
    /// `None`, said, where its programs are not there.
    pub fn start() -> Option<Self> {
        let there = |program: &str| {
            ["/usr/bin", "/usr/local/bin"].iter().any(|folder| Path::new(folder).join(program).exists())
        };
        if !there("docker-registry") || !there("skopeo") {
            archive::skipped("docker-registry and skopeo");
            return None;
        }
        let folder = tempfile::TempDir::with_prefix("mesh-registry-").expect("a folder");
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = format!("localhost:{}", free.local_addr().expect("an address").port());
        drop(free);
        let settings = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{}'}}\n",
            folder.path().join("data").display(),
            address.replace("localhost", "127.0.0.1"),
        );
        let path = folder.path().join("config.yml");
        fs::write(&path, settings).expect("a file");
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the registry runs");
        let registry = Self { child, address, _folder: folder };
        let answers = || std::net::TcpStream::connect(&registry.address).is_ok();
        assert!(within(30, answers), "the registry does not listen");
        Some(registry)
    }

    /// Puts an archive of an image into it.
    pub fn push(&self, archive: &Path, name: &str) {
        let from = format!("docker-archive:{}", archive.display());
        let to = format!("docker://{}/{name}", self.address);
        let mut command = Command::new("skopeo");
        command.args(["--insecure-policy", "copy", "-q", "--dest-tls-verify=false", &from, &to]);
        let output = Outcome::from(command.output().expect("skopeo runs"));
        output.succeeded();
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
