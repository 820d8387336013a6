//! `events`.

use crate::{
    console,
    context::{Context, containers},
    failure::CliError,
    moment::moment,
    supervisor,
    template::{Subject, Value},
    words,
};
use clap::Args;
use mesh_api::{
    message::{Event, Message},
    request::Request,
};
use std::{collections::BTreeMap, rc::Rc, time::Duration};

/// How long the telling of past events may take.
const PAST_MAX: Duration = Duration::from_millis(300);

/// Arguments of `events`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Services; none: all
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// A JSON document a line
    #[arg(long)]
    json: bool,
    /// Begin with those since this time, as far as they are known: the last 256 of the project
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// End at this time
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let target = context.shown_target()?;
    let since_unix_ns = moment("--since", arguments.since.as_deref())?;
    let until_unix_ns = moment("--until", arguments.until.as_deref())?;
    let Some(client) = target.attend().await? else {
        supervisor::say_nothing_there(&target.name);
        return Ok(0);
    };
    target.warn_of_unknown(&arguments.services, &containers(&client).await?);
    let since_unix_ms = since_unix_ns.map(|since| since / 1_000_000);
    let mut show = |message| {
        if let Message::Event(event) = message
            && !event.one_off
            && (arguments.services.is_empty() || arguments.services.contains(&event.service))
            && until_unix_ns.is_none_or(|until| event.at_unix_ms <= until / 1_000_000)
        {
            // An empty line follows each that is not JSON, as in Docker Compose.
            console::out_line(&if arguments.json { document(&event) } else { line(&event) + "\n" });
        }
    };
    let call = client.call(Request::Events { since_unix_ms, programs: true }, &mut show, None);
    match until_unix_ns {
        None => drop(call.await?),
        Some(until) => {
            let left = Duration::from_nanos(until.saturating_sub(words::now_unix_ns())).max(PAST_MAX);
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

/// Docker's keys, in order.
fn document(event: &Event) -> String {
    let texts = |texts: &BTreeMap<String, String>| {
        Value::Map(texts.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect())
    };
    let mut attributes = event.attributes.clone();
    attributes.insert("image".to_owned(), event.image.clone());
    attributes.insert("name".to_owned(), event.name.clone());
    let fields = [
        ("action", event.action.clone().into()),
        ("attributes", texts(&attributes)),
        ("id", event.id.clone().into()),
        ("service", event.service.clone().into()),
        ("time", words::precise_short(event.at_unix_ms.saturating_mul(1_000_000)).into()),
        ("type", "container".into()),
    ];
    Value::Subject(Rc::new(Subject { kind: "event", fields: fields.into(), labels: None })).json()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_in_a_line() {
        let event = Event {
            one_off: false,
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
        let want = "{\"action\":\"die\",\"attributes\":{\"exitCode\":\"1\",\"image\":\"redis:7\",\"name\":\"hub-db-1\"},\
                    \"id\":\"abc\",\"service\":\"db\",\"time\":\"1970-01-01T00:00:01.5Z\",\"type\":\"container\"}";
        assert_eq!(document(&event), want);
    }
}
