//! Archives, honest and hostile.

use super::{ArchiveError, Form, Image, Limits, Saved, read, write};
use crate::{blobs::BlobDirectory, digest::Digest, manifest::Platform, media, reference::Reference};
use flate2::{Compression, write::GzEncoder};
use serde_json::json;
use std::{error::Error, fs, io::Write as _};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

const LAYER: &[u8] = b"a layer of no matter what";
const OTHER: &[u8] = b"another layer";

enum Part<'a> {
    File(&'a str, Vec<u8>),
    Link(EntryType, &'a str, &'a str),
}

fn tar(parts: &[Part<'_>]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for part in parts {
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        match part {
            Part::File(name, bytes) => {
                header.set_size(bytes.len() as u64);
                builder.append_data(&mut header, name, bytes.as_slice()).unwrap();
            }
            Part::Link(kind, name, target) => {
                header.set_entry_type(*kind);
                header.set_size(0);
                builder.append_link(&mut header, name, target).unwrap();
            }
        }
    }
    builder.into_inner().unwrap()
}

fn config(diff_ids: &[&[u8]]) -> Vec<u8> {
    let diff_ids: Vec<_> = diff_ids.iter().map(|layer| Digest::of(layer)).collect();
    serde_json::to_vec(&json!({"os": "linux", "architecture": Platform::host().architecture,
        "config": {"Cmd": ["x"]}, "rootfs": {"type": "layers", "diff_ids": diff_ids}}))
    .unwrap()
}

fn listed(config: &str, tags: &[&str], layers: &[&str]) -> Part<'static> {
    let list = json!([{"Config": config, "RepoTags": tags, "Layers": layers}]);
    Part::File("manifest.json", serde_json::to_vec(&list).unwrap())
}

/// `docker save` as it was before version 25: a layer twice by a link.
fn old_archive() -> Vec<u8> {
    tar(&[
        Part::File("0a/layer.tar", LAYER.to_vec()),
        Part::File("0a/VERSION", b"1.0".to_vec()),
        Part::File("0a/json", b"{}".to_vec()),
        Part::File("0b/layer.tar", OTHER.to_vec()),
        Part::Link(EntryType::Symlink, "0c/layer.tar", "../0a/layer.tar"),
        Part::File("cfg.json", config(&[LAYER, OTHER, LAYER])),
        listed(
            "cfg.json",
            &["team/app:1", "localhost:5000/app:2"],
            &["0a/layer.tar", "0b/layer.tar", "0c/layer.tar"],
        ),
    ])
}

struct Bed {
    _folder: TempDir,
    blobs: BlobDirectory,
}

impl Bed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let blobs = BlobDirectory::new(folder.path().join("blobs"));
        Self { _folder: folder, blobs }
    }

    fn read(&self, bytes: &[u8]) -> Result<Vec<Image>, ArchiveError> {
        read(&mut &bytes[..], &self.blobs, &Platform::host(), &Limits::default())
    }

    /// Expects a failure that says this, and nothing left of the archive.
    fn refuses(&self, bytes: &[u8], limits: &Limits, expected: &str) {
        let error = read(&mut &bytes[..], &self.blobs, &Platform::host(), limits).unwrap_err();
        let mut told = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            told = format!("{told}: {error}");
            cause = error.source();
        }
        assert!(told.contains(expected), "{told:?} does not say {expected:?}");
        assert_eq!(self.count(), 0, "something is left: {told}");
    }

    fn count(&self) -> usize {
        let in_folder = |name: &str| fs::read_dir(self.blobs.root().join(name)).map_or(0, Iterator::count);
        let loose = fs::read_dir(self.blobs.root())
            .map_or(0, |entries| entries.filter(|entry| entry.as_ref().unwrap().path().is_file()).count());
        in_folder("sha256") + in_folder("sha512") + loose
    }
}

fn names(image: &Image) -> Vec<String> {
    image.references.iter().map(Reference::to_string).collect()
}

