//! Whether servers are well: what they answer when asked, and what they answered to requests.
//!
//! A server is up until something says otherwise.

use super::{
    Body,
    dial::Scheme,
    line::{SendError, headed},
    pool::Pool,
    transport::Transport,
};
use crate::config::{duration::Span, model};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::{
    HeaderMap, Method, StatusCode, Uri,
    header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, TE},
};
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// Where Traefik's own defaults take the place of times that are none.
const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(5);
/// Least time between two questions, whatever is configured.
const INTERVAL_MIN: Duration = Duration::from_millis(10);
/// Most places that a server may send a question on to.
const REDIRECTIONS_MAX: usize = 10;
/// Most failures of a server that are counted.
const FAILURES_MAX: usize = 1_024;
/// Most bytes of an answer to gRPC's question.
const ANSWER_BYTES_MAX: usize = 4 << 10;
/// Most bytes that are said of why a server is down.
const REASON_BYTES_MAX: usize = 300;

const UP: u8 = 0;
const DOWN: u8 = 1;
/// It is to be tried again at some time.
const DOWN_FOR_A_WHILE: u8 = 2;

/// How a server is.
#[derive(Debug, Default)]
pub(crate) struct Health {
    state: AtomicU8,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    /// Why it is down.
    reason: Option<String>,
    /// When it is tried again.
    until: Option<Instant>,
    failures: VecDeque<Instant>,
}

/// How a server is, for whoever shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerState {
    pub(crate) url: String,
    pub(crate) up: bool,
    /// Why it is not.
    pub(crate) reason: Option<String>,
}

impl Health {
    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_up(&self) -> bool {
        match self.state.load(Ordering::Acquire) {
            UP => true,
            DOWN_FOR_A_WHILE => {
                let mut told = self.told();
                let over = told.until.is_none_or(|until| until <= Instant::now());
                if over {
                    (told.until, told.reason) = (None, None);
                    self.state.store(UP, Ordering::Release);
                }
                over
            }
            _ => false,
        }
    }

    /// Why it is down, if it is.
    pub(crate) fn reason(&self) -> Option<String> {
        if self.is_up() { None } else { self.told().reason.clone() }
    }

    /// How it is, for whoever shows it.
    pub(crate) fn state(&self, url: &str) -> ServerState {
        ServerState { url: url.to_owned(), up: self.is_up(), reason: self.reason() }
    }

    /// What was found when it was asked; whether that is news.
    pub(crate) fn set(&self, found: Result<(), String>) -> bool {
        let mut told = self.told();
        told.until = None;
        let (now, reason) = match found {
            Ok(()) => (UP, None),
            Err(mut reason) => {
                reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
                (DOWN, Some(reason))
            }
        };
        told.reason = reason;
        self.state.swap(now, Ordering::AcqRel) != now
    }

    /// Takes over how the same server was under the configuration before.
    pub(crate) fn take_over(&self, before: &Self) {
        let state = before.state.load(Ordering::Acquire);
        let before = before.told();
        let (reason, until, failures) = (before.reason.clone(), before.until, before.failures.clone());
        drop(before);
        *self.told() = Told { reason, until, failures };
        self.state.store(state, Ordering::Release);
    }
}

/// When a server is taken to be unwell by what it answers to requests.
#[derive(Debug, Clone)]
pub(crate) struct Passive {
    window: Duration,
    failures_max: usize,
    /// Whether it is asked as well: then that alone says when it is well again.
    asked: bool,
}

impl Passive {
    pub(crate) fn new(config: &model::PassiveHealthCheck, asked: bool) -> Self {
        Self {
            window: config.failure_window.get().unwrap_or_default(),
            failures_max: usize::try_from(config.max_failed_attempts).unwrap_or(0).clamp(1, FAILURES_MAX),
            asked,
        }
    }

    /// Notes how a server answered a request.
    pub(crate) fn note(&self, health: &Health, failed: bool, now: Instant) {
        let mut told = health.told();
        if !failed {
            told.failures.clear();
            return;
        }
        while told.failures.front().is_some_and(|&failure| now.duration_since(failure) > self.window) {
            told.failures.pop_front();
        }
        told.failures.push_back(now);
        if told.failures.len() >= self.failures_max && health.state.load(Ordering::Acquire) == UP {
            told.reason = Some(format!("{} requests failed", told.failures.len()));
            told.until = (!self.asked).then(|| now + self.window);
            told.failures.clear();
            health.state.store(if self.asked { DOWN } else { DOWN_FOR_A_WHILE }, Ordering::Release);
        }
    }
}

