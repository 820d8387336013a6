//! A request's way: mount, token, policy, turn, engine, token or lease or wrapping, commit, answer.

use super::{
    Core,
    active::Active,
    ask::{Ask, Bearer},
    call::{Answer, Call},
    engines::{self, Computed},
    login,
    mounts::{Backend, Mount},
    outcome,
    parse::Incoming,
    policy_refusal,
    reply::{self, Reply, WrapWish},
    work::Work,
};
use crate::{
    audit, guide, lease,
    logical::{Operation, Refusal, Request, Response, SpecialPaths},
    policy::Asked,
    system,
    token::{self, Kind},
    wrap,
};
use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

const DEPRECATED_RESPONSE: &str = "Reading from 'cubbyhole/response' is deprecated. Please use sys/wrapping/unwrap \
                                   to unwrap responses, as it provides additional security checks and other benefits.";
/// Paths that open a wrapped response: their token may be the wrapping one.
const UNWRAPPING: [&str; 3] = ["sys/wrapping/lookup", "sys/wrapping/rewrap", "sys/wrapping/unwrap"];

/// Answers a request behind the barrier.
pub(super) async fn serve(core: &Arc<Core>, active: &Arc<Active>, call: Call, incoming: Incoming) -> Answer {
    let Ok(id) = reply::request_id() else { return Answer::errors(500, &["internal error"]) };
    let mut ask = Ask {
        id,
        operation: incoming.operation,
        path: incoming.path,
        data: incoming.data,
        sent_token: call.token,
        bearer: None,
        wrap_ttl: incoming.wrap_ttl,
        remote: call.remote,
        now: SystemTime::now(),
        sudo: false,
        recorded: false,
    };
    let mount = find_mount(active, &mut ask);
    let mount_type = mount.as_ref().map_or("", |mount| mount.entry.kind.as_str());
    let began = Instant::now();
    let mut outcome = handle(core, active, mount.as_deref(), &mut ask).await;
    if let Some(error) = outcome.as_ref().err().map(ToString::to_string).filter(|_| !ask.recorded) {
        let recorded = record_request(active, &mut ask, mount.as_deref(), Some(&error)).await;
        outcome = recorded.and(outcome);
    }
    if let Some(mount) = &mount {
        active.metrics.route(operation_name(ask.operation), &mount.path, began.elapsed());
    }
    let recorded = record_answer(active, &ask, mount.as_deref(), &outcome).await;
    if recorded.is_err() {
        active.metrics.failed_audit();
        return Answer::errors(500, &["1 error occurred:\n\t* internal error\n\n"]);
    }
    if outcome.as_ref().is_ok_and(|reply| reply.seals) {
        core.seal().await;
    }
    match outcome {
        Ok(reply) => outcome::answer(&ask, mount_type, &reply),
        Err(refusal) => outcome::refusal(&ask, mount_type, refusal),
    }
}

/// The mount of a path; a mount's own name means the mount.
fn find_mount(active: &Active, ask: &mut Ask) -> Option<Arc<Mount>> {
    let mounts = active.mounts();
    if let Some(mount) = mounts.find(&ask.path) {
        return Some(Arc::clone(mount));
    }
    let with_slash = format!("{}/", ask.path);
    let mount = mounts.find(&with_slash)?;
    if !ask.operation.writes() && ask.operation != Operation::Patch {
        ask.path = with_slash;
    }
    Some(Arc::clone(mount))
}

async fn handle(
    core: &Arc<Core>,
    active: &Arc<Active>,
    mount: Option<&Mount>,
    ask: &mut Ask,
) -> Result<Reply, Refusal> {
    if ask.path.ends_with('/') && (ask.operation.writes() || ask.operation == Operation::Patch) {
        return Err(Refusal::invalid("cannot write to a path ending in '/'"));
    }
    let special = mount.map_or_else(SpecialPaths::default, special);
    let relative = mount.map_or("", |mount| mount.relative(&ask.path));
    let open = matches_any(special.unauthenticated, relative);
    let protected = matches_any(special.root, relative);
    if UNWRAPPING.contains(&ask.path.as_str()) {
        wrap::admit(active, ask)?;
    }
    let known = find_bearer(active, ask);
    if !open {
        let bearer = known?.ok_or(Refusal::Denied)?;
        ask.bearer = Some(bearer);
        check_mount_paths(mount, ask)?;
        let last = use_token(active, ask).await?;
        let outcome = authorized(core, active, mount, ask, protected).await;
        if last {
            revoke_used_up(active, ask).await?;
        }
        return refuse_lease_of_last(last, outcome);
    }
    // Where no token is needed, a bad one is no reason to refuse.
    ask.bearer = known.ok().flatten();
    check_mount_paths(mount, ask)?;
    route(core, active, mount, ask).await
}

