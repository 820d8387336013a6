//! Layers of good and of bad will, made by hand.

use super::*;
use flate2::{Compression, write::GzEncoder};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, symlink},
    path::PathBuf,
};

/// An entry as it goes into an archive.
struct Part<'a> {
    flag: u8,
    path: &'a str,
    target: &'a str,
    content: &'a [u8],
    mode: u32,
    /// Records of a pax header before it.
    records: Vec<(&'a str, Vec<u8>)>,
}

fn part<'a>(flag: u8, path: &'a str, target: &'a str, content: &'a [u8]) -> Part<'a> {
    Part { flag, path, target, content, mode: if flag == b'5' { 0o755 } else { 0o644 }, records: Vec::new() }
}

fn directory(path: &str) -> Part<'_> {
    part(b'5', path, "", b"")
}

fn file<'a>(path: &'a str, content: &'a str) -> Part<'a> {
    part(b'0', path, "", content.as_bytes())
}

fn link<'a>(path: &'a str, target: &'a str) -> Part<'a> {
    part(b'2', path, target, b"")
}

fn hard<'a>(path: &'a str, target: &'a str) -> Part<'a> {
    part(b'1', path, target, b"")
}

impl<'a> Part<'a> {
    fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    fn record(mut self, key: &'a str, value: &[u8]) -> Self {
        self.records.push((key, value.to_vec()));
        self
    }
}

fn header(flag: u8, path: &str, target: &str, size: u64, mode: u32) -> [u8; 512] {
    let mut block = [0_u8; 512];
    let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    put(0, path.as_bytes());
    put(100, format!("{mode:07o}\0").as_bytes());
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, format!("{:011o}\0", 1_000_000_000).as_bytes());
    put(156, &[flag]);
    put(257, b"ustar\x0000");
    match (flag, target.split_once(':')) {
        // The numbers of a device.
        (b'3' | b'4', Some((major, minor))) => {
            put(329, format!("{:07o}\0", major.parse::<u32>().unwrap()).as_bytes());
            put(337, format!("{:07o}\0", minor.parse::<u32>().unwrap()).as_bytes());
        }
        _ => put(157, target.as_bytes()),
    }
    sum(&mut block);
    block
}

