//! Names and passwords that are never sent: HTTP's digest (RFC 2617), as `htdigest` writes users down.
//!
//! A number is given out with each challenge, and counts the requests that it is used for: none is believed twice.

use super::{
    LayerError,
    access::{file_lines, same},
    exchange::{Exchange, Reply},
};
use crate::config::model;
use arc_swap::ArcSwap;
use hyper::{
    StatusCode,
    header::{AUTHORIZATION, HeaderName, HeaderValue, WWW_AUTHENTICATE},
};
use md5::{Digest as _, Md5};
use mesh_redact::Secret;
use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Who is told to browsers to ask, where nothing is said.
const REALM: &str = "traefik";
/// Most numbers that are remembered; the oldest make room.
const NONCES_MAX: usize = 4_096;
/// How long a number is good for.
const NONCE_LIFE: Duration = Duration::from_secs(3_600);
const NONCE_BYTES: usize = 16;

#[derive(Debug)]
pub(crate) struct DigestAuth {
    /// The hash of name, realm and password, by the name.
    users: HashMap<String, Secret<String>>,
    realm: String,
    remove: bool,
    header: Option<HeaderName>,
    /// Handed on to the layer of the same name when the configuration is read anew.
    given: ArcSwap<Given>,
}

/// What clients were given to show.
#[derive(Debug)]
struct Given {
    opaque: String,
    nonces: Mutex<HashMap<String, Nonce>>,
}

#[derive(Debug)]
struct Nonce {
    since: Instant,
    /// The last number that a client counted.
    count: u64,
}

/// What is wrong with what a client shows.
#[derive(Debug, PartialEq, Eq)]
enum Wrong {
    Refused,
    /// All is right but the number, which has had its time.
    Stale,
}

impl DigestAuth {
    pub(super) fn new(config: &model::BasicAuth) -> Result<Self, LayerError> {
        let realm = if config.realm.is_empty() { REALM } else { &config.realm };
        let mut lines = file_lines(&config.users_file)?;
        lines.extend(config.users.iter().map(|user| user.0.clone()));
        let mut users = HashMap::new();
        for (at, line) in lines.iter().enumerate() {
            let parts: Vec<&str> = line.expose().split(':').collect();
            let [name, of, hash] = parts[..] else { return Err(LayerError::DigestUser(at + 1)) };
            if of == realm {
                users.insert(name.to_owned(), Secret::new(hash.to_lowercase()));
            }
        }
        HeaderValue::from_str(realm)?;
        let header = match config.header_field.as_str() {
            "" => None,
            name => Some(name.parse().map_err(|_| LayerError::HeaderName(name.to_owned()))?),
        };
        let given = ArcSwap::from_pointee(Given { opaque: random()?, nonces: Mutex::default() });
        let realm = realm.replace(['"', '\\'], "");
        Ok(Self { users, realm, remove: config.remove_header, header, given })
    }

    /// Goes on with what clients were given before: whether their passwords still are is asked each time.
    pub(super) fn take_over(&self, before: &Self) {
        if self.realm == before.realm {
            self.given.store(before.given.load_full());
        }
    }

    pub(super) fn before(&self, exchange: &mut Exchange) -> Result<(), Reply> {
        match self.user(exchange, Instant::now()) {
            Ok(user) => {
                if let (Some(header), Ok(value)) = (&self.header, HeaderValue::from_str(&user)) {
                    exchange.headers.insert(header, value);
                }
                if self.remove {
                    exchange.headers.remove(AUTHORIZATION);
                }
                Ok(())
            }
            Err(wrong) => Err(self.challenge(wrong == Wrong::Stale)),
        }
    }

    fn challenge(&self, stale: bool) -> Reply {
        let mut reply = Reply::plain(StatusCode::UNAUTHORIZED);
        let Ok(nonce) = random() else { return Reply::plain(StatusCode::INTERNAL_SERVER_ERROR) };
        let now = Instant::now();
        let given = self.given.load();
        let mut nonces = given.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        if nonces.len() >= NONCES_MAX {
            nonces.retain(|_, nonce| now.duration_since(nonce.since) < NONCE_LIFE);
            let oldest = nonces.iter().min_by_key(|(_, nonce)| nonce.since).map(|(text, _)| text.clone());
            if let Some(oldest) = oldest.filter(|_| nonces.len() >= NONCES_MAX) {
                nonces.remove(&oldest);
            }
        }
        nonces.insert(nonce.clone(), Nonce { since: now, count: 0 });
        drop(nonces);
        let stale = if stale { ", stale=true" } else { "" };
        let (realm, opaque) = (&self.realm, &given.opaque);
        let text = format!(
            "Digest realm=\"{realm}\", nonce=\"{nonce}\", opaque=\"{opaque}\", algorithm=MD5, qop=\"auth\"{stale}"
        );
        if let Ok(value) = HeaderValue::from_str(&text) {
            reply.headers.insert(WWW_AUTHENTICATE, value);
        }
        reply
    }

