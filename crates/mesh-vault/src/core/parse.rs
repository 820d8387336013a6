//! From HTTP's words to an operation with its fields.

use super::call::{Answer, Call, Method};
use crate::logical::{Object, Operation, parse_duration};
use serde_json::Value;
use std::time::Duration;

/// What PATCH has to be sent as.
const MERGE_PATCH: &str = "application/merge-patch+json";
const FORM: &str = "application/x-www-form-urlencoded";

/// A request, read but not judged.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) operation: Operation,
    pub(crate) path: String,
    pub(crate) data: Object,
    pub(crate) wrap_ttl: Option<Duration>,
}

/// Reads a call.
///
/// # Errors
/// The answer to one that makes no sense.
pub(crate) fn parse(call: &Call) -> Result<Incoming, Answer> {
    let mut path = call.path.clone();
    let helps = call.query.iter().any(|(key, value)| key == "help" && !value.is_empty());
    if helps || call.method == Method::Help {
        return Ok(Incoming { operation: Operation::Help, path, data: Object::new(), wrap_ttl: None });
    }
    let (operation, data) = match call.method {
        Method::Get | Method::Head => match list_asked(&call.query)? {
            true => (Operation::List, query(call)),
            false => (Operation::Read, query(call)),
        },
        Method::List => (Operation::List, query(call)),
        Method::Delete => (Operation::Delete, query(call)),
        Method::Put | Method::Post if is_ocsp(call) => (Operation::Update, ocsp(call)),
        Method::Put | Method::Post => (Operation::Update, body(call)?),
        Method::Patch => (Operation::Patch, patch(call)?),
        Method::Help | Method::Options | Method::Other => return Err(Answer::errors(405, &[])),
    };
    if operation == Operation::List && !path.ends_with('/') {
        path.push('/');
    }
    Ok(Incoming { operation, path, data, wrap_ttl: wrap_ttl(call)? })
}

/// `list=true`; a value that is no boolean makes no sense.
fn list_asked(query: &[(String, String)]) -> Result<bool, Answer> {
    let Some((_, value)) = query.iter().find(|(key, _)| key == "list") else { return Ok(false) };
    match value.as_str() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Answer::errors(400, &[])),
    }
}

/// A key that comes several times is a list.
fn query(call: &Call) -> Object {
    let mut data = Object::new();
    for (key, value) in &call.query {
        if key == "help" || key == "list" {
            continue;
        }
        let value = Value::String(value.clone());
        match data.get_mut(key) {
            None => drop(data.insert(key.clone(), value)),
            Some(Value::Array(values)) => values.push(value),
            Some(known) => *known = Value::Array(vec![known.take(), value]),
        }
    }
    data
}

fn body(call: &Call) -> Result<Object, Answer> {
    let form = media_type(call).is_some_and(|kind| kind == FORM);
    let first = call.body.iter().find(|byte| !byte.is_ascii_whitespace());
    match first {
        None => Ok(Object::new()),
        Some(first) if form && !b"[{".contains(first) => form_body(call),
        Some(_) => json_body(call),
    }
}

/// `null` and nothing are no fields. How deep it may be nested is bounded by the parser.
fn json_body(call: &Call) -> Result<Object, Answer> {
    if call.body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Object::new());
    }
    let parsed = serde_json::from_slice::<Option<Object>>(&call.body);
    parsed.map(Option::unwrap_or_default).map_err(|_| Answer::errors(400, &["error parsing JSON"]))
}

fn form_body(call: &Call) -> Result<Object, Answer> {
    let bad = || Answer::errors(400, &["error parsing form data"]);
    let text = std::str::from_utf8(&call.body).map_err(|_| bad())?;
    let mut data = Object::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (key, value) = (form_text(key).ok_or_else(bad)?, form_text(value).ok_or_else(bad)?);
        match data.get_mut(&key) {
            Some(Value::String(known)) => {
                known.push(',');
                known.push_str(&value);
            }
            _ => drop(data.insert(key, Value::String(value))),
        }
    }
    Ok(data)
}

