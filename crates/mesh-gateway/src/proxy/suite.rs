//! Traefik's tables of headers that say on whose behalf a request is, played.

use super::{
    forwarded::{Connected, Forwarding},
    hop,
};
use crate::{
    config::statics::ForwardedHeaders,
    suite::{Case, Played, play, texts},
};
use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};
use serde_json::Value;

fn headers(case: &Case, field: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, values) in case.pairs(field) {
        let values = match values {
            Value::String(text) => vec![text.clone()],
            others => texts(others),
        };
        for value in values {
            let value = HeaderValue::from_str(&value).expect("a value");
            headers.append(name.parse::<HeaderName>().expect("a name"), value);
        }
    }
    headers
}

/// All values of a header, as one.
fn joined(headers: &HeaderMap, name: &str) -> String {
    let values = headers.get_all(name).into_iter();
    values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect::<Vec<_>>().join(", ")
}

fn forwarded(case: &Case) -> Played {
    if !case.texts("connectionHeaders").is_empty() {
        // `forwardedHeaders.connection` is told once to have no effect.
        return Played::Foreign;
    }
    let config = ForwardedHeaders {
        insecure: case.flag("insecure"),
        trusted_ips: case.texts("trustedIps"),
        add_x_forwarded_scheme_headers: case.flag("addSchemeHeaders"),
        ..ForwardedHeaders::default()
    };
    let forwarding = match Forwarding::new(&config, case.text("host")) {
        Ok(forwarding) => forwarding,
        Err(error) => return Played::Different(error.to_string()),
    };
    let known = !case.text("remoteAddr").is_empty();
    let client = if known { case.text("remoteAddr") } else { "192.0.2.1:1234" };
    let from = Connected::new(client.parse().expect("an address"), case.flag("tls"));
    let mut found = headers(case, "incomingHeaders");
    forwarding.rewrite(&mut found, case.text("host"), &from, case.flag("websocket"));
    hop::remove(&mut found, Forwarding::is_managed);
    for (name, expected) in case.pairs("expectedHeaders") {
        // A connection always has a client.
        let made_up = !known && name == "X-Real-Ip" && joined(&found, name) == "192.0.2.1";
        let (expected, value) = (expected.as_str().unwrap_or_default(), joined(&found, name));
        if value != expected && !made_up {
            return Played::Different(format!("{name}: expected {expected:?}, found {value:?}"));
        }
    }
    let absent = case.texts("absentHeaders");
    match absent.iter().find(|name| found.contains_key(name.as_str())) {
        Some(name) => Played::Different(format!("{name} is there")),
        None => Played::Same,
    }
}

/// What `Connection` names goes no further.
fn connection(case: &Case) -> Played {
    if !case.texts("connectionHeaders").is_empty() {
        return Played::Foreign;
    }
    let mut found = headers(case, "reqHeaders");
    let upgrade = hop::upgrade(&found);
    hop::remove(&mut found, Forwarding::is_managed);
    if let Some(upgrade) = upgrade {
        hop::ask_for(&mut found, upgrade);
    }
    Played::compare(&headers(case, "expected"), &found)
}

#[test]
fn clients_are_believed_as_traefik_believes_them() {
    play("pkg/middlewares/forwardedheaders", &[], |case| match case.test.as_str() {
        "TestServeHTTP" => forwarded(case),
        "TestConnection" => connection(case),
        // What is expected is a function of the test's.
        _ => Played::Foreign,
    });
}
