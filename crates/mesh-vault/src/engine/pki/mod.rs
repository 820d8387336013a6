//! Certificates: roots, intermediates, roles, issuing, revoking.
//!
//! ```text
//! role ──► allowed        may this name be in a certificate?
//!             │
//! request ──► wanted ──► issue, root ──► certificate ──► der
//!                           │
//!                           ▼
//!                         store            issuers, keys, settings, behind the barrier
//!                           │
//!        fetch, crl, ocsp ◄─┘
//! ```
//!
//! Every name passes [`allowed`], wherever it comes from. Keys are made and used by aws-lc; the structures around
//! them are written and read here, so that nothing is in a certificate that was not put there.
//!
//! Deliberately absent: ACME, keys of a key management service, delta and cluster-wide lists of revoked
//! certificates (lists are always made whole), P-224, and RSA keys of 8192 bits of our own making.

mod algorithm;
mod allowed;
mod certificate;
mod chain;
mod clock;
mod config;
mod crl;
mod der;
mod extension;
mod fetch;
mod general_name;
mod hostname;
mod issue;
mod issuers;
mod key;
mod keys;
mod ocsp;
mod pem;
mod revoke;
mod role;
mod root;
mod slots;
mod store;
mod subject;
#[cfg(test)]
mod tests;
mod tidy;
mod wanted;

use crate::{
    logical::{Context, Engine, Object, Operation, Refusal, Request, Response, SpecialPaths, Turn, Weight},
    storage::Transaction,
};
use fetch::Shape;

/// The engine.
#[derive(Debug, Default)]
pub struct Pki;

/// An object that was written as one.
fn object(value: serde_json::Value) -> Object {
    match value {
        serde_json::Value::Object(object) => object,
        _ => Object::new(),
    }
}

/// What Vault answers 500 for, although it is the caller who can mend it: a reference to nothing, mostly.
fn failed(text: impl Into<String>) -> Refusal {
    Refusal::failed(text.into())
}

/// The same where no token is needed: Vault leaves out the frame there.
fn failed_openly(text: impl Into<String>) -> Refusal {
    Refusal::Status { status: 500, text: text.into() }
}

/// Paths that need no token.
const UNAUTHENTICATED: &[&str] = &[
    "cert/*",
    "ca",
    "ca/pem",
    "ca_chain",
    "crl",
    "crl/pem",
    "crl/delta",
    "crl/delta/pem",
    "issuer/+/crl",
    "issuer/+/crl/der",
    "issuer/+/crl/pem",
    "issuer/+/crl/delta",
    "issuer/+/crl/delta/der",
    "issuer/+/crl/delta/pem",
    "issuer/+/pem",
    "issuer/+/der",
    "issuer/+/json",
    "issuers",
    "issuers/",
    "ocsp",
    "ocsp/*",
];

impl Engine for Pki {
    fn name(&self) -> &'static str {
        "pki"
    }

    fn special(&self) -> SpecialPaths {
        SpecialPaths { unauthenticated: UNAUTHENTICATED, root: &["root", "root/sign-self-issued"] }
    }

    fn turn(&self, request: &Request) -> Turn {
        let parts = request.parts();
        match (request.operation, parts.as_slice()) {
            // They read settings, and write under a number that nobody else has.
            (
                _,
                ["issue" | "sign" | "sign-verbatim", ..]
                | ["issuer", _, "issue" | "sign" | "sign-verbatim", ..],
            ) => Turn::Free,
            (_, ["ocsp", ..]) => Turn::Free,
            // It is read, and makes the lists anew.
            (_, ["crl", "rotate" | "rotate-delta"]) => Turn::Mount,
            (
                Operation::Create | Operation::Update | Operation::Patch | Operation::Delete,
                ["roles", name],
            ) => Turn::Key(format!("role/{name}")),
            (Operation::Read | Operation::List, _) => Turn::Free,
            _ => Turn::Mount,
        }
    }

    fn weight(&self, request: &Request) -> Weight {
        let parts = request.parts();
        match (request.operation, parts.as_slice()) {
            (_, ["roles", ..]) => Weight::Light,
            (_, ["crl", "rotate"] | ["ocsp", ..] | ["certs", "detailed", ..]) => Weight::Heavy,
            (Operation::Read | Operation::List, _) => Weight::Light,
            // Keys and signatures.
            _ => Weight::Heavy,
        }
    }

    fn handle(
        &self,
        request: &Request,
        context: &Context,
        transaction: &mut Transaction<'_>,
    ) -> Result<Response, Refusal> {
        if request.operation == Operation::Revoke {
            return revoke::lease_over(request, context, transaction);
        }
        let path = request.path.trim_end_matches('/');
        let parts: Vec<&str> = path.split('/').collect();
        match request.operation {
            Operation::Renew => Err(Refusal::UnsupportedOperation),
            _ if parts[0] == "ocsp" => {
                let encoded = request.path.strip_prefix("ocsp/").filter(|rest| !rest.is_empty());
                ocsp::handle(encoded, request, context.now, transaction)
            }
            Operation::List => listed(&parts, request, transaction),
            _ => one(&parts, request, context, transaction),
        }
    }

    fn tick(&self, context: &Context, transaction: &mut Transaction<'_>) -> Result<(), Refusal> {
        crl::tick(transaction, context.now)?;
        tidy::tick(context, transaction)
    }
}

