//! From a request to a call.

use super::{
    Site,
    body::{self, BodyError},
    respond,
};
use crate::{
    config::Listener,
    core::{Answer, Call, Method},
};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Request, Response,
    body::Incoming,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderName},
    http::request::Parts,
};
use mesh_redact::Secret;
use std::{borrow::Cow, net::IpAddr};

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const WRAP_TTL: HeaderName = HeaderName::from_static("x-vault-wrap-ttl");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
const REQUEST: HeaderName = HeaderName::from_static("x-vault-request");

/// Answers one request.
pub(super) async fn answer(
    site: &Site,
    options: &Listener,
    peer: IpAddr,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let mut call = match understand(site, options, peer, &head) {
        Ok(call) => call,
        Err(response) => {
            // A connection that is closed over an unread body is reset, and the answer may be lost with it.
            body::skip(body).await;
            return *response;
        }
    };
    let namespace = call.namespace.clone();
    let finish = |answer: Answer| respond::answer(answer, namespace.as_deref());
    let held = match site.space.read(body, options.request_bytes_max).await {
        Ok(held) => held,
        Err(error) => return finish(refused(error)),
    };
    call.body = held.bytes.clone();
    let answered = site.serve(call, options).await;
    drop(held);
    finish(answered)
}

/// A call of all but the body; or what is answered without one.
fn understand(
    site: &Site,
    options: &Listener,
    peer: IpAddr,
    request: &Parts,
) -> Result<Call, Box<Response<Full<Bytes>>>> {
    let raw = request.uri.path();
    let Some(path) = decode(raw, false).filter(|path| path.chars().all(printable)) else {
        return Err(Box::new(respond::plain(400, "400 Bad Request")));
    };
    if let Some(clean) = cleaned(raw).filter(|_| !raw.starts_with("//")) {
        return Err(Box::new(respond::redirect(307, &clean, request.uri.query())));
    }
    let Some(path) = path.strip_prefix("/v1/") else {
        return Err(Box::new(site.page(&request.method, &path)));
    };
    let header = |name: &HeaderName| text(&request.headers, name);
    let namespace = header(&NAMESPACE);
    let refuse = |status: u16, errors: &[&str]| {
        Box::new(respond::answer(Answer::errors(status, errors), namespace.as_deref()))
    };
    if path.split('/').any(|part| part == "..") {
        return Err(refuse(400, &["relative paths not supported"]));
    }
    let query = read_query(request.uri.query().unwrap_or_default()).ok_or_else(|| refuse(400, &[]))?;
    let request_header = header(&REQUEST).is_some_and(|value| value == "true");
    if options.require_request_header && !request_header {
        return Err(refuse(412, &["missing 'X-Vault-Request' header"]));
    }
    Ok(Call {
        method: method(&request.method),
        path: path.to_owned(),
        query,
        body: Bytes::new(),
        content_type: header(&CONTENT_TYPE),
        token: token(&request.headers),
        wrap_ttl: header(&WRAP_TTL),
        namespace,
        remote: Some(peer),
        request_header,
    })
}

fn refused(error: BodyError) -> Answer {
    match error {
        BodyError::TooLarge => Answer::errors(413, &["http: request body too large"]),
        BodyError::TooSlow => Answer::errors(408, &["the request's body did not arrive in time"]),
        BodyError::NoSpace => Answer::errors(503, &["too many large requests at a time"]),
        BodyError::Broken => Answer::errors(400, &["error reading data"]),
    }
}

fn method(method: &hyper::Method) -> Method {
    match method.as_str() {
        "GET" => Method::Get,
        "PUT" => Method::Put,
        "POST" => Method::Post,
        "PATCH" => Method::Patch,
        "DELETE" => Method::Delete,
        "LIST" => Method::List,
        "HELP" => Method::Help,
        "HEAD" => Method::Head,
        "OPTIONS" => Method::Options,
        _ => Method::Other,
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .filter(|value| !value.is_empty())
        .map(str::to_owned)
}

fn token(headers: &HeaderMap) -> Option<Secret<String>> {
    if let Some(token) = text(headers, &TOKEN) {
        return Some(Secret::new(token));
    }
    let bearers = headers.get_all(AUTHORIZATION).iter().filter_map(|value| value.to_str().ok());
    let token = bearers.filter_map(|value| value.strip_prefix("Bearer ")).next()?.trim();
    (!token.is_empty()).then(|| Secret::new(token.to_owned()))
}

/// Go's `unicode.IsPrint`, as far as what it is for: no control character reaches a log or a name.
fn printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{feff}')
}

/// A path without empty parts and dots, where it has any. As it was sent: what is encoded is not looked into.
fn cleaned(path: &str) -> Option<String> {
    let parts = || path.split('/').skip(1);
    let last = parts().count().saturating_sub(1);
    let odd = |(index, part): (usize, &str)| matches!(part, "." | "..") || part.is_empty() && index != last;
    if path.starts_with('/') && !parts().enumerate().any(odd) {
        return None;
    }
    let mut kept: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(kept.pop()),
            part => kept.push(part),
        }
    }
    let end = if path.ends_with('/') && !kept.is_empty() { "/" } else { "" };
    Some(format!("/{}{end}", kept.join("/")))
}

/// Percent-encoding undone; none for what is no encoding, or no UTF-8 then.
fn decode(text: &str, form: bool) -> Option<Cow<'_, str>> {
    if !(text.contains('%') || form && text.contains('+')) {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
                let value = digit()? * 16 + digit()?;
                bytes.push(u8::try_from(value).ok()?);
            }
            b'+' if form => bytes.push(b' '),
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

fn read_query(query: &str) -> Option<Vec<(String, String)>> {
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decode(key, true)?.into_owned(), decode(value, true)?.into_owned()))
    };
    query.split('&').filter(|part| !part.is_empty()).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::{cleaned, decode, read_query};

    #[test]
    fn paths_are_decoded_and_cleaned() {
        for (path, decoded) in [
            ("/a%20b", Some("/a b")),
            ("/a%zz", None),
            ("/a%f", None),
            ("/%ff", None),
            ("/a+b", Some("/a+b")),
        ] {
            assert_eq!(decode(path, false).as_deref(), decoded, "{path}");
        }
        for (path, clean) in [
            ("/v1/a", None),
            ("/v1/a/", None),
            ("/", None),
            ("/v1//a", Some("/v1/a")),
            ("//v1/a/", Some("/v1/a/")),
            ("/v1/x/../a", Some("/v1/a")),
            ("/../../v1/./a/..", Some("/v1")),
            ("/..", Some("/")),
            ("*", Some("/*")),
        ] {
            assert_eq!(cleaned(path).as_deref(), clean, "{path}");
        }
    }

    #[test]
    fn queries() {
        let pairs = read_query("list=true&&a=b+c%21&d").unwrap();
        assert_eq!(
            pairs,
            [("list", "true"), ("a", "b c!"), ("d", "")].map(|(k, v)| (k.to_owned(), v.to_owned()))
        );
        assert!(read_query("a=%").is_none());
    }
}
