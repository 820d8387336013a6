//! Arguments that `up` and `create` share.

use crate::{
    context::{OrphanDefaults, Target},
    failure::CliError,
    settings::Settings,
};
use clap::{Args, ValueEnum};
use mesh_api::options::{CreateOptions, Recreate};
use mesh_model::service::PullPolicy;
use std::collections::BTreeMap;

/// How containers are made.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct CreationArguments {
    /// Services; none: all active ones
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Replace containers even if nothing changed
    #[arg(long)]
    force_recreate: bool,
    /// Leave containers that are there as they are
    #[arg(long)]
    pub(crate) no_recreate: bool,
    /// When images are fetched
    #[arg(long, value_enum, value_name = "WHEN")]
    pull: Option<Pull>,
    /// Show no progress of fetching
    #[arg(long)]
    pub(crate) quiet_pull: bool,
    /// Build images before (not available yet)
    #[arg(long)]
    build: bool,
    /// Build nothing
    #[arg(long)]
    pub(crate) no_build: bool,
    /// Show no progress of building
    #[arg(long, hide = true)]
    quiet_build: bool,
    /// Remove containers of services that the file no longer has
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    remove_orphans: Option<bool>,
    /// Number of containers of a service
    #[arg(long, value_name = "SERVICE=NUMBER", value_parser = parse_scale)]
    scale: Vec<(String, u32)>,
    /// Ask nothing
    #[arg(short, long, alias = "y", hide = true)]
    yes: bool,
}

/// `--pull`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pull {
    /// Every time
    Always,
    /// If it is not stored
    #[value(alias = "if_not_present")]
    Missing,
    /// Never
    Never,
    /// As the file says
    Policy,
    /// By building only
    Build,
}

impl Pull {
    /// The policy, if it is one.
    pub(crate) fn policy(self) -> Option<PullPolicy> {
        match self {
            Self::Always => Some(PullPolicy::Always),
            Self::Missing => Some(PullPolicy::Missing),
            Self::Never => Some(PullPolicy::Never),
            Self::Build => Some(PullPolicy::Build),
            Self::Policy => None,
        }
    }
}

/// What a grace period of less than nothing means: it never ends.
const FOREVER_SECONDS: u32 = 365 * 24 * 3600;

/// `web=3`.
pub(crate) fn parse_scale(text: &str) -> Result<(String, u32), String> {
    let wrong = || format!("invalid --scale option {text:?}. Should be SERVICE=NUM");
    let (service, number) = text.split_once('=').ok_or_else(wrong)?;
    if service.is_empty() || number.is_empty() {
        return Err(wrong());
    }
    let number = number.parse().map_err(|_| format!("`{number}` is no number of containers"))?;
    Ok((service.to_owned(), number))
}

/// A grace period in seconds; one below 0 never ends.
pub(crate) fn parse_grace(text: &str) -> Result<u32, String> {
    let seconds: i64 = text.parse().map_err(|_| format!("`{text}` is no number of seconds"))?;
    Ok(u32::try_from(seconds).map_or(FOREVER_SECONDS, |seconds| seconds.min(FOREVER_SECONDS)))
}

/// The first of these that is true of the command line, as an error.
pub(crate) fn refuse(rules: &[(bool, &str)]) -> Result<(), CliError> {
    match rules.iter().find(|(broken, _)| *broken) {
        Some((_, message)) => Err(CliError::said(*message)),
        None => Ok(()),
    }
}

impl CreationArguments {
    /// Refuses flags that contradict each other.
    pub(crate) fn check(&self) -> Result<(), CliError> {
        refuse(&[
            (self.build && self.no_build, "--build and --no-build are incompatible"),
            (self.force_recreate && self.no_recreate, "--force-recreate and --no-recreate are incompatible"),
        ])
    }

    /// The options of a request; names were not checked before.
    pub(crate) fn resolve(self, settings: &Settings, target: &Target) -> Result<CreateOptions, CliError> {
        if self.build
            && target.project.as_ref().is_some_and(|project| project.services.values().any(|s| s.build))
        {
            return Err(CliError::unavailable("building an image"));
        }
        let OrphanDefaults { remove, ignore } = target.orphans;
        let remove_orphans = self.remove_orphans.unwrap_or(remove);
        refuse(&[(ignore && remove_orphans, "cannot combine COMPOSE_IGNORE_ORPHANS and --remove-orphans")])?;
        let scale: BTreeMap<String, u32> = self.scale.into_iter().collect();
        target.check_services(&scale.keys().cloned().collect::<Vec<_>>())?;
        Ok(CreateOptions {
            services: self.services,
            no_deps: false,
            recreate: match (self.force_recreate, self.no_recreate) {
                (true, _) => Recreate::Force,
                (_, true) => Recreate::Never,
                _ => Recreate::Changed,
            },
            always_recreate_deps: false,
            renew_anonymous_volumes: false,
            remove_orphans,
            ignore_orphans: ignore,
            rerun: Vec::new(),
            dry_run: settings.dry_run,
            scale,
            pull: self.pull.and_then(Pull::policy),
            substitute: settings.substitute,
            ports: settings.ports,
            take_over: settings.take_over,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_checked() {
        assert_eq!(parse_scale("web=3"), Ok(("web".to_owned(), 3)));
        for wrong in ["web", "=3", "web=", "web=-1", "web=many"] {
            assert!(parse_scale(wrong).is_err(), "{wrong}");
        }
        assert_eq!([parse_grace("0"), parse_grace("7")], [Ok(0), Ok(7)]);
        assert_eq!(
            [parse_grace("-1"), parse_grace("99999999999")],
            [Ok(FOREVER_SECONDS), Ok(FOREVER_SECONDS)]
        );
        assert!(parse_grace("soon").is_err());
    }
}
