//! Where a server is: `https://host:8200`, `http://host`, `unix:///path`.

use std::path::PathBuf;

/// An address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(super) place: Place,
    /// Before every path: empty, or as `/behind`.
    prefix: String,
}

/// What a connection is made to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Tcp {
        tls: bool,
        /// Without brackets.
        host: String,
        port: u16,
        /// As it was written.
        authority: String,
    },
    Unix(PathBuf),
}

impl Address {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("failed to create client: could not use the address {text:?}: {why}");
        let (scheme, rest) =
            text.trim().split_once("://").ok_or_else(|| wrong("it is written https://host:port"))?;
        if scheme == "unix" {
            return Ok(Self { place: Place::Unix(rest.into()), prefix: String::new() });
        }
        let tls = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(wrong("its scheme is none of https, http and unix")),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err(wrong("names and passwords do not belong into it"));
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(|| wrong("a bracket is open"))?;
                (host, port.strip_prefix(':'))
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = match port {
            Some(port) => port.parse().map_err(|_| wrong("its port is none"))?,
            None if tls => 443,
            None => 80,
        };
        if host.is_empty() || !host.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong("it has no host"));
        }
        let (host, authority) = (host.to_owned(), authority.to_owned());
        Ok(Self { place: Place::Tcp { tls, host, port, authority }, prefix: clean(path) })
    }

    /// Scheme and host.
    pub(super) fn origin(&self) -> String {
        match &self.place {
            Place::Tcp { tls, authority, .. } => {
                format!("{}://{authority}", if *tls { "https" } else { "http" })
            }
            Place::Unix(_) => "http://localhost".to_owned(),
        }
    }

    /// What stands in the head of a request.
    pub(super) fn target(&self, path: &str, query: &[(String, String)]) -> String {
        let path = clean(&format!("{}/v1/{path}", self.prefix));
        let mut target = escaped(&path, |byte| b"/-_.~$&+,:;=@!*'()".contains(&byte));
        let mut query: Vec<_> = query.iter().collect();
        query.sort();
        for (at, (key, value)) in query.into_iter().enumerate() {
            let [key, value] = [key, value].map(|text| escaped(text, |byte| b"-_.~".contains(&byte)));
            target.push_str(&format!("{}{key}={value}", if at == 0 { '?' } else { '&' }));
        }
        target
    }

    /// The whole address of a request.
    pub(super) fn url(&self, path: &str, query: &[(String, String)]) -> String {
        format!("{}{}", self.origin(), self.target(path, query))
    }

    /// Where a redirection leads: an address, and the target there.
    pub(super) fn redirected(&self, location: &str) -> Result<(Self, String), String> {
        if location.starts_with('/') && !location.starts_with("//") {
            return Ok((self.clone(), location.to_owned()));
        }
        let there = Self::parse(location)?;
        let is_tls = |address: &Self| matches!(address.place, Place::Tcp { tls: true, .. });
        if is_tls(self) && !is_tls(&there) {
            return Err("redirect would cause protocol downgrade".to_owned());
        }
        let (_, rest) = location.split_once("://").unwrap_or_default();
        let target = rest.find('/').map_or("/", |at| &rest[at..]).to_owned();
        Ok((there, target))
    }
}

/// A path with one slash between its parts, and none at its end.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.iter().map(|part| format!("/{part}")).collect()
}

fn escaped(text: &str, also: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || also(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_paths_become_urls() {
        let url = |address: &str, path: &str| Address::parse(address).unwrap().url(path, &[]);
        assert_eq!(url("https://127.0.0.1:8200", "sys/health"), "https://127.0.0.1:8200/v1/sys/health");
        assert_eq!(url("http://[::1]:8200/behind/", "a//b/../c d/"), "http://[::1]:8200/behind/v1/a/c%20d");
        assert_eq!(url("unix:///run/vault.sock", "a"), "http://localhost/v1/a");
        let query = [("list".to_owned(), "true".to_owned()), ("after".to_owned(), "a b".to_owned())];
        assert_eq!(
            Address::parse("http://h").unwrap().url("a", &query),
            "http://h/v1/a?after=a%20b&list=true"
        );
        for wrong in ["h:8200", "ftp://h", "http://", "http://h:port", "http://[::1", "https://u:p@h"] {
            assert!(Address::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_redirection_does_not_leave_tls() {
        let address = Address::parse("https://a:1").unwrap();
        assert_eq!(address.redirected("/v1/x").unwrap().1, "/v1/x");
        let (there, target) = address.redirected("https://b:2/v1/x?y=1").unwrap();
        assert_eq!((there.origin().as_str(), target.as_str()), ("https://b:2", "/v1/x?y=1"));
        assert!(address.redirected("http://b:2/v1/x").is_err());
    }
}