#[test]
fn an_archive_of_docker_is_read() {
    for compressed in [false, true] {
        let mut bytes = old_archive();
        if compressed {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&bytes).unwrap();
            bytes = encoder.finish().unwrap();
        }
        let bed = Bed::new();
        let images = bed.read(&bytes).unwrap();
        assert_eq!(images.len(), 1);
        assert_eq!(names(&images[0]), ["team/app:1", "localhost:5000/app:2"]);
        let layers: Vec<_> = images[0].manifest.layers.iter().map(|layer| layer.digest.clone()).collect();
        assert_eq!(layers, [Digest::of(LAYER), Digest::of(OTHER), Digest::of(LAYER)]);
        assert_eq!(images[0].config.config.cmd, ["x"]);
        // Two layers, the config and the manifest that was made.
        assert_eq!(bed.count(), 4);
        assert_eq!(bed.read(&bytes).unwrap(), images, "twice is the same");
    }
}

#[test]
fn what_is_written_is_read_again() {
    for form in [Form::Docker, Form::Oci] {
        let bed = Bed::new();
        let image = bed.read(&old_archive()).unwrap().remove(0);
        let saved =
            Saved { references: image.references.clone(), manifest_digest: image.manifest_digest.clone() };
        let mut bytes = Vec::new();
        write(&mut bytes, std::slice::from_ref(&saved), &bed.blobs, form).unwrap();
        let mut again = Vec::new();
        write(&mut again, std::slice::from_ref(&saved), &bed.blobs, form).unwrap();
        assert!(bytes == again, "the same image gives the same bytes");
        let other = Bed::new();
        assert_eq!(other.read(&bytes).unwrap(), std::slice::from_ref(&image), "{form:?}");
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(text.contains("manifest.json"), form == Form::Docker);
        // Without names it is known by its digest.
        let unnamed = Saved { references: Vec::new(), ..saved };
        let mut bytes = Vec::new();
        write(&mut bytes, &[unnamed], &bed.blobs, form).unwrap();
        assert_eq!(Bed::new().read(&bytes).unwrap(), [Image { references: Vec::new(), ..image }]);
    }
    let nothing = Saved { references: Vec::new(), manifest_digest: Digest::of(b"") };
    let error = write(&mut Vec::new(), &[nothing], &Bed::new().blobs, Form::Oci).unwrap_err();
    assert!(matches!(error, ArchiveError::Missing { .. }));
}

