//! Getting access: what is sent as `Authorization` after a registry has said what it wants to see.

use super::{Inner, host::Place};
use crate::{
    auth::{
        challenge::Challenge,
        token::{ANSWER_BYTES_MAX, Grant},
    },
    credentials::{self, Credential},
    error::OciError,
    http::{
        Call,
        url::{Url, encoded},
    },
    manifest::shortened,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::{HeaderMap, StatusCode, header::AUTHORIZATION, header::HeaderValue};
use mesh_redact::Secret;
use std::time::Instant;

/// What Mesh calls itself to token servers.
const CLIENT_ID: &str = "mesh";

impl Inner {
    /// What a challenge is answered with; `None` where there is nothing to show.
    pub(super) async fn obtain(
        &self,
        place: &Place,
        challenge: &Challenge,
    ) -> Result<Option<Grant>, OciError> {
        let files = &self.settings.credential_files;
        let helpers = self.settings.helper_environment.as_ref().map(Secret::expose);
        let credential = credentials::look_up(files, helpers, &place.registry, &place.repository)
            .await
            .map_err(|source| OciError::Credentials { registry: place.registry.clone(), source })?;
        if let Some(Credential::Access { token }) = &credential {
            return Ok(Some(Grant::lasting(format!("Bearer {}", token.expose())).known()));
        }
        match (challenge, credential) {
            (Challenge::Basic, Some(Credential::Password { user, password })) => {
                Ok(Some(Grant::lasting(basic(&user, &password)).known()))
            }
            (Challenge::Basic, _) => Ok(None),
            (Challenge::Bearer { realm, service, scope }, credential) => {
                let own = format!("repository:{}:pull", place.repository);
                let asked =
                    Asked { realm, service: service.as_deref(), scope: scope.as_deref().unwrap_or(&own) };
                self.token(place, asked, credential).await.map(Some)
            }
        }
    }

    async fn token(
        &self,
        place: &Place,
        asked: Asked<'_>,
        credential: Option<Credential>,
    ) -> Result<Grant, OciError> {
        let known = credential.is_some();
        let shown = shortened(asked.realm.split('?').next().unwrap_or_default());
        let refuse = |reason: &str| OciError::Token {
            registry: place.registry.clone(),
            realm: shown.clone(),
            reason: reason.to_owned(),
        };
        let realm = Url::parse(asked.realm).ok_or_else(|| refuse("it is no address of a token server"))?;
        // A password never goes over the wire in the clear where the registry itself does not.
        if place.origin.tls && !realm.origin.tls {
            return Err(refuse("a token server without TLS is not asked for a registry with TLS"));
        }
        let (url, call) = asked.call(&realm, credential, self.verifies(&realm.origin), self.settings.answer);
        let failed = |source| OciError::TokenTransport {
            registry: place.registry.clone(),
            realm: shown.clone(),
            source,
        };
        let mut answer = self.transport.send(&url, &call).await.map_err(failed)?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if known => {
                return Err(refuse("it does not take our credentials"));
            }
            StatusCode::TOO_MANY_REQUESTS => {
                return Err(OciError::Limited {
                    registry: place.registry.clone(),
                    after_seconds: super::request::retry_after(&answer.headers),
                });
            }
            status if status.is_server_error() => {
                return Err(OciError::Status {
                    registry: shown.clone(),
                    what: "a token".to_owned(),
                    status: status.as_u16(),
                    said: String::new(),
                });
            }
            status => return Err(refuse(&format!("it answered {}", status.as_u16()))),
        }
        let bytes = answer.body.all(ANSWER_BYTES_MAX, self.settings.answer).await.map_err(failed)?;
        let grant = Grant::read(&bytes, Instant::now()).ok_or_else(|| refuse("its answer has no token"))?;
        Ok(if known { grant.known() } else { grant })
    }
}

/// What a token is asked for.
struct Asked<'a> {
    realm: &'a str,
    service: Option<&'a str>,
    scope: &'a str,
}

impl Asked<'_> {
    /// The request: a form with an identity token, else a query, with name and password if there are any.
    fn call(
        &self,
        realm: &Url,
        credential: Option<Credential>,
        verify: bool,
        within: std::time::Duration,
    ) -> (Url, Call) {
        let mut call = Call { within, verify, ..Call::default() };
        let service = self.service.map(|service| format!("service={}", encoded(service)));
        if let Some(Credential::Identity { token }) = &credential {
            let form = [
                Some("grant_type=refresh_token".to_owned()),
                Some(format!("client_id={CLIENT_ID}")),
                service,
                Some(format!("scope={}", encoded(self.scope))),
                Some(format!("refresh_token={}", encoded(token.expose()))),
            ];
            let form: Vec<String> = form.into_iter().flatten().collect();
            call.form = Some(Secret::new(form.join("&")));
            return (realm.clone(), call);
        }
        if let Some(Credential::Password { user, password }) = &credential {
            call.headers = authorization(&Secret::new(basic(user, password)));
        }
        let scopes = self.scope.split_whitespace().map(|scope| format!("scope={}", encoded(scope)));
        let query: Vec<String> = service.into_iter().chain(scopes).collect();
        let joint = if realm.path.contains('?') { '&' } else { '?' };
        let path = format!("{}{joint}{}", realm.path, query.join("&"));
        (Url { origin: realm.origin.clone(), path }, call)
    }
}

/// Headers with a value of `Authorization` that is not shown.
pub(super) fn authorization(value: &Secret<String>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(mut value) = HeaderValue::from_str(value.expose()) {
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    headers
}

fn basic(user: &str, password: &Secret<String>) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.expose())))
}
