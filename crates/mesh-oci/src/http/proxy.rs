//! Ways out through a proxy: `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`, as other programs read them.

use super::url::{Origin, is_loopback};
use crate::settings::list;
use base64::Engine as _;
use mesh_redact::Secret;
use std::net::IpAddr;

/// Which proxy is for what.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    http: Option<Result<Proxy, Unusable>>,
    https: Option<Result<Proxy, Unusable>>,
    except: Vec<String>,
}

/// A proxy that cannot be gone through. It is told when it is needed: the variable is for all programs, and
/// may be right for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the proxy of {variable} cannot be used: it is written http://[user:password@]host[:port] for registries, or with https:// or socks5://"
)]
pub struct Unusable {
    variable: &'static str,
}

/// One proxy: spoken to in HTTP, over TLS where its origin says so, or in SOCKS.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    /// Where it is.
    pub(crate) origin: Origin,
    /// It speaks SOCKS 5, which makes a tunnel for everything.
    pub(crate) socks: bool,
    /// Who we are to it.
    login: Option<Login>,
}

#[derive(Debug, Clone)]
struct Login {
    user: Vec<u8>,
    password: Secret<Vec<u8>>,
}

/// Where SOCKS proxies listen unless a port is told.
const SOCKS_PORT: u16 = 1080;

impl Proxies {
    /// Proxies as the environment has them, small letters first.
    #[must_use]
    pub fn from_variables(get: &dyn Fn(&str) -> Option<String>) -> Self {
        let proxy = |small: &str, capital: &'static str| {
            let text = get(small).or_else(|| get(capital))?;
            Some(Proxy::parse(&text).ok_or(Unusable { variable: capital }))
        };
        let except = get("no_proxy").or_else(|| get("NO_PROXY")).unwrap_or_default();
        Self {
            http: proxy("http_proxy", "HTTP_PROXY"),
            https: proxy("https_proxy", "HTTPS_PROXY"),
            except: list(&except).map(str::to_ascii_lowercase).collect(),
        }
    }

    /// The proxy for an origin; this machine's own addresses have none.
    pub(crate) fn of(&self, origin: &Origin) -> Result<Option<&Proxy>, Unusable> {
        let proxy = if origin.tls { &self.https } else { &self.http };
        match proxy {
            Some(proxy) if !is_loopback(&origin.host) && !self.is_excepted(origin) => {
                proxy.as_ref().map(Some).map_err(|unusable| *unusable)
            }
            _ => Ok(None),
        }
    }

    fn is_excepted(&self, origin: &Origin) -> bool {
        self.except.iter().any(|entry| {
            let (name, port) = match entry.rsplit_once(':') {
                Some((name, port)) if !name.contains(':') => (name, port.parse().ok()),
                _ => (entry.as_str(), None),
            };
            if port.is_some_and(|port: u16| port != origin.port) {
                return false;
            }
            let bare = name.trim_start_matches("*.").trim_start_matches('.');
            name == "*"
                || origin.host == bare
                || origin.host.strip_suffix(bare).is_some_and(|head| !bare.is_empty() && head.ends_with('.'))
                || in_range(&origin.host, name)
        })
    }
}

impl Proxy {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once("://").unwrap_or(("http", text.trim()));
        let (tls, socks) = match scheme {
            "http" => (false, false),
            "https" => (true, false),
            // Names are resolved by the proxy with either.
            "socks5" | "socks5h" => (false, true),
            _ => return None,
        };
        let authority = rest.split('/').next()?;
        let (login, host) = match authority.rsplit_once('@') {
            Some((login, host)) => {
                let (user, password) = login.split_once(':').unwrap_or((login, ""));
                let (user, password) = (decoded(user)?, decoded(password)?);
                // A SOCKS proxy is told the length of either in one byte.
                let fits = !socks || (user.len() < 256 && password.len() < 256);
                (Some(Login { user, password: Secret::new(password) }).filter(|_| fits), host)
            }
            None => (None, authority),
        };
        if authority.contains('@') && login.is_none() {
            return None;
        }
        let mut origin = Origin::of_host(host, tls)?;
        if socks && host.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
            origin.port = SOCKS_PORT;
        }
        Some(Self { origin, socks, login })
    }

    /// The value of `Proxy-Authorization`.
    pub(crate) fn authorization(&self) -> Option<Secret<String>> {
        let Login { user, password } = self.login.as_ref()?;
        let both = [user.as_slice(), b":", password.expose()].concat();
        let encoded = base64::engine::general_purpose::STANDARD.encode(both);
        Some(Secret::new(format!("Basic {encoded}")))
    }

    /// Name and password.
    pub(crate) fn login(&self) -> Option<(&[u8], &[u8])> {
        self.login.as_ref().map(|login| (login.user.as_slice(), login.password.expose().as_slice()))
    }

    /// What it is called in messages.
    pub(crate) fn shown(&self) -> String {
        match self.socks {
            true => self.origin.to_string().replacen("http://", "socks5://", 1),
            false => self.origin.to_string(),
        }
    }
}

