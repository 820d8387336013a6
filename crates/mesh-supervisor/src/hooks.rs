//! Hooks: what a service has run in its containers after their start and before their stop.
//!
//! They run one after the other; the first that fails ends the row. Each has a longest time, and of what it
//! printed the end is kept.

use crate::{
    owner::Input,
    programs::Crier,
    said::{Said, Speaker},
};
use mesh_model::{container::ContainerId, hook::Hook};
use mesh_runtime::{
    SharedRuntime,
    error::RuntimeError,
    exec::{ExecRequest, Executed},
};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// Longest time of one hook.
pub(crate) const HOOK_MAX: Duration = Duration::from_secs(600);
/// Lines of each stream of a hook that are told with its failure.
const TOLD_LINES_MAX: usize = 10;

/// Most lines that wait to be told.
const LINES_MAX: usize = 4096;

/// A row of hooks that is to run.
#[derive(Debug)]
pub(crate) struct Row {
    /// The container that they run in.
    pub(crate) id: ContainerId,
    /// Its service.
    pub(crate) service: String,
    /// Which turn of the container's life it is: `post_start`, `pre_stop`.
    pub(crate) turn: &'static str,
    /// The hooks.
    pub(crate) hooks: Vec<Hook>,
}

/// Runs the hooks of a container; what they print goes to `speaker` as it comes. Gives the reason why one failed, in
/// words.
pub(crate) async fn run(
    runtime: &SharedRuntime,
    row: &Row,
    speaker: &Speaker,
    inbox: &mpsc::Sender<Input>,
) -> Result<(), String> {
    for (number, hook) in row.hooks.iter().enumerate() {
        let request = ExecRequest {
            command: hook.command.clone(),
            environment: hook.environment.clone(),
            user: hook.user.clone(),
            working_dir: hook.working_dir.clone(),
            tty: false,
            privileged: hook.privileged,
            detach: false,
        };
        let (sender, mut lines) = mpsc::channel(LINES_MAX);
        let telling = async {
            while let Some(line) = lines.recv().await {
                // An error means that nobody listens.
                let _ = speaker.send(Arc::new(Said { id: row.id.clone(), line }));
            }
        };
        let crier = Crier::of(inbox, &row.id, &request.command);
        crier.started().await;
        let (ended, ()) = tokio::join!(runtime.execute(&row.id, &request, HOOK_MAX, sender), telling);
        if let Ok(Executed { code: Some(code), .. }) = &ended {
            crier.ended(*code).await;
        }
        let what = match ended {
            Ok(Executed { code: Some(0), .. }) => continue,
            Ok(ended) => failed(&row.service, &ended),
            // It ended by itself meanwhile: whoever follows it is told that.
            Err(RuntimeError::NotRunning | RuntimeError::Missing { .. }) => return Ok(()),
            Err(error) => format!("{} hook could not be run: {}", row.service, crate::words::chain(&error)),
        };
        let place = hook.place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
        return Err(format!("{}[{number}]{place}: {what}", row.turn));
    }
    Ok(())
}

/// Why a hook failed, with the last that it printed.
fn failed(service: &str, ended: &Executed) -> String {
    let how = match ended.code {
        Some(code) => format!("{service} hook exited with status {code}"),
        None => format!("{service} hook did not end within {} s", HOOK_MAX.as_secs()),
    };
    let lines: Vec<&str> = last_lines(&ended.stdout).chain(last_lines(&ended.stderr)).collect();
    if lines.is_empty() { how } else { format!("{how}: {}", lines.join(" | ")) }
}

/// The last lines of what a program printed.
pub(crate) fn last_lines(text: &str) -> impl Iterator<Item = &str> {
    let lines: Vec<&str> = text.trim().lines().collect();
    let first = lines.len().saturating_sub(TOLD_LINES_MAX);
    lines.into_iter().skip(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_tell_both_streams() {
        for (code, stdout, stderr, want) in [
            (Some(3), "", "", "web hook exited with status 3"),
            (Some(3), "out\n", "", "web hook exited with status 3: out"),
            (Some(127), "out", "no such file\n", "web hook exited with status 127: out | no such file"),
            (None, "", "", "web hook did not end within 600 s"),
        ] {
            let ended = Executed { code, stdout: stdout.into(), stderr: stderr.into() };
            assert_eq!(failed("web", &ended), want);
        }
    }
}
