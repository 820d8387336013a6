//! Traefik's tables of middlewares, played.

use super::{exchange::decoded, *};
use crate::suite::{Case, Played, play, texts};
use hyper::{
    Method, StatusCode,
    header::{HeaderName, HeaderValue},
};
use serde_json::Value;

/// The text of a request's line that Go sends for an empty path.
fn target_of(exchange: &Exchange) -> String {
    if exchange.path.is_empty() { "/".to_owned() } else { exchange.path.clone() }
}

fn exchange(url: &str) -> Exchange {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (host, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    Exchange {
        method: Method::GET,
        host: host.to_owned(),
        path: path.to_owned(),
        query,
        tls: scheme == "https",
        ..Exchange::default()
    }
}

/// Makes a layer of what a row has under a field.
fn layer(name: &str, config: &Value) -> Result<Layer, String> {
    let config: Middleware =
        serde_json::from_value(serde_json::json!({ name: config })).map_err(|error| error.to_string())?;
    match Kind::build("test", &config) {
        Ok(Kind::Layer(layer)) => Ok(*layer),
        Ok(kind) => Err(format!("{kind:?}")),
        Err(error) => Err(crate::chain(&error)),
    }
}

/// Plays a row whose outcome is a path.
fn path(case: &Case, kind: &str, field: &str, header: &str) -> Played {
    let wrong = case.flag("expectsError");
    let layer = match layer(kind, &case.fields[field]) {
        Ok(_) if wrong => return Played::Different("made, though it is none".to_owned()),
        Err(_) if wrong => return Played::Same,
        Err(error) => return Played::Different(error),
        Ok(layer) => layer,
    };
    if case.test.starts_with("TestNew") {
        return Played::Same;
    }
    let mut exchange = exchange(&format!("http://localhost{}", case.text("path")));
    if exchange.path.is_empty() && kind.starts_with("replace") {
        exchange.path = "/".to_owned();
    }
    let answer = layer.before(&mut exchange);
    let expected = case.fields["expectedStatusCode"].as_u64().unwrap_or(200);
    if let Err(reply) = answer {
        return Played::compare(&expected, &u64::from(reply.status.as_u16()));
    }
    let raw = match case.text("expectedRawPath") {
        "" if kind.starts_with("replace") || case.test.ends_with("Regex") => case.text("expectedRequestURI"),
        raw => raw,
    };
    let told = exchange.header(header).unwrap_or_default().to_owned();
    // One test says nothing of the header where it expects none.
    let silent = header.is_empty() || (kind == "replacePathRegex" && case.text("expectedHeader").is_empty());
    let told = if silent { String::new() } else { told };
    let found = (decoded(&exchange.path), told, expected);
    let wanted = (case.text("expectedPath").to_owned(), case.text("expectedHeader").to_owned(), 200);
    match Played::compare(&wanted, &found) {
        Played::Same if !raw.is_empty() => Played::compare(&raw.to_owned(), &target_of(&exchange)),
        played => played,
    }
}

fn redirect(case: &Case) -> Played {
    let kind = if case.test.contains("Scheme") { "redirectScheme" } else { "redirectRegex" };
    let layer = match layer(kind, &case.fields["config"]) {
        Ok(_) if case.flag("errorExpected") => {
            return Played::Different("made, though it is none".to_owned());
        }
        Err(_) if case.flag("errorExpected") => return Played::Same,
        Err(error) => return Played::Different(error),
        Ok(layer) => layer,
    };
    let mut exchange = exchange(case.text("url"));
    exchange.tls = case.flag("secured") || exchange.tls;
    if !case.text("method").is_empty() {
        exchange.method = case.text("method").parse().expect("a method");
    }
    for (name, value) in case.pairs("headers") {
        let name: HeaderName = name.parse().expect("a name");
        exchange
            .headers
            .insert(name, HeaderValue::from_str(value.as_str().unwrap_or_default()).expect("a value"));
    }
    let (status, location) = match layer.before(&mut exchange) {
        Ok(()) => (200, String::new()),
        Err(reply) => {
            let location = reply.headers.get("location").and_then(|value| value.to_str().ok());
            (reply.status.as_u16().into(), location.unwrap_or_default().to_owned())
        }
    };
    let expected = case.fields["expectedStatus"].as_u64().unwrap_or_default();
    let wanted = if (300..400).contains(&expected) { case.text("expectedURL") } else { "" };
    Played::compare(&(expected, wanted.to_owned()), &(status, location))
}

fn allowed(case: &Case) -> Played {
    let layer = match layer("ipAllowList", &case.fields["allowList"]) {
        Ok(_) if case.flag("expectedError") => {
            return Played::Different("made, though it is none".to_owned());
        }
        Err(_) if case.flag("expectedError") => return Played::Same,
        Err(error) => return Played::Different(error),
        Ok(layer) => layer,
    };
    if case.test.starts_with("TestNew") {
        return Played::Same;
    }
    let mut exchange = exchange("http://10.10.10.10");
    exchange.client = match case.text("remoteAddr") {
        // What Go's tests come from where nothing is said.
        "" => "192.0.2.1:1234".parse().ok(),
        address => address.parse().ok(),
    };
    let status = layer.before(&mut exchange).err().map_or(StatusCode::OK, |reply| reply.status);
    Played::compare(&case.fields["expected"].as_u64(), &Some(status.as_u16().into()))
}

/// Headers by their names, each with its values.
fn shown(headers: &HeaderMap) -> Vec<(String, Vec<String>)> {
    let values = |name: &HeaderName| {
        headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect()
    };
    let mut shown: Vec<_> = headers.keys().map(|name| (name.to_string(), values(name))).collect();
    shown.sort();
    shown
}

fn given(value: &Value) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, values) in value.as_object().into_iter().flatten() {
        for value in texts(values) {
            headers.append(
                name.parse::<HeaderName>().expect("a name"),
                HeaderValue::from_str(&value).expect("a value"),
            );
        }
    }
    headers
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