/// Percent signs undone.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digits = [bytes.next()?, bytes.next()?];
        out.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    Some(out)
}

/// Whether a host is an address of a range such as `10.0.0.0/8`.
fn in_range(host: &str, range: &str) -> bool {
    let Some((network, bits)) = range.split_once('/') else { return false };
    let (Ok(address), Ok(network), Ok(bits)) =
        (host.parse::<IpAddr>(), network.parse::<IpAddr>(), bits.parse::<u32>())
    else {
        return false;
    };
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            u32::from(a) & mask == u32::from(n) & mask
        }
        (IpAddr::V6(a), IpAddr::V6(n)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            u128::from(a) & mask == u128::from(n) & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(no_proxy: &str) -> Proxies {
        Proxies::from_variables(&|name| match name {
            "HTTPS_PROXY" => Some("http://user:p%40ss@proxy.example:3128/".to_owned()),
            "no_proxy" => Some(no_proxy.to_owned()),
            _ => None,
        })
    }

    #[test]
    fn a_proxy_serves_what_is_not_excepted() {
        let served = |no_proxy: &str, host: &str| {
            proxies(no_proxy).of(&Origin::of_host(host, true).unwrap()).unwrap().is_some()
        };
        for (no_proxy, host, expected) in [
            ("", "ghcr.io", true),
            ("", "localhost:5000", false),
            ("ghcr.io", "ghcr.io", false),
            (".io", "ghcr.io", false),
            ("*.io", "ghcr.io", false),
            ("cr.io", "ghcr.io", true),
            ("ghcr.io:444", "ghcr.io", true),
            ("*", "ghcr.io", false),
            ("10.0.0.0/8", "10.1.2.3:5000", false),
            ("10.0.0.0/8", "11.1.2.3:5000", true),
            ("0.0.0.0/0,fd00::/8", "[fd01::1]:5000", false),
        ] {
            assert_eq!(served(no_proxy, host), expected, "{no_proxy} {host}");
        }
    }

    #[test]
    fn a_password_is_sent_and_never_shown() {
        let proxies = proxies("");
        let proxy = proxies.of(&Origin::of_host("a.b", true).unwrap()).unwrap().unwrap();
        assert_eq!(proxy.authorization().unwrap().expose(), "Basic dXNlcjpwQHNz");
        assert_eq!(proxy.origin.to_string(), "http://proxy.example:3128");
        assert!(!format!("{proxies:?}").contains("112, 64"), "{proxies:?}");
        let wrong = Proxies::from_variables(&|name| {
            (name == "http_proxy").then(|| "socks4://u:hunter2@x".to_owned())
        });
        let told = wrong.of(&Origin::of_host("a.b", false).unwrap()).unwrap_err().to_string();
        assert!(told.contains("HTTP_PROXY") && !told.contains("hunter2"), "{told}");
        assert!(wrong.of(&Origin::of_host("a.b", true).unwrap()).unwrap().is_none());
    }
    #[test]
    fn each_kind_of_proxy_is_understood() {
        let read = |text: &str| {
            let proxy = Proxy::parse(text)?;
            Some(format!("{} {}", proxy.shown(), proxy.login().is_some()))
        };
        for (text, expected) in [
            ("proxy.example:3128", Some("http://proxy.example:3128 false")),
            ("https://u:p@proxy.example", Some("https://proxy.example true")),
            ("socks5://proxy.example", Some("socks5://proxy.example:1080 false")),
            ("socks5h://u:p@[::1]:9", Some("socks5://[::1]:9 true")),
            ("socks5://[::1]", Some("socks5://[::1]:1080 false")),
            ("socks4://proxy.example", None),
            ("http://u%zz@proxy.example", None),
            ("http://", None),
        ] {
            assert_eq!(read(text).as_deref(), expected, "{text}");
        }
        assert!(Proxy::parse(&format!("socks5://{}:p@x", "u".repeat(256))).is_none());
    }
}
