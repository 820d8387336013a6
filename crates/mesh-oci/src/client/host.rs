//! Which host is asked for a reference, and whether it answers at all.
//!
//! A host is asked once (`GET /v2/`) before anything is wanted of it, by one task while the others wait; one
//! that does not answer in time is not asked again for a while, so that twenty images of a registry that is
//! not there cost one wait.

use super::{Inner, slot};
use crate::{
    error::OciError,
    http::{
        Call, TransportError,
        url::{Origin, Url, is_loopback},
    },
    reference::{DOCKER_REGISTRY, Reference},
};
use hyper::StatusCode;
use std::{sync::Arc, time::Instant};

/// Docker's own registry is served by another host than its name says.
const DOCKER_HOST: &str = "registry-1.docker.io";

/// What is known of a host.
#[derive(Debug, Clone, Default)]
pub(super) enum HostState {
    /// Nothing yet.
    #[default]
    Unknown,
    /// It answers.
    Reached {
        /// There.
        origin: Origin,
        /// With a certificate that is looked at.
        verify: bool,
    },
    /// It did not answer.
    Failed {
        /// Then.
        at: Instant,
        /// For this reason.
        source: Arc<TransportError>,
    },
}

/// A host that may be asked.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    /// What people, and credentials, call it.
    pub(super) registry: String,
    /// `host[:port]`.
    host: String,
    /// Without TLS, because the setting says so.
    plain: bool,
    /// The repository's path there.
    repository: String,
}

/// A host that answers, and the repository there.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// What people, and credentials, call it.
    pub(super) registry: String,
    /// Where it is.
    pub(super) origin: Origin,
    /// Whether its certificate is looked at.
    pub(super) verify: bool,
    /// The repository's path there.
    pub(super) repository: String,
}

impl Place {
    /// The address of something of the repository: `manifests/latest`.
    pub(super) fn url(&self, tail: &str) -> Url {
        Url { origin: self.origin.clone(), path: format!("/v2/{}/{tail}", self.repository) }
    }
}

impl Inner {
    /// The hosts to ask for a reference: its mirrors, then the registry itself.
    pub(super) fn candidates(&self, reference: &Reference) -> Vec<Candidate> {
        let registry = reference.registry_name();
        let mirrors = self.settings.mirrors.of(registry).iter().map(|mirror| Candidate {
            registry: mirror.host.clone(),
            host: mirror.host.clone(),
            plain: mirror.plain,
            repository: match mirror.prefix.as_str() {
                "" => reference.path(),
                prefix => format!("{prefix}/{}", reference.path()),
            },
        });
        let host = if registry == DOCKER_REGISTRY { DOCKER_HOST } else { registry };
        let own = Candidate {
            registry: registry.to_owned(),
            host: host.to_owned(),
            plain: false,
            repository: reference.path(),
        };
        mirrors.chain([own]).collect()
    }

    /// Makes sure that a host answers.
    pub(super) async fn reach(&self, candidate: Candidate) -> Result<Place, OciError> {
        let slot = slot(&self.hosts, candidate.host.clone());
        let mut state = slot.lock().await;
        let failed = |source: &Arc<TransportError>| OciError::Unreachable {
            registry: candidate.registry.clone(),
            source: source.clone(),
        };
        match &*state {
            HostState::Failed { at, source } if at.elapsed() < self.settings.unreachable => {
                return Err(failed(source));
            }
            HostState::Reached { .. } => {}
            _ => *state = self.probe(&candidate).await?,
        }
        match &*state {
            HostState::Reached { origin, verify } => Ok(Place {
                registry: candidate.registry.clone(),
                origin: origin.clone(),
                verify: *verify,
                repository: candidate.repository,
            }),
            HostState::Failed { source, .. } => Err(failed(source)),
            HostState::Unknown => Err(OciError::Host { registry: candidate.registry }),
        }
    }

    /// Remembers that a host that once answered does so no more.
    pub(super) async fn lost(&self, host: &Candidate, source: TransportError) -> OciError {
        let source = Arc::new(source);
        let slot = slot(&self.hosts, host.host.clone());
        *slot.lock().await = HostState::Failed { at: Instant::now(), source: source.clone() };
        OciError::Unreachable { registry: host.registry.clone(), source }
    }

    async fn probe(&self, candidate: &Candidate) -> Result<HostState, OciError> {
        let ways = self.ways(candidate)?;
        let mut failure = None;
        let mut spare = None;
        for (origin, verify) in ways {
            let url = Url { origin: origin.clone(), path: "/v2/".to_owned() };
            let call = Call { within: self.settings.first_answer, verify, ..Call::default() };
            match self.transport.send(&url, &call).await {
                // A server of TLS says so when it is spoken to in plain text.
                Ok(answer) if answer.status == StatusCode::BAD_REQUEST && !origin.tls => {
                    spare = Some((origin, verify));
                }
                Ok(_) => return Ok(HostState::Reached { origin, verify }),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        Ok(match (spare, failure) {
            (Some((origin, verify)), _) => HostState::Reached { origin, verify },
            (None, Some(error)) => {
                tracing::debug!(registry = candidate.registry, "a registry does not answer");
                HostState::Failed { at: Instant::now(), source: Arc::new(error) }
            }
            (None, None) => HostState::Unknown,
        })
    }

    /// How a host may be spoken to, the better way first.
    fn ways(&self, candidate: &Candidate) -> Result<Vec<(Origin, bool)>, OciError> {
        let wrong = || OciError::Host { registry: candidate.registry.clone() };
        let origin = |tls| Origin::of_host(&candidate.host, tls).ok_or_else(wrong);
        let (https, http) = (origin(true)?, origin(false)?);
        Ok(if candidate.plain {
            vec![(http, true)]
        } else if https.is_loopback() {
            vec![(http, true), (https, false)]
        } else if self.is_insecure(&https) {
            vec![(https, false), (http, true)]
        } else {
            vec![(https, true)]
        })
    }

    /// Whether an origin's certificate is looked at where it is met by itself, behind a redirect.
    pub(super) fn verifies(&self, origin: &Origin) -> bool {
        !is_loopback(&origin.host) && !self.is_insecure(origin)
    }

    fn is_insecure(&self, origin: &Origin) -> bool {
        let with_port = format!("{}:{}", origin.host, origin.port);
        self.settings.insecure.iter().any(|name| *name == origin.host || *name == with_port)
    }
}
