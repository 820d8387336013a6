//! What each command does.

mod audit;
mod generate_root;
mod kv;
mod lease;
mod logical;
mod login;
mod mounts;
mod operator;
mod policy;
mod rekey;
mod status;
mod token;

use crate::command::Command;

/// Every command there is.
pub(crate) fn all() -> impl Iterator<Item = &'static Command> {
    let groups: [&[Command]; 13] = [
        audit::COMMANDS,
        generate_root::COMMANDS,
        kv::COMMANDS,
        kv::METADATA,
        lease::COMMANDS,
        logical::COMMANDS,
        login::COMMANDS,
        mounts::COMMANDS,
        operator::COMMANDS,
        policy::COMMANDS,
        rekey::COMMANDS,
        status::COMMANDS,
        token::COMMANDS,
    ];
    groups.into_iter().flatten()
}