/// A layout whose index leads to one image for each of these architectures, only the first with blobs.
fn layout(architectures: &[&str], name: Option<&str>) -> Vec<u8> {
    let config = config(&[LAYER]);
    let manifest = json!({"schemaVersion": 2, "mediaType": media::OCI_MANIFEST,
        "config": {"mediaType": media::OCI_CONFIG, "digest": Digest::of(&config), "size": config.len()},
        "layers": [{"mediaType": media::OCI_LAYER, "digest": Digest::of(LAYER), "size": LAYER.len()}]});
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let entry = |architecture: &&str| {
        json!({"mediaType": media::OCI_MANIFEST, "digest": Digest::of(&manifest), "size": manifest.len(),
            "platform": {"os": "linux", "architecture": architecture}})
    };
    let inner = json!({"schemaVersion": 2, "mediaType": media::OCI_INDEX,
        "manifests": architectures.iter().map(entry).collect::<Vec<_>>()});
    let inner = serde_json::to_vec(&inner).unwrap();
    let mut outer = json!({"mediaType": media::OCI_INDEX, "digest": Digest::of(&inner), "size": inner.len()});
    if let Some(name) = name {
        outer["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    }
    let index = json!({"schemaVersion": 2, "manifests": [outer]});
    let path = |bytes: &[u8]| format!("blobs/sha256/{}", Digest::of(bytes).hex());
    tar(&[
        Part::File("./oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        Part::File("./index.json", serde_json::to_vec(&index).unwrap()),
        Part::File(&path(LAYER), LAYER.to_vec()),
        Part::File(&path(&config), config.clone()),
        Part::File(&path(&manifest), manifest.clone()),
        Part::File(&path(&inner), inner.clone()),
        Part::File("blobs/sha256/README", b"no blob".to_vec()),
    ])
}

#[test]
fn a_layout_is_read_for_this_platform() {
    let own = Platform::host().architecture;
    let bed = Bed::new();
    let images = bed.read(&layout(&["s390x", &own], Some("ghcr.io/a/b:1"))).unwrap();
    assert_eq!(names(&images[0]), ["ghcr.io/a/b:1"]);
    assert!(images[0].index_digest.is_some());
    assert!(
        Bed::new().read(&layout(&[&own], Some("1.0"))).unwrap()[0].references.is_empty(),
        "a tag is no name"
    );
    Bed::new().refuses(
        &layout(&["s390x", "mips"], None),
        &Limits::default(),
        "it has linux/s390x, linux/mips",
    );
}

#[test]
fn hostile_archives_are_refused() {
    let usual = Limits::default();
    let refuses = |parts: &[Part<'_>], expected: &str| Bed::new().refuses(&tar(parts), &usual, expected);
    let file = |name, bytes: &[u8]| Part::File(name, bytes.to_vec());
    refuses(&[], "neither a manifest.json");
    refuses(&[file("x", b"y")], "neither a manifest.json");
    refuses(&[file("manifest.json", b"[{")], "manifest.json in the archive cannot be read");
    refuses(&[file("manifest.json", b"[]")], "it has no images");
    refuses(&[file("index.json", b"[]")], "index.json in the archive cannot be read");
    refuses(&[listed("../../etc/passwd", &[], &[])], "is not in the archive");
    refuses(&[listed("c.json", &[], &[])], "is not in the archive");
    let c = || Part::File("c.json", config(&[LAYER]));
    refuses(&[c(), listed("c.json", &[], &["l.tar"])], "layer \"l.tar\" is not in the archive");
    refuses(&[c(), listed("c.json", &[], &[])], "its config names 1 layers, the manifest 0");
    refuses(&[c(), file("l.tar", OTHER), listed("c.json", &[], &["l.tar"])], "its image's config says");
    refuses(&[c(), file("l.tar", LAYER), listed("c.json", &["A:b"], &["l.tar"])], "names an image \"A:b\"");
    let ring = [
        Part::Link(EntryType::Symlink, "a.tar", "b.tar"),
        Part::Link(EntryType::Symlink, "b.tar", "a.tar"),
        c(),
        listed("c.json", &[], &["a.tar"]),
    ];
    refuses(&ring, "layer \"a.tar\" is not in the archive");
    let out =
        [Part::Link(EntryType::Symlink, "a.tar", "/etc/passwd"), c(), listed("c.json", &[], &["a.tar"])];
    refuses(&out, "layer \"a.tar\" is not in the archive");
    let name = format!("blobs/sha256/{}", Digest::of(LAYER).hex());
    refuses(&[file(&name, OTHER)], "has the digest");
    refuses(&[file("big.json", &vec![b' '; (8 << 20) + 1])], "too large for a list");
    let lists: Vec<_> = (0..9).map(|n| (format!("{n}.json"), vec![b' '; 8 << 20])).collect();
    let lists: Vec<_> = lists.iter().map(|(name, bytes)| file(name, bytes)).collect();
    refuses(&lists, "bytes of lists");
    Bed::new().refuses(&[7; 2000], &usual, "this is no tar file");
    Bed::new().refuses("a text, no archive\n".repeat(99).as_bytes(), &usual, "this is no tar file");
    Bed::new().refuses(b"short", &usual, "this is no tar file");
    Bed::new().refuses(b"", &usual, "the archive is empty");
    Bed::new().refuses(b"BZh91AY&SY", &usual, "compressed by bzip2, which is not taken; bunzip2 undoes it");
}

#[test]
fn an_archive_that_is_cut_off_is_told_as_such() {
    let whole = old_archive();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&whole).unwrap();
    let gzip = encoder.finish().unwrap();
    let zstd = ruzstd::encoding::compress_to_vec(&whole[..], ruzstd::encoding::CompressionLevel::Fastest);
    // Within a header, within a file, between two files; the ends of archives say nothing.
    for bytes in
        [&whole[..700], &whole[..1500], &whole[..2048], &gzip[..gzip.len() / 2], &zstd[..zstd.len() / 2]]
    {
        let told = format!("it ends after {} bytes", bytes.len());
        Bed::new().refuses(bytes, &Limits::default(), &told);
    }
    let end = whole.len() - 1024;
    assert_eq!(Bed::new().read(&whole[..end]).unwrap().len(), 1);
}

#[test]
fn a_folder_is_no_archive() {
    let (bed, folder) = (Bed::new(), tempfile::tempdir().unwrap());
    let mut opened = fs::File::open(folder.path()).unwrap();
    let outcome = read(&mut opened, &bed.blobs, &Platform::host(), &Limits::default());
    assert!(matches!(outcome, Err(ArchiveError::Folder)));
}

#[test]
fn archives_are_bounded() {
    let small = Limits { bytes_max: 1 << 20, ..Limits::default() };
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let bomb = tar(&[Part::File("l.tar", vec![0; 8 << 20])]);
    encoder.write_all(&bomb).unwrap();
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 100_000);
    Bed::new().refuses(&bomb, &small, "more than 1048576 bytes");
    let few = Limits { entries_max: 10, ..Limits::default() };
    let names: Vec<String> = (0..11).map(|number| format!("d{number}")).collect();
    let many: Vec<_> = names.iter().map(|name| Part::File(name, Vec::new())).collect();
    Bed::new().refuses(&tar(&many), &few, "more than 10 entries");
    let two = serde_json::to_vec(&json!([{"Config": "c"}, {"Config": "c"}])).unwrap();
    let one = Limits { images_max: 1, ..Limits::default() };
    Bed::new().refuses(&tar(&[Part::File("manifest.json", two)]), &one, "more than 1 images");
    // One large config, named again and again.
    let mut large = config(&[]);
    large.extend(vec![b' '; 7 << 20]);
    let list = serde_json::to_vec(&vec![json!({"Config": "c.json"}); 20]).unwrap();
    let parts = [Part::File("c.json", large), Part::File("manifest.json", list)];
    Bed::new().refuses(&tar(&parts), &Limits::default(), "bytes of lists");
    // A long name that never ends is not read into memory.
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNULongName);
    header.set_size(1 << 30);
    header.set_path("././@LongLink").unwrap();
    header.set_cksum();
    let mut endless = header.as_bytes().to_vec();
    endless.extend(vec![b'a'; 1 << 20]);
    Bed::new().refuses(&endless, &Limits::default(), "more than 65536 bytes in a name");
    // Holes are a bomb too.
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNUSparse);
    header.set_size(0);
    header.set_path("l.tar").unwrap();
    header.set_cksum();
    Bed::new().refuses(header.as_bytes(), &Limits::default(), "has holes");
}

#[test]
fn what_was_there_before_stays() {
    let bed = Bed::new();
    bed.blobs.write(&Digest::of(LAYER), LAYER).unwrap();
    let broken = tar(&[Part::File("l.tar", LAYER.to_vec()), Part::File("manifest.json", b"x".to_vec())]);
    assert!(bed.read(&broken).is_err());
    assert!(bed.blobs.has(&Digest::of(LAYER), LAYER.len() as u64));
}

#[test]
fn names_of_any_length_are_read() {
    let long = format!("{}/layer.tar", "d".repeat(200));
    let bytes = tar(&[
        Part::File(&long, LAYER.to_vec()),
        Part::File("c.json", config(&[LAYER])),
        listed("c.json", &[], &[&long]),
    ]);
    assert_eq!(Bed::new().read(&bytes).unwrap()[0].manifest.layers.len(), 1);
}