fn listed(parts: &[&str], request: &Request, transaction: &Transaction<'_>) -> Result<Response, Refusal> {
    match parts {
        ["roles"] => role::list(transaction),
        ["issuers"] => issuers::list(transaction),
        ["keys"] => keys::list(transaction),
        ["certs"] => fetch::list(false, request.fields(), transaction),
        ["certs", "revoked"] => fetch::list(true, request.fields(), transaction),
        ["certs", "detailed"] => fetch::list_detailed(request.fields(), transaction),
        parts if read(parts, transaction).is_some() || known_for_writing(parts) => {
            Err(Refusal::UnsupportedOperation)
        }
        _ => Err(Refusal::UnsupportedPath),
    }
}

/// Everything but listing. What has several operations sorts them itself.
fn one(
    parts: &[&str],
    request: &Request,
    context: &Context,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    match parts {
        ["roles", name] => role::handle(name, request, transaction),
        ["key", reference] => keys::handle(reference, request, transaction),
        ["issuer", reference] => issuers::handle(reference, request, context, transaction),
        ["root"] if request.operation == Operation::Delete => root::delete(transaction),
        ["config", setting] if *setting != "ca" => {
            config::read_or_write(request.operation)?;
            configured(setting, request, context, transaction)
        }
        _ if request.operation == Operation::Read => {
            read(parts, transaction).unwrap_or_else(|| rotated(parts, context, transaction))
        }
        _ if request.operation.writes() => written(parts, request, context, transaction),
        _ => Err(Refusal::UnsupportedOperation),
    }
}

fn configured(
    setting: &str,
    request: &Request,
    context: &Context,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    match setting {
        "urls" => config::urls(request, transaction),
        "cluster" => config::cluster(request, transaction),
        "crl" => config::lists(request, context, transaction),
        "issuers" => config::issuers(request, transaction, None),
        "keys" => config::keys(request, transaction),
        "auto-tidy" => tidy::config(request, transaction),
        "acme" => Err(Refusal::invalid("ACME is not supported by this server")),
        _ => Err(Refusal::UnsupportedPath),
    }
}

/// What is read without changing anything; `None` for what is not among that.
fn read(parts: &[&str], transaction: &Transaction<'_>) -> Option<Result<Response, Refusal>> {
    Some(match parts {
        ["ca"] | ["cert", "ca", "raw"] => fetch::authority(Shape::Der, transaction),
        ["ca", "pem"] | ["cert", "ca", "raw", "pem"] => fetch::authority(Shape::Pem, transaction),
        ["cert", "ca"] => fetch::authority(Shape::Json, transaction),
        ["ca_chain"] => fetch::chain(Shape::Pem, transaction),
        ["cert", "ca_chain"] => fetch::chain(Shape::Json, transaction),
        ["crl"] | ["cert", "crl", "raw"] => fetch::revocation_list(Shape::Der, transaction),
        ["crl", "pem"] | ["cert", "crl", "raw", "pem"] => fetch::revocation_list(Shape::Pem, transaction),
        ["cert", "crl"] => fetch::revocation_list(Shape::Json, transaction),
        ["crl", "delta"] | ["cert", "delta-crl", "raw"] => fetch::delta_list(Shape::Der, transaction),
        ["crl", "delta", "pem"] | ["cert", "delta-crl", "raw", "pem"] => {
            fetch::delta_list(Shape::Pem, transaction)
        }
        ["cert", "delta-crl"] => fetch::delta_list(Shape::Json, transaction),
        ["cert", serial] => fetch::certificate(serial, Shape::Json, transaction),
        ["cert", serial, "raw"] => fetch::certificate(serial, Shape::Der, transaction),
        ["cert", serial, "raw", "pem"] => fetch::certificate(serial, Shape::Pem, transaction),
        ["issuer", reference, form @ ("json" | "der" | "pem")] => issuers::raw(reference, form, transaction),
        ["issuer", reference, "crl"] => fetch::issuer_list(reference, Shape::Json, transaction),
        ["issuer", reference, "crl", "der"] => fetch::issuer_list(reference, Shape::Der, transaction),
        ["issuer", reference, "crl", "pem"] => fetch::issuer_list(reference, Shape::Pem, transaction),
        ["issuer", _, "crl", "delta"] => fetch::delta_list(Shape::Json, transaction),
        ["issuer", _, "crl", "delta", "der"] => fetch::delta_list(Shape::Der, transaction),
        ["issuer", _, "crl", "delta", "pem"] => fetch::delta_list(Shape::Pem, transaction),
        _ => return None,
    })
}

