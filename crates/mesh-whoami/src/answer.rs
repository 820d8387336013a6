//! What is told. Pure.

use hyper::{HeaderMap, Method, Uri, Version, header::HOST};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
};

/// A request, as far as it is told of.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) remote: SocketAddr,
    pub(crate) body: Vec<u8>,
}

/// Who answers.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) hostname: String,
    pub(crate) addresses: Vec<IpAddr>,
}

/// The answer of `/api`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    hostname: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ip: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, Vec<String>>,
    url: String,
    host: String,
    method: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    remote_addr: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    environ: BTreeMap<String, String>,
}

impl Asked {
    /// The host that was asked for: of the header, or of the target where that has one.
    fn host(&self) -> String {
        let header = self.headers.get(HOST).map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned());
        self.uri.authority().map(ToString::to_string).or(header).unwrap_or_default()
    }

    fn target(&self) -> String {
        self.uri.path_and_query().map_or_else(|| self.uri.to_string(), ToString::to_string)
    }

    /// Fields by their names as Go writes them, without the host.
    fn fields(&self) -> BTreeMap<String, Vec<String>> {
        let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in self.headers.iter().filter(|(name, _)| *name != HOST) {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            fields.entry(canonical(name.as_str())).or_default().push(value);
        }
        fields
    }
}

/// The text of `/`; with the environment where that was asked for.
pub(crate) fn text(asked: &Asked, host: &Host, environment: Option<&BTreeMap<String, String>>) -> Vec<u8> {
    let mut text = String::new();
    if !host.name.is_empty() {
        let _ = writeln!(text, "Name: {}", host.name);
    }
    let _ = writeln!(text, "Hostname: {}", host.hostname);
    for address in &host.addresses {
        let _ = writeln!(text, "IP: {address}");
    }
    let _ = writeln!(text, "RemoteAddr: {}", asked.remote);
    // The request itself, in the lines of HTTP/1.1 whatever it came by.
    let _ = write!(text, "{} {} HTTP/1.1\r\nHost: {}\r\n", asked.method, asked.target(), asked.host());
    let mut fields = asked.fields();
    for value in fields.remove("User-Agent").unwrap_or_default() {
        let _ = write!(text, "User-Agent: {value}\r\n");
    }
    for (name, values) in fields {
        for value in values {
            let _ = write!(text, "{name}: {value}\r\n");
        }
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(&asked.body);
    for (name, value) in environment.into_iter().flatten() {
        bytes.extend_from_slice(format!("{name}={value}\n").as_bytes());
    }
    bytes
}

/// The answer of `/api`, with a line's end.
pub(crate) fn json(asked: &Asked, host: &Host, environment: Option<&BTreeMap<String, String>>) -> Vec<u8> {
    let data = Data {
        hostname: &host.hostname,
        ip: host.addresses.iter().map(ToString::to_string).collect(),
        headers: asked.fields(),
        url: asked.target(),
        host: asked.host(),
        method: asked.method.as_str(),
        name: &host.name,
        remote_addr: asked.remote.to_string(),
        environ: environment.cloned().unwrap_or_default(),
    };
    let mut bytes = serde_json::to_vec(&data).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// The line of `--verbose` for a request.
pub(crate) fn line(asked: &Asked, now: &str) -> String {
    let version = match asked.version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    };
    format!("{} - - [{now}] \"{} {} {version}\" - -\n", asked.remote, asked.method, asked.uri.path())
}

/// `x-forwarded-for` as `X-Forwarded-For`.
fn canonical(name: &str) -> String {
    let part = |part: &str| {
        let mut letters = part.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    name.split('-').map(part).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::{HeaderName, HeaderValue};

    fn asked() -> Asked {
        let headers =
            [("host", "a.test"), ("x-forwarded-for", "10.0.0.1"), ("user-agent", "u"), ("accept", "*/*")];
        Asked {
            method: Method::GET,
            uri: "/x?env=true".parse().unwrap(),
            version: Version::HTTP_11,
            headers: headers
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect(),
            remote: "10.0.0.9:1234".parse().unwrap(),
            body: b"body".to_vec(),
        }
    }

    fn host() -> Host {
        Host { name: "me".to_owned(), hostname: "h".to_owned(), addresses: vec![[127, 0, 0, 1].into()] }
    }

    #[test]
    fn a_request_is_told_as_it_came() {
        let environment = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        let told = String::from_utf8(text(&asked(), &host(), Some(&environment))).unwrap();
        let expected = "Name: me\nHostname: h\nIP: 127.0.0.1\nRemoteAddr: 10.0.0.9:1234\nGET /x?env=true HTTP/1.1\r\n\
             Host: a.test\r\nUser-Agent: u\r\nAccept: */*\r\nX-Forwarded-For: 10.0.0.1\r\n\r\nbodyA=1\n";
        assert_eq!(told, expected);
        let told: serde_json::Value = serde_json::from_slice(&json(&asked(), &host(), None)).unwrap();
        assert_eq!(told["headers"]["X-Forwarded-For"][0], "10.0.0.1");
        assert_eq!((told["host"].as_str(), told["url"].as_str()), (Some("a.test"), Some("/x?env=true")));
        assert!(told.get("environ").is_none());
    }
}
