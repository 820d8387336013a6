//! Names and passwords, as `htpasswd` writes them: bcrypt, Apache's MD5, and SHA-1.

use super::{
    LayerError,
    exchange::{Exchange, Reply},
};
use crate::config::model;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use hyper::{
    StatusCode,
    header::{AUTHORIZATION, HeaderName, HeaderValue, WWW_AUTHENTICATE},
};
use md5::{Digest as _, Md5};
use mesh_redact::Secret;
use sha1::Sha1;
use std::{collections::BTreeMap, fs::File, io, io::Read as _, path::PathBuf};

/// Who is told to browsers to ask, where nothing is said.
const REALM: &str = "traefik";
/// Largest file of users, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// The characters of what Apache's MD5 ends in, by their value.
const CRYPT_DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Why there are no users.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UsersError {
    #[error("no users found")]
    None,
    /// Which one is not said: it may hold a password.
    #[error("user number {0} is not written as name:hash")]
    Form(usize),
    #[error("could not read {}", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is larger than {FILE_BYTES_MAX} bytes", path.display())]
    TooLarge { path: PathBuf },
}

#[derive(Debug)]
pub(crate) struct BasicAuth {
    users: BTreeMap<String, Secret<String>>,
    challenge: HeaderValue,
    remove: bool,
    header: Option<HeaderName>,
}

impl BasicAuth {
    pub(super) fn new(_: &str, config: &model::BasicAuth) -> Result<Self, LayerError> {
        let mut lines = file_lines(&config.users_file)?;
        lines.extend(config.users.iter().map(|user| user.0.clone()));
        let mut users = BTreeMap::new();
        for (at, line) in lines.iter().enumerate() {
            let mut parts = line.expose().split(':');
            let (Some(name), Some(hash), None) = (parts.next(), parts.next(), parts.next()) else {
                return Err(UsersError::Form(at + 1).into());
            };
            users.insert(name.to_owned(), Secret::new(hash.to_owned()));
        }
        if users.is_empty() {
            return Err(UsersError::None.into());
        }
        let realm = if config.realm.is_empty() { REALM } else { &config.realm };
        let header = match config.header_field.as_str() {
            "" => None,
            name => Some(name.parse().map_err(|_| LayerError::HeaderName(name.to_owned()))?),
        };
        let challenge = HeaderValue::from_str(&format!("Basic realm=\"{realm}\""))?;
        Ok(Self { users, challenge, remove: config.remove_header, header })
    }

    pub(super) fn before(&self, exchange: &mut Exchange) -> Result<(), Reply> {
        let Some(user) = self.user(exchange) else {
            let mut reply = Reply::plain(StatusCode::UNAUTHORIZED);
            reply.headers.insert(WWW_AUTHENTICATE, self.challenge.clone());
            return Err(reply);
        };
        exchange.watch.user(&user);
        if let Some(header) = &self.header
            && let Ok(user) = HeaderValue::from_str(&user)
        {
            exchange.headers.insert(header, user);
        }
        if self.remove {
            exchange.headers.remove(AUTHORIZATION);
        }
        Ok(())
    }

    /// Whose name and password a request brings, if they are right. Somebody unknown takes as long as somebody known.
    fn user(&self, exchange: &Exchange) -> Option<String> {
        let (scheme, given) = exchange.header(AUTHORIZATION.as_str())?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let given = String::from_utf8(BASE64_STANDARD.decode(given.trim()).ok()?).ok()?;
        let (name, password) = given.split_once(':')?;
        let known = self.users.get(name);
        let hash = known.or_else(|| self.users.values().next())?;
        let right = is_password(password, hash.expose());
        (right && known.is_some()).then(|| name.to_owned())
    }
}

pub(super) fn file_lines(path: &str) -> Result<Vec<Secret<String>>, UsersError> {
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let path = PathBuf::from(path);
    let mut text = String::new();
    let read = File::open(&path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text));
    let length = read.map_err(|source| UsersError::File { path: path.clone(), source })?;
    if u64::try_from(length).unwrap_or(u64::MAX) > FILE_BYTES_MAX {
        return Err(UsersError::TooLarge { path });
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(|line| Secret::new(line.to_owned())).collect())
}

fn is_password(password: &str, hash: &str) -> bool {
    if let Some(digest) = hash.strip_prefix("{SHA}") {
        return same(&BASE64_STANDARD.encode(Sha1::digest(password)), digest);
    }
    if hash.starts_with("$2") {
        return bcrypt::verify(password, hash).unwrap_or_default();
    }
    for magic in ["$apr1$", "$1$"] {
        let Some((salt, _)) = hash.strip_prefix(magic).and_then(|rest| rest.split_once('$')) else {
            continue;
        };
        return same(&apache_md5(password.as_bytes(), salt.as_bytes(), magic), hash);
    }
    false
}

/// Compares in a time that says nothing of where the difference is.
pub(super) fn same(left: &str, right: &str) -> bool {
    let differing = left.bytes().zip(right.bytes()).fold(0, |all, (left, right)| all | (left ^ right));
    left.len() == right.len() && differing == 0
}

/// The password hash of FreeBSD's `crypt`, which Apache took over under another name.
fn apache_md5(password: &[u8], salt: &[u8], magic: &str) -> String {
    let salt = &salt[..salt.len().min(8)];
    let inner = Md5::new().chain_update(password).chain_update(salt).chain_update(password).finalize();
    let mut digest = Md5::new().chain_update(password).chain_update(magic).chain_update(salt);
    for chunk in password.chunks(16) {
        digest.update(&inner[..chunk.len()]);
    }
    let mut length = password.len();
    while length > 0 {
        let first = password.first().copied().unwrap_or_default();
        digest.update([if length & 1 == 1 { 0 } else { first }]);
        length >>= 1;
    }
    let mut last = digest.finalize();
    for round in 0..1_000_u32 {
        let mut digest = Md5::new();
        let odd = !round.is_multiple_of(2);
        digest.update(if odd { password } else { &last[..] });
        if !round.is_multiple_of(3) {
            digest.update(salt);
        }
        if !round.is_multiple_of(7) {
            digest.update(password);
        }
        digest.update(if odd { &last[..] } else { password });
        last = digest.finalize();
    }
    let mut out = format!("{magic}{}$", String::from_utf8_lossy(salt));
    let mut push = |value: u32, count: usize| {
        for place in 0..count {
            let digit = value >> (6 * place) & 63;
            out.push(char::from(CRYPT_DIGITS[digit as usize]));
        }
    };
    for [high, middle, low] in [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]] {
        push(u32::from(last[high]) << 16 | u32::from(last[middle]) << 8 | u32::from(last[low]), 4);
    }
    push(u32::from(last[11]), 2);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_known_by_their_hashes() {
        for (password, hash) in [
            ("test", "$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/"),
            ("test2", "$apr1$d9hr9HBB$4HxwgUir3HP4EsggP/QNo0"),
            ("test", "{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M="),
            ("test", "$2a$04$.8sTYfcxbSplCtoxt5TdJOgpBYkarKtZYsYfYxQ1edbYRuO1DNi0e"),
        ] {
            assert!(is_password(password, hash), "{hash}");
            assert!(!is_password("other", hash), "{hash}");
        }
        assert!(!is_password("plain", "plain"));
    }
}
