//! Clients that stay with their server, by a cookie.
//!
//! A cookie names a server by a hash, under Traefik's names and with Traefik's hashes: whoever comes from there stays
//! where it was.

use crate::config::model::Cookie;
use hyper::{
    HeaderMap,
    header::{COOKIE, HeaderValue},
};
use sha1::{Digest as _, Sha1};
use sha2::Sha256;
use std::fmt::Write as _;

/// Letters of a server's hash, and of the name of a cookie that has none.
const HASH_LETTERS: usize = 16;
const NAME_LETTERS: usize = 6;

#[derive(Debug)]
pub(crate) struct Sticky {
    name: String,
    /// What follows the value.
    attributes: String,
}

impl Sticky {
    pub(crate) fn new(config: &Cookie, service: &str) -> Self {
        let name = match config.name.as_str() {
            "" => {
                let hash = hex(&Sha1::digest(format!("_TRAEFIK_BACKEND_{service}")));
                format!("_{hash}").chars().take(NAME_LETTERS).collect()
            }
            name => name.chars().map(|letter| if is_of_name(letter) { letter } else { '_' }).collect(),
        };
        let mut attributes = String::new();
        let path = config.path.as_deref().unwrap_or("/");
        let is_text = |text: &str| !text.is_empty() && !text.contains([';', '\r', '\n']);
        // Writing to a text cannot fail.
        if is_text(path) {
            let _ = write!(attributes, "; Path={path}");
        }
        if is_text(&config.domain) {
            let _ = write!(attributes, "; Domain={}", config.domain.trim_start_matches('.'));
        }
        if config.max_age != 0 {
            let _ = write!(attributes, "; Max-Age={}", config.max_age.max(0));
        }
        if config.http_only {
            attributes.push_str("; HttpOnly");
        }
        if config.secure {
            attributes.push_str("; Secure");
        }
        attributes.push_str(match config.same_site.to_lowercase().as_str() {
            "none" => "; SameSite=None",
            "lax" => "; SameSite=Lax",
            "strict" => "; SameSite=Strict",
            _ => "",
        });
        Self { name, attributes }
    }

    /// What names a server.
    pub(crate) fn cookie(&self, server: &str) -> Option<HeaderValue> {
        HeaderValue::from_str(&format!("{}={}{}", self.name, hash(server), self.attributes)).ok()
    }

    /// Which of these a client's cookie names, and whether it is to get a newer one.
    pub(crate) fn named<'s>(
        &self,
        headers: &HeaderMap,
        mut servers: impl Iterator<Item = &'s str>,
    ) -> Option<(String, bool)> {
        let brought = value(headers, &self.name)?;
        servers.find_map(|server| {
            if hash(server) == brought {
                return Some((server.to_owned(), false));
            }
            let older = fnv1(server);
            let is_older = brought == server || brought == older || brought == fnv1(&older);
            is_older.then(|| (server.to_owned(), true))
        })
    }
}

/// The value of a cookie, of the first that has the name.
fn value<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let lines = headers.get_all(COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value.trim_matches('"'))
}

fn is_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "!#$%&'*+-.^`|~".contains(letter)
}

fn hash(server: &str) -> String {
    hex(&Sha256::digest(server))[..HASH_LETTERS].to_owned()
}

/// The hash of cookies of Traefik's second version.
fn fnv1(text: &str) -> String {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| hash.wrapping_mul(0x100_0000_01b3) ^ u64::from(byte));
    format!("{hash:x}")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_say_what_they_were_told_to() {
        let config = Cookie {
            name: "st@y".to_owned(),
            secure: true,
            http_only: true,
            same_site: "Lax".to_owned(),
            max_age: 60,
            path: Some("/app".to_owned()),
            domain: ".a.test".to_owned(),
        };
        let sticky = Sticky::new(&config, "s@file");
        let cookie = sticky.cookie("http://10.0.0.1:80").expect("a cookie");
        let expected = format!(
            "st_y={}; Path=/app; Domain=a.test; Max-Age=60; HttpOnly; Secure; SameSite=Lax",
            hash("http://10.0.0.1:80")
        );
        assert_eq!(cookie.to_str().expect("text"), expected);
        let plain = Sticky::new(&Cookie::default(), "s@file").cookie("a").expect("a cookie");
        let plain = plain.to_str().expect("text");
        assert!(plain.starts_with('_') && plain.find('=') == Some(NAME_LETTERS), "{plain}");
    }

    #[test]
    fn older_cookies_are_understood() {
        let sticky = Sticky::new(&Cookie { name: "c".to_owned(), ..Cookie::default() }, "s");
        let servers = ["http://a", "http://b"];
        for (brought, expected) in [
            (hash("http://b"), Some(("http://b".to_owned(), false))),
            (fnv1("http://b"), Some(("http://b".to_owned(), true))),
            (fnv1(&fnv1("http://a")), Some(("http://a".to_owned(), true))),
            ("http://a".to_owned(), Some(("http://a".to_owned(), true))),
            ("x".to_owned(), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(COOKIE, format!("b=2; c={brought}").parse().expect("a value"));
            assert_eq!(sticky.named(&headers, servers.into_iter()), expected, "{brought}");
        }
        assert_eq!(sticky.named(&HeaderMap::new(), servers.into_iter()), None);
    }
}