fn headers(case: &Case) -> Played {
    let mut asked = exchange("http://example.org/foo");
    let config = match case.test.as_str() {
        "TestNewHeader_customRequestHeader_Host" => {
            serde_json::json!({ "customRequestHeaders": case.fields["customHeaders"] })
        }
        "TestNewHeader_customResponseHeaders" => {
            serde_json::json!({ "customResponseHeaders": case.fields["config"] })
        }
        _ => case.fields["cfg"].clone(),
    };
    if case.test == "TestNew_allowedHosts" {
        // What is allowed stands beside the table.
        return Played::Foreign;
    }
    let empty = config.as_object().is_none_or(|fields| fields.values().all(is_empty));
    if empty && !case.flag("expectedError") && case.test != "TestNewHeader_customResponseHeaders" {
        // Traefik's tests go past the check that there is anything to do.
        return Played::Foreign;
    }
    // What the service answers is a function of the test's, of which only some can be told from outside.
    if case.test == "TestNewHeader_CORSResponses" && case.name.contains("Vary") {
        return Played::Foreign;
    }
    let layer = match layer("headers", &config) {
        Ok(_) if case.flag("expectedError") => {
            return Played::Different("made, though it is none".to_owned());
        }
        Err(_) if case.flag("expectedError") => return Played::Same,
        Err(error) => return Played::Different(error),
        Ok(layer) => layer,
    };
    match case.test.as_str() {
        "TestNewHeader_customRequestHeader" => {
            asked.headers.insert("foo", HeaderValue::from_static("bar"));
            let answer = layer.before(&mut asked);
            let wanted = given(&case.fields["expected"]);
            Played::compare(&(shown(&wanted), true), &(shown(&asked.headers), answer.is_ok()))
        }
        "TestNewHeader_customRequestHeader_Host" => {
            let _ = layer.before(&mut asked);
            Played::compare(&case.text("expectedHost").to_owned(), &asked.host)
        }
        "TestNewHeader_CORSPreflights"
        | "TestNewHeader_CORSResponses"
        | "TestNewHeader_customResponseHeaders" => {
            asked.headers = given(&case.fields["requestHeaders"]);
            asked.origin = asked.headers.get("origin").cloned();
            if case.test.ends_with("Preflights") {
                asked.method = Method::OPTIONS;
            }
            let mut found = match layer.before(&mut asked) {
                Err(reply) => *reply.headers,
                Ok(()) => {
                    let mut answer = HeaderMap::new();
                    if case.test.starts_with("TestNewHeader_custom") {
                        answer.insert("foo", HeaderValue::from_static("bar"));
                    }
                    layer.after(&asked, &mut answer);
                    answer
                }
            };
            let mut wanted = given(&case.fields["expected"]);
            found.remove("content-length");
            wanted.remove("content-length");
            Played::compare(&shown(&wanted), &shown(&found))
        }
        _ => Played::Foreign,
    }
}

#[test]
fn paths_are_changed_as_traefik_changes_them() {
    play("pkg/middlewares/addprefix", &[], |case| path(case, "addPrefix", "prefix", ""));
    play("pkg/middlewares/stripprefix", &[], |case| {
        path(case, "stripPrefix", "config", "x-forwarded-prefix")
    });
    play("pkg/middlewares/stripprefixregex", &[], |case| {
        path(case, "stripPrefixRegex", "config", "x-forwarded-prefix")
    });
    play("pkg/middlewares/replacepath", &[], |case| path(case, "replacePath", "config", "x-replaced-path"));
    play("pkg/middlewares/replacepathregex", &[], |case| {
        path(case, "replacePathRegex", "config", "x-replaced-path")
    });
}

#[test]
fn requests_are_sent_elsewhere_as_traefik_sends_them() {
    // Only Kubernetes' providers can ask for a status of their own.
    let known = &[
        "TestRedirectSchemeHandler: HTTP to HTTPS with explicit 308 status code",
        "TestRedirectSchemeHandler: HTTP to HTTPS with explicit 308 status code for GET request",
    ];
    play("pkg/middlewares/redirect", known, redirect);
}

#[test]
fn addresses_may_as_with_traefik() {
    play("pkg/middlewares/ipallowlist", &[], allowed);
}

#[test]
fn headers_are_traefiks() {
    play("pkg/middlewares/headers", &[], headers);
}