/// What servers are asked.
#[derive(Debug, Clone)]
pub(crate) struct Check {
    mode: Mode,
    scheme: Option<Scheme>,
    port: Option<u16>,
    host: String,
    headers: HeaderMap,
    times: Times,
    timeout: Duration,
}

#[derive(Debug, Clone)]
enum Mode {
    Http { method: Method, path: String, status: Option<u16>, follows: bool },
    Grpc,
}

/// Why servers cannot be asked as configured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    #[error("health check path must be a relative URL, got: {0:?}")]
    Path(String),
    #[error("health check scheme {0:?} is not known")]
    Scheme(String),
    #[error("health check mode {0:?} is not known")]
    Mode(String),
    #[error("health check method {0:?} is none")]
    Method(String),
    #[error("health check header {0:?} is none")]
    Header(String),
}

/// Why a server is not well.
#[derive(Debug, thiserror::Error)]
enum Unwell {
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("received error status code: {0}")]
    Status(u16),
    #[error("received error status code: {0} expected status code: {1}")]
    NotStatus(u16, u16),
    #[error("it took longer than {0:?}")]
    Slow(Duration),
    #[error("it sends questions on to too many places")]
    Redirections,
    #[error("it cannot be asked")]
    Question,
    #[error("gRPC server does not implement the health protocol")]
    Unimplemented,
    #[error("gRPC health check failed: status {0}")]
    Grpc(String),
    #[error("received gRPC status code: {0}")]
    NotServing(u8),
}

impl Check {
    pub(crate) fn new(config: &model::HealthCheck) -> Result<Self, CheckError> {
        let mode = match config.mode.as_str() {
            "grpc" => Mode::Grpc,
            "" | "http" => {
                if config.path.contains("://") || config.path.starts_with("//") {
                    return Err(CheckError::Path(config.path.clone()));
                }
                let method = match config.method.as_str() {
                    "" => Method::GET,
                    name => name.parse().map_err(|_| CheckError::Method(name.to_owned()))?,
                };
                let slash = if config.path.starts_with('/') { "" } else { "/" };
                Mode::Http {
                    method,
                    path: format!("{slash}{}", config.path),
                    status: (config.status != 0).then_some(config.status),
                    follows: config.follow_redirects.unwrap_or(true),
                }
            }
            other => return Err(CheckError::Mode(other.to_owned())),
        };
        let scheme = match config.scheme.as_str() {
            "" => None,
            name => Some(Scheme::named(name).ok_or_else(|| CheckError::Scheme(name.to_owned()))?),
        };
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            let wrong = || CheckError::Header(name.clone());
            let value = HeaderValue::from_str(value).map_err(|_| wrong())?;
            headers.insert(name.parse::<HeaderName>().map_err(|_| wrong())?, value);
        }
        Ok(Self {
            mode,
            scheme,
            port: (config.port != 0).then_some(config.port),
            host: config.hostname.clone(),
            headers,
            times: Times::new(config.interval, config.unhealthy_interval),
            timeout: patience(config.timeout),
        })
    }

    /// What is asked by HTTP: the method, the path, and headers.
    #[cfg(test)]
    pub(super) fn asks(&self) -> Option<(&Method, &str, &HeaderMap)> {
        match &self.mode {
            Mode::Http { method, path, .. } => Some((method, path, &self.headers)),
            Mode::Grpc => None,
        }
    }
}

/// How long is waited between two questions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) well: Duration,
    pub(super) unwell: Duration,
}

impl Times {
    pub(super) fn new(well: Span, unwell: Option<Span>) -> Self {
        let well = well.get().unwrap_or(INTERVAL).max(INTERVAL_MIN);
        let unwell = unwell.map_or(well, |span| span.get().unwrap_or(INTERVAL));
        Self { well, unwell: unwell.max(INTERVAL_MIN) }
    }
}

