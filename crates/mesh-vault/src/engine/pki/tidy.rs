//! Forgetting what is over: certificates that ended, notes that they were revoked, issuers that ended.
//!
//! A run works through a bounded number of entries; what is left is taken up at the next tick, from where it
//! stopped. Where a run has come to is kept, so that one survives sealing.

use super::{
    certificate::Certificate,
    chain, clock, crl, object,
    revoke::{REVOKED, Revoked},
    store,
};
use crate::{
    logical::{Context, Fields, Object, Refusal, Request, Response, parse_duration},
    moment,
    storage::Transaction,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const AUTO: &str = "config/auto-tidy";
const STATE: &str = "tidy/state";
/// Entries that one run looks at.
const ENTRIES_A_RUN_MAX: usize = 5_000;
const OPERATIONS: &str = "tidy_cert_store / tidy_revoked_certs / tidy_invalid_certs / \
                          tidy_revoked_cert_issuer_associations / tidy_expired_issuers / tidy_move_legacy_ca_bundle / \
                          tidy_acme";

/// What is to be forgotten, and how long after its end. Durations are seconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
struct Settings {
    enabled: bool,
    interval_duration: u64,
    tidy_cert_store: bool,
    tidy_revoked_certs: bool,
    tidy_invalid_certs: bool,
    tidy_revoked_cert_issuer_associations: bool,
    tidy_expired_issuers: bool,
    tidy_move_legacy_ca_bundle: bool,
    tidy_acme: bool,
    safety_buffer: u64,
    /// As long as `safety_buffer` where it is not set.
    revoked_safety_buffer: Option<u64>,
    issuer_safety_buffer: u64,
    acme_account_safety_buffer: u64,
    pause_duration: String,
    page_size: i64,
    maintain_stored_certificate_counts: bool,
    publish_stored_certificate_count_metrics: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: false,
            interval_duration: 12 * 3_600,
            tidy_cert_store: false,
            tidy_revoked_certs: false,
            tidy_invalid_certs: false,
            tidy_revoked_cert_issuer_associations: false,
            tidy_expired_issuers: false,
            tidy_move_legacy_ca_bundle: false,
            tidy_acme: false,
            safety_buffer: 72 * 3_600,
            revoked_safety_buffer: None,
            issuer_safety_buffer: 365 * 24 * 3_600,
            acme_account_safety_buffer: 30 * 24 * 3_600,
            pause_duration: "0s".to_owned(),
            page_size: 1_000,
            maintain_stored_certificate_counts: false,
            publish_stored_certificate_count_metrics: false,
        }
    }
}

impl Settings {
    fn update(&mut self, fields: Fields<'_>) -> Result<(), Refusal> {
        let flags = [
            ("enabled", &mut self.enabled),
            ("tidy_cert_store", &mut self.tidy_cert_store),
            ("tidy_revoked_certs", &mut self.tidy_revoked_certs),
            ("tidy_invalid_certs", &mut self.tidy_invalid_certs),
            ("tidy_revoked_cert_issuer_associations", &mut self.tidy_revoked_cert_issuer_associations),
            ("tidy_expired_issuers", &mut self.tidy_expired_issuers),
            ("tidy_move_legacy_ca_bundle", &mut self.tidy_move_legacy_ca_bundle),
            ("tidy_acme", &mut self.tidy_acme),
            ("maintain_stored_certificate_counts", &mut self.maintain_stored_certificate_counts),
            ("publish_stored_certificate_count_metrics", &mut self.publish_stored_certificate_count_metrics),
        ];
        for (field, value) in flags {
            *value = fields.boolean(field)?.unwrap_or(*value);
        }
        self.tidy_revoked_certs |= fields.boolean("tidy_revocation_list")?.unwrap_or(false);
        let durations = [
            ("safety_buffer", &mut self.safety_buffer),
            ("issuer_safety_buffer", &mut self.issuer_safety_buffer),
            ("acme_account_safety_buffer", &mut self.acme_account_safety_buffer),
        ];
        for (field, value) in durations {
            *value = fields.duration(field)?.map_or(*value, |duration| duration.as_secs());
            if *value < 1 {
                return Err(Refusal::invalid(format!("{field} must be greater than zero")));
            }
        }
        self.interval_duration = fields
            .duration("interval_duration")?
            .map_or(self.interval_duration, |duration| duration.as_secs());
        if let Some(buffer) = fields.duration("revoked_safety_buffer")? {
            if buffer.as_secs() < 1 {
                return Err(Refusal::invalid("revoked_safety_buffer must be greater than zero"));
            }
            self.revoked_safety_buffer = Some(buffer.as_secs());
        }
        if let Some(pause) = fields.string("pause_duration")? {
            let parsed = parse_duration(&pause)
                .ok_or_else(|| Refusal::invalid(format!("Error parsing pause_duration: {pause}")))?;
            self.pause_duration = moment::go_duration(parsed.as_secs());
        }
        if let Some(size) = fields.integer("page_size")? {
            if (1..5).contains(&size) {
                return Err(Refusal::invalid("page_size must be greater than five"));
            }
            self.page_size = size;
        }
        Ok(())
    }