fn form_text(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
                let value = digit()? * 16 + digit()?;
                bytes.push(u8::try_from(value).ok()?);
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

fn patch(call: &Call) -> Result<Object, Answer> {
    match media_type(call).as_deref() {
        Some(MERGE_PATCH) => json_body(call),
        None => Err(Answer::errors(400, &["mime: no media type"])),
        Some(other) => {
            let text = format!("PATCH requires Content-Type of {MERGE_PATCH}, provided {other}");
            Err(Answer::errors(415, &[&text]))
        }
    }
}

fn media_type(call: &Call) -> Option<String> {
    let kind = call.content_type.as_deref()?.split(';').next().unwrap_or_default().trim();
    (!kind.is_empty()).then(|| kind.to_ascii_lowercase())
}

fn is_ocsp(call: &Call) -> bool {
    media_type(call).is_some_and(|kind| kind == "application/ocsp-request")
}

/// An OCSP request is no JSON: it is handed on in base64, as a field of its own.
fn ocsp(call: &Call) -> Object {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    Object::from_iter([("request".to_owned(), Value::String(BASE64_STANDARD.encode(&call.body)))])
}

fn wrap_ttl(call: &Call) -> Result<Option<Duration>, Answer> {
    let Some(text) = call.wrap_ttl.as_deref().filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.trim_start().starts_with('-') {
        let text = "error parsing X-Vault-Wrap-TTL header: requested wrap ttl cannot be negative";
        return Err(Answer::errors(400, &[text]));
    }
    let bad =
        || Answer::errors(400, &[&format!("error parsing X-Vault-Wrap-TTL header: {text:?} is no duration")]);
    parse_duration(text).map(|ttl| (!ttl.is_zero()).then_some(ttl)).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::{
        core::call::{Call, Method},
        logical::Operation,
    };

    fn call(method: Method, body: &str) -> Call {
        Call {
            method,
            path: "secret/a".to_owned(),
            query: Vec::new(),
            body: body.to_owned().into_bytes().into(),
            content_type: None,
            token: None,
            wrap_ttl: None,
            namespace: None,
            remote: None,
            request_header: false,
        }
    }

    #[test]
    fn bodies() {
        for (body, expected) in [
            ("", Ok(0)),
            ("  \n", Ok(0)),
            ("null", Ok(0)),
            ("{}", Ok(0)),
            (r#"{"a":1,"b":{"c":[]}}"#, Ok(2)),
            ("[]", Err(400)),
            ("\"x\"", Err(400)),
            ("{", Err(400)),
            (r#"{"a":1} x"#, Err(400)),
        ] {
            let found = parse(&call(Method::Post, body));
            assert_eq!(
                found.map(|incoming| incoming.data.len()).map_err(|answer| answer.status),
                expected,
                "{body}"
            );
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(parse(&call(Method::Put, &deep)).is_err());
    }

    #[test]
    fn forms() {
        let form = Call {
            content_type: Some("application/x-www-form-urlencoded".to_owned()),
            ..call(Method::Post, "")
        };
        let incoming = parse(&Call { body: "a=1+%32&b=x&b=y".into(), ..form.clone() }).unwrap();
        assert_eq!((incoming.data["a"].as_str(), incoming.data["b"].as_str()), (Some("1 2"), Some("x,y")));
        assert!(parse(&Call { body: "a=%zz".into(), ..form.clone() }).is_err());
        assert_eq!(parse(&Call { body: "{\"a\":1}".into(), ..form }).unwrap().data["a"], 1);
    }

    #[test]
    fn listing_and_patching() {
        let mut list = call(Method::Get, "");
        list.query = vec![("list".to_owned(), "true".to_owned()), ("after".to_owned(), "b".to_owned())];
        let incoming = parse(&list).unwrap();
        assert_eq!((incoming.operation, incoming.path.as_str()), (Operation::List, "secret/a/"));
        assert_eq!(incoming.data.len(), 1);
        list.query = vec![("list".to_owned(), "maybe".to_owned())];
        assert_eq!(parse(&list).unwrap_err().status, 400);
        assert_eq!(parse(&call(Method::Patch, "{}")).unwrap_err().status, 400);
        let patch = Call { content_type: Some("application/json".to_owned()), ..call(Method::Patch, "{}") };
        assert_eq!(parse(&patch).unwrap_err().status, 415);
        let patch = Call { content_type: Some("application/merge-patch+json; x".to_owned()), ..patch };
        assert_eq!(parse(&patch).unwrap().operation, Operation::Patch);
    }

    #[test]
    fn wrapping() {
        for (text, expected) in
            [("60", Ok(Some(60))), ("1m", Ok(Some(60))), ("0", Ok(None)), ("-1", Err(())), ("x", Err(()))]
        {
            let asked = Call { wrap_ttl: Some(text.to_owned()), ..call(Method::Get, "") };
            let found =
                parse(&asked).map(|incoming| incoming.wrap_ttl.map(|ttl| ttl.as_secs())).map_err(|_| ());
            assert_eq!(found, expected, "{text}");
        }
    }
}
