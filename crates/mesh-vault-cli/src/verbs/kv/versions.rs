//! `kv delete`, `undelete`, `destroy`, `enable-versioning`.

use super::{only_versioned, place::Place, versions_of};
use crate::{
    client::Ask,
    command::{Call, Outcome, refused, wrong},
};
use serde_json::json;

pub(super) fn delete(call: &mut Call<'_>) -> Outcome {
    call.count(1)?;
    let mut client = call.client()?;
    let argument = call.path(0);
    let place = Place::find(call, &mut client, &argument)?;
    let (path, versions) = (place.path("data"), versions_of(call));
    let of_versions = place.path("delete");
    let ask = match place.versioned && !versions.is_empty() {
        true => Ask::put(&of_versions, json!({"versions": versions})),
        false => Ask::delete(&path),
    };
    let answer = client.answer(&ask).map_err(refused(format!("Error deleting {path}")))?;
    call.show(answer.as_ref(), &format!("Success! Data deleted (if it existed) at: {path}"))
}

pub(super) fn undelete(call: &mut Call<'_>) -> Outcome {
    of_versions(call, "undelete", "Undelete not supported on KV Version 1")
}

pub(super) fn destroy(call: &mut Call<'_>) -> Outcome {
    of_versions(call, "destroy", "Destroy not supported on KV Version 1")
}

fn of_versions(call: &mut Call<'_>, verb: &str, unversioned: &str) -> Outcome {
    call.count(1)?;
    let versions = versions_of(call);
    if versions.is_empty() {
        return Err(wrong(format!(
            "No versions provided, use the \"-versions\" flag to specify the version to {verb}."
        )));
    }
    let mut client = call.client()?;
    let argument = call.path(0);
    let place = Place::find(call, &mut client, &argument)?;
    only_versioned(&place, unversioned, 1)?;
    let path = place.path(verb);
    let answer = client.answer(&Ask::put(&path, json!({"versions": versions})));
    let answer = answer.map_err(refused(format!("Error writing data to {path}")))?;
    call.show(answer.as_ref(), &format!("Success! Data written to: {path}"))
}

pub(super) fn enable(call: &mut Call<'_>) -> Outcome {
    call.count(1)?;
    let path = call.mount(0);
    let api = format!("sys/mounts/{path}tune");
    let body = json!({
        "options": {"version": "2"},
        "default_lease_ttl": "",
        "max_lease_ttl": "",
        "force_no_cache": false,
    });
    let attempt = format!("Error tuning secrets engine {path}");
    call.ask_and_say(
        &Ask::post(&api, body),
        &attempt,
        &format!("Success! Tuned the secrets engine at: {path}"),
    )
}
