//! Arguments that `up` and `create` share.

use crate::{context::Target, failure::CliError, settings::Settings};
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
    #[arg(long, conflicts_with = "no_recreate")]
    force_recreate: bool,
    /// Leave containers that are there as they are
    #[arg(long)]
    no_recreate: bool,
    /// When images are fetched
    #[arg(long, value_enum, value_name = "WHEN")]
    pull: Option<Pull>,
    /// Show no progress of fetching
    #[arg(long)]
    quiet_pull: bool,
    /// Build images before (not available yet)
    #[arg(long)]
    build: bool,
    /// Build nothing
    #[arg(long, conflicts_with = "build")]
    no_build: bool,
    /// Show no progress of building
    #[arg(long, hide = true)]
    quiet_build: bool,
    /// Remove containers of services that the file no longer has
    #[arg(long)]
    remove_orphans: bool,
    /// Number of containers of a service
    #[arg(long, value_name = "SERVICE=NUMBER", value_parser = parse_scale)]
    scale: Vec<(String, u32)>,
    /// Ask nothing
    #[arg(short, long, hide = true)]
    yes: bool,
}

/// `--pull`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pull {
    /// Every time
    Always,
    /// If it is not stored
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

/// `web=3`.
pub(crate) fn parse_scale(text: &str) -> Result<(String, u32), String> {
    let (service, number) = text.split_once('=').ok_or("expected SERVICE=NUMBER")?;
    let number = number.parse().map_err(|_| format!("`{number}` is no number of containers"))?;
    if service.is_empty() {
        Err("the service is missing".to_owned())
    } else {
        Ok((service.to_owned(), number))
    }
}

impl CreationArguments {
    /// The options of a request; names were not checked before.
    pub(crate) fn resolve(self, settings: &Settings, target: &Target) -> Result<CreateOptions, CliError> {
        if self.build
            && target.project.as_ref().is_some_and(|project| project.services.values().any(|s| s.build))
        {
            return Err(CliError::unavailable("building an image"));
        }
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
            remove_orphans: self.remove_orphans || settings.remove_orphans,
            scale,
            pull: self.pull.and_then(Pull::policy),
            substitute: settings.substitute,
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
    }
}
