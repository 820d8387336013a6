//! Copying between two sockets.

use nix::sys::socket::{setsockopt, sockopt};
use std::{io, time::Duration};
use tokio::{
    io::copy_bidirectional_with_sizes,
    net::{TcpStream, UdpSocket},
    sync::mpsc,
    time::timeout,
};

/// Buffer of one direction of a connection, in bytes.
const BUFFER_BYTES: usize = 64 * 1024;
/// Datagrams that wait for a flow's socket.
pub(crate) const FLOW_QUEUE_MAX: usize = 64;
/// A flow of datagrams that is silent for so long is forgotten.
pub(crate) const FLOW_IDLE: Duration = Duration::from_secs(60);
/// Largest datagram, in bytes.
pub(crate) const DATAGRAM_BYTES_MAX: usize = 65_507;
/// After a failure to accept (no descriptor left), the next attempt waits for so long.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Copies both ways until both have ended; the end of one direction is passed on at once, the other
/// goes on. A silent connection is kept as long as its peers answer the kernel's probes.
pub(crate) async fn join(mut a: TcpStream, mut b: TcpStream) -> io::Result<()> {
    for stream in [&a, &b] {
        stream.set_nodelay(true)?;
        setsockopt(stream, sockopt::KeepAlive, &true)?;
    }
    copy_bidirectional_with_sizes(&mut a, &mut b, BUFFER_BYTES, BUFFER_BYTES).await?;
    Ok(())
}

/// Sends what comes on `inbox` from `socket`, which is connected, and gives what it receives to
/// `reply`, until both are silent for [`FLOW_IDLE`] or the peer refuses.
pub(crate) async fn flow(mut inbox: mpsc::Receiver<Vec<u8>>, socket: UdpSocket, reply: impl Fn(&[u8])) {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let step = async {
            tokio::select! {
                datagram = inbox.recv() => match datagram {
                    Some(datagram) => socket.send(&datagram).await.map(|_| ()),
                    None => Err(io::ErrorKind::BrokenPipe.into()),
                },
                length = socket.recv(&mut buffer) => length.map(|length| reply(&buffer[..length])),
            }
        };
        match timeout(FLOW_IDLE, step).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}
