//! Chains: for each issuer the certificates above it, as far as they are in the mount.

use super::{
    certificate::Certificate,
    store::{self, Issuer},
};
use crate::{logical::Refusal, storage::Transaction};
use std::collections::HashMap;

/// Certificates that one chain may have.
const CHAIN_MAX: usize = 32;

/// Works out all chains, and keeps those that changed.
pub(super) fn rebuild(transaction: &mut Transaction<'_>) -> Result<(), Refusal> {
    let issuers = store::issuers(transaction)?;
    let mut parsed = HashMap::new();
    for issuer in &issuers {
        parsed.insert(issuer.id.as_str(), issuer.parsed()?);
    }
    let by_id: HashMap<&str, &Issuer> = issuers.iter().map(|issuer| (issuer.id.as_str(), issuer)).collect();
    for issuer in &issuers {
        let ids = if issuer.manual_chain.is_empty() {
            found(&issuer.id, &parsed)
        } else {
            issuer.manual_chain.iter().map(String::as_str).filter(|id| by_id.contains_key(id)).collect()
        };
        let chain: Vec<String> = ids.iter().map(|id| by_id[id].certificate.clone()).collect();
        if chain != issuer.ca_chain {
            store::put_issuer(transaction, &Issuer { ca_chain: chain, ..issuer.clone() })?;
        }
    }
    Ok(())
}

/// The issuer itself, then those that signed it, then those that signed these: nearest first, each once.
fn found<'a>(id: &'a str, parsed: &HashMap<&'a str, Certificate>) -> Vec<&'a str> {
    let mut chain = vec![id];
    let mut next = 0;
    while next < chain.len() && chain.len() < CHAIN_MAX {
        let child = &parsed[chain[next]];
        let mut parents: Vec<&str> = parsed
            .iter()
            .filter(|(parent, certificate)| !chain.contains(*parent) && child.signed_by(certificate))
            .map(|(parent, _)| *parent)
            .collect();
        parents.sort_by_key(|parent| (!parsed[parent].self_signed(), *parent));
        chain.extend(parents);
        next += 1;
    }
    chain.truncate(CHAIN_MAX);
    chain
}
