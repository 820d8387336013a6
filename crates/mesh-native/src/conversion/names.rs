//! The three files that give a container its names: hosts, hostname and resolv.conf. Pure text.

use mesh_model::service::{NetworkMode, NetworkSettings};
use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr},
};

/// Address of the resolver inside every container that is on a network.
const RESOLVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

/// What `extra_hosts` means by the machine itself.
const HOST_GATEWAY: &str = "host-gateway";

/// Whether a service asks for the machine itself: only then may it reach the machine's loopback.
pub(crate) fn asks_for_host(settings: &NetworkSettings) -> bool {
    settings.extra_hosts.iter().any(|(_, address)| address == HOST_GATEWAY)
}

/// The hosts file: loopback, the container's own addresses, and `extra_hosts`.
pub(crate) fn hosts(
    settings: &NetworkSettings,
    hostname: &str,
    addresses: &[IpAddr],
    host_gateway: IpAddr,
) -> String {
    let mut text = String::from("127.0.0.1\tlocalhost\n");
    // A project has no IPv6: as Docker has it then, `localhost` has one meaning.
    if settings.mode == NetworkMode::Host {
        text.push_str(
            "::1\tlocalhost ip6-localhost ip6-loopback\n\
             fe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n",
        );
    }
    for (name, address) in &settings.extra_hosts {
        let _ = match address.as_str() {
            HOST_GATEWAY => writeln!(text, "{host_gateway}\t{name}"),
            address => writeln!(text, "{address}\t{name}"),
        };
    }
    let own = match &settings.domainname {
        Some(domain) => format!("{hostname}.{domain} {hostname}"),
        None => hostname.to_owned(),
    };
    for address in addresses {
        let _ = writeln!(text, "{address}\t{own}");
    }
    text
}

/// The resolver's file. A container on a network asks Mesh; one on the host's stack asks what the
/// host asks (`host`: the host's own file); one without a network asks nobody.
pub(crate) fn resolver(settings: &NetworkSettings, host: &str) -> String {
    let mut text = String::new();
    match &settings.mode {
        NetworkMode::Networks(_) | NetworkMode::Service(_) => {
            let _ = writeln!(text, "nameserver {RESOLVER}");
        }
        NetworkMode::None => {}
        NetworkMode::Host if settings.dns.is_empty() => {
            for line in host.lines() {
                let word = line.split_whitespace().next().unwrap_or_default();
                let overridden = (word == "search" && !settings.dns_search.is_empty())
                    || (word == "options" && !settings.dns_opt.is_empty());
                if matches!(word, "nameserver" | "search" | "options") && !overridden {
                    let _ = writeln!(text, "{line}");
                }
            }
        }
        NetworkMode::Host => {
            for server in &settings.dns {
                let _ = writeln!(text, "nameserver {server}");
            }
        }
    }
    if !settings.dns_search.is_empty() {
        let _ = writeln!(text, "search {}", settings.dns_search.join(" "));
    }
    match (&settings.mode, settings.dns_opt.is_empty()) {
        (_, false) => {
            let _ = writeln!(text, "options {}", settings.dns_opt.join(" "));
        }
        (NetworkMode::Networks(_) | NetworkMode::Service(_), true) => text.push_str("options ndots:0\n"),
        _ => {}
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(mode: NetworkMode) -> NetworkSettings {
        NetworkSettings {
            mode,
            hostname: None,
            domainname: None,
            ports: Vec::new(),
            expose: Vec::new(),
            extra_hosts: Vec::new(),
            dns: Vec::new(),
            dns_search: Vec::new(),
            dns_opt: Vec::new(),
        }
    }

    #[test]
    fn the_hosts_file_has_own_and_further_names() {
        let mut settings = settings(NetworkMode::Networks(Default::default()));
        settings.domainname = Some("corp".to_owned());
        settings.extra_hosts = vec![
            ("outside".to_owned(), HOST_GATEWAY.to_owned()),
            ("printer".to_owned(), "192.168.1.9".to_owned()),
        ];
        assert!(asks_for_host(&settings));
        let address = "10.1.0.2".parse().expect("valid");
        let text = hosts(&settings, "web", &[address], "10.1.0.254".parse().expect("valid"));
        for line in ["10.1.0.254\toutside", "192.168.1.9\tprinter", "10.1.0.2\tweb.corp web"] {
            assert!(text.lines().any(|have| have == line), "{line} in {text}");
        }
    }

    #[test]
    fn the_resolver_file_follows_the_mode() {
        let host = "# comment\nnameserver 9.9.9.9\nsearch lan\n";
        let joined = settings(NetworkMode::Networks(Default::default()));
        let mut searching = joined.clone();
        searching.dns_search = vec!["corp".to_owned(), "lan".to_owned()];
        searching.dns_opt = vec!["timeout:1".to_owned()];
        let mut chosen = settings(NetworkMode::Host);
        chosen.dns = vec!["1.1.1.1".parse().expect("valid")];
        for (settings, want) in [
            (joined, "nameserver 127.0.0.11\noptions ndots:0\n"),
            (searching, "nameserver 127.0.0.11\nsearch corp lan\noptions timeout:1\n"),
            (settings(NetworkMode::None), ""),
            (settings(NetworkMode::Host), "nameserver 9.9.9.9\nsearch lan\n"),
            (chosen, "nameserver 1.1.1.1\n"),
        ] {
            assert_eq!(resolver(&settings, host), want);
        }
    }
}
