//! Who signs certificates: a root, an intermediate that it signed, a role a service, and their certificates as files.

use crate::{
    step::{At, BootstrapError, Found, Step, text},
    vault::VaultError,
    wanted::{Authority, Service},
};
use serde_json::{Value, json};

/// The plan's authority; steps of this module are made only where there is one.
fn authority<'a>(at: &At<'a>) -> Result<&'a Authority, BootstrapError> {
    let missing =
        VaultError::Unexpected { attempt: "the plan".to_owned(), missing: "authority that its steps need" };
    at.wanted.authority.as_ref().ok_or_else(|| missing.into())
}

/// The certificate of a mount's authority; none where it has none.
fn certificate(at: &At<'_>, mount: &str) -> Result<Option<String>, VaultError> {
    // Without an issuer, a vault calls the question for its certificate a wrong one.
    if at.list(&format!("{mount}/issuers"))?.is_empty() {
        return Ok(None);
    }
    let data = at.read(&format!("{mount}/cert/ca"))?;
    let pem = data.as_ref().and_then(|data| data.get("certificate")).and_then(Value::as_str);
    Ok(pem.map(|pem| pem.trim().to_owned()).filter(|pem| !pem.is_empty()))
}

fn found(certificate: Option<String>) -> Found {
    certificate.map_or(Found::Missing, |_| Found::There)
}

/// Where a mount's certificate and list of revoked ones are to be had.
fn urls(at: &At<'_>, authority: &Authority, mount: &str) -> Result<(), VaultError> {
    let Some(url) = &authority.url else { return Ok(()) };
    let base = format!("{}/v1/{mount}", url.trim_end_matches('/'));
    let body = json!({
        "issuing_certificates": format!("{base}/ca"),
        "crl_distribution_points": format!("{base}/crl"),
        "ocsp_servers": format!("{base}/ocsp"),
    });
    at.write(&format!("{mount}/config/urls"), &body).map(drop)
}

/// The root.
pub(super) struct Root;

impl Step for Root {
    fn what(&self) -> String {
        "root authority".to_owned()
    }

    fn look(&self, at: &At<'_>) -> Result<Found, BootstrapError> {
        // An engine that is not mounted has no certificate either.
        Ok(found(certificate(at, &authority(at)?.root_mount)?))
    }

    fn make(&self, at: &At<'_>) -> Result<(), BootstrapError> {
        let authority = authority(at)?;
        let mount = &authority.root_mount;
        urls(at, authority, mount)?;
        let body = json!({
            "common_name": format!("{} Root CA", authority.name),
            "ttl": authority.root_ttl,
            "key_type": authority.key_type,
            "key_bits": authority.key_bits,
        });
        at.write(&format!("{mount}/root/generate/internal"), &body)?;
        Ok(())
    }
}

/// The intermediate: its request is signed by the root and handed back.
pub(super) struct Intermediate;

impl Step for Intermediate {
    fn what(&self) -> String {
        "intermediate authority".to_owned()
    }

    fn look(&self, at: &At<'_>) -> Result<Found, BootstrapError> {
        Ok(found(certificate(at, &authority(at)?.intermediate_mount)?))
    }

    fn make(&self, at: &At<'_>) -> Result<(), BootstrapError> {
        let authority = authority(at)?;
        let mount = &authority.intermediate_mount;
        urls(at, authority, mount)?;
        let request = json!({
            "common_name": format!("{} Intermediate CA", authority.name),
            "key_type": authority.key_type,
            "key_bits": authority.key_bits,
        });
        let path = format!("{mount}/intermediate/generate/internal");
        let csr = text(at.write(&path, &request)?, &format!("write {path}"), "csr")?;
        let path = format!("{}/root/sign-intermediate", authority.root_mount);
        let sign = json!({"csr": csr, "format": "pem_bundle", "ttl": authority.intermediate_ttl});
        let signed = text(at.write(&path, &sign)?, &format!("write {path}"), "certificate")?;
        at.write(&format!("{mount}/intermediate/set-signed"), &json!({"certificate": signed}))?;
        Ok(())
    }
}

/// What certificates a service may have: its names and addresses, and no others.
pub(super) struct Role {
    pub(super) service: String,
}

impl Role {
    fn path(&self, authority: &Authority) -> String {
        format!("{}/roles/{}-role", authority.intermediate_mount, self.service)
    }

    fn domains(&self, service: &Service) -> Vec<String> {
        let mut domains = vec![self.service.clone(), "localhost".to_owned()];
        domains.extend(service.names.iter().cloned());
        domains.dedup();
        domains
    }
}

impl Step for Role {
    fn what(&self) -> String {
        format!("certificates of {}", self.service)
    }

    fn look(&self, at: &At<'_>) -> Result<Found, BootstrapError> {
        let authority = authority(at)?;
        let Some(there) = at.read(&self.path(authority))? else { return Ok(Found::Missing) };
        let Some(service) = at.wanted.services.get(&self.service) else { return Ok(Found::There) };
        let same = there.get("allowed_domains") == Some(&json!(self.domains(service)));
        Ok(if same { Found::There } else { Found::Behind("for other names".to_owned()) })
    }

    fn make(&self, at: &At<'_>) -> Result<(), BootstrapError> {
        let authority = authority(at)?;
        let Some(service) = at.wanted.services.get(&self.service) else { return Ok(()) };
        let body = json!({
            "allowed_domains": self.domains(service),
            "allow_bare_domains": true,
            "allow_subdomains": false,
            "allow_localhost": true,
            "allow_ip_sans": true,
            "enforce_hostnames": true,
            "server_flag": true,
            "client_flag": true,
            "key_type": authority.key_type,
            "key_bits": authority.key_bits,
            "ttl": authority.leaf_ttl,
            "max_ttl": authority.leaf_ttl,
        });
        at.write(&self.path(authority), &body)?;
        Ok(())
    }
}

/// The authorities' certificates, for whoever is to trust them.
pub(super) struct Files;

/// `root-ca.pem`, `ca-chain.pem` (intermediate and root: what a server sends and a client checks) and `full-chain.pem`,
/// the same under the name that some look for.
pub(super) const FILES: [&str; 3] = ["root-ca.pem", "ca-chain.pem", "full-chain.pem"];

impl Files {
    fn texts(at: &At<'_>) -> Result<Option<[String; 3]>, BootstrapError> {
        let authority = authority(at)?;
        let root = certificate(at, &authority.root_mount)?;
        let intermediate = certificate(at, &authority.intermediate_mount)?;
        let (Some(root), Some(intermediate)) = (root, intermediate) else { return Ok(None) };
        let chain = format!("{intermediate}\n{root}\n");
        Ok(Some([format!("{root}\n"), chain.clone(), chain]))
    }
}

impl Step for Files {
    fn what(&self) -> String {
        "certificates of the authorities".to_owned()
    }

    fn look(&self, at: &At<'_>) -> Result<Found, BootstrapError> {
        let Some(texts) = Self::texts(at)? else { return Ok(Found::Missing) };
        for (file, text) in FILES.iter().zip(texts) {
            match at.authorities.read(file)? {
                None => return Ok(Found::Missing),
                Some(there) if there != text => return Ok(Found::Behind("of other authorities".to_owned())),
                Some(_) => {}
            }
        }
        Ok(Found::There)
    }

    fn make(&self, at: &At<'_>) -> Result<(), BootstrapError> {
        for (file, text) in FILES.iter().zip(Self::texts(at)?.into_iter().flatten()) {
            at.authorities.write_public(file, &text)?;
        }
        Ok(())
    }
}
