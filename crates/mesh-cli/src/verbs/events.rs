//! `events`.

use super::logs::moment;
use crate::{console, context::Context, failure::CliError, supervisor, words};
use clap::Args;
use mesh_api::{
    message::{Event, Message},
    request::Request,
};
use serde_json::json;
use std::time::Duration;

/// Arguments of `events`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Services; none: all
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// A JSON document a line
    #[arg(long)]
    json: bool,
    /// Not older than this; events before now are not kept
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// End at this time
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let target = context.target()?;
    target.check_services(&arguments.services)?;
    let since_unix_ns = moment("--since", arguments.since.as_deref())?;
    let until_unix_ns = moment("--until", arguments.until.as_deref())?;
    let Some(client) = target.attend().await? else {
        supervisor::say_nothing_there(&target.name);
        return Ok(0);
    };
    if since_unix_ns.is_some_and(|since| since < words::now_unix_ns()) {
        console::err_line("note: events before now are not kept");
    }
    let mut show = |message| {
        if let Message::Event(event) = message
            && (arguments.services.is_empty() || arguments.services.contains(&event.service))
        {
            console::out_line(&if arguments.json { document(&event) } else { line(&event) });
        }
    };
    let call = client.call(Request::Events, &mut show, None);
    match until_unix_ns {
        None => drop(call.await?),
        Some(until) => {
            let left = Duration::from_nanos(until.saturating_sub(words::now_unix_ns()));
            if let Ok(ended) = tokio::time::timeout(left, call).await {
                ended?;
            }
        }
    }
    Ok(0)
}

/// `2026-11-21 12:00:00.000000 container start 0123... (image=redis:7, name=hub-cache-1)`.
fn line(event: &Event) -> String {
    let time = words::precise(event.at_unix_ms.saturating_mul(1_000_000)).replace('T', " ");
    let time = time.get(..26).unwrap_or(&time);
    let mut attributes = event.attributes.clone();
    attributes.insert("image".to_owned(), event.image.clone());
    attributes.insert("name".to_owned(), event.name.clone());
    let attributes: Vec<String> = attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{time} container {} {} ({})", event.action, event.id, attributes.join(", "))
}

fn document(event: &Event) -> String {
    let mut attributes = event.attributes.clone();
    attributes.insert("image".to_owned(), event.image.clone());
    attributes.insert("name".to_owned(), event.name.clone());
    json!({
        "time": words::precise(event.at_unix_ms.saturating_mul(1_000_000)),
        "type": "container",
        "service": event.service,
        "id": event.id,
        "action": event.action,
        "attributes": attributes,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_in_a_line() {
        let event = Event {
            at_unix_ms: 1500,
            id: "abc".to_owned(),
            name: "hub-db-1".to_owned(),
            service: "db".to_owned(),
            action: "die".to_owned(),
            image: "redis:7".to_owned(),
            attributes: [("exitCode".to_owned(), "1".to_owned())].into(),
        };
        let want = "1970-01-01 00:00:01.500000 container die abc (exitCode=1, image=redis:7, name=hub-db-1)";
        assert_eq!(line(&event), want);
        assert!(document(&event).contains("\"action\":\"die\""));
    }
}
