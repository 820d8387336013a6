//! What every verb has at hand: settings, environment, the user's directories, and the project meant.

use crate::{
    Hooks, console,
    environment::{self, Environment},
    failure::CliError,
    generated,
    keeper::{Draft, Kept},
    loading::{self, Outcome, Wanted},
    progress::Reporter,
    restoring,
    settings::{ProgressMode, Settings},
    supervisor::{self, Client},
    words,
};
use mesh_api::{
    message::{Answer, Message},
    request::Request,
    status::ContainerStatus,
};
use mesh_compose::{Loaded, Refusals, Stamp, generate::Keeper};
use mesh_model::project::Project;
use mesh_redact::Secret;
use mesh_store::{
    checkout,
    home::{Home, ProjectPaths},
    record,
    secrets::Secrets,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What every verb has at hand.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) environment: Environment,
    pub(crate) home: Home,
    pub(crate) hooks: Hooks,
}

/// The project a verb is about.
#[derive(Debug)]
pub(crate) struct Target {
    /// Its name.
    pub(crate) name: String,
    /// Its files on this machine.
    pub(crate) paths: ProjectPaths,
    /// What the Compose file says, or else what was last brought up; `None` if neither is there.
    pub(crate) project: Option<Box<Project>>,
    /// Nothing is to be done: no supervisor is started for it.
    pub(crate) rehearsal: bool,
    /// What keeps services of the file from being started.
    pub(crate) refusals: Refusals,
    /// What to do with orphans, by the environment and `.env`.
    pub(crate) orphans: OrphanDefaults,
    /// The environment with `.env`.
    pub(crate) environment: Secret<BTreeMap<String, String>>,
    /// Files whose content it follows from, or that they are not there, as they were before they were read.
    pub(crate) looked_at: BTreeMap<PathBuf, Stamp>,
}

/// `COMPOSE_REMOVE_ORPHANS` and `COMPOSE_IGNORE_ORPHANS`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OrphanDefaults {
    /// They are removed.
    pub(crate) remove: bool,
    /// They are not told.
    pub(crate) ignore: bool,
}

impl OrphanDefaults {
    fn of(variables: &BTreeMap<String, String>) -> Self {
        let says_yes = |name: &str| variables.get(name).is_some_and(|value| environment::says_yes(value));
        Self { remove: says_yes("COMPOSE_REMOVE_ORPHANS"), ignore: says_yes("COMPOSE_IGNORE_ORPHANS") }
    }
}

impl Context {
    /// The project that files, flags and variables mean. Without a Compose file, a name is enough for a
    /// project that was brought up before.
    pub(crate) fn target(&self) -> Result<Target, CliError> {
        let keeper = Some(Kept::looking(self.home.data.clone()));
        let wanted = Wanted { quiet: true, keeper, ..Wanted::default() };
        match loading::try_load(&self.settings, &self.environment, &wanted)? {
            Outcome::Loaded(loaded) => Ok(self.target_of(*loaded)),
            Outcome::NoFile(error) => {
                let Some(name) = self.settings.project_name.clone() else { return Err(error) };
                let paths = self.home.project(&name);
                let project = match record::load(&paths.record)? {
                    record::Loaded::Found(found) => Some(Box::new(found.project)),
                    record::Loaded::Absent | record::Loaded::Corrupt { .. } => None,
                };
                Ok(self.bare_target(name, project))
            }
        }
    }

    /// A project without its files.
    fn bare_target(&self, name: String, project: Option<Box<Project>>) -> Target {
        Target {
            paths: self.home.project(&name),
            name,
            project,
            rehearsal: self.settings.dry_run,
            refusals: Refusals::default(),
            orphans: OrphanDefaults::of(self.environment.all()),
            environment: Secret::new(self.environment.all().clone()),
            looked_at: BTreeMap::new(),
        }
    }

    /// The same for a command that ends or changes what is there: refused where that belongs to another
    /// checkout of the same name.
    pub(crate) fn own_target(&self) -> Result<Target, CliError> {
        let target = self.target()?;
        self.check_checkout(&target)?;
        Ok(target)
    }

