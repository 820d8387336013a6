//! Secret identifiers that are over are removed, once a minute or when asked for.

use super::secret_id;
use crate::{
    logical::{Context, Refusal, Response},
    moment,
    storage::Transaction,
};

/// How many one call removes.
const REMOVED_MAX: usize = 5_000;

pub(super) fn tidy(context: &Context, transaction: &mut Transaction<'_>) -> Result<(), Refusal> {
    secret_id::remove_expired(moment::nanos(context.now), REMOVED_MAX, transaction)
}

/// `tidy/secret-id`. Done when it is answered, though Vault's answer speaks of a start.
pub(super) fn now(context: &Context, transaction: &mut Transaction<'_>) -> Result<Response, Refusal> {
    tidy(context, transaction)?;
    let answer = Response { status: Some(202), ..Response::empty() };
    Ok(answer.warn(
        "Tidy operation successfully started. Any information from the operation will be printed to Vault's server \
         logs.",
    ))
}
