//! A request to a registry: access, redirects, and what an answer's status means.

use super::{
    Inner,
    access::authorization,
    host::{Candidate, Place},
    retry::Retry,
    slot,
};
use crate::{
    auth::{challenge, token::Grant},
    error::OciError,
    http::{Answer, Call, TransportError, url::Url},
    manifest::shortened,
};
use hyper::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use std::time::{Duration, Instant};

/// How often a registry may ask who we are before it is a no.
const CHALLENGES_MAX: u32 = 3;
/// How many redirects are followed for one request.
const REDIRECTS_MAX: u32 = 5;
/// Most that is read of an answer's explanation, in bytes.
const EXPLANATION_BYTES_MAX: u64 = 16 << 10;
/// How long an explanation may take.
const EXPLANATION_TIME_MAX: Duration = Duration::from_secs(2);

/// What is wanted of a registry.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// For people: a reference, or a blob's digest.
    pub(super) what: String,
    /// Behind the repository's address: `manifests/latest`.
    pub(super) tail: String,
    /// Headers of the request.
    pub(super) headers: HeaderMap,
    /// Only the head of the answer.
    pub(super) head: bool,
}

impl Inner {
    /// Asks one host, and again while that may help.
    pub(super) async fn ask(
        &self,
        candidate: &Candidate,
        wanted: &Wanted,
    ) -> Result<(Answer, Place), OciError> {
        let mut retry = Retry::new(self.settings.backoff);
        loop {
            match self.ask_here(candidate, wanted).await {
                Ok(answer) => return Ok(answer),
                Err(error) if retry.again(&error).await => {}
                Err(error) => return Err(self.given_up(candidate, retry, error).await),
            }
        }
    }

    /// Asks one host once.
    pub(super) async fn ask_here(
        &self,
        candidate: &Candidate,
        wanted: &Wanted,
    ) -> Result<(Answer, Place), OciError> {
        let place = self.reach(candidate.clone()).await?;
        let answer = self.ask_once(&place, wanted).await?;
        Ok((answer, place))
    }

    /// The error that is told after the last attempt.
    pub(super) async fn given_up(&self, candidate: &Candidate, retry: Retry, error: OciError) -> OciError {
        match error {
            // Nobody answers there any more: the next image need not find that out for itself.
            OciError::Transport { source: source @ TransportError::Connect { .. }, .. } => {
                self.lost(candidate, source).await
            }
            error => retry.told(error),
        }
    }

    /// Asks once, with access as the registry wants it; gives only answers that succeeded.
    async fn ask_once(&self, place: &Place, wanted: &Wanted) -> Result<Answer, OciError> {
        let slot = slot(&self.grants, (place.origin.to_string(), place.repository.clone()));
        let mut grant: Option<Grant> =
            slot.lock().await.clone().filter(|grant| grant.is_fresh(Instant::now()));
        for _ in 0..CHALLENGES_MAX {
            let answer = self.follow(place, wanted, grant.as_ref()).await?;
            if answer.status != StatusCode::UNAUTHORIZED {
                return self.judge(place, wanted, answer, grant.as_ref()).await;
            }
            let Some(challenge) = challenge::read(&answer.headers) else {
                return self.judge(place, wanted, answer, grant.as_ref()).await;
            };
            let mut kept = slot.lock().await;
            // Another request may have had a new token in the meantime.
            let newer = kept.as_ref().filter(|kept| {
                kept.is_fresh(Instant::now())
                    && grant.as_ref().is_none_or(|used| used.header.expose() != kept.header.expose())
            });
            if let Some(newer) = newer {
                grant = Some(newer.clone());
                continue;
            }
            *kept = None;
            let Some(new) = self.obtain(place, &challenge).await? else {
                return self.judge(place, wanted, answer, grant.as_ref()).await;
            };
            *kept = Some(new.clone());
            grant = Some(new);
        }
        let known = grant.is_some_and(|grant| grant.known);
        Err(OciError::Denied {
            what: wanted.what.clone(),
            registry: place.registry.clone(),
            known,
            said: String::new(),
        })
    }

