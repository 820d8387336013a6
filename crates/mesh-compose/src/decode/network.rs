//! How a service is connected.

use super::{entries, items, list, number, text, unsupported};
use crate::{canonical::range_of, context::Context, node::Node, value};
use mesh_model::{
    network::{Attachment, PortMapping, Protocol, Published},
    service::{NetworkMode, NetworkSettings},
};
use std::{collections::BTreeMap, net::IpAddr};

pub(super) fn network(node: &Node, cx: &mut Context) -> NetworkSettings {
    NetworkSettings {
        mode: mode(node, cx),
        hostname: text(node, "hostname").filter(|name| !name.is_empty()),
        domainname: text(node, "domainname").filter(|name| !name.is_empty()),
        ports: items(node.get("ports")).filter_map(|node| port(node, cx)).collect(),
        expose: list(node.get("expose")).iter().map(|port| with_protocol(port)).collect(),
        extra_hosts: list(node.get("extra_hosts"))
            .iter()
            .filter_map(|line| line.split_once('='))
            .map(|(host, address)| (host.to_owned(), address.to_owned()))
            .collect(),
        dns: dns(node, cx),
        dns_search: list(node.get("dns_search")),
        dns_opt: list(node.get("dns_opt")),
    }
}

fn with_protocol(port: &str) -> String {
    if port.contains('/') { port.to_owned() } else { format!("{port}/tcp") }
}

/// The network that an engine has beside those of projects; here there is none.
pub(super) fn is_bridge(mode: &str) -> bool {
    matches!(mode, "bridge" | "default")
}

fn mode(node: &Node, cx: &mut Context) -> NetworkMode {
    if let Some(mode) = node.get("network_mode") {
        let text = mode.as_text().unwrap_or_default();
        return match text.split_once(':') {
            None if text == "host" => NetworkMode::Host,
            None if text == "none" => NetworkMode::None,
            None if is_bridge(text) => {
                let message = format!("`network_mode: {text}` is taken as the project's default network");
                cx.warn(mode.at, "no-effect", message);
                NetworkMode::Networks(BTreeMap::from([("default".to_owned(), Attachment::default())]))
            }
            Some(("service", name)) => NetworkMode::Service(name.to_owned()),
            _ => {
                unsupported(cx, mode, "network_mode", "it is one of bridge, host, none and service:NAME");
                NetworkMode::None
            }
        };
    }
    let mac = text(node, "mac_address");
    NetworkMode::Networks(
        entries(node.get("networks"))
            .map(|(key, node)| {
                let attachment = Attachment {
                    aliases: list(node.get("aliases")),
                    ipv4_address: text(node, "ipv4_address").and_then(|text| text.parse().ok()),
                    ipv6_address: text(node, "ipv6_address").and_then(|text| text.parse().ok()),
                    mac_address: text(node, "mac_address").or_else(|| mac.clone()),
                    priority: number(node.get("priority")).unwrap_or(0),
                    interface_name: text(node, "interface_name").filter(|name| !name.is_empty()),
                };
                (key.clone(), attachment)
            })
            .collect(),
    )
}

fn port(node: &Node, cx: &mut Context) -> Option<PortMapping> {
    let published = match text(node, "published").filter(|text| !text.is_empty()) {
        None => Published::Any,
        Some(text) => match range_of(&text)? {
            (0, _) => Published::Any,
            (first, last) if first == last => Published::Port(first),
            (first, last) => Published::OneOf(first, last),
        },
    };
    let protocol = match text(node, "protocol")?.to_ascii_lowercase().as_str() {
        "udp" => Protocol::Udp,
        "" | "tcp" => Protocol::Tcp,
        other => {
            let message = format!("ports of protocol `{other}` are not published");
            cx.refuse_this(node.at, "unsupported", message, None);
            return None;
        }
    };
    Some(PortMapping {
        host_ip: text(node, "host_ip")
            .and_then(|text| value::address(&text))
            .filter(|address| !(address.is_ipv4() && address.is_unspecified())),
        published,
        target: number(node.get("target"))?,
        protocol,
    })
}

fn dns(node: &Node, cx: &mut Context) -> Vec<IpAddr> {
    let mut servers = Vec::new();
    for item in items(node.get("dns")) {
        match item.scalar().and_then(|text| value::address(&text)) {
            Some(address) => servers.push(address),
            None => unsupported(cx, item, "dns", "name servers are given by IP address"),
        }
    }
    servers
}
