//! The HTTP API's client: one request, one answer, read whole.

mod address;
mod wire;

use crate::{
    duration::Duration, environment::Environment, flags::Flags, secret::Secret as Answer, values::json_line,
};
use address::Address;
use hyper::{HeaderMap, Method, StatusCode, header::HeaderValue};
use mesh_redact::Secret;
use serde_json::Value;
use std::{path::Path, time};

/// How long an answer may take unless `VAULT_CLIENT_TIMEOUT` says otherwise.
const TIMEOUT: time::Duration = time::Duration::from_secs(60);
/// Where a server listens unless somebody says otherwise.
const ADDRESS: &str = "https://127.0.0.1:8200";
/// How long the answer to `sys/wrapping/wrap` is kept, unless told.
const WRAP_TTL: &str = "5m";

/// A client of one server.
pub(crate) struct Client {
    address: Address,
    tls: mesh_tls::Client,
    server_name: Option<String>,
    token: Option<Secret<String>>,
    namespace: Option<String>,
    headers: HeaderMap,
    wrap_ttl: Option<String>,
    timeout: time::Duration,
    follows: bool,
    /// Requests are written as lines for `curl`, not sent.
    as_curl: bool,
}

/// Why a request had no answer that counts.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// The server answered with an error.
    #[error("{text}")]
    Answered {
        status: u16,
        /// What its body says, where it says anything: some errors carry warnings or data.
        body: Vec<u8>,
        /// The words for a person.
        text: String,
    },
    /// There was no answer; why.
    #[error("{0}")]
    Other(String),
    /// It was not asked: the request as a line for `curl`.
    #[error("{0}")]
    Curl(String),
}

impl ApiError {
    /// The status of an answer.
    pub(crate) const fn status(&self) -> Option<u16> {
        match self {
            Self::Answered { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Ask<'a> {
    method: Method,
    path: &'a str,
    query: Vec<(String, String)>,
    body: Option<Value>,
    patch: bool,
}

impl<'a> Ask<'a> {
    pub(crate) fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, query: Vec::new(), body: None, patch: false }
    }

    pub(crate) fn list(path: &'a str) -> Self {
        Self::get(path).with("list", "true")
    }

    pub(crate) fn put(path: &'a str, body: Value) -> Self {
        Self { method: Method::PUT, body: Some(body), ..Self::get(path) }
    }

    pub(crate) fn post(path: &'a str, body: Value) -> Self {
        Self { method: Method::POST, ..Self::put(path, body) }
    }

    pub(crate) fn delete(path: &'a str) -> Self {
        Self { method: Method::DELETE, ..Self::get(path) }
    }

    /// A JSON merge patch.
    pub(crate) fn patch(path: &'a str, body: Value) -> Self {
        Self { method: Method::PATCH, patch: true, ..Self::put(path, body) }
    }

    /// With a parameter.
    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        self.query.push((key.to_owned(), value.to_owned()));
        self
    }
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
}

impl Client {
    /// A client as flags and environment have it, without a token.
    pub(crate) fn new(environment: &Environment, flags: &Flags) -> Result<Self, String> {
        let told = |flag: &str, variable: &str| {
            flags.text(flag).map(str::to_owned).or_else(|| environment.text(variable))
        };
        let address = told("agent-address", "VAULT_AGENT_ADDR").or_else(|| told("address", "VAULT_ADDR"));
        let address = Address::parse(address.as_deref().unwrap_or(ADDRESS))?;
        let truth = |variable: &str| environment.text(variable).and_then(|text| crate::flags::truth(&text));
        let skips = match flags.has("tls-skip-verify") {
            true => flags.is("tls-skip-verify"),
            false => truth("VAULT_SKIP_VERIFY").unwrap_or(false),
        };
        let timeout = match environment.text("VAULT_CLIENT_TIMEOUT") {
            Some(text) => {
                let time = Duration::parse(&text)
                    .map_err(|why| format!("could not parse VAULT_CLIENT_TIMEOUT: {why}"))?;
                time::Duration::from_secs(time.whole_seconds().unsigned_abs())
            }
            None => TIMEOUT,
        };
        let wrap_ttl = match flags.time("wrap-ttl") {
            Some(time) if !time.is_zero() => Some(time.to_string()),
            _ => environment.text("VAULT_WRAP_TTL"),
        };
        let namespace = flags.text("ns").map(str::to_owned).or_else(|| told("namespace", "VAULT_NAMESPACE"));
        Ok(Self {
            address,
            tls: tls(&told, skips)?,
            server_name: told("tls-server-name", "VAULT_TLS_SERVER_NAME"),
            token: None,
            namespace: namespace
                .map(|name| format!("{}/", name.trim_matches('/')))
                .filter(|name| name != "/"),
            headers: headers(flags)?,
            wrap_ttl,
            timeout,
            follows: !flags.is("disable-redirects") && !truth("VAULT_DISABLE_REDIRECTS").unwrap_or(false),
            as_curl: flags.is("output-curl-string"),
        })
    }

