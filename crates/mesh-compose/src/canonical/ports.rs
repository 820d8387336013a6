//! `ports`: `[[address:]published:]target[/protocol]`, with ranges, and the long form.

use super::scalars::entry;
use crate::{
    context::{At, Context},
    node::{Node, Value},
    value,
};

use std::collections::HashSet;

const HINT: &str = "write `8080:80`, `127.0.0.1:8080:80`, `8000-8010:8000-8010` or `53:53/udp`";

/// Most mappings of one service: a whole range, once for each protocol.
const MAPPINGS_MAX: usize = 2 * 65_535;

/// What keeps a text from being a port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum PortError {
    #[error("`{0}` is not a port from 1 to 65535 or a range of them")]
    Number(String),
    #[error("`{0}` is not an IP address")]
    Address(String),
    #[error("protocol `{0}` is not tcp, udp or sctp")]
    Protocol(String),
    #[error("the ranges {0} and {1} differ in length")]
    Ranges(String, String),
}

/// One mapping: the published part is empty, a port or a range.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Port {
    host: Option<String>,
    published: Option<(u16, u16)>,
    target: u16,
    protocol: String,
}

/// The same for values that are not read yet: what is long already stays as it is.
pub(super) fn ports_as_written(node: &mut Node, cx: &mut Context) {
    let Value::List(items) = &mut node.value else { return };
    let mut long = Vec::with_capacity(items.len());
    for mut item in std::mem::take(items) {
        let at = item.at;
        if item.as_map().is_some() {
            item.set_default("mode", Node::text("ingress", at));
            item.set_default("protocol", Node::text("tcp", at));
            long.push(item);
        } else {
            match parse(&item.scalar().unwrap_or_default()) {
                Ok(ports) => long.extend(ports.into_iter().map(|port| to_node(port, at))),
                Err(error) => cx.error(at, "bad-port", error.to_string()),
            }
        }
    }
    *items = long;
}

/// Rewrites every entry to the long form; ranges of targets become one entry a port.
pub(super) fn ports(node: &mut Node, cx: &mut Context) {
    let Value::List(items) = &mut node.value else { return };
    let mut long = Vec::with_capacity(items.len());
    for mut item in std::mem::take(items) {
        if long.len() > MAPPINGS_MAX {
            cx.error(item.at, "too-large", format!("more than {MAPPINGS_MAX} ports of one service"));
            break;
        }
        if item.as_map().is_some() {
            match long_form(&mut item, cx) {
                Ok(()) => long.push(item),
                Err(error) => cx.error_with_hint(item.at, "bad-port", error.to_string(), HINT),
            }
        } else if let Some(text) = item.scalar() {
            match parse(&text) {
                Ok(ports) => long.extend(ports.into_iter().map(|port| to_node(port, item.at))),
                Err(error) => {
                    let message = format!("`{text}` is not a published port: {error}");
                    cx.error_with_hint(item.at, "bad-port", message, HINT);
                }
            }
        }
    }
    // The same mapping twice would only find its own port taken.
    let mut seen = HashSet::new();
    long.retain(|port| seen.insert(identity(port)));
    *items = long;
}

fn identity(port: &Node) -> [String; 4] {
    let part = |key: &str| port.get(key).and_then(Node::scalar).unwrap_or_default();
    ["host_ip", "published", "target", "protocol"].map(part)
}

fn long_form(item: &mut Node, cx: &mut Context) -> Result<(), PortError> {
    super::scalars::each(item, &["target"], super::scalars::integer);
    super::scalars::each(item, &["published", "protocol", "host_ip"], super::scalars::text);
    super::scalars::drop_nulls(item, &["published", "host_ip", "protocol"]);
    let at = item.at;
    if item.get("target").is_none() {
        cx.error(at, "bad-port", "a port in the long form needs a `target`");
    }
    item.set_default("mode", Node::text("ingress", at));
    item.set_default("protocol", Node::text("tcp", at));
    if let Some(text) = item.get("published").and_then(Node::as_text).filter(|text| !text.is_empty()) {
        range(text, 0)?;
    }
    item.get("protocol").and_then(Node::as_text).map_or(Ok(()), |text| protocol(text).map(|_| ()))
}

fn to_node(port: Port, at: At) -> Node {
    let mut pairs = vec![("mode", Value::Text("ingress".to_owned()))];
    if let Some(host) = port.host {
        pairs.push(("host_ip", Value::Text(host)));
    }
    pairs.push(("target", Value::Int(i64::from(port.target))));
    if let Some((first, last)) = port.published {
        let text = if first == last { first.to_string() } else { format!("{first}-{last}") };
        pairs.push(("published", Value::Text(text)));
    }
    pairs.push(("protocol", Value::Text(port.protocol)));
    entry(pairs, at)
}