/// How long an answer may take.
pub(super) fn patience(asked: Span) -> Duration {
    asked.get().unwrap_or(TIMEOUT)
}

/// Somebody who is asked again and again.
#[derive(Debug)]
pub(super) struct Asking<'a> {
    pub(super) service: &'a str,
    pub(super) url: &'a str,
    pub(super) health: &'a Health,
    pub(super) times: Times,
}

impl Asking<'_> {
    /// Notes what was found; what is news is told. How long to wait until the next question.
    pub(super) fn found<E: std::error::Error + 'static>(&self, found: Result<(), E>) -> Duration {
        let Self { service, url, health, times } = self;
        let found = found.map_err(|error| crate::chain(&error));
        let wait = if found.is_ok() { times.well } else { times.unwell };
        let reason = found.as_ref().err().cloned();
        if health.set(found) {
            match reason {
                None => tracing::info!(service, url, "a server is well again"),
                Some(error) => tracing::warn!(service, url, error, "a server is not well"),
            }
        }
        wait
    }
}

/// Asks one server for as long as its configuration is in force.
#[derive(Debug)]
pub(crate) struct Checker {
    pub(crate) service: String,
    pub(crate) url: String,
    pub(crate) scheme: Scheme,
    /// Host and port.
    pub(crate) authority: String,
    pub(crate) host: String,
    pub(crate) transport: Arc<Transport>,
    pub(crate) check: Arc<Check>,
    pub(crate) health: Arc<Health>,
}

/// Who is asked by HTTP, and under which name.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) scheme: Scheme,
    /// Host and port.
    pub(super) authority: String,
    pub(super) host: String,
}

impl Checker {
    /// Asks until told to stop.
    pub(crate) async fn run(self, pool: Arc<Pool>, stop: CancellationToken) {
        let Self { service, url, health, .. } = &self;
        let asking = Asking { service, url, health, times: self.check.times };
        loop {
            let Some(found) = stop.run_until_cancelled(self.ask(&pool)).await else { return };
            let wait = asking.found(found);
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return;
            }
        }
    }

    async fn ask(&self, pool: &Pool) -> Result<(), Unwell> {
        let limit = self.check.timeout;
        let asked = async {
            match &self.check.mode {
                Mode::Http { method, path, status, follows } => {
                    let found = self.ask_http(pool, method, path, *follows).await?;
                    judged(found, *status)
                }
                Mode::Grpc => self.ask_grpc(pool).await,
            }
        };
        tokio::time::timeout(limit, asked).await.unwrap_or(Err(Unwell::Slow(limit)))
    }

    fn authority(&self) -> String {
        match (self.check.port, self.authority.rsplit_once(':')) {
            (Some(port), Some((host, _))) => format!("{host}:{port}"),
            _ => self.authority.clone(),
        }
    }

    /// Who is asked first.
    pub(super) fn place(&self) -> Asked {
        let authority = self.authority();
        let host = match (self.check.host.as_str(), self.check.port) {
            ("", None) => self.host.clone(),
            ("", Some(_)) => authority.clone(),
            (name, _) => name.to_owned(),
        };
        Asked { scheme: self.check.scheme.unwrap_or(self.scheme), authority, host }
    }

    async fn ask_http(
        &self,
        pool: &Pool,
        method: &Method,
        path: &str,
        follows: bool,
    ) -> Result<StatusCode, Unwell> {
        let Asked { mut scheme, mut authority, mut host } = self.place();
        let mut path = path.to_owned();
        for _ in 0..=REDIRECTIONS_MAX {
            let line = pool.line(&self.transport, scheme, &authority);
            let headers = self.check.headers.clone();
            let request = headed(method.clone(), path.clone(), &host, headers, Body::Empty);
            let answer = line.send(&mut Some(request.ok_or(Unwell::Question)?)).await?;
            let place = answer.headers().get(LOCATION).and_then(|place| place.to_str().ok());
            let Some(place) = place.filter(|_| follows && answer.status().is_redirection()) else {
                return Ok(answer.status());
            };
            let place: Uri = place.parse().map_err(|_| Unwell::Question)?;
            if let Some(other) = place.authority() {
                scheme = place.scheme_str().and_then(Scheme::named).ok_or(Unwell::Question)?;
                let port = other.port_u16().unwrap_or(scheme.port());
                (authority, host) = (format!("{}:{port}", other.host()), other.as_str().to_owned());
            }
            path = place.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        }
        Err(Unwell::Redirections)
    }

    /// The question of gRPC's health checking protocol: an empty message, answered by a number.
    async fn ask_grpc(&self, pool: &Pool) -> Result<(), Unwell> {
        let scheme = match self.check.scheme {
            Some(Scheme::Https) => Scheme::Https,
            _ => Scheme::H2c,
        };
        let authority = self.authority();
        let line = pool.line(&self.transport, scheme, &authority);
        let mut headers = self.check.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        let body = Body::whole(Bytes::from_static(&[0; 5]));
        let path = "/grpc.health.v1.Health/Check";
        let request =
            headed(Method::POST, path.to_owned(), &authority, headers, body).ok_or(Unwell::Question)?;
        let (head, body) = line.send(&mut Some(request)).await?.into_parts();
        if head.status != StatusCode::OK {
            return Err(Unwell::Status(head.status.as_u16()));
        }
        let answer = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let answer = answer.map_err(|error| Unwell::Grpc(error.to_string()))?;
        let trailers = answer.trailers().cloned().unwrap_or_default();
        let status = head.headers.get("grpc-status").or_else(|| trailers.get("grpc-status"));
        match status.and_then(|status| status.to_str().ok()).unwrap_or("none") {
            "0" => {}
            "12" => return Err(Unwell::Unimplemented),
            other => return Err(Unwell::Grpc(other.to_owned())),
        }
        // A frame's head, then field 1 as a number; 1 is SERVING.
        match answer.to_bytes().get(5..7) {
            Some([8, 1]) => Ok(()),
            Some([8, other]) => Err(Unwell::NotServing(*other)),
            _ => Err(Unwell::NotServing(0)),
        }
    }
}

