//! What a request is answered, before it is put into words.

use super::random;
use crate::{
    logical::{Object, Response},
    storage::StorageError,
    token::{Issued, Kind},
};
use mesh_redact::Secret;
use serde::Serialize;
use std::{collections::BTreeMap, time::Duration};

/// An answer with what the core added to it.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    /// Data, warnings, status, raw body.
    pub(crate) response: Response,
    /// A token that was made or prolonged.
    pub(crate) auth: Option<AuthBlock>,
    /// A lease that was made or prolonged.
    pub(crate) lease: Option<LeaseBlock>,
    /// To be wrapped for so long, even if nobody asked for it.
    pub(crate) wrap: Option<WrapWish>,
    /// It is wrapped: nothing else is answered.
    pub(crate) wrapped: Option<WrapInfo>,
    /// The vault is to be sealed before this leaves.
    pub(crate) seals: bool,
}

/// To be wrapped.
#[derive(Debug, Clone)]
pub(crate) struct WrapWish {
    /// For so long.
    pub(crate) ttl: Duration,
    /// What was wrapped before and is so again, with the path that made it.
    pub(crate) again: Option<(Object, String)>,
}

/// `lease_id`, `renewable`, `lease_duration`.
#[derive(Debug, Clone, Default)]
pub(crate) struct LeaseBlock {
    pub(crate) id: String,
    pub(crate) renewable: bool,
    pub(crate) seconds: u64,
}

/// `auth`.
#[derive(Debug, Clone)]
pub(crate) struct AuthBlock {
    pub(crate) token: Secret<String>,
    pub(crate) accessor: String,
    pub(crate) policies: Vec<String>,
    pub(crate) metadata: Option<BTreeMap<String, String>>,
    pub(crate) seconds: u64,
    pub(crate) renewable: bool,
    pub(crate) kind: Kind,
    pub(crate) orphan: bool,
    pub(crate) num_uses: i64,
}

/// `wrap_info`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct WrapInfo {
    #[serde(serialize_with = "mesh_redact::exposed::serialize")]
    pub(crate) token: Secret<String>,
    pub(crate) accessor: String,
    pub(crate) ttl: u64,
    pub(crate) creation_time: String,
    pub(crate) creation_path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wrapped_accessor: Option<String>,
}

impl From<Response> for Reply {
    fn from(response: Response) -> Self {
        Self { response, ..Self::default() }
    }
}

impl AuthBlock {
    /// Of a token that was just made.
    pub(crate) fn of(issued: &Issued) -> Self {
        let entry = &issued.entry;
        Self {
            token: issued.token.clone(),
            accessor: entry.accessor.clone(),
            policies: entry.policies.clone(),
            metadata: entry.meta.clone(),
            seconds: entry.ttl,
            renewable: entry.renewable && entry.kind == Kind::Service,
            kind: entry.kind,
            orphan: entry.parent.is_none(),
            num_uses: entry.num_uses,
        }
    }
}

/// What most bodies have place in, so that they are written without growing.
const BODY_BYTES: usize = 1024;

/// Vault's envelope.
#[derive(Serialize)]
struct Envelope<'a> {
    request_id: &'a str,
    lease_id: &'a str,
    renewable: bool,
    lease_duration: u64,
    data: Option<&'a Object>,
    wrap_info: Option<&'a WrapInfo>,
    warnings: Option<&'a [String]>,
    auth: Option<AuthWire<'a>>,
    mount_type: &'a str,
}

#[derive(Serialize)]
struct AuthWire<'a> {
    client_token: &'a str,
    accessor: &'a str,
    policies: &'a [String],
    token_policies: &'a [String],
    metadata: &'a Option<BTreeMap<String, String>>,
    lease_duration: u64,
    renewable: bool,
    entity_id: &'static str,
    token_type: &'static str,
    orphan: bool,
    mfa_requirement: (),
    num_uses: i64,
}

impl Reply {
    /// Whether nothing is to be said.
    pub(crate) fn is_empty(&self) -> bool {
        self.response.data.is_none()
            && self.response.warnings.is_empty()
            && self.auth.is_none()
            && self.lease.is_none()
            && self.wrapped.is_none()
    }

    /// The JSON body. `inject` puts the data's fields beside the envelope's too, as some old paths have it.
    ///
    /// # Errors
    /// When it has no JSON form, which cannot be.
    pub(crate) fn body(
        &self,
        request: &str,
        mount_type: &str,
        inject: bool,
    ) -> Result<Vec<u8>, serde_json::Error> {
        let lease = self.lease.clone().unwrap_or_default();
        let warnings = Some(self.response.warnings.as_slice()).filter(|warnings| !warnings.is_empty());
        let mut envelope = Envelope {
            request_id: request,
            lease_id: &lease.id,
            renewable: lease.renewable,
            lease_duration: lease.seconds,
            data: self.response.data.as_ref(),
            wrap_info: self.wrapped.as_ref(),
            warnings,
            auth: self.auth.as_ref().map(AuthBlock::wire),
            mount_type,
        };
        if self.wrapped.is_some() {
            envelope = Envelope {
                request_id: "",
                lease_id: "",
                renewable: false,
                lease_duration: 0,
                data: None,
                auth: None,
                mount_type: "",
                ..envelope
            };
        }
        let mut body = if inject && self.wrapped.is_none() {
            injected(&envelope)?
        } else {
            let mut body = Vec::with_capacity(BODY_BYTES);
            serde_json::to_writer(&mut body, &envelope)?;
            body
        };
        body.push(b'\n');
        Ok(body)
    }
}

impl AuthBlock {
    fn wire(&self) -> AuthWire<'_> {
        AuthWire {
            client_token: self.token.expose(),
            accessor: &self.accessor,
            policies: &self.policies,
            token_policies: &self.policies,
            metadata: &self.metadata,
            lease_duration: self.seconds,
            renewable: self.renewable,
            entity_id: "",
            token_type: self.kind.as_str(),
            orphan: self.orphan,
            mfa_requirement: (),
            num_uses: self.num_uses,
        }
    }
}

/// The envelope with the data's fields before its own; its own win.
fn injected(envelope: &Envelope<'_>) -> Result<Vec<u8>, serde_json::Error> {
    let mut whole = envelope.data.cloned().unwrap_or_default();
    if let serde_json::Value::Object(own) = serde_json::to_value(envelope)? {
        whole.extend(own);
    }
    serde_json::to_vec(&whole)
}

/// An id for a request.
///
/// # Errors
/// When the machine gives no randomness.
pub(crate) fn request_id() -> Result<String, StorageError> {
    random::public_uuid()
}
