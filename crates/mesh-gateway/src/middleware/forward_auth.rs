//! Another server is asked whether a request may, and what is to be told of whom it comes from.
//!
//! What is asked and what follows from the answer is decided here; who does the asking is not known.

use super::{
    LayerError,
    exchange::{Exchange, Reply},
};
use crate::{
    config::{
        expression::compile,
        model::{self, Certificate, ServersTransport},
    },
    upstream::{Line, Pool, Scheme, Transport},
};
use bytes::Bytes;
use hyper::{
    HeaderMap, Method, StatusCode, Uri,
    header::{CONTENT_LENGTH, HOST, HeaderName, HeaderValue, LOCATION, SET_COOKIE},
};
use regex::Regex;
use std::sync::{Arc, OnceLock};

/// What is said of the request that is asked about; a client's own words count only where they are believed.
const SAID: &[&str] = &[
    "x-forwarded-for",
    "x-forwarded-method",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-uri",
    "x-forwarded-prefix",
    "x-forwarded-server",
    "x-forwarded-scheme",
    "x-scheme",
    "x-real-ip",
    "x-forwarded-tls-client-cert",
    "x-forwarded-tls-client-cert-info",
];
/// What is between two hops.
const HOP: &[&str] =
    &["connection", "keep-alive", "te", "trailers", "transfer-encoding", "upgrade", "content-length"];
/// Largest answer that is handed on, in bytes, where nothing is configured.
const ANSWER_BYTES_MAX: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct ForwardAuth {
    scheme: Scheme,
    /// Host and port of the other server; and as they were written.
    authority: String,
    host: String,
    target: String,
    transport: Arc<Transport>,
    line: OnceLock<Arc<Line>>,
    /// Largest body that is asked about; none if bodies are not.
    body: Option<Option<u64>>,
    /// Cookies of the other server's that the client gets.
    cookies: Vec<String>,
    /// None for what Traefik did before it could be told: some words count, others do not.
    trusts: Option<bool>,
    asks_with: Vec<HeaderName>,
    tells: Vec<HeaderName>,
    tells_like: Option<Regex>,
    keeps_method: bool,
    keeps_location: bool,
    sign_in: Option<HeaderValue>,
    answer_bytes_max: usize,
}

/// What is asked.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) host: String,
    pub(crate) headers: HeaderMap,
    pub(crate) answer_bytes_max: usize,
}

impl ForwardAuth {
    pub(super) fn new(config: &model::ForwardAuth) -> Result<Self, LayerError> {
        let wrong = || LayerError::Address(config.address.clone());
        let address: Uri = config.address.parse().map_err(|_| wrong())?;
        let scheme = address.scheme_str().and_then(Scheme::named).ok_or_else(wrong)?;
        let host = address.authority().ok_or_else(wrong)?;
        let host = host.as_str().rsplit_once('@').map_or(host.as_str(), |(_, host)| host).to_owned();
        let authority = match address.port_u16() {
            Some(_) => host.clone(),
            None => format!("{host}:{}", scheme.port()),
        };
        let target = address.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        let names = |names: &[String]| -> Result<Vec<HeaderName>, LayerError> {
            let parse = |name: &String| name.trim().parse().map_err(|_| LayerError::HeaderName(name.clone()));
            names.iter().map(parse).collect()
        };
        let like = config.auth_response_headers_regex.as_str();
        let sign_in = config.auth_signin_url.as_str();
        let size = config.max_response_body_size.and_then(|size| usize::try_from(size).ok());
        let size_of_body = config.max_body_size.and_then(|size| u64::try_from(size).ok());
        Ok(Self {
            scheme,
            authority,
            host,
            target,
            transport: Arc::new(Transport::new(&transport(config.tls.as_ref()))?),
            line: OnceLock::new(),
            body: config.forward_body.then_some(size_of_body),
            cookies: config.add_auth_cookies_to_response.clone(),
            trusts: config.trust_forward_header,
            asks_with: names(&config.auth_request_headers)?,
            tells: names(&config.auth_response_headers)?,
            tells_like: if like.is_empty() { None } else { Some(compile(like)?) },
            keeps_method: config.preserve_request_method,
            keeps_location: config.preserve_location_header,
            sign_in: if sign_in.is_empty() { None } else { Some(HeaderValue::from_str(sign_in)?) },
            answer_bytes_max: size.unwrap_or(ANSWER_BYTES_MAX),
        })
    }

    /// The way to the other server.
    pub(crate) fn line(&self, pool: &Pool) -> &Arc<Line> {
        self.line.get_or_init(|| pool.line(&self.transport, self.scheme, &self.authority))
    }

    /// Largest body that is asked about; none if bodies are not.
    pub(crate) fn body_bytes_max(&self) -> Option<Option<u64>> {
        self.body
    }