fn judged(found: StatusCode, expected: Option<u16>) -> Result<(), Unwell> {
    match expected {
        Some(expected) if found.as_u16() != expected => Err(Unwell::NotStatus(found.as_u16(), expected)),
        None if !(200..400).contains(&found.as_u16()) => Err(Unwell::Status(found.as_u16())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_window_take_a_server_out_for_a_while() {
        let config = model::PassiveHealthCheck { failure_window: Span::seconds(10), max_failed_attempts: 3 };
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        for (asked, told, up) in [
            (false, &[(0, true), (1, true)][..], true),
            (false, &[(0, true), (1, true), (2, true)], false),
            (false, &[(0, true), (1, true), (2, false), (3, true)], true),
            (false, &[(0, true), (1, true), (12, true)], true),
            (true, &[(0, true), (1, true), (2, true)], false),
        ] {
            let (passive, health) = (Passive::new(&config, asked), Health::default());
            for (second, failed) in told {
                passive.note(&health, *failed, at(*second));
            }
            assert_eq!(health.is_up(), up, "{told:?}");
            assert_eq!(health.reason().is_some(), !up, "{told:?}");
        }
        let (passive, health) = (Passive::new(&config, false), Health::default());
        let past = start.checked_sub(Duration::from_secs(20)).expect("a machine that is on for a while");
        for _ in 0..3 {
            passive.note(&health, true, past);
        }
        assert!(health.is_up(), "the while is over");
    }

    #[test]
    fn what_is_asked_is_checked_beforehand() {
        let wrong = |change: fn(&mut model::HealthCheck)| {
            let mut config = model::HealthCheck::default();
            change(&mut config);
            Check::new(&config).is_err()
        };
        assert!(!wrong(|_| {}));
        assert!(!wrong(|config| config.mode = "grpc".to_owned()));
        assert!(wrong(|config| config.mode = "tcp".to_owned()));
        assert!(wrong(|config| config.path = "http://elsewhere/".to_owned()));
        assert!(wrong(|config| config.scheme = "ftp".to_owned()));
        assert!(wrong(|config| config.method = "A B".to_owned()));
        assert!(judged(StatusCode::FOUND, None).is_ok());
        assert!(judged(StatusCode::OK, Some(204)).is_err());
        assert!(judged(StatusCode::NOT_FOUND, Some(404)).is_ok());
    }
}