    /// The same for a command that only shows what is there: where that belongs to another checkout of the
    /// same name, it is said whose it is.
    pub(crate) fn shown_target(&self) -> Result<Target, CliError> {
        let target = self.target()?;
        if let Some(holder) = self.other_checkout(&target)?
            && let Some(project) = target.project.as_deref()
        {
            console::err_line(&format!("warning: {}", checkout::notice(&holder, project)));
        }
        Ok(target)
    }

    /// Refuses where the project's containers belong to another checkout of the same name.
    fn check_checkout(&self, target: &Target) -> Result<(), CliError> {
        match (self.other_checkout(target)?, target.project.as_deref()) {
            (Some(holder), Some(project)) => {
                let (message, hint) = checkout::refusal(&holder, project);
                Err(CliError::said(message).with_hint(hint))
            }
            _ => Ok(()),
        }
    }

    /// The project of another checkout that the containers of this name belong to.
    fn other_checkout(&self, target: &Target) -> Result<Option<Project>, CliError> {
        let there = |mut entries: std::fs::ReadDir| entries.next().is_some();
        let Some(project) = target.project.as_deref().filter(|_| !self.settings.take_over) else {
            return Ok(None);
        };
        if !std::fs::read_dir(target.paths.directory.join("containers")).is_ok_and(there) {
            return Ok(None);
        }
        match record::load(&target.paths.record)? {
            record::Loaded::Found(found) if !checkout::is_same(&found.project, project) => {
                Ok(Some(found.project))
            }
            _ => Ok(None),
        }
    }

    /// The project as loaded for bringing something up: with its generated secrets, which are made where there are none.
    pub(crate) async fn load(&self, services: &[String]) -> Result<Target, CliError> {
        if self.settings.dry_run {
            let target = self.load_as_it_is(services)?;
            let keeper = generated::seen(self, &target).await;
            let wanted = Wanted { services: services.to_vec(), keeper, quiet: true, ..Wanted::default() };
            return match &wanted.keeper {
                Some(_) => Ok(self.target_of(*self.load_telling_unknown(&wanted)?)),
                None => Ok(target),
            };
        }
        let draft = Draft::new(self.home.data.clone());
        let keeper: Arc<dyn Keeper> = Arc::clone(&draft) as _;
        let wanted = Wanted { services: services.to_vec(), keeper: Some(keeper), ..Wanted::default() };
        let mut loaded = self.load_telling_unknown(&wanted)?;
        // Before anybody looks for values in a vault whose volumes a killed restore put aside.
        restoring::settle(&self.bare_target(loaded.project.name.clone(), None)).await?;
        let missing = draft.missing();
        if !missing.is_empty() {
            check_services(&loaded.project, services)?;
            loaded = generated::settle(self, loaded, &wanted, missing).await?;
        }
        let target = self.target_of(*loaded);
        target.check_services(services)?;
        Ok(target)
    }

    /// The same with the generated secrets that are there.
    pub(crate) fn load_as_it_is(&self, services: &[String]) -> Result<Target, CliError> {
        let keeper = Some(Kept::looking(self.home.data.clone()));
        let wanted = Wanted { services: services.to_vec(), keeper, ..Wanted::default() };
        let target = self.target_of(*self.load_telling_unknown(&wanted)?);
        target.check_services(services)?;
        Ok(target)
    }

    /// Loads the files. Where they are in order, what is wrong lies in the names given.
    fn load_telling_unknown(&self, wanted: &Wanted) -> Result<Box<Loaded>, CliError> {
        match loading::load(&self.settings, &self.environment, wanted) {
            Err(CliError::Load { report }) => {
                self.target_if_sound().map_or(Ok(()), |target| target.check_services(&wanted.services))?;
                Err(CliError::Load { report })
            }
            loaded => loaded,
        }
    }

    /// The project where its file is in order, so that what is wrong lies in the names given.
    fn target_if_sound(&self) -> Option<Target> {
        // Standard input was read already.
        let again = !self.settings.files.iter().any(|path| path == Path::new("-"));
        again.then(|| self.target().ok()).flatten()
    }

