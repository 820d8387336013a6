//! Files of a backup, sealed by a key: AES-256-GCM in chunks, each file by a key of its own.
//!
//! A file begins with [`HEAD`] and a salt; its own key follows from both and its name. Chunks of [`CHUNK_BYTES`] are
//! sealed under their number and whether they are the last one, so that none can be left out, put elsewhere, or put into
//! another file, and a file that is cut off is noticed. The key is 32 random bytes in a file of mode 0600. Of it a key of
//! each backup is derived, by an id that is in its manifest, so that no file of one opens in another; by that key the
//! manifest, which is readable without it, has a proof that nobody else can make.

use crate::failure::CliError;
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    error::Unspecified,
    hkdf::{HKDF_SHA256, KeyType, Salt},
    hmac, rand,
};
use mesh_file::Beside;
use mesh_redact::Secret;
use std::{
    fs,
    io::{self, ErrorKind, Read},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

/// How a sealed file begins.
const HEAD: &[u8; 14] = b"mesh-sealed-1\n";
/// Bytes of the salt of a file.
const SALT_BYTES: usize = 32;
/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Bytes that are sealed at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// Bytes that sealing adds.
const TAG_BYTES: usize = 16;
/// Bytes of the id of a backup.
const ID_BYTES: usize = 16;
/// Bytes of the file of a key, at most.
const KEY_FILE_BYTES_MAX: u64 = 1024;

/// The key of a backup.
#[derive(Clone)]
pub(super) struct Key(Secret<[u8; KEY_BYTES]>);

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

impl Key {
    /// The one of a file; with `makes` it is made where there is none. Gives whether it was.
    pub(super) fn of(path: &Path, makes: bool) -> Result<(Self, bool), CliError> {
        let named = |what: &str| format!("{what} the key {}", path.display());
        if makes {
            // One that was killed in the making may have left the key under another name.
            mesh_file::sweep(path);
        }
        let file = match fs::File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound && makes => {
                return Self::make(path).map(|key| (key, true));
            }
            file => file.map_err(CliError::io(named("read")))?,
        };
        let mode = file.metadata().map_err(CliError::io(named("read")))?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(CliError::said(format!(
                "the key {} has mode {mode:04o}, so others may read it",
                path.display()
            ))
            .with_hint("`chmod 600` it; who has read it can read the backups"));
        }
        let mut text = String::new();
        file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text).map_err(CliError::io(named("read")))?;
        let key = parse(text.trim());
        let key = key.ok_or_else(|| {
            CliError::said(format!("{} is no key: it has not 64 digits 0-9 a-f", path.display()))
        });
        Ok((Self(Secret::new(key?)), false))
    }

    fn make(path: &Path) -> Result<Self, CliError> {
        let named = || format!("make the key {}", path.display());
        let key: [u8; KEY_BYTES] = random()?;
        let text = Secret::new(format!("{}\n", hexadecimal(&key)));
        // Beside it, so that a kill leaves no key that is none; whoever made one at the same time keeps theirs.
        let mut fresh = Beside::begin(path).map_err(CliError::io(named()))?;
        let written = fresh.write(text.expose().as_bytes(), 0o600).and_then(|()| fresh.put());
        written.map_err(CliError::io(named()))?;
        Ok(Self(Secret::new(key)))
    }

    /// An id for a new backup.
    pub(super) fn new_id() -> Result<String, CliError> {
        random::<ID_BYTES>().map(|id| hexadecimal(&id))
    }

    /// The key of the backup of this id, and of no other.
    pub(super) fn of_id(&self, id: &str) -> Result<Self, CliError> {
        let key = self.derive(&[], format!("backup {id}").as_bytes()).map_err(|Unspecified| broken())?;
        Ok(Self(Secret::new(key)))
    }

    /// What nobody without the key can make of a text.
    pub(super) fn proof(&self, text: &[u8]) -> Result<String, CliError> {
        Ok(hexadecimal(hmac::sign(&self.of_proofs()?, text).as_ref()))
    }

    /// Whether it was made of this text.
    pub(super) fn proves(&self, text: &[u8], proof: &str) -> Result<bool, CliError> {
        let Some(proof) = parse(proof.trim()) else { return Ok(false) };
        Ok(hmac::verify(&self.of_proofs()?, text, &proof).is_ok())
    }

    fn of_proofs(&self) -> Result<hmac::Key, CliError> {
        let key: [u8; KEY_BYTES] = self.derive(&[], b"proof").map_err(|Unspecified| broken())?;
        Ok(hmac::Key::new(hmac::HMAC_SHA256, &key))
    }

    /// What tells it from others, and nothing of it.
    pub(super) fn mark(&self) -> Result<String, CliError> {
        let mark: [u8; 8] = self.derive(&[], b"mark").map_err(|Unspecified| broken())?;
        Ok(hexadecimal(&mark))
    }

    fn derive<const BYTES: usize>(&self, salt: &[u8], what: &[u8]) -> Result<[u8; BYTES], Unspecified> {
        let mut derived = [0; BYTES];
        let extracted = Salt::new(HKDF_SHA256, salt).extract(self.0.expose());
        extracted.expand(&[b"mesh backup", what], Length(BYTES))?.fill(&mut derived)?;
        Ok(derived)
    }

    fn of_file(&self, salt: &[u8], name: &str) -> Result<LessSafeKey, Unspecified> {
        let key: [u8; KEY_BYTES] = self.derive(salt, format!("file {name}").as_bytes())?;
        Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key)?))
    }
}

