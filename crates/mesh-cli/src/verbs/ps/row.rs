//! A container as `ps` shows it: Docker's fields in Docker's words.

use super::super::summary;
use crate::{
    layout::shortened,
    template::{Subject, Value},
    words,
};
use mesh_api::status::{ContainerStatus, Health, State};
use mesh_model::network::Protocol;
use std::net::IpAddr;

/// The source of an image that is the very one asked for.
pub(super) const EXACT_SOURCE: &str = "oci";
/// Digits of a short id.
const SHORT_ID_DIGITS: usize = 12;
/// Longest reason in a status, in letters: the whole of it is under `Detail`.
const REASON_LETTERS_MAX: usize = 72;
/// Longest name of a mount unless `--no-trunc`, in letters.
const MOUNT_LETTERS_MAX: usize = 15;

/// A port as the engine tells it: published, or listened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Port {
    target: u16,
    host: Option<IpAddr>,
    published: u16,
    protocol: &'static str,
}

/// The container as a subject of `--format`.
pub(super) fn subject(container: &ContainerStatus, now: u64, whole: bool) -> Subject {
    let cut = |text: &str, letters: usize| match whole {
        true => text.to_owned(),
        false => shortened(text, letters),
    };
    let id = if whole { container.id.clone() } else { container.id.chars().take(SHORT_ID_DIGITS).collect() };
    let labels: Vec<String> =
        container.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mounts: Vec<String> =
        container.mounts.iter().map(|mount| cut(&mount.name, MOUNT_LETTERS_MAX)).collect();
    let ended = matches!(container.state, State::Exited | State::Dead);
    let exit_code = container.exit_code.filter(|_| ended).unwrap_or(0);
    let runs = container.state == State::Running;
    let mut ports = ports(container);
    let publishers = ports.iter().map(publisher).collect();
    let fields = [
        ("ID", id.into()),
        ("Name", container.name.clone().into()),
        ("Names", container.name.clone().into()),
        ("Image", container.image.clone().into()),
        ("Command", words::command(&container.command, whole).into()),
        ("Project", container.project.clone().into()),
        ("Service", container.service.clone().into()),
        ("State", summary::docker_word(container.state).into()),
        ("Status", status(container, now).into()),
        ("Health", container.health.filter(|_| runs).map_or("", summary::health).into()),
        ("ExitCode", Value::Int(i64::from(exit_code))),
        ("Publishers", Value::List(publishers)),
        ("Ports", displayed(&mut ports).into()),
        ("CreatedAt", words::timestamp(container.created_unix_ms).into()),
        ("RunningFor", created(container, now).into()),
        ("Labels", labels.join(",").into()),
        ("Mounts", mounts.join(",").into()),
        ("LocalVolumes", container.mounts.iter().filter(|mount| mount.volume).count().to_string().into()),
        ("Networks", container.networks.join(",").into()),
        // Docker Compose does not ask for sizes and shows this.
        ("Size", "0B".into()),
        ("Source", container.source.clone().into()),
    ];
    let whole_detail = whole_detail(container).map(|detail| ("Detail", detail.into()));
    Subject {
        kind: "*formatter.ContainerContext",
        fields: fields.into_iter().chain(whole_detail).collect(),
        labels: Some(container.labels.clone()),
    }
}