fn parse(text: &str) -> Result<Vec<Port>, PortError> {
    let (ports, name) = text.trim().rsplit_once('/').unwrap_or((text.trim(), "tcp"));
    let protocol = protocol(name)?;
    let (rest, target_text) =
        ports.rsplit_once(':').map_or((None, ports), |(rest, target)| (Some(rest), target));
    let (host, published_text) = match rest {
        None => (None, ""),
        Some(rest) => match rest.rsplit_once(':') {
            // A lone address may itself hold colons: `::1` needs brackets, as Compose has it.
            Some((host, published)) => (Some(host), published),
            None => (None, rest),
        },
    };
    let host = match host.filter(|host| !host.is_empty()) {
        None => None,
        Some(host) => {
            Some(value::address(host).ok_or_else(|| PortError::Address(host.to_owned()))?.to_string())
        }
    };
    let target = range(target_text, 1)?;
    let published = if published_text.is_empty() { None } else { Some(range(published_text, 0)?) };
    let count = target.1 - target.0;
    let mut ports = Vec::new();
    for offset in 0..=count {
        let published = match published {
            None | Some((0, 0)) => None,
            Some(range) if count == 0 => Some(range),
            Some((first, last)) if last - first == count => Some((first + offset, first + offset)),
            Some(_) => return Err(PortError::Ranges(published_text.to_owned(), target_text.to_owned())),
        };
        ports.push(Port {
            host: host.clone(),
            published,
            target: target.0 + offset,
            protocol: protocol.clone(),
        });
    }
    // Compose has them in the order of their texts.
    ports.sort_by_cached_key(|port| port.target.to_string());
    Ok(ports)
}

fn protocol(name: &str) -> Result<String, PortError> {
    let lower = name.to_ascii_lowercase();
    if matches!(lower.as_str(), "tcp" | "udp" | "sctp") {
        Ok(lower)
    } else {
        Err(PortError::Protocol(name.to_owned()))
    }
}

/// `80` or `80-90`.
pub(crate) fn range_of(text: &str) -> Option<(u16, u16)> {
    range(text, 0).ok()
}

fn range(text: &str, least: u16) -> Result<(u16, u16), PortError> {
    let bad = || PortError::Number(text.to_owned());
    let port = |text: &str| {
        text.parse::<u16>().ok().filter(|port| *port >= least && !text.starts_with('+')).ok_or_else(bad)
    };
    let (first, last) = match text.split_once('-') {
        None => (port(text)?, port(text)?),
        Some((first, last)) => (port(first)?, port(last)?),
    };
    if first <= last { Ok((first, last)) } else { Err(bad()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: Result<&str, &str>) {
        let got = parse(text).map(|ports| {
            let shown: Vec<String> = ports
                .iter()
                .map(|port| {
                    let host = port.host.as_deref().unwrap_or("*");
                    let published = port.published.map_or("any".to_owned(), |(a, b)| format!("{a}-{b}"));
                    format!("{host} {published} {} {}", port.target, port.protocol)
                })
                .collect();
            shown.join("; ")
        });
        assert_eq!(
            got.map_err(|error| error.to_string()),
            want.map(str::to_owned).map_err(str::to_owned),
            "{text}"
        );
    }

    #[test]
    fn every_short_form() {
        check("80", Ok("* any 80 tcp"));
        check("8080:80", Ok("* 8080-8080 80 tcp"));
        check("127.0.0.1:8080:80/udp", Ok("127.0.0.1 8080-8080 80 udp"));
        check("127.0.0.1::80", Ok("127.0.0.1 any 80 tcp"));
        check("[::1]:8080:80", Ok("::1 8080-8080 80 tcp"));
        check("3000-3001", Ok("* any 3000 tcp; * any 3001 tcp"));
        check("9000-9001:80-81", Ok("* 9000-9000 80 tcp; * 9001-9001 81 tcp"));
        check("9000-9010:80", Ok("* 9000-9010 80 tcp"));
        check("0:80", Ok("* any 80 tcp"));
        check("9000-9002:80-81", Err("the ranges 9000-9002 and 80-81 differ in length"));
        check("70000:80", Err("`70000` is not a port from 1 to 65535 or a range of them"));
        check("80:x", Err("`x` is not a port from 1 to 65535 or a range of them"));
        check("x:80:80", Err("`x` is not an IP address"));
        check("80/sctp", Ok("* any 80 sctp"));
        check("80/dccp", Err("protocol `dccp` is not tcp, udp or sctp"));
        check("", Err("`` is not a port from 1 to 65535 or a range of them"));
        check("90-80", Err("`90-80` is not a port from 1 to 65535 or a range of them"));
    }
}
