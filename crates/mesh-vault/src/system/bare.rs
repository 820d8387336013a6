//! What is answered without a token, and mostly whether sealed or not: what operators need to get at the rest.

use super::{generate_root, health, init, rekey, sealing};
use crate::{
    core::{Answer, Call, Core, Method},
    logical::{Fields, Object, Operation},
    seal::SealError,
};
use std::sync::Arc;

pub(crate) use generate_root::Generation;

/// What a path is asked.
pub(super) struct Plain<'a> {
    pub(super) core: &'a Arc<Core>,
    pub(super) call: &'a Call,
    pub(super) data: &'a Object,
}

impl Plain<'_> {
    pub(super) fn fields(&self) -> Fields<'_> {
        Fields::new(self.data)
    }

    pub(super) fn writes(&self) -> bool {
        matches!(self.call.method, Method::Put | Method::Post)
    }

    pub(super) fn reads(&self) -> bool {
        matches!(self.call.method, Method::Get | Method::Head)
    }

    /// A text of the body, by any spelling of its name as Go's decoder takes it.
    pub(super) fn text(&self, field: &str) -> String {
        let found = self.data.iter().find(|(key, _)| key.eq_ignore_ascii_case(field));
        found.and_then(|(_, value)| value.as_str()).unwrap_or_default().to_owned()
    }
}

/// The answer, for one of these paths.
pub(crate) async fn answer(
    core: &Arc<Core>,
    call: &Call,
    incoming: &crate::core::Incoming,
) -> Option<Answer> {
    let path = incoming.path.strip_prefix("sys/")?.trim_end_matches('/');
    if matches!(incoming.operation, Operation::List | Operation::Help) {
        return None;
    }
    let plain = Plain { core, call, data: &incoming.data };
    Some(match path {
        "init" => init::handle(&plain).await,
        "seal-status" => sealing::status(&plain),
        "unseal" => sealing::unseal(&plain).await,
        "health" => health::health(&plain),
        "leader" => health::leader(&plain),
        "generate-root/attempt" => generate_root::attempt(&plain).await,
        "generate-root/update" => generate_root::update(&plain).await,
        "rekey/init" => rekey::init(&plain).await,
        "rekey/update" => rekey::update(&plain).await,
        "rekey/verify" => rekey::verify(&plain).await,
        "rekey-recovery-key/init" | "rekey-recovery-key/update" | "rekey-recovery-key/verify" => {
            Answer::errors(400, &["recovery rekeying not supported"])
        }
        _ => return None,
    })
}

/// 405 without a word.
pub(super) fn wrong_method() -> Answer {
    Answer::errors(405, &[])
}

/// A seal's refusal.
pub(super) fn seal_refusal(error: &SealError) -> Answer {
    if error.status() == 500 {
        tracing::error!(%error, "the seal failed");
    }
    Answer::errors(error.status(), &[&error.to_string()])
}