/// Vault's storage knows no `..`, so no engine does.
fn check_mount_paths(mount: Option<&Mount>, ask: &Ask) -> Result<(), Refusal> {
    let engine = mount.is_some_and(|mount| matches!(mount.backend, Backend::Engine(_)));
    if engine && ask.path.split('/').any(|part| part == "..") {
        return Err(Refusal::invalid("relative paths not supported"));
    }
    Ok(())
}

fn find_bearer(active: &Active, ask: &Ask) -> Result<Option<Bearer>, Refusal> {
    let Some(token) = ask.sent_token.clone() else { return Ok(None) };
    let Some(entry) = active.tokens.lookup(active.store(), token.expose(), ask.now)? else { return Ok(None) };
    if !entry.allows_from(ask.remote) {
        return Ok(None);
    }
    let acl = active.acl(&entry.policies).map_err(policy_refusal)?;
    Ok(Some(Bearer { token, entry, acl }))
}

/// Counts a use of a token that has only so many; whether it was the last.
async fn use_token(active: &Arc<Active>, ask: &mut Ask) -> Result<bool, Refusal> {
    let limited = ask.bearer.as_ref().is_some_and(|bearer| bearer.entry.num_uses != 0);
    let Some(bearer) = ask.bearer.clone().filter(|_| limited) else { return Ok(false) };
    let (active, now) = (Arc::clone(active), ask.now);
    // On a task of its own: once counted it stays counted, whether the client waits or not.
    let counted = tokio::spawn(async move {
        let name = &bearer.entry.name;
        let held = active.turns.alone(token::turn(name)).await;
        let entry = active.tokens.lookup_name(active.store(), name, now)?.ok_or(Refusal::Denied)?;
        let mut entry = entry.as_ref().clone();
        entry.num_uses = if entry.num_uses == 1 { token::LAST_USE_RUNNING } else { entry.num_uses - 1 };
        let mut work = Work::default();
        active.tokens.store(&entry, &mut work);
        active.commit(work).await?;
        drop(held);
        Ok::<_, Refusal>(entry)
    });
    let counted = counted.await.map_err(|_| Refusal::Denied)??;
    let last = counted.num_uses == token::LAST_USE_RUNNING;
    if let Some(bearer) = &mut ask.bearer {
        bearer.entry = Arc::new(counted);
    }
    Ok(last)
}

async fn revoke_used_up(active: &Arc<Active>, ask: &Ask) -> Result<(), Refusal> {
    let Some(name) = ask.bearer.as_ref().map(|bearer| bearer.entry.name.clone()) else { return Ok(()) };
    let active = Arc::clone(active);
    let revoked = tokio::spawn(async move { token::revoke_tree(&active, &name).await });
    Ok(revoked.await.map_err(|_| Refusal::Denied)??)
}

/// A lease goes with its token, and the token is gone.
fn refuse_lease_of_last(last: bool, outcome: Result<Reply, Refusal>) -> Result<Reply, Refusal> {
    match outcome {
        Ok(reply) if last && reply.lease.as_ref().is_some_and(|lease| !lease.id.is_empty()) => {
            Err(Refusal::invalid(
                "Secret cannot be returned; token had one use left, so leased credentials were immediately revoked.",
            ))
        }
        other => other,
    }
}

/// What a path's rules are, of the mount that answers it.
fn special(mount: &Mount) -> SpecialPaths {
    match &mount.backend {
        Backend::System => system::special(),
        Backend::Token => token::special(),
        Backend::Absent => SpecialPaths::default(),
        Backend::Engine(engine) => engine.special(),
    }
}

/// `*` at the end stands for any rest, `+` for one part.
fn matches_any(patterns: &[&str], path: &str) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(prefix) if !prefix.contains('+') => path.starts_with(prefix),
        Some(prefix) => {
            let (mut rules, mut parts) = (prefix.split('/').peekable(), path.split('/'));
            loop {
                match (rules.next(), parts.next()) {
                    (Some(rule), Some(part)) if rules.peek().is_none() => {
                        break rule == "+" || part.starts_with(rule);
                    }
                    (Some(rule), Some(part)) if rule == "+" || rule == part => {}
                    _ => break false,
                }
            }
        }
        None if !pattern.contains('+') => *pattern == path,
        None => {
            let (rules, parts) = (pattern.split('/'), path.split('/'));
            rules.clone().count() == parts.clone().count()
                && rules.zip(parts).all(|(a, b)| a == "+" || a == b)
        }
    })
}

async fn authorized(
    core: &Arc<Core>,
    active: &Arc<Active>,
    mount: Option<&Mount>,
    ask: &mut Ask,
    protected: bool,
) -> Result<Reply, Refusal> {
    if ask.operation == Operation::Update {
        ask.operation = written_operation(active, mount, ask)?;
    }
    judge(ask, protected)?;
    route(core, active, mount, ask).await
}

