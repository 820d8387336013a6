//! Programs that the supervisor itself runs in a container, to their end: hooks.

use crate::{
    conversion,
    ground::{Ground, blocking},
    lifecycle, probe,
    program::{Program, Stream},
};
use mesh_model::container::ContainerId;
use mesh_runtime::{
    error::RuntimeError,
    exec::{EXECUTED_OUTPUT_BYTES_MAX, ExecRequest, Executed},
};
use std::{sync::Arc, time::Duration};

/// Exit code of a shim whose program took longer than it may.
const TIMED_OUT_CODE: i32 = 124;
/// Time a shim has for ending a program that took too long.
const SHIM_GRACE: Duration = Duration::from_secs(2);

/// Runs a program to its end, at most so long.
pub(crate) async fn execute(
    ground: &Arc<Ground>,
    id: &ContainerId,
    request: &ExecRequest,
    longest: Duration,
) -> Result<Executed, RuntimeError> {
    let program = {
        let (ground, id, request) = (Arc::clone(ground), id.clone(), request.clone());
        blocking("run a program in a container", move || {
            let running = lifecycle::running(&ground, &id)?;
            let place = probe::place(&ground, &running)?;
            let mut specification = conversion::exec(&running.spec, place, &request)?;
            specification.timeout_ms = Some(u64::try_from(longest.as_millis()).unwrap_or(u64::MAX).max(1));
            Program::start(&ground.settings.binary, &specification)
        })
        .await?
    };
    let (mut stdout, mut stderr) = (Tail::default(), Tail::default());
    let code = program
        .attend(longest + SHIM_GRACE, &mut |stream, bytes| match stream {
            Stream::Out => stdout.take(bytes),
            Stream::Error => stderr.take(bytes),
        })
        .await?;
    let code = code.filter(|code| *code != TIMED_OUT_CODE);
    Ok(Executed { code, stdout: stdout.text(), stderr: stderr.text() })
}

/// The end of what was written.
#[derive(Debug, Default)]
struct Tail(Vec<u8>);

impl Tail {
    fn take(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(&bytes[bytes.len().saturating_sub(EXECUTED_OUTPUT_BYTES_MAX)..]);
        let surplus = self.0.len().saturating_sub(EXECUTED_OUTPUT_BYTES_MAX);
        self.0.drain(..surplus);
    }

    /// As text, in which bytes that are none are left out.
    fn text(self) -> String {
        String::from_utf8_lossy(&self.0).replace(char::REPLACEMENT_CHARACTER, "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept() {
        let mut tail = Tail::default();
        for _ in 0..3 {
            tail.take(&[b'a'; EXECUTED_OUTPUT_BYTES_MAX]);
        }
        tail.take(b"\xFFend");
        let text = tail.text();
        assert!(text.len() <= EXECUTED_OUTPUT_BYTES_MAX && text.starts_with('a') && text.ends_with("aend"));
    }
}
