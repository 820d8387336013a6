//! Heads of requests and answers.

use bytes::{Buf as _, Bytes, BytesMut};
use httparse::{EMPTY_HEADER, Header, ParserConfig, Status};
use hyper::{
    HeaderMap, Method, Request, StatusCode, Uri, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING,
        UPGRADE,
    },
};
use memchr::memmem;
use std::{cell::RefCell, mem::MaybeUninit};

/// Most fields of a head, as hyper has it for requests, and somewhat more for answers.
const ASKED_FIELDS_MAX: usize = 100;
const TOLD_FIELDS_MAX: usize = 256;
/// Fields that a gateway adds to a request.
const FIELDS_ADDED: usize = 8;
/// Most collections of fields that wait for another message, and most fields of one.
const SPARE_MAX: usize = 256;
const SPARE_FIELDS_MAX: usize = 64;
/// What a head ends with.
const END: &[u8] = b"\r\n\r\n";

/// What a client's bytes begin with.
#[expect(clippy::large_enum_variant, reason = "most are plain, and none is kept")]
#[derive(Debug)]
pub(crate) enum Asked {
    /// Nothing whole yet.
    Partial,
    /// The head of a request without a body, that wants nothing but an answer.
    Plain(Request<()>),
    /// Something else: the bytes are as they were.
    Other,
}

/// The head of a server's answer.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) ends: Ends,
    /// Whether the connection can be used again.
    pub(crate) stays: bool,
}

/// Where a body ends (RFC 9112, section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// After so many bytes.
    After(u64),
    /// With its last chunk.
    Chunked,
    /// With the connection.
    WithConnection,
}

/// Why a server's bytes are no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeadError {
    #[error("the head cannot be read: {0}")]
    Head(httparse::Error),
    #[error("the head has a value that none can be")]
    Value,
    #[error("the head says twice, or wrongly, where its body ends")]
    Length,
}

/// Takes the head of a plain request from the bytes of a client; one of more than `bytes_max` bytes is something else.
/// `searched` is how many of them were seen before, and is kept up to date.
pub(crate) fn request(bytes: &mut BytesMut, searched: &mut usize, bytes_max: usize) -> Asked {
    // An end may have begun in what was seen.
    let seen = std::mem::take(searched).saturating_sub(END.len() - 1);
    let new = bytes.get(seen..).unwrap_or_default();
    let Some(end) = memmem::find(new, END).map(|at| seen + at + END.len()) else {
        if bytes.len() >= bytes_max {
            return Asked::Other;
        }
        // Lines may end otherwise, or mean nothing at all: whoever reads on knows.
        if seen == 0 || memmem::find(new, b"\n\n").is_some() || memmem::find(new, b"\n\r\n").is_some() {
            let mut fields = [EMPTY_HEADER; ASKED_FIELDS_MAX];
            if !matches!(httparse::Request::new(&mut fields).parse(bytes), Ok(Status::Partial)) {
                return Asked::Other;
            }
        }
        *searched = bytes.len();
        return Asked::Partial;
    };
    if end > bytes_max {
        return Asked::Other;
    }
    let head = Bytes::copy_from_slice(bytes.get(..end).unwrap_or_default());
    match plain(&head) {
        Some(asked) => {
            bytes.advance(head.len());
            asked
        }
        None => Asked::Other,
    }
}

fn plain(head: &Bytes) -> Option<Asked> {
    let mut fields = [const { MaybeUninit::uninit() }; ASKED_FIELDS_MAX];
    let mut parsed = httparse::Request::new(&mut []);
    let read = parsed.parse_with_uninit_headers(head, &mut fields);
    if read != Ok(Status::Complete(head.len())) || parsed.version != Some(1) {
        return None;
    }
    // A line that ends otherwise is read differently by different readers.
    if memchr::memchr_iter(b'\n', head).any(|at| head.get(at.wrapping_sub(1)) != Some(&b'\r')) {
        return None;
    }
    let method = match parsed.method? {
        "CONNECT" => return None,
        name => Method::from_bytes(name.as_bytes()).ok()?,
    };
    let path = parsed.path.filter(|path| path.starts_with('/'))?;
    let uri = Uri::from_maybe_shared(head.slice_ref(path.as_bytes())).ok()?;
    let headers = collected(head, parsed.headers, FIELDS_ADDED).ok()?;
    let mut hosts = headers.get_all(HOST).iter();
    let is_plain = hosts.next().is_some()
        && hosts.next().is_none()
        && ![CONTENT_LENGTH, TRANSFER_ENCODING, TRAILER, TE, UPGRADE, EXPECT]
            .iter()
            .any(|name| headers.contains_key(name))
        && headers.get_all(CONNECTION).iter().all(|value| is_any(value, &[b"keep-alive", b"close"]));
    let mut request = Request::new(());
    (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method, uri, headers);
    is_plain.then_some(Asked::Plain(request))
}

fn is_any(value: &HeaderValue, words: &[&[u8]]) -> bool {
    words.iter().any(|word| value.as_bytes().eq_ignore_ascii_case(word))
}

