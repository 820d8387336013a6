//! For which names an authority may speak. Pure.
//!
//! A scope is what stands in a certificate's name constraints (RFC 5280, 4.2.1.10): a domain allows itself and all
//! below it, and an address is allowed where it lies in one of the networks. A name without a dot would allow all below
//! a domain of the highest level, so that of these only `localhost` is ever in a scope; nor is one below which anybody
//! may have a name, as `co.uk`.

use rcgen::{CidrSubnet, GeneralSubtree, NameConstraints};
use std::collections::BTreeSet;
use x509_parser::prelude::{GeneralName, ParsedExtension, X509Certificate};

/// Most names of a scope; also the most that a gateway may ask for.
pub const NAMES_MAX: usize = 1_000;
/// Most bytes of a name, without the dot at its end (RFC 1035, 2.3.4).
const NAME_BYTES_MAX: usize = 253;
/// Most bytes of a part of a name.
const LABEL_BYTES_MAX: usize = 63;

/// Domains that mean something on a machine or in a house only (RFC 6761, 6762, 8375, 9476 and ICANN's `.internal`).
const LOCAL: [&str; 6] = ["home.arpa", "internal", "local", "localhost", "test", "localdomain"];
/// Networks that are nobody's outside: loopback, private and link-local ones.
const LOCAL_V4: [([u8; 4], u8); 5] = [
    ([127, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([172, 16, 0, 0], 12),
    ([192, 168, 0, 0], 16),
    ([169, 254, 0, 0], 16),
];
/// The same of version 6.
const LOCAL_V6: [([u16; 8], u8); 3] = [
    ([0, 0, 0, 0, 0, 0, 0, 1], 128),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
];

/// For which names an authority may speak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    domains: BTreeSet<String>,
    networks: Networks,
}

/// For which addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Networks {
    /// Those that are nobody's outside.
    Private,
    /// The machine's own.
    Loopback,
}

/// A name as it stands in certificates: in small letters, without the dot at its end, of characters that host names
/// have. A wildcard is none: the domain below it says the same.
#[must_use]
pub fn name(text: &str) -> Option<String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        let bytes = label.as_bytes();
        !bytes.is_empty()
            && bytes.len() <= LABEL_BYTES_MAX
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && bytes.first() != Some(&b'-')
            && bytes.last() != Some(&b'-')
    };
    // What ends in a number is an address, or was meant to be one.
    let numeric = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    let sound = text.len() <= NAME_BYTES_MAX && !numeric && text.split('.').all(label);
    sound.then(|| text.to_ascii_lowercase())
}

impl Scope {
    /// Local names and the networks of a house.
    pub(crate) fn local() -> Self {
        Self { domains: LOCAL.iter().map(|&domain| domain.to_owned()).collect(), networks: Networks::Private }
    }

    /// Local names, and these.
    pub(crate) fn local_and(names: &BTreeSet<String>) -> Self {
        let mut scope = Self::local();
        scope.domains.extend(names.iter().cloned());
        scope
    }

    /// These names, what is beneath those that begin with `*.`, and the machine itself. Names below others say nothing new and are left out.
    #[must_use]
    pub fn of(names: &BTreeSet<String>) -> Self {
        let mut domains: BTreeSet<String> = dotted(names).take(NAMES_MAX).collect();
        domains.insert("localhost".to_owned());
        let all = domains.clone();
        domains.retain(|domain| !all.iter().any(|other| other != domain && is_below(domain, other)));
        Self { domains, networks: Networks::Loopback }
    }

    /// Those of the names that are not local, as far as there can be an authority for them.
    #[must_use]
    pub fn outside(names: &BTreeSet<String>) -> BTreeSet<String> {
        let local = Self::local();
        dotted(names).filter(|name| !local.permits(name)).take(NAMES_MAX).collect()
    }

    /// Its domains.
    pub fn domains(&self) -> impl Iterator<Item = &str> {
        self.domains.iter().map(String::as_str)
    }

    /// Whether it is for this name.
    #[must_use]
    pub fn permits(&self, name: &str) -> bool {
        permits(self.domains(), name)
    }

