//! Where shared libraries are: `/etc/ld.so.cache`, as the distribution's `ldconfig` would have written it.
//!
//! Directories of libraries that packages add with a file in `/etc/ld.so.conf.d` are found through it alone, and
//! programs that look for a library by `ldconfig -p`, as Python's ctypes does, read it. The file is glibc's second format (its `dl-cache.h`): a header, an entry a library,
//! and the texts they point to. A library that the cache does not have is still looked for in the usual
//! directories, so what is added to a running container is found.

use super::place::place;
use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read as _,
    path::Path,
};

/// Version of what is written here; another one makes other layers.
pub(crate) const FORMAT: u32 = 1;
/// Where it belongs.
pub(crate) const PATH: &str = "etc/ld.so.cache";

const MAGIC: &[u8; 20] = b"glibc-ld.so.cache1.1";
/// Bytes of the header.
const HEADER_BYTES: u32 = 48;
/// Bytes of an entry.
const ENTRY_BYTES: u32 = 24;
/// Header: numbers are written with the low byte first.
const LITTLE_ENDIAN: u8 = 2;
/// Directories that the loader looks into by itself, after those that are configured.
const STANDARD: [&str; 2] = ["lib", "usr/lib"];
/// Bytes of a configuration file.
const CONFIGURATION_BYTES_MAX: u64 = 64 << 10;
/// Libraries of an image.
const LIBRARIES_MAX: usize = 50_000;

/// What the loader of an architecture wants to see.
struct Machine {
    /// Flags of an entry: an ELF library of glibc, for this machine.
    entry_flags: u32,
    /// `e_machine` of its ELF files; all of them are 64-bit ones with the low byte first.
    elf_machine: u16,
}

/// The machine that this is; none where Mesh does not know what its loader wants.
fn machine() -> Option<Machine> {
    match std::env::consts::ARCH {
        "x86_64" => Some(Machine { entry_flags: 0x0303, elf_machine: 62 }),
        "aarch64" => Some(Machine { entry_flags: 0x0a03, elf_machine: 183 }),
        _ => None,
    }
}

/// The cache of an image whose layers are these, lowest first; none where there is no library.
pub(crate) fn cache(layers: &[&Path]) -> Option<Vec<u8>> {
    let machine = machine()?;
    let mut libraries: BTreeMap<String, String> = BTreeMap::new();
    for directory in directories(layers) {
        for name in names(layers, &directory) {
            let path = format!("/{directory}/{name}");
            if libraries.len() < LIBRARIES_MAX
                && !libraries.contains_key(&name)
                && is_library(layers, &directory, &name, &machine, LINKS_MAX)
            {
                libraries.insert(name, path);
            }
        }
    }
    (!libraries.is_empty()).then(|| write(libraries, machine.entry_flags))
}

/// Directories in the order of the loader: `ld.so.conf` with what it includes, then the standard ones.
fn directories(layers: &[&Path]) -> Vec<String> {
    let mut found = Vec::new();
    let included = layers.iter().flat_map(|layer| {
        let entries = fs::read_dir(layer.join("etc/ld.so.conf.d"));
        entries.into_iter().flatten().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned())
    });
    let included: BTreeSet<String> = included.filter(|name| name.ends_with(".conf")).collect();
    for name in included {
        for line in read(layers, &format!("etc/ld.so.conf.d/{name}")).lines() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.starts_with('/') {
                found.push(line.trim_matches('/').to_owned());
            }
        }
    }
    found.extend(STANDARD.map(str::to_owned));
    let mut seen = BTreeSet::new();
    found.retain(|directory| seen.insert(directory.clone()));
    found
}

/// Names in a directory that may be libraries.
fn names(layers: &[&Path], directory: &str) -> BTreeSet<String> {
    let Ok(Some(place)) = place(directory, false) else { return BTreeSet::new() };
    let entries =
        layers.iter().flat_map(|layer| fs::read_dir(layer.join(&place)).into_iter().flatten().flatten());
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names
        .filter(|name| (name.starts_with("lib") || name.starts_with("ld-")) && name.contains(".so"))
        .collect()
}

/// Links that are followed to a library.
const LINKS_MAX: usize = 8;

/// Whether a name leads to an ELF file of this machine; links are followed from layer to layer.
fn is_library(layers: &[&Path], directory: &str, name: &str, machine: &Machine, links: usize) -> bool {
    let Ok(Some(path)) = place(&format!("{directory}/{name}"), false) else { return false };
    let Some(at) =
        layers.iter().rev().map(|layer| layer.join(&path)).find(|at| at.symlink_metadata().is_ok())
    else {
        return false;
    };
    let Ok(target) = fs::read_link(&at) else { return is_elf(&at, machine) };
    let Some(target) = target.to_str().filter(|_| links > 0) else { return false };
    let whole = if target.starts_with('/') { target.to_owned() } else { format!("{directory}/{target}") };
    let whole = plain(&whole);
    let (directory, name) = whole.rsplit_once('/').unwrap_or(("", &whole));
    is_library(layers, directory, name, machine, links - 1)
}

