//! Where a request goes: an [`Origin`] (scheme, host, port) and what stands behind it.

use hyper::Uri;
use std::fmt;

/// Scheme, host and port: what a connection is for, and what credentials belong to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Origin {
    /// Over TLS.
    pub(crate) tls: bool,
    /// Name or address; IPv6 without its brackets.
    pub(crate) host: String,
    /// Port.
    pub(crate) port: u16,
}

/// An origin and a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    /// Where.
    pub(crate) origin: Origin,
    /// Path with query, starting with a slash.
    pub(crate) path: String,
}

/// Longest address accepted from others, in bytes.
const URL_BYTES_MAX: usize = 8 << 10;

impl Origin {
    /// `host`, `host:port` or `[address]:port`, with the scheme's own port where none is given.
    pub(crate) fn of_host(host: &str, tls: bool) -> Option<Self> {
        let default = if tls { 443 } else { 80 };
        let (name, port) = match host.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']')?;
                match port.strip_prefix(':') {
                    Some(port) => (address, port.parse().ok()?),
                    None if port.is_empty() => (address, default),
                    None => return None,
                }
            }
            None => match host.rsplit_once(':') {
                Some((name, port)) if !name.contains(':') => (name, port.parse().ok()?),
                Some(_) => (host, default),
                None => (host, default),
            },
        };
        (!name.is_empty()).then(|| Self { tls, host: name.to_ascii_lowercase(), port })
    }

    /// `host` or `host:port`, as a `Host` header has it: without the scheme's own port.
    pub(crate) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }

    /// Whether this is the machine itself.
    pub(crate) fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }
}

/// Whether a host is the machine itself: `localhost`, 127.0.0.0/8, ::1.
pub(crate) fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority())
    }
}

impl Url {
    /// Reads an absolute address of http or https; one with a user in it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() > URL_BYTES_MAX {
            return None;
        }
        let uri: Uri = text.split('#').next()?.parse().ok()?;
        let tls = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = uri.authority()?.as_str();
        if authority.contains('@') {
            return None;
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Some(Self { origin: Origin::of_host(authority, tls)?, path })
    }

    /// Where a `Location` seen at this address leads.
    pub(crate) fn join(&self, location: &str) -> Option<Self> {
        if location.contains("://") && !location.starts_with('/') {
            return Self::parse(location);
        }
        if let Some(rest) = location.strip_prefix("//") {
            return Self::parse(&format!("{}://{rest}", if self.origin.tls { "https" } else { "http" }));
        }
        let base = self.path.split('?').next().unwrap_or("/");
        let path = match location.strip_prefix('/') {
            Some(_) => location.to_owned(),
            None => format!("{}{location}", &base[..=base.rfind('/')?]),
        };
        Self::parse(&format!("{}{path}", self.origin))
    }
}

/// Without its query, which may hold a signature.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path.split('?').next().unwrap_or_default())
    }
}

/// A text as part of a query or a form.
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte as char),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_have_a_port() {
        for (host, tls, expected) in [
            ("ghcr.io", true, "https://ghcr.io"),
            ("Localhost:5000", false, "http://localhost:5000"),
            ("[::1]:5000", false, "http://[::1]:5000"),
            ("127.0.0.1", false, "http://127.0.0.1"),
            ("a:443", true, "https://a"),
        ] {
            assert_eq!(Origin::of_host(host, tls).unwrap().to_string(), expected);
        }
        assert_eq!(Origin::of_host("a:b", true), None);
        assert_eq!(Origin::of_host("", true), None);
        for host in ["localhost", "127.3.2.1", "[::1]:1", "x.localhost"] {
            assert!(Origin::of_host(host, false).unwrap().is_loopback(), "{host}");
        }
        assert!(!Origin::of_host("127.0.0.1.example", false).unwrap().is_loopback());
    }

    #[test]
    fn a_location_is_followed_from_where_it_was_seen() {
        let from = Url::parse("https://r.example/v2/a/blobs/x?q=1").unwrap();
        for (location, expected) in [
            ("https://cdn.example/y?sig=1", Some("https://cdn.example/y")),
            ("//cdn.example/y", Some("https://cdn.example/y")),
            ("/z", Some("https://r.example/z")),
            ("w", Some("https://r.example/v2/a/blobs/w")),
            ("ftp://x/", None),
            ("https://user:pw@x/", None),
            ("http://a b/", None),
        ] {
            assert_eq!(from.join(location).map(|url| url.to_string()).as_deref(), expected, "{location}");
        }
        assert_eq!(encoded("repository:a/b:pull"), "repository%3Aa%2Fb%3Apull");
    }
}
