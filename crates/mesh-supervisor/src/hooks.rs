//! Hooks: what a service has run in its containers after their start and before their stop.
//!
//! They run one after the other; the first that fails ends the row. Each has a longest time, and what it
//! prints is bounded.

use mesh_model::{container::ContainerId, hook::Hook};
use mesh_runtime::{
    SharedRuntime,
    error::RuntimeError,
    exec::{ExecRequest, Executed},
};
use std::time::Duration;

/// Longest time of one hook.
pub(crate) const HOOK_MAX: Duration = Duration::from_secs(600);
/// Lines of a hook's output that are told.
const SAID_LINES_MAX: usize = 10;

/// How a row of hooks ended.
#[derive(Debug)]
pub(crate) struct Row {
    /// Well, or with a reason in words.
    pub(crate) result: Result<(), String>,
    /// The last lines that its hooks printed.
    pub(crate) said: Vec<String>,
}

/// Runs the hooks of one container of `service`.
pub(crate) async fn run(runtime: &SharedRuntime, id: &ContainerId, service: &str, hooks: &[Hook]) -> Row {
    let mut said = Vec::new();
    for hook in hooks {
        let request = ExecRequest {
            command: hook.command.clone(),
            environment: hook.environment.clone(),
            user: hook.user.clone(),
            working_dir: hook.working_dir.clone(),
            tty: false,
            privileged: hook.privileged,
            detach: false,
        };
        let reason = match runtime.execute(id, &request, HOOK_MAX).await {
            Ok(Executed { code: Some(0), stdout, stderr }) => {
                said.extend(last_lines(&stdout).chain(last_lines(&stderr)).map(str::to_owned));
                continue;
            }
            Ok(ended) => failed(service, &ended),
            // It ended by itself meanwhile: whoever follows it is told that.
            Err(RuntimeError::NotRunning | RuntimeError::Missing { .. }) => {
                return Row { result: Ok(()), said };
            }
            Err(error) => format!("{service} hook could not be run: {}", crate::words::chain(&error)),
        };
        return Row { result: Err(reason), said };
    }
    Row { result: Ok(()), said }
}

/// Why a hook failed. What it wrote to standard error says more than its output, where there is any.
fn failed(service: &str, ended: &Executed) -> String {
    let how = match ended.code {
        Some(code) => format!("{service} hook exited with status {code}"),
        None => format!("{service} hook did not end within {} s", HOOK_MAX.as_secs()),
    };
    let lines: Vec<&str> = match ended.stderr.trim() {
        "" => last_lines(&ended.stdout).collect(),
        _ => last_lines(&ended.stderr).collect(),
    };
    if lines.is_empty() { how } else { format!("{how}: {}", lines.join("\n")) }
}

fn last_lines(text: &str) -> impl Iterator<Item = &str> {
    let lines: Vec<&str> = text.trim().lines().collect();
    let first = lines.len().saturating_sub(SAID_LINES_MAX);
    lines.into_iter().skip(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_prefer_standard_error() {
        for (code, stdout, stderr, want) in [
            (Some(3), "", "", "web hook exited with status 3"),
            (Some(3), "out\n", "", "web hook exited with status 3: out"),
            (Some(127), "out", "no such file\n", "web hook exited with status 127: no such file"),
            (None, "", "", "web hook did not end within 600 s"),
        ] {
            let ended = Executed { code, stdout: stdout.into(), stderr: stderr.into() };
            assert_eq!(failed("web", &ended), want);
        }
    }
}
