//! Whether a role lets a name into a certificate. Every name that a certificate is to have passes here: those
//! that a caller gives, and those that a request brings along.

use super::{
    hostname::{self, glob},
    role::{Network, Role},
};
use std::net::IpAddr;

/// A role, and who asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judge<'a> {
    pub(super) role: &'a Role,
    /// The token's display name.
    pub(super) display_name: &'a str,
}

/// A name taken apart.
struct Parts<'a> {
    name: &'a str,
    /// Without the user of a mail address, without the label that has the wildcard.
    reduced: &'a str,
    /// What follows the `@`, or all.
    host: &'a str,
    email: bool,
    wildcard: bool,
}

impl Judge<'_> {
    /// Whether it may be a common name.
    pub(super) fn common_name(&self, name: &str) -> bool {
        let validations = &self.role.cn_validations;
        if validations.iter().map(String::as_str).eq(["disabled"]) {
            return true;
        }
        if !self.name(name) {
            return false;
        }
        let needed = if name.contains('@') { "email" } else { "hostname" };
        validations.is_empty() || validations.iter().any(|validation| validation == needed)
    }

    /// The first that may be no alternative name.
    pub(super) fn first_bad<'n>(&self, names: &'n [String]) -> Option<&'n str> {
        names.iter().map(String::as_str).find(|name| !self.name(name))
    }

    /// Whether it may be a DNS name or a mail address.
    fn name(&self, name: &str) -> bool {
        let Some(parts) = self.taken_apart(name) else { return false };
        self.role.allow_any_name
            || self.local(&parts)
            || self.of_token(&parts)
            || self
                .role
                .allowed_domains
                .iter()
                .any(|domain| !domain.is_empty() && self.of_domain(&parts, domain))
    }

    /// The name's parts, if its form is allowed.
    fn taken_apart<'n>(&self, name: &'n str) -> Option<Parts<'n>> {
        let (host, email) = match name.split_once('@') {
            Some((_, rest)) if rest.contains('@') => return None,
            Some((_, host)) => (host, true),
            None => (name, false),
        };
        let wildcard = host.contains('*');
        if wildcard && (email || !self.role.allow_wildcard_certificates) {
            return None;
        }
        let (label, reduced) = if wildcard { hostname::split_wildcard(host)? } else { ("", host) };
        if self.role.enforce_hostnames {
            let sound =
                |name: &str| hostname::to_ascii(name).is_ok_and(|ascii| hostname::is_hostname(&ascii));
            // A wildcard alone leaves no rest, and nothing else does.
            if !(sound(reduced) || wildcard && reduced.is_empty()) {
                return None;
            }
            if wildcard && !hostname::is_wildcard_label(label) {
                return None;
            }
        }
        Some(Parts { name, reduced, host, email, wildcard })
    }

    fn local(&self, parts: &Parts<'_>) -> bool {
        self.role.allow_localhost
            && ["localhost", "localdomain"].iter().any(|base| {
                let itself = parts.reduced == *base && (!parts.wildcard || self.role.allow_subdomains);
                itself || self.role.allow_subdomains && is_below(parts.reduced, base)
            })
    }

    fn of_token(&self, parts: &Parts<'_>) -> bool {
        if !self.role.allow_token_displayname || self.display_name.is_empty() {
            return false;
        }
        let below = is_below(parts.reduced, self.display_name)
            || parts.wildcard && parts.reduced == self.display_name;
        parts.name == self.display_name || self.role.allow_subdomains && below
    }

    fn of_domain(&self, parts: &Parts<'_>, domain: &str) -> bool {
        let role = self.role;
        let bare =
            parts.name.eq_ignore_ascii_case(domain) || parts.email && parts.host.eq_ignore_ascii_case(domain);
        let below =
            is_below(parts.reduced, domain) || parts.wildcard && parts.reduced.eq_ignore_ascii_case(domain);
        role.allow_bare_domains && bare
            || role.allow_subdomains && below
            || role.allow_glob_domains && domain.contains('*') && glob(domain, parts.name)
    }

    /// Whether it may be an address.
    pub(super) fn address(&self, address: IpAddr) -> bool {
        let networks = &self.role.allowed_ip_sans_cidr;
        networks.is_empty()
            || networks
                .iter()
                .filter_map(|text| Network::parse(text))
                .any(|network| network.contains(address))
    }

    /// Whether it may be a URI.
    pub(super) fn uri(&self, uri: &str) -> bool {
        self.role.allowed_uri_sans.iter().any(|allowed| glob(allowed, uri))
    }

    /// Whether it may be the subject's serial number.
    pub(super) fn serial_number(&self, number: &str) -> bool {
        let allowed = self.role.allowed_serial_numbers.iter().filter(|allowed| !allowed.is_empty());
        allowed.into_iter().any(|allowed| glob(allowed, number))
    }

    /// Whether it may be a user id of the subject.
    pub(super) fn user_id(&self, id: &str) -> bool {
        let allowed = self.role.allowed_user_ids.iter().filter(|allowed| !allowed.is_empty());
        allowed.into_iter().any(|allowed| allowed.eq_ignore_ascii_case(id) || glob(allowed, id))
    }

    /// Refuses other names that are not allowed.
    ///
    /// # Errors
    /// Vault's words.
    pub(super) fn other_names(&self, names: &[(String, String)]) -> Result<(), String> {
        if self.role.allowed_other_sans == ["*"] {
            return Ok(());
        }
        let allowed = super::role::other_names(&self.role.allowed_other_sans)
            .map_err(|text| format!("error parsing role's allowed SANs: {text}"))?;
        for (oid, value) in names {
            if !allowed.iter().any(|(known, _)| known == oid) {
                return Err(format!("other SAN OID {oid} not allowed by this role"));
            }
            if !allowed.iter().any(|(known, pattern)| known == oid && glob(pattern, value)) {
                return Err(format!("other SAN {value} not allowed for OID {oid} by this role"));
            }
        }
        Ok(())
    }
}

