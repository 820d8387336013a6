//! `develop.watch`: as files of this machine change, they are copied into containers, containers are
//! restarted, commands run in them.
//!
//! One batch of changes is worked on after the other; what changes meanwhile makes the next one. A
//! change that could not be worked on is told, and watching goes on.

mod pattern;
mod rules;
mod tree;

use crate::{
    console,
    context::{Context, Target, containers},
    failure::CliError,
    files::{Copies, Files},
    invocation::command,
    supervisor::Client,
};
use mesh_api::{
    message::Message,
    options::{ExecOptions, FileOperation},
    request::Request,
    status::{ContainerStatus, State},
};
use mesh_archive::Packer;
use mesh_model::{develop::WatchAction, hook::Hook};
use rules::Rule;
pub(crate) use rules::any;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, ErrorKind},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
};
use tokio::task::spawn_blocking;
use tree::{Batch, Tree};

/// Paths of one batch from which on its size is told.
const LARGE_BATCH_PATHS: usize = 1000;

/// Watches files and does what the project says, until this is dropped or it cannot go on.
pub(crate) struct Watcher<'a> {
    context: &'a Context,
    client: &'a Client,
    rules: Arc<Vec<Rule>>,
    tree: Tree,
    /// Prints a line of ours.
    say: fn(&str),
}

impl<'a> Watcher<'a> {
    /// Begins to watch for some services (none: all).
    pub(crate) fn open(
        context: &'a Context,
        target: &Target,
        client: &'a Client,
        services: &[String],
        say: fn(&str),
    ) -> Result<Self, CliError> {
        let (rules, notes) = rules::rules(&*target.required_project()?, services)?;
        for note in notes {
            console::err_line(&format!("warning: {note}"));
        }
        let tree = Tree::open(&rules)?;
        Ok(Self { context, client, rules: Arc::new(rules), tree, say })
    }

    /// Copies what is to be there from the beginning, and then goes on.
    pub(crate) async fn run(&mut self) -> Result<(), CliError> {
        let mut first = Work::default();
        for (index, rule) in self.rules.iter().enumerate() {
            if rule.watch.initial_sync && rule.watch.action.copies() {
                first.copy(index, rule, &rule.watch.path);
            }
        }
        self.copy(&first).await?;
        (self.say)("Watch enabled");
        loop {
            let batch = self.tree.changes().await?;
            let work = self.work(&batch);
            if let Batch::Paths(paths) = &batch
                && paths.len() > LARGE_BATCH_PATHS
            {
                (self.say)(
                    "Large batch of file changes detected. If you just switched branches, this is expected.",
                );
            }
            if let Err(error) = self.perform(&work).await {
                let text = error.render(self.context.settings.error_colour);
                console::err_line(&format!("warning: a change of files could not be worked on\n{text}"));
            }
        }
    }

    /// What a batch asks for.
    fn work(&self, batch: &Batch) -> Work {
        let mut work = Work::default();
        for (index, rule) in self.rules.iter().enumerate() {
            match batch {
                Batch::Everything => work.add(index, rule, &rule.watch.path),
                Batch::Paths(paths) => {
                    for path in paths.iter().filter(|path| rule.concerns(path)) {
                        work.add(index, rule, path);
                    }
                }
            }
        }
        work
    }

    async fn perform(&self, work: &Work) -> Result<(), CliError> {
        if !work.rebuild.is_empty() {
            (self.say)(&format!(
                "service(s) {} changed and would be built again: building images is not available yet",
                quoted(&work.rebuild)
            ));
        }
        self.copy(work).await?;
        if !work.restart.is_empty() {
            let services = work.restart.iter().cloned().collect();
            let request = Request::Restart { services, timeout_seconds: None, no_deps: false };
            self.client.call(request, &mut |_| {}, None).await?;
            (self.say)(&format!("service(s) {} restarted", quoted(&work.restart)));
        }
        for index in &work.exec {
            if let Some(rule) = self.rules.get(*index)
                && let Some(hook) = &rule.watch.exec
            {
                self.execute(&rule.service, hook).await?;
            }
        }
        Ok(())
    }

    /// Copies files into the containers of their services, and removes there what is gone here.
    async fn copy(&self, work: &Work) -> Result<(), CliError> {
        for (service, files) in &work.copies {
            (self.say)(&format!("Syncing service \"{service}\" after {} changes were detected", files.len()));
            let names = self.running(service).await?.into_iter().map(|container| container.name).collect();
            let places = Files { client: self.client.clone(), containers: names };
            if !self.copy_into(&places, files).await? {
                return Err(CliError::said(format!("not all of it was copied into service \"{service}\"")));
            }
        }
        Ok(())
    }

