//! A vault in memory, and a client of it, for tests.

use super::{Answer, Call, Core, Method, Settings};
use crate::{seal::SealConfig, storage::Memory};
use mesh_redact::Secret;
use serde_json::{Value, json};
use std::{net::IpAddr, sync::Arc};

/// An unsealed vault with its root token.
pub(crate) struct Vault {
    pub(crate) core: Arc<Core>,
    pub(crate) root: String,
    pub(crate) shares: Vec<String>,
}

/// A client with a token.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) core: Arc<Core>,
    pub(crate) token: Option<String>,
    pub(crate) wrap: Option<String>,
    pub(crate) remote: Option<IpAddr>,
}

/// Status and body.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Said {
    pub(crate) fn ok(self) -> Value {
        assert!(self.status < 300, "{} {}", self.status, self.body);
        self.body
    }

    pub(crate) fn refused(self, status: u16, text: &str) {
        assert_eq!(self.status, status, "{}", self.body);
        let said: Vec<&str> =
            self.body["errors"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let said = said.join(", ");
        assert!(said.contains(text), "{said} does not say {text}");
    }
}

impl Vault {
    pub(crate) async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let core = Core::new(Arc::new(Memory::default()), settings);
        let made = core.initialize(SealConfig::new(3, 2).unwrap(), None).await.unwrap();
        let shares: Vec<String> = made.shares.iter().map(|share| super::random::hex(share)).collect();
        assert!(!core.unseal(&shares[0]).await.unwrap());
        assert!(core.unseal(&shares[2]).await.unwrap());
        Self { core, root: made.root_token.expose().clone(), shares }
    }

    pub(crate) fn root(&self) -> Client {
        self.client(&self.root)
    }

    pub(crate) fn client(&self, token: &str) -> Client {
        let token = (!token.is_empty()).then(|| token.to_owned());
        Client { core: Arc::clone(&self.core), token, wrap: None, remote: Some([127, 0, 0, 1].into()) }
    }

    /// A token with policies, as `auth` tells it.
    pub(crate) async fn token(&self, body: Value) -> Value {
        self.root().post("auth/token/create", body).await.ok()["auth"].clone()
    }
}

impl Client {
    pub(crate) fn wrapping(&self, ttl: &str) -> Self {
        Self { wrap: Some(ttl.to_owned()), ..self.clone() }
    }

    pub(crate) fn from(&self, remote: &str) -> Self {
        Self { remote: Some(remote.parse().unwrap()), ..self.clone() }
    }

    pub(crate) async fn get(&self, path: &str) -> Said {
        self.call(Method::Get, path, Value::Null).await
    }

    pub(crate) async fn list(&self, path: &str) -> Said {
        self.call(Method::List, path, Value::Null).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Said {
        self.call(Method::Post, path, body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Said {
        self.call(Method::Delete, path, Value::Null).await
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Value) -> Said {
        let Answer { status, body, .. } = self.raw(method, path, body).await;
        let body =
            if body.is_empty() { json!(null) } else { serde_json::from_slice(&body).unwrap_or_default() };
        Said { status, body }
    }

    pub(crate) async fn raw(&self, method: Method, path: &str, body: Value) -> Answer {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let query = pairs
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(k, v)| (k.to_owned(), v.to_owned()));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let call = Call {
            method,
            path: path.to_owned(),
            query: query.collect(),
            body: body.into_bytes().into(),
            content_type: (method == Method::Patch).then(|| "application/merge-patch+json".to_owned()),
            token: self.token.clone().map(Secret::new),
            wrap_ttl: self.wrap.clone(),
            namespace: None,
            remote: self.remote,
            request_header: true,
        };
        self.core.serve(call).await
    }
}