/// Whether a name ends with a dot and the domain.
fn is_below(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::{Judge, Role};

    fn check(role: Role, cases: &[(&str, bool)]) {
        let judge = Judge { role: &role, display_name: "token" };
        for (name, expected) in cases {
            assert_eq!(judge.name(name), *expected, "{name} {role:?}");
        }
    }

    fn example() -> Role {
        Role {
            allowed_domains: vec!["example.com".into(), String::new()],
            allow_localhost: false,
            ..Role::default()
        }
    }

    #[test]
    fn nothing_is_allowed_that_is_not_said() {
        check(
            example(),
            &[
                ("example.com", false),
                ("a.example.com", false),
                ("localhost", false),
                ("", false),
                ("*", false),
            ],
        );
    }

    #[test]
    fn bare_domains() {
        let role = Role { allow_bare_domains: true, ..example() };
        check(
            role,
            &[
                ("example.com", true),
                ("EXAMPLE.com", true),
                ("u@example.com", true),
                ("a.example.com", false),
                ("*.example.com", false),
                ("example.com.", false),
                ("u@v@example.com", false),
            ],
        );
    }

    #[test]
    fn subdomains() {
        let role = Role { allow_subdomains: true, ..example() };
        check(
            role.clone(),
            &[
                ("a.example.com", true),
                ("a.b.example.com", true),
                ("*.example.com", true),
                ("*.b.example.com", true),
                ("u@a.example.com", true),
                ("example.com", false),
                ("badexample.com", false),
                ("a.example.com.evil.org", false),
                ("a.*.example.com", false),
                ("*.*.example.com", false),
                ("u@*.example.com", false),
                ("a_b.example.com", false),
                ("a b.example.com", false),
                ("a.example.com\n", false),
                ("a.example.com\0.evil.org", false),
                ("-.example.com", false),
                (".example.com", false),
            ],
        );
        let role = Role { allow_wildcard_certificates: false, ..role };
        check(role, &[("*.example.com", false), ("a*.example.com", false), ("a.example.com", true)]);
    }

    #[test]
    fn globs_and_local_names() {
        let role =
            Role { allowed_domains: vec!["ftp*.example.com".into()], allow_glob_domains: true, ..example() };
        check(
            role,
            &[("ftp1.example.com", true), ("www.example.com", false), ("ftp1.example.com.evil", false)],
        );
        let role = Role { allow_localhost: true, ..example() };
        check(
            role,
            &[("localhost", true), ("localdomain", true), ("u@localhost", true), ("*.localhost", false)],
        );
        let role = Role { allow_localhost: true, allow_subdomains: true, ..example() };
        check(role, &[("a.localhost", true), ("*.localdomain", true), ("alocalhost", false)]);
        let role = Role { allow_any_name: true, ..example() };
        check(role, &[("anything.at.all", true), ("under_score", false), ("*", true), ("a.*", false)]);
    }

    #[test]
    fn templates_of_domains_stand_for_nothing() {
        let template = "{{identity.entity.name}}.example.com".to_owned();
        let role = Role {
            allowed_domains: vec![template],
            allowed_domains_template: true,
            allow_bare_domains: true,
            ..example()
        };
        check(role, &[("x.example.com", false), ("{{identity.entity.name}}.example.com", false)]);
    }
}
