//! Datagrams through a gateway: sessions, their ends, and their bounds.

use super::*;
use crate::config::{duration::Span, statics::UdpSessions};
use std::collections::BTreeSet;
use tokio::net::UdpSocket;

/// A server that says its name and gives back what it gets, as often as a datagram's first byte says.
async fn echo(name: &'static str) -> Server {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let address = socket.local_addr().expect("an address");
    let task = tokio::spawn(async move {
        let mut datagram = vec![0; 65_535];
        while let Ok((size, client)) = socket.recv_from(&mut datagram).await {
            let times = datagram.first().copied().unwrap_or_default().saturating_sub(b'0');
            for _ in 0..times {
                let answer = [name.as_bytes(), &datagram[..size]].concat();
                // A client may have left.
                let _ = socket.send_to(&answer, client).await;
            }
        }
    });
    Server { address, task }
}

async fn client(gateway: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    socket.connect(gateway).await.expect("an address");
    socket
}

/// Asks until there is an answer: datagrams may be lost on their way.
async fn asked(client: &UdpSocket, said: &str) -> String {
    let mut datagram = vec![0; 65_535];
    let asking = async {
        loop {
            client.send(said.as_bytes()).await.expect("sent");
            let answer = tokio::time::timeout(Duration::from_secs(1), client.recv(&mut datagram)).await;
            if let Ok(Ok(size)) = answer {
                break String::from_utf8_lossy(&datagram[..size]).into_owned();
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("an answer in time")
}

async fn gateway(servers: &[&Server], silence: i64) -> Running {
    let servers: Vec<_> = servers.iter().map(|server| format!("{{address: '{}'}}", server.address)).collect();
    let dynamic = format!(
        "udp:\n  routers: {{all: {{entryPoints: [dns], service: s}}}}\n  services: {{s: {{loadBalancer: {{servers: [{}]}}}}}}\n",
        servers.join(", ")
    );
    running_as(&dynamic, |statics| {
        let entry = EntryPoint {
            address: "127.0.0.1:0/udp".to_owned(),
            udp: UdpSessions { timeout: Span::milliseconds(silence) },
            ..EntryPoint::default()
        };
        statics.entry_points.insert("dns".to_owned(), entry);
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_stays_with_its_server_while_it_speaks() {
    let (one, two) = (echo("one").await, echo("two").await);
    let running = gateway(&[&one, &two], 60_000).await;
    let mut found = BTreeSet::new();
    for _ in 0..4 {
        let client = client(running.at("dns")).await;
        let first = asked(&client, "1hello").await;
        for said in ["1again", "1and again"] {
            let answer = asked(&client, said).await;
            assert_eq!(answer.get(..3), first.get(..3), "{answer}");
        }
        found.insert(first);
    }
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["one1hello", "two1hello"]);
    let large = format!("1{}", "x".repeat(60_000));
    let client = client(running.at("dns")).await;
    assert_eq!(asked(&client, &large).await.len(), 60_004, "a large datagram stays whole");
    // Several answers to one question come all.
    client.send(b"3more").await.expect("sent");
    let mut datagram = [0; 100];
    for _ in 0..3 {
        let size = tokio::time::timeout(PATIENCE, client.recv(&mut datagram)).await.expect("in time");
        assert!(String::from_utf8_lossy(&datagram[..size.expect("an answer")]).ends_with("3more"));
    }
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_client_is_forgotten_and_a_new_configuration_is_for_new_sessions() {
    let (one, two) = (echo("one").await, echo("two").await);
    let running = gateway(&[&one], 50).await;
    let client = client(running.at("dns")).await;
    assert_eq!(asked(&client, "1").await, "one1");
    write(
        running.folder.path(),
        &format!(
            "udp:\n  routers: {{all: {{entryPoints: [dns], service: s}}}}\n  services: {{s: {{loadBalancer: {{servers: [{{address: '{}'}}]}}}}}}\n",
            two.address
        ),
    );
    let changed = async {
        while asked(&client, "1").await != "two1" {
            // Its silence ends its session, and the next one is by the new configuration.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, changed).await.expect("the new server in time");
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_bounded_and_end() {
    let server = echo("one").await;
    let running = gateway(&[&server], 60_000).await;
    // Nobody falls silent, or everybody does soon.
    for (silence, ends) in [(60_000, false), (300, true)] {
        let options = EntryPoint {
            address: "127.0.0.1:0/udp".to_owned(),
            udp: UdpSessions { timeout: Span::milliseconds(silence) },
            ..EntryPoint::default()
        };
        let site = running.gateway.site();
        let entry =
            super::super::UdpEntry::bind("dns", &options, site).await.expect("listens").with_sessions(2);
        let address = entry.address().expect("an address");
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let task = tokio::spawn(entry.serve(stopped));
        let held = [client(address).await, client(address).await];
        for one in &held {
            assert_eq!(asked(one, "1").await, "one1");
        }
        let third = client(address).await;
        if ends {
            assert_eq!(asked(&third, "1").await, "one1");
        } else {
            third.send(b"1").await.expect("sent");
            for one in &held {
                assert_eq!(asked(one, "1").await, "one1");
            }
            // What came before theirs was taken before theirs.
            assert!(third.try_recv(&mut [0; 10]).is_err());
        }
        stop.send(true).expect("it listens");
        tokio::time::timeout(PATIENCE, task).await.expect("an end in time").expect("no fault");
    }
    running.gateway.stop().await;
}

/// A machine with two addresses: whoever asks one of them takes no answer of the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_come_from_the_address_that_was_asked() {
    let server = echo("one").await;
    let running = gateway(&[&server], 60_000).await;
    for listens in ["0.0.0.0:0/udp", ":0/udp", "127.0.0.2:0/udp"] {
        let options = EntryPoint {
            address: listens.to_owned(),
            udp: UdpSessions { timeout: Span::milliseconds(60_000) },
            ..EntryPoint::default()
        };
        let entry = super::super::UdpEntry::bind("dns", &options, running.gateway.site()).await;
        let entry = entry.expect("listens").with_sessions(2);
        let port = entry.address().expect("an address").port();
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let task = tokio::spawn(entry.serve(stopped));
        // One client asks both: to each address it has a session of its own.
        let client = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let addresses = if listens.starts_with("127") { vec![2] } else { vec![2, 1] };
        for last in addresses {
            client.connect(("127.0.0.".to_owned() + &last.to_string(), port)).await.expect("an address");
            assert_eq!(asked(&client, "1hello").await, "one1hello", "{listens}, 127.0.0.{last}");
        }
        stop.send(true).expect("it listens");
        tokio::time::timeout(PATIENCE, task).await.expect("an end in time").expect("no fault");
    }
    running.gateway.stop().await;
}
