//! Names, labels and identities of containers, as Compose gives them.

use crate::hash::hexadecimal;
use mesh_model::{
    container::{ContainerId, anonymous_paths},
    image::Image,
    project::{Project, Volume},
    service::{Condition, Service},
};
use std::collections::BTreeMap;

/// Name of the `index`-th container of a service: `<project>-<service>-<index>`, or the name that the
/// file fixes.
#[must_use]
pub fn container_name(project: &str, service: &Service, index: u32) -> String {
    match &service.container_name {
        Some(name) => name.clone(),
        None => format!("{project}-{}-{index}", service.name),
    }
}

/// Name of a one-off container: `<project>-<service>-run-<twelve digits of its id>`.
#[must_use]
pub fn one_off_name(project: &str, service: &str, id: &ContainerId) -> String {
    format!("{project}-{service}-run-{}", id.short())
}

/// The identity made of 32 random bytes.
#[must_use]
pub fn container_id(random: [u8; 32]) -> ContainerId {
    ContainerId(hexadecimal(&random))
}

/// Names of a container's anonymous volumes by path: the one it inherits, or a new one of random bytes.
#[must_use]
pub fn anonymous_volumes(
    service: &Service,
    image: &Image,
    inherited: impl Fn(&String) -> Option<String>,
    random: &mut dyn FnMut() -> [u8; 32],
) -> BTreeMap<String, String> {
    let paths = anonymous_paths(service, image).into_iter();
    let named = |path: String| {
        let name = inherited(&path).unwrap_or_else(|| hexadecimal(&random()));
        (path, name)
    };
    paths.map(named).collect()
}

/// The labels of a container: the service's own, and those by which tools of Compose know it.
#[must_use]
pub fn labels(
    project: &Project,
    service: &Service,
    index: u32,
    one_off: bool,
    config_hash: &str,
    image_digest: &str,
) -> BTreeMap<String, String> {
    let files: Vec<String> = project.files.iter().map(|file| file.display().to_string()).collect();
    let depends_on: Vec<String> = service
        .depends_on
        .iter()
        .map(|(name, dependency)| {
            format!("{name}:{}:{}", condition_word(dependency.condition), dependency.restart)
        })
        .collect();
    let own = [
        ("project", project.name.clone()),
        ("service", service.name.clone()),
        ("container-number", index.to_string()),
        ("oneoff", if one_off { "True" } else { "False" }.to_owned()),
        ("config-hash", config_hash.to_owned()),
        ("image", image_digest.to_owned()),
        ("depends_on", depends_on.join(",")),
        ("project.working_dir", project.directory.display().to_string()),
        ("project.config_files", files.join(",")),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    let mut labels = service.labels.clone();
    labels.extend(own.map(|(key, value)| (format!("com.docker.compose.{key}"), value)));
    labels
}

/// The labels by which tools of Compose know a volume of a project.
#[must_use]
pub fn volume_labels(project: &str, volume: &Volume) -> BTreeMap<String, String> {
    let own = [("project", project), ("volume", volume.key.as_str()), ("version", env!("CARGO_PKG_VERSION"))];
    let mut labels = volume.labels.clone();
    labels.extend(own.map(|(key, value)| (format!("com.docker.compose.{key}"), value.to_owned())));
    labels
}

/// The word a file has for a condition.
#[must_use]
pub fn condition_word(condition: Condition) -> &'static str {
    match condition {
        Condition::ServiceStarted => "service_started",
        Condition::ServiceHealthy => "service_healthy",
        Condition::ServiceCompletedSuccessfully => "service_completed_successfully",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn names_and_labels_are_those_of_compose() {
        let project = sample::project(&[("db", &[]), ("web", &["db"])]);
        let mut web = project.services["web"].clone();
        web.labels.insert("own".into(), "x".into());
        assert_eq!(container_name("p", &web, 2), "p-web-2");
        let id = container_id([0xab; 32]);
        assert_eq!(one_off_name("p", "web", &id), "p-web-run-abababababab");
        assert_eq!(id.0.len(), 64);
        let labels = labels(&project, &web, 2, false, "h", "sha256:d");
        for (key, want) in [
            ("own", "x"),
            ("com.docker.compose.project", "p"),
            ("com.docker.compose.service", "web"),
            ("com.docker.compose.container-number", "2"),
            ("com.docker.compose.oneoff", "False"),
            ("com.docker.compose.config-hash", "h"),
            ("com.docker.compose.depends_on", "db:service_started:false"),
            ("com.docker.compose.project.config_files", "/p/compose.yaml"),
        ] {
            assert_eq!(labels[key], want, "{key}");
        }
        web.container_name = Some("fixed".into());
        assert_eq!(container_name("p", &web, 1), "fixed");
    }
}