    fn asks_for_anything(&self) -> bool {
        self.tidy_cert_store
            || self.tidy_revoked_certs
            || self.tidy_invalid_certs
            || self.tidy_revoked_cert_issuer_associations
            || self.tidy_expired_issuers
            || self.tidy_move_legacy_ca_bundle
            || self.tidy_acme
    }

    fn revoked_buffer(&self) -> u64 {
        self.revoked_safety_buffer.unwrap_or(self.safety_buffer)
    }

    fn shown(&self) -> Object {
        object(json!({
            "enabled": self.enabled,
            "interval_duration": self.interval_duration,
            "tidy_cert_store": self.tidy_cert_store,
            "tidy_revoked_certs": self.tidy_revoked_certs,
            "tidy_invalid_certs": self.tidy_invalid_certs,
            "tidy_revoked_cert_issuer_associations": self.tidy_revoked_cert_issuer_associations,
            "tidy_expired_issuers": self.tidy_expired_issuers,
            "tidy_move_legacy_ca_bundle": self.tidy_move_legacy_ca_bundle,
            "tidy_acme": self.tidy_acme,
            "safety_buffer": self.safety_buffer,
            "revoked_safety_buffer": self.revoked_buffer(),
            "issuer_safety_buffer": self.issuer_safety_buffer,
            "acme_account_safety_buffer": self.acme_account_safety_buffer,
            "pause_duration": self.pause_duration,
            "page_size": self.page_size,
            "publish_stored_certificate_count_metrics": self.publish_stored_certificate_count_metrics,
            "maintain_stored_certificate_counts": self.maintain_stored_certificate_counts,
        }))
    }
}

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Phase {
    Certificates,
    Revoked,
    Issuers,
    Finished,
    Cancelled,
}

/// A run, going on or over. Times are nanoseconds since 1970.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Run {
    settings: Settings,
    phase: Phase,
    /// The last entry that was looked at in this phase.
    after: String,
    started: u64,
    finished: u64,
    certificates_deleted: u64,
    revoked_deleted: u64,
    associations_made: u64,
}

impl Run {
    fn going_on(&self) -> bool {
        !matches!(self.phase, Phase::Finished | Phase::Cancelled)
    }
}

/// `config/auto-tidy`.
pub(super) fn config(request: &Request, transaction: &mut Transaction<'_>) -> Result<Response, Refusal> {
    let mut settings: Settings = transaction.get_json(AUTO)?.unwrap_or_default();
    if request.operation.writes() {
        settings.update(request.fields())?;
        if settings.enabled && !settings.asks_for_anything() {
            return Err(Refusal::invalid(format!(
                "Auto-tidy enabled but no tidy operations were requested. Enable at least one tidy operation to be \
                 run ({OPERATIONS})."
            )));
        }
        if settings.publish_stored_certificate_count_metrics && !settings.maintain_stored_certificate_counts {
            return Err(Refusal::invalid(
                "Can not publish a running storage metrics count to metrics without first maintaining that count.  \
                 Enable `maintain_stored_certificate_counts` to enable `publish_stored_certificate_count_metrics`.",
            ));
        }
        transaction.put_json(AUTO, &settings)?;
    }
    Ok(Response::data(settings.shown()))
}

/// `tidy`.
pub(super) fn handle(
    request: &Request,
    context: &Context,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    let mut settings = Settings::default();
    settings.update(request.fields())?;
    if transaction.get_json::<Run>(STATE)?.is_some_and(|run| run.going_on()) {
        return Ok(Response::empty().warn("Tidy operation already in progress."));
    }
    let warning = if settings.asks_for_anything() {
        "Tidy operation successfully started. Any information from the operation will be printed to Vault's server \
         logs."
            .to_owned()
    } else {
        format!(
            "Manual tidy requested but no tidy operations were set. Enable at least one tidy operation to be run \
             ({OPERATIONS})."
        )
    };
    start(settings, context, transaction)?;
    Ok(Response { status: Some(202), ..Response::empty().warn(warning) })
}