/// What is read and does something, or tells how that went.
fn rotated(
    parts: &[&str],
    context: &Context,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    match parts {
        ["crl", "rotate"] => {
            let warnings = crl::rebuild(transaction, context.now, false)?;
            Ok(Response { warnings, ..Response::data(object(serde_json::json!({ "success": true }))) })
        }
        ["crl", "rotate-delta"] => Ok(Response::data(object(serde_json::json!({ "success": true })))
            .warn("requested rebuild of delta CRL when delta CRL is not enabled; this is a no-op")),
        ["tidy-status"] => tidy::status(context, transaction),
        parts if known_for_writing(parts) => Err(Refusal::UnsupportedOperation),
        _ => Err(Refusal::UnsupportedPath),
    }
}

/// Paths that are there, but are not read.
fn known_for_writing(parts: &[&str]) -> bool {
    const WORDS: &[&str] = &[
        "issue",
        "sign",
        "sign-verbatim",
        "root",
        "intermediate",
        "issuers",
        "keys",
        "revoke",
        "revoke-with-key",
        "tidy",
        "tidy-cancel",
        "config",
        "certs",
        "roles",
    ];
    WORDS.contains(&parts[0])
}

fn written(
    parts: &[&str],
    request: &Request,
    context: &Context,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    match parts {
        ["issue", role] => issue::issue(role, None, request, context, transaction),
        ["sign", role] => issue::sign(role, None, request, context, transaction),
        ["sign-verbatim"] => issue::sign_verbatim(None, None, request, context, transaction),
        ["sign-verbatim", role] => issue::sign_verbatim(Some(role), None, request, context, transaction),
        ["issuer", issuer, action @ ..] => with_issuer(issuer, action, request, context, transaction),
        ["root", "generate", keeping] | ["issuers", "generate", "root", keeping] => {
            root::generate(keeping, false, request, context, transaction)
        }
        ["root", "rotate", keeping] => root::generate(keeping, true, request, context, transaction),
        ["root", "replace"] => config::issuers(request, transaction, Some("next")),
        ["root", "sign-intermediate"] => {
            root::sign_intermediate(store::DEFAULT, request, context, transaction)
        }
        ["root", "sign-self-issued"] => root::sign_self_issued(store::DEFAULT, request, transaction),
        ["intermediate", "generate", keeping] | ["issuers", "generate", "intermediate", keeping] => {
            root::generate_intermediate(keeping, request, context, transaction)
        }
        ["intermediate", "cross-sign"] => {
            root::generate_intermediate("existing", request, context, transaction)
        }
        ["intermediate", "set-signed"] | ["issuers", "import", "cert"] => {
            issuers::import(false, request, context, transaction)
        }
        ["issuers", "import", "bundle"] | ["config", "ca"] => {
            issuers::import(true, request, context, transaction)
        }
        ["keys", "generate", keeping] => keys::generate(keeping, request, transaction),
        ["keys", "import"] => keys::import(request, transaction),
        ["revoke"] => revoke::handle(false, request, context, transaction),
        ["revoke-with-key"] => revoke::handle(true, request, context, transaction),
        ["tidy"] => tidy::handle(request, context, transaction),
        ["tidy-cancel"] => tidy::cancel(context, transaction),
        ["crl", "rotate" | "rotate-delta"] | ["tidy-status"] => Err(Refusal::UnsupportedOperation),
        _ if read(parts, transaction).is_some() => Err(Refusal::UnsupportedOperation),
        _ => Err(Refusal::UnsupportedPath),
    }
}

fn with_issuer(
    issuer: &str,
    action: &[&str],
    request: &Request,
    context: &Context,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    match action {
        ["issue", role] => issue::issue(role, Some(issuer), request, context, transaction),
        ["sign", role] => issue::sign(role, Some(issuer), request, context, transaction),
        ["sign-verbatim"] => issue::sign_verbatim(None, Some(issuer), request, context, transaction),
        ["sign-verbatim", role] => {
            issue::sign_verbatim(Some(role), Some(issuer), request, context, transaction)
        }
        ["sign-intermediate"] => root::sign_intermediate(issuer, request, context, transaction),
        ["sign-self-issued"] => root::sign_self_issued(issuer, request, transaction),
        ["revoke"] => issuers::revoke(issuer, context, transaction),
        _ => Err(Refusal::UnsupportedPath),
    }
}