    /// What is asked about a request.
    pub(crate) fn question(&self, exchange: &Exchange) -> Question {
        let mut headers = exchange.headers.clone();
        for name in HOP {
            headers.remove(*name);
        }
        headers.remove(HOST);
        if self.body.is_some()
            && let Some(kind) = exchange.headers.get(CONTENT_LENGTH)
        {
            headers.insert(CONTENT_LENGTH, kind.clone());
        }
        if self.trusts == Some(false) {
            let said: Vec<HeaderName> = headers.keys().filter(|name| is_said(name)).cloned().collect();
            for name in said {
                headers.remove(name);
            }
        }
        if !self.asks_with.is_empty() {
            let trusted = self.trusts == Some(true);
            let named: Vec<HeaderName> = headers.keys().cloned().collect();
            for name in named {
                let said = trusted && SAID.contains(&name.as_str());
                if !said && !self.asks_with.contains(&name) {
                    headers.remove(&name);
                }
            }
        }
        self.tell(exchange, &mut headers);
        let method = if self.keeps_method { exchange.method.clone() } else { Method::GET };
        Question {
            method,
            target: self.target.clone(),
            host: self.host.clone(),
            headers,
            answer_bytes_max: self.answer_bytes_max,
        }
    }

    fn tell(&self, exchange: &Exchange, headers: &mut HeaderMap) {
        let believed = self.trusts == Some(true);
        let mut say = |name: &'static str, value: &str| {
            let known = believed && headers.contains_key(name);
            if let Ok(value) = HeaderValue::from_str(value)
                && !known
            {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        say("x-forwarded-method", exchange.method.as_str());
        say("x-forwarded-proto", if exchange.tls { "https" } else { "http" });
        say("x-forwarded-host", &exchange.host);
        say("x-forwarded-uri", &exchange.target());
        if self.trusts.is_some() {
            let tls = headers.get("x-forwarded-proto").is_some_and(|said| said == "https" || said == "wss");
            let named = exchange.host.rsplit_once(':').map(|(_, port)| port);
            let named =
                named.filter(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
            let port = named.unwrap_or(if tls || exchange.tls { "443" } else { "80" }).to_owned();
            let known = believed && headers.contains_key("x-forwarded-port");
            if let Ok(port) = HeaderValue::from_str(&port)
                && !known
            {
                headers.insert("x-forwarded-port", port);
            }
        }
        if let Some(client) = exchange.client.map(|client| client.ip().to_canonical()) {
            let before = headers.get("x-forwarded-for").filter(|_| believed);
            let way =
                before.and_then(|before| before.to_str().ok()).map(|before| format!("{before}, {client}"));
            if let Ok(value) = HeaderValue::from_str(&way.unwrap_or_else(|| client.to_string())) {
                headers.insert("x-forwarded-for", value);
            }
        }
    }

    /// What follows from the answer: the request goes on with what was told, or the answer is the client's.
    pub(crate) fn answered(
        &self,
        exchange: &mut Exchange,
        status: StatusCode,
        mut answer: HeaderMap,
        body: Bytes,
    ) -> Result<(), Reply> {
        if let Some(place) = self.sign_in.as_ref().filter(|_| status == StatusCode::UNAUTHORIZED) {
            let mut reply = Reply::plain(StatusCode::FOUND);
            reply.headers.insert(LOCATION, place.clone());
            return Err(reply);
        }
        if !status.is_success() {
            for name in HOP {
                answer.remove(*name);
            }
            self.resolve(&mut answer);
            return Err(Reply { status, headers: Box::new(answer), body });
        }
        let like = |name: &HeaderName| self.tells_like.as_ref().is_some_and(|like| is_like(like, name));
        let told = |name: &HeaderName| self.tells.contains(name) || like(name);
        let own: Vec<HeaderName> = exchange.headers.keys().filter(|name| told(name)).cloned().collect();
        for name in own {
            exchange.headers.remove(name);
        }
        for (name, value) in answer.iter().filter(|(name, _)| told(name)) {
            exchange.headers.append(name, value.clone());
        }
        exchange.cookies.extend(answer.get_all(SET_COOKIE).iter().cloned());
        Ok(())
    }

    /// Cookies of the other server take the place of those that the service set under their names.
    pub(super) fn after(&self, exchange: &Exchange, answer: &mut HeaderMap) {
        if exchange.cookies.is_empty() || self.cookies.is_empty() {
            return;
        }
        let is_named = |cookie: &&HeaderValue| {
            let name =
                cookie.to_str().ok().and_then(|text| text.split_once('=')).map(|(name, _)| name.trim());
            name.is_some_and(|name| self.cookies.iter().any(|known| known == name))
        };
        let own: Vec<HeaderValue> =
            answer.get_all(SET_COOKIE).iter().filter(|cookie| !is_named(cookie)).cloned().collect();
        answer.remove(SET_COOKIE);
        for cookie in own.iter().chain(exchange.cookies.iter().filter(is_named)) {
            answer.append(SET_COOKIE, cookie.clone());
        }
    }

    /// Where a client is sent on to, as seen from it: relative places are the other server's.
    fn resolve(&self, answer: &mut HeaderMap) {
        let place =
            answer.get(LOCATION).and_then(|place| place.to_str().ok()).filter(|_| !self.keeps_location);
        let Some(place) = place.filter(|place| place.starts_with('/') && !place.starts_with("//")) else {
            return;
        };
        let (scheme, host) = (self.scheme.name(), &self.host);
        if let Ok(absolute) = HeaderValue::from_str(&format!("{scheme}://{host}{place}")) {
            answer.insert(LOCATION, absolute);
        }
    }
}

/// Whether a header says on whose behalf a request is; underscores count as hyphens.
fn is_said(name: &HeaderName) -> bool {
    let name = name.as_str();
    SAID.contains(&name) || (name.contains('_') && SAID.contains(&name.replace('_', "-").as_str()))
}

/// How the other server is spoken to.
fn transport(tls: Option<&model::ClientTls>) -> ServersTransport {
    let Some(tls) = tls else { return ServersTransport::default() };
    let shows = !tls.cert.is_empty() || !tls.key.expose().is_empty();
    let certificate = Certificate { cert_file: tls.cert.clone(), key_file: tls.key.clone() };
    ServersTransport {
        insecure_skip_verify: tls.insecure_skip_verify,
        root_cas: if tls.ca.is_empty() { Vec::new() } else { vec![tls.ca.clone()] },
        certificates: if shows { vec![certificate] } else { Vec::new() },
        ..ServersTransport::default()
    }
}

/// Expressions are written for names with capitals at the front of each word, as Go has them.
fn is_like(expression: &Regex, name: &HeaderName) -> bool {
    let mut front = true;
    let canonical: String = name
        .as_str()
        .chars()
        .map(|character| {
            let now = if front { character.to_ascii_uppercase() } else { character };
            front = character == '-';
            now
        })
        .collect();
    expression.is_match(&canonical)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(change: impl FnOnce(&mut model::ForwardAuth)) -> ForwardAuth {
        let mut config =
            model::ForwardAuth { address: "http://auth:80/verify".to_owned(), ..Default::default() };
        change(&mut config);
        ForwardAuth::new(&config).expect("a layer")
    }

    fn exchange() -> Exchange {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("cookie", "a=b"),
            ("x-user", "evil"),
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-prefix", "/evil"),
            ("content-length", "5"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        Exchange {
            method: Method::POST,
            host: "app.test".to_owned(),
            path: "/a".to_owned(),
            query: Some("b=c".to_owned()),
            headers,
            client: "10.0.0.9:1".parse().ok(),
            ..Exchange::default()
        }
    }

    #[test]
    fn what_is_asked_says_only_what_is_believed() {
        for (trusts, expected) in [
            (None, ["10.0.0.9", "http", "/evil", "a=b"]),
            (Some(false), ["10.0.0.9", "http", "", "a=b"]),
            (Some(true), ["1.1.1.1, 10.0.0.9", "https", "/evil", "a=b"]),
        ] {
            let question = layer(|config| config.trust_forward_header = trusts).question(&exchange());
            let said = |name: &str| {
                question.headers.get(name).map_or("", |value| value.to_str().unwrap_or_default())
            };
            let found = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-prefix", "cookie"].map(said);
            assert_eq!(found, expected, "{trusts:?}");
            assert_eq!(said("x-forwarded-uri"), "/a?b=c");
            assert_eq!((question.method.as_str(), said("x-forwarded-method")), ("GET", "POST"));
            assert_eq!(said("content-length"), "");
        }
        let chosen =
            layer(|config| config.auth_request_headers = vec!["X-User".to_owned()]).question(&exchange());
        assert!(chosen.headers.contains_key("x-user") && !chosen.headers.contains_key("cookie"));
    }

    #[test]
    fn what_is_answered_is_told_or_is_the_answer() {
        let told = layer(|config| {
            config.auth_response_headers = vec!["X-User".to_owned()];
            config.auth_response_headers_regex = "^X-Claim-".to_owned();
        });
        let mut answer = HeaderMap::new();
        for (name, value) in [("x-claim-role", "admin"), ("x-other", "no"), ("location", "/login")] {
            answer.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let mut asked = exchange();
        told.answered(&mut asked, StatusCode::OK, answer.clone(), Bytes::new()).expect("it goes on");
        assert_eq!(asked.headers["x-claim-role"], "admin");
        // What the client said of itself under such a name is gone.
        assert!(!asked.headers.contains_key("x-user") && !asked.headers.contains_key("x-other"));
        let refused =
            told.answered(&mut asked, StatusCode::FORBIDDEN, answer.clone(), Bytes::from_static(b"no"));
        let refused = refused.expect_err("it ends here");
        assert_eq!((refused.status, &refused.body[..]), (StatusCode::FORBIDDEN, &b"no"[..]));
        assert_eq!(refused.headers["location"], "http://auth:80/login");
        let sign_in = layer(|config| config.auth_signin_url = "https://sso/".to_owned());
        let sent =
            sign_in.answered(&mut asked, StatusCode::UNAUTHORIZED, answer, Bytes::new()).expect_err("sent");
        assert_eq!(
            (sent.status, &sent.headers["location"]),
            (StatusCode::FOUND, &HeaderValue::from_static("https://sso/"))
        );
    }
}