fn random<const BYTES: usize>() -> Result<[u8; BYTES], CliError> {
    let mut bytes = [0; BYTES];
    rand::fill(&mut bytes).map_err(|Unspecified| CliError::said("nothing random can be had"))?;
    Ok(bytes)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parse(text: &str) -> Option<[u8; KEY_BYTES]> {
    let digits = text.len() == KEY_BYTES * 2 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut key = [0; KEY_BYTES];
    for (index, byte) in key.iter_mut().enumerate().filter(|_| digits) {
        *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    digits.then_some(key)
}

fn broken() -> CliError {
    CliError::said("the backup could not be sealed")
}

/// The number of a chunk, and whether it is the last.
fn nonce(number: u64, last: bool) -> Nonce {
    let mut bytes = [0; 12];
    bytes[3..11].copy_from_slice(&number.to_be_bytes());
    bytes[11] = u8::from(last);
    Nonce::assume_unique_for_key(bytes)
}

/// A file that is being sealed.
pub(super) struct Sealing {
    key: LessSafeKey,
    number: u64,
    chunk: Vec<u8>,
}

impl Sealing {
    /// Begins one; `out` gets its beginning.
    pub(super) fn begin(key: &Key, name: &str, out: &mut Vec<u8>) -> Result<Self, CliError> {
        let salt: [u8; SALT_BYTES] = random()?;
        out.extend_from_slice(HEAD);
        out.extend_from_slice(&salt);
        let key = key.of_file(&salt, name).map_err(|Unspecified| broken())?;
        Ok(Self { key, number: 0, chunk: Vec::with_capacity(CHUNK_BYTES + TAG_BYTES) })
    }

    /// Takes more of the file; `out` gets what is sealed. A chunk that is full waits for the next byte: it may be the last.
    pub(super) fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), CliError> {
        while !bytes.is_empty() {
            if self.chunk.len() == CHUNK_BYTES {
                self.seal(false, out)?;
            }
            let (taken, rest) = bytes.split_at(bytes.len().min(CHUNK_BYTES - self.chunk.len()));
            self.chunk.extend_from_slice(taken);
            bytes = rest;
        }
        Ok(())
    }

    /// Ends it.
    pub(super) fn finish(mut self, out: &mut Vec<u8>) -> Result<(), CliError> {
        self.seal(true, out)
    }

    fn seal(&mut self, last: bool, out: &mut Vec<u8>) -> Result<(), CliError> {
        let nonce = nonce(self.number, last);
        self.key
            .seal_in_place_append_tag(nonce, Aad::empty(), &mut self.chunk)
            .map_err(|Unspecified| broken())?;
        out.append(&mut self.chunk);
        self.number += 1;
        Ok(())
    }
}

/// A sealed file that is read.
pub(super) struct Opening<R> {
    key: LessSafeKey,
    from: R,
    number: u64,
    /// What was read ahead, to know whether a chunk is the last.
    ahead: Vec<u8>,
    ended: bool,
}

impl<R: Read> Opening<R> {
    pub(super) fn begin(key: &Key, name: &str, mut from: R) -> io::Result<Self> {
        let mut head = [0; HEAD.len() + SALT_BYTES];
        from.read_exact(&mut head)?;
        let (start, salt) = head.split_at(HEAD.len());
        if start != HEAD {
            return Err(io::Error::new(ErrorKind::InvalidData, "it is not sealed"));
        }
        let key = key.of_file(salt, name).map_err(|Unspecified| unopened())?;
        let mut opening = Self { key, from, number: 0, ahead: Vec::new(), ended: false };
        opening.ahead = opening.read_block()?;
        Ok(opening)
    }

    /// The next chunk; none at the end.
    pub(super) fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.ended {
            return Ok(None);
        }
        let next = self.read_block()?;
        let mut block = std::mem::replace(&mut self.ahead, next);
        self.ended = self.ahead.is_empty();
        let nonce = nonce(self.number, self.ended);
        let opened = self.key.open_in_place(nonce, Aad::empty(), &mut block);
        let length = opened.map_err(|Unspecified| unopened())?.len();
        block.truncate(length);
        self.number += 1;
        Ok(Some(block))
    }

    fn read_block(&mut self) -> io::Result<Vec<u8>> {
        let mut block = Vec::with_capacity(CHUNK_BYTES + TAG_BYTES);
        let most = u64::try_from(CHUNK_BYTES + TAG_BYTES).unwrap_or(u64::MAX);
        (&mut self.from).take(most).read_to_end(&mut block)?;
        Ok(block)
    }
}

