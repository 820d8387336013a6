//! An answer's or a refusal's words: status and body as Vault has them.

use super::{
    ask::Ask,
    call::{Answer, JSON},
    reply::Reply,
};
use crate::logical::{Operation, Refusal};

/// Paths whose data stands beside the envelope's fields too.
const INJECTED: &[&str] = &[
    "sys/audit",
    "sys/audit/*",
    "sys/audit-hash/*",
    "sys/auth",
    "sys/auth/*",
    "sys/config/cors",
    "sys/config/auditing/request-headers",
    "sys/config/auditing/request-headers/*",
    "sys/capabilities",
    "sys/capabilities-accessor",
    "sys/capabilities-self",
    "sys/ha-status",
    "sys/key-status",
    "sys/mounts",
    "sys/mounts/*",
    "sys/policy",
    "sys/policy/*",
    "sys/rekey/backup",
    "sys/remount",
    "sys/rotate",
    "sys/wrapping/wrap",
];

/// Puts an answer into words.
pub(super) fn answer(ask: &Ask, mount_type: &str, reply: &Reply) -> Answer {
    if let Some(raw) = reply.response.raw.as_ref().filter(|_| reply.wrapped.is_none()) {
        return Answer {
            status: raw.status,
            content_type: raw.content_type.clone(),
            body: raw.body.clone(),
            headers: Vec::new(),
        };
    }
    if reply.wrapped.is_none() && is_nothing(ask.operation, reply) {
        return Answer::errors(404, &[]);
    }
    let status = reply.response.status;
    if reply.is_empty() {
        return Answer::empty(status.unwrap_or(204));
    }
    let injected = INJECTED.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(prefix) => ask.path.starts_with(prefix),
        None => ask.path == *pattern,
    });
    match reply.body(&ask.id, mount_type, injected) {
        Ok(body) => {
            Answer { status: status.unwrap_or(200), content_type: JSON.to_owned(), body, headers: Vec::new() }
        }
        Err(_) => Answer::errors(500, &["internal error"]),
    }
}

/// Reading nothing, and listing an empty folder, is 404.
fn is_nothing(operation: Operation, reply: &Reply) -> bool {
    match operation {
        Operation::Read => reply.is_empty(),
        Operation::List => match &reply.response.data {
            None => reply.response.warnings.is_empty(),
            Some(data) if data.is_empty() => reply.response.warnings.is_empty(),
            Some(data) => data.get("keys").is_some_and(|keys| keys.as_array().is_none_or(Vec::is_empty)),
        },
        _ => false,
    }
}

/// Puts a refusal into words.
pub(super) fn refusal(ask: &Ask, mount_type: &str, refusal: Refusal) -> Answer {
    let status = refusal.status();
    match refusal {
        Refusal::NotFound => Answer::errors(404, &[]),
        Refusal::NotFoundWith(response) => {
            let reply = Reply::from(*response);
            match reply.body(&ask.id, mount_type, false) {
                Ok(body) => Answer { status, content_type: JSON.to_owned(), body, headers: Vec::new() },
                Err(_) => Answer::errors(500, &["internal error"]),
            }
        }
        Refusal::Invalid(text) | Refusal::Status { text, .. } => Answer::errors(status, &[&text]),
        Refusal::Denied => Answer::errors(status, &["permission denied"]),
        Refusal::UnsupportedPath | Refusal::UnsupportedOperation => {
            Answer::errors(status, &[&format!("1 error occurred:\n\t* {refusal}\n\n")])
        }
        Refusal::Storage(error) => {
            if status == 500 {
                tracing::error!(%error, cause = source(&error), path = %ask.path, "a request failed on storage");
            }
            let text =
                if status == 503 { error.to_string() } else { format!("1 error occurred:\n\t* {error}\n\n") };
            Answer::errors(status, &[&text])
        }
        Refusal::Internal { .. } => {
            tracing::error!(error = %refusal, cause = source(&refusal), path = %ask.path, "a request failed");
            Answer::errors(status, &["1 error occurred:\n\t* internal error\n\n"])
        }
    }
}

fn source(error: &dyn std::error::Error) -> String {
    error.source().map(ToString::to_string).unwrap_or_default()
}
