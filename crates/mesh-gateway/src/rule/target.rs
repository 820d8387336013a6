//! What the rules look at of a request, and of a connection.

use hyper::HeaderMap;
use std::{borrow::Cow, net::IpAddr};

/// What percent-encoding of stays, when a path is decoded for routing: RFC 3986's reserved characters, and the percent
/// sign itself. Decoding those would make another path of it.
const RESERVED: &[u8] = b":/?#[]@!$&'()*+,;=%";

/// A request, as the rules see it.
#[derive(Debug)]
pub(crate) struct Target<'r> {
    pub(crate) method: &'r str,
    /// Without its port, in small letters.
    pub(crate) host: &'r str,
    /// From [`routing_path`]; none if it is no path.
    pub(crate) path: &'r str,
    /// As it stands in the request.
    pub(crate) query: &'r str,
    pub(crate) headers: &'r HeaderMap,
    pub(crate) client: Option<IpAddr>,
}

/// A TCP connection, as the rules see it.
#[derive(Debug)]
pub(crate) struct Connection<'c> {
    /// Whom the client asked for, in small letters; empty without TLS.
    pub(crate) server_name: &'c str,
    pub(crate) client: Option<IpAddr>,
    pub(crate) protocols: &'c [String],
}

/// A host without its port, in small letters.
pub(crate) fn canonical_host(authority: &str) -> String {
    let authority = authority.trim();
    let host = if let Some(inside) = authority.strip_prefix('[') {
        inside.split_once(']').map_or(authority, |(host, _)| host)
    } else {
        match authority.split_once(':') {
            // More than one colon without brackets is an address without a port.
            Some((host, port)) if !port.contains(':') => host,
            _ => authority,
        }
    };
    host.to_lowercase()
}

/// A path with everything decoded that may be; none if a percent sign is followed by something else than two digits.
pub(crate) fn routing_path(path: &str) -> Option<Cow<'_, str>> {
    if !path.contains('%') {
        return Some(Cow::Borrowed(path));
    }
    let bytes = path.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte != b'%' {
            decoded.push(byte);
            at += 1;
            continue;
        }
        let value = encoded(bytes.get(at + 1..at + 3)?)?;
        // Traefik knows the reserved ones by their digits in capitals only; those in small letters mean the same here.
        if RESERVED.contains(&value) {
            decoded.extend_from_slice(&bytes[at..at + 3]);
        } else {
            decoded.push(value);
        }
        at += 3;
    }
    // What is no UTF-8 matches no text of a rule, but may still have a prefix.
    Some(Cow::Owned(
        String::from_utf8(decoded)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
    ))
}

/// The value of two hexadecimal digits.
pub(crate) fn encoded(digits: &[u8]) -> Option<u8> {
    let [high, low] = digits else { return None };
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

/// The values of a key of a query, decoded as Go's `ParseQuery` does: pairs that cannot be decoded, or have a
/// semicolon in them, are passed over.
pub(crate) fn query_values<'q>(query: &'q str, key: &'q str) -> impl Iterator<Item = String> + 'q {
    query_pairs(query).filter(move |(name, _)| name == key).map(|(_, value)| value)
}

/// The pairs of a query, decoded.
pub(crate) fn query_pairs(query: &str) -> impl Iterator<Item = (String, String)> + '_ {
    query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')).filter_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((form_decoded(name)?, form_decoded(value)?))
    })
}

fn form_decoded(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'%' => {
                decoded.push(encoded(bytes.get(at + 1..at + 3)?)?);
                at += 3;
                continue;
            }
            b'+' => decoded.push(b' '),
            byte => decoded.push(byte),
        }
        at += 1;
    }
    Some(
        String::from_utf8(decoded)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_lose_their_ports() {
        for (authority, expected) in [
            ("Example.COM:443", "example.com"),
            ("example.com", "example.com"),
            ("[::1]:80", "::1"),
            ("[::1]", "::1"),
            ("::1", "::1"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("", ""),
        ] {
            assert_eq!(canonical_host(authority), expected, "{authority}");
        }
    }

    #[test]
    fn paths_are_decoded_as_far_as_they_may_be() {
        for (path, expected) in [
            ("/foo%20bar", Some("/foo bar")),
            ("/foo%2Fbar%2fbaz", Some("/foo%2Fbar%2fbaz")),
            ("/%61%25%41", Some("/a%25A")),
            ("/%2e%2e/a", Some("/../a")),
            ("/%", None),
            ("/%4", None),
            ("/%zz", None),
        ] {
            assert_eq!(routing_path(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn queries_are_decoded() {
        let values = |query, key| query_values(query, key).collect::<Vec<_>>();
        assert_eq!(values("a=1&b=2&a=x+y%21", "a"), ["1", "x y!"]);
        assert_eq!(values("a", "a"), [""]);
        assert_eq!(values("a=1;b=2&a=%zz", "a"), Vec::<String>::new());
    }
}