fn unopened() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "the key does not open it, or it was changed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key(Secret::new([7; KEY_BYTES]))
    }

    fn sealed(key: &Key, name: &str, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut sealing = Sealing::begin(key, name, &mut out).unwrap();
        for part in text.chunks(1000) {
            sealing.push(part, &mut out).unwrap();
        }
        sealing.finish(&mut out).unwrap();
        out
    }

    fn opened(key: &Key, name: &str, sealed: &[u8]) -> io::Result<Vec<u8>> {
        let mut opening = Opening::begin(key, name, sealed)?;
        let mut text = Vec::new();
        while let Some(chunk) = opening.chunk()? {
            text.extend(chunk);
        }
        Ok(text)
    }

    #[test]
    fn a_key_is_made_once_and_what_a_killed_one_left_of_it_goes() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("backup.key");
        let (made, was_made) = Key::of(&path, true).unwrap();
        let beside = |name: &str| fs::hard_link(&path, home.path().join(name)).unwrap();
        let count = || fs::read_dir(home.path()).unwrap().count();
        beside(".backup.key.mesh-new-1-0");
        beside("backup.key.new-2");
        // Who only reads it removes nothing.
        Key::of(&path, false).unwrap();
        assert_eq!(count(), 3);
        let (read, was_made_again) = Key::of(&path, true).unwrap();
        assert_eq!((was_made, was_made_again), (true, false));
        assert_eq!(made.0.expose(), read.0.expose());
        assert_eq!(count(), 2);
        assert!(home.path().join("backup.key.new-2").exists(), "another's");
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o600);
    }

    #[test]
    fn what_is_sealed_is_opened_at_every_length() {
        for length in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES] {
            let text: Vec<u8> = (0..length).map(|index| u8::try_from(index % 251).unwrap()).collect();
            let file = sealed(&key(), "a", &text);
            assert_eq!(opened(&key(), "a", &file).unwrap(), text, "{length}");
            assert!(length < 100 || !file.windows(50).any(|window| text.starts_with(window)));
        }
    }

    #[test]
    fn what_was_changed_cut_off_or_put_elsewhere_is_not_opened() {
        let text = vec![1; 2 * CHUNK_BYTES + 5];
        let file = sealed(&key(), "a", &text);
        let block = CHUNK_BYTES + TAG_BYTES;
        let head = HEAD.len() + SALT_BYTES;
        let mut swapped = file.clone();
        let (first, rest) = swapped[head..].split_at_mut(block);
        first.swap_with_slice(&mut rest[..block]);
        for (what, wrong) in [
            ("cut off between chunks", file[..head + 2 * block].to_vec()),
            ("cut off in a chunk", file[..file.len() - 1].to_vec()),
            ("nothing in it", file[..head].to_vec()),
            ("longer", [file.as_slice(), &[0]].concat()),
            ("swapped", swapped),
        ] {
            assert!(opened(&key(), "a", &wrong).is_err(), "{what}");
        }
        for index in [0, HEAD.len(), head, head + block, file.len() - 1] {
            let mut flipped = file.clone();
            flipped[index] ^= 1;
            assert!(opened(&key(), "a", &flipped).is_err(), "{index}");
        }
        assert!(opened(&key(), "b", &file).is_err());
        assert!(opened(&Key(Secret::new([8; KEY_BYTES])), "a", &file).is_err());
        assert_eq!(key().mark().unwrap().len(), 16);
    }

    #[test]
    fn no_file_of_one_backup_opens_in_another_and_a_text_is_proved_by_its_own() {
        let (one, other) = (key().of_id("1").unwrap(), key().of_id("2").unwrap());
        let file = sealed(&one, "a", b"text");
        assert_eq!(opened(&one, "a", &file).unwrap(), b"text");
        for wrong in [&other, &key()] {
            assert!(opened(wrong, "a", &file).is_err());
        }
        let proof = one.proof(b"manifest").unwrap();
        assert!(one.proves(b"manifest", &format!("{proof}\n")).unwrap());
        assert!(!one.proves(b"manifest ", &proof).unwrap() && !one.proves(b"manifest", "").unwrap());
        assert!(!other.proves(b"manifest", &proof).unwrap() && !key().proves(b"manifest", &proof).unwrap());
        assert_ne!(Key::new_id().unwrap(), Key::new_id().unwrap());
    }

    #[test]
    fn a_key_is_made_once_and_is_private() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("key");
        assert!(Key::of(&path, false).is_err());
        let (made, new) = Key::of(&path, true).unwrap();
        let (read, again) = Key::of(&path, true).unwrap();
        assert!(new && !again && made.0 == read.0);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
        fs::write(&path, "abc").unwrap();
        assert!(Key::of(&path, true).is_err());
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        let error = Key::of(&path, true).err().unwrap().to_string();
        assert!(error.contains("0644"), "{error}");
    }
}
