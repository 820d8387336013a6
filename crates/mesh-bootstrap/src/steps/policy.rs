//! What a service may do: read its own credentials and those it needs, and get its own certificates or,
//! where it signs, an authority of its own.

use crate::step::{At, BootstrapError, Found, Step};
use crate::wanted::Wanted;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// A policy.
pub(super) struct Policy {
    pub(super) name: String,
}

/// The policy of a service.
pub(super) fn name_of(service: &str) -> String {
    format!("{service}-policy")
}

/// The text of a service's policy.
fn of_service(wanted: &Wanted, name: &str) -> String {
    let Some(service) = wanted.services.get(name) else { return String::new() };
    let mount = &wanted.credentials.mount;
    let mut text = String::new();
    let own = service.has_credentials().then_some(name);
    for readable in own.into_iter().chain(service.reads.iter().map(String::as_str)) {
        let _ = writeln!(text, "path \"{mount}/data/{readable}\" {{ capabilities = [\"read\"] }}");
    }
    if let (Some(authority), true) = (&wanted.authority, service.certificate) {
        let mount = &authority.intermediate_mount;
        let _ = writeln!(
            text,
            "path \"{mount}/issue/{name}-role\" {{ capabilities = [\"create\", \"update\"] }}\n\
             path \"{mount}/cert/ca_chain\" {{ capabilities = [\"read\"] }}"
        );
    }
    if let (Some(authority), true) = (&wanted.authority, service.signs) {
        let mount = &authority.intermediate_mount;
        // None for all names, and none that makes further ones.
        let _ = writeln!(
            text,
            "path \"{mount}/root/sign-intermediate\" {{\n  capabilities = [\"create\", \"update\"]\n  \
             required_parameters = [\"permitted_dns_domains\", \"max_path_length\"]\n}}"
        );
    }
    text
}

impl Policy {
    fn text(&self, wanted: &Wanted) -> String {
        wanted.policies.get(&self.name).cloned().unwrap_or_else(|| {
            let service = self.name.strip_suffix("-policy").unwrap_or(&self.name);
            of_service(wanted, service)
        })
    }
}

impl Step for Policy {
    fn what(&self) -> String {
        format!("policy {}", self.name)
    }

    fn look(&self, at: &At<'_>) -> Result<Found, BootstrapError> {
        let there = at.read(&format!("sys/policies/acl/{}", self.name))?;
        let there = there.as_ref().and_then(|data| data.get("policy")).and_then(Value::as_str);
        Ok(match there {
            None => Found::Missing,
            Some(text) if text.trim() == self.text(at.wanted).trim() => Found::There,
            Some(_) => Found::Behind("with another text".to_owned()),
        })
    }

    fn make(&self, at: &At<'_>) -> Result<(), BootstrapError> {
        let body = json!({"policy": self.text(at.wanted)});
        at.write(&format!("sys/policies/acl/{}", self.name), &body)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::of_service;
    use crate::wanted::Wanted;

    #[test]
    fn a_service_may_read_what_it_needs_and_nothing_else() {
        let wanted = "[authority]\nname = 'X'\n[services.db]\ngenerate = {password = 25}\n\
                      [services.pool]\nreads = ['db']\ncertificate = false\n";
        let wanted = Wanted::parse(wanted).unwrap();
        let pool = of_service(&wanted, "pool");
        assert_eq!(pool, "path \"secret/data/db\" { capabilities = [\"read\"] }\n");
        let db = of_service(&wanted, "db");
        assert!(
            db.contains("pki_int/issue/db-role") && db.contains("secret/data/db") && !db.contains("pool")
        );
        assert!(!db.contains("sign-intermediate"));
        let gateway = Wanted::parse("[authority]\nname = 'X'\n[services.gateway]\nsigns = true\n").unwrap();
        let gateway = of_service(&gateway, "gateway");
        assert!(
            gateway.contains("\"pki_int/root/sign-intermediate\"") && gateway.contains("required_parameters"),
            "{gateway}"
        );
    }
}
