//! A project's own authority, under a root: what its gateway is given, for thirty days and the project's names.

use crate::{
    AuthorityError, Root, Scope,
    certificate::{self, BACKDATED_SECONDS, DAY_SECONDS},
};
use mesh_redact::Secret;
use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use std::collections::BTreeSet;

/// How long it lives.
const LIFE_SECONDS: i64 = 30 * DAY_SECONDS;
/// Characters of a project's name in that of its authority.
const PROJECT_CHARS_MAX: usize = 40;

/// A project's own authority.
#[derive(Debug, Clone)]
pub struct Intermediate {
    /// Key and certificate, as PEM: for the gateway alone.
    pub text: Secret<String>,
    /// For which names it is.
    pub scope: Scope,
    /// Until when it holds, in seconds since 1970.
    pub until_unix_seconds: i64,
    /// From when on it is to be replaced, in seconds since 1970: when half of its life is over.
    pub renew_from_unix_seconds: i64,
}

impl Intermediate {
    /// Makes one for these names, and for the machine itself, at this moment (seconds since 1970).
    ///
    /// # Errors
    /// A name that the root is not for, a root that has expired.
    pub fn make(
        root: &Root,
        project: &str,
        names: &BTreeSet<String>,
        now: i64,
    ) -> Result<Self, AuthorityError> {
        let scope = Scope::of(names);
        for domain in scope.domains() {
            if !crate::scope::permits(root.domains(), domain) {
                return Err(AuthorityError::NotAllowed { name: domain.to_owned() });
            }
        }
        let until = (now + LIFE_SECONDS).min(root.signer.until);
        let from = (now - BACKDATED_SECONDS).max(root.signer.from);
        if until <= now {
            return Err(AuthorityError::Expired);
        }
        if from > now {
            return Err(AuthorityError::NotYet);
        }
        let key = KeyPair::generate().map_err(AuthorityError::Make)?;
        let mut params = certificate::params(&title(project), from, until)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.name_constraints = Some(scope.constraints());
        params.use_authority_key_identifier_extension = true;
        let made = params.signed_by(&key, &root.signer.issuer).map_err(AuthorityError::Make)?;
        let text = format!("{}{}", certificate::key_pem(&key).expose(), certificate::pem(made.der()));
        Ok(Self {
            text: Secret::new(text),
            scope,
            until_unix_seconds: until,
            renew_from_unix_seconds: now + (until - now) / 2,
        })
    }
}

/// Whose authority it is, as other programs show it.
pub(crate) fn title(project: &str) -> String {
    let short: String = project.chars().take(PROJECT_CHARS_MAX).collect();
    format!("Mesh gateway of {short}")
}