    pub(crate) fn constraints(&self) -> NameConstraints {
        let domains = self.domains.iter().map(|domain| GeneralSubtree::DnsName(domain.clone()));
        let (v4, v6) = match self.networks {
            Networks::Private => (LOCAL_V4.as_slice(), LOCAL_V6.as_slice()),
            Networks::Loopback => (&LOCAL_V4[..1], &LOCAL_V6[..1]),
        };
        let v4 = v4.iter().map(|&(address, prefix)| (std::net::Ipv4Addr::from(address).into(), prefix));
        let v6 = v6.iter().map(|&(address, prefix)| (std::net::Ipv6Addr::from(address).into(), prefix));
        let networks = v4.chain(v6).map(|(address, prefix)| {
            GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(address, prefix))
        });
        // Names of mail are allowed at a domain that can never be (RFC 6761, 6.4): nowhere.
        let mail = GeneralSubtree::Rfc822Name("invalid".to_owned());
        NameConstraints {
            permitted_subtrees: domains.chain(networks).chain([mail]).collect(),
            excluded_subtrees: Vec::new(),
        }
    }
}

/// What stands in a scope for a name, and for all names beneath a domain (`*.shop.test`).
pub(crate) fn domain(text: &str) -> Option<String> {
    name(text.strip_prefix("*.").unwrap_or(text))
}

/// Names that can be in a scope.
fn dotted(names: &BTreeSet<String>) -> impl Iterator<Item = String> {
    let names = names.iter().filter_map(|text| domain(text));
    names.filter(|name| name.contains('.') && !crate::suffix::is_public(name))
}

/// The domains that a certificate is constrained to; `None`: it is for all of them, or none is to be made out.
pub(crate) fn domains_of(certificate: &X509Certificate<'_>) -> Option<BTreeSet<String>> {
    let constraints =
        certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::NameConstraints(constraints) => Some(constraints),
            _ => None,
        })?;
    let permitted = constraints.permitted_subtrees.iter().flatten();
    let domains: BTreeSet<String> = permitted
        .filter_map(|subtree| match &subtree.base {
            GeneralName::DNSName(domain) => Some(domain.to_ascii_lowercase()),
            _ => None,
        })
        .collect();
    (!domains.is_empty()).then_some(domains)
}

/// Whether one of the domains is for this name.
pub(crate) fn permits<'a>(mut domains: impl Iterator<Item = &'a str>, name: &str) -> bool {
    domains.any(|domain| name == domain || is_below(name, domain))
}

fn is_below(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_name_is_one_of_a_host() {
        let long = format!("{}.{}.{}.{}", "a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61));
        for (text, want) in [
            ("Shop.LOCALHOST.", Some("shop.localhost")),
            ("my_app.test", Some("my_app.test")),
            ("localhost", Some("localhost")),
            ("xn--mnchen-3ya.test", Some("xn--mnchen-3ya.test")),
            (long.as_str(), Some(long.as_str())),
            (&format!("{long}d"), None),
            (&"a".repeat(64), None),
            ("", None),
            (".", None),
            ("a..b", None),
            (".test", None),
            ("*.test", None),
            ("-a.test", None),
            ("a-.test", None),
            ("münchen.test", None),
            ("a b.test", None),
            ("a\n.test", None),
            ("127.0.0.1", None),
            ("::1", None),
            ("a/b", None),
        ] {
            assert_eq!(name(text).as_deref(), want, "{text:?}");
        }
    }

    #[test]
    fn a_scope_is_for_its_domains_and_what_is_below_them() {
        let scope =
            Scope::of(&set(&["shop.test", "api.shop.test", "*.bad", "*.b.example", "web", "com", "*.co.uk"]));
        assert_eq!(scope.domains().collect::<Vec<_>>(), ["b.example", "localhost", "shop.test"]);
        for (name, want) in [
            ("shop.test", true),
            ("a.b.shop.test", true),
            ("x.localhost", true),
            ("myshop.test", false),
            ("test", false),
            ("c.example", false),
        ] {
            assert_eq!(scope.permits(name), want, "{name}");
        }
    }

    #[test]
    fn what_is_not_local_is_told_apart() {
        let names = set(&[
            "a.localhost",
            "shop.test",
            "db.internal",
            "x.local",
            "r.home.arpa",
            "shop.example",
            "web",
            "com.au",
            "github.io",
        ]);
        assert_eq!(Scope::outside(&names), set(&["shop.example"]));
        let many: BTreeSet<String> = (0..NAMES_MAX + 5).map(|number| format!("a{number}.test")).collect();
        assert_eq!(Scope::of(&many).domains.len(), NAMES_MAX + 1);
    }
}