    /// Sends the request and follows redirects; credentials stay with the origin they are for.
    async fn follow(
        &self,
        place: &Place,
        wanted: &Wanted,
        grant: Option<&Grant>,
    ) -> Result<Answer, OciError> {
        let mut url = place.url(&wanted.tail);
        for _ in 0..=REDIRECTS_MAX {
            let own = url.origin == place.origin;
            let mut headers = wanted.headers.clone();
            if let Some(grant) = grant.filter(|_| own) {
                headers.extend(authorization(&grant.header));
            }
            let verify = if own { place.verify } else { self.verifies(&url.origin) };
            let call = Call { headers, head: wanted.head, within: self.settings.answer, verify, form: None };
            let mut answer = self
                .transport
                .send(&url, &call)
                .await
                .map_err(|source| self.broken(place, wanted, source))?;
            if !answer.status.is_redirection() {
                // A refusal by who stores the blobs means that the signed address is too old: not a no.
                if !own && matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
                    answer.status = StatusCode::BAD_GATEWAY;
                }
                return Ok(answer);
            }
            let next = next(&url, &answer.headers, place, wanted)?;
            // The body is read so that the connection can serve again; it says nothing new.
            let _ = answer.body.all(EXPLANATION_BYTES_MAX, EXPLANATION_TIME_MAX).await;
            url = next;
        }
        Err(redirect(place, wanted, &url.to_string(), "it leads on and on"))
    }

    /// The answer if it succeeded, else what its status means.
    async fn judge(
        &self,
        place: &Place,
        wanted: &Wanted,
        mut answer: Answer,
        grant: Option<&Grant>,
    ) -> Result<Answer, OciError> {
        if answer.status.is_success() || answer.status == StatusCode::RANGE_NOT_SATISFIABLE {
            return Ok(answer);
        }
        let (what, registry) = (wanted.what.clone(), place.registry.clone());
        let said = match answer.body.all(EXPLANATION_BYTES_MAX, EXPLANATION_TIME_MAX).await {
            Ok(bytes) => explanation(&bytes),
            Err(_) => String::new(),
        };
        Err(match answer.status {
            StatusCode::NOT_FOUND => OciError::NotFound { what, registry, said },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let known = grant.is_some_and(|grant| grant.known);
                OciError::Denied { what, registry, known, said }
            }
            StatusCode::TOO_MANY_REQUESTS => {
                OciError::Limited { registry, after_seconds: retry_after(&answer.headers) }
            }
            StatusCode::SERVICE_UNAVAILABLE if answer.headers.contains_key(header::RETRY_AFTER) => {
                OciError::Limited { registry, after_seconds: retry_after(&answer.headers) }
            }
            status => OciError::Status { registry, what, status: status.as_u16(), said },
        })
    }

    pub(super) fn broken(&self, place: &Place, wanted: &Wanted, source: TransportError) -> OciError {
        OciError::Transport {
            what: wanted.what.clone(),
            registry: place.registry.clone(),
            attempts: 1,
            source,
        }
    }
}

fn next(url: &Url, headers: &HeaderMap, place: &Place, wanted: &Wanted) -> Result<Url, OciError> {
    let location = headers.get(header::LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(next) = url.join(location) else {
        let shown =
            shortened(&mesh_redact::url_without_password(location.split('?').next().unwrap_or_default()));
        return Err(redirect(place, wanted, &shown, "it is no address of http or https"));
    };
    if url.origin.tls && !next.origin.tls {
        return Err(redirect(place, wanted, &next.to_string(), "it leads out of TLS"));
    }
    Ok(next)
}

fn redirect(place: &Place, wanted: &Wanted, location: &str, reason: &'static str) -> OciError {
    OciError::Redirect {
        registry: place.registry.clone(),
        what: wanted.what.clone(),
        location: shortened(location),
        reason,
    }
}

/// `Retry-After` in seconds; the form with a date is taken as not given.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
}

/// What a registry says about a failure: the first message of its JSON, in brackets.
fn explanation(bytes: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Answer {
        errors: Vec<Fault>,
    }
    #[derive(Deserialize)]
    struct Fault {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let Ok(Answer { errors }) = serde_json::from_slice(bytes) else { return String::new() };
    let text = errors
        .into_iter()
        .next()
        .map(|fault| if fault.message.is_empty() { fault.code } else { fault.message });
    match text.as_deref().map(shortened) {
        Some(text) if !text.is_empty() => format!(" ({text})"),
        _ => String::new(),
    }
}

/// A request's header of one value.
pub(super) fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(value) = value.parse() {
        headers.insert(name, value);
    }
    headers
}