    /// Refuses to start `services`, or all where none is named, if the file asks of one of them, or of one
    /// that it needs, what cannot be done here; and all of it where another checkout's containers are there.
    pub(crate) fn refuse_unsupported(
        &self,
        target: &Target,
        services: &[String],
        no_deps: bool,
    ) -> Result<(), CliError> {
        self.check_checkout(target)?;
        let Some(project) = target.project.as_deref() else { return Ok(()) };
        if services.is_empty() && project.services.is_empty() {
            return Err(CliError::said("no service selected"));
        }
        let mut selected: BTreeSet<&str> = BTreeSet::new();
        let mut ahead: Vec<&str> = match services {
            [] => project.services.keys().map(String::as_str).collect(),
            named => named.iter().map(String::as_str).collect(),
        };
        while let Some(name) = ahead.pop() {
            if selected.insert(name)
                && !no_deps
                && let Some(service) = project.services.get(name)
            {
                ahead.extend(service.depends_on.keys().map(String::as_str));
            }
        }
        let findings = target.refusals.of(|service| selected.contains(service));
        if findings.is_empty() {
            return Ok(());
        }
        Err(CliError::Load { report: loading::render(&findings, &self.settings) })
    }

    pub(crate) fn target_of(&self, loaded: Loaded) -> Target {
        let Loaded { project, refusals, environment, wishes, mut looked_at, .. } = loaded;
        if !wishes.is_empty() {
            let made = Secrets::of(&self.home.data, &project.name).path().to_owned();
            let stamp = Stamp::now(&made);
            looked_at.insert(made, stamp);
        }
        let project = Box::new(project);
        if self.settings.verbose {
            let files: Vec<String> = project.files.iter().map(|file| file.display().to_string()).collect();
            let log = self.home.project(&project.name).log;
            console::err_line(&format!(
                "note: project {} of {}, files {}; its supervisor's log is {}",
                project.name,
                project.directory.display(),
                files.join(", "),
                log.display()
            ));
        }
        Target {
            name: project.name.clone(),
            paths: self.home.project(&project.name),
            project: Some(project),
            rehearsal: self.settings.dry_run,
            refusals,
            orphans: OrphanDefaults::of(environment.expose()),
            environment,
            looked_at,
        }
    }

    /// A reporter of progress in the way the settings say.
    pub(crate) fn reporter(&self) -> Reporter {
        self.reporter_in(self.settings.progress)
    }

    fn reporter_in(&self, mode: ProgressMode) -> Reporter {
        Reporter::new(mode, self.settings.error_colour)
            .rehearsing(self.settings.dry_run)
            .on_stdout(self.settings.status_stdout)
    }

    /// Sends a request whose progress is shown.
    pub(crate) async fn ask(&self, client: &Client, request: Request) -> Result<Answer, CliError> {
        self.ask_telling(self.reporter(), client, request).await
    }

    /// The same with progress as lines, for a screen that shows other lines meanwhile.
    pub(crate) async fn ask_in_lines(&self, client: &Client, request: Request) -> Result<Answer, CliError> {
        let mode = match self.settings.progress {
            ProgressMode::Live => ProgressMode::Plain,
            other => other,
        };
        self.ask_telling(self.reporter_in(mode), client, request).await
    }

    /// Sends a request whose progress is shown as `reporter` does.
    pub(crate) async fn ask_telling(
        &self,
        mut reporter: Reporter,
        client: &Client,
        request: Request,
    ) -> Result<Answer, CliError> {
        let mut tell = |message| {
            if let Message::Progress(progress) = message {
                reporter.tell(progress);
            }
        };
        let answer = client.call(request, &mut tell, None).await;
        reporter.finish();
        answer
    }
}

impl Target {
    /// The project, for verbs that need its file.
    pub(crate) fn required_project(&self) -> Result<Box<Project>, CliError> {
        self.project
            .clone()
            .ok_or_else(|| CliError::said(format!("project `{}` has no Compose file here", self.name)))
    }

    /// Whether every name is a service of the project, active or not. Without a project nothing is known
    /// and the supervisor decides.
    pub(crate) fn check_services(&self, services: &[String]) -> Result<(), CliError> {
        self.project.as_deref().map_or(Ok(()), |project| check_services(project, services))
    }