/// All that is known of why it waits, failed, or lacks something.
fn whole_detail(container: &ContainerStatus) -> Option<String> {
    let lacks = container.lost_ports.iter().chain(&container.certificate_troubles);
    let parts: Vec<&str> = container.detail.iter().chain(lacks).map(String::as_str).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// The first line of a reason, as short as a row of a table needs it.
fn reason(text: &str) -> String {
    let mut lines = text.trim().lines();
    let first = lines.next().unwrap_or_default();
    match lines.next() {
        Some(_) if first.chars().count() < REASON_LETTERS_MAX => format!("{first}…"),
        _ => shortened(first, REASON_LETTERS_MAX),
    }
}

fn created(container: &ContainerStatus, now: u64) -> String {
    format!("{} ago", words::rough(now.saturating_sub(container.created_unix_ms)))
}

/// Docker's words for how a container is.
pub(crate) fn status(container: &ContainerStatus, now: u64) -> String {
    let mut status = plain_status(container, now);
    for lacks in [&container.lost_ports, &container.certificate_troubles] {
        if let [first, rest @ ..] = lacks.as_slice() {
            let more = if rest.is_empty() { String::new() } else { format!(", and {} more", rest.len()) };
            status.push_str(&format!(" ({}{more})", reason(first)));
        }
    }
    status
}

fn plain_status(container: &ContainerStatus, now: u64) -> String {
    let since = |moment: Option<u64>| words::rough(now.saturating_sub(moment.unwrap_or(now)));
    let up = || format!("Up {}", since(container.started_unix_ms));
    let ended = |word: &str| {
        format!("{word} ({}) {} ago", container.exit_code.unwrap_or(0), since(container.finished_unix_ms))
    };
    let detail = |word: &str| match &container.detail {
        Some(detail) => format!("{word} ({})", reason(detail)),
        None => word.to_owned(),
    };
    match container.state {
        State::Created => detail("Created"),
        State::Starting => "Starting".to_owned(),
        State::Waiting => match container.detail.as_deref().map(reason) {
            Some(detail) => words::waiting(&detail),
            None => "Waiting".to_owned(),
        },
        State::Running => match container.health {
            Some(Health::Starting) => format!("{} (health: starting)", up()),
            Some(health) => format!("{} ({})", up(), summary::health(health)),
            None => up(),
        },
        State::Paused => format!("{} (Paused)", up()),
        State::Restarting => match &container.detail {
            Some(detail) => format!("{} ({})", ended("Restarting"), reason(detail)),
            None => ended("Restarting"),
        },
        State::Exited if container.out_of_memory => format!("{} (out of memory)", ended("Exited")),
        State::Exited => ended("Exited"),
        State::Dead => detail("Dead"),
    }
}

/// Ports of a container that runs, in order.
fn ports(container: &ContainerStatus) -> Vec<Port> {
    if !matches!(container.state, State::Running | State::Paused) {
        return Vec::new();
    }
    let word = |protocol: Protocol| match protocol {
        Protocol::Udp => "udp",
        Protocol::Tcp => "tcp",
    };
    let published = container.ports.iter().map(|port| Port {
        target: port.target,
        host: Some(port.host.ip()),
        published: port.host.port(),
        protocol: word(port.protocol),
    });
    let mut ports: Vec<Port> = published.collect();
    for exposed in &container.exposed {
        let (number, protocol) = exposed.split_once('/').unwrap_or((exposed, "tcp"));
        let protocol = ["tcp", "udp", "sctp"].into_iter().find(|known| *known == protocol);
        if let (Ok(target), Some(protocol)) = (number.parse(), protocol)
            && !ports.iter().any(|port| port.target == target && port.protocol == protocol)
        {
            ports.push(Port { target, host: None, published: 0, protocol });
        }
    }
    ports.sort_by_key(|port| (port.target, port.protocol, port.host));
    ports
}

/// Docker's record of a port.
fn publisher(port: &Port) -> Value {
    Value::Record(vec![
        ("URL", port.host.map(|host| host.to_string()).unwrap_or_default().into()),
        ("TargetPort", Value::Int(i64::from(port.target))),
        ("PublishedPort", Value::Int(i64::from(port.published))),
        ("Protocol", port.protocol.into()),
    ])
}

/// Ports in a line: those published under their own number and those not published in ranges, the others
/// behind them.
fn displayed(ports: &mut [Port]) -> String {
    ports.sort_by_key(|port| (port.target, port.host, port.published, port.protocol));
    let mut open: Vec<(Option<IpAddr>, &str, u16, u16)> = Vec::new();
    let (mut shown, mut mapped) = (Vec::new(), Vec::new());
    for port in ports {
        if let Some(host) = port.host.filter(|_| port.published != port.target) {
            mapped.push(format!(
                "{}->{}/{}",
                address(host, &port.published.to_string()),
                port.target,
                port.protocol
            ));
            continue;
        }
        match open.iter_mut().find(|(host, protocol, ..)| (*host, *protocol) == (port.host, port.protocol)) {
            None => open.push((port.host, port.protocol, port.target, port.target)),
            Some(range) if range.3.checked_add(1) == Some(port.target) => range.3 = port.target,
            Some(range) => {
                shown.push(range_shown(*range));
                (range.2, range.3) = (port.target, port.target);
            }
        }
    }
    shown.extend(open.into_iter().map(range_shown));
    shown.extend(mapped);
    shown.join(", ")
}

fn range_shown((host, protocol, first, last): (Option<IpAddr>, &str, u16, u16)) -> String {
    let range = if first == last { first.to_string() } else { format!("{first}-{last}") };
    match host {
        Some(host) => format!("{}->{range}/{protocol}", address(host, &range)),
        None => format!("{range}/{protocol}"),
    }
}

fn address(host: IpAddr, port: &str) -> String {
    match host {
        IpAddr::V4(host) => format!("{host}:{port}"),
        IpAddr::V6(host) => format!("[{host}]:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::super::summary::sample, *};
    use mesh_api::status::{MountStatus, PortStatus};

    #[test]
    fn states_are_told_in_docker_s_words() {
        let check = |change: &dyn Fn(&mut ContainerStatus), want: &str| {
            let mut container = sample("db", State::Running);
            change(&mut container);
            assert_eq!(status(&container, 61_000), want);
        };
        check(&|_| {}, "Up About a minute (healthy)");
        check(&|c| c.health = Some(Health::Starting), "Up About a minute (health: starting)");
        check(&|c| c.health = None, "Up About a minute");
        check(&|c| c.state = State::Paused, "Up About a minute (Paused)");
        check(
            &|c| (c.state, c.detail) = (State::Waiting, Some("waiting for db".to_owned())),
            "Waiting for db",
        );
        check(&|c| c.state = State::Starting, "Starting");
        check(
            &|c| {
                (c.health, c.lost_ports) =
                    (None, vec!["port 127.0.0.1:80/tcp is taken by x (process 7)".to_owned()])
            },
            "Up About a minute (port 127.0.0.1:80/tcp is taken by x (process 7))",
        );
        check(
            &|c| {
                (c.state, c.detail) =
                    (State::Dead, Some("could not execute /x: no such\nand more".to_owned()))
            },
            "Dead (could not execute /x: no such…)",
        );
        check(
            &|c| (c.state, c.exit_code, c.finished_unix_ms) = (State::Exited, Some(2), Some(59_000)),
            "Exited (2) 2 seconds ago",
        );
        check(
            &|c| (c.state, c.exit_code, c.out_of_memory) = (State::Exited, Some(137), true),
            "Exited (137) Less than a second ago (out of memory)",
        );
    }

    #[test]
    fn ports_are_shown_in_ranges() {
        let mut container = sample("web", State::Running);
        let port =
            |host: &str, target: u16, protocol| PortStatus { host: host.parse().unwrap(), target, protocol };
        container.ports = vec![
            port("0.0.0.0:18080", 80, Protocol::Tcp),
            port("[::]:18080", 80, Protocol::Tcp),
            port("0.0.0.0:9000", 9000, Protocol::Udp),
            port("0.0.0.0:9001", 9001, Protocol::Udp),
            port("127.0.0.1:7001", 81, Protocol::Tcp),
        ];
        container.exposed = vec!["99/tcp".to_owned(), "9000/udp".to_owned(), "100/tcp".to_owned()];
        let want = "99-100/tcp, 0.0.0.0:9000-9001->9000-9001/udp, 0.0.0.0:18080->80/tcp, [::]:18080->80/tcp, \
                    127.0.0.1:7001->81/tcp";
        let row = subject(&container, 0, false);
        assert_eq!(row.fields["Ports"], want.into());
        container.state = State::Exited;
        assert_eq!(subject(&container, 0, false).fields["Publishers"], Value::List(Vec::new()));
    }

    #[test]
    fn documents_are_docker_s() {
        let mut container = sample("db", State::Running);
        container.labels.insert("a".to_owned(), "<b>".to_owned());
        container.mounts = [("hub_data_of_a_database", true), ("/srv", false)]
            .map(|(name, volume)| MountStatus { name: name.to_owned(), volume })
            .into();
        container.networks = vec!["hub_default".to_owned()];
        let want = "{\"Command\":\"\\\"postgres\\\"\",\"CreatedAt\":\"1970-01-01 00:00:00 +0000 UTC\",\"ExitCode\":0,\
            \"Health\":\"healthy\",\"ID\":\"0123456789ab\",\"Image\":\"postgres:16.4\",\"Labels\":\"a=\\u003cb\\u003e\",\
            \"LocalVolumes\":\"1\",\"Mounts\":\"hub_data_of_a_…,/srv\",\"Name\":\"hub-db-1\",\"Names\":\"hub-db-1\",\
            \"Networks\":\"hub_default\",\"Ports\":\"0.0.0.0:5432-\\u003e5432/tcp\",\"Project\":\"hub\",\"Publishers\":\
            [{\"URL\":\"0.0.0.0\",\"TargetPort\":5432,\"PublishedPort\":5432,\"Protocol\":\"tcp\"}],\
            \"RunningFor\":\"5 seconds ago\",\"Service\":\"db\",\"Size\":\"0B\",\"Source\":\"debian 15.18 for 16.4\",\
            \"State\":\"running\",\"Status\":\"Up 4 seconds (healthy)\"}";
        let document = Value::Subject(std::rc::Rc::new(subject(&container, 5_000, false)));
        assert_eq!(document.json(), want);
    }
}