/// Whether a write makes something or changes it.
fn written_operation(active: &Active, mount: Option<&Mount>, ask: &Ask) -> Result<Operation, Refusal> {
    let Some(mount) = mount else { return Ok(Operation::Update) };
    let exists = match &mount.backend {
        Backend::System => system::exists(active, mount.relative(&ask.path))?,
        Backend::Token => token::exists(active, mount.relative(&ask.path))?,
        Backend::Absent => None,
        Backend::Engine(_) => match engines::exists(active, mount, &request(mount, ask), ask.now) {
            // Told later, when it is allowed.
            Err(Refusal::UnsupportedPath | Refusal::UnsupportedOperation | Refusal::Invalid(_)) => None,
            other => other?,
        },
    };
    Ok(if exists == Some(false) { Operation::Create } else { Operation::Update })
}

fn judge(ask: &mut Ask, protected: bool) -> Result<(), Refusal> {
    let bearer = ask.bearer.as_ref().ok_or(Refusal::Denied)?;
    let asked = Asked { operation: ask.operation, path: &ask.path, data: &ask.data, wrap_ttl: ask.wrap_ttl };
    let verdict = bearer.acl.judge(&asked);
    if !verdict.allowed || (protected && !verdict.sudo) {
        let text = "1 error occurred:\n\t* permission denied\n\n".to_owned();
        return Err(Refusal::Status { status: 403, text });
    }
    ask.sudo = verdict.sudo;
    Ok(())
}

async fn route(
    core: &Arc<Core>,
    active: &Arc<Active>,
    mount: Option<&Mount>,
    ask: &mut Ask,
) -> Result<Reply, Refusal> {
    record_request(active, ask, mount, None).await?;
    let Some(mount) = mount else {
        let text = format!("no handler for route {:?}. route entry not found.", ask.path);
        return Err(Refusal::Status { status: 404, text });
    };
    if ask.operation == Operation::Help {
        let version = mount.entry.options.as_ref().and_then(|options| options.get("version"));
        let relative = mount.relative(&ask.path);
        return Ok(guide::answer(&mount.entry.kind, version.map(String::as_str), relative)?.into());
    }
    let mut work = Work::default();
    let mut reply = match &mount.backend {
        Backend::System => {
            let path = mount.relative(&ask.path).to_owned();
            system::handle(core, active, ask, &path, &mut work).await?
        }
        Backend::Token => {
            let path = mount.relative(&ask.path).to_owned();
            token::handle(active, mount, ask, &path, &mut work).await?
        }
        Backend::Absent => return Err(Refusal::UnsupportedPath),
        Backend::Engine(_) => ask_engine(active, mount, ask, &mut work).await?,
    };
    if let Some(wish) = wrap_wish(ask, &mut reply) {
        wrap::wrap(active, mount, ask, wish, &mut reply, &mut work)?;
    }
    active.commit(work).await?;
    Ok(reply)
}

fn wrap_wish(ask: &Ask, reply: &mut Reply) -> Option<WrapWish> {
    let asked = ask.wrap_ttl.filter(|_| !reply.is_empty() || reply.response.raw.is_some());
    match (reply.wrap.take(), asked) {
        (Some(wish), Some(ttl)) => Some(WrapWish { ttl: wish.ttl.min(ttl), ..wish }),
        (Some(wish), None) => Some(wish),
        (None, Some(ttl)) => Some(WrapWish { ttl, again: None }),
        (None, None) => None,
    }
}

fn request(mount: &Mount, ask: &Ask) -> Request {
    Request {
        operation: ask.operation,
        path: mount.relative(&ask.path).to_owned(),
        data: ask.data.clone(),
        token: ask.facts(),
        remote: ask.remote,
        internal: crate::logical::Object::new(),
    }
}

