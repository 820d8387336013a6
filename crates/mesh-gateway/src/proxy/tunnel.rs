//! Connections that go on with something else than HTTP: web sockets and the like.

use crate::upstream::Switched;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional_with_sizes;
use tokio_util::sync::CancellationToken;

/// Bytes that wait on their way, in each direction.
const BUFFER_BYTES: usize = 16 << 10;

/// Hands bytes on between both until one side ends, or the gateway does.
pub(super) async fn join(client: OnUpgrade, mut server: Switched, stop: CancellationToken) {
    let both = async {
        let mut client = TokioIo::new(client.await?);
        let copied = copy_bidirectional_with_sizes(&mut client, &mut server, BUFFER_BYTES, BUFFER_BYTES);
        // Whichever side breaks off, the other's end is what it is told.
        let _ = copied.await;
        Ok::<(), hyper::Error>(())
    };
    tokio::select! {
        joined = both => if let Err(error) = joined {
            tracing::debug!(%error, "a connection did not go on with what was agreed");
        },
        () = stop.cancelled() => {}
    }
}