    async fn copy_into(
        &self,
        places: &Files,
        files: &BTreeMap<PathBuf, (usize, PathBuf)>,
    ) -> Result<bool, CliError> {
        let (here, gone): (Vec<Change>, Vec<Change>) = files
            .iter()
            .map(|(target, (index, path))| (target.clone(), *index, path.clone()))
            .partition(|(_, _, path)| path.symlink_metadata().is_ok());
        let gone: Vec<String> = gone
            .into_iter()
            .filter(|(target, ..)| target.parent().is_some())
            .map(|(target, ..)| target.to_string_lossy().into_owned())
            .collect();
        let mut copies = Copies::default();
        for container in &places.containers {
            if !gone.is_empty() {
                places.remove(container, gone.clone()).await?;
            }
            if !here.is_empty() {
                let operation = FileOperation::In { directory: "/".to_owned(), archive: true };
                let mut command = places.command(container, operation).await?;
                // The keyboard's signals are not for it: half a copy is worse than a late end.
                command.process_group(0);
                copies.start(command)?;
            }
        }
        if here.is_empty() || places.containers.is_empty() {
            return Ok(true);
        }
        // Off the one thread that hears keys and signals meanwhile.
        let rules = Arc::clone(&self.rules);
        let copying = spawn_blocking(move || {
            let packed = pack(&rules, &here, &mut copies);
            (packed, copies.finish())
        });
        let (packed, all_well) =
            copying.await.map_err(|error| CliError::said(format!("the copying of files ended: {error}")))?;
        match (packed, all_well?) {
            (Err(error), true) => Err(CliError::io("read the files that changed")(error)),
            (_, all_well) => Ok(all_well),
        }
    }

    /// Runs a command in every container of a service.
    async fn execute(&self, service: &str, hook: &Hook) -> Result<(), CliError> {
        for container in self.running(service).await? {
            let options = ExecOptions {
                service: service.to_owned(),
                index: Some(container.index),
                command: hook.command.clone(),
                environment: hook.environment.clone(),
                user: hook.user.clone(),
                working_dir: hook.working_dir.clone(),
                privileged: hook.privileged,
                ..ExecOptions::default()
            };
            let mut ignore = |_: Message| {};
            let answer = self.client.call(Request::Exec(options), &mut ignore, None).await?;
            let mut command = tokio::process::Command::from(command(answer)?);
            let status = command
                .stdin(Stdio::null())
                .kill_on_drop(true)
                .status()
                .await
                .map_err(CliError::io("run a command in a container"))?;
            if !status.success() {
                return Err(CliError::said(format!("the command in {} failed ({status})", container.name)));
            }
        }
        Ok(())
    }

    async fn running(&self, service: &str) -> Result<Vec<ContainerStatus>, CliError> {
        let mut found = containers(self.client).await?;
        found.retain(|container| {
            container.service == service && !container.one_off && container.state == State::Running
        });
        Ok(found)
    }
}

/// A place in the container, the number of its rule, and the path here.
type Change = (PathBuf, usize, PathBuf);

fn pack(rules: &[Rule], files: &[Change], copies: &mut Copies) -> io::Result<()> {
    let mut packer = Packer::new(copies);
    for (target, index, path) in files {
        let Some(rule) = rules.get(*index) else { continue };
        let name = target.strip_prefix("/").unwrap_or(target);
        let mut wanted = |path: &Path| match path.is_dir() {
            true => !rule.leaves_out(path),
            false => rule.concerns(path),
        };
        match packer.add_where(path, name, &mut wanted) {
            // It went while we looked: the next batch says so.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            added => added?,
        }
    }
    packer.finish().map(drop)
}

/// What a batch of changes asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Work {
    /// By service: where in the container, the rule's number, and what is copied there.
    copies: BTreeMap<String, BTreeMap<PathBuf, (usize, PathBuf)>>,
    /// Services.
    restart: BTreeSet<String>,
    /// Services.
    rebuild: BTreeSet<String>,
    /// Numbers of rules.
    exec: BTreeSet<usize>,
}

impl Work {
    fn add(&mut self, index: usize, rule: &Rule, path: &Path) {
        self.copy(index, rule, path);
        let service = || rule.service.clone();
        match rule.watch.action {
            WatchAction::Sync => {}
            WatchAction::Restart | WatchAction::SyncRestart => _ = self.restart.insert(service()),
            WatchAction::Rebuild => _ = self.rebuild.insert(service()),
            WatchAction::SyncExec => _ = self.exec.insert(index),
        }
    }

    fn copy(&mut self, index: usize, rule: &Rule, path: &Path) {
        if let Some(target) = rule.target(path) {
            self.copies.entry(rule.service.clone()).or_default().insert(target, (index, path.to_owned()));
        }
    }
}

/// Names as Docker Compose lists them.
fn quoted(names: &BTreeSet<String>) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    format!("[{}]", names.join(" "))
}
