//! What is told to those who listen to `events`.

use crate::container::{Container, unix_ms};
use mesh_api::message::Event;
use std::collections::BTreeMap;

/// The event that a container was sent a signal.
pub(crate) fn killed(container: &Container, signal: i32) -> Event {
    let mut event = of(container, "kill");
    event.attributes.insert("signal".to_owned(), signal.to_string());
    event
}

/// The event that `action`, in Docker's word, happened to a container.
pub(crate) fn of(container: &Container, action: &str) -> Event {
    let own = |(name, _): &(&String, &String)| !name.starts_with("com.docker.compose.");
    let labels = container.spec.labels.iter().filter(own);
    let mut attributes: BTreeMap<String, String> =
        labels.map(|(name, value)| (name.clone(), value.clone())).collect();
    if action == "die"
        && let Some(exit) = container.facts.exit
    {
        let began = container.facts.started_unix_ms.unwrap_or(exit.at_unix_ms);
        let ran_s = exit.at_unix_ms.saturating_sub(began) / 1000;
        attributes.insert("execDuration".to_owned(), ran_s.to_string());
        attributes.insert("exitCode".to_owned(), exit.code.to_string());
    }
    Event {
        one_off: container.spec.one_off,
        at_unix_ms: unix_ms(),
        id: container.spec.id.0.clone(),
        name: container.spec.name.clone(),
        service: container.service().to_owned(),
        action: action.to_owned(),
        image: container.spec.image.reference.clone(),
        attributes,
    }
}