/// A path without `.` and `..`, which lead nowhere above the root.
fn plain(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn is_elf(path: &Path, machine: &Machine) -> bool {
    let mut head = [0; 20];
    let read = path.symlink_metadata().is_ok_and(|data| data.is_file())
        && fs::File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok();
    read && head.starts_with(b"\x7fELF\x02\x01")
        && u16::from_le_bytes([head[18], head[19]]) == machine.elf_machine
}

/// The text of a file in the highest layer that has it.
fn read(layers: &[&Path], path: &str) -> String {
    let mut text = String::new();
    for layer in layers.iter().rev() {
        let at = layer.join(path);
        if at.symlink_metadata().is_ok_and(|data| data.is_file()) {
            let file = fs::File::open(at).map(|file| file.take(CONFIGURATION_BYTES_MAX));
            drop(file.and_then(|mut file| file.read_to_string(&mut text)));
            break;
        }
    }
    text
}

fn write(libraries: BTreeMap<String, String>, flags: u32) -> Vec<u8> {
    let mut libraries: Vec<(String, String)> = libraries.into_iter().collect();
    // The loader halves a list that falls.
    libraries.sort_by(|(one, _), (other, _)| compare(other.as_bytes(), one.as_bytes()));
    let count = u32::try_from(libraries.len()).unwrap_or(u32::MAX);
    let strings_at = HEADER_BYTES + count * ENTRY_BYTES;
    let (mut entries, mut strings) = (Vec::new(), Vec::new());
    for (name, path) in &libraries {
        let mut text = |text: &str| {
            let at = strings_at + u32::try_from(strings.len()).unwrap_or(u32::MAX);
            strings.extend(text.bytes().chain([0]));
            at
        };
        let (key, value) = (text(name), text(path));
        // Flags, name, path, the oldest kernel, what the processor must have: none of the last two.
        for number in [flags, key, value, 0, 0, 0] {
            entries.extend(number.to_le_bytes());
        }
    }
    let mut cache = MAGIC.to_vec();
    cache.extend(count.to_le_bytes());
    cache.extend(u32::try_from(strings.len()).unwrap_or(u32::MAX).to_le_bytes());
    cache.push(LITTLE_ENDIAN);
    cache.resize(HEADER_BYTES as usize, 0);
    cache.extend(entries);
    cache.extend(strings);
    cache
}

/// The loader's order: as bytes, but runs of digits by their number, and after everything that is no digit.
fn compare(one: &[u8], other: &[u8]) -> Ordering {
    let (mut one, mut other) = (one, other);
    loop {
        let digits = (number(one), number(other));
        match digits {
            (Some((a, rest_of_one)), Some((b, rest_of_other))) => {
                if a != b {
                    return a.cmp(&b);
                }
                (one, other) = (rest_of_one, rest_of_other);
            }
            (Some(_), None) => return Ordering::Greater,
            (None, Some(_)) => return Ordering::Less,
            (None, None) => match (one.split_first(), other.split_first()) {
                (Some((a, rest_of_one)), Some((b, rest_of_other))) if a == b => {
                    (one, other) = (rest_of_one, rest_of_other);
                }
                (a, b) => return a.map(|(byte, _)| byte).cmp(&b.map(|(byte, _)| byte)),
            },
        }
    }
}

/// The number at the front, and what follows it.
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let digits = text[..end].iter().map(|digit| u64::from(digit - b'0'));
    (end > 0)
        .then(|| (digits.fold(0, |sum: u64, digit| sum.wrapping_mul(10).wrapping_add(digit)), &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::{cache, compare, machine};
    use std::{cmp::Ordering, fs, os::unix::fs::symlink, process::Command};

    #[test]
    fn numbers_count_as_numbers() {
        for (one, other, expected) in [
            ("libz.so.1", "libz.so.1", Ordering::Equal),
            ("libz.so.9", "libz.so.10", Ordering::Less),
            ("lib1.so", "liba.so", Ordering::Greater),
            ("libc.so", "libc.so.6", Ordering::Less),
            ("libcrypto.so.3", "libcrypt.so.1", Ordering::Greater),
        ] {
            assert_eq!(compare(one.as_bytes(), other.as_bytes()), expected, "{one} {other}");
        }
    }

    /// The distribution's own program reads what was written.
    #[test]
    fn ldconfig_reads_it() {
        let Some(machine) = machine() else { return };
        let (lower, upper) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut elf = vec![0; 64];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf[18..20].copy_from_slice(&machine.elf_machine.to_le_bytes());
        for directory in ["usr/lib/x86", "etc/ld.so.conf.d", "usr/lib64"] {
            fs::create_dir_all(lower.path().join(directory)).unwrap();
        }
        fs::create_dir_all(upper.path().join("usr/lib")).unwrap();
        fs::write(lower.path().join("etc/ld.so.conf.d/x86.conf"), "# more\n/lib/x86\n").unwrap();
        fs::write(lower.path().join("usr/lib/x86/libone.so.1.2"), &elf).unwrap();
        symlink("libone.so.1.2", lower.path().join("usr/lib/x86/libone.so.1")).unwrap();
        fs::write(lower.path().join("usr/lib/x86/libscript.so"), "INPUT(libone.so)").unwrap();
        symlink("../../../../../gone", lower.path().join("usr/lib/x86/libgone.so.1")).unwrap();
        symlink("libloop.so", lower.path().join("usr/lib/x86/libloop.so")).unwrap();
        symlink("/lib/x86/libone.so.1", upper.path().join("usr/lib/libtwo.so.10")).unwrap();
        fs::write(upper.path().join("usr/lib/libone.so.1"), &elf).unwrap();

        let written = cache(&[lower.path(), upper.path()]).unwrap();
        let at = upper.path().join("ld.so.cache");
        fs::write(&at, written).unwrap();
        let Ok(output) = Command::new("/sbin/ldconfig").arg("-p").arg("-C").arg(&at).output() else { return };
        let text = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<&str> =
            text.lines().skip(1).map(str::trim).filter(|line| line.starts_with("lib")).collect();
        let paths: Vec<&str> = lines.iter().filter_map(|line| line.split(" => ").nth(1)).collect();
        assert_eq!(paths, ["/lib/libtwo.so.10", "/lib/x86/libone.so.1.2", "/lib/x86/libone.so.1"], "{text}");
        assert!(lines.iter().all(|line| line.contains("libc6")), "{text}");
    }
}