    /// Whether an address is one.
    pub(crate) fn check_address(address: &str) -> Result<(), String> {
        Address::parse(address).map(drop)
    }

    /// The token that requests carry.
    pub(crate) fn token(&self) -> Option<&Secret<String>> {
        self.token.as_ref()
    }

    /// Lets requests carry a token, or none.
    pub(crate) fn set_token(&mut self, token: Option<Secret<String>>) {
        self.token = token;
    }

    /// Asks outside of any namespace from now on.
    pub(crate) fn leave_namespace(&mut self) {
        self.namespace = None;
    }

    /// Wraps no answers from now on; gives how they were wrapped.
    pub(crate) fn unwrapped(&mut self) -> Option<String> {
        self.wrap_ttl.take()
    }

    /// Wraps answers again.
    pub(crate) fn wrap_again(&mut self, ttl: Option<String>) {
        self.wrap_ttl = ttl;
    }

    /// Sends requests from now on, although they were to be written for `curl`; gives whether they were.
    pub(crate) fn really(&mut self, as_curl: bool) -> bool {
        std::mem::replace(&mut self.as_curl, as_curl)
    }

    /// Asks; an answer of an error is an error.
    pub(crate) fn ask(&self, ask: &Ask<'_>) -> Result<Answered, ApiError> {
        let url = self.address.url(ask.path, &ask.query);
        let body = ask.body.as_ref().map(Value::to_string);
        let headers = self.headers_of(ask)?;
        if self.as_curl {
            return Err(ApiError::Curl(self.curl(ask, &url, &headers)));
        }
        let mut exchange = wire::Exchange {
            address: self.address.clone(),
            method: ask.method.clone(),
            target: self.address.target(ask.path, &ask.query),
            headers,
            body: body.unwrap_or_default(),
            tls: &self.tls,
            server_name: self.server_name.as_deref(),
        };
        let mut url = url;
        let mut answer = self.send(&exchange, &url)?;
        if self.follows
            && let Some(location) = answer.location.take()
        {
            let wrong = |why: &str| ApiError::Other(format!("redirect to {location:?}: {why}"));
            let (address, target) = self.address.redirected(&location).map_err(|why| wrong(&why))?;
            url = format!("{}{target}", address.origin());
            (exchange.address, exchange.target) = (address, target);
            answer = self.send(&exchange, &url)?;
        }
        self.judge(ask, &url, answer)
    }

    fn send(&self, exchange: &wire::Exchange<'_>, url: &str) -> Result<wire::Reply, ApiError> {
        let method = exchange.method.as_str();
        let (head, tail) = method.split_at(1);
        let verb = format!("{head}{}", tail.to_lowercase());
        wire::send(exchange, self.timeout).map_err(|why| ApiError::Other(format!("{verb} {url:?}: {why}")))
    }

    fn judge(&self, ask: &Ask<'_>, url: &str, reply: wire::Reply) -> Result<Answered, ApiError> {
        let wire::Reply { status, body, namespace, .. } = reply;
        if status.is_success() || status.is_redirection() {
            return Ok(Answered { status, body });
        }
        let parsed: Option<Value> = serde_json::from_slice(&body).ok();
        let (kind, said) = match &parsed {
            Some(Value::Object(map)) => {
                let errors = map.get("errors").and_then(Value::as_array).into_iter().flatten();
                ("Errors", errors.map(|error| format!("* {}", crate::values::plain(error))).collect())
            }
            _ => ("Raw Message", String::from_utf8_lossy(&body).into_owned()),
        };
        let namespace = match namespace.as_deref() {
            None | Some("" | "root/") => String::new(),
            Some(namespace) => format!("Namespace: {namespace}\n"),
        };
        let text = format!(
            "Error making API request.\n\n{namespace}URL: {} {url}\nCode: {}. {kind}:\n\n{said}",
            ask.method,
            status.as_u16()
        );
        Err(ApiError::Answered { status: status.as_u16(), body, text })
    }

    fn headers_of(&self, ask: &Ask<'_>) -> Result<HeaderMap, ApiError> {
        let mut headers = self.headers.clone();
        headers.insert("x-vault-request", HeaderValue::from_static("true"));
        let wrap = self.wrap_ttl.as_deref();
        let wrap = wrap.or((ask.path == "sys/wrapping/wrap" && ask.body.is_some()).then_some(WRAP_TTL));
        let pairs = [
            ("x-vault-token", self.token.as_ref().map(|token| token.expose().as_str())),
            ("x-vault-namespace", self.namespace.as_deref()),
            ("x-vault-wrap-ttl", wrap),
            ("content-type", ask.patch.then_some("application/merge-patch+json")),
        ];
        for (name, value) in pairs {
            let Some(value) = value else { continue };
            let mut value = HeaderValue::from_str(value).map_err(|_| {
                ApiError::Other(match name {
                    "x-vault-token" => {
                        "configured Vault token contains non-printable characters and cannot be used"
                            .to_owned()
                    }
                    name => format!("the value of {name} cannot be sent"),
                })
            })?;
            value.set_sensitive(name == "x-vault-token");
            headers.insert(name, value);
        }
        Ok(headers)
    }

