//! Answers: a server's, handed on as they come, and the gateway's own.

use crate::{middleware::Reply, upstream::Body};
use hyper::{
    Response, StatusCode,
    body::Body as _,
    header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS},
};

pub(super) type Answer = Response<Body>;

pub(super) fn own(reply: Reply) -> Answer {
    let mut answer = Response::new(Body::whole(reply.body));
    *answer.status_mut() = reply.status;
    *answer.headers_mut() = *reply.headers;
    answer
}

pub(super) fn plain(status: StatusCode) -> Answer {
    own(Reply::plain(status))
}

/// What Go's server says where there is nothing.
pub(super) fn not_found() -> Answer {
    text(StatusCode::NOT_FOUND, "404 page not found\n")
}

pub(super) fn text(status: StatusCode, text: &'static str) -> Answer {
    let mut answer = Response::new(Body::whole(text));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// The answer to HEAD: its head alone, with the length that its body would have had (RFC 9110, section 9.3.2). Over
/// HTTP/2 nobody else sees to that.
pub(super) fn head_of(answer: Answer) -> Answer {
    if answer.body().is_end_stream() {
        return answer;
    }
    let (mut head, body) = answer.into_parts();
    if let Some(length) = body.size_hint().exact() {
        head.headers.entry(CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    Response::from_parts(head, Body::Empty)
}
