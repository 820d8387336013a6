//! Images made by hand: layers of busybox and what a test adds, in an archive of `docker save`'s form.

use mesh_oci::digest::Digest;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tar::{Builder, EntryType, Header};

/// Programs of busybox that have a name of their own.
const PROGRAMS: &str = "sh cat ls id sleep env stat touch echo test pwd httpd wget find mkdir rm true";

/// Says that a test was skipped.
pub fn skipped(needs: &str) {
    eprintln!("skipped: needs {needs}");
}

/// A layer that is being made.
pub struct Layer(Builder<Vec<u8>>);

impl Layer {
    pub fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    /// Users, and busybox under the names of its programs; `None`, said, without a static busybox.
    pub fn base() -> Option<Self> {
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].iter().find_map(|path| fs::read(path).ok());
        let busybox = busybox.filter(|bytes| !bytes.windows(9).any(|part| part == b"/ld-linux"));
        let Some(busybox) = busybox else {
            skipped("a static busybox (the package busybox-static)");
            return None;
        };
        let mut layer = Self::new();
        for path in ["bin/", "etc/", "home/", "var/", "opt/", "opt/kept/", "opt/hidden/", "opt/gone/"] {
            layer.directory(path, 0o755, 0);
        }
        layer.directory("tmp/", 0o1777, 0);
        layer.file("bin/busybox", &busybox, 0o755, 0);
        for program in PROGRAMS.split(' ') {
            layer.link(&format!("bin/{program}"), "busybox");
        }
        layer.file(
            "etc/passwd",
            b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n",
            0o644,
            0,
        );
        layer.file("etc/group", b"root:x:0:\napp:x:1001:\nstaff:x:50:\n", 0o644, 0);
        Some(layer)
    }

    pub fn directory(&mut self, path: &str, mode: u32, owner: u64) {
        self.add(EntryType::Directory, path, None, b"", mode, owner);
    }

    pub fn file(&mut self, path: &str, content: &[u8], mode: u32, owner: u64) {
        self.add(EntryType::Regular, path, None, content, mode, owner);
    }

    pub fn link(&mut self, path: &str, target: &str) {
        self.add(EntryType::Symlink, path, Some(target), b"", 0o777, 0);
    }

    pub fn hard_link(&mut self, path: &str, target: &str) {
        self.add(EntryType::Link, path, Some(target), b"", 0o644, 0);
    }

    /// An entry with whatever path; the builder's own ways refuse those that climb.
    fn add(
        &mut self,
        kind: EntryType,
        path: &str,
        target: Option<&str>,
        content: &[u8],
        mode: u32,
        owner: u64,
    ) {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        if let Some(target) = target {
            header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        }
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        header.set_uid(owner);
        header.set_gid(owner);
        header.set_mtime(1_600_000_000);
        header.set_cksum();
        self.0.append(&header, content).expect("an entry");
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().expect("a layer")
    }
}

/// Writes an archive with one image; `config` is its `config` (`Env`, `Cmd` and so on).
pub fn write(folder: &Path, name: &str, layers: Vec<Layer>, config: Value) -> PathBuf {
    let layers: Vec<Vec<u8>> = layers.into_iter().map(Layer::bytes).collect();
    let digests: Vec<Digest> = layers.iter().map(|bytes| Digest::of(bytes)).collect();
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let whole = json!({
        "architecture": architecture, "os": "linux", "config": config,
        "rootfs": {"type": "layers", "diff_ids": digests.iter().map(ToString::to_string).collect::<Vec<_>>()},
    });
    let whole = whole.to_string().into_bytes();
    let mut archive = Builder::new(Vec::new());
    let mut put = |path: &str, bytes: &[u8]| {
        let mut header = Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, bytes).expect("a file of the archive");
    };
    let paths: Vec<String> = digests.iter().map(|digest| format!("{}/layer.tar", digest.hex())).collect();
    paths.iter().zip(&layers).for_each(|(path, bytes)| put(path, bytes));
    let config_path = format!("{}.json", Digest::of(&whole).hex());
    put(&config_path, &whole);
    let listed = json!([{"Config": config_path, "RepoTags": [name], "Layers": paths}]);
    put("manifest.json", listed.to_string().as_bytes());
    let path = folder.join("image.tar");
    fs::write(&path, archive.into_inner().expect("an archive")).expect("written");
    path
}