/// `tidy-cancel`.
pub(super) fn cancel(context: &Context, transaction: &mut Transaction<'_>) -> Result<Response, Refusal> {
    let run = transaction.get_json::<Run>(STATE)?.filter(Run::going_on);
    let Some(mut run) = run else {
        return Ok(Response::empty().warn("Tidy operation cannot be cancelled as none is currently running."));
    };
    run.phase = Phase::Cancelled;
    run.finished = moment::nanos(context.now);
    transaction.put_json(STATE, &run)?;
    status(context, transaction)
}

/// `tidy-status`.
pub(super) fn status(context: &Context, transaction: &Transaction<'_>) -> Result<Response, Refusal> {
    let run: Option<Run> = transaction.get_json(STATE)?;
    let auto: Settings = transaction.get_json(AUTO)?.unwrap_or_default();
    let time = |nanos: u64| if nanos == 0 { Value::Null } else { moment::rfc3339(nanos).into() };
    let mut data = run.as_ref().map_or_else(Object::new, |run| run.settings.shown());
    for field in ["enabled", "interval_duration"] {
        data.remove(field);
    }
    if run.is_none() {
        data = Settings::default().shown().into_iter().map(|(field, _)| (field, Value::Null)).collect();
        data.remove("enabled");
        data.remove("interval_duration");
    }
    for field in ["publish_stored_certificate_count_metrics", "maintain_stored_certificate_counts"] {
        data.remove(field);
    }
    let state = match run.as_ref().map(|run| run.phase) {
        None => "Inactive",
        Some(Phase::Finished) => "Finished",
        Some(Phase::Cancelled) => "Cancelled",
        Some(_) => "Running",
    };
    let count = |pick: fn(&Run) -> u64| run.as_ref().map_or(Value::Null, |run| pick(run).into());
    data.extend(object(json!({
        "state": state,
        "error": null,
        "message": null,
        "time_started": time(run.as_ref().map_or(0, |run| run.started)),
        "time_finished": time(run.as_ref().map_or(0, |run| run.finished)),
        "cert_store_deleted_count": count(|run| run.certificates_deleted),
        "revoked_cert_deleted_count": count(|run| run.revoked_deleted),
        "missing_issuer_cert_count": count(|run| run.associations_made),
        "current_cert_store_count": null,
        "current_revoked_cert_count": null,
        "internal_backend_uuid": context.accessor,
        "acme_account_deleted_count": count(|_| 0),
        "acme_account_revoked_count": count(|_| 0),
        "acme_orders_deleted_count": count(|_| 0),
        "total_acme_account_count": count(|_| 0),
    })));
    if let Some(run) = &run {
        data.insert("last_auto_tidy_finished".to_owned(), time(run.finished));
    }
    if auto.maintain_stored_certificate_counts {
        data.insert("current_cert_store_count".to_owned(), transaction.list("certs/")?.len().into());
        data.insert("current_revoked_cert_count".to_owned(), transaction.list(REVOKED)?.len().into());
    }
    Ok(Response::data(data))
}

fn start(settings: Settings, context: &Context, transaction: &mut Transaction<'_>) -> Result<(), Refusal> {
    let run = Run {
        settings,
        phase: Phase::Certificates,
        after: String::new(),
        started: moment::nanos(context.now),
        finished: 0,
        certificates_deleted: 0,
        revoked_deleted: 0,
        associations_made: 0,
    };
    go_on(run, context, transaction)
}

/// Goes on with a run, or starts one if it is time.
pub(super) fn tick(context: &Context, transaction: &mut Transaction<'_>) -> Result<(), Refusal> {
    let run: Option<Run> = transaction.get_json(STATE)?;
    if let Some(run) = run.clone().filter(Run::going_on) {
        return go_on(run, context, transaction);
    }
    let settings: Settings = transaction.get_json(AUTO)?.unwrap_or_default();
    let last = run.map_or(0, |run| run.finished);
    let due = moment::nanos(context.now) >= last.saturating_add(moment::seconds(settings.interval_duration));
    if settings.enabled && due { start(settings, context, transaction) } else { Ok(()) }
}