/// Whether a message says that it is the last one of its connection.
pub(crate) fn is_last(headers: &HeaderMap) -> bool {
    let mut tokens =
        headers.get_all(CONNECTION).iter().flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    tokens.any(|token| token.trim_ascii().eq_ignore_ascii_case(b"close"))
}

/// Takes the head of an answer from the bytes of a server; none if it is not whole yet. `bodiless` says that none of its
/// answers has a body, since only heads were asked for.
pub(crate) fn response(bytes: &mut BytesMut, bodiless: bool) -> Result<Option<Told>, HeadError> {
    let length = match memmem::find(bytes, END) {
        Some(end) => end + END.len(),
        None => {
            let mut fields = [EMPTY_HEADER; TOLD_FIELDS_MAX];
            match httparse::Response::new(&mut fields).parse(bytes).map_err(HeadError::Head)? {
                Status::Partial => return Ok(None),
                // Lines that end with a line feed alone (RFC 9112, section 2.2).
                Status::Complete(length) => length,
            }
        }
    };
    let head = bytes.split_to(length).freeze();
    let (told, length) = told(&head, bodiless)?;
    if let Some(rest) = head.get(length..).filter(|rest| !rest.is_empty()) {
        // It had ended before, in such lines.
        let behind = std::mem::replace(bytes, BytesMut::from(rest));
        bytes.unsplit(behind);
    }
    Ok(Some(told))
}

/// The head, and its length.
fn told(head: &Bytes, bodiless: bool) -> Result<(Told, usize), HeadError> {
    let mut fields = [const { MaybeUninit::uninit() }; TOLD_FIELDS_MAX];
    let mut parsed = httparse::Response::new(&mut []);
    let read = ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, head, &mut fields);
    let Status::Complete(length) = read.map_err(HeadError::Head)? else { return Err(HeadError::Value) };
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(HeadError::Value)?;
    let headers = collected(head, parsed.headers, 2)?;
    let version = if parsed.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    let ends = match () {
        () if status.is_informational() || status == StatusCode::NO_CONTENT => Ends::After(0),
        // What its body would have had is handed on: it has to be something.
        () if bodiless || status == StatusCode::NOT_MODIFIED => {
            ends(&headers, version).map(|_| Ends::After(0))?
        }
        () => ends(&headers, version)?,
    };
    let stays = ends != Ends::WithConnection && stays(&headers, version);
    Ok((Told { status, headers, ends, stays }, length))
}

fn ends(headers: &HeaderMap, version: Version) -> Result<Ends, HeadError> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter().peekable();
    if codings.peek().is_some() {
        // Nothing of the older version has chunks; whoever believed in them would end the body elsewhere.
        let last = codings.last().filter(|_| version == Version::HTTP_11).ok_or(HeadError::Length)?;
        let last = last.as_bytes().rsplit(|&byte| byte == b',').next().unwrap_or_default();
        let chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
        return Ok(if chunked { Ends::Chunked } else { Ends::WithConnection });
    }
    let mut length = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        for said in value.as_bytes().split(|&byte| byte == b',') {
            let said = digits(said.trim_ascii()).ok_or(HeadError::Length)?;
            if length.is_some_and(|known| known != said) {
                return Err(HeadError::Length);
            }
            length = Some(said);
        }
    }
    Ok(length.map_or(Ends::WithConnection, Ends::After))
}

/// How many bytes a body has by its head; none if that says nothing, or several things.
pub(crate) fn announced(headers: &HeaderMap) -> Option<u64> {
    let mut said = headers.get_all(CONTENT_LENGTH).iter();
    said.next().filter(|_| said.next().is_none()).and_then(|said| digits(said.as_bytes()))
}

/// A number of bytes; no sign, and nothing that is too large.
fn digits(text: &[u8]) -> Option<u64> {
    let all = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| all)?.parse().ok()
}

fn stays(headers: &HeaderMap, version: Version) -> bool {
    let mut said = version == Version::HTTP_11;
    for value in headers.get_all(CONNECTION) {
        for token in value.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            if token.eq_ignore_ascii_case(b"close") {
                return false;
            }
            said |= token.eq_ignore_ascii_case(b"keep-alive");
        }
    }
    said
}

thread_local! {
    /// Fields of messages that are gone: their room serves others.
    static SPARE: RefCell<Vec<HeaderMap>> = const { RefCell::new(Vec::new()) };
}

/// Takes back the fields of a message that is gone.
pub(crate) fn recycle(mut headers: HeaderMap) {
    if headers.capacity() > SPARE_FIELDS_MAX {
        return;
    }
    headers.clear();
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < SPARE_MAX {
            spare.push(headers);
        }
    });
}