async fn ask_engine(
    active: &Active,
    mount: &Mount,
    ask: &mut Ask,
    work: &mut Work,
) -> Result<Reply, Refusal> {
    let batch_token = ask.bearer.as_ref().is_some_and(|bearer| bearer.entry.kind == Kind::Batch);
    if mount.entry.kind == "cubbyhole" && batch_token {
        return Err(Refusal::invalid("cubbyhole operations are only supported by \"service\" type tokens"));
    }
    let mut request = request(mount, ask);
    let context = active.context(mount, ask.now);
    for held in engines::turn(active, mount, &request, &context).await? {
        work.hold(held);
    }
    // It may have been made or deleted while this waited for its turn.
    if ask.bearer.is_some() && ask.operation.writes() {
        let now_is = written_operation(active, Some(mount), ask)?;
        if now_is != ask.operation {
            ask.operation = now_is;
            request.operation = now_is;
            judge(ask, false)?;
        }
    }
    let cubbyhole = mount.entry.kind == "cubbyhole";
    if cubbyhole && ask.operation.writes() {
        // What is written must go with the token.
        hold_token(active, ask, work).await?;
    }
    let Computed { outcome, batch } = engines::compute(active, mount, request, context).await?;
    work.extend(batch);
    let mut response = match outcome {
        Ok(response) => response,
        Err(refusal) => {
            active.commit(std::mem::take(work)).await?;
            return Err(refusal);
        }
    };
    let wrapping = ask.bearer.as_ref().is_some_and(|bearer| bearer.entry.is_wrapping());
    if cubbyhole && wrapping && ask.path == "cubbyhole/response" {
        response.warnings.push(DEPRECATED_RESPONSE.to_owned());
    }
    complete(active, mount, ask, response, work).await
}

/// Adds to an engine's answer what is the core's: a token, a lease.
async fn complete(
    active: &Active,
    mount: &Mount,
    ask: &Ask,
    mut response: Response,
    work: &mut Work,
) -> Result<Reply, Refusal> {
    let (auth, lease) = (response.auth.take(), response.lease.take());
    let mut reply = Reply::from(response);
    if let Some(auth) = auth {
        login::login(active, mount, ask, auth, &mut reply, work)?;
    }
    if let Some(lease) = lease {
        hold_token(active, ask, work).await?;
        let (block, warnings) = lease::register(active, mount, ask, lease, work)?;
        active.metrics.lease();
        reply.response.warnings.extend(warnings);
        reply.lease = Some(block);
    } else if let Some(ttl) = reply.response.advised_ttl {
        // KV tells a TTL and keeps no lease.
        let seconds = ttl.as_secs();
        reply.lease = Some(reply::LeaseBlock { seconds, ..reply::LeaseBlock::default() });
    }
    Ok(reply)
}

/// The token must not be revoked between this and the commit: its lease would be left over.
async fn hold_token(active: &Active, ask: &Ask, work: &mut Work) -> Result<(), Refusal> {
    let Some(bearer) = ask.bearer.as_ref().filter(|bearer| bearer.entry.kind == Kind::Service) else {
        return Ok(());
    };
    work.hold(active.turns.shared(token::turn(&bearer.entry.name)).await);
    let entry = active.tokens.load(active.store(), &bearer.entry.name)?;
    entry.filter(|entry| !active.tokens.is_doomed(&entry.name)).map(drop).ok_or(Refusal::Denied)
}

/// Has a request recorded, with why it was refused.
async fn record_request(
    active: &Active,
    ask: &mut Ask,
    mount: Option<&Mount>,
    error: Option<&str>,
) -> Result<(), Refusal> {
    ask.recorded = true;
    if active.audit.is_off() {
        return Ok(());
    }
    let record = audit::Record { ask, mount, error, reply: None, answered: false };
    let failed =
        |_| Refusal::Status { status: 500, text: "1 error occurred:\n\t* internal error\n\n".to_owned() };
    active.audit.record(&record).await.map_err(failed).inspect_err(|_| active.metrics.failed_audit())
}

async fn record_answer(
    active: &Active,
    ask: &Ask,
    mount: Option<&Mount>,
    outcome: &Result<Reply, Refusal>,
) -> Result<(), audit::NotRecorded> {
    if active.audit.is_off() {
        return Ok(());
    }
    let error = outcome.as_ref().err().map(ToString::to_string);
    let reply = outcome.as_ref().ok();
    let record = audit::Record { ask, mount, error: error.as_deref(), reply, answered: true };
    active.audit.record(&record).await
}

fn operation_name(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "create",
        Operation::Read => "read",
        Operation::Update => "update",
        Operation::Patch => "patch",
        Operation::Delete => "delete",
        Operation::List => "list",
        Operation::Renew => "renew",
        Operation::Revoke => "revoke",
        Operation::Help => "help",
    }
}

#[cfg(test)]
mod tests {
    use super::matches_any;

    #[test]
    fn special_paths() {
        for (pattern, path, expected) in [
            ("login", "login", true),
            ("login", "login/x", false),
            ("login/*", "login/x", true),
            ("leases", "leases/x", false),
            ("accessors*", "accessors/", true),
            ("issuer/+/pem", "issuer/a/pem", true),
            ("issuer/+/pem", "issuer/a/b/pem", false),
            ("issuer/+/crl*", "issuer/a/crl/pem", true),
            ("issuer/+/crl*", "issuer/a/c", false),
        ] {
            assert_eq!(matches_any(&[pattern], path), expected, "{pattern} {path}");
        }
    }
}
