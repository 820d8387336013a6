//! Lists of revoked certificates (RFC 5280, 5). Issuers with the same key and name share one.

use super::{
    certificate::Certificate,
    clock,
    config::Lists,
    der,
    extension::{self, Extension},
    revoke::{REVOKED, Revoked},
    store::{self, Issuer, Signer, Usage},
};
use crate::{
    logical::{Refusal, parse_duration},
    storage::Transaction,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, SystemTime},
};

const INDEX: &str = "crls/index";
/// How long a list is good where the setting does not say.
const EXPIRY_DEFAULT: Duration = Duration::from_secs(72 * 3_600);

/// Which list is whose.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Index {
    /// Issuer to list.
    issuers: BTreeMap<String, String>,
    lists: BTreeMap<String, State>,
}

/// How far a list has come.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct State {
    number: u64,
    /// Seconds since 1970.
    next_update: u64,
}

/// One line of a list: the serial number as a key, and when.
type Line = (String, u64);
/// Lines by issuer, and those whose issuer is not here.
type Sorted = (HashMap<String, Vec<Line>>, Vec<Line>);

/// Makes all lists anew; what is to be said about it. Disabled lists are made, empty, only when forced.
pub(super) fn rebuild(
    transaction: &mut Transaction<'_>,
    now: SystemTime,
    force: bool,
) -> Result<Vec<String>, Refusal> {
    let config = Lists::read(transaction)?;
    if config.disable && !force {
        return Ok(Vec::new());
    }
    let all = store::issuers(transaction)?;
    let default = store::issuers_config(transaction)?.default;
    let mut index: Index = transaction.get_json(INDEX)?.unwrap_or_default();
    let (mut lines, strays) = if config.disable { Default::default() } else { lines(transaction, &all)? };
    let mut warnings = Vec::new();
    for group in groups(&all)? {
        let signers: Vec<&Issuer> =
            group.iter().copied().filter(|issuer| issuer.may(Usage::CrlSigning)).collect();
        let Some(signer) = signers.iter().find(|issuer| issuer.id == default).or(signers.first()) else {
            let ids: Vec<_> = group.iter().map(|issuer| issuer.id.as_str()).collect();
            warnings.push(format!(
                "Issuer equivalency set with associated keys lacked an issuer with CRL Signing KeyUsage; refusing to \
                 rebuild CRL for this group of issuers: {}",
                ids.join(",")
            ));
            continue;
        };
        let mut own: Vec<Line> =
            group.iter().filter_map(|issuer| lines.remove(&issuer.id)).flatten().collect();
        if signer.id == default {
            own.extend(strays.iter().cloned());
        }
        let id = match group.iter().find_map(|issuer| index.issuers.get(&issuer.id)) {
            Some(id) => id.clone(),
            None => store::new_id()?,
        };
        group.iter().for_each(|issuer| {
            index.issuers.insert(issuer.id.clone(), id.clone());
        });
        let state = index.lists.entry(id.clone()).or_default();
        state.number += 1;
        let expiry = parse_duration(&config.expiry).unwrap_or(EXPIRY_DEFAULT);
        state.next_update = clock::seconds(now).saturating_add(expiry.as_secs());
        let signer = Signer::of(transaction, (*signer).clone(), Usage::CrlSigning)?;
        let bytes = sign(&signer, state, &own, now)?;
        transaction.put(&format!("crls/{id}"), bytes);
    }
    forget(transaction, &mut index, &all);
    transaction.put_json(INDEX, &index)?;
    Ok(numbered(warnings))
}

/// As Vault words them.
fn numbered(warnings: Vec<String>) -> Vec<String> {
    let number = |(index, text)| format!("Warning {} during CRL rebuild: {text}", index + 1);
    warnings.into_iter().enumerate().map(number).collect()
}

/// Issuers that are one to whoever checks: same key, same name. Those without a key here sign nothing.
fn groups(all: &[Issuer]) -> Result<Vec<Vec<&Issuer>>, Refusal> {
    let mut groups: BTreeMap<(String, Vec<u8>), Vec<&Issuer>> = BTreeMap::new();
    for issuer in all.iter().filter(|issuer| !issuer.key_id.is_empty()) {
        groups.entry((issuer.key_id.clone(), issuer.parsed()?.subject)).or_default().push(issuer);
    }
    Ok(groups.into_values().collect())
}

