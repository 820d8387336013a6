//! What becomes of a restore that does not come to its end: the volumes that it put aside take their places again.
//!
//! The command itself does that where it fails or a signal ends it. Where it was killed, the next command that asks the
//! supervisor for anything does it before.

use crate::{console, context::Target, failure::CliError, supervisor::Client};
use mesh_api::{message::Message, request::Request};
use mesh_store::aside::{Aside, Stage};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};
use tokio::time::sleep;

/// Attempts to start what ran: a copy of a container's files that was just killed may still be in its way.
const STARTS_MAX: u32 = 20;
/// Time between two of them.
const START_PAUSE: Duration = Duration::from_millis(250);

/// Stops what runs on the new volumes, puts the old ones back, and starts what ran before.
pub(crate) async fn put_back(client: &Client, aside: Aside) -> Result<(), CliError> {
    let mut ignore = |_: Message| {};
    let services = aside.services().to_vec();
    let stop = Request::Stop { services: Vec::new(), timeout_seconds: None };
    client.call(stop, &mut ignore, None).await?;
    remove_staying(&aside.put_back()?);
    console::err_line("note: the restore was not finished; the data is what it was before");
    if services.is_empty() {
        return Ok(());
    }
    let start = || Request::Start { services: services.clone(), wait: false, wait_timeout_ms: None };
    let mut attempt = 1;
    while let Err(error) = client.call(start(), &mut ignore, None).await {
        if attempt == STARTS_MAX {
            console::err_line(&format!("warning: not all of what ran before runs again: {error}"));
            break;
        }
        attempt += 1;
        sleep(START_PAUSE).await;
    }
    Ok(())
}

/// Finishes what a killed restore left: back to the old volumes, or, where the new ones count, their old ones removed.
pub(crate) async fn finish(target: &Target, client: &Client) -> Result<(), CliError> {
    match Aside::left(&target.paths.aside)? {
        None => Ok(()),
        Some(aside) if aside.stage() == Stage::Kept => {
            remove_staying(&aside.keep()?);
            Ok(())
        }
        Some(aside) => put_back(client, aside).await,
    }
}

/// Finishes what a killed restore left, before anybody looks at the volumes or takes what is not in them for lost.
/// Refused while one is at work.
pub(crate) async fn settle(target: &Target) -> Result<(), CliError> {
    if target.rehearsal || !target.paths.aside.exists() {
        return Ok(());
    }
    drop(target.supervise().await?);
    if target.paths.aside.exists() {
        return Err(CliError::said(format!("a restore of project {} is at work", target.name))
            .with_hint("wait for its end; nothing was changed"));
    }
    Ok(())
}

/// Removes what an ordinary user's rights did not suffice for, with those of a user namespace, and tells what stays.
pub(crate) fn remove_staying(paths: &[PathBuf]) {
    let volumes: BTreeSet<&Path> = paths.iter().filter_map(|path| path.parent()).collect();
    if !volumes.is_empty() && !rustix::process::geteuid().is_root() {
        // A namespace is entered by a process that has one thread. What it could not do is seen by what is there.
        let mut remover = Command::new("/proc/self/exe");
        remover.args(["supervisor", "--remove"]).args(volumes);
        remover.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let _ = remover.status();
    }
    for path in paths.iter().filter(|path| path.symlink_metadata().is_ok()) {
        console::err_line(&format!(
            "warning: {} is of no use any more, and not all of it could be removed",
            path.display()
        ));
    }
}
