//! What whoever is asked for help is sent: versions, and both configurations without secrets, packed.

use super::{LIKE_VERSION, View, nowhere};
use crate::{clock, config::model::Shown, middleware::Reply};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use hyper::{
    StatusCode,
    header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue},
};
use serde_json::{Value, json};
use std::{io, time::UNIX_EPOCH};

pub(super) fn answer(view: &View<'_>) -> Reply {
    match pack(view) {
        Ok(packed) => {
            let mut reply = Reply::plain(StatusCode::OK);
            reply.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/gzip"));
            let name = HeaderValue::from_static("attachment; filename=support-dump.tar.gz");
            reply.headers.insert(CONTENT_DISPOSITION, name);
            reply.body = Bytes::from(packed);
            reply
        }
        Err(error) => {
            tracing::error!(%error, "a support dump could not be packed");
            nowhere()
        }
    }
}

fn pack(view: &View<'_>) -> io::Result<Vec<u8>> {
    let version =
        json!({ "version": LIKE_VERSION, "codename": "mesh", "startDate": clock::rfc3339(view.started) });
    let statics = view.statics.shown();
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (name, content) in [
        ("version.json", &version),
        ("static-config.json", &anonymous(statics)),
        ("runtime-config.json", &view.raw_data()),
    ] {
        let text = content.to_string();
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o600);
        header.set_size(u64::try_from(text.len()).unwrap_or(u64::MAX));
        let seconds = view.started.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        header.set_mtime(seconds);
        header.set_cksum();
        archive.append_data(&mut header, name, text.as_bytes())?;
    }
    archive.into_inner()?.finish()
}

/// Without what says where things are: whoever helps does not need to know.
fn anonymous(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let hide = |(key, value): (String, Value)| {
                let place = ["endpoint", "domain", "trustedIPs"].contains(&key.as_str());
                (key, if place { "xxxx".into() } else { anonymous(value) })
            };
            Value::Object(fields.into_iter().map(hide).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(anonymous).collect()),
        other => other,
    }
}
