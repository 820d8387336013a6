//! A request as it is on the wire: its fields, and among them the name of its method.
//!
//! serde has that too, but then everything in a request is decoded from a buffer of serde's own, by code that is made
//! for that buffer alone: the whole model once more, which takes long to compile and to run. Here the name is moved to
//! where serde looks for it without a buffer, in front of the fields, and the rest is decoded as JSON.

use crate::request::Request;
use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};
use serde_json::{Map, Value};

/// Name of the field with the method.
const TAG: &str = "method";

pub(crate) fn serialize<S: Serializer>(request: &Request, serializer: S) -> Result<S::Ok, S::Error> {
    flat(request).map_err(serde::ser::Error::custom)?.serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Request, D::Error> {
    nested(Map::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

/// The fields with the method.
fn flat(request: &Request) -> Result<Map<String, Value>, serde_json::Error> {
    let (method, fields) = match serde_json::from_slice(&serde_json::to_vec(request)?)? {
        Value::Object(outer) => outer.into_iter().next().unwrap_or_default(),
        method => (method.as_str().unwrap_or_default().to_owned(), Value::Null),
    };
    let mut flat = Map::from_iter([(TAG.to_owned(), Value::String(method))]);
    if let Value::Object(fields) = fields {
        flat.extend(fields);
    }
    Ok(flat)
}

/// The request of fields with a method.
fn nested(mut flat: Map<String, Value>) -> Result<Request, serde_json::Error> {
    let Some(method) = flat.remove(TAG) else {
        return Err(serde::de::Error::custom(format!("missing field `{TAG}`")));
    };
    let method: String = serde_json::from_slice(&serde_json::to_vec(&method)?)?;
    // A method without fields is a word by itself; one whose fields may all be left out is none.
    if let Ok(request) = decoded(&Value::String(method.clone())) {
        return Ok(request);
    }
    decoded(&Value::Object(Map::from_iter([(method, Value::Object(flat))])))
}

fn decoded(value: &Value) -> Result<Request, serde_json::Error> {
    serde_json::from_slice(&serde_json::to_vec(value)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        options::{DownOptions, ExecOptions},
        request::{Envelope, VERSION},
    };

    /// A request that is on the wire like this, and is understood from there.
    fn check(request: Request, wire: &str) {
        let envelope = Envelope { version: VERSION, registry: None, request };
        let text = serde_json::to_string(&envelope).unwrap();
        assert_eq!(text, format!(r#"{{"version":{VERSION},"request":{wire}}}"#));
        let back: Envelope = serde_json::from_str(&text).unwrap();
        assert_eq!(format!("{back:?}"), format!("{envelope:?}"));
    }

    fn understood(wire: &str) -> Result<Request, String> {
        let text = format!(r#"{{"version":{VERSION},"request":{wire}}}"#);
        serde_json::from_str(&text).map(|envelope: Envelope| envelope.request).map_err(|it| it.to_string())
    }

    #[test]
    fn the_method_is_among_the_fields() {
        check(Request::Ping, r#"{"method":"ping"}"#);
        check(
            Request::Stop { services: Vec::new(), timeout_seconds: Some(3) },
            r#"{"method":"stop","services":[],"timeout_seconds":3}"#,
        );
        check(
            Request::Events { since_unix_ms: None, programs: true },
            r#"{"method":"events","since_unix_ms":null,"programs":true}"#,
        );
        let text = understood(r#"{"services":["a"],"gently":true,"method":"top"}"#);
        assert!(matches!(text, Ok(Request::Top { services }) if services == ["a"]));
        assert!(matches!(understood(r#"{"method":"events"}"#), Ok(Request::Events { programs: false, .. })));
        assert!(matches!(understood(r#"{"method":"shutdown","gently":true}"#), Ok(Request::Shutdown)));
    }

    #[test]
    fn options_stand_beside_the_method() {
        let (service, command) = ("a\n\"".to_owned(), vec!["x".to_owned()]);
        let exec = ExecOptions { service, command, ..ExecOptions::default() };
        let fields = flat(&Request::Exec(exec.clone())).unwrap();
        assert_eq!((&fields["method"], &fields["service"]), (&Value::from("exec"), &Value::from("a\n\"")));
        assert!(matches!(nested(fields), Ok(Request::Exec(back)) if back == exec));
        // One that says little: an older client's.
        assert!(
            matches!(understood(r#"{"method":"down"}"#), Ok(Request::Down(down)) if down == DownOptions::default())
        );
    }

    #[test]
    fn what_is_no_request_is_told() {
        for (wire, told) in [
            ("{}", "missing field `method`"),
            ("[]", "invalid type"),
            (r#"{"method":7}"#, "invalid type"),
            (r#"{"method":"levitate"}"#, "unknown variant `levitate`"),
            (r#"{"method":"stop"}"#, "missing field `services`"),
        ] {
            let error = understood(wire).expect_err(wire);
            assert!(error.contains(told), "{wire}: {error}");
        }
    }
}