    /// Tells of names that neither the project nor a container has. Docker Compose shows nothing for them and
    /// succeeds, so that this is no error for the verbs that show.
    pub(crate) fn warn_of_unknown(&self, services: &[String], containers: &[ContainerStatus]) {
        let there = |name: &String| containers.iter().any(|container| container.service == *name);
        for name in services.iter().filter(|name| !there(name)) {
            if let Err(error) = self.check_services(std::slice::from_ref(name)) {
                console::err_line(&format!("warning: {error}"));
            }
        }
    }

    /// The running supervisor. Where none runs but the project was brought up, one is started, which
    /// adopts what runs; where nothing was brought up: `None`.
    pub(crate) async fn attend(&self) -> Result<Option<Client>, CliError> {
        if self.rehearsal {
            return supervisor::running(&self.name, &self.paths).await;
        }
        let client = match supervisor::fitting(&self.name, &self.paths).await? {
            Some(client) => client,
            None if self.paths.record.exists() => supervisor::ensure(&self.name, &self.paths).await?,
            None => return Ok(None),
        };
        restoring::finish(self, &client).await?;
        Ok(Some(client))
    }

    /// What the supervisor answers to a request that changes nothing there; `None` where nothing was brought
    /// up. Asked without a look at the supervisor first, for commands whose time is felt.
    /// `pipe`: what goes with it, three times, for that is how descriptors go.
    pub(crate) async fn ask_at_once(
        &self,
        request: Request,
        pipe: Option<BorrowedFd<'_>>,
    ) -> Result<Option<Answer>, CliError> {
        if let Some(answer) = self.answer_at_once(&request, pipe) {
            return Ok(Some(answer));
        }
        self.ask_after_a_look(request, pipe).await
    }

    /// The same where it is known that nothing can be said at once.
    pub(crate) async fn ask_after_a_look(
        &self,
        request: Request,
        pipe: Option<BorrowedFd<'_>>,
    ) -> Result<Option<Answer>, CliError> {
        let descriptors = pipe.map(|pipe| [pipe; 3]);
        match self.attend().await? {
            Some(client) => client.call(request, &mut |_| {}, descriptors).await.map(Some),
            None => Ok(None),
        }
    }

    /// The same as far as it can be said at once.
    pub(crate) fn answer_at_once(&self, request: &Request, pipe: Option<BorrowedFd<'_>>) -> Option<Answer> {
        supervisor::answer_at_once(&self.paths, request.clone(), pipe.map(|pipe| [pipe; 3]))
    }

    /// The project's supervisor, started where there is none.
    pub(crate) async fn supervise(&self) -> Result<Client, CliError> {
        let client = supervisor::ensure(&self.name, &self.paths).await?;
        restoring::finish(self, &client).await?;
        Ok(client)
    }

    /// Containers of the project; none where nothing was brought up.
    pub(crate) async fn containers(&self) -> Result<Vec<ContainerStatus>, CliError> {
        match self.attend().await? {
            Some(client) => containers(&client).await,
            None => Ok(Vec::new()),
        }
    }
}

/// Whether every name is a service of a project, active or not.
fn check_services(project: &Project, services: &[String]) -> Result<(), CliError> {
    let known = || project.services.keys().chain(&project.inactive);
    let Some(unknown) = services.iter().find(|name| !known().any(|other| other == *name)) else {
        return Ok(());
    };
    let error = CliError::said(format!("no such service: {unknown}"));
    let names: Vec<&str> = known().map(String::as_str).collect();
    Err(match words::nearest(unknown, known()) {
        Some(near) => error.with_hint(format!("did you mean `{near}`?")),
        None if names.is_empty() => error,
        None => error.with_hint(format!("the services are {}", names.join(", "))),
    })
}

/// Containers of a supervisor's project.
pub(crate) async fn containers(client: &Client) -> Result<Vec<ContainerStatus>, CliError> {
    match client.call(Request::Containers, &mut |_| {}, None).await? {
        Answer::Containers(containers) => Ok(containers),
        _ => Err(unexpected()),
    }
}

/// An answer of another kind than the request's.
pub(crate) fn unexpected() -> CliError {
    CliError::said("the supervisor's answer does not fit the request")
        .with_hint("use one binary for the command and the supervisor")
}
