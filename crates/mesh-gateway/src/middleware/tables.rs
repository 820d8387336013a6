//! Traefik's tables of middlewares that are around others, or look at certificates and passwords, played.

use super::{exchange::decoded, *};
use crate::{
    config::{duration::Span, model},
    suite::{Case, Played, play, texts},
};
use hyper::{
    HeaderMap, Method, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue},
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::Value;
use std::time::{Duration, Instant};

/// A configuration from a row's field.
fn config<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, String> {
    serde_json::from_value(value.clone()).map_err(|error| error.to_string())
}

fn name(encoding: Option<Encoding>) -> &'static str {
    match encoding {
        Some(Encoding::Gzip) => "gzip",
        Some(Encoding::Brotli) => "br",
        Some(Encoding::Zstd) => "zstd",
        None => "",
    }
}

fn compress(case: &Case) -> Played {
    let mut settings = model::Compress::default();
    let mut exchange = Exchange::default();
    let mut accept = vec!["gzip".to_owned()];
    let mut kind = String::new();
    let mut length = Some(100_000);
    let expected = match case.test.as_str() {
        "Test_getCompressionEncoding" => {
            accept = case.texts("acceptEncoding");
            settings.default_encoding = case.text("defaultEncoding").to_owned();
            if !case.texts("supportedEncodings").is_empty() {
                settings.encodings = case.texts("supportedEncodings");
            }
            // Both mean that the answer stays as it is.
            match case.text("expected") {
                "identity" | "not_acceptable" => "",
                other => other,
            }
        }
        "TestNegotiation" => {
            accept = vec![case.text("acceptEncHeader").to_owned()];
            case.text("expEncoding")
        }
        "TestShouldNotCompressWhenSpecificContentType" | "TestShouldCompressWhenSpecificContentType" => {
            settings = match config(&case.fields["conf"]) {
                Ok(settings) => settings,
                Err(error) => return Played::Different(error),
            };
            let asked = case.text("reqContentType");
            if !asked.is_empty() {
                exchange.headers.insert(CONTENT_TYPE, HeaderValue::from_str(asked).expect("a value"));
            }
            kind = case.text("respContentType").to_owned();
            if case.test.contains("Not") { "" } else { "gzip" }
        }
        "TestMinResponseBodyBytes" => {
            settings.min_response_body_bytes =
                case.fields["minResponseBodyBytes"].as_i64().unwrap_or_default();
            if case.flag("expectedCompression") { "gzip" } else { "" }
        }
        "Test_ExcludedContentTypes"
        | "Test_IncludedContentTypes"
        | "Test_FlushExcludedContentTypes"
        | "Test_FlushIncludedContentTypes" => {
            settings.excluded_content_types = case.texts("excludedContentTypes");
            settings.included_content_types = case.texts("includedContentTypes");
            let all = [&settings.excluded_content_types, &settings.included_content_types];
            if all.into_iter().flatten().any(|text| text.contains(';')) {
                // The middleware around what is tested takes off what follows a type.
                return Played::Foreign;
            }
            if case.test.contains("Flush") {
                length = None;
            }
            kind = case.text("contentType").to_owned();
            accept = vec!["zstd".to_owned()];
            if case.flag("expCompression") { "zstd" } else { "" }
        }
        // Writers that are flushed, and answers that are functions of the test's.
        _ => return Played::Foreign,
    };
    let layer = match Compress::new(&settings) {
        Ok(layer) => layer,
        Err(error) => return Played::Different(error.to_string()),
    };
    for accept in accept {
        exchange.headers.append(ACCEPT_ENCODING, HeaderValue::from_str(&accept).expect("a value"));
    }
    let mut headers = HeaderMap::new();
    if !kind.is_empty() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(&kind).expect("a value"));
    }
    let wanted = layer.wanted(&exchange);
    let wanted = wanted.filter(|wanted| layer.applies(*wanted, StatusCode::OK, &mut headers, length));
    assert_eq!(headers.contains_key(CONTENT_ENCODING), wanted.is_some());
    Played::compare(&expected, &name(wanted))
}

fn encoded(case: &Case) -> Played {
    if case.test != "TestEncodedCharacters" {
        // Which characters those are, in the form of a map.
        return Played::Foreign;
    }
    let settings: model::EncodedCharacters = match config(&case.fields["config"]) {
        Ok(settings) => settings,
        Err(error) => return Played::Different(error),
    };
    let admits = EncodedCharacters::new(&settings).admits(case.text("path"));
    Played::compare(&case.fields["expectedStatusCode"].as_u64(), &Some(if admits { 200 } else { 400 }))
}

