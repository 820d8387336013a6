//! Waiting for more of what a client says first, without taking it.
//!
//! What was looked at stays where it is, so a socket is ready all the while: between two looks there is nothing to wait
//! for but time, and the waits grow.

use std::time::Duration;
use tokio::{
    io::Interest,
    net::TcpStream,
    time::{Instant, sleep_until},
};

/// The first wait, and the longest.
const WAIT_FIRST: Duration = Duration::from_millis(2);
const WAIT_MAX: Duration = Duration::from_millis(100);

/// What was seen so far.
#[derive(Debug)]
pub(super) struct Looked {
    bytes: usize,
    wait: Duration,
    /// Whether the client had said its last when it was looked at.
    ended: bool,
    deadline: Instant,
}

impl Looked {
    pub(super) fn new(patience: Duration) -> Self {
        Self { bytes: 0, wait: WAIT_FIRST, ended: false, deadline: Instant::now() + patience }
    }

    /// Waits until it is worth another look; `bytes` are there so far. None comes if this is false.
    pub(super) async fn more(&mut self, stream: &TcpStream, bytes: usize) -> bool {
        if bytes > self.bytes {
            self.wait = WAIT_FIRST;
        } else if bytes == 0 || self.ended {
            return false;
        }
        self.bytes = bytes;
        let now = Instant::now();
        if now >= self.deadline {
            return false;
        }
        sleep_until(self.deadline.min(now + self.wait)).await;
        self.wait = (self.wait * 2).min(WAIT_MAX);
        // Asked before the next look: what came before the end is seen by it.
        self.ended = stream.ready(Interest::READABLE).await.is_ok_and(|ready| ready.is_read_closed());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{io::AsyncWriteExt as _, net::TcpListener};

    #[tokio::test]
    async fn whoever_left_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let mut client =
            TcpStream::connect(listener.local_addr().expect("an address")).await.expect("connected");
        let (server, _) = listener.accept().await.expect("accepted");
        client.write_all(b"PRO").await.expect("written");
        let mut looked = Looked::new(Duration::from_secs(60));
        let (mut room, mut looks) = ([0; 16], 0);
        let begin = Instant::now();
        loop {
            let bytes = server.peek(&mut room).await.expect("bytes");
            looks += 1;
            if looks == 5 {
                client.shutdown().await.expect("ended");
            }
            if !looked.more(&server, bytes).await {
                break;
            }
        }
        assert!((5..12).contains(&looks), "{looks}");
        assert!(begin.elapsed() < Duration::from_secs(10));
        let mut late = Looked::new(Duration::ZERO);
        assert!(!late.more(&server, 1).await);
    }

    #[tokio::test]
    async fn looks_grow_rare() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let mut client =
            TcpStream::connect(listener.local_addr().expect("an address")).await.expect("connected");
        let (server, _) = listener.accept().await.expect("accepted");
        client.write_all(b"PRO").await.expect("written");
        server.readable().await.expect("bytes");
        let mut looked = Looked::new(Duration::from_millis(500));
        let mut looks = 0;
        while looked.more(&server, 3).await {
            looks += 1;
        }
        assert!((3..16).contains(&looks), "{looks}");
    }
}