    /// Whose name a request shows, if what it shows is right.
    fn user(&self, exchange: &Exchange, now: Instant) -> Result<String, Wrong> {
        let text = exchange.header(AUTHORIZATION.as_str()).ok_or(Wrong::Refused)?;
        let shown = parameters(text).ok_or(Wrong::Refused)?;
        let given = self.given.load();
        let get = |name: &str| shown.get(name).map_or("", String::as_str);
        let sound = get("opaque") == given.opaque
            && ["", "MD5"].contains(&get("algorithm"))
            && get("qop") == "auth"
            && get("uri") == exchange.target();
        let (Some(hash), true) = (self.users.get(get("username")), sound) else { return Err(Wrong::Refused) };
        let of_target = md5(&[exchange.method.as_str(), get("uri")]);
        let expected = md5(&[hash.expose(), get("nonce"), get("nc"), get("cnonce"), get("qop"), &of_target]);
        if !same(&expected, get("response")) {
            return Err(Wrong::Refused);
        }
        let count = u64::from_str_radix(get("nc"), 16).map_err(|_| Wrong::Refused)?;
        let mut nonces = given.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        let nonce = nonces.get_mut(get("nonce")).filter(|nonce| now.duration_since(nonce.since) < NONCE_LIFE);
        let nonce = nonce.filter(|nonce| count > nonce.count).ok_or(Wrong::Stale)?;
        nonce.count = count;
        Ok(get("username").to_owned())
    }
}

fn random() -> Result<String, LayerError> {
    let mut bytes = [0; NONCE_BYTES];
    mesh_tls::provider().secure_random.fill(&mut bytes).map_err(|_| LayerError::Random)?;
    Ok(hex(&bytes))
}

/// The hash of parts, joined by colons.
fn md5(parts: &[&str]) -> String {
    hex(&Md5::digest(parts.join(":")))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The parameters behind `Digest`; commas within quotes are none.
fn parameters(text: &str) -> Option<HashMap<String, String>> {
    let (scheme, mut rest) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("digest") {
        return None;
    }
    let mut found = HashMap::new();
    loop {
        rest = rest.trim_start_matches([' ', ',']);
        if rest.is_empty() {
            return Some(found);
        }
        let (name, value) = rest.split_once('=')?;
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => value.split_at(value.find(',').unwrap_or(value.len())),
        };
        found.insert(name.trim().to_lowercase(), value.trim().to_owned());
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Hidden;

    fn layer() -> DigestAuth {
        let user = format!("kim:traefik:{}", md5(&["kim", "traefik", "secret"]));
        let users = vec![Hidden(Secret::new(user)), Hidden(Secret::new("lee:elsewhere:00".to_owned()))];
        let config = model::BasicAuth {
            users,
            header_field: "X-User".to_owned(),
            remove_header: true,
            ..Default::default()
        };
        DigestAuth::new(&config).expect("a layer")
    }

    fn exchange(authorization: &str) -> Exchange {
        let mut exchange =
            Exchange { path: "/a".to_owned(), query: Some("b=1,2".to_owned()), ..Exchange::default() };
        exchange.headers.insert(AUTHORIZATION, HeaderValue::from_str(authorization).expect("a value"));
        exchange
    }

    fn shown(challenge: &HashMap<String, String>, password: &str, uri: &str, count: &str) -> String {
        let hash = md5(&["kim", "traefik", password]);
        let target = md5(&["GET", uri]);
        let response = md5(&[&hash, &challenge["nonce"], count, "c", "auth", &target]);
        format!(
            "Digest username=\"kim\", realm=\"traefik\", nonce=\"{}\", uri=\"{uri}\", qop=auth, nc={count}, \
             cnonce=\"c\", response=\"{response}\", opaque=\"{}\", algorithm=MD5",
            challenge["nonce"], challenge["opaque"]
        )
    }

    #[test]
    fn a_password_is_known_without_being_sent() {
        let layer = layer();
        let refused = layer.before(&mut Exchange::default()).expect_err("a challenge");
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
        let challenge =
            parameters(refused.headers[WWW_AUTHENTICATE].to_str().expect("text")).expect("parameters");
        for (password, uri, count, right) in [
            ("wrong", "/a?b=1,2", "00000001", false),
            ("secret", "/other", "00000001", false),
            ("secret", "/a?b=1,2", "00000001", true),
            ("secret", "/a?b=1,2", "00000001", false),
            ("secret", "/a?b=1,2", "00000002", true),
        ] {
            let mut asked = exchange(&shown(&challenge, password, uri, count));
            assert_eq!(layer.before(&mut asked).is_ok(), right, "{password} {uri} {count}");
            assert_eq!(asked.headers.contains_key("x-user"), right);
            assert_eq!(asked.headers.contains_key(AUTHORIZATION), !right);
        }
        let again = layer.before(&mut exchange(&shown(&challenge, "secret", "/a?b=1,2", "00000002")));
        let again = again.expect_err("a challenge");
        assert!(again.headers[WWW_AUTHENTICATE].to_str().expect("text").contains("stale=true"));
        for broken in ["Basic a", "Digest", "Digest username=\"kim", "Digest a", "Digest username=kim, nc=zz"]
        {
            assert!(layer.before(&mut exchange(broken)).is_err(), "{broken}");
        }
    }
}
