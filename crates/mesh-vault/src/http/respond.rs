//! From an answer to a response.

use crate::core::Answer;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, STRICT_TRANSPORT_SECURITY},
};

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const STRICT: HeaderValue = HeaderValue::from_static("max-age=31536000; includeSubDomains");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");

/// An answer of the core. Nothing of it may be kept by anyone on the way.
pub(super) fn answer(answer: Answer, namespace: Option<&str>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, NO_STORE);
    headers.insert(STRICT_TRANSPORT_SECURITY, STRICT);
    match answer.content_type.as_str() {
        "" => {}
        "application/json" => drop(headers.insert(CONTENT_TYPE, JSON)),
        other => {
            if let Ok(value) = HeaderValue::from_str(other) {
                headers.insert(CONTENT_TYPE, value);
            }
        }
    }
    if let Some(value) = namespace.and_then(|namespace| HeaderValue::from_str(namespace).ok()) {
        headers.insert(NAMESPACE, value);
    }
    for (name, value) in &answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value))
        {
            headers.append(name, value);
        }
    }
    response
}

/// A text of the server's own.
pub(super) fn plain(status: u16, text: &str) -> Response<Full<Bytes>> {
    let content_type = "text/plain; charset=utf-8".to_owned();
    answer(Answer { status, content_type, body: text.as_bytes().to_vec(), headers: Vec::new() }, None)
}

/// To another place of this server.
pub(super) fn redirect(status: u16, path: &str, query: Option<&str>) -> Response<Full<Bytes>> {
    let location = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let mut response = answer(Answer::empty(status), None);
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}
