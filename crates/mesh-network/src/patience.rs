//! Waiting for what a process that is just ending still holds.
//!
//! A supervisor that was killed gives its lock back before its devices and sockets; its successor may
//! be quicker than the kernel.

use std::{
    future::Future,
    io::{self, ErrorKind},
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// How long a predecessor may take to end.
const PREDECESSOR_DEADLINE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(10);

/// Tries until it works, fails for another reason than being held, or the deadline passes.
pub(crate) async fn patiently<T, F: Future<Output = io::Result<T>>>(
    attempt: impl Fn() -> F,
) -> io::Result<T> {
    let deadline = Instant::now() + PREDECESSOR_DEADLINE;
    loop {
        match attempt().await {
            Err(error) if is_held(&error) && Instant::now() < deadline => sleep(PAUSE).await,
            other => return other,
        }
    }
}

fn is_held(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ResourceBusy | ErrorKind::AddrInUse)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[tokio::test]
    async fn what_is_held_is_tried_again() {
        let attempts = Cell::new(0);
        let attempt = || {
            attempts.set(attempts.get() + 1);
            std::future::ready(match attempts.get() {
                1 => Err(ErrorKind::ResourceBusy.into()),
                2 => Err(ErrorKind::AddrInUse.into()),
                3 => Err::<(), _>(ErrorKind::NotFound.into()),
                _ => Ok(()),
            })
        };
        let result: io::Result<()> = patiently(attempt).await;
        assert_eq!(result.map_err(|error| error.kind()), Err(ErrorKind::NotFound));
    }
}
