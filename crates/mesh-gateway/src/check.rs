//! What can be judged without a gateway: rules, the labels of a container, the text of a file, and what a connection
//! begins with.
//!
//! For whoever looks at configurations before they are in force, and for the fuzz targets.

use crate::http1::{self, Asked, Chunked, Ends, Piece};
use crate::{
    config::{Warning, containers, files, model::Configuration, statics},
    rule::{Connection, HttpRule, Syntax, Target, TcpRule, canonical_host, routing_path},
    snapshot::{self, State},
};
use bytes::BytesMut;
use hyper::HeaderMap;
use std::{net::SocketAddr, path::Path};

/// Judges a rule of HTTP, as one of both versions; a sound one is held against a request to `/`.
///
/// # Errors
/// What is wrong with it as a rule of the third version.
pub fn rule(text: &str) -> Result<bool, String> {
    let headers = HeaderMap::new();
    let path = routing_path("/").unwrap_or_default();
    let host = canonical_host("a.test");
    let target =
        Target { method: "GET", host: &host, path: &path, query: "", headers: &headers, client: None };
    let _ = HttpRule::parse(text, Syntax::named("v2")).is_ok_and(|rule| rule.matches(&target));
    let _ = HttpRule::hosts(text);
    let rule = HttpRule::parse(text, Syntax::named("v3")).map_err(|error| crate::chain(&error))?;
    Ok(rule.matches(&target))
}

/// The same for a rule of TCP, held against a connection without a name.
///
/// # Errors
/// What is wrong with it as a rule of the third version.
pub fn tcp_rule(text: &str) -> Result<bool, String> {
    let connection = Connection { server_name: "", client: None, protocols: &[] };
    let _ = TcpRule::parse(text, Syntax::named("v2")).is_ok_and(|rule| rule.matches(&connection));
    let (_, _) = (TcpRule::names(text).is_ok(), TcpRule::takes_all(text));
    let rule = TcpRule::parse(text, Syntax::named("v3")).map_err(|error| crate::chain(&error))?;
    Ok(rule.matches(&connection))
}

/// Reads what a server sends, given in parts of so many bytes: its status, its body as far as it came, and whether that
/// is all of it.
///
/// # Errors
/// Why it is no answer of HTTP/1.1.
pub fn answer(bytes: &[u8], step: usize) -> Result<Option<(u16, Vec<u8>, bool)>, String> {
    let (mut read, mut chunked, mut body) = (BytesMut::new(), Chunked::new(), Vec::new());
    let mut told = None;
    for part in bytes.chunks(step.max(1)) {
        read.extend_from_slice(part);
        if told.is_none() {
            told = http1::response(&mut read, false).map_err(|error| error.to_string())?;
        }
        if !matches!(&told, Some(told) if told.ends == Ends::Chunked) {
            continue;
        }
        while !chunked.is_over() {
            match chunked.next(&mut read).map_err(|error| error.to_string())? {
                Piece::Data(data) => body.extend_from_slice(&data),
                Piece::Trailers(_) | Piece::End => {}
                Piece::Partial => break,
            }
        }
    }
    Ok(told.map(|told| match told.ends {
        Ends::After(length) => {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            body.extend(read.iter().take(length));
            let whole = body.len() == length;
            (told.status.as_u16(), body, whole)
        }
        Ends::Chunked => (told.status.as_u16(), body, chunked.is_over()),
        Ends::WithConnection => (told.status.as_u16(), read.to_vec(), false),
    }))
}

/// How many bytes of a client are the head of a plain request; none if they are none, or something else.
#[must_use]
pub fn request(bytes: &[u8]) -> Option<usize> {
    let mut read = BytesMut::from(bytes);
    let asked = http1::request(&mut read, &mut 0, usize::MAX);
    matches!(asked, Asked::Plain(_)).then(|| bytes.len() - read.len())
}

/// Builds what the labels of a container ask for, at an entry point `web`; what is wrong, a line each.
#[must_use]
pub fn labels(labels: &[(&str, &str)]) -> Vec<String> {
    let container = containers::Container {
        id: "1".to_owned(),
        name: "app".to_owned(),
        labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        networks: [("default".to_owned(), "10.0.0.2".to_owned())].into(),
        ports: [(80, None)].into(),
        ..containers::Container::default()
    };
    let mut warnings = Vec::new();
    let part = containers::configuration(&[container], &statics::Docker::default(), &mut warnings);
    judged("docker", &part, warnings)
}

/// Builds what a file asks for at an entry point `web`, by its name's ending and its text; what is wrong, a line each.
#[must_use]
pub fn file(name: &str, text: &str) -> Vec<String> {
    match files::of_text(Path::new(name), text) {
        Ok(part) => judged("file", &part, Vec::new()),
        Err(error) => vec![crate::chain(&error)],
    }
}

/// How long a header of the PROXY protocol is that bytes begin with, and on whose behalf it is; none without one.
#[must_use]
pub fn preamble(bytes: &[u8]) -> Option<(usize, Option<SocketAddr>)> {
    crate::proxy::preamble(bytes)
}

fn judged(provider: &str, part: &Configuration, warnings: Vec<Warning>) -> Vec<String> {
    let mut statics = statics::Statics::default();
    let entry = statics::EntryPoint { address: ":80".to_owned(), ..Default::default() };
    statics.entry_points.insert("web".to_owned(), entry);
    let snapshot = snapshot::build(&[(provider, part)], &statics);
    let wrong = [&snapshot.routers, &snapshot.services, &snapshot.middlewares, &snapshot.tcp_routers];
    let wrong = wrong.into_iter().flatten().filter(|(_, status)| status.state != State::Enabled);
    let told = wrong.map(|(name, status)| format!("{name}: {}", status.errors.join("; ")));
    let warned = warnings.iter().chain(&snapshot.warnings).map(|warning| warning.message.clone());
    told.chain(warned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said() {
        assert_eq!(rule("Host(`a.test`)"), Ok(true));
        assert_eq!(rule("Host(`b.test`)"), Ok(false));
        assert!(rule("Hots(`a`)").is_err() && tcp_rule("HostSNI(").is_err());
        assert_eq!(tcp_rule("HostSNI(`*`)"), Ok(true));
        let sound = [("traefik.http.routers.a.rule", "Host(`a.test`)")];
        assert_eq!(labels(&sound), [""; 0]);
        let wrong = labels(&[("traefik.http.routers.a.rule", "Hots(`a.test`)")]);
        assert!(wrong.concat().contains("unsupported function: Hots"), "{wrong:?}");
        let sound =
            "http: {routers: {a: {rule: Host(`a.test`), service: s}}, services: {s: {loadBalancer: {}}}}";
        assert_eq!(file("a.yml", sound), [""; 0]);
        assert!(file("a.toml", sound).concat().contains("is not valid TOML"));
        assert!(
            file("a.yml", &sound.replace("Host", "Hots")).concat().contains("unsupported function: Hots")
        );
        assert_eq!(preamble(b"PROXY UNKNOWN\r\nGET"), Some((15, None)));
        assert_eq!(preamble(b"GET / HTTP/1.1\r\n"), None);
    }
}
