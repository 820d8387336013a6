//! Health checks.

use crate::probe::OutsideTest;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// `healthcheck` of a service, before the image's own is known.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Healthcheck {
    /// Nothing said: the image decides.
    #[default]
    Image,
    /// `disable: true`, or `test: ["NONE"]`.
    Disabled,
    /// Said, in whole or in part; what is missing comes from the image, then from the defaults.
    Set(HealthSettings),
}

/// What a file or an image says of a health check.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HealthSettings {
    /// The test.
    pub test: Option<HealthTest>,
    /// Time between two probes once the first one passed.
    pub interval: Option<Duration>,
    /// Time a probe may take.
    pub timeout: Option<Duration>,
    /// Failures in a row that make it unhealthy.
    pub retries: Option<u32>,
    /// Time after the start in which failures do not count.
    pub start_period: Option<Duration>,
    /// Time between two probes in that time.
    pub start_interval: Option<Duration>,
}

/// How health is tested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealthTest {
    /// A program and its arguments (`CMD`).
    Command(Vec<String>),
    /// A line for the container's `/bin/sh -c` (`CMD-SHELL`, or a plain string).
    Shell(String),
    /// A question from outside (`x-mesh.probe`).
    Outside(Box<OutsideTest>),
}

/// A health check with everything decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The test.
    pub test: HealthTest,
    /// Time between two probes once the first one passed.
    pub interval: Duration,
    /// Time a probe may take.
    pub timeout: Duration,
    /// Failures in a row that make it unhealthy.
    pub retries: u32,
    /// Time after the start in which failures do not count.
    pub start_period: Duration,
    /// Time between two probes in that time, where the file says so.
    pub start_interval: Option<Duration>,
}

impl Healthcheck {
    /// The probe of a container: the service's settings over the image's over Compose's defaults
    /// (interval 30 s, timeout 30 s, 3 retries, no start period).
    #[must_use]
    pub fn resolve(&self, image: Option<&HealthSettings>) -> Option<Probe> {
        let none = HealthSettings::default();
        let own = match self {
            Self::Disabled => return None,
            Self::Image => &none,
            Self::Set(settings) => settings,
        };
        let image = image.unwrap_or(&none);
        let test = own.test.clone().or_else(|| image.test.clone())?;
        Some(Probe {
            test,
            interval: own.interval.or(image.interval).unwrap_or(Duration::from_secs(30)),
            timeout: own.timeout.or(image.timeout).unwrap_or(Duration::from_secs(30)),
            retries: own.retries.or(image.retries).unwrap_or(3).max(1),
            start_period: own.start_period.or(image.start_period).unwrap_or_default(),
            start_interval: own.start_interval.or(image.start_interval),
        })
    }
}