    /// The request as a line for `curl`. The token is not in it.
    fn curl(&self, ask: &Ask<'_>, url: &str, headers: &HeaderMap) -> String {
        let mut line = "curl".to_owned();
        if matches!(self.tls.trust, mesh_tls::Trust::Insecure) {
            line.push_str(" --insecure");
        }
        if ask.method != Method::GET {
            line.push_str(&format!(" -X {}", ask.method));
        }
        let mut shown: Vec<(String, String)> = headers
            .iter()
            .map(|(name, value)| {
                let name: Vec<String> = name.as_str().split('-').map(capital).collect();
                let value = match value.is_sensitive() {
                    true => "$(vault print token)".to_owned(),
                    false => value.to_str().unwrap_or_default().to_owned(),
                };
                (name.join("-").replace("Ttl", "TTL"), value)
            })
            .collect();
        shown.sort();
        for (name, value) in shown {
            line.push_str(&format!(" -H \"{name}: {value}\""));
        }
        if let Some(body) = &ask.body {
            line.push_str(&format!(" -d '{}'", json_line(body).replace('\'', "'\"'\"'")));
        }
        format!("{line} \"{url}\"")
    }

    /// Asks for an answer of Vault's usual shape. One that says that there is nothing is none, unless it says
    /// something beside that.
    pub(crate) fn answer(&self, ask: &Ask<'_>) -> Result<Option<Answer>, ApiError> {
        let read = |body: &[u8]| Answer::read(body).map_err(ApiError::Other);
        match self.ask(ask) {
            Ok(answered) => read(&answered.body),
            Err(ApiError::Answered { status: 404, body, .. }) if ask.method == Method::GET => {
                Ok(read(&body)?.filter(Answer::says_something))
            }
            Err(error) => Err(error),
        }
    }

    /// Asks for JSON of whatever shape.
    pub(crate) fn json(&self, ask: &Ask<'_>) -> Result<Value, ApiError> {
        let answered = self.ask(ask)?;
        if answered.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&answered.body).map_err(|error| ApiError::Other(error.to_string()))
    }
}

fn capital(word: &str) -> String {
    let (head, tail) = word.split_at(word.len().min(1));
    format!("{}{tail}", head.to_uppercase())
}

/// Whom the client believes, and what it shows.
fn tls(told: &dyn Fn(&str, &str) -> Option<String>, skips: bool) -> Result<mesh_tls::Client, String> {
    let failed = |error: mesh_tls::PemError| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("failed to setup TLS config: {error}{cause}")
    };
    let trust = match (told("ca-cert", "VAULT_CACERT"), told("ca-path", "VAULT_CAPATH")) {
        _ if skips => mesh_tls::Trust::Insecure,
        (Some(file), _) => mesh_tls::Trust::Only(mesh_tls::certificates(Path::new(&file)).map_err(failed)?),
        (None, Some(folder)) => mesh_tls::Trust::Only(of_folder(Path::new(&folder))?),
        (None, None) => mesh_tls::Trust::Machine,
    };
    let identity = match (told("client-cert", "VAULT_CLIENT_CERT"), told("client-key", "VAULT_CLIENT_KEY")) {
        (Some(certificate), Some(key)) => {
            Some(mesh_tls::Identity::read(Path::new(&certificate), Path::new(&key)).map_err(failed)?)
        }
        (None, None) => None,
        _ => {
            return Err(
                "failed to setup TLS config: both client cert and client key must be provided".to_owned()
            );
        }
    };
    Ok(mesh_tls::Client { trust, identity })
}

/// Most files of a folder of authorities.
const AUTHORITIES_MAX: usize = 1000;

fn of_folder(folder: &Path) -> Result<Vec<rustls::pki_types::CertificateDer<'static>>, String> {
    let failed = |error: std::io::Error| format!("failed to setup TLS config: {}: {error}", folder.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)?.take(AUTHORITIES_MAX) {
        let path = entry.map_err(failed)?.path();
        if path.is_file() {
            let read = mesh_tls::certificates(&path);
            found.extend(read.map_err(|error| format!("failed to setup TLS config: {error}"))?);
        }
    }
    Ok(found)
}

/// Headers that were asked for beside Vault's own.
fn headers(flags: &Flags) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (key, value) in flags.pairs("header") {
        if key.to_lowercase().starts_with("x-vault-") {
            return Err(format!(
                "failed to setup Headers[{key}]: Header starting by 'X-Vault-' are for internal usage only"
            ));
        }
        let name = key.parse::<hyper::header::HeaderName>().map_err(|_| format!("{key:?} is no header"))?;
        let value =
            HeaderValue::from_str(&value).map_err(|_| format!("the value of {key} cannot be sent"))?;
        headers.append(name, value);
    }
    Ok(headers)
}
