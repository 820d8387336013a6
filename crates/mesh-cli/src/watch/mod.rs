//! `develop.watch`: as files of this machine change, they are copied into containers, containers are
//! restarted, commands run in them.
//!
//! One batch of changes is worked on after the other; what changes meanwhile makes the next one. A
//! change that could not be worked on is told, and watching goes on.

mod initial;
mod pattern;
mod rules;
mod tree;

use crate::{
    console,
    context::{Context, Target, containers},
    failure::CliError,
    files::{self, Copies},
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
    collections::{BTreeMap, BTreeSet, HashMap},
    io::{self, ErrorKind},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};
use tokio::{task::spawn_blocking, time::sleep};
use tree::{Batch, Tree};

/// Paths of one batch from which on its size is told.
const LARGE_BATCH_PATHS: usize = 1000;

/// Time between two looks for containers that changes wait for.
const PENDING_LOOK: Duration = Duration::from_millis(500);

/// Watches files and does what the project says, until this is dropped or it cannot go on.
pub(crate) struct Watcher<'a> {
    tree: Tree,
    hands: Hands<'a>,
}

/// What carries out what changes ask for.
struct Hands<'a> {
    context: &'a Context,
    client: &'a Client,
    rules: Arc<Vec<Rule>>,
    /// Prints a line of ours.
    say: fn(&str),
    /// Files of services that have no container yet.
    pending: BTreeMap<String, Files>,
    /// Services of which it was told that they are not built again.
    told_of_rebuild: BTreeSet<String>,
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
        let (pending, told_of_rebuild) = (BTreeMap::new(), BTreeSet::new());
        let hands = Hands { context, client, rules: Arc::new(rules), say, pending, told_of_rebuild };
        Ok(Self { tree, hands })
    }

    /// Copies what differs and is to be there from the beginning, and then goes on.
    pub(crate) async fn run(self) -> Result<(), CliError> {
        let Self { mut tree, mut hands } = self;
        let first = hands.first_work().await?;
        hands.copy(&first.copies).await?;
        (hands.say)("Watch enabled");
        loop {
            let batch = {
                let changes = tree.changes();
                tokio::pin!(changes);
                loop {
                    tokio::select! {
                        batch = &mut changes => break batch?,
                        () = sleep(PENDING_LOOK), if !hands.pending.is_empty() => hands.look_for_pending().await,
                    }
                }
            };
            hands.work_on(&batch).await;
        }
    }
}

impl Hands<'_> {
    /// What differs below the rules that say so.
    async fn first_work(&self) -> Result<Work, CliError> {
        let mut work = Work::default();
        let wanted = |rule: &&Rule| rule.watch.initial_sync && rule.watch.action.copies();
        for (index, rule) in self.rules.iter().enumerate().filter(|(_, rule)| wanted(rule)) {
            for path in self.differing(rule).await? {
                work.copy(index, rule, &path);
            }
        }
        Ok(work)
    }

    /// The files of a rule that any container of its service has not, or has otherwise.
    async fn differing(&self, rule: &Rule) -> Result<BTreeSet<PathBuf>, CliError> {
        let mut differing = BTreeSet::new();
        let Some(target) = rule.target(&rule.watch.path) else { return Ok(differing) };
        let target = target.to_string_lossy().into_owned();
        let containers = self.containers(&rule.service).await?;
        let places = files::Files {
            client: self.client.clone(),
            containers: containers.into_iter().map(|container| container.name).collect(),
        };
        if places.containers.is_empty() {
            differing.extend(initial::differing(rule, &HashMap::new()));
        }
        for container in &places.containers {
            let there = places.list(container, &target).await?;
            differing.extend(initial::differing(rule, &there));
        }
        Ok(differing)
    }

    /// Does what a batch asks for. What could not be done is told.
    async fn work_on(&mut self, batch: &Batch) {
        let work = self.work(batch);
        if let Batch::Paths(paths) = batch
            && paths.len() > LARGE_BATCH_PATHS
        {
            (self.say)(
                "Large batch of file changes detected. If you just switched branches, this is expected.",
            );
        }
        let done = self.perform(&work).await;
        self.tell(done);
    }

    fn tell(&self, done: Result<(), CliError>) {
        if let Err(error) = done {
            let text = error.render(self.context.settings.error_colour);
            console::err_line(&format!("warning: a change of files could not be worked on\n{text}"));
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

    async fn perform(&mut self, work: &Work) -> Result<(), CliError> {
        let untold: BTreeSet<String> = work.rebuild.difference(&self.told_of_rebuild).cloned().collect();
        if !untold.is_empty() {
            (self.say)(&format!(
                "service(s) {} changed and would be built again: building images is not available yet",
                quoted(&untold)
            ));
            self.told_of_rebuild.extend(untold);
        }
        self.copy(&work.copies).await?;
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

    /// Copies files into the containers of their services, and removes there what is gone here. Where one
    /// does not run, its files are changed all the same, so that it has them once it does; where there is
    /// none yet, they wait.
    async fn copy(&mut self, copies: &BTreeMap<String, Files>) -> Result<(), CliError> {
        for (service, files) in copies {
            let containers = self.containers(service).await?;
            if containers.is_empty() {
                let waiting = self.pending.entry(service.clone()).or_default();
                if waiting.is_empty() {
                    let text = "has no container: what changes is synced once it has one";
                    (self.say)(&format!("Service \"{service}\" {text}"));
                }
                waiting.extend(files.clone());
                continue;
            }
            (self.say)(&format!("Syncing service \"{service}\" after {} changes were detected", files.len()));
            for container in containers.iter().filter(|container| !runs(container)) {
                let name = &container.name;
                (self.say)(&format!("Container {name} is down: it has the changes once it is up again"));
            }
            self.copy_into_all(service, containers, files).await?;
        }
        Ok(())
    }

    async fn copy_into_all(
        &self,
        service: &str,
        containers: Vec<ContainerStatus>,
        files: &Files,
    ) -> Result<(), CliError> {
        let names = containers.into_iter().map(|container| container.name).collect();
        let places = files::Files { client: self.client.clone(), containers: names };
        match self.copy_into(&places, files).await? {
            true => Ok(()),
            false => Err(CliError::said(format!("not all of it was copied into service \"{service}\""))),
        }
    }

    /// Copies what waited for containers that are there now.
    async fn look_for_pending(&mut self) {
        let done = self.copy_pending().await;
        self.tell(done);
    }

    async fn copy_pending(&mut self) -> Result<(), CliError> {
        let services: Vec<String> = self.pending.keys().cloned().collect();
        for service in services {
            if !self.containers(&service).await?.is_empty()
                && let Some(files) = self.pending.remove(&service)
            {
                self.copy(&BTreeMap::from([(service, files)])).await?;
            }
        }
        Ok(())
    }

    async fn copy_into(&self, places: &files::Files, files: &Files) -> Result<bool, CliError> {
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

    /// Runs a command in every container of a service that runs.
    async fn execute(&self, service: &str, hook: &Hook) -> Result<(), CliError> {
        for container in self.containers(service).await?.into_iter().filter(runs) {
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

    /// The containers that are kept as the files are.
    async fn containers(&self, service: &str) -> Result<Vec<ContainerStatus>, CliError> {
        let mut found = containers(self.client).await?;
        found.retain(|container| container.service == service && !container.one_off);
        Ok(found)
    }
}

fn runs(container: &ContainerStatus) -> bool {
    container.state == State::Running
}

/// By place in the container: the rule's number, and what is copied there.
type Files = BTreeMap<PathBuf, (usize, PathBuf)>;

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
    copies: BTreeMap<String, Files>,
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
