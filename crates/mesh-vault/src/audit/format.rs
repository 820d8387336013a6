//! A record's words: those of Vault, a JSON object a line.

use super::device::Device;
use crate::{
    core::{ask::Ask, mounts::Mount, reply::Reply},
    logical::{Object, Operation},
    moment,
};
use serde_json::{Value, json};
use std::time::SystemTime;

/// A request, or the answer to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    /// The request.
    pub(crate) ask: &'a Ask,
    /// Where it is answered.
    pub(crate) mount: Option<&'a Mount>,
    /// Why it was refused.
    pub(crate) error: Option<&'a str>,
    /// The answer; none for the request's record.
    pub(crate) reply: Option<&'a Reply>,
    /// Whether this is the answer's record.
    pub(crate) answered: bool,
}

impl Record<'_> {
    /// The line for a device.
    pub(crate) fn line(&self, device: &Device) -> Vec<u8> {
        let mut record = Object::new();
        let mut put = |key: &str, value: Value| drop(record.insert(key.to_owned(), value));
        put("time", json!(moment::rfc3339(moment::nanos(SystemTime::now()))));
        put("type", json!(if self.answered { "response" } else { "request" }));
        put("auth", self.auth(device));
        put("request", self.request(device));
        if self.answered {
            put("response", self.response(device));
        }
        if let Some(error) = self.error {
            put("error", json!(error));
        }
        let mut line = Value::Object(record).to_string().into_bytes();
        line.push(b'\n');
        line
    }

    fn auth(&self, device: &Device) -> Value {
        let sent = self.ask.sent_token.as_ref().map_or("", |token| token.expose());
        let Some(bearer) = &self.ask.bearer else {
            let token = device.secret(sent);
            return if token.is_empty() { json!({}) } else { json!({ "client_token": token }) };
        };
        let entry = &bearer.entry;
        json!({
            "client_token": device.secret(bearer.token.expose()),
            "accessor": device.accessor(&entry.accessor),
            "display_name": entry.display_name,
            "policies": entry.policies,
            "token_policies": entry.policies,
            "policy_results": { "allowed": self.error.is_none() },
            "metadata": entry.meta,
            "remaining_uses": entry.num_uses,
            "token_type": entry.kind.as_str(),
            "token_ttl": entry.ttl,
            "token_issue_time": moment::rfc3339(entry.issued),
        })
    }

    fn request(&self, device: &Device) -> Value {
        let ask = self.ask;
        let told = self.mount.and_then(|mount| mount.entry.config.audit_non_hmac_request_keys.clone());
        let mut request = json!({
            "id": ask.id,
            "operation": operation(ask.operation),
            "namespace": { "id": "root" },
            "path": ask.path,
        });
        let mut put = |key: &str, value: Value| request[key] = value;
        if let Some(token) = &ask.sent_token {
            put("client_token", json!(device.secret(token.expose())));
        }
        if let Some(bearer) = &ask.bearer {
            put("client_token_accessor", json!(device.accessor(&bearer.entry.accessor)));
        }
        if let Some(mount) = self.mount {
            put("mount_point", json!(mount.path));
            put("mount_type", json!(mount.entry.kind));
            put("mount_accessor", json!(mount.entry.accessor));
            put("mount_class", json!(if mount.path.starts_with("auth/") { "auth" } else { "secret" }));
        }
        if !ask.data.is_empty() {
            put("data", device.data(&Value::Object(ask.data.clone()), &told.unwrap_or_default()));
        }
        if let Some(remote) = ask.remote {
            put("remote_address", json!(remote.to_string()));
        }
        if let Some(ttl) = ask.wrap_ttl {
            put("wrap_ttl", json!(ttl.as_secs()));
        }
        request
    }

    fn response(&self, device: &Device) -> Value {
        let mut response = json!({});
        let mut put = |key: &str, value: Value| response[key] = value;
        if let Some(mount) = self.mount {
            put("mount_point", json!(mount.path));
            put("mount_type", json!(mount.entry.kind));
            put("mount_accessor", json!(mount.entry.accessor));
            put("mount_class", json!(if mount.path.starts_with("auth/") { "auth" } else { "secret" }));
        }
        let Some(reply) = self.reply else { return response };
        if let Some(auth) = &reply.auth {
            put(
                "auth",
                json!({
                    "client_token": device.secret(auth.token.expose()),
                    "accessor": device.accessor(&auth.accessor),
                    "policies": auth.policies,
                    "token_policies": auth.policies,
                    "metadata": auth.metadata,
                    "num_uses": auth.num_uses,
                    "token_type": auth.kind.as_str(),
                    "token_ttl": auth.seconds,
                }),
            );
        }
        if let Some(lease) = &reply.lease {
            put("secret", json!({ "lease_id": lease.id }));
        }
        if let Some(data) = reply.response.data.as_ref().filter(|_| reply.wrapped.is_none()) {
            put("data", self.response_data(device, data));
        }
        if let Some(wrapped) = &reply.wrapped {
            put(
                "wrap_info",
                json!({
                    "ttl": wrapped.ttl,
                    "token": device.secret(wrapped.token.expose()),
                    "accessor": device.accessor(&wrapped.accessor),
                    "creation_time": wrapped.creation_time,
                    "creation_path": wrapped.creation_path,
                    "wrapped_accessor": wrapped.wrapped_accessor.as_deref().map(|text| device.accessor(text)),
                }),
            );
        }
        if !reply.response.warnings.is_empty() {
            put("warnings", json!(reply.response.warnings));
        }
        response
    }

    fn response_data(&self, device: &Device, data: &Object) -> Value {
        let told = self.mount.and_then(|mount| mount.entry.config.audit_non_hmac_response_keys.clone());
        let mut data = data.clone();
        if device.elide_lists && self.ask.operation == Operation::List {
            for key in ["keys", "key_info"] {
                let count = match data.get(key) {
                    Some(Value::Array(values)) => values.len(),
                    Some(Value::Object(values)) => values.len(),
                    _ => continue,
                };
                data.insert(key.to_owned(), json!(count));
            }
        }
        device.data(&Value::Object(data), &told.unwrap_or_default())
    }
}

fn operation(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "create",
        Operation::Read => "read",
        Operation::Update => "update",
        Operation::Patch => "patch",
        Operation::Delete => "delete",
        Operation::List => "list",
        Operation::Renew => "renew",
        Operation::Revoke => "revoke",
        Operation::Help => "help",
    }
}