fn go_on(mut run: Run, context: &Context, transaction: &mut Transaction<'_>) -> Result<(), Refusal> {
    let now = clock::seconds(context.now);
    let mut budget = ENTRIES_A_RUN_MAX;
    if run.phase == Phase::Certificates && certificates(&mut run, now, &mut budget, transaction)? {
        (run.phase, run.after) = (Phase::Revoked, String::new());
    }
    if run.phase == Phase::Revoked && revoked(&mut run, now, &mut budget, transaction)? {
        run.phase = Phase::Issuers;
    }
    if run.phase == Phase::Issuers {
        let fewer = run.settings.tidy_expired_issuers && issuers(&run, now, transaction)?;
        if fewer || run.revoked_deleted > 0 || run.associations_made > 0 {
            crl::rebuild(transaction, context.now, false)?;
        }
        run.phase = Phase::Finished;
        run.finished = moment::nanos(context.now);
    }
    Ok(transaction.put_json(STATE, &run)?)
}

/// The entries that are still to be looked at, as many as there may be, and whether these are all.
fn next(
    folder: &str,
    after: &str,
    budget: &mut usize,
    transaction: &Transaction<'_>,
) -> Result<(Vec<String>, bool), Refusal> {
    let mut keys = transaction.list(folder)?;
    keys.retain(|key| key.as_str() > after);
    let all = keys.len() <= *budget;
    keys.truncate(*budget);
    *budget -= keys.len();
    Ok((keys, all))
}

/// Certificates that ended; whether all were looked at.
fn certificates(
    run: &mut Run,
    now: u64,
    budget: &mut usize,
    transaction: &mut Transaction<'_>,
) -> Result<bool, Refusal> {
    if !run.settings.tidy_cert_store && !run.settings.tidy_invalid_certs {
        return Ok(true);
    }
    let (keys, all) = next("certs/", &run.after, budget, transaction)?;
    for key in keys {
        run.after.clone_from(&key);
        let path = format!("certs/{key}");
        let over = match Certificate::parse(&transaction.get(&path)?.unwrap_or_default()) {
            Err(_) => run.settings.tidy_invalid_certs,
            Ok(certificate) => {
                let revoked = transaction.get(&format!("{REVOKED}{key}"))?.is_some();
                let buffer = if revoked { run.settings.revoked_buffer() } else { run.settings.safety_buffer };
                run.settings.tidy_cert_store && now > certificate.not_after.saturating_add(buffer)
            }
        };
        if over {
            transaction.delete(&path);
            run.certificates_deleted += 1;
        }
    }
    Ok(all)
}

/// Notes about certificates that ended; whether all were looked at.
fn revoked(
    run: &mut Run,
    now: u64,
    budget: &mut usize,
    transaction: &mut Transaction<'_>,
) -> Result<bool, Refusal> {
    if !run.settings.tidy_revoked_certs && !run.settings.tidy_revoked_cert_issuer_associations {
        return Ok(true);
    }
    let known: Vec<String> = store::issuers(transaction)?.into_iter().map(|issuer| issuer.id).collect();
    let (keys, all) = next(REVOKED, &run.after, budget, transaction)?;
    for key in keys {
        run.after.clone_from(&key);
        let path = format!("{REVOKED}{key}");
        let Some(revoked) = transaction.get_json::<Revoked>(&path)? else { continue };
        let over = now > revoked.not_after.saturating_add(run.settings.revoked_buffer());
        if run.settings.tidy_revoked_certs && over {
            transaction.delete(&path);
            transaction.delete(&format!("certs/{key}"));
            run.revoked_deleted += 1;
        } else if run.settings.tidy_revoked_cert_issuer_associations && !known.contains(&revoked.issuer) {
            // Making the lists anew looks for the issuer.
            run.associations_made += 1;
        }
    }
    Ok(all)
}

/// Issuers that ended, but for the default; whether there are fewer now.
fn issuers(run: &Run, now: u64, transaction: &mut Transaction<'_>) -> Result<bool, Refusal> {
    let default = store::issuers_config(transaction)?.default;
    let mut fewer = false;
    for issuer in store::issuers(transaction)? {
        let end = issuer.parsed()?.not_after.saturating_add(run.settings.issuer_safety_buffer);
        if now > end && issuer.id != default {
            store::delete_issuer(transaction, &issuer.id)?;
            fewer = true;
        }
    }
    if fewer {
        chain::rebuild(transaction)?;
    }
    Ok(fewer)
}
