//! What follows from a plan, in the order in which it is made.

mod authority;
mod credentials;
mod login;
mod mount;
mod policy;

use crate::{
    directory::Directory,
    step::{At, BootstrapError, Found, Outcome, Step},
    vault::Vault,
    wanted::Wanted,
};
use mesh_redact::Secret;

/// Everything that a plan is made with.
pub struct Bench<'a> {
    /// The vault, open.
    pub vault: &'a dyn Vault,
    /// A token that may do all this.
    pub token: &'a Secret<String>,
    /// The plan.
    pub wanted: &'a Wanted,
    /// Where each service's `role-id` and `secret-id` go, in a folder of its name.
    pub logins: &'a Directory,
    /// Where certificates of the authorities go.
    pub authorities: &'a Directory,
}

impl Bench<'_> {
    /// Makes what is missing; `tell` hears of each step. With `dry` nothing is made: each step is looked for, and one
    /// that rests on something missing counts as missing too.
    ///
    /// # Errors
    /// See [`BootstrapError`]; what was made until then stays, and the next run goes on from there.
    pub fn run(&self, dry: bool, tell: &mut dyn FnMut(&Outcome)) -> Result<(), BootstrapError> {
        let Self { vault, token, wanted, logins, authorities } = *self;
        let at = At { vault, token, wanted, logins, authorities };
        if !dry {
            // A write that was killed may have left what somebody logs in with.
            wanted.services.keys().for_each(|service| logins.sweep(service, &login::FILES));
            authorities.sweep("", &authority::FILES);
        }
        for step in steps(wanted) {
            let found = step.look(&at)?;
            if found != Found::There && !dry {
                step.make(&at)?;
            }
            tell(&Outcome { what: step.what(), found });
        }
        Ok(())
    }
}

/// The steps of a plan.
#[must_use]
pub fn steps(wanted: &Wanted) -> Vec<Box<dyn Step>> {
    let mut steps: Vec<Box<dyn Step>> = Vec::new();
    steps.push(Box::new(mount::Engine::credentials(wanted)));
    let owners = wanted.services.iter().filter(|(_, service)| service.has_credentials());
    // Who shares a credential finds it made.
    let (sharing, owning): (Vec<_>, Vec<_>) = owners.partition(|(_, service)| !service.shares.is_empty());
    for (name, _) in owning.into_iter().chain(sharing) {
        steps.push(Box::new(credentials::Credentials { service: name.clone() }));
    }
    if let Some(authority) = &wanted.authority {
        steps.push(Box::new(mount::Engine::authority(&authority.root_mount, &authority.root_ttl)));
        steps.push(Box::new(authority::Root));
        steps.push(Box::new(mount::Engine::authority(
            &authority.intermediate_mount,
            &authority.intermediate_ttl,
        )));
        steps.push(Box::new(authority::Intermediate));
        for (name, _) in wanted.services.iter().filter(|(_, service)| service.certificate) {
            steps.push(Box::new(authority::Role { service: name.clone() }));
        }
        steps.push(Box::new(authority::Files));
    }
    for name in wanted.policies.keys() {
        steps.push(Box::new(policy::Policy { name: name.clone() }));
    }
    if !wanted.services.is_empty() {
        steps.push(Box::new(mount::Logins));
    }
    for name in wanted.services.keys() {
        steps.push(Box::new(policy::Policy { name: policy::name_of(name) }));
        steps.push(Box::new(login::Role { service: name.clone() }));
        steps.push(Box::new(login::Files { service: name.clone() }));
    }
    steps
}
