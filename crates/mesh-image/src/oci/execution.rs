//! What an image says of its process, in the model's terms.

use mesh_model::{
    health::{HealthSettings, HealthTest},
    image::{ImageConfig, ImageVolume},
};
use mesh_oci::config::{Execution, HealthCheck};
use std::collections::BTreeSet;

/// The model's view of an image's config.
pub(super) fn convert(execution: &Execution) -> ImageConfig {
    // A name without a value says nothing; of two, the last counts.
    let environment = execution.env.iter().filter_map(|pair| pair.split_once('='));
    let volumes: BTreeSet<String> = execution.volumes.iter().filter_map(|path| absolute(path)).collect();
    ImageConfig {
        entrypoint: execution.entrypoint.clone(),
        command: execution.cmd.clone(),
        environment: environment
            .filter(|(name, _)| !name.is_empty())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        user: execution.user.clone(),
        sole_user: None,
        working_dir: absolute(&execution.working_dir).unwrap_or_default(),
        volumes: volumes.into_iter().map(|path| ImageVolume { path }).collect(),
        exposed_ports: execution.exposed_ports.iter().map(|port| with_protocol(port)).collect(),
        stop_signal: execution.stop_signal.clone().filter(|signal| !signal.is_empty()),
        health: execution.healthcheck.as_ref().and_then(health),
        labels: execution.labels.clone(),
    }
}

/// A path from the root, without `.`, `..` and doubled slashes; `None` for the root itself.
fn absolute(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| format!("/{}", parts.join("/")))
}

fn with_protocol(port: &str) -> String {
    if port.contains('/') { port.to_owned() } else { format!("{port}/tcp") }
}

/// A health check; `None` where the image has none, or says that there is none.
fn health(check: &HealthCheck) -> Option<HealthSettings> {
    let test = match check.test.split_first() {
        Some((kind, _)) if kind == "NONE" => return None,
        Some((kind, words)) if kind == "CMD" && !words.is_empty() => {
            Some(HealthTest::Command(words.to_vec()))
        }
        Some((kind, [line, ..])) if kind == "CMD-SHELL" => Some(HealthTest::Shell(line.clone())),
        _ => None,
    };
    Some(HealthSettings {
        test,
        interval: HealthCheck::duration(check.interval),
        timeout: HealthCheck::duration(check.timeout),
        retries: u32::try_from(check.retries).ok().filter(|&retries| retries > 0),
        start_period: HealthCheck::duration(check.start_period),
        start_interval: HealthCheck::duration(check.start_interval),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_execution_becomes_the_models() {
        let text = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let execution = Execution {
            user: "app:staff".to_owned(),
            exposed_ports: text(&["80/tcp", "53"]),
            env: text(&["A=1=2", "A=3", "nothing", "=x", "B="]),
            entrypoint: text(&["/entry"]),
            cmd: text(&["serve"]),
            volumes: text(&["/data/", "cache", "/data", "/", "/a/../b"]),
            working_dir: "srv//app".to_owned(),
            stop_signal: Some("SIGQUIT".to_owned()),
            healthcheck: Some(HealthCheck {
                test: text(&["CMD-SHELL", "true"]),
                interval: 5_000_000_000,
                retries: 3,
                ..HealthCheck::default()
            }),
            ..Execution::default()
        };
        let config = convert(&execution);
        let environment: Vec<_> = config.environment.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(environment, ["A=3", "B="]);
        let volumes: Vec<_> = config.volumes.iter().map(|volume| volume.path.as_str()).collect();
        assert_eq!(volumes, ["/b", "/cache", "/data"]);
        assert_eq!((config.working_dir.as_str(), config.user.as_str()), ("/srv/app", "app:staff"));
        assert_eq!(config.exposed_ports, ["80/tcp", "53/tcp"]);
        let health = config.health.unwrap();
        assert_eq!(health.test, Some(HealthTest::Shell("true".to_owned())));
        assert_eq!((health.interval, health.timeout), (Some(Duration::from_secs(5)), None));
        assert_eq!(health.retries, Some(3));
    }

    #[test]
    fn a_health_check_can_say_none() {
        let check = |words: &[&str]| {
            let test = words.iter().map(|word| (*word).to_owned()).collect();
            health(&HealthCheck { test, ..HealthCheck::default() })
        };
        assert_eq!(check(&["NONE"]), None);
        assert_eq!(check(&[]).unwrap().test, None);
        assert_eq!(check(&["CMD"]).unwrap().test, None);
        assert_eq!(
            check(&["CMD", "a", "b"]).unwrap().test,
            Some(HealthTest::Command(vec!["a".into(), "b".into()]))
        );
    }
}