/// What was revoked, by issuer, and what has no issuer here (any more).
fn lines(transaction: &mut Transaction<'_>, all: &[Issuer]) -> Result<Sorted, Refusal> {
    let mut parsed: Vec<(&str, Certificate)> = Vec::new();
    for issuer in all {
        parsed.push((&issuer.id, issuer.parsed()?));
    }
    let mut found: HashMap<String, Vec<Line>> = HashMap::new();
    let mut strays = Vec::new();
    for key in transaction.list(REVOKED)? {
        let path = format!("{REVOKED}{key}");
        let Some(mut revoked) = transaction.get_json::<Revoked>(&path)? else { continue };
        if !parsed.iter().any(|(id, _)| *id == revoked.issuer) {
            let certificate =
                transaction.get(&format!("certs/{key}"))?.and_then(|bytes| Certificate::parse(&bytes).ok());
            let parent = certificate.and_then(|certificate| {
                parsed
                    .iter()
                    .find(|(_, issuer)| certificate.signed_by(issuer))
                    .map(|(id, _)| (*id).to_owned())
            });
            let Some(parent) = parent else {
                strays.push((key, revoked.time));
                continue;
            };
            revoked.issuer = parent;
            transaction.put_json(&path, &revoked)?;
        }
        found.entry(revoked.issuer).or_default().push((key, revoked.time));
    }
    Ok((found, strays))
}

/// Forgets lists of issuers that are gone.
fn forget(transaction: &mut Transaction<'_>, index: &mut Index, all: &[Issuer]) {
    index.issuers.retain(|id, _| all.iter().any(|issuer| issuer.id == *id));
    let gone: Vec<String> =
        index.lists.keys().filter(|id| !index.issuers.values().any(|used| used == *id)).cloned().collect();
    for id in gone {
        index.lists.remove(&id);
        transaction.delete(&format!("crls/{id}"));
    }
}

/// `CertificateList`.
fn sign(signer: &Signer, state: &State, lines: &[Line], now: SystemTime) -> Result<Vec<u8>, Refusal> {
    let algorithm = signer.revocation_algorithm();
    let mut content = Vec::new();
    for (key, nanos) in lines {
        let serial = serial_bytes(key);
        content.extend(der::sequence(&[&der::unsigned(&serial), &clock::encode(nanos / 1_000_000_000)]));
    }
    // RFC 5280, 5.1.2.6: no list at all where there is nothing in it.
    let revoked = if content.is_empty() { Vec::new() } else { der::element(der::SEQUENCE, &content) };
    let mut extensions: Vec<Extension> = Vec::new();
    extensions.extend(
        signer.certificate.subject_key_identifier().map(|id| extension::authority_key_identifier(&id)),
    );
    extensions.push(extension::crl_number(state.number));
    let signed = der::sequence(&[
        &der::number(1),
        &algorithm.identifier(),
        &signer.certificate.subject,
        &clock::encode(clock::seconds(now)),
        &clock::encode(state.next_update),
        &revoked,
        &der::element(der::context(0), &extension::encode_all(&extensions)),
    ]);
    let signature = signer.key.sign(algorithm, &signed)?;
    Ok(der::sequence(&[&signed, &algorithm.identifier(), &der::bits(&signature)]))
}

/// The bytes of a serial number from the key under which it is kept.
fn serial_bytes(key: &str) -> Vec<u8> {
    key.split('-').filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect()
}

/// The list of an issuer as DER, empty where there is none.
pub(super) fn of_issuer(transaction: &Transaction<'_>, issuer: &Issuer) -> Result<Vec<u8>, Refusal> {
    let index: Index = transaction.get_json(INDEX)?.unwrap_or_default();
    match index.issuers.get(&issuer.id) {
        Some(id) => Ok(transaction.get(&format!("crls/{id}"))?.unwrap_or_default()),
        None => Ok(Vec::new()),
    }
}

/// Makes lists anew that are about to end, if that is wished for.
pub(super) fn tick(transaction: &mut Transaction<'_>, now: SystemTime) -> Result<(), Refusal> {
    let config = Lists::read(transaction)?;
    if !config.auto_rebuild || config.disable {
        return Ok(());
    }
    let index: Index = transaction.get_json(INDEX)?.unwrap_or_default();
    let grace = parse_duration(&config.auto_rebuild_grace_period).unwrap_or_default().as_secs();
    let soon = clock::seconds(now).saturating_add(grace);
    if index.lists.values().any(|state| state.next_update <= soon) {
        rebuild(transaction, now, false)?;
    }
    Ok(())
}
