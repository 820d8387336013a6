//! A vault of the imagination: logs in whoever knows its secret, and signs authorities by two tiers of its own.

use super::Fake;
use mesh_redact::Secret;
use mesh_runtime::question::{Question, Reply};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints, date_time_ymd,
};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// How long what it signs lives.
const LIFE: Duration = Duration::from_secs(30 * 86_400);

/// What it logs in with.
pub(crate) const SECRET_ID: &str = "hunter2";

/// The vault.
pub(crate) struct FakeVault {
    pub(crate) sealed: AtomicBool,
    pub(crate) root_pem: String,
    between_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Fake {
    /// Whoever answers questions from now on.
    pub(crate) fn answers(&self, vault: Option<Arc<FakeVault>>) {
        self.lock().vault = vault;
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

impl FakeVault {
    pub(crate) fn new() -> Arc<Self> {
        let (key, below) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let root_pem = authority("Vault Root").self_signed(&key).unwrap().pem();
        let above = Issuer::new(authority("Vault Root"), key);
        let between_pem = authority("Vault Intermediate").signed_by(&below, &above).unwrap().pem();
        let issuer = Issuer::new(authority("Vault Intermediate"), below);
        Arc::new(Self { sealed: AtomicBool::new(false), root_pem, between_pem, issuer })
    }

    pub(crate) fn answer(&self, question: &Question) -> Reply {
        let asked: Value = serde_json::from_slice(question.body.as_ref().unwrap().expose()).unwrap();
        let (status, body) = match question.path.as_str() {
            _ if self.sealed.load(Ordering::Relaxed) => (503, json!({"errors": ["Vault is sealed"]})),
            "/v1/auth/approle/login" if asked["secret_id"] == SECRET_ID => {
                (200, json!({"auth": {"client_token": "token"}}))
            }
            "/v1/pki_int/root/sign-intermediate" if has_token(question) => (200, self.sign(&asked)),
            "/v1/auth/token/revoke-self" => (204, Value::Null),
            _ => (403, json!({"errors": ["permission denied"]})),
        };
        Reply { status, body: Secret::new(body.to_string().into_bytes()) }
    }

    fn sign(&self, asked: &Value) -> Value {
        let mut request = CertificateSigningRequestParams::from_pem(asked["csr"].as_str().unwrap()).unwrap();
        let mut params = authority(asked["common_name"].as_str().unwrap());
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let now = Duration::from_millis(crate::container::unix_ms());
        params.not_after = date_time_ymd(1970, 1, 1) + now + LIFE;
        let domains = asked["permitted_dns_domains"].as_array().unwrap().iter();
        let domain = |value: &Value| GeneralSubtree::DnsName(value.as_str().unwrap().to_owned());
        let permitted_subtrees = domains.map(domain).collect();
        params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: vec![] });
        request.params = params;
        let own = request.signed_by(&self.issuer).unwrap().pem();
        let chain = json!([own, self.between_pem, self.root_pem]);
        json!({"data": {"certificate": own, "issuing_ca": self.between_pem, "ca_chain": chain}})
    }
}

fn has_token(question: &Question) -> bool {
    question.headers.iter().any(|(name, value)| *name == "X-Vault-Token" && value.expose() == "token")
}