/// Fields that share the head's bytes, with room for more.
fn collected(head: &Bytes, fields: &[Header<'_>], room: usize) -> Result<HeaderMap, HeadError> {
    let mut headers = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
    headers.try_reserve(fields.len() + room).map_err(|_| HeadError::Value)?;
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| HeadError::Value)?;
        let value = HeaderValue::from_maybe_shared(head.slice_ref(field.value));
        headers.try_append(name, value.map_err(|_| HeadError::Value)?).map_err(|_| HeadError::Value)?;
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> (Asked, String) {
        let mut bytes = BytesMut::from(text.as_bytes());
        let asked = request(&mut bytes, &mut 0, 1 << 20);
        (asked, String::from_utf8(bytes.to_vec()).expect("text"))
    }

    #[test]
    fn plain_requests_are_taken() {
        let (found, left) =
            asked("GET /a?b=c HTTP/1.1\r\nHost: a.test\r\nX-Two: 1\r\nx-two:  2 \r\n\r\nGET /next");
        let Asked::Plain(request) = found else { panic!("{found:?}") };
        let (method, target) = (request.method(), request.uri().to_string());
        assert_eq!((method, target.as_str()), (&Method::GET, "/a?b=c"));
        let two: Vec<_> =
            request.headers().get_all("x-two").iter().map(|value| value.to_str().expect("text")).collect();
        assert_eq!(two, ["1", "2"]);
        assert_eq!(left, "GET /next");
    }

    #[test]
    fn all_else_stays_as_it_is() {
        for text in [
            "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
            "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: x\r\nTransfer-Encoding : chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, te\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, x-secret\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n",
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\n\n",
            "GET / HTTP/1.1\nHost: a\n\nGET / HTTP/1.1\r\nHost: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: \u{1}\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\nHost: a\r\nA B: c\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "no HTTP\r\n\r\n",
        ] {
            let (found, left) = asked(text);
            assert!(matches!(found, Asked::Other), "{text:?}: {found:?}");
            assert_eq!(left, text);
        }
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(ASKED_FIELDS_MAX));
        assert!(matches!(asked(&many).0, Asked::Other));
        for text in ["", "G", "GET / HTTP/1.1\r\nHost: a\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r"] {
            assert!(matches!(asked(text).0, Asked::Partial), "{text:?}");
        }
    }

    #[test]
    fn heads_are_found_however_they_come_and_bounded() {
        let text = "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\nGET";
        let (mut bytes, mut searched) = (BytesMut::new(), 0);
        for (at, byte) in text.bytes().enumerate() {
            bytes.extend_from_slice(&[byte]);
            let found = request(&mut bytes, &mut searched, 1_000);
            let whole = at + 1 == text.len() - "GET".len();
            assert_eq!(matches!(found, Asked::Plain(_)), whole, "{at}: {found:?}");
        }
        assert_eq!(bytes, "GET");
        for (max, other) in [(text.len(), false), (20, true)] {
            let mut bytes = BytesMut::from(text.as_bytes());
            assert_eq!(matches!(request(&mut bytes, &mut 0, max), Asked::Other), other, "{max}");
            let mut half = BytesMut::from(&text.as_bytes()[..25]);
            assert_eq!(matches!(request(&mut half, &mut 0, max), Asked::Other), other, "{max}");
        }
    }

    #[test]
    fn answers_say_where_they_end() {
        use Ends::{After, Chunked, WithConnection};
        for (text, bodiless, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false, Ok((After(5), true))),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true, Ok((After(0), true))),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\nContent-Length: 5\r\n\r\n",
                false,
                Ok((After(5), true)),
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
                false,
                Err(HeadError::Length),
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n", false, Err(HeadError::Length)),
            ("HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n", false, Err(HeadError::Length)),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
                false,
                Err(HeadError::Length),
            ),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false, Ok((Chunked, true))),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n", false, Ok((Chunked, true))),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", false, Ok((WithConnection, false))),
            ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false, Err(HeadError::Length)),
            ("HTTP/1.1 200 OK\r\n\r\n", false, Ok((WithConnection, false))),
            ("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", false, Ok((After(0), true))),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", false, Ok((After(0), true))),
            ("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", false, Ok((After(0), false))),
            ("HTTP/1.1 100 Continue\r\n\r\n", false, Ok((After(0), true))),
            ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", false, Ok((After(1), false))),
            (
                "HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n",
                false,
                Ok((After(1), true)),
            ),
            ("HTTP/1.1 200 OK\nContent-Length: 5\n\n", false, Ok((After(5), true))),
            ("HTTP/1.1 200 OK\nContent-Length: 5\n\nX: y\r\n\r\n", false, Ok((After(5), true))),
        ] {
            let mut bytes = BytesMut::from(text.as_bytes());
            let found = response(&mut bytes, bodiless);
            let found = found.map(|told| told.map(|told| (told.ends, told.stays)).expect("a whole head"));
            assert_eq!(found, expected, "{text:?}");
        }
        for text in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n\r"] {
            let mut bytes = BytesMut::from(text.as_bytes());
            assert!(response(&mut bytes, false).expect("no fault").is_none(), "{text:?}");
        }
        for text in ["HTTP/2.0 200 OK\r\n\r\n", "220 mail\r\n\r\n", "HTTP/1.1 999999 A\r\n\r\n"] {
            let mut bytes = BytesMut::from(text.as_bytes());
            assert!(response(&mut bytes, false).is_err(), "{text:?}");
        }
    }
}