fn sum(block: &mut [u8; 512]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let mut length = key.len() + value.len() + 3;
    while length != key.len() + value.len() + 3 + length.to_string().len() {
        length = key.len() + value.len() + 3 + length.to_string().len();
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

fn archive(parts: &[Part<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        if !part.records.is_empty() {
            let records: Vec<u8> = part.records.iter().flat_map(|(key, value)| record(key, value)).collect();
            bytes.extend(header(b'x', "PaxHeaders/x", "", records.len() as u64, 0o644));
            bytes.extend(padded(&records));
        }
        bytes.extend(header(part.flag, part.path, part.target, part.content.len() as u64, part.mode));
        bytes.extend(padded(part.content));
    }
    bytes.extend([0; 1024]);
    bytes
}

/// What this process may do.
fn abilities() -> Abilities {
    let root = rustix::process::geteuid().is_root();
    Abilities { owners_kept: root, trusted: root }
}

struct Layer {
    directory: tempfile::TempDir,
    outcome: Result<Unpacked, LayerError>,
}

impl Layer {
    fn root(&self) -> PathBuf {
        self.directory.path().join("fs")
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    /// Every path with what it is, one word each.
    #[track_caller]
    fn listing(&self) -> String {
        self.outcome.as_ref().expect("unpacks");
        let mut found = BTreeMap::new();
        list(&self.root(), &self.root(), &mut found);
        found.into_iter().map(|(path, kind)| format!("{path}{kind}")).collect::<Vec<_>>().join(" ")
    }

    #[track_caller]
    fn error(&self) -> String {
        let outside: Vec<_> = fs::read_dir(self.directory.path()).unwrap().flatten().collect();
        assert_eq!(outside.len(), 2, "something was made outside: {outside:?}");
        let victim = fs::read_to_string(self.directory.path().join("victim")).unwrap();
        assert_eq!(victim, "untouched");
        self.outcome.as_ref().expect_err("is refused").to_string()
    }
}

fn list(root: &Path, directory: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let data = entry.path().symlink_metadata().unwrap();
        let path = entry.path().strip_prefix(root).unwrap().display().to_string();
        let kind = data.file_type();
        let mark = if kind.is_char_device() && data.rdev() == 0 {
            "!".to_owned()
        } else if kind.is_symlink() {
            format!("->{}", fs::read_link(entry.path()).unwrap().display())
        } else if kind.is_fifo() {
            "|".to_owned()
        } else if kind.is_dir() {
            let name = abilities().opaque_name();
            let opaque = rustix::fs::lgetxattr(entry.path(), name, &mut [0_u8; 8][..]).is_ok();
            list(root, &entry.path(), found);
            if opaque { "/!".to_owned() } else { "/".to_owned() }
        } else {
            String::new()
        };
        found.insert(path, mark);
    }
}

fn bytes(bytes: &[u8], expected: Option<&Digest>) -> Layer {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("fs")).unwrap();
    fs::write(directory.path().join("victim"), "untouched").unwrap();
    let limits = Limits { expanded_bytes_max: 64 << 20, expanded_bytes_free: 8 << 20 };
    let into = directory.path().join("fs");
    let outcome = unpack_within(bytes, expected, &into, abilities(), &|| true, limits);
    Layer { directory, outcome }
}

fn layer(parts: &[Part<'_>]) -> Layer {
    bytes(&archive(parts), None)
}

#[test]
fn each_kind_of_entry_becomes_its_file() {
    let layer = layer(&[
        directory("./"),
        directory("etc/").mode(0o750),
        file("etc/passwd", "root"),
        file("bin/su", "x").mode(0o4755),
        hard("bin/other", "bin/su"),
        link("bin/sh", "/bin/su"),
        hard("bin/link", "bin/sh"),
        part(b'6', "run/pipe", "", b""),
        part(b'3', "dev/sda", "", b""),
        part(b'4', "etc/loop", "", b""),
        part(b'V', "label", "", b""),
        file("old/", ""),
    ]);
    assert_eq!(
        layer.listing(),
        "bin/ bin/link->/bin/su bin/other bin/sh->/bin/su bin/su etc/ etc/passwd old/ run/ run/pipe|"
    );
    let mode = |path: &str| fs::symlink_metadata(layer.at(path)).unwrap().mode() & 0o7777;
    assert_eq!((mode("etc"), mode("bin/su"), mode("bin")), (0o750, 0o4755, 0o755));
    let data = |path: &str| fs::symlink_metadata(layer.at(path)).unwrap();
    assert_eq!(data("bin/su").ino(), data("bin/other").ino());
    for path in ["etc", "etc/passwd", "bin/sh", "run/pipe"] {
        assert_eq!(data(path).mtime(), 1_000_000_000, "{path}");
    }
    let unpacked = layer.outcome.as_ref().unwrap();
    let implicit: Vec<_> = unpacked.implicit.iter().map(|path| path.display().to_string()).collect();
    assert_eq!((implicit.join(" ").as_str(), unpacked.bytes), ("bin run", 5));
}

#[test]
fn device_files_are_there_and_forge_no_deletion() {
    let layer = layer(&[
        part(b'3', "dev/null", "1:3", b"").mode(0o666),
        part(b'4', "dev/sda", "8:1", b""),
        part(b'3', "etc/passwd", "0:0", b""),
        part(b'3', "dev/none", "9999:1", b""),
        part(b'3', "../out", "0:0", b""),
    ]);
    if !abilities().owners_kept {
        assert_eq!(layer.listing(), "dev/");
        return;
    }
    assert_eq!(layer.listing(), "dev/ dev/null dev/sda");
    let data = |path: &str| fs::symlink_metadata(layer.at(path)).unwrap();
    let (null, disk) = (data("dev/null"), data("dev/sda"));
    assert!(null.file_type().is_char_device() && disk.file_type().is_block_device());
    assert_eq!((null.rdev(), null.mode() & 0o7777), (rustix::fs::makedev(1, 3), 0o666));
    assert_eq!(disk.rdev(), rustix::fs::makedev(8, 1));
}

#[test]
fn what_extended_headers_say_counts() {
    let long = format!("d/{}", "x".repeat(200));
    let layer = layer(&[
        file("short", "content").record("path", long.as_bytes()).record("mtime", b"1500000000.5"),
        link("l", "").record("linkpath", "t".repeat(300).as_bytes()),
        file("attributes", "x")
            .record("SCHILY.xattr.user.kind", b"a\0b")
            .record("SCHILY.xattr.trusted.overlay.redirect", b"/etc")
            .record("SCHILY.xattr.user.overlay.opaque", b"y"),
        part(b'L', "././@LongLink", "", b"gnu/name\0"),
        file("ignored", "y"),
    ]);
    assert_eq!(layer.listing(), format!("attributes d/ {long} gnu/ gnu/name l->{}", "t".repeat(300)));
    assert_eq!(fs::symlink_metadata(layer.at(&long)).unwrap().mtime_nsec(), 500_000_000);
    let mut buffer = [0_u8; 8];
    let mut attribute =
        |name: &str| rustix::fs::lgetxattr(layer.at("attributes"), name, &mut buffer[..]).is_ok();
    assert!(attribute("user.kind"));
    assert!(!attribute("trusted.overlay.redirect") && !attribute("user.overlay.opaque"));
}

#[test]
fn deletions_become_marks_of_the_overlay() {
    let layer = layer(&[
        file("a/.wh.gone", ""),
        directory("hidden/"),
        file("hidden/.wh..wh..opq", ""),
        file("hidden/new", "x"),
        file("hidden/.wh.useless", ""),
        file(".wh..wh.plnk", ""),
        // What the layer has of a name hides what lies below, whichever comes first.
        file(".wh.first", ""),
        directory("first/"),
        directory("second/"),
        file(".wh.second", ""),
        file(".wh.third", ""),
        file("third/inside", ""),
        file("fourth", ""),
        file(".wh.fourth", ""),
    ]);
    assert_eq!(
        layer.listing(),
        "a/ a/gone! first/! fourth hidden/! hidden/new second/! third/! third/inside"
    );
    assert!(!layer.outcome.as_ref().unwrap().hides_all);
    let whole = self::layer(&[file(".wh..wh..opq", ""), file("x", "")]);
    assert_eq!(whole.listing(), "x");
    assert!(whole.outcome.as_ref().unwrap().hides_all);
}

#[test]
fn the_last_entry_of_a_name_wins() {
    let layer = layer(&[
        file("x", "1"),
        directory("x/"),
        file("x/y", "2"),
        file("x", "3"),
        directory("d/"),
        file("d/e", ""),
        link("d", "elsewhere"),
        file("s", "1"),
        hard("s", "s"),
    ]);
    assert_eq!(layer.listing(), "d->elsewhere s x");
    assert_eq!(fs::read_to_string(layer.at("x")).unwrap(), "3");
}

#[test]
fn links_lead_within_the_layer() {
    let layer = layer(&[
        link("absolute", "/target"),
        file("absolute/a", "1"),
        link("climbing", "../../../../.."),
        file("climbing/b", "2"),
        directory("real/"),
        file("real/old", ""),
        // The parent that was used last becomes a link.
        link("real", "/etc"),
        file("real/passwd", "3"),
        file("to", "4"),
        link("by", "to"),
        file("by", "5"),
    ]);
    assert_eq!(
        layer.listing(),
        "absolute->/target b by climbing->../../../../.. etc/ etc/passwd real->/etc target/ target/a to"
    );
    assert_eq!(fs::read_to_string(layer.at("to")).unwrap(), "4");
}

#[test]
fn paths_that_climb_are_refused() {
    for path in ["../victim", "a/../../victim", "/../victim", "a/.."] {
        assert_eq!(layer(&[file(path, "x")]).error(), format!("entry {path:?} would leave the layer"));
    }
    assert_eq!(layer(&[file("./", "")]).outcome.map(|_| ()).map_err(|e| e.to_string()), Ok(()));
    let hidden = layer(&[file("short", "x").record("path", b"../victim")]);
    assert_eq!(hidden.error(), "entry \"../victim\" would leave the layer");
}

#[test]
fn deletions_that_climb_are_refused() {
    for path in [".wh...", ".wh..", "a/.wh...", ".wh."] {
        assert_eq!(layer(&[file(path, "")]).error(), format!("entry {path:?} would leave the layer"));
    }
    assert_eq!(layer(&[file("../.wh.victim", "")]).error(), "entry \"../.wh.victim\" would leave the layer");
}

#[test]
fn hard_links_reach_only_files_of_the_layer() {
    let outside = |target: &str| layer(&[link("d", ".."), hard("x", target)]).error();
    assert_eq!(outside("../victim"), "entry \"../victim\" would leave the layer");
    for target in ["/victim", "d/victim", "missing", "/etc/passwd"] {
        let expected = format!("entry \"x\" is a hard link to {target:?}, which is no file of its layer");
        assert_eq!(outside(target), expected);
    }
    // Neither a directory nor a mark of a deletion gets another name.
    for parts in [[directory("t"), hard("x", "t")], [file(".wh.t", ""), hard("x", "t")]] {
        assert!(layer(&parts).error().contains("no file of its layer"));
    }
}

#[test]
fn circles_depths_and_files_as_directories_are_refused() {
    assert_eq!(
        layer(&[link("a", "b"), link("b", "a"), file("a/x", "")]).error(),
        "entry \"a/x\" lies behind too many links"
    );
    assert_eq!(
        layer(&[file("a", ""), file("a/x", "")]).error(),
        "entry \"a/x\" lies below something that is no directory"
    );
    let deep = "d/".repeat(300);
    let error = layer(&[directory("x").record("path", deep.as_bytes())]).error();
    assert!(error.contains("more than 200 directories deep"), "{error}");
    // Deeper and deeper through links.
    let (half, link_path) = ("d/".repeat(150), "l");
    let deeper = layer(&[
        directory("x").record("path", half.as_bytes()),
        link(link_path, "x").record("linkpath", half.as_bytes()),
        directory("y").record("path", format!("l/{half}").as_bytes()),
    ]);
    assert!(deeper.error().contains("directories deep"));
}

#[test]
fn what_no_file_system_takes_is_refused() {
    let error = layer(&[file("x", "").record("path", "p/".repeat(3000).as_bytes())]).error();
    assert_eq!(error, "an entry has a path of 6000 bytes, or with a NUL in it");
    let error = layer(&[file("x", "").record("path", b"a\0b")]).error();
    assert_eq!(error, "an entry has a path of 3 bytes, or with a NUL in it");
    let mut many = file("x", "");
    let names: Vec<String> = (0..300).map(|at| format!("SCHILY.xattr.user.n{at}")).collect();
    for name in &names {
        many = many.record(name, b"v");
    }
    assert!(layer(&[many]).error().starts_with("an entry has more than 256 extended attributes"));
    let error = layer(&[file("x", "").record("uid", b"4294967295")]).error();
    assert!(error.contains("belongs to 4294967295:0"), "{error}");
}

#[test]
fn broken_archives_are_told() {
    let whole = archive(&[file("x", "some content")]);
    for end in [100, 515, 700, 1100] {
        assert_eq!(bytes(&whole[..end], None).error(), "its archive is cut off", "{end}");
    }
    let mut wrong = whole.clone();
    wrong[0] = b'y';
    assert_eq!(bytes(&wrong, None).error(), "its archive is broken: a header whose checksum is wrong");
    // An extended header that wants memory.
    let mut huge = header(b'x', "x", "", 10 << 30, 0o644).to_vec();
    huge.extend([b'a'; 4096]);
    assert_eq!(bytes(&huge, None).error(), "its archive is broken: an extended header of more than 1 MiB");
    let mut named = header(b'L', "x", "", 2 << 20, 0o644).to_vec();
    named.extend(vec![b'a'; 2 << 20]);
    assert!(bytes(&named, None).error().contains("more than 1 MiB"));
    // A size that no disk has.
    let mut lies = header(b'0', "x", "", 0, 0o644);
    lies[124..136].copy_from_slice(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff");
    sum(&mut lies);
    assert_eq!(bytes(&lies, None).error(), "its archive is cut off");
}

#[test]
fn bombs_end_early() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&header(b'0', "zeros", "", 1 << 30, 0o644)).unwrap();
    let zeros = vec![0; 1 << 20];
    (0..48).for_each(|_| encoder.write_all(&zeros).unwrap());
    let bomb = encoder.finish().unwrap();
    let error = bytes(&bomb, None).error();
    assert!(error.contains("expand past") && error.contains("no layer of good will"), "{error}");
    let plain = [&header(b'0', "zeros", "", 1 << 30, 0o644)[..], &vec![1; 65 << 20]].concat();
    assert_eq!(bytes(&plain, None).error(), "it expands past 67108864 bytes");
    // Holes are free: only what is stored counts, and it must be what the map says.
    let lie = part(b'0', "holes", "", b"0123456789")
        .record("GNU.sparse.size", b"9000000000000000000")
        .record("GNU.sparse.map", b"0,4,8999999999999999990,10");
    assert_eq!(layer(&[lie]).error(), "its archive is broken: a map of holes that cannot be read");
}

#[test]
fn files_with_holes_keep_them() {
    let sparse =
        |content: &'static [u8]| part(b'0', "holes", "", content).record("GNU.sparse.size", b"1048580");
    let layer = layer(&[sparse(b"0123456789").record("GNU.sparse.map", b"0,6,1048576,4")]);
    layer.listing();
    let content = fs::read(layer.at("holes")).unwrap();
    assert_eq!(
        (content.len(), &content[..6], &content[1_048_576..]),
        (1_048_580, &b"012345"[..], &b"6789"[..])
    );
    assert!(fs::metadata(layer.at("holes")).unwrap().blocks() < 1000);
    // GNU's old form, its map in the header.
    let mut old = header(b'S', "old", "", 10, 0o644);
    for (at, number) in [(386, 0), (398, 6), (410, 1_048_576), (422, 4), (483, 1_048_580)] {
        old[at..at + 12].copy_from_slice(format!("{number:011o}\0").as_bytes());
    }
    old[257..265].copy_from_slice(b"ustar  \0");
    sum(&mut old);
    let layer = bytes(&[&old[..], &padded(b"0123456789"), &[0; 1024]].concat(), None);
    assert_eq!(layer.listing(), "old");
    assert_eq!(fs::read(layer.at("old")).unwrap(), content);
}

#[test]
fn the_content_must_be_the_one_the_image_says() {
    let archive = archive(&[file("x", "1")]);
    assert_eq!(bytes(&archive, Some(&Digest::of(&archive))).listing(), "x");
    let error = bytes(&archive, Some(&Digest::of(b"other"))).error();
    assert!(error.starts_with("it unpacks to sha256:") && error.contains("its image says sha256:d9298a10"));
}

#[test]
fn a_caller_that_is_gone_ends_it() {
    let directory = tempfile::tempdir().unwrap();
    symlink("/", directory.path().join("x")).unwrap();
    let archive = archive(&[file("a", "1")]);
    let limits = Limits::default();
    let outcome = unpack_within(&*archive, None, directory.path(), abilities(), &|| false, limits);
    assert!(matches!(outcome, Err(LayerError::Cancelled)));
}
