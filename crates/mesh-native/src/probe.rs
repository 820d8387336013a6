//! Health tests, and where further programs of a container run.

use crate::{
    conversion::{self, RunningPlace},
    fault,
    ground::{Ground, blocking},
    lifecycle, outside,
    phase::Running,
    program::{Ended, Program},
};
use mesh_model::{
    container::ContainerId,
    health::{HealthTest, Probe},
};
use mesh_runtime::{
    error::RuntimeError,
    exec::{ProbeOutcome, Verdict},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Exit code of a shim whose program took longer than it may.
const TIMED_OUT_CODE: i32 = 124;

/// Time a shim has for ending a test that took too long.
const SHIM_GRACE: Duration = Duration::from_secs(2);

/// Where a further program runs.
///
/// # Errors
/// A container that is frozen would keep it frozen as well.
pub(crate) fn place(ground: &Ground, running: &Running) -> Result<RunningPlace, RuntimeError> {
    if running.is_paused() {
        return Err(RuntimeError::Setup {
            step: "run a program in the container".to_owned(),
            reason: "it is paused".to_owned(),
        });
    }
    Ok(RunningPlace {
        pid: running.record.process.pid,
        cgroups: running.group.paths(),
        user_namespace: ground.entered.user_namespace,
    })
}

/// Runs a health test once.
pub(crate) async fn probe(ground: &Arc<Ground>, id: &ContainerId, probe: &Probe) -> ProbeOutcome {
    if let HealthTest::Outside(test) = &probe.test {
        return outside::probe(ground, id, test, probe.timeout).await;
    }
    let begun = Instant::now();
    let ran = run(ground, id, probe).await;
    let (verdict, output) = match ran {
        Ok(ended) => (verdict(ended.code), ended.output),
        Err(error) => (Verdict::NotRun, fault::chain(&error)),
    };
    ProbeOutcome { verdict, output, took: begun.elapsed() }
}

async fn run(ground: &Arc<Ground>, id: &ContainerId, probe: &Probe) -> Result<Ended, RuntimeError> {
    let program = {
        let (ground, id, probe) = (Arc::clone(ground), id.clone(), probe.clone());
        blocking("run a health test", move || {
            let running = lifecycle::running(&ground, &id)?;
            let place = place(&ground, &running)?;
            let specification = conversion::probe(&running.spec, place, &probe.test, probe.timeout)?;
            Program::start(&ground.settings.binary, &ground.settings.container(&id), specification)
        })
        .await?
    };
    // The shim kills the program in time; this is for a shim that cannot.
    program.end(probe.timeout + SHIM_GRACE).await
}

fn verdict(code: Option<i32>) -> Verdict {
    match code {
        Some(0) => Verdict::Passed,
        None | Some(TIMED_OUT_CODE) => Verdict::TimedOut,
        Some(code) => Verdict::Failed(code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_verdicts() {
        for (code, want) in [
            (Some(0), Verdict::Passed),
            (Some(3), Verdict::Failed(3)),
            (Some(124), Verdict::TimedOut),
            (None, Verdict::TimedOut),
        ] {
            assert_eq!(verdict(code), want);
        }
    }
}