/// Plays attempts, of which the first ones reach nobody and others are answered with these; the status and how often
/// was sent again.
fn attempts(
    retry: &Retry,
    method: &Method,
    faulty: (u64, u16),
    statuses: &[u16],
    body: u64,
    late: bool,
) -> (u16, u64) {
    let fits = retry.body_bytes_max().is_none_or(|most| body <= most);
    let minds = retry.minds_answers(method) && fits;
    let before = Duration::from_secs(if late { 60 } else { 0 });
    let since = Instant::now().checked_sub(before).expect("a machine that is on for a while");
    let mut statuses = statuses.iter();
    for sent in 1.. {
        let (attempt, status) = match u64::from(sent) <= faulty.0 {
            true => (Attempt::Unreached(StatusCode::from_u16(faulty.1).expect("a status")), faulty.1),
            false => {
                let code = *statuses.next().unwrap_or(&200);
                (Attempt::Answered(StatusCode::from_u16(code).expect("a status")), code)
            }
        };
        if retry.again(sent, since, attempt, minds).is_none() {
            return (status, u64::from(sent) - 1);
        }
    }
    unreachable!("attempts are bounded")
}

fn retry(case: &Case) -> Played {
    let settings: Result<model::Retry, String> = config(&case.fields["config"]);
    let Ok(mut settings) = settings else { return Played::Foreign };
    if case.test == "TestRetryWebsocket" {
        return Played::Foreign;
    }
    if let Some(text) = case.fields["config"]["timeout"].as_str() {
        settings.timeout = Span::parse(text).unwrap_or_default();
    }
    let made = Retry::new(&settings);
    if case.test == "TestRetryHTTPStatusCodesConfigValidation" {
        return Played::compare(&case.flag("expectError"), &made.is_err());
    }
    let retry = match made {
        Ok(retry) => retry,
        Err(error) => return Played::Different(error.to_string()),
    };
    let method = match case.text("requestMethod") {
        "" => Method::GET,
        method => method.parse().expect("a method"),
    };
    let number = |field: &str| case.fields[field].as_u64().unwrap_or_default();
    let statuses: Vec<u16> = case
        .items("responseStatusCodes")
        .iter()
        .filter_map(|code| code.as_u64().and_then(|code| u16::try_from(code).ok()))
        .collect();
    let faulty = match case.test.as_str() {
        "TestRetry" => (number("amountFaultyEndpoints"), 502),
        _ => (number("amountOfTCPFailures"), 504),
    };
    // Those that reach nobody have a place among the statuses too.
    let skipped = if case.test == "TestRetry" { 0 } else { usize::try_from(faulty.0).expect("a count") };
    let statuses = statuses.get(skipped..).unwrap_or_default();
    let body = case.text("requestBody").len() as u64;
    let late = !["", "0s"].contains(&case.text("responseDelay"));
    let found = attempts(&retry, &method, faulty, statuses, body, late);
    let wanted = u16::try_from(number("wantResponseStatus")).expect("a status");
    Played::compare(&(wanted, number("wantRetryAttempts")), &found)
}

fn certificate(case: &Case) -> Played {
    let (header, info) = match case.test.as_str() {
        "TestPassTLSClientCert_PEM" => ("x-forwarded-tls-client-cert", false),
        "TestPassTLSClientCert_certInfo" => ("x-forwarded-tls-client-cert-info", true),
        _ => return Played::Foreign,
    };
    let settings: model::PassTlsClientCert = match config(&case.fields["config"]) {
        Ok(settings) => settings,
        Err(error) => return Played::Different(error),
    };
    let shown = texts(&case.fields["certContents"]);
    // The first certificate of each text, as Go's tests read them.
    let chain: Vec<CertificateDer<'static>> = shown
        .iter()
        .filter_map(|text| {
            let begin = text.find("-----BEGIN CERTIFICATE-----")?;
            CertificateDer::from_pem_slice(&text.as_bytes()[begin..]).ok()
        })
        .collect();
    let mut exchange = Exchange { peer: chain.into(), ..Exchange::default() };
    ClientCert::new(&settings).before(&mut exchange);
    let found = exchange.header(header).unwrap_or_default().to_owned();
    if info {
        let spaced = found.replace('+', "%20");
        return Played::compare(&case.text("expectedHeader").to_owned(), &decoded(&spaced));
    }
    let clean = |text: &String| {
        let begin = text.find("-----BEGIN CERTIFICATE-----").unwrap_or_default();
        let of = |mark: &str, text: &str| text.replace(mark, "");
        of("\n", &of("-----END CERTIFICATE-----", &of("-----BEGIN CERTIFICATE-----", &text[begin..])))
    };
    let wanted = match case.text("expectedHeader") {
        "" => String::new(),
        _ => shown.iter().map(clean).collect::<Vec<_>>().join(","),
    };
    Played::compare(&wanted, &found)
}

/// What another server is asked, as the table has it.
fn asked(case: &Case) -> Played {
    let settings = model::ForwardAuth {
        address: "http://auth".to_owned(),
        trust_forward_header: case.fields["trustForwardHeader"].as_bool(),
        auth_request_headers: case.texts("authRequestHeaders"),
        ..model::ForwardAuth::default()
    };
    let layer = match ForwardAuth::new(&settings) {
        Ok(layer) => layer,
        Err(error) => return Played::Different(error.to_string()),
    };
    let host = if case.flag("emptyHost") { "" } else { "foo.bar" };
    let mut exchange = Exchange {
        host: host.to_owned(),
        path: "/path".to_owned(),
        query: Some("q=1".to_owned()),
        ..Exchange::default()
    };
    for (name, value) in case.pairs("headers") {
        let value = HeaderValue::from_str(value.as_str().unwrap_or_default()).expect("a value");
        exchange.headers.insert(name.parse::<hyper::header::HeaderName>().expect("a name"), value);
    }
    let mut found = layer.question(&exchange).headers;
    let mut missing = Vec::new();
    for (name, value) in case.pairs("expectedHeaders") {
        let value = value.as_str().unwrap_or_default();
        let told = found.remove(name);
        // An empty one keeps Go's client from naming itself; here nobody does.
        if told.as_ref().map_or("", |told| told.to_str().unwrap_or_default()) != value {
            missing.push((name.to_owned(), value.to_owned(), told));
        }
    }
    let unexpected = if case.flag("checkForUnexpectedHeaders") { found.len() } else { 0 };
    match missing.is_empty() && unexpected == 0 {
        true => Played::Same,
        false => Played::Different(format!("missing {missing:?}, beside {found:?}")),
    }
}

/// Who is known by a file and a list.
fn users(case: &Case) -> Played {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), case.text("userFileContent")).expect("written");
    let hidden = |text: &String| model::Hidden(mesh_redact::Secret::new(text.clone()));
    let settings = model::BasicAuth {
        users: case.texts("givenUsers").iter().map(hidden).collect(),
        users_file: file.path().display().to_string(),
        realm: case.text("realm").to_owned(),
        ..model::BasicAuth::default()
    };
    let layer = match BasicAuth::new("test", &settings) {
        Ok(layer) => layer,
        Err(error) => return Played::Different(error.to_string()),
    };
    for (name, password) in case.pairs("expectedUsers") {
        let both = format!("{name}:{}", password.as_str().unwrap_or_default());
        let mut exchange = Exchange::default();
        let shown = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, both);
        let shown = HeaderValue::from_str(&format!("Basic {shown}")).expect("a value");
        exchange.headers.insert(hyper::header::AUTHORIZATION, shown);
        if layer.before(&mut exchange).is_err() {
            return Played::Different(format!("{name} is not known"));
        }
    }
    Played::compare(&false, &layer.before(&mut Exchange::default()).is_ok())
}

fn access(case: &Case) -> Played {
    let simple = |change: &dyn Fn(&mut model::ForwardAuth)| {
        let mut settings = model::ForwardAuth { address: "http://auth".to_owned(), ..Default::default() };
        change(&mut settings);
        ForwardAuth::new(&settings).expect("a layer")
    };
    match case.test.as_str() {
        "TestForwardAuth_writeHeader" | "TestForwardAuth_oldWriteHeader" => asked(case),
        "TestBasicAuthUsersFromFile" => users(case),
        "TestForwardAuthPreserveRequestMethod" => {
            let layer =
                simple(&|settings| settings.preserve_request_method = case.flag("preserveRequestMethod"));
            let method = case.text("originalReqMethod").parse().expect("a method");
            let question = layer.question(&Exchange { method, ..Exchange::default() });
            Played::compare(
                &case.text("expectedReqMethodInAuthServer").to_owned(),
                &question.method.to_string(),
            )
        }
        "TestForwardAuthAuthSigninURL" => {
            let layer = simple(&|settings| settings.auth_signin_url = case.text("authSigninURL").to_owned());
            let status = case.fields["authServerStatus"].as_u64().and_then(|code| u16::try_from(code).ok());
            let status = StatusCode::from_u16(status.unwrap_or_default()).expect("a status");
            let answered =
                layer.answered(&mut Exchange::default(), status, HeaderMap::new(), bytes::Bytes::new());
            let (status, place) = match answered {
                Ok(()) => (200, String::new()),
                Err(reply) => {
                    let place = reply.headers.get("location").map(|place| place.to_str().unwrap_or_default());
                    (u64::from(reply.status.as_u16()), place.unwrap_or_default().to_owned())
                }
            };
            let wanted = case.fields["expectedStatus"].as_u64().unwrap_or_default();
            Played::compare(&(wanted, case.text("expectedLocation").to_owned()), &(status, place))
        }
        // Connections of the test's own.
        _ => Played::Foreign,
    }
}

#[test]
fn whoever_may_is_who_may_with_traefik() {
    play("pkg/middlewares/auth", &[], access);
}

#[test]
fn answers_are_made_smaller_as_traefik_makes_them() {
    // What Traefik chooses for `*` it does not carry out: its writer of gzip looks for the word.
    play("pkg/middlewares/compress", &["TestNegotiation: accept any header"], compress);
}

#[test]
fn paths_may_have_what_they_may_with_traefik() {
    play("pkg/middlewares/encodedcharacters", &[], encoded);
}

#[test]
fn requests_are_sent_again_as_traefik_sends_them() {
    play("pkg/middlewares/retry", &[], retry);
}

#[test]
fn certificates_are_told_as_traefik_tells_them() {
    play("pkg/middlewares/passtlsclientcert", &[], certificate);
}
